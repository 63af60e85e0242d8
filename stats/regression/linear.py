"""Least squares on cells: exact estimates, robust and clustered variance, rows with care for few pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seal.stats.regression import small_sample
from seal.stats.regression.cells import Cells, ClusterScores
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


@dataclass(frozen=True)
class Fitted:
    """Least squares laid out as rows, with the fit they are of.

    Attributes:
        fit: the regression.
        rows: one a coefficient.
        dof: (p,) degrees of freedom of each.
        notes: what is to be said.
    """

    fit: Fit
    rows: Rows
    dof: Floats
    notes: list[str]


def fitted_rows(
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
) -> Fitted:
    """Least squares laid out as rows, judged by HC2 or CR2 where the plain sandwich is too small.

    When that is so, and what is done, stands in `seal.stats.regression.small_sample`.

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
    std_error, dof, careful = judged(cells, outcome, columns, fit, informative, intercept=intercept)
    rows: Rows = [
        {**coefficient(float(b), float(s), float(v), level), "n_pairs": fit.n}
        for b, s, v in zip(fit.estimate, std_error, dof, strict=True)
    ]
    notes = _careful_notes(cells, names, informative, careful, fit.n, scarce)
    exact = [name for name, row in zip(names, rows, strict=True) if row["std_error"] is None]
    if exact:
        notes.append(f"no residual is left to judge {', '.join(exact)} by: no standard error")
    return Fitted(fit, rows, dof, notes)


def judged(
    cells: Cells,
    outcome: str,
    columns: Sequence[int],
    fit: Fit,
    informative: Sequence[float],
    *,
    intercept: bool,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Standard errors and degrees of freedom (p,), and where HC2 or CR2 took the plain one's place (p,).

    Args:
        cells, outcome, columns, intercept: as for `least_squares`.
        fit: what it gave.
        informative: of each coefficient, the pairs that identify it.
    """
    std_error, dof = fit.std_error, np.full(len(fit.estimate), fit.dof)
    data = small_sample.Data(cells, outcome, columns, intercept, fit.estimate, fit.bread)
    careful = small_sample.strained(data, informative)
    if careful.any():
        std_error[careful], dof[careful] = small_sample.adjusted(data, np.flatnonzero(careful).tolist())
    return std_error, dof, careful


def _careful_notes(
    cells: Cells,
    names: Sequence[str],
    informative: Sequence[float],
    careful: NDArray[np.bool_],
    n: int,
    scarce: str,
) -> list[str]:
    """What is said of coefficients that the plain sandwich would have judged too well."""
    if not careful.any():
        return []
    clustered = cells.cluster is not None
    done = f"{'CR2' if clustered else 'HC2'} standard error and Satterthwaite degrees of freedom"
    few = [m for m, i in zip(names, informative, strict=True) if i < FEW_INFORMATIVE and not clustered]
    notes = [f"fewer than {FEW_INFORMATIVE} {scarce} {', '.join(few)}: {done} there"] if few else []
    if careful.all() and len(few) < len(names):
        of = "few or uneven clusters" if clustered else f"{n} pairs for {len(names)} coefficients"
        return [*notes, f"{of}: {done} for every one"]
    if others := [m for m, c in zip(names, careful, strict=True) if c and m not in few]:
        of = "few clusters" if clustered else "few pairs"
        notes.append(f"{', '.join(others)} rest on {of} in effect: {done} there")
    return notes
