"""One set of regressors for all equations: what is dropped, why, and the joint test of it."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

from benchmarks.statistics_worlds import TERMS, World, frames, world
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.options import AnalyzeOptions
from seal.stats.regression.collinearity import Design, select, select_together
from seal.stats.results import Results

Floats = NDArray[np.float64]


def design(name: str, x: Floats, owners: tuple[int, ...] | None = None) -> Design:
    k = x.shape[1]
    return Design(name, x.T @ x, owners or tuple(range(k)), tuple(f"{name}{j}" for j in range(k)))


def drawn(seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(200, 4))


def test_of_one_design_it_is_what_select_chooses() -> None:
    x = drawn()
    x[:, 1] = x[:, 3] + 0.1 * x[:, 1]
    x[:, 2] = 0
    kept, (verdicts,) = select_together([design("a", x)], 4)
    assert verdicts == select(x.T @ x, [f"a{j}" for j in range(4)])
    assert kept == [j for j, v in enumerate(verdicts) if v.kept] == [0, 3]


def test_what_one_equation_drops_is_dropped_from_all() -> None:
    first, second = drawn(1), drawn(2)
    second[:, 0] = second[:, 3] + second[:, 2] + 0.2 * second[:, 0]
    kept, (one, two) = select_together([design("one", first), design("two", second)], 4)
    assert kept == [1, 2, 3]
    assert two[0].reason == f"VIF {two[0].vif:.3g} above 5"
    assert one[0].reason == f"{two[0].reason} in two"
    raw = np.diag(first.T @ first) * np.diag(np.linalg.inv(first.T @ first))
    assert one[0].vif == pytest.approx(raw[0])
    for x, verdicts in ((first[:, 1:], one), (second[:, 1:], two)):
        vifs = np.diag(x.T @ x) * np.diag(np.linalg.inv(x.T @ x))
        assert [v.vif for v in verdicts[1:]] == pytest.approx(vifs)
        assert all(v.kept for v in verdicts[1:])


def test_repeats_and_still_columns_are_told_by_equation() -> None:
    first, second = drawn(1), np.concatenate([drawn(2), drawn(3)], axis=1)
    second[:, 1] = second[:, 5]  # regressor 1 of one side is that of the other
    second[:, 6] = 0  # one side of regressor 2 never varies
    owners = (0, 1, 2, 3, 0, 1, 2, 3)
    kept, (one, two) = select_together([design("one", first), design("two", second, owners)], 4)
    assert kept == [0, 2, 3]
    assert one[1].reason == "an exact linear combination of two5 in two"
    assert two[1].reason == "an exact linear combination of two5"
    assert [(v.kept, v.reason) for v in (two[2], two[6])] == [(True, None), (False, "never varies")]


def test_nothing_left_is_no_error() -> None:
    assert select_together([design("one", np.zeros((5, 2)))], 2)[0] == []
    assert select_together([], 2) == ([0, 1], [])


def analysis(w: World, **options: object) -> Results:
    return estimate(
        Frames(w.scores.lazy(), (w.labels.lazy(),), w.texts.lazy()),
        AnalyzeOptions("pre", "post", **options),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def w() -> World:
    # helpful and coherent hang together in the texts and differ within few pairs: Eq. 2 and 3 cannot hold
    # both, Eq. 1 could
    base = world(4000, seed=7, shuffle=False)
    rng = np.random.default_rng(0)
    values, both = base.values.copy(), rng.random((4000, 1)) < 0.5
    values[:, :, 1] = np.where(rng.random((4000, 2)) < 0.04, rng.random((4000, 2)) < 0.5, both)
    values[:, :, 2] = np.where(rng.random((4000, 2)) < 0.04, rng.random((4000, 2)) < 0.5, both)
    noise = rng.normal(size=(2, 4000, 2))
    rewards = (
        np.stack([values @ (0.3, 0.5, 0.9, 0.8, -0.2, 0.1), values @ (1.2, 0.9, 0.2, 0.4, 0.5, 0.6)]) + noise
    )
    rewards = rewards.astype(np.float32).astype(np.float64)
    return World(*frames(values, rewards), values, rewards)


def test_every_equation_has_the_same_features(w: World) -> None:
    results = analysis(w)
    terms = {
        name: set(results.tables[name].filter(~pl.col("term").is_in(["chosen", "intercept"]))["term"])
        for name in ("imprint", "imprint_chosen", "shift", "resistance")
    }
    assert len({frozenset(t) for t in terms.values()}) == 1
    gone = set(TERMS) - terms["imprint"]
    assert gone
    vif = results.tables["vif"].filter(pl.col("term").is_in(list(gone)))
    assert set(vif["equation"]) == set(terms)
    assert not vif["kept"].any()
    d = w.values[:, 0] - w.values[:, 1]
    assert np.max(np.diag(d.T @ d) * np.diag(np.linalg.inv(d.T @ d))) < 5  # Eq. 1 alone would keep all
    for reason in vif.filter(equation="imprint")["reason"]:
        assert reason.endswith(" in shift")


def test_what_was_dropped_is_tested_jointly(w: World) -> None:
    results = analysis(w)
    kept = results.tables["imprint"].filter(model="post")["term"].to_list()
    d, margins = w.values[:, 0] - w.values[:, 1], w.rewards[:, :, 0] - w.rewards[:, :, 1]
    at = [j for j, t in enumerate(TERMS) if t not in kept]
    found = results.tables["tests"].filter(test="dropped_block")
    outcomes = {"pre": margins[0], "post": margins[1], "post-pre": margins[1] - margins[0]}
    assert found["group"].to_list() == [f"{m}: {', '.join(TERMS[j] for j in at)}" for m in outcomes]
    for row, y in zip(found.iter_rows(named=True), outcomes.values(), strict=True):
        test = sm.OLS(y, d).fit(cov_type="HC0").wald_test(np.eye(6)[at], use_f=False, scalar=True)
        assert row["statistic"] == pytest.approx(test.statistic, rel=1e-7)
        assert row["p_value"] == pytest.approx(test.pvalue, rel=1e-5)
        assert row["n"] == 4000


def test_an_exact_repeat_alone_is_no_block(w: World) -> None:
    base = world(1000, seed=3, shuffle=False)
    values = base.values.copy()
    values[:, :, 3] = values[:, :, 1]
    scores, labels, texts = frames(values, base.rewards)
    results = analysis(World(scores, labels, texts, values, base.rewards))
    assert "last_response_is_helpful" not in results.tables["imprint"]["term"].to_list()
    assert results.tables["tests"].filter(test="dropped_block").height == 0
