"""Correction by gold pairs: against the formulas written out pair by pair, ppi-python, and planted truth."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seal.stats.labelers.rectified import (
    GoldSample,
    gold_only,
    least_squares_influence,
    logit_influence,
    projection,
    rectified,
    slope,
)
from seal.stats.regression.influence import Influence, Scores
from seal.stats.regression.separation import NoFit
from tests.data.ppi_oracle import outcome_case, regressor_case

ORACLE: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data/ppi_oracle.json").read_text(encoding="utf-8")
)
Floats = NDArray[np.float64]


def everyone(v: Floats, y: Floats, cluster: NDArray[np.int64], at: NDArray[np.int64]) -> Influence:
    """The naive fit on all pairs, its scores v (y - v'c), by cluster; `at` are the gold clusters."""
    bread = np.linalg.inv(v.T @ v)
    c = bread @ v.T @ y
    zeta = v * (y - v @ c)[:, None]
    by_cluster = np.stack([zeta[cluster == g].sum(axis=0) for g in range(cluster.max() + 1)])
    return Influence(c, bread, Scores(by_cluster.T @ by_cluster, by_cluster[at]))


def drawn(n: int, k: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """True differences, a labeler's, and an outcome."""
    x = rng.random((n, 2, k)) < 0.4
    wrong = rng.random(x.shape) < 0.1
    d, v = (a[:, 0].astype(float) - a[:, 1] for a in (x, x ^ wrong))
    y = d @ np.linspace(-1, 1.5, k) + rng.normal(size=n) * (1 + np.abs(d[:, 0]))
    return d, v, y


def by_hand(
    d: Floats, v: Floats, y: Floats, gold: list[int], pi: Floats, cluster: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Estimate and covariance, every pair in a loop, in the notation of the specification."""
    n, k, m = len(y), d.shape[1], len(gold)
    total = sum(1 / pi[i] for i in gold)
    w = {i: 1 / pi[i] / total for i in gold}

    def fit(z: Floats) -> tuple[Floats, dict[int, Floats]]:
        b = np.linalg.inv(sum(w[i] * np.outer(z[i], z[i]) for i in gold))
        c = b @ sum(w[i] * z[i] * y[i] for i in gold)
        return c, {i: b @ z[i] * (y[i] - z[i] @ c) / np.sqrt(1 - w[i] * z[i] @ b @ z[i]) for i in gold}

    (b_g, phi), (c_g, xi) = fit(d), fit(v)
    bread = np.linalg.inv(sum(np.outer(v[i], v[i]) for i in range(n)))
    c_a = bread @ sum(v[i] * y[i] for i in range(n))
    q = {i: w[i] ** 2 * (1 - pi[i]) for i in gold}
    p = sum(q[i] * np.outer(phi[i], xi[i]) for i in gold) @ np.linalg.inv(
        sum(q[i] * np.outer(xi[i], xi[i]) for i in gold)
    )
    psi = np.zeros((cluster.max() + 1, k))
    for i in range(n):
        psi[cluster[i]] += p @ bread @ v[i] * (y[i] - v[i] @ c_a)
    for i in gold:
        psi[cluster[i]] += m / (m - k) * w[i] * (phi[i] - p @ xi[i])
    return b_g - p @ (c_g - c_a), sum(np.outer(row, row) for row in psi)


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("size", [1, 3])
def test_rectified_is_the_specification_pair_by_pair(stratified: bool, size: int) -> None:
    rng = np.random.default_rng(size)
    d, v, y = drawn(300, 4, rng)
    pi = np.where(v[:, 1] != 0, 0.5, 0.15) if stratified else np.full(300, 0.25)
    gold = np.flatnonzero(rng.random(300) < pi)
    cluster = np.arange(300) // size
    at, place = np.unique(cluster[gold], return_inverse=True)
    sample = GoldSample.of(pi[gold], place)
    found = rectified(
        *least_squares_influence(d[gold], y[gold], sample.weight),
        *least_squares_influence(v[gold], y[gold], sample.weight),
        everyone(v, y, cluster, at), sample, 4,
    )  # fmt: skip
    estimate, covariance = by_hand(d, v, y, [int(i) for i in gold], pi, cluster)
    np.testing.assert_allclose(found.estimate, estimate, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-10)


def test_where_every_pair_is_gold_the_labeler_says_nothing_more() -> None:
    rng = np.random.default_rng(4)
    d, v, y = drawn(200, 3, rng)
    sample = GoldSample.of(np.ones(200))
    truth, proxy = least_squares_influence(d, y), least_squares_influence(v, y)
    found = rectified(*truth, *proxy, everyone(v, y, np.arange(200), np.arange(200)), sample, 3)
    np.testing.assert_allclose(found.estimate, np.linalg.lstsq(d, y)[0])
    hc2 = truth[1].T @ truth[1] * (200 / 197) ** 2
    np.testing.assert_allclose(found.covariance, hc2)


def test_pairs_taken_for_sure_do_not_enter_the_projection() -> None:
    rng = np.random.default_rng(5)
    phi, xi = rng.normal(size=(2, 50, 3))
    sure = np.arange(50) < 20
    p = projection(phi, xi, np.where(sure, 1.0, 0.3))
    np.testing.assert_allclose(p, np.linalg.lstsq(xi[20:], phi[20:])[0].T)
    xi[:, 2] = 0.0  # a direction in which the proxy never varies
    flat = projection(phi, xi, np.full(50, 0.3))
    np.testing.assert_allclose(flat[:, 2], 0.0)


def test_least_squares_has_the_errors_of_hc2() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(6)
    x, y, w = rng.normal(size=(80, 3)), rng.normal(size=80), rng.uniform(0.5, 2, 80)
    for weight in (None, w):
        oracle = sm.WLS(y, x, weights=np.ones(80) if weight is None else weight).fit(cov_type="HC2")
        estimate, influence = least_squares_influence(x, y, weight)
        np.testing.assert_allclose(estimate, oracle.params)
        np.testing.assert_allclose(influence.T @ influence, oracle.cov_params(), rtol=1e-9)


def test_logit_is_the_binomial_model_and_its_influences_leave_one_out() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(7)
    x = np.column_stack([np.ones(400), rng.normal(size=(400, 2))])
    y = (rng.random(400) < 1 / (1 + np.exp(-x @ [0.3, 1.0, -0.5]))).astype(float)
    w = rng.uniform(0.5, 2, 400)
    estimate, influence = logit_influence(x, y, w)
    oracle = sm.GLM(y, x, family=sm.families.Binomial(), freq_weights=w).fit(tol=1e-12)
    np.testing.assert_allclose(estimate, oracle.params, atol=1e-8)
    for i in range(5):  # one row less moves the estimate by its influence, up to terms of 1/m^2
        rest = np.arange(400) != i
        moved = estimate - logit_influence(x[rest], y[rest], w[rest])[0]
        np.testing.assert_allclose(influence[i], moved, atol=2e-4, rtol=0.03)


def test_the_scale_of_weights_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    x, w = rng.normal(size=(60, 2)), rng.uniform(1, 2, 60)
    for fit, y in ((least_squares_influence, rng.normal(size=60)), (logit_influence, rng.random(60))):
        for a, b in zip(fit(x, y, w), fit(x, y, 100 * w), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


def test_gold_that_cannot_be_fitted_is_refused_with_the_reason() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(30, 2))
    with pytest.raises(NoFit, match="2 gold pairs do not identify 2"):
        least_squares_influence(x[:2], x[:2, 0])
    with pytest.raises(NoFit, match="repeat one another"):
        least_squares_influence(np.column_stack([x, x[:, 0]]), x[:, 0])
    with pytest.raises(NoFit, match="never varies"):
        logit_influence(np.column_stack([x, np.zeros(30)]), rng.random(30))
    with pytest.raises(NoFit, match="separate"):
        logit_influence(x, (x[:, 0] > 0).astype(float))
    with pytest.raises(ValueError, match="above 0"):
        GoldSample.of(np.array([0.5, 0.0]))


def test_a_correction_tells_its_gain_and_the_slope_of_the_naive_estimate() -> None:
    rng = np.random.default_rng(10)
    d, v, y = drawn(4000, 3, rng)
    gold = rng.choice(4000, 400, replace=False)
    sample = GoldSample.of(np.full(400, 0.1))
    naive = everyone(v, y, np.arange(4000), gold)
    truth = least_squares_influence(d[gold], y[gold])
    found = rectified(*truth, *least_squares_influence(v[gold], y[gold]), naive, sample, 3)
    alone = gold_only(*truth, naive, sample, 3)
    np.testing.assert_allclose(alone.estimate, truth[0])
    # the labeler is right nine times in ten: its labels must help
    assert (np.diag(alone.covariance) / np.diag(found.covariance) > 1.2).all()
    told = slope(naive.estimate, found.estimate)
    assert told == pytest.approx(naive.estimate @ found.estimate / (found.estimate @ found.estimate))
    assert 0.5 < told < 0.9  # errors of 10% attenuate
    assert np.isnan(slope(np.ones(2), np.zeros(2)))


def test_with_the_identity_for_its_matrix_it_is_prediction_powered_inference() -> None:
    """ppi-python predicts the outcome of known regressors, and takes gold and the others apart."""
    x, y, said = outcome_case()
    m = ORACLE["m"]
    apart = everyone(x[m:], said[m:], np.arange(len(y) - m), np.arange(0))
    others = Influence(apart.estimate, apart.loading, Scores(apart.scores.moment, np.zeros((m, 3))))
    sample = GoldSample.of(np.full(m, m / len(y)))
    truth, proxy = (least_squares_influence(x[:m], z[:m]) for z in (y, said))
    found, oracle = rectified(*truth, *proxy, others, sample, 3, np.eye(3)), ORACLE["outcome"]["untuned"]
    np.testing.assert_allclose(found.estimate, oracle["estimate"], rtol=0, atol=1e-8)
    # 4,000 resamples give an SD to 1.1%; leverages and m / (m - K) add terms of 1 / m
    np.testing.assert_allclose(found.std_error, oracle["bootstrap_std_error"], rtol=0.04)
    found, oracle = (
        rectified(*truth, *proxy, others, sample, 3, np.zeros((3, 3))),
        ORACLE["outcome"]["gold_alone"],
    )
    np.testing.assert_allclose(found.estimate, oracle["estimate"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.std_error, oracle["std_error"], rtol=0.02)
    overlapping = everyone(x, said, np.arange(len(y)), np.arange(m))
    found, oracle = rectified(*truth, *proxy, overlapping, sample, 3), ORACLE["outcome"]["tuned"]
    assert (np.abs(found.estimate - oracle["estimate"]) < 0.5 * found.std_error).all()
    assert (
        found.std_error < 1.05 * np.array(oracle["std_error"])
    ).all()  # a matrix tunes no worse than a number


def test_it_is_predict_then_debias_with_bootstrapped_tuning_and_errors() -> None:
    d, v, y = regressor_case()
    m, oracle = ORACLE["m"], ORACLE["regressors"]
    sample = GoldSample.of(np.full(m, m / len(y)))
    truth, proxy = (least_squares_influence(z[:m], y[:m], sample.weight) for z in (d, v))
    found = rectified(*truth, *proxy, everyone(v, y, np.arange(len(y)), np.arange(m)), sample, 3)
    # 4,000 resamples give an SD to 1.1%; the tuning and small-sample factors differ by terms of 1 / m
    np.testing.assert_allclose(found.std_error, oracle["std_error"], rtol=0.04)
    assert (np.abs(found.estimate - oracle["estimate"]) < 0.1 * found.std_error).all()
    np.testing.assert_allclose(
        projection(truth[1], proxy[1], sample.probability), oracle["tuning"], atol=0.05
    )
