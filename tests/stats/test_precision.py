"""Rewards as Float64 stay as fine as they are, far from zero too; what is no number is named."""

import numpy as np
import polars as pl
import pytest

from benchmarks.statistics_worlds import World, world
from seal.engine.errors import InputError
from seal.engine.frames.schema import SCORES, check
from seal.stats.alignment.compare import compare
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.options import AnalyzeOptions
from seal.stats.results import Results


def run(scores: pl.DataFrame, w: World) -> Results:
    roles = ("texts", "rewritten", "rewritten-scores", "rewritten-labels", "similarities")
    frames = Frames.of({"scores": [scores], "labels": [w.labels], **{role: [] for role in roles}})
    return estimate(frames, AnalyzeOptions("pre", "post"))


@pytest.fixture(scope="module")
def w() -> World:
    return world(2000, seed=8)


def fine(w: World, offset: float = 0.0) -> pl.DataFrame:
    """Rewards as Float64, with digits that a Float32 has no room for."""
    grain = pl.Series(np.random.default_rng(0).normal(size=w.scores.height))
    return w.scores.with_columns(reward=pl.col("reward").cast(pl.Float64) + 1e-3 * grain + offset)


def test_finer_numbers_stay_as_fine() -> None:
    one = 1 + 2.0**-40
    for column in (pl.Series("reward", [one]), pl.Series("reward", [2**24 + 1])):
        frame = SCORES.empty().clear(1).with_columns(column)
        got = check(frame.lazy(), SCORES, origin="scores").collect()["reward"]
        assert (got.dtype, got[0]) == (pl.Float64, float(column[0]))
    narrow = SCORES.empty().clear(1).with_columns(reward=pl.lit(0.5, pl.Float32))
    assert check(narrow.lazy(), SCORES, origin="scores").collect_schema()["reward"] == pl.Float32


def test_a_large_offset_changes_nothing(w: World) -> None:
    # 1e6 leaves 1e-10 of a reward of size one in a Float64: estimates agree to 1e-6 with room to spare
    near, far = run(fine(w), w), run(fine(w, 1e6), w)
    for name in ("imprint", "imprint_chosen", "resistance"):
        for column in ("estimate", "std_error", "conf_low", "p_value"):
            ours, theirs = (r.tables[name][column].to_numpy() for r in (far, near))
            assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9), (name, column)
    std = [r.tables["imprint"]["estimate_std"].to_numpy() for r in (far, near)]
    assert std[0] == pytest.approx(std[1], rel=1e-6)
    change = [r.tables["shift"].filter(outcome="margin_change")["estimate"].to_numpy() for r in (far, near)]
    assert change[0] == pytest.approx(change[1], rel=1e-6, abs=1e-9)
    for column in ("alignment", "n_ties"):
        assert far.tables["alignment"][column].to_list() == near.tables["alignment"][column].to_list()


def test_float64_survives_through_compare(w: World) -> None:
    # margins of 1e-9 around one million are ties in a Float32
    side = pl.when(pl.col("preference") == "chosen").then(1e-9).otherwise(0.0)
    close = w.scores.with_columns(reward=1.0 + side)
    mixed = [close.filter(pl.col("model") == "pre"), w.scores.filter(pl.col("model") == "post")]
    table = compare(mixed).tables["alignment"].sort("model")
    assert table["alignment"].to_list()[1] == 1.0
    assert table["n_ties"].to_list()[1] == 0


def test_what_is_not_finite_is_named(w: World) -> None:
    row, side = pl.col("row_id"), pl.col("preference")
    bad = pl.when((row == 5) & (pl.col("model") == "post") & (side == "chosen")).then(float("nan"))
    bad = bad.when((row == 3) & (pl.col("model") == "pre")).then(float("inf"))
    scores = w.scores.with_columns(reward=bad.otherwise("reward"))
    found = run(scores, w)
    said = (
        "3 rewards are null, NaN or infinite: row_id 3 of pre (chosen), row_id 3 of pre (rejected), row_id 5"
    )
    assert any(n.startswith(said) for n in found.notes)
    assert found.joins["original"]["n_not_finite"] == 3
    assert any(
        n.startswith("3 rewards are null, NaN or infinite: row_id 3 of pre") for n in compare(scores).notes
    )


def test_rewards_beyond_a_float32_are_told_as_that(w: World) -> None:
    huge = pl.when((pl.col("row_id") == 7) & (pl.col("model") == "post")).then(1e39)
    scores = w.scores.with_columns(reward=huge.otherwise(pl.col("reward").cast(pl.Float64)))
    said = r"1 pairs have a reward of 'post' beyond 3.4e\+38, the first row_id 7"
    with pytest.raises(InputError, match=said):
        run(scores, w)
    with pytest.raises(InputError, match=said):
        compare(scores)


@pytest.mark.parametrize("name", ["chosen", "intercept"])
def test_names_of_the_equations_own_terms_are_refused(w: World, name: str) -> None:
    boolean = w.labels.with_columns(pl.lit(True).alias(name))
    number = w.labels.with_columns(pl.lit(1.5).alias(name))
    frames = [Frames(w.scores.lazy(), (labels.lazy(),)) for labels in (boolean, number)]
    said = f"a feature cannot be called '{name}'.*rename"
    with pytest.raises(InputError, match=said):
        estimate(frames[0], AnalyzeOptions("pre", "post"))
    with pytest.raises(InputError, match=said):
        estimate(frames[1], AnalyzeOptions("pre", "post", covariates=(name,)))
    left_out = estimate(frames[0], AnalyzeOptions("pre", "post", exclude=(name,)))
    assert name not in left_out.tables["imprint"]["term"].to_list()
