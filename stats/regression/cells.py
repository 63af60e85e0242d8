"""Cells: pairs whose regressors are the same, collapsed to counts and sums, and walked through in blocks.

Least squares and logits need no more of such pairs than how many they are and the sum and the sum of squares
of each outcome, so a billion pairs come down to the patterns that occur. Labels are packed three bits each
into integers, value + 1, so that grouping compares one or two numbers a pair, and the difference of two sides
is one subtraction: (c + 1) - (r + 1) + 2 lies in 0..4, and no field borrows from the next. With continuous
covariates, or many features that have nothing to do with each other, hardly two pairs are alike; every pair
is then its own cell, kept on disk where there are many, and all else stays the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from seal.stats.regression.inference import Floats
from seal.stats.regression.store import Array, Stored

Codes = NDArray[np.int8]
Values = Floats | Stored  # (cells,) numbers, in memory or read when asked for
FIELDS = 21  # fields of three bits in one word of 63
BLOCK = 1 << 16  # cells turned into float64 at a time


def n_words(n_fields: int) -> int:
    """How many words hold this many fields (at least one, so that there is something to group by)."""
    return max(1, -(-n_fields // FIELDS))


def pack(values: Sequence[pl.Expr]) -> list[pl.Expr]:
    """Expressions of the words that hold small integers in -1..1; a null counts as 0."""
    words = []
    for w in range(n_words(len(values))):
        fields = values[w * FIELDS : (w + 1) * FIELDS]
        shifted = ((v.cast(pl.Int64).fill_null(0) + 1) * 8**j for j, v in enumerate(fields))
        words.append(pl.sum_horizontal(pl.lit(0, pl.Int64), *shifted))
    return words


def packed_difference(chosen: pl.Expr, rejected: pl.Expr, n_fields: int) -> pl.Expr:
    """The word of the differences, each field value + 2."""
    return (chosen - rejected).add(sum(2 * 8**j for j in range(n_fields)))


def unpack(words: pl.DataFrame, n_fields: int, offset: int) -> Codes:
    """The fields of packed words, shape (rows, n_fields); `offset` is what was added to each value."""
    return unpacked([words.to_series(i).to_numpy() for i in range(words.width)], n_fields, offset)


def unpacked(words: Sequence[Array], n_fields: int, offset: int) -> Codes:
    """`unpack` of words as arrays, (rows,) each."""
    out = np.empty((len(words[0]), n_fields), dtype=np.int8, order="F")
    for j in range(n_fields):
        out[:, j] = ((words[j // FIELDS] >> (3 * (j % FIELDS))) & 7).astype(np.int8) - offset
    return out


def collapse(pairs: pl.DataFrame, keys: Sequence[str], outcomes: Sequence[str]) -> pl.DataFrame:
    """Group pairs by their regressors.

    Args:
        pairs: one row a pair; an outcome may be null, and its pair then counts for the others only.
        keys: packed words, and what else splits cells (a cluster).
        outcomes: numeric columns.

    Returns:
        `keys`, and for each outcome `n_`, `s_` and `q_`: count, sum, sum of squares.
    """
    values = [(y, pl.col(y).cast(pl.Float64)) for y in outcomes]
    counts = (v.count().cast(pl.Float64).alias(f"n_{y}") for y, v in values)
    sums = (v.sum().alias(f"s_{y}") for y, v in values)
    squares = ((v * v).sum().alias(f"q_{y}") for y, v in values)
    return summed(pairs, keys, [*counts, *sums, *squares])


def summed(rows: pl.DataFrame, keys: Sequence[str], sums: Sequence[pl.Expr]) -> pl.DataFrame:
    """Sums within groups, sorted, added in the order of the rows: equal rows give equal bytes.

    Without `maintain_order`, or on a lazy frame, polars adds up as its threads happen to come by.
    """
    return rows.group_by(*keys, maintain_order=True).agg(sums).sort(*keys)


def merge(frames: Sequence[pl.DataFrame], keys: Sequence[str]) -> pl.DataFrame:
    """Add up cells of several blocks."""
    together = pl.concat(frames, rechunk=False)
    if len(frames) == 1:
        return together.sort(*keys)
    return summed(together, keys, [pl.exclude(*keys).sum()])


@dataclass(frozen=True)
class Cells:
    """Collapsed pairs as arrays.

    Attributes:
        codes: (cells, k) small integers.
        dense: (cells, c) covariates.
        counts, sums, squares: per outcome, (cells,) each.
        cluster: (cells,) cluster numbers from 0, where inference is clustered wider than by pair.
        per_row: observations behind a row: 2 where it is a difference of two texts within its effect.
        corrected: whether clustered variances have small-sample factors.
        coarser: the same pairs grouped by regressors alone, where clusters split them into many more cells.
        shares: of the last design (columns, intercept) its outcome and (G, p) shares of the clusters, which
            outcomes of the same pairs have in common; see `seal.stats.regression.small_sample`.

    What does not fit into memory is read in parts when a slice of it is asked for (`Stored`).
    """

    codes: Codes | Stored
    dense: Floats | Stored
    counts: Mapping[str, Values]
    sums: Mapping[str, Values]
    squares: Mapping[str, Values]
    cluster: NDArray[np.int64] | None = None
    per_row: int = 1
    corrected: bool = True
    coarser: "Cells | None" = None
    shares: dict[tuple[tuple[int, ...], bool], tuple[str, Floats]] = field(default_factory=dict, init=False)

    @property
    def patterns(self) -> "Cells":
        """The fewest cells there are: for all that does not depend on clusters."""
        return self.coarser or self

    def total(self, outcome: str) -> int:
        """Pairs that have the outcome."""
        return int(self.counts[outcome].sum())

    def alike(self, one: str, other: str) -> bool:
        """Whether the same pairs have both outcomes."""
        n, m = self.counts[one], self.counts[other]
        return one == other or all(np.array_equal(n[part], m[part]) for part in self.parts())

    def blocks(self, columns: Sequence[int], *, intercept: bool) -> Iterator[tuple[slice, Floats]]:
        """Walk through the cells: a slice, and its design as float64 (cells, intercept + columns)."""
        if list(columns) != sorted(set(columns)):
            raise ValueError("columns must ascend: codes come before covariates")
        k = self.codes.shape[1]
        coded, dense = [j for j in columns if j < k], [j - k for j in columns if j >= k]
        for part in self.parts():
            ones = np.ones((part.stop - part.start, int(intercept)))
            codes = self.codes[part][:, coded].astype(np.float64)
            yield part, np.concatenate([ones, codes, self.dense[part][:, dense]], axis=1)

    def loaded(self) -> "Cells":
        """The same with all of it in memory."""
        n, s, q = (
            {y: np.asarray(v) for y, v in part.items()} for part in (self.counts, self.sums, self.squares)
        )
        codes, dense = np.asarray(self.codes), np.asarray(self.dense)
        return replace(self, codes=codes, dense=dense, counts=n, sums=s, squares=q)

    def column(self, part: slice, j: int) -> Array:
        """One column of the design, of some cells."""
        k = self.codes.shape[1]
        return np.asarray(self.codes[part, j] if j < k else self.dense[part, j - k])

    def parts(self) -> Iterator[slice]:
        """The cells in slices of at most `BLOCK`."""
        n = len(self.codes)
        return (slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK))

    def small_sample(self, n: int, p: int, groups: int) -> float:
        """What a clustered sandwich is multiplied by: G/(G-1) (N-1)/(N-p), as pyfixest counts.

        Of differences N is the number of texts, and the effects they are taken within count as one column
        more, those that lie in one cluster each as none.

        Args:
            n, p: rows and coefficients.
            groups: clusters.
        """
        if not self.corrected:
            return 1.0
        slack = self.per_row * n - p - (self.per_row > 1)
        return groups / (groups - 1) * (self.per_row * n - 1) / slack if slack > 0 else float("nan")

    def n_clusters(self, outcome: str) -> int:
        """Clusters in which some pair has the outcome; 0 where errors are by pair."""
        if self.cluster is None:
            return 0
        counted = np.bincount(self.cluster[self.counts[outcome] > 0])  # numbered from 0: no sorting
        return int(np.count_nonzero(counted))


def number_clusters(ids: Array, n_pairs: int) -> NDArray[np.int64] | None:
    """Clusters numbered from 0, (rows,); None where each pair has its own, whose errors are those by pair."""
    distinct, numbers = np.unique(ids, return_inverse=True)
    return None if len(distinct) == n_pairs else numbers.astype(np.int64)


class ClusterScores:
    """Scores summed within clusters.

    Attributes:
        active: whether there are clusters.
        sums: (clusters, p).
    """

    def __init__(self, cluster: NDArray[np.int64] | None, p: int) -> None:
        self.active = cluster is not None
        self._cluster = cluster if cluster is not None else np.zeros(0, dtype=np.int64)
        self.sums = np.zeros((int(self._cluster.max(initial=-1)) + 1, p))

    def add(self, part: slice, scores: Floats) -> None:
        """Add (cells, p) scores of some cells."""
        ids = self._cluster[part]
        low, n = int(ids.min()), len(ids)
        width = int(ids.max()) + 1 - low
        rows = csc_matrix((np.ones(n), ids - low, np.arange(n + 1)), shape=(width, n))
        self.sums[low : low + width] += rows @ scores  # ten times as fast as np.add.at

    def meat(self) -> Floats:
        """Sum of their squares, (p, p)."""
        return np.asarray(self.sums.T @ self.sums, dtype=np.float64)


def grouped(cells: Cells) -> Cells:
    """Merge cells that are alike in codes and cluster; with covariates, the cells as they are."""
    if cells.dense.shape[1] or not len(cells.codes):
        return cells
    ids = np.zeros(len(cells.codes), dtype=np.int64) if cells.cluster is None else cells.cluster
    keys = np.column_stack([np.asarray(cells.codes, dtype=np.int64), ids])
    distinct, at = np.unique(keys, axis=0, return_inverse=True)

    def summed(part: Mapping[str, Values]) -> dict[str, Floats]:
        found = {k: np.bincount(at.ravel(), np.asarray(v), len(distinct)) for k, v in part.items()}
        return {k: v.astype(np.float64) for k, v in found.items()}

    codes, cluster = distinct[:, :-1].astype(np.int8), distinct[:, -1]
    counts, sums, squares = summed(cells.counts), summed(cells.sums), summed(cells.squares)
    no_dense = np.empty((len(codes), 0))
    return Cells(codes, no_dense, counts, sums, squares, cluster if cells.cluster is not None else None)


class Tally:
    """Cells added up block by block, merged whenever what waits outgrows what is there."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = tuple(keys)
        self._whole: pl.DataFrame | None = None
        self._waiting: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Add one block's cells."""
        self._waiting.append(frame)
        waiting = sum(f.height for f in self._waiting)
        there = self._whole.height if self._whole is not None else 0
        if waiting > max(2_000_000, there):
            self._whole, self._waiting = self.total(), []

    def total(self) -> pl.DataFrame | None:
        """All cells so far, or None when no block came."""
        frames = [*([self._whole] if self._whole is not None else []), *self._waiting]
        return merge(frames, self._keys) if frames else None
