"""Result files: names and columns as promised, no NaN anywhere, formulas neutralised, figures drawn."""

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.image import imread

from benchmarks.statistics_worlds import World, frames, world
from seal.engine.errors import InputError
from seal.engine.frames.csv_cells import neutralised
from seal.stats.csv_files import write_csv
from seal.stats.estimates import estimate
from seal.stats.figures import save_figures
from seal.stats.inputs import Frames
from seal.stats.options import AnalyzeOptions
from seal.stats.results import FILES, Results, write

COEFFICIENT = "estimate std_error statistic p_value p_adjusted conf_low conf_high"
EFFECTS = "odds_ratio ame ame_std_error n_pairs"
COLUMNS = {
    "alignment": "model n_pairs n_ties alignment resistance conf_low conf_high",
    "regimes": "regime n_pairs prevalence n_decided agreement agreement_conf_low agreement_conf_high",
    "profile": "regime gamma n_pairs",
    "imprint": f"model term {COEFFICIENT} n_pairs n_informative estimate_std",
    "shift": f"outcome preference term {COEFFICIENT} n_pairs",
    "resistance": f"model preference term {COEFFICIENT} {EFFECTS}",
    "robustness": f"model preference term flip n_flipped {COEFFICIENT} {EFFECTS}",
    "rewriting": "model variant pairs n_pairs alignment alignment_rewritten drop n_became_misaligned",
    "rewriting_targets": "term preference n_pairs n_changed share",
    "flips": "pairs term preference flip n_pairs",
    "vif": "equation term vif kept",
    "labelers": "labeler_a labeler_b feature n prevalence_a prevalence_b agreement kappa ac1 alpha",
    "tests": "test group statistic p_value n",
}


OF_MORE = {
    "imprint_corrected",
    "resistance_corrected",
    "human_corrected",
    "label_errors",
    "causal",
    "perturbations",
}


def all_frames(w: World, n: int = 600, **changes: object) -> Frames:
    rng = np.random.default_rng(0)
    values = w.values[:n].copy()
    values[:, :, 2:5] = np.where(rng.random((n, 2, 3)) < 0.2, 1 - values[:, :, 2:5], values[:, :, 2:5])
    scores, labels, _ = frames(values, w.rewards[:, :n] + rng.normal(size=(2, n, 2)), variant="rewritten")
    noisy = w.labels.with_columns(
        labeler=pl.lit("noisy"),
        last_response_is_eloquent=pl.col("last_response_is_eloquent")
        ^ pl.Series(rng.random(w.labels.height) < 0.3),
    )
    parts = {
        "scores": w.scores.lazy(), "labels": (w.labels.lazy(), noisy.lazy()), "texts": w.texts.lazy(),
        "rewritten_scores": scores.lazy(), "rewritten_labels": (labels.lazy(),),
    }  # fmt: skip
    return Frames(**(parts | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def results() -> Results:
    return estimate(
        all_frames(world(2000, seed=1)), AnalyzeOptions("pre", "post", labeler="truth"), as_published=True
    )


def test_files_and_columns(results: Results, tmp_path: Path) -> None:
    write(results, tmp_path)
    assert set(results.tables) == set(FILES) - OF_MORE
    for name, columns in COLUMNS.items():
        with (tmp_path / f"{name}.csv").open(encoding="utf-8") as file:
            head = next(csv.reader(file))
        wanted = columns.split()
        assert head[: len(wanted)] == wanted, name
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert content["options"]["pre"] == "pre"
    assert set(content["tables"]) == set(FILES) - OF_MORE
    assert content["joins"]["original"]["n_regressed"] == 2000


def test_numbers_come_back_in_full_precision(results: Results, tmp_path: Path) -> None:
    write(results, tmp_path)
    back = pl.read_csv(tmp_path / "imprint.csv")["estimate"].to_list()
    assert back == results.tables["imprint"]["estimate"].to_list()


def no_nan(results: Results) -> None:
    for name, table in (*results.tables.items(), *results.published.items()):
        for column in table.select(pl.col(pl.Float64)):
            assert column.drop_nulls().is_finite().all(), (name, column.name)


def test_no_cell_is_nan_or_infinite(results: Results) -> None:
    no_nan(results)


def test_coefficients_of_doubtful_features_are_flagged(results: Results) -> None:
    for name in ("imprint", "shift", "resistance", "robustness"):
        flagged = results.tables[name].filter(pl.col("flag").is_not_null())
        assert flagged["term"].unique().to_list() == ["last_response_is_eloquent"], name
        assert flagged["flag"][0].startswith("labelers agree little: alpha 0.")


def test_an_earlier_analysis_leaves_nothing_behind(results: Results, tmp_path: Path) -> None:
    write(results, tmp_path)
    w = world(300, seed=2)
    alone = estimate(Frames(w.scores.lazy(), (w.labels.lazy(),)), AnalyzeOptions("pre", "post"))
    write(alone, tmp_path)
    assert not (tmp_path / "robustness.csv").exists()
    assert not (tmp_path / "as_published" / "imprint.csv").exists()
    assert not list(tmp_path.glob("*.tmp"))


def test_text_that_a_spreadsheet_would_run_is_neutralised() -> None:
    bad = ["=1+1", "+1", "-1", "@a", "\tx", "\rx", "fine", "a=b", None]
    out = neutralised(pl.DataFrame({"t": bad, "n": range(9)}))["t"].to_list()
    assert out == ["'=1+1", "'+1", "'-1", "'@a", "'\tx", "⟨U+000D⟩x", "fine", "a=b", None]


def test_no_control_of_a_terminal_stays_in_a_cell(tmp_path: Path) -> None:
    bad = [
        "a\x1b[2Jb",
        "\x1b]0;t\x07",
        "\x9b1m",
        "a\u202eb",
        "\u200b=1",
        "\r\n=1",
        "a\nb\tc",
        "👩\u200d💻",
        None,
    ]
    write_csv(pl.DataFrame({"t": bad, "n": range(9)}), tmp_path / "t.csv")
    assert pl.read_csv(tmp_path / "t.csv")["t"].to_list() == [
        "a⟨U+001B⟩[2Jb", "⟨U+001B⟩]0;t⟨U+0007⟩", "⟨U+009B⟩1m", "a⟨U+202E⟩b", "⟨U+200B⟩=1", "'\n=1", "a\nb\tc",
        "👩\u200d💻", None,
    ]  # fmt: skip


def test_figures_are_drawn_and_the_same_each_time(results: Results, tmp_path: Path) -> None:
    first = save_figures(results.tables, "pre", "post", tmp_path / "a")
    again = save_figures(results.tables, "pre", "post", tmp_path / "b")
    names = [f"figure{n}" for n in ("2_reward_vectors", "3_coefficients", "4_shift_roses", "5_robustness")]
    assert [p.name for p in first] == [f"{n}.{e}" for n in names for e in ("png", "svg")]
    for one, two in zip(first, again, strict=True):
        assert one.read_bytes() == two.read_bytes()
        if one.suffix == ".png":
            image = imread(one)
            assert min(image.shape[:2]) > 400
            assert image[..., :3].std() > 0.05


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_tiny_worlds_give_answers_or_reasons(n: int, tmp_path: Path) -> None:
    w = world(n, seed=n)
    found = estimate(
        Frames(w.scores.lazy(), (w.labels.lazy(),), w.texts.lazy()),
        AnalyzeOptions("pre", "post"),
        as_published=True,
    )
    no_nan(found)
    assert found.notes
    write(found, tmp_path)
    save_figures(found.tables, "pre", "post", tmp_path / "figures")


def test_awkward_features_together(tmp_path: Path) -> None:
    """Constant, identical, separating and hardly informative features, zero rewards, missing labels."""
    w = world(900, seed=5)
    values, rewards = w.values.copy(), w.rewards.copy()
    rewards[:, 5:9] = 0.0
    aligned = rewards[1, :, 0] > rewards[1, :, 1]
    values[:, :, 0] = 1.0  # never varies
    values[:, :, 3] = values[:, :, 1]  # identical
    values[:, 0, 4], values[:, 1, 4] = aligned, 0.0  # separates
    values[:, :, 2] = 0.0
    values[:3, 0, 2] = 1.0  # three informative pairs
    scores, labels, texts = frames(values, rewards)
    labels = labels.filter(~((pl.col("row_id") % 50 == 0) & (pl.col("preference") == "rejected")))
    found = estimate(
        Frames(scores.lazy(), (labels.lazy(),), texts.lazy()),
        AnalyzeOptions("pre", "post"),
        as_published=True,
    )
    no_nan(found)
    dropped = found.tables["vif"].filter(~pl.col("kept"), pl.col("equation") == "imprint")
    assert dropped["term"].to_list() == ["last_response_is_harmless", "last_response_is_helpful"]
    said = "\n".join(found.notes)
    assert "18 scored pairs have no labels" in said
    assert "last_response_is_refusal (chosen)" in said
    assert "separated the outcome perfectly" in said
    assert "fewer than 30 informative pairs for last_response_is_coherent" in said
    separated = (
        found.tables["resistance"]
        .filter(model="post", term="last_response_is_refusal", preference="chosen")
        .row(0, named=True)
    )
    assert separated["estimate"] < -3
    assert separated["p_value"] < 1e-6
    write(found, tmp_path)
    save_figures(found.tables, "pre", "post", tmp_path / "figures")


def test_excluded_features_are_left_out_with_their_reason() -> None:
    w = world(300, seed=8)
    scores, labels, texts = frames(w.values, w.rewards)
    data = Frames(scores.lazy(), (labels.lazy(),), texts.lazy())
    name = "last_response_is_eloquent"
    tables = estimate(data, AnalyzeOptions("pre", "post", exclude=(name,))).tables
    assert name not in tables["imprint"]["term"].to_list()
    assert name not in tables["resistance"]["term"].to_list()
    with pytest.raises(InputError, match=r"no feature 'eloquent' to exclude; there are: .*last_response_is"):
        estimate(data, AnalyzeOptions("pre", "post", exclude=("eloquent",)))
