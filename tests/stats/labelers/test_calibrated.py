"""Correction by calibration: against the formulas pair by pair, an instrument, and planted truth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.label_error_worlds import BETA, difference, label, world
from seal.stats.labelers.calibrated import calibrated, calibration, hausman, refusal, smallest_singular_value
from seal.stats.labelers.rectified import GoldSample, least_squares_influence, rectified
from seal.stats.regression.influence import Influence, Scores
from seal.stats.regression.separation import NoFit

Floats = NDArray[np.float64]


def naive(v: Floats, y: Floats, gold: NDArray[np.int64]) -> Influence:
    """The fit on all pairs, each a cluster of its own."""
    bread = np.linalg.inv(v.T @ v)
    c = bread @ v.T @ y
    zeta = v * (y - v @ c)[:, None]
    return Influence(c, bread, Scores(zeta.T @ zeta, zeta[gold]))


def drawn(n: int, seed: int) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2, 3)) < 0.4
    d, v = (a[:, 0].astype(float) - a[:, 1] for a in (x, x ^ (rng.random(x.shape) < 0.1)))
    return d, v, d @ [1.0, -0.5, 0.8] + rng.normal(size=n)


@pytest.mark.parametrize("weighted", [False, True])
def test_calibrated_is_the_specification_pair_by_pair(weighted: bool) -> None:
    d, v, y = drawn(250, 1)
    rng = np.random.default_rng(2)
    pi = np.where(v[:, 0] != 0, 0.6, 0.2) if weighted else np.full(250, 0.3)
    gold = np.flatnonzero(rng.random(250) < pi)
    w = {int(i): 1 / pi[i] for i in gold}
    inner = np.linalg.inv(sum(w[i] * np.outer(v[i], v[i]) for i in w))
    loading = inner @ sum(w[i] * np.outer(v[i], d[i]) for i in w)
    bread = np.linalg.inv(sum(np.outer(v[i], v[i]) for i in range(250)))
    c = bread @ sum(v[i] * y[i] for i in range(250))
    beta = np.linalg.solve(loading, c)
    covariance = np.zeros((3, 3))
    for i in range(250):
        psi = bread @ v[i] * (y[i] - v[i] @ c)
        if i in w:
            missed = d[i] @ beta - v[i] @ loading @ beta
            psi = psi - inner @ v[i] * w[i] * missed / np.sqrt(1 - w[i] * v[i] @ inner @ v[i])
        psi = np.linalg.solve(loading, psi)
        covariance += np.outer(psi, psi)
    found = calibrated(d[gold], v[gold], naive(v, y, gold), GoldSample.of(pi[gold]))
    np.testing.assert_allclose(found.estimate, beta, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        smallest_singular_value(d[gold], v[gold], np.array(list(w.values()))), np.linalg.svd(loading)[1][-1]
    )


def test_with_gold_everywhere_it_is_the_labeler_as_instrument() -> None:
    d, v, y = drawn(400, 3)
    found = calibrated(d, v, naive(v, y, np.arange(400)), GoldSample.of(np.ones(400)))
    np.testing.assert_allclose(found.estimate, np.linalg.solve(v.T @ d, v.T @ y))


def test_hausman_is_the_quadratic_form_of_the_differences_of_influences() -> None:
    d, v, y = drawn(2000, 4)
    gold = np.random.default_rng(5).choice(2000, 300, replace=False)
    sample, everyone = GoldSample.of(np.full(300, 0.15)), naive(v, y, gold)
    first = rectified(
        *least_squares_influence(d[gold], y[gold]), *least_squares_influence(v[gold], y[gold]),
        everyone, sample, 3,
    )  # fmt: skip
    second = calibrated(d[gold], v[gold], everyone, sample)
    zeta = v * (y - v @ everyone.estimate)[:, None]
    psi = zeta @ (first.loading - second.loading).T
    assert first.own is not None
    assert second.own is not None
    psi[gold] += first.own - second.own
    apart = first.estimate - second.estimate
    statistic, p_value, dof = hausman(first, second)
    assert statistic == pytest.approx(apart @ np.linalg.solve(psi.T @ psi, apart))
    assert dof == 3
    assert 0 < p_value < 1
    assert hausman(first, first)[2] == 0


def test_errors_that_follow_the_reward_are_found_out_and_others_are_not() -> None:
    found = {}
    for differential in (0.0, 0.3):
        rng = np.random.default_rng(6)
        x, residual, y = world(8000, rng)
        v = difference(label(x, residual, rng, differential=differential))
        d, gold = difference(x), rng.choice(8000, 1000, replace=False)
        sample, everyone = GoldSample.of(np.full(1000, 0.125)), naive(v, y, gold)
        first = rectified(
            *least_squares_influence(d[gold], y[gold]), *least_squares_influence(v[gold], y[gold]),
            everyone, sample, len(BETA),
        )  # fmt: skip
        second = calibrated(d[gold], v[gold], everyone, sample)
        found[differential] = hausman(first, second)[1]
    assert found[0.0] > 0.1  # one draw; 98% power against even a third of this at so many gold pairs
    assert found[0.3] < 0.001


def test_a_labeler_that_says_little_is_refused() -> None:
    rng = np.random.default_rng(7)
    d, noise = rng.integers(-1, 2, (2, 500, 2)).astype(float)
    blind = np.column_stack([d[:, 0], noise[:, 1]])
    weak = smallest_singular_value(d, blind)
    assert weak < 0.2
    assert "too little" in str(refusal(0.5, weak))
    assert "follow the reward" in str(refusal(0.02, 0.8))
    assert refusal(0.5, 0.8) is None
    length = 1000 * rng.normal(size=500)  # a covariate of another unit changes nothing
    both = [np.column_stack([z, length]) for z in (d, blind)]
    assert smallest_singular_value(*both) == pytest.approx(weak, abs=0.1)


def test_a_labeler_that_says_nothing_has_no_calibration() -> None:
    d = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    v = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    np.testing.assert_allclose(calibration(d, v), 0.0)
    with pytest.raises(NoFit, match="nothing to calibrate"):
        calibrated(d, v, naive(v, np.arange(4.0), np.arange(4)), GoldSample.of(np.full(4, 0.5)))
