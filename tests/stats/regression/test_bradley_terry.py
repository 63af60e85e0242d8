"""The logit without intercept: statsmodels, blocks, turned pairs, Firth's penalty, separation."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from seal.stats.regression.bradley_terry import Maximum, Observations, find_infinite, maximise
from seal.stats.regression.separation import NoFit

Floats = NDArray[np.float64]


def drawn(n: int, k: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Differences of -1, 0, 1, shares and weights."""
    rng = np.random.default_rng(seed)
    x = (rng.random((n, k)) < 0.4).astype(float) - (rng.random((n, k)) < 0.4)
    share = expit(x @ rng.normal(0, 0.7, k) + rng.normal(size=n))
    return x, share, rng.uniform(0.2, 3.0, n)


def fitted(x: Floats, share: Floats, weight: Floats | None = None, *, penalised: bool = False) -> Maximum:
    part = Observations(x, share, weight)
    return maximise(lambda: iter([[part]]), [x.shape[1]], penalised=[penalised])[0]


def blocks_of(x: Floats, share: Floats, size: int) -> Callable[[], Iterable[Observations]]:
    return lambda: (Observations(x[i : i + size], share[i : i + size]) for i in range(0, len(x), size))


@pytest.mark.parametrize("weighted", [False, True])
def test_estimate_and_information_are_those_of_a_binomial_glm(weighted: bool) -> None:
    x, share, weight = drawn(600, 5, 0)
    w = weight if weighted else np.ones(600)
    glm = sm.GLM(share, x, family=sm.families.Binomial(), var_weights=w).fit(tol=1e-13)
    mine = fitted(x, share, weight if weighted else None)
    np.testing.assert_allclose(mine.estimate, glm.params, rtol=1e-8)
    np.testing.assert_allclose(mine.bread, glm.normalized_cov_params, rtol=1e-6)


def test_choices_are_a_logit_without_intercept_whichever_text_is_called_first() -> None:
    x, share, _ = drawn(500, 4, 1)
    won = (np.random.default_rng(2).random(500) < share).astype(float)
    logit = sm.Logit(won, x).fit(disp=0, tol=1e-12)
    turned = np.where(won[:, None] > 0.5, x, -x)  # the winner first
    for mine in (fitted(x, won), fitted(turned, np.ones(500))):
        np.testing.assert_allclose(mine.estimate, logit.params, rtol=1e-8)


def test_fits_side_by_side_in_blocks_equal_fits_alone() -> None:
    x, share, _ = drawn(400, 3, 3)
    together = maximise(
        lambda: zip(blocks_of(x, share, 90)(), blocks_of(x[:, :1], 1 - share, 90)(), strict=True), [3, 1]
    )
    np.testing.assert_allclose(together[0].estimate, fitted(x, share).estimate, rtol=1e-10)
    np.testing.assert_allclose(together[1].estimate, fitted(x[:, :1], 1 - share).estimate, rtol=1e-10)


def test_units_of_a_regressor_do_not_matter() -> None:
    x, share, _ = drawn(300, 2, 4)
    scaled = fitted(x * np.array([1e6, 1e-6]), share)
    np.testing.assert_allclose(scaled.estimate * [1e6, 1e-6], fitted(x, share).estimate, rtol=1e-8)


def test_columns_that_repeat_one_another_are_refused() -> None:
    x, share, _ = drawn(100, 1, 5)
    with pytest.raises(NoFit, match="singular"):
        fitted(np.column_stack([x, x]), share)


def test_the_penalty_of_one_feature_that_always_wins_has_a_closed_form() -> None:
    # n (1 - p) + (1/2 - p) = 0
    for n in (1, 4, 50):
        mine = fitted(np.ones((n, 1)), np.ones(n), penalised=True)
        p = (n + 0.5) / (n + 1)
        np.testing.assert_allclose(mine.estimate, np.log(p / (1 - p)), rtol=1e-6)


def test_the_penalised_maximum_is_where_a_general_optimiser_finds_it() -> None:
    x, share, _ = drawn(60, 3, 6)
    x[:, 2] = np.arange(60) < 4  # always with the winner
    won = np.where(x[:, 2] > 0, 1.0, (share > 0.5).astype(float))

    def loss(b: Floats) -> float:
        p = expit(x @ b)
        information = (x * (p * (1 - p))[:, None]).T @ x
        value = won @ (x @ b) - np.logaddexp(0, x @ b).sum() + np.linalg.slogdet(information)[1] / 2
        return float(-value)

    best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-7})
    mine = fitted(x, won, penalised=True)
    np.testing.assert_allclose(mine.estimate, best.x, atol=2e-5)  # the optimiser's derivatives are numeric
    part = Observations(x, won)
    np.testing.assert_allclose(x.T @ mine.residual(part), 0, atol=1e-6)


def test_separated_features_are_found_and_one_counterexample_far_down_is_seen() -> None:
    n, k = 30_000, 4
    x, _, _ = drawn(n, k, 7)
    x[:, 3] = 0.0
    x[::1500, 3] = 1.0  # twenty pairs, all won
    walk = blocks_of(x, np.ones(n), 1000)
    assert find_infinite(walk, k) == [3]
    x[28_500, 3] = -1.0
    assert find_infinite(walk, k) == []


def test_a_rare_feature_that_no_sample_holds_is_seen() -> None:
    n, k = 30_000, 3
    x, _, _ = drawn(n, k, 10)
    x[:, 2] = 0.0
    x[[21_003, 24_509], 2] = 1.0
    walk = blocks_of(x, np.ones(n), 5000)
    assert find_infinite(walk, k) == [2]
    x[24_509, 2] = -1.0
    assert find_infinite(walk, k) == []


def test_a_combination_of_features_can_separate() -> None:
    rng = np.random.default_rng(8)
    x = rng.integers(-1, 2, (500, 3)).astype(float)
    x[:, 1] = np.maximum(x[:, 1], -x[:, 0])  # x0 + x1 >= 0 in every pair that was won
    assert find_infinite(blocks_of(x, np.ones(500), 200), 3) == [0, 1]


def test_a_share_between_leaves_no_way_out() -> None:
    x, _, _ = drawn(300, 2, 9)
    won = (x[:, 0] + 0.1 * x[:, 1] > 0).astype(float)
    informative = (x != 0).any(axis=1)
    x, won = x[informative], won[informative]
    assert find_infinite(blocks_of(x, won, 100), 2) == [0, 1]
    won[:2] = 0.5, 0.5
    x[:2] = [[1, 0], [0, 1]]
    assert find_infinite(blocks_of(x, won, 100), 2) == []
