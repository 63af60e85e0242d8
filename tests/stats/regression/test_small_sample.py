"""HC2 and CR2 with Satterthwaite's degrees of freedom against their definitions on n x n matrices."""

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from seal.stats.regression import linear, small_sample
from seal.stats.regression.cells import Cells, grouped

Floats = NDArray[np.float64]


def drawn(
    n: int, k: int, seed: int = 0, clusters: int | None = None, dense: bool = True
) -> tuple[Cells, Floats, Floats]:
    """Cells of ternary columns and (with `dense`) one in large units, their design and outcome."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 2, (n, k - dense)).astype(np.int8)
    last = rng.normal(size=(n, int(dense))) * 1000
    x = np.concatenate([codes, last], axis=1)
    y = rng.normal(size=n) * (1 + np.abs(x[:, 0]))
    ids = None if clusters is None else rng.integers(0, clusters, n)
    if ids is not None:
        ids[: n // 3] = 0  # one cluster is large
    one = np.ones(n)
    return Cells(codes, last, {"y": one}, {"y": y}, {"y": y * y}, ids), x, y


def fitted(cells: Cells, k: int, intercept: bool) -> tuple[linear.Fit, small_sample.Data]:
    fit = linear.least_squares(cells, "y", range(k), intercept=intercept, robust="HC0")
    return fit, small_sample.Data(cells, "y", range(k), intercept, fit.estimate, fit.bread)


@pytest.mark.parametrize("intercept", [False, True])
def test_hc2_and_its_degrees_of_freedom_by_definition(intercept: bool) -> None:
    cells, x, y = drawn(40, 4)
    x = sm.add_constant(x) if intercept else x
    _, data = fitted(cells, 4, intercept)
    std_error, dof = small_sample.adjusted(data, [0, 2, 3])
    np.testing.assert_allclose(std_error, sm.OLS(y, x).fit(cov_type="HC2").bse[[0, 2, 3]], rtol=1e-9)
    bread = np.linalg.inv(x.T @ x)
    rest = np.eye(40) - x @ bread @ x.T
    for j, value in zip((0, 2, 3), dof, strict=True):
        root = np.diag(np.abs(x @ bread[:, j]) / np.sqrt(np.diag(rest)))
        matrix = root @ rest @ root
        assert value == pytest.approx(np.trace(matrix) ** 2 / np.sum(matrix**2), rel=1e-9)


@pytest.mark.parametrize("intercept", [False, True])
def test_cr2_and_its_degrees_of_freedom_by_definition(intercept: bool) -> None:
    cells, x, y = drawn(60, 3, clusters=9)
    x = sm.add_constant(x) if intercept else x
    assert cells.cluster is not None
    _, data = fitted(cells, 3, intercept)
    bread = np.linalg.inv(x.T @ x)
    hat = x @ bread @ x.T
    residual, p = y - hat @ y, x.shape[1]
    covariance, parts = np.zeros((p, p)), np.zeros((9, 60, p))
    for g in range(9):
        at = np.flatnonzero(cells.cluster == g)
        bend = np.linalg.inv(np.real(sqrtm(np.eye(len(at)) - hat[np.ix_(at, at)])))
        score = bread @ x[at].T @ bend @ residual[at]
        covariance += np.outer(score, score)
        parts[g][at] = bend @ x[at] @ bread
    std_error, dof = small_sample.adjusted(data, range(p))
    np.testing.assert_allclose(std_error, np.sqrt(np.diag(covariance)), rtol=1e-8)
    for j in range(p):
        matrix = parts[:, :, j] @ (np.eye(60) - hat) @ parts[:, :, j].T
        assert dof[j] == pytest.approx(np.trace(matrix) ** 2 / np.sum(matrix**2), rel=1e-8)


def test_clusters_of_one_pair_give_hc2() -> None:
    cells, _, _ = drawn(50, 4)
    alone = Cells(cells.codes, cells.dense, cells.counts, cells.sums, cells.squares, np.arange(50))
    for mine, theirs in zip(
        small_sample.adjusted(fitted(alone, 4, False)[1], range(4)),
        small_sample.adjusted(fitted(cells, 4, False)[1], range(4)),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)


@pytest.mark.parametrize("clusters", [None, 12])
def test_collapsed_pairs_give_the_same(clusters: int | None) -> None:
    cells, _, _ = drawn(90, 2, clusters=clusters, dense=False)
    whole = grouped(cells)
    assert len(whole.codes) < 90
    for mine, theirs in zip(
        small_sample.adjusted(fitted(whole, 2, True)[1], range(3)),
        small_sample.adjusted(fitted(cells, 2, True)[1], range(3)),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)


@pytest.mark.parametrize("clusters", [None, 5])
def test_what_is_fitted_to_one_pair_or_cluster_alone_has_no_error(clusters: int | None) -> None:
    cells, _, _ = drawn(60, 3, clusters=clusters, dense=False)
    codes = cells.codes.copy()
    codes[:, 2] = 0
    codes[7, 2] = 1
    alone = Cells(codes, cells.dense, cells.counts, cells.sums, cells.squares, cells.cluster)
    std_error, dof = small_sample.adjusted(fitted(alone, 3, False)[1], range(3))
    assert np.isnan([std_error[2], dof[2]]).all()
    assert np.isfinite([*std_error[:2], *dof[:2]]).all()


def flags(cells: Cells, k: int, informative: float = np.inf) -> list[bool]:
    return list(map(bool, small_sample.strained(fitted(cells, k, False)[1], [informative] * k)))


def test_the_rule_goes_by_leverage_regressors_and_pairs_in_effect() -> None:
    assert flags(drawn(4000, 3)[0], 3) == [False] * 3
    assert flags(drawn(4000, 3)[0], 3, informative=29) == [True] * 3
    assert flags(drawn(149, 3)[0], 3) == [True] * 3  # over one regressor for 50 pairs
    cells = drawn(4000, 3)[0]
    heavy = cells.dense.copy()
    heavy[:4] *= 100  # four pairs carry the covariate
    cells = Cells(cells.codes, heavy, cells.counts, cells.sums, cells.squares)
    assert flags(cells, 3) == [False, False, True]


def test_alike_clusters_keep_cr1_and_one_that_dominates_does_not() -> None:
    cells, _, _ = drawn(4000, 3)
    even = np.arange(4000) % 50
    parts = (cells.codes, cells.dense, cells.counts, cells.sums, cells.squares)
    assert flags(Cells(*parts, even), 3) == [False] * 3
    uneven = np.where(np.arange(4000) < 1500, 0, even)
    assert flags(Cells(*parts, uneven), 3) == [True] * 3
    many = np.where(np.arange(4000) < 1500, 0, np.arange(4000))
    assert flags(Cells(*parts, many), 3) == [True] * 3  # of more clusters than are held as well


def rare(n: int, seed: int, pairs: int = 9) -> Cells:
    """Pairs in clusters of two, three columns common and the last in a few pairs only."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 2, (n, 4)).astype(np.int8)
    codes[:, 3] = 0
    codes[rng.choice(n, pairs, replace=False), 3] = rng.choice([-1, 1], pairs)
    y, one = rng.normal(size=n) + np.repeat(rng.normal(size=n // 2), 2), np.ones(n)
    return Cells(codes, np.empty((n, 0)), {"y": one}, {"y": y}, {"y": y * y}, np.arange(n) // 2)


def test_of_many_clusters_the_weightiest_give_what_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = rare(1000, 0)
    whole = small_sample.adjusted(fitted(cells, 4, False)[1], [3])
    monkeypatch.setattr(small_sample, "CLUSTERS", 40)
    data = fitted(cells, 4, False)[1]
    assert list(small_sample.strained(data, [np.inf] * 4)) == [False, False, False, True]
    assert len(data.cluster_sums.gram) == 40
    for mine, theirs in zip(small_sample.adjusted(data, [3]), whole, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3)


@pytest.mark.slow
def test_a_rare_feature_in_many_clusters_is_covered() -> None:
    # CR1 with t(G - 1) covers 0.90 here
    held = []
    for seed in range(400):
        found = linear.fitted_rows(
            rare(6000, seed), "y", range(4), list("abcd"), [np.inf] * 4,
            intercept=False, robust="HC0", level=0.95, scarce="",
        )  # fmt: skip
        held.append(float(str(found.rows[3]["conf_low"])) <= 0 <= float(str(found.rows[3]["conf_high"])))
    assert 0.93 <= np.mean(held) <= 0.98


def test_rows_say_where_care_was_taken() -> None:
    cells, x, y = drawn(80, 4)
    names = list("abcd")
    found = linear.fitted_rows(
        cells, "y", range(4), names, [60.0, 60, 9, 60],
        intercept=False, robust="HC0", level=0.95, scarce="pairs for",
    )  # fmt: skip
    theirs = sm.OLS(y, x).fit(cov_type="HC2").bse
    np.testing.assert_allclose([float(str(r["std_error"])) for r in found.rows], theirs, rtol=1e-9)
    done = "HC2 standard error and Satterthwaite degrees of freedom"
    assert found.notes == [
        f"fewer than 30 pairs for c: {done} there", f"80 pairs for 4 coefficients: {done} for every one"
    ]  # fmt: skip


def test_outcomes_of_the_same_pairs_share_what_clusters_weigh_and_others_do_not() -> None:
    cells, _, y = drawn(200, 3, clusters=20)
    some = np.arange(200) % 5 > 0
    counts = {"y": np.ones(200), "same": np.ones(200), "fewer": some.astype(float)}
    sums = {"y": y, "same": y**3, "fewer": y * some}
    squares = {name: value**2 for name, value in sums.items()}
    together = Cells(cells.codes, cells.dense, counts, sums, squares, cells.cluster)
    for outcome in ("y", "same", "fewer", "y"):
        fit = linear.least_squares(together, outcome, range(3), intercept=True, robust="HC0")
        kept = small_sample.Data(together, outcome, range(3), True, fit.estimate, fit.bread).shares
        alone = Cells(cells.codes, cells.dense, counts, sums, squares, cells.cluster)
        own = small_sample.Data(alone, outcome, range(3), True, fit.estimate, fit.bread).shares
        np.testing.assert_array_equal(kept, own)
    assert len(together.shares) == 1
