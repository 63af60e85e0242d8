"""The logit on cells against statsmodels, separation, Firth's correction against its closed form."""

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import chi2

from seal.stats.regression import logit
from seal.stats.regression.cells import Cells
from seal.stats.regression.logit import fit_logit
from seal.stats.regression.separation import NoFit, find_separation


def cells_of(
    x: NDArray[np.float64], y: NDArray[np.float64], *, dense: int = 0, collapse: bool = True
) -> Cells:
    """Rows as cells: integers as codes, the last `dense` columns as covariates."""
    codes = x[:, : x.shape[1] - dense].astype(np.int8)
    rest = np.ascontiguousarray(x[:, x.shape[1] - dense :])
    n = np.ones(len(y))
    if collapse and not dense:
        codes, at = np.unique(codes, axis=0, return_inverse=True)
        n, y = np.bincount(at.ravel()).astype(float), np.bincount(at.ravel(), weights=y)
        rest = np.empty((len(codes), 0))
    return Cells(codes, rest, {"y": n}, {"y": y}, {"y": y})


def drawn(n: int, seed: int, dense: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [rng.random((n, 3)) < [0.5, 0.3, 0.8], rng.integers(-1, 2, n), rng.normal(2, 30, (n, dense))]
    )
    eta = x @ np.array([1.0, -0.7, 0.3, 0.5, *[0.02] * dense]) - 0.4
    return x.astype(np.float64), (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(np.float64)


@pytest.mark.parametrize("dense", [0, 2])
def test_estimates_errors_and_effects_are_statsmodels(dense: int) -> None:
    x, y = drawn(5000, 1, dense)
    fit = fit_logit(cells_of(x, y, dense=dense), "y", range(x.shape[1]))
    theirs = sm.Logit(y, sm.add_constant(x)).fit(cov_type="HC1", disp=0, tol=1e-12)
    margins = theirs.get_margeff()
    assert fit.estimate == pytest.approx(theirs.params, abs=1e-8)
    assert fit.std_error == pytest.approx(theirs.bse, rel=1e-6)
    assert fit.ame[1:] == pytest.approx(margins.margeff, rel=1e-6)
    assert fit.ame_std_error[1:] == pytest.approx(margins.margeff_se, rel=1e-6)
    assert np.exp(fit.estimate) == pytest.approx(np.exp(theirs.params), rel=1e-6)
    assert fit.separated == ()


def test_clustered_errors_are_statsmodels() -> None:
    x, y = drawn(3000, 2)
    groups = np.random.default_rng(0).integers(0, 40, 3000)
    cells = cells_of(x, y, collapse=False)
    clustered = Cells(cells.codes, cells.dense, cells.counts, cells.sums, cells.squares, groups)
    fit = fit_logit(clustered, "y", range(4))
    theirs = sm.Logit(y, sm.add_constant(x)).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, disp=0, tol=1e-12
    )
    assert fit.std_error == pytest.approx(theirs.bse, rel=1e-6)


def test_a_perfect_predictor_is_found_and_corrected() -> None:
    # one binary regressor: Firth's estimate is that of the table with one half added to each cell
    x = np.repeat([[0.0], [1.0]], [40, 25], axis=0)
    y = np.concatenate([np.repeat([1.0, 0.0], [12, 28]), np.ones(25)])
    cells = cells_of(x, y)
    assert find_separation(cells, "y", [0]) == [1]
    fit = fit_logit(cells, "y", [0])
    a, b, c, d = 25.5, 0.5, 12.5, 28.5
    assert fit.estimate[1] == pytest.approx(np.log(a * d / (b * c)), abs=1e-8)
    assert fit.estimate[0] == pytest.approx(np.log(c / d), abs=1e-8)
    assert fit.std_error[1] == pytest.approx(np.sqrt(_variance()), rel=1e-6)
    profile = fit.profile[1]
    assert 0 < profile.p_value < 1e-6
    assert profile.low is not None
    assert profile.high is not None
    for limit, below in ((profile.low, True), (profile.high, False)):
        assert (limit < fit.estimate[1]) == below
        assert _deviance(limit) == pytest.approx(3.841458820694124, abs=1e-4)
    assert profile.p_value == pytest.approx(chi2.sf(_deviance(0.0), 1), rel=1e-6)


def _deviance(slope: float) -> float:
    """Twice the fall of the penalised likelihood of the table above with its slope held, by brute force."""

    def value(a: float, b: float) -> float:
        p, q = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-a - b))
        likelihood = 12 * np.log(p) + 28 * np.log(1 - p) + 25 * np.log(q)
        return float(likelihood + 0.5 * np.log(40 * p * (1 - p) * 25 * q * (1 - q)))

    held = minimize_scalar(
        lambda a: -value(a, slope), bounds=(-20, 20), method="bounded", options={"xatol": 1e-10}
    )
    top = value(np.log(12.5 / 28.5), np.log(25.5 * 28.5 / (0.5 * 12.5)))
    return 2 * (top + float(held.fun))


def _variance() -> float:
    """The inverse information at Firth's estimate: sum of 1 / (n p (1 - p)) over the two groups."""
    return sum(1 / (n * p * (1 - p)) for n, p in ((25, 25.5 / 26), (40, 12.5 / 41)))


def test_quasi_separation_in_a_direction_of_several_columns() -> None:
    # x1 - x2 > 0 always gives 1: neither column separates alone
    rng = np.random.default_rng(4)
    x = (rng.random((400, 3)) < 0.5).astype(np.float64)
    y = (rng.random(400) < 0.5).astype(np.float64)
    up, down = (x[:, 0] == 1) & (x[:, 1] == 0), (x[:, 0] == 0) & (x[:, 1] == 1)
    y[up], y[down] = 1, 0
    found = find_separation(cells_of(x, y), "y", range(3))
    assert {1, 2} <= set(found)
    fit = fit_logit(cells_of(x, y), "y", range(3))
    assert np.all(np.isfinite(fit.estimate))
    assert np.all(np.isfinite(fit.std_error))


@pytest.mark.parametrize("seed", range(5))
def test_no_separation_is_seen_where_there_is_none(seed: int) -> None:
    x, y = drawn(400, seed, dense=2)
    assert find_separation(cells_of(x, y, dense=2), "y", range(x.shape[1])) == []


def test_separation_by_a_covariate_among_many_rows() -> None:
    # more rows than one linear programme takes at once: cutting planes
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.random(6000) < 0.5, rng.normal(size=(6000, 2))]).astype(np.float64)
    y = (x[:, 1] > 0.3).astype(np.float64)
    assert 2 in find_separation(cells_of(x, y, dense=2), "y", range(3))
    y[np.argmax(x[:, 1])] = 0  # one exception far out ends it
    y[np.argmin(x[:, 1])] = 1
    assert find_separation(cells_of(x, y, dense=2), "y", range(3)) == []


def test_firth_score_is_zero_at_the_estimate() -> None:
    x, y = drawn(60, 7)
    data = logit.Data(cells_of(x, y), "y", range(4))
    b, _ = logit.newton(data, firth=True)
    assert logit.derivatives(data, b, firth=True)[1] == pytest.approx(np.zeros(5), abs=1e-7)
    rows = sm.add_constant(x)
    mu = 1 / (1 + np.exp(-rows @ b))
    w = mu * (1 - mu)
    hat = np.einsum("ij,jk,ik->i", rows, np.linalg.inv((rows * w[:, None]).T @ rows), rows) * w
    assert rows.T @ (y - mu + hat * (0.5 - mu)) == pytest.approx(np.zeros(5), abs=1e-7)


def test_refusals_say_why() -> None:
    x, _ = drawn(50, 0)
    with pytest.raises(NoFit, match="never met in 50 pairs"):
        fit_logit(cells_of(x, np.zeros(50)), "y", range(4))
    with pytest.raises(NoFit, match="always met"):
        fit_logit(cells_of(x, np.ones(50)), "y", range(4))
    with pytest.raises(NoFit, match="3 pairs do not identify 5 coefficients"):
        fit_logit(cells_of(x[:3], np.array([0.0, 1, 0])), "y", range(4))


def test_few_pairs_that_all_features_separate_take_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 pairs of 20 features: every limit is where the profile says, and is found without walking about."""
    rng = np.random.default_rng(3)
    x = rng.integers(-1, 2, (60, 20)).astype(np.float64)
    y = (x @ rng.normal(size=20) > 0).astype(np.float64)
    n_steps, derivatives = 0, logit.derivatives

    def counted(*data: Any, **how: Any) -> Any:
        nonlocal n_steps
        n_steps += 1
        return derivatives(*data, **how)

    monkeypatch.setattr(logit, "derivatives", counted)
    fit = fit_logit(cells_of(x, y, collapse=False), "y", range(20))
    assert len(fit.profile) == 20
    assert n_steps < 20 * 350  # a search that begins each time from afar takes 600 and more a feature
    data = logit.Data(cells_of(x, y, collapse=False), "y", range(20))
    top = derivatives(data, fit.estimate, firth=True)[0]
    for j, limits in fit.profile.items():
        for limit in (limits.low, limits.high):
            assert limit is not None
            start = fit.estimate.copy()
            start[j] = limit
            held, _ = logit.newton(data, firth=True, start=start, fixed=j)
            fallen = 2 * (top - derivatives(data, held, firth=True)[0])
            assert fallen >= chi2.isf(0.05, 1) - 1e-3  # not less: a higher maximum would lie further out
