"""Reward shift, regimes and the tests on them, against closed forms and scipy."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from benchmarks.statistics_worlds import World, frames, world
from seal.stats.alignment.regimes import gamma
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.options import AnalyzeOptions
from seal.stats.pairs.rewards import normalised_margin_change, theta


def rewards(*rows: tuple[float, float, float, float]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema=["pre_chosen", "pre_rejected", "post_chosen", "post_rejected"], orient="row"
    ).cast(pl.Float64)


def test_quarter_turns() -> None:
    frame = rewards(
        (1, 0, 0, 2), (1, 0, 0, -3), (1, 0, -1, 0), (1, 0, -1, -0.0), (2, 2, 5, 5), (0, 0, 1, 1), (1, 1, 0, 0)
    )
    assert frame.select(theta()).to_series().to_list() == [90, -90, 180, 180, 0, None, None]
    assert frame.select(theta("unsigned")).to_series().to_list() == [90, 90, 180, 180, 0, None, None]


@given(st.floats(-math.pi, math.pi), st.floats(-3.1, 3.1), st.floats(0.01, 100), st.floats(0.01, 100))
def test_theta_is_the_rotation(start: float, turn: float, r: float, s: float) -> None:
    frame = rewards(
        (r * math.cos(start), r * math.sin(start), s * math.cos(start + turn), s * math.sin(start + turn))
    )
    assert frame.select(theta()).item() == pytest.approx(math.degrees(turn), abs=1e-6)


def test_the_normalised_margin_knows_no_scale() -> None:
    frame = rewards((1, 0, 0, 2), (3, 1, 30, 10), (0, 0, 1, 0))
    change = frame.select(normalised_margin_change()).to_series().to_list()
    assert change[0] == pytest.approx(-2)
    assert change[1] == pytest.approx(0)
    assert change[2] is None


def profiles(*rows: tuple[int | None, int | None, int | None, int | None]) -> pl.DataFrame:
    names = ["t0_chosen", "t1_chosen", "t0_rejected", "t1_rejected"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Int8), orient="row")


def test_gamma_rules() -> None:
    block = profiles((1, 0, 0, 1), (0, 1, 1, 0), (1, 1, 1, 0), (1, 1, 1, 1), (1, None, 0, 1))
    assert block.select(gamma(2)).to_series().to_list() == ["c", "r", "c", "i", "unlabelled"]
    pareto = ["conflict", "conflict", "c", "i", "unlabelled"]
    assert block.select(gamma(2, "pareto")).to_series().to_list() == pareto
    assert block.select(x=gamma(0)).to_series().unique().to_list() == ["unlabelled"]


@pytest.fixture(scope="module")
def w() -> World:
    return world(3000, seed=8)


def run(w: World, **options: object) -> dict[str, pl.DataFrame]:
    found = estimate(
        Frames(w.scores.lazy(), (w.labels.lazy(),), w.texts.lazy()), AnalyzeOptions("pre", "post", **options)
    )  # type: ignore[arg-type]
    return dict(found.tables)


def test_tests_of_theta_are_scipys(w: World) -> None:
    u, v = w.rewards
    angle = np.degrees(np.arctan2(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], (u * v).sum(axis=1)))
    here = (u[:, 0] <= u[:, 1]) & (v[:, 0] > v[:, 1])
    tests = run(w, theta_origin="raw")["tests"]
    t = tests.filter(test="t_theta", group="became_aligned").row(0, named=True)
    expected = scipy_stats.ttest_1samp(angle[here], 0)
    assert (t["statistic"], t["p_value"]) == (
        pytest.approx(expected.statistic),
        pytest.approx(expected.pvalue, rel=1e-6),
    )
    sign = tests.filter(test="sign_theta", group="became_aligned").row(0, named=True)
    expected_p = scipy_stats.binomtest(int((angle[here] > 0).sum()), int(here.sum())).pvalue
    assert sign["p_value"] == pytest.approx(expected_p, rel=1e-9, abs=1e-300)
    assert sign["n"] == t["n"] == here.sum()


def test_mcnemar_of_the_three_agreements(w: World) -> None:
    tables = run(w)
    d = w.values[:, 0, :2] - w.values[:, 1, :2]
    pick = np.where(d[:, 0] != 0, d[:, 0], d[:, 1])
    decided = pick != 0
    human = (w.rewards[1, :, 0] > w.rewards[1, :, 1])[decided]
    labeler = (pick > 0)[decided]
    both = human == labeler
    tests = tables["tests"].filter(test="mcnemar_exact")
    assert tests["n"].unique().to_list() == [int(decided.sum())]
    claims = {"post-human": human, "labeler-human": labeler, "labeler-post": both}
    for row in tests.iter_rows(named=True):
        a, b = (claims[name] for name in row["group"].split(" against "))
        assert row["statistic"] == min((a & ~b).sum(), (b & ~a).sum())
    agreement = tables["regimes"].filter(regime="stayed_aligned").row(0, named=True)
    assert agreement["n_decided"] == (decided & (w.rewards[0, :, 0] > w.rewards[0, :, 1])
                                      & (w.rewards[1, :, 0] > w.rewards[1, :, 1])).sum()  # fmt: skip


def test_the_histogram_holds_every_angle(w: World) -> None:
    tables = run(w)
    assert tables["theta_histogram"]["n_pairs"].sum() == 3000
    assert tables["theta_histogram"]["theta_from"].min() >= -180  # type: ignore[operator]
    assert tables["theta_histogram"]["theta_to"].max() <= 180  # type: ignore[operator]
    assert tables["reward_sample"].height == 1000


@pytest.mark.parametrize("ties", ["misaligned", "half", "drop"])
def test_ties_and_zero_rewards(w: World, ties: str) -> None:
    rewards = w.rewards.copy()
    rewards[1, :100] = 0.0
    scores, labels, texts = frames(w.values, rewards)
    found = estimate(
        Frames(scores.lazy(), (labels.lazy(),), texts.lazy()),
        AnalyzeOptions("pre", "post", ties=ties, theta_origin="raw"),
    )  # type: ignore[arg-type]
    alignment = found.tables["alignment"].filter(model="post").row(0, named=True)
    won = (rewards[1, :, 0] > rewards[1, :, 1]).sum()
    expected = {"misaligned": won / 3000, "half": (won + 50) / 3000, "drop": won / 2900}[ties]
    assert alignment["n_ties"] == 100
    assert alignment["alignment"] == pytest.approx(expected)
    n = 3000 if ties == "misaligned" else 2900
    assert found.tables["regimes"]["n_pairs"].sum() == n
    post = found.tables["resistance"].filter(model="post")
    assert post["n_pairs"].unique().to_list() == [n]
    assert found.tables["shift"].filter(outcome="theta")["n_pairs"].unique().to_list() == [2900]
    assert any("theta of 100 pairs is null" in note for note in found.notes)
    assert any("100 pairs tied" in note for note in found.notes) == (ties != "misaligned")


def test_rulers_stand_beside_the_models(w: World) -> None:
    longer = w.texts.with_columns(
        response=pl.when(pl.col("preference") == "chosen")
        .then(pl.lit("a longer one"))
        .otherwise(pl.lit("short"))
    )
    found = estimate(
        Frames(w.scores.lazy(), (w.labels.lazy(),), longer.lazy()), AnalyzeOptions("pre", "post")
    )
    table = found.tables["alignment"]
    assert table.filter(model="ruler: longer")["alignment"].item() == 1.0
    assert table.filter(model="ruler: shorter")["alignment"].item() == 0.0
    assert sum("no more than 'ruler: longer' (100.0%)" in note for note in found.notes) == 2
    numbers = w.labels.with_columns(n_words=pl.int_range(pl.len()), labeler=pl.lit("computed")).select(
        "row_id", "preference", "variant", "labeler", "n_words"
    )
    f = Frames(w.scores.lazy(), (w.labels.lazy(), numbers.lazy()))
    with_covariate = estimate(f, AnalyzeOptions("pre", "post", covariates=("n_words",)))
    assert "ruler: more n_words" in with_covariate.tables["alignment"]["model"].to_list()
    assert "n_words" in with_covariate.tables["imprint"]["term"].to_list()
    assert with_covariate.tables["imprint"]["n_pairs"].unique().to_list() == [3000]
