"""Intervals, tests and multiplicity: pure functions on numbers and arrays."""

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import stats as distributions

from seal.engine.errors import UsageError
from seal.stats.options import ADJUST, LEVEL, Adjust

FEW_INFORMATIVE = 30  # below it the plain sandwich is too small to print
INFERENCE: dict[str, pl.DataType] = dict.fromkeys(
    ("estimate", "std_error", "statistic", "p_value", "p_adjusted", "conf_low", "conf_high"), pl.Float64()
)
Floats = NDArray[np.float64]
Rows = list[dict[str, object]]


def require_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a value that is none of the allowed ones, naming them."""
    if value not in allowed:
        raise UsageError(f"{name} cannot be {value!r}; allowed: {', '.join(allowed)}")


def require_level(level: float) -> None:
    """Refuse a confidence level that is no probability between 0 and 1."""
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, not {level}; {LEVEL:g} is usual")


def wilson(successes: ArrayLike, totals: ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Wilson's score interval of a proportion (Wilson 1927), elementwise.

    Args:
        successes: counts (halves allowed), any shape.
        totals: of the same shape; the interval of no observation is NaN, which the caller turns into null.
        level: coverage, 0.95 for 95%.

    Returns:
        Lower and upper limits, within [0, 1].
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(totals, dtype=np.float64)
    z = distributions.norm.isf((1 - level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = k / n
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low = np.where((n > 0) & (k <= 0), 0.0, np.clip(centre - half, 0.0, 1.0))
    return low, np.where((n > 0) & (k >= n), 1.0, np.clip(centre + half, 0.0, 1.0))


def t_critical(level: float, dof: ArrayLike) -> Floats:
    """Two-sided critical value of Student's t (infinite `dof`: of the normal)."""
    return np.asarray(distributions.t.isf((1 - level) / 2, dof), dtype=np.float64)


def t_p_value(statistic: ArrayLike, dof: ArrayLike) -> Floats:
    """Two-sided p-value of Student's t (infinite `dof`: of the normal)."""
    return np.asarray(2 * distributions.t.sf(np.abs(statistic), dof), dtype=np.float64)


def wald(estimate: Floats, covariance: Floats) -> tuple[float, float, int]:
    """Wald test that every entry of `estimate` (shape (q,)) is zero, given its covariance (q, q).

    Returns:
        Statistic, p-value from chi-squared, degrees of freedom: the rank of the covariance, so that
        restrictions that repeat one another count once. With rank 0 the statistic and p-value are NaN.
    """
    scale = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    keep = scale > 0
    z = estimate[keep] / scale[keep]
    values, vectors = np.linalg.eigh(covariance[np.ix_(keep, keep)] / np.outer(scale[keep], scale[keep]))
    good = values > 1e-10 * max(len(values), 1)
    rank = int(good.sum())
    if rank == 0:
        return float("nan"), float("nan"), 0
    statistic = float(np.sum((vectors[:, good].T @ z) ** 2 / values[good]))
    return statistic, float(distributions.chi2.sf(statistic, rank)), rank


def mcnemar_exact(only_first: int, only_second: int) -> tuple[int, float]:
    """McNemar's exact test on the two discordant counts.

    Returns:
        The smaller count, and the two-sided binomial p-value at one half (1.0 where nothing is discordant).
    """
    n = only_first + only_second
    p = float(distributions.binomtest(only_first, n).pvalue) if n else 1.0
    return min(only_first, only_second), p


def adjust(p_values: Sequence[float | None], method: Adjust = ADJUST) -> list[float | None]:
    """Adjust the p-values of one family for multiplicity.

    Args:
        p_values: one family; nulls (hypotheses that could not be tested) are kept and do not count.
        method: `holm` and `bonferroni` hold the family-wise error, `bh` (Benjamini-Hochberg) the false
            discovery rate.

    Returns:
        Adjusted p-values in the order given, at most 1.
    """
    require_choice("adjust", method, get_args(Adjust))
    tested = [i for i, p in enumerate(p_values) if p is not None]
    p = np.array([p_values[i] for i in tested], dtype=np.float64)
    m, order = len(p), np.argsort(p, kind="stable")
    ranked = p[order]
    if method == "bonferroni":
        ranked = ranked * m
    elif method == "holm":
        ranked = np.maximum.accumulate(ranked * np.arange(m, 0, -1))
    else:
        ranked = np.minimum.accumulate((ranked * m / np.arange(1, m + 1))[::-1])[::-1]
    adjusted: list[float | None] = [None] * len(p_values)
    for rank, position in enumerate(order):
        adjusted[tested[position]] = float(min(ranked[rank], 1.0))
    return adjusted


def pivot_rank(gram: Floats, tolerance: float = 1e-9) -> list[int]:
    """Columns, in order, that are no linear combination of earlier ones, by Cholesky on a Gram matrix.

    Args:
        gram: (k, k) cross products of the columns.
        tolerance: a column whose squared norm falls under this share of itself, once the earlier ones are
            swept out, is a combination of them.
    """
    scale = np.sqrt(np.clip(np.diag(gram), 0.0, None))
    live = scale > 0
    work = gram / np.outer(np.where(live, scale, 1.0), np.where(live, scale, 1.0))
    kept: list[int] = []
    for j in range(len(work)):
        if not live[j] or work[j, j] <= tolerance:
            continue
        kept.append(j)
        work = work - np.outer(work[:, j], work[j]) / work[j, j]
    return kept


def inverse(gram: Floats) -> Floats:
    """Inverse of a positive definite matrix, scaled to a unit diagonal first so that units do not matter.

    Raises:
        numpy.linalg.LinAlgError: the matrix is not positive definite.
    """
    if not np.all(np.diag(gram) > 0):
        raise np.linalg.LinAlgError("a column is zero, or the matrix not positive definite")
    scale = np.sqrt(np.diag(gram))
    root = np.linalg.cholesky(gram / np.outer(scale, scale))
    half = np.linalg.inv(root)
    return np.asarray(half.T @ half / np.outer(scale, scale), dtype=np.float64)


def coefficient(estimate: float, std_error: float, dof: float, level: float) -> dict[str, float | None]:
    """One line of a coefficient table; nulls where there is no standard error to speak of.

    Args:
        estimate: the coefficient.
        std_error: NaN or zero where nothing was left to estimate it from.
        dof: of the t distribution, infinite for the normal.
        level: of the interval.

    Returns:
        `estimate`, `std_error`, `statistic`, `p_value`, `conf_low`, `conf_high`.
    """
    if not (np.isfinite(std_error) and std_error > 0 and dof > 0):
        names = ("std_error", "statistic", "p_value", "conf_low", "conf_high")
        return {"estimate": float(estimate), **dict.fromkeys(names)}
    half = float(t_critical(level, dof)) * std_error
    return {
        "estimate": float(estimate), "std_error": float(std_error),
        "statistic": float(estimate / std_error), "p_value": float(t_p_value(estimate / std_error, dof)),
        "conf_low": float(estimate - half), "conf_high": float(estimate + half),
    }  # fmt: skip


def tested(test: str, group: str, statistic: object, p_value: object, n: int) -> dict[str, object]:
    """One line of the table of tests."""
    return {"test": test, "group": group, "statistic": statistic, "p_value": p_value, "n": n}


def coefficient_table(
    rows: Rows, schema: Mapping[str, pl.DataType], family: str, method: Adjust, *, outside: str
) -> pl.DataFrame:
    """Rows as a table with `p_adjusted`; a family is the rows alike in a column, less the term `outside`."""
    table = pl.DataFrame(rows, schema=schema)
    adjusted: list[float | None] = [None] * table.height
    families: dict[object, list[int]] = {}
    for i, (name, term) in enumerate(table.select(family, "term").iter_rows()):
        if term != outside:
            families.setdefault(name, []).append(i)
    p_values = table["p_value"].to_list()
    for members in families.values():
        for i, p in zip(members, adjust([p_values[m] for m in members], method), strict=True):
            adjusted[i] = p
    return table.with_columns(p_adjusted=pl.Series(adjusted, dtype=pl.Float64))


def n_families(tables: Mapping[str, pl.DataFrame]) -> int:
    """How many families of hypotheses result tables hold, each adjusted for multiplicity by itself."""
    found = 0
    for table in tables.values():
        by = [c for c in ("model", "outcome", "scale", "estimand", "line") if c in table.columns]
        for column in ("p_adjusted", "p_adjusted_std"):
            if column in table.columns and by:
                found += table.filter(pl.col(column).is_not_null()).select(by).n_unique()
    return found
