"""What an attribute causes, as the report tells it: beside the imprint, in one scale, with the placebo."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.causal_worlds import LONG, TONE, world
from seal.stats.analysis import analyze
from seal.stats.options import AnalyzeOptions
from seal.stats.report.captions import SPURIOUS
from seal.stats.report.caused import caused, caused_sentences, caused_table
from seal.stats.report.page import report
from seal.stats.report.svg import figure_views
from seal.stats.results import Results, read

MODELS = ("pre", "post")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    w = world(250, np.random.default_rng(11))
    return analyze(
        w.scores, w.labels, AnalyzeOptions(*MODELS), texts=w.texts, rewritten_scores=w.rewritten_scores,
        rewritten_labels=w.rewritten_labels, out=tmp_path_factory.mktemp("caused"),
    )  # fmt: skip


def test_caused_and_observed_are_in_sds_of_margins(results: Results) -> None:
    found = {(x.model, x.feature): x for x in caused(results.tables, MODELS)}
    assert set(found) == {(m, f) for m in MODELS for f in (TONE, LONG)}
    effects = results.tables["causal"].filter(line="main", estimand="ate")
    imprint = results.tables["imprint"]
    for (model, feature), one in found.items():
        row = effects.filter(model=model, feature=feature).row(0, named=True)
        assert one.row["estimate"] == row["estimate_std"]
        assert one.row["conf_high"] == row["conf_high_std"]
        seen = imprint.filter(pl.col("model") == model, pl.col("term").str.starts_with(feature))
        assert one.observed is not None
        assert one.observed["estimate"] == seen["estimate_std"].item()


def test_the_imprint_of_a_negative_value_is_turned(results: Results) -> None:
    causal = results.tables["causal"].with_columns(value=pl.col("value").replace("positive", "negative"))
    imprint = results.tables["imprint"].with_columns(term=pl.col("term").str.replace("=.*", ""))
    plain = {x.model: x for x in caused({"causal": results.tables["causal"], "imprint": imprint}, MODELS)}
    turned = {x.model: x for x in caused({"causal": causal, "imprint": imprint}, MODELS)}
    for model in MODELS:
        before, after = plain[model].observed, turned[model].observed
        assert before is not None
        assert after is not None
        assert after["estimate"] == -before["estimate"]
        assert (after["conf_low"], after["conf_high"]) == (-before["conf_high"], -before["conf_low"])


def test_the_page_holds_figure_table_and_sentences(results: Results, tmp_path: Path) -> None:
    page = report(results, tmp_path / "r.html").html
    for said in caused_sentences(results.tables, MODELS):
        assert said in page
    assert "Figure 7. What a change of one attribute does" in page
    assert 'id="overview-causal"' in page
    assert "A rewriting with no aim alone changes it by +0." in page
    table = caused_table(caused(results.tables, (*MODELS, "post-pre")), level=0.95)
    assert [row[0].text for row in table.rows].count(TONE) == 3
    assert "figure-7" in {view.key for view in figure_views(results.tables, *MODELS)}
    assert results.folder is not None
    assert report(read(results.folder)).html.count("overview-causal") == page.count("overview-causal")


def test_without_experiments_nothing_is_said(results: Results) -> None:
    tables = {name: frame for name, frame in results.tables.items() if name != "causal"}
    assert caused(tables, MODELS) == []
    assert caused_sentences(tables, MODELS) == ()


def test_placebos_stand_beside_robustness(results: Results) -> None:
    rows = results.tables["rewriting"]
    assert rows["variant"].unique().to_list() == ["placebo"]
    assert "robustness" not in results.tables


def test_the_share_of_flips_that_is_real_is_as_the_caption_says() -> None:
    """By drawing: labels that err with 8%, 5% of which truly flip."""
    rng, n = np.random.default_rng(0), 2_000_000
    truth = rng.random(n) < 0.5
    flips = rng.random(n) < 0.05
    before, after = (x ^ (rng.random(n) < 0.08) for x in (truth, truth ^ flips))
    seen = before != after
    real = flips[seen].mean()
    q = 2 * 0.08 * 0.92
    assert real == pytest.approx(0.05 * (1 - q) / (0.05 * (1 - q) + 0.95 * q), abs=0.003)  # 6 SDs of a share
    assert round(real, 2) == 0.23
    assert (seen.mean() - q) / (1 - 2 * q) == pytest.approx(0.05, abs=0.002)
    assert "23% at p = 5% and e = 8%" in SPURIOUS
