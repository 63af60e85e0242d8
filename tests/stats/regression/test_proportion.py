"""Whether r = k h: against a general optimiser, both ways round, and its size under the hypothesis."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from seal.stats.regression.proportion import proportion

Floats = NDArray[np.float64]


def covariance_of(k: int, seed: int) -> Floats:
    root = np.random.default_rng(seed).normal(size=(3 * k, 2 * k)) / np.sqrt(3 * k)
    return np.asarray(0.01 * root.T @ root)


def test_the_distance_is_the_least_over_factor_and_coefficients() -> None:
    rng = np.random.default_rng(0)
    v = covariance_of(5, 1)
    h, r = rng.normal(size=5), rng.normal(size=5)
    weight = np.linalg.inv(v)

    def distance(at: Floats) -> float:
        gap = np.concatenate([h - at[1:], r - at[0] * at[1:]])
        return float(gap @ weight @ gap)

    starts = [np.concatenate([[k], h]) for k in (-2.0, -0.5, 0.1, 1.0, 3.0)]
    best = min((minimize(distance, s, method="BFGS", options={"gtol": 1e-8}) for s in starts),
               key=lambda x: float(x.fun))  # fmt: skip
    mine = proportion(h, r, v)
    assert mine is not None
    np.testing.assert_allclose(mine.statistic, best.fun, rtol=1e-6)
    np.testing.assert_allclose(mine.k, best.x[0], rtol=1e-4)
    assert mine.dof == 4
    other = proportion(r, h, v[np.ix_([*range(5, 10), *range(5)], [*range(5, 10), *range(5)])])
    assert other is not None
    np.testing.assert_allclose([other.k, other.statistic], [1 / mine.k, mine.statistic], rtol=1e-4)


def test_exact_multiples_have_no_distance() -> None:
    h = np.array([1.0, -0.5, 0.25])
    for k in (2.0, -3.0, 0.0):
        mine = proportion(h, k * h, covariance_of(3, 2))
        assert mine is not None
        np.testing.assert_allclose([mine.k, mine.statistic], [k, 0.0], atol=1e-5)


def test_size_and_error_of_the_factor() -> None:
    rng, v = np.random.default_rng(3), covariance_of(4, 4)
    h = np.array([0.8, -0.6, 0.3, 0.5])
    root = np.linalg.cholesky(v)
    found = []
    for _ in range(400):
        h1, r1 = np.split(np.concatenate([h, 1.5 * h]) + root @ rng.normal(size=8), 2)
        one = proportion(h1, r1, v)
        assert one is not None
        found.append((one.p_value < 0.05, (one.k - 1.5) / one.std_error))
    rejected, z = np.array(found).T
    # 20 of 400 expected; their standard error is 4.4, so four of them either way
    assert 3 <= rejected.sum() <= 38
    assert np.std(z) == pytest.approx(1, abs=0.15)


def test_sides_that_rest_on_the_same_numbers_say_nothing() -> None:
    v = covariance_of(2, 5)[:2, :2]
    assert proportion(np.ones(2), np.ones(2), np.block([[v, v], [v, v]])) is None


def test_one_coefficient_is_always_a_multiple() -> None:
    mine = proportion(np.array([0.5]), np.array([1.0]), np.diag([0.01, 0.04]))
    assert mine is not None
    np.testing.assert_allclose([mine.k, mine.std_error], [2.0, np.sqrt((0.04 + 4 * 0.01) / 0.25)], rtol=1e-5)
    assert mine.dof == 0
    assert np.isnan(mine.p_value)
