"""Cells: pairs whose regressors are the same, collapsed to counts and sums, and walked through in blocks.

Least squares and logits need no more of such pairs than how many they are and the sum and the sum of squares
of each outcome, so a billion pairs come down to the patterns that occur. Labels are packed three bits each
into integers, value + 1, so that grouping compares one or two numbers a pair, and the difference of two sides
is one subtraction: (c + 1) - (r + 1) + 2 lies in 0..4, and no field borrows from the next. With continuous
covariates hardly two pairs are alike; every pair is then its own cell and all else stays the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.stats.regression.inference import Floats

Codes = NDArray[np.int8]
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
    out = np.empty((words.height, n_fields), dtype=np.int8)
    for j in range(n_fields):
        word = words.to_series(j // FIELDS).to_numpy()
        out[:, j] = ((word >> (3 * (j % FIELDS))) & 7).astype(np.int8) - offset
    return out


def collapse(
    pairs: pl.DataFrame, keys: Sequence[str], outcomes: Sequence[str], *, covariates: Sequence[str] = ()
) -> pl.DataFrame:
    """Group pairs by their regressors.

    Args:
        pairs: one row a pair; an outcome may be null, and its pair then counts for the others only.
        keys: packed words, and what else splits cells (a cluster).
        outcomes: numeric columns.
        covariates: continuous regressors; where there are any, pairs are not grouped.

    Returns:
        `keys`, `covariates`, and for each outcome `n_`, `s_` and `q_`: count, sum, sum of squares.
    """
    values = [(y, pl.col(y).cast(pl.Float64)) for y in outcomes]
    if covariates:
        sums = {f"s_{y}": v.fill_null(0.0) for y, v in values}
        squares = {f"q_{y}": (v * v).fill_null(0.0) for y, v in values}
        counts = {f"n_{y}": v.is_not_null().cast(pl.Float64) for y, v in values}
        return pairs.select(*keys, *covariates, **counts, **sums, **squares)
    return (
        pairs.lazy()
        .group_by(*keys)
        .agg(
            *(v.count().cast(pl.Float64).alias(f"n_{y}") for y, v in values),
            *(v.sum().alias(f"s_{y}") for y, v in values),
            *((v * v).sum().alias(f"q_{y}") for y, v in values),
        )
        .sort(*keys)
        .collect()
    )


def merge(
    frames: Sequence[pl.DataFrame], keys: Sequence[str], *, covariates: Sequence[str] = ()
) -> pl.DataFrame:
    """Add up cells of several blocks."""
    together = pl.concat(frames, rechunk=False)
    if covariates:
        return together
    if len(frames) == 1:
        return together.sort(*keys)
    return together.lazy().group_by(*keys).agg(pl.exclude(*keys).sum()).sort(*keys).collect()


@dataclass(frozen=True)
class Cells:
    """Collapsed pairs as arrays.

    Attributes:
        codes: (cells, k) small integers.
        dense: (cells, c) covariates.
        counts, sums, squares: per outcome, (cells,) each.
        cluster: (cells,) cluster numbers from 0, where inference is clustered wider than by pair.
    """

    codes: Codes
    dense: Floats
    counts: Mapping[str, Floats]
    sums: Mapping[str, Floats]
    squares: Mapping[str, Floats]
    cluster: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls, frame: pl.DataFrame, codes: Codes, covariates: Sequence[str], cluster: str | None = None
    ) -> "Cells":
        """Take the arrays out of a collapsed frame whose words were unpacked to `codes`."""
        part = {
            kind: {name[2:]: frame[name].to_numpy() for name in frame.columns if name.startswith(f"{kind}_")}
            for kind in "nsq"
        }
        empty = np.empty((frame.height, 0))
        dense = frame.select(pl.col(*covariates).cast(pl.Float64)).to_numpy() if covariates else empty
        ids = cluster_ids(frame, cluster)
        return cls(codes, dense, part["n"], part["s"], part["q"], ids)

    @property
    def n_columns(self) -> int:
        """Regressors: codes, then covariates."""
        return int(self.codes.shape[1] + self.dense.shape[1])

    def total(self, outcome: str) -> int:
        """Pairs that have the outcome."""
        return int(self.counts[outcome].sum())

    def blocks(self, columns: Sequence[int], *, intercept: bool) -> Iterator[tuple[slice, Floats]]:
        """Walk through the cells: a slice, and its design as float64 (cells, intercept + columns)."""
        if list(columns) != sorted(set(columns)):
            raise ValueError("columns must ascend: codes come before covariates")
        k = self.codes.shape[1]
        coded, dense = [j for j in columns if j < k], [j - k for j in columns if j >= k]
        for start in range(0, len(self.codes), BLOCK):
            part = slice(start, min(start + BLOCK, len(self.codes)))
            ones = np.ones((part.stop - part.start, int(intercept)))
            codes = self.codes[part][:, coded].astype(np.float64)
            yield part, np.concatenate([ones, codes, self.dense[part][:, dense]], axis=1)


def cluster_ids(frame: pl.DataFrame, cluster: str | None) -> NDArray[np.int64] | None:
    """Clusters numbered from 0 in sorted order, or None without a cluster column."""
    if cluster is None:
        return None
    return frame[cluster].rank("dense").cast(pl.Int64).to_numpy() - 1


def grouped(cells: Cells) -> Cells:
    """Merge cells that are alike in codes and cluster; with covariates, the cells as they are."""
    if cells.dense.shape[1] or not len(cells.codes):
        return cells
    ids = np.zeros(len(cells.codes), dtype=np.int64) if cells.cluster is None else cells.cluster
    keys = np.column_stack([cells.codes.astype(np.int64), ids])
    distinct, at = np.unique(keys, axis=0, return_inverse=True)

    def summed(part: Mapping[str, Floats]) -> dict[str, Floats]:
        return {k: np.bincount(at.ravel(), v, len(distinct)).astype(np.float64) for k, v in part.items()}

    codes, cluster = distinct[:, :-1].astype(np.int8), distinct[:, -1]
    counts, sums, squares = summed(cells.counts), summed(cells.sums), summed(cells.squares)
    no_dense = np.empty((len(codes), 0))
    return Cells(codes, no_dense, counts, sums, squares, cluster if cells.cluster is not None else None)


class Tally:
    """Cells added up block by block, merged whenever what waits outgrows what is there."""

    def __init__(self, keys: Sequence[str], *, covariates: Sequence[str] = ()) -> None:
        self._keys, self._covariates = tuple(keys), tuple(covariates)
        self._whole: pl.DataFrame | None = None
        self._waiting: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Add one block's cells."""
        self._waiting.append(frame)
        waiting = sum(f.height for f in self._waiting)
        there = self._whole.height if self._whole is not None else 0
        if not self._covariates and waiting > max(2_000_000, there):
            self._whole, self._waiting = self.total(), []

    def total(self) -> pl.DataFrame | None:
        """All cells so far, or None when no block came."""
        frames = [*([self._whole] if self._whole is not None else []), *self._waiting]
        return merge(frames, self._keys, covariates=self._covariates) if frames else None
