"""Least squares on cells: exact estimates, robust and clustered variance, care for few informative pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import FEW_INFORMATIVE, Floats, Rows, coefficient, inverse

Robust = Literal["HC0", "HC1"]


@dataclass(frozen=True)
class Fit:
    """One regression.

    Attributes:
        estimate: (p,), the intercept first where there is one.
        covariance: (p, p).
        bread: (p, p), the inverse of the cross products.
        n: observations (pairs).
        dof: degrees of freedom of the t distribution that its intervals and p-values use.
    """

    estimate: Floats
    covariance: Floats
    bread: Floats
    n: int
    dof: float

    @property
    def std_error(self) -> Floats:
        """(p,) square roots of the variances."""
        return root_diagonal(self.covariance)


def root_diagonal(covariance: Floats) -> Floats:
    """Standard errors of a covariance matrix."""
    return np.asarray(np.sqrt(np.clip(np.diag(covariance), 0.0, None)), dtype=np.float64)


def cross_products(cells: Cells, outcome: str, columns: Sequence[int], *, intercept: bool) -> Floats:
    """X'X over the pairs that have the outcome, (p, p)."""
    return normal_equations(cells, outcome, columns, intercept=intercept)[0]


def normal_equations(
    cells: Cells, outcome: str, columns: Sequence[int], *, intercept: bool
) -> tuple[Floats, Floats]:
    """X'X (p, p) and X'y (p,) over the pairs that have the outcome."""
    gram = np.zeros((len(columns) + intercept,) * 2)
    moment = np.zeros(len(gram))
    cells = cells.patterns
    for part, x in cells.blocks(columns, intercept=intercept):
        gram += (x * cells.counts[outcome][part, None]).T @ x
        moment += x.T @ cells.sums[outcome][part]
    return gram, moment


def centred(gram: Floats) -> Floats:
    """The cross products of the columns less their means, from X'X whose first column is the intercept.

    A column whose variation is rounding alone comes out as exactly zero.
    """
    n, sums = gram[0, 0], gram[0, 1:]
    out = gram[1:, 1:] - np.outer(sums, sums) / n
    still = np.diag(out) <= 1e-12 * np.diag(gram)[1:]
    out[still, :] = 0.0
    out[:, still] = 0.0
    return np.asarray(out, dtype=np.float64)


def least_squares(
    cells: Cells, outcome: str, columns: Sequence[int], *, intercept: bool, robust: Robust
) -> Fit:
    """Ordinary least squares of an outcome with heteroskedasticity-robust variance.

    Where the cells carry clusters, the variance is CR1: G/(G-1) (n-1)/(n-p) times the clustered sandwich,
    and the t distribution has G - 1 degrees of freedom. Else HC0 with n - 1 (observations are pairs, so this
    is the variance clustered by pair, Eq. 1) or HC1, n/(n-p) times HC0, with n - p.

    Args:
        cells: the data.
        outcome: a key of its sums.
        columns: of the design, ascending.
        intercept: whether a constant comes first.
        robust: without clusters, which variance.

    Raises:
        numpy.linalg.LinAlgError: the cross products are singular.
    """
    gram, moment = normal_equations(cells, outcome, columns, intercept=intercept)
    bread = inverse(gram)
    estimate = bread @ moment
    meat = _meat(cells, outcome, columns, estimate, intercept=intercept)
    n, p = cells.total(outcome), len(gram)
    factor, dof = _correction(cells, outcome, n, p, robust)
    return Fit(estimate, factor * bread @ meat @ bread, bread, n, dof)


def _correction(cells: Cells, outcome: str, n: int, p: int, robust: Robust) -> tuple[float, float]:
    if cells.cluster is not None:
        groups = cells.n_clusters(outcome)
        if groups < 2 or n <= p:
            return float("nan"), float("nan")
        return cells.small_sample(n, p, groups), float(groups - 1)
    if robust == "HC0":
        return 1.0, float(n - 1)
    return (n / (n - p), float(n - p)) if n > p else (float("nan"), float("nan"))


def _meat(cells: Cells, outcome: str, columns: Sequence[int], b: Floats, *, intercept: bool) -> Floats:
    """Sum of squared scores, by pair or by cluster."""
    counts, sums, squares = cells.counts[outcome], cells.sums[outcome], cells.squares[outcome]
    meat = np.zeros((len(b), len(b)))
    scores = ClusterScores(cells.cluster, len(b))
    for part, x in cells.blocks(columns, intercept=intercept):
        fitted = x @ b
        residual = sums[part] - counts[part] * fitted
        if scores.active:
            scores.add(part, x * residual[:, None])
        else:
            square = squares[part] - fitted * (sums[part] + residual)
            meat += (x * np.clip(square, 0.0, None)[:, None]).T @ x
    return scores.meat() if scores.active else meat


class ClusterScores:
    """Scores summed within clusters, (clusters, p)."""

    def __init__(self, cluster: NDArray[np.int64] | None, p: int) -> None:
        self.active = cluster is not None
        self._cluster = cluster if cluster is not None else np.zeros(0, dtype=np.int64)
        self._sums = np.zeros((int(self._cluster.max(initial=-1)) + 1, p))

    def add(self, part: slice, scores: Floats) -> None:
        ids = self._cluster[part]
        low, n = int(ids.min()), len(ids)
        width = int(ids.max()) + 1 - low
        rows = csc_matrix((np.ones(n), ids - low, np.arange(n + 1)), shape=(width, n))
        self._sums[low : low + width] += rows @ scores  # ten times as fast as np.add.at

    def meat(self) -> Floats:
        return np.asarray(self._sums.T @ self._sums, dtype=np.float64)


def few_informative(
    cells: Cells, outcome: str, columns: Sequence[int], fit: Fit, j: int, *, intercept: bool
) -> tuple[float, float]:
    """Standard error and degrees of freedom of coefficient j when few pairs identify it.

    The plain sandwich is far too small then: each of the few residuals was fitted to its own observation.
    HC2 divides it by 1 - leverage, and the t distribution has the degrees of freedom that match the mean and
    variance of HC2 under equal variances (Bell and McCaffrey 2002; Imbens and Kolesar 2016).

    Returns:
        Standard error and degrees of freedom; NaN where an observation has leverage one, i.e. the coefficient
        is fitted to one pair alone.
    """
    counts, sums, squares = cells.counts[outcome], cells.sums[outcome], cells.squares[outcome]
    p = len(fit.bread)
    variance, curve, weights = 0.0, 0.0, np.zeros((p, p))
    for part, x in cells.blocks(columns, intercept=intercept):
        n = counts[part]
        slack = 1 - ((x @ fit.bread) * x).sum(axis=1)
        direction = (x @ fit.bread[:, j]) ** 2
        touched = (direction > 1e-20 * fit.bread[j, j]) & (n > 0)
        if np.any(slack[touched] < 1e-8):
            return float("nan"), float("nan")
        fitted = x @ fit.estimate
        square = np.clip(squares[part] - 2 * fitted * sums[part] + n * fitted**2, 0.0, None)
        w = np.where(touched, direction / np.where(touched, slack, 1.0), 0.0)
        variance += float(w @ square)
        curve += float(n @ (w**2 * (2 * slack - 1)))
        weights += (x * (n * w)[:, None]).T @ x
    rotated = fit.bread @ weights
    dof = fit.bread[j, j] ** 2 / (curve + float(np.sum(rotated * rotated.T)))
    return float(np.sqrt(variance)), float(dof)


def coefficient_rows(
    cells: Cells,
    outcome: str,
    columns: Sequence[int],
    names: Sequence[str],
    informative: Sequence[float],
    *,
    intercept: bool,
    robust: Robust,
    level: float,
    scarce: str,
) -> tuple[Rows, list[str]]:
    """Least squares laid out as rows, with `few_informative` where few pairs identify a coefficient.

    Args:
        cells, outcome, columns, intercept, robust: as for `least_squares`.
        names: of the coefficients, for notes.
        informative: of each coefficient, the pairs that identify it.
        level: of the intervals.
        scarce: what notes call such pairs.

    Returns:
        Rows in the order of the coefficients, and what is to be said about them.

    Raises:
        numpy.linalg.LinAlgError: the cross products are singular.
    """
    fit = least_squares(cells, outcome, columns, intercept=intercept, robust=robust)
    rows: Rows = []
    few, exact = [], []
    for j, name in enumerate(names):
        std_error, dof = float(fit.std_error[j]), fit.dof
        if informative[j] < FEW_INFORMATIVE:
            std_error, dof = few_informative(cells, outcome, columns, fit, j, intercept=intercept)
            few.append(name)
        row = coefficient(float(fit.estimate[j]), std_error, dof, level)
        if row["std_error"] is None:
            exact.append(name)
        rows.append({**row, "n_pairs": fit.n})
    notes = []
    if few:
        notes.append(
            f"fewer than {FEW_INFORMATIVE} {scarce} {', '.join(few)}: HC2 standard error and Satterthwaite "
            "degrees of freedom there"
        )
    if exact:
        notes.append(f"no residual is left to judge {', '.join(exact)} by: no standard error")
    return rows, notes
