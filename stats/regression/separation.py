"""Separation: whether a logit's maximum likelihood estimate is infinite, and in which coefficients."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from scipy.optimize import linprog

from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import Floats
from seal.stats.regression.linear import cross_products


class NoFit(Exception):
    """The logit has no estimate; the text says why."""


def find_separation(cells: Cells, outcome: str, columns: Sequence[int]) -> list[int]:
    """Positions (intercept 0) of the coefficients whose maximum likelihood estimate is infinite.

    The data are separated when some direction b has x'b >= 0 wherever the outcome is 1 and <= 0 wherever it
    is 0, not all zero (Albert and Anderson 1984); a linear programme finds one (Konis 2007). Cells with both
    outcomes force x'b = 0, so the search is left to the directions they leave open; of the other cells,
    those a solution violates are added to the programme until none is. An empty list means no separation.
    """
    counts, sums = cells.counts[outcome], cells.sums[outcome]
    gram = cross_products(cells, outcome, columns, intercept=True)
    scale = np.sqrt(np.where(np.diag(gram) > 0, np.diag(gram) / gram[0, 0], 1.0))
    mixed = np.zeros_like(gram)
    for part, x in cells.blocks(columns, intercept=True):
        n, s = counts[part], sums[part]
        both = (s > 0) & (s < n)
        z = x[both] / scale
        mixed += z.T @ z
    values, vectors = np.linalg.eigh(mixed)
    open_directions = vectors[:, values <= 1e-9 * max(float(values[-1]), 1.0)]
    if open_directions.shape[1] == 0:
        return []
    basis = open_directions / scale[:, None]
    direction = _recession(lambda: _signed_rows(cells, outcome, columns, basis))
    if direction is None:
        return []
    found = np.abs(open_directions @ direction)
    return [int(j) for j in np.flatnonzero(found > 1e-6 * found.max()) if j > 0]


def _signed_rows(cells: Cells, outcome: str, columns: Sequence[int], basis: Floats) -> Iterator[Floats]:
    """Nonzero x'N with the sign of the outcome, of the cells with one outcome only, some cells at a time."""
    for part, x in cells.blocks(columns, intercept=True):
        n, s = cells.counts[outcome][part], cells.sums[outcome][part]
        pure = (n > 0) & ((s == 0) | (s == n))
        rows = (x[pure] @ basis) * np.where(s[pure] > 0, 1.0, -1.0)[:, None]
        rows = rows[np.abs(rows).max(axis=1, initial=0.0) > 1e-9]
        yield np.unique(np.round(rows, 12), axis=0) if basis.shape[1] <= 8 else rows


def _recession(walk: Callable[[], Iterator[Floats]], batch: int = 2000) -> Floats | None:
    """A direction z with row'z >= 0 for all rows, not all zero, or None: cutting planes over the rows.

    Args:
        walk: all rows, some at a time; only `batch` of them a round are kept.
        batch: rows that the programme starts with, and that join it in a round.
    """
    rng = np.random.default_rng(0)
    working = _lowest(((rng.random(len(rows)), rows) for rows in walk()), batch)
    if working is None:
        return None
    for _ in range(100):
        solved = linprog(
            -working.sum(axis=0), A_ub=-working, b_ub=np.zeros(len(working)), bounds=(-1, 1), method="highs"
        )
        if solved.status != 0:
            raise NoFit(f"the search for separation failed: {solved.message}")
        if -solved.fun <= 1e-7 * len(working):
            return None
        z = np.asarray(solved.x, dtype=np.float64)
        worst = _lowest(((rows @ z, rows) for rows in walk()), batch, below=-1e-7)
        if worst is None:
            return z
        working = np.concatenate([working, worst])
    raise NoFit("the search for separation did not end")


def _lowest(scored: Iterable[tuple[Floats, Floats]], most: int, *, below: float = np.inf) -> Floats | None:
    """The rows (n, p) of the lowest scores (n,), of those under a limit; None where there is none."""
    scores, kept = np.empty(0), None
    for part, rows in scored:
        under = part < below
        scores = np.concatenate([scores, part[under]])
        kept = rows[under] if kept is None else np.concatenate([kept, rows[under]])
        if len(scores) > most:
            best = np.argsort(scores, kind="stable")[:most]
            scores, kept = scores[best], kept[best]
    return kept if kept is not None and len(kept) else None
