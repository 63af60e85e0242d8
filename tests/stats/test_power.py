"""How many pairs to label: the predicted half-width is that of the analysis with so many labeled."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seal.cli.main import main
from seal.engine.errors import UsageError
from seal.stats.analysis import analyze
from seal.stats.options import AnalyzeOptions, GoldPowerOptions
from seal.stats.power import GoldNeeds, gold_power
from tests.support.gold_world import FEATURES, GoldWorld, gold_world

MODELS = ("pre", "post", "post-pre")


def needs(w: GoldWorld, width: float = 0.1, **more: object) -> GoldNeeds:
    options = {"pre": "pre", "post": "post", "gold": "people", "width": width} | more
    return gold_power([w.labels, w.gold], w.scores, GoldPowerOptions(**options))


@pytest.fixture(scope="module")
def pilot() -> GoldWorld:
    return gold_world(n=8000, m=400, seed=3)


def half_widths(w: GoldWorld) -> np.ndarray:
    """(3, 5): what `analyze` gives, in SDs of the margins, from its errors in reward units."""
    options = AnalyzeOptions(pre="pre", post="post", gold="people")
    table = analyze(w.scores, [w.labels, w.gold], options).tables["imprint_corrected"]
    m = w.rewards[:, :, 0] - w.rewards[:, :, 1]
    found = table.filter(pl.col("model").is_in(["pre", "post"]))
    widths = ((found["conf_high"] - found["conf_low"]) / 2).to_numpy().reshape(2, 5)
    return widths / m.std(axis=1)[:, None]


def test_the_pilot_s_half_width_is_that_of_the_analysis(pilot: GoldWorld) -> None:
    """Within 8%: normal for t, all pairs for the gold ones in what stays, and a few per cent of chance."""
    found = needs(pilot)
    assert found.table["model"].unique(maintain_order=True).to_list() == list(MODELS)
    assert found.table["term"][:5].to_list() == sorted(FEATURES)
    predicted = found.table["half_width"].to_numpy().reshape(3, 5)[:2]
    assert predicted == pytest.approx(half_widths(pilot), rel=0.08)
    assert (found.n_pairs, found.n_gold) == (8000, 400)


def test_with_as_many_as_it_says_intervals_are_that_narrow(pilot: GoldWorld) -> None:
    """Of 1,600 gold pairs of the same world: asked for their half-widths, the pilot says about 1,600.

    A variance of about 100 informative pairs is known to a seventh, which what stays makes a fifth of the
    number: each of ten may be off by two and a half of that, their median by 15%.
    """
    after = half_widths(gold_world(n=8000, m=1600, seed=4))
    said = [
        needs(pilot, width=float(after[i, j])).table["n_needed"][5 * i + j]
        for i in range(2) for j in range(5)
    ]  # fmt: skip
    assert np.median(said) == pytest.approx(1600, rel=0.15)
    assert said == pytest.approx([1600] * 10, rel=0.5)
    assert (after < needs(pilot).table["half_width"].to_numpy().reshape(3, 5)[:2]).all()


def test_more_pairs_for_narrower_intervals(pilot: GoldWorld) -> None:
    wide, narrow, hopeless = needs(pilot, 0.15), needs(pilot, 0.08), needs(pilot, 0.001)
    assert wide.n_needed is not None
    assert narrow.n_needed is not None
    assert wide.n_needed < narrow.n_needed <= 8000
    assert wide.n_needed == wide.table["n_needed"].max()
    assert hopeless.n_needed is None
    assert hopeless.table["n_needed"].null_count() == 15
    trivial = needs(pilot, 100.0).table
    informative = trivial["n_gold_informative"].to_numpy()
    assert trivial["n_needed"].to_list() == np.maximum(30, np.ceil(10 * 400 / informative)).tolist()


def test_one_feature(pilot: GoldWorld) -> None:
    whole = needs(pilot)
    found = needs(pilot, features=(FEATURES[3],))
    assert found.table.equals(whole.table.filter(term=FEATURES[3]))
    assert found.n_needed == found.table["n_needed"].max()


def test_what_is_refused(pilot: GoldWorld) -> None:
    with pytest.raises(UsageError, match="did you mean 'people'"):
        needs(pilot, gold="peopel")
    with pytest.raises(UsageError, match="did you mean 'last_response_is_warm'"):
        needs(pilot, features=("last_response_is_worm",))
    with pytest.raises(UsageError, match="width must be above 0"):
        needs(pilot, width=0.0)
    with pytest.raises(UsageError, match="is gold; give the labels that it corrects"):
        gold_power(pilot.gold, pilot.scores, GoldPowerOptions(pre="pre", post="post", gold="people", width=1))
    with pytest.raises(UsageError, match="label 30 pairs"):
        needs(gold_world(n=1000, m=25, seed=1))


def test_strata_are_told() -> None:
    found = needs(gold_world(n=4000, m=300, seed=2, stratified=True))
    assert "strata" in found.notes[-1]
    assert "<h3>" in found._repr_html_()


def with_mood(frame: pl.DataFrame, mood: np.ndarray) -> pl.DataFrame:
    """LABELS with one of three moods for each text; `mood` is (n, 2), chosen first."""
    side = (frame["preference"].cast(pl.String) == "rejected").to_numpy().astype(int)
    found = mood[frame["row_id"].to_numpy(), side]
    values = ("negative", "neutral", "positive")
    return frame.with_columns(last_response_mood=pl.Series([values[i] for i in found]))


def test_the_curve_of_a_mood_is_no_regressor(pilot: GoldWorld) -> None:
    """Six coefficients, as in `analyze`, and its half-widths: |mood| tests linearity and does not enter."""
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 3, (8000, 2))
    said = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 3, truth.shape), truth)
    w = replace(pilot, labels=with_mood(pilot.labels, said), gold=with_mood(pilot.gold, truth))
    found = needs(w)
    assert found.table["term"].unique().sort().to_list() == sorted([*FEATURES, "last_response_mood"])
    assert not found.notes
    options = AnalyzeOptions(pre="pre", post="post", gold="people")
    table = analyze(w.scores, [w.labels, w.gold], options).tables["imprint_corrected"].filter(model="post")
    m = w.rewards[1, :, 0] - w.rewards[1, :, 1]
    widths = ((table["conf_high"] - table["conf_low"]) / 2 / m.std()).to_list()
    assert found.table.filter(model="post")["half_width"].to_list() == pytest.approx(widths, rel=0.08)
    small = replace(w, gold=w.gold.filter(pl.col("row_id").is_in(w.picked[:30].tolist())))
    with pytest.raises(UsageError, match="6 for each of 6 coefficients; label 36 pairs"):
        needs(small)


def test_the_command(pilot: GoldWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("scores", "labels", "gold"):
        getattr(pilot, name).write_parquet(tmp_path / f"{name}.parquet")
    words = ["gold", "power", *(str(tmp_path / f"{n}.parquet") for n in ("labels", "gold"))]
    words += ["--scores", str(tmp_path / "scores.parquet"), "--pre", "pre", "--post", "post"]
    words += ["--gold", "people", "--width", "0.1"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"{needs(pilot).n_needed:,} pairs labeled: 400 are, of 8,000" in said
