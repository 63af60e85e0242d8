"""Pairs become cells, block by block: grouped where many are alike, else one by one, on disk if need be."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from seal.stats.regression.cells import Cells, Codes, collapse, merge, number_clusters
from seal.stats.regression.inference import Floats
from seal.stats.regression.store import IN_MEMORY, Array, Part, Store, Stored

_ENOUGH, _ALIKE = 20_000, 0.5  # pairs of a block from which on its cells are judged; cells a pair, at most
_MANY = 1_000_000  # cells in memory before they are merged, and put away where that hardly helps


class PairTally:
    """Pairs added up by pattern, block by block; where hardly two are alike, kept one by one.

    Args:
        keys: Int64 columns that regressors are made of: packed words, numbers of what slopes differ by.
        outcomes: numeric columns; a null is no observation.
        covariates: continuous regressors; where there are any, pairs are not grouped.
        split_by: further Int64 columns that split cells, first what errors are clustered by.
        in_memory: bytes of cells that stay in memory.
    """

    def __init__(
        self,
        keys: Sequence[str],
        outcomes: Sequence[str],
        *,
        covariates: Sequence[str] = (),
        split_by: Sequence[str] = (),
        in_memory: int = IN_MEMORY,
    ) -> None:
        self._keys, self._outcomes, self._covariates = (*keys, *split_by), tuple(outcomes), tuple(covariates)
        self._cluster, self._finer = split_by[0] if split_by else None, len(split_by) > 1
        self._grouping = not covariates
        self._waiting: list[pl.DataFrame] = []
        self._store = Store(in_memory=in_memory)
        self._coarser = (
            PairTally(keys, outcomes, in_memory=in_memory) if split_by and not covariates else None
        )
        self.n_pairs = 0

    def add(self, pairs: pl.DataFrame) -> None:
        """Add one block: the keys, covariates and outcomes, a row a pair."""
        self.n_pairs += pairs.height
        self._add_coarser(pairs)
        if not self._grouping:
            single = pairs.select(
                *(pl.col(k).cast(pl.Int64) for k in self._keys),
                *(pl.col(x).cast(pl.Float64) for x in self._covariates),
                *(pl.col(y).cast(pl.Float64).fill_null(float("nan")) for y in self._outcomes),
            )
            self._store.add({c: single[c].to_numpy() for c in single.columns})
            return
        cells = collapse(pairs, self._keys, self._outcomes)
        self._grouping = pairs.height < _ENOUGH or cells.height <= _ALIKE * pairs.height
        self._waiting.append(cells)
        many = sum(c.height for c in self._waiting) > _MANY
        if many:
            self._waiting = [merge(self._waiting, self._keys)]
        if not self._grouping or (many and self._waiting[0].height > _MANY // 2):
            self._put_away()

    def _add_coarser(self, pairs: pl.DataFrame) -> None:
        if self._coarser is not None:
            self._coarser.add(pairs)
            self._coarser = self._coarser if self._coarser._grouping else None

    def _put_away(self) -> None:
        if self._waiting:
            cells, self._waiting = merge(self._waiting, self._keys), []
            self._store.add({c: cells[c].to_numpy() for c in cells.columns})

    def rows(self, key: str) -> Array:
        """One key of every cell, (cells,)."""
        self._put_away()
        return np.asarray(Stored(self._store, lambda part: part[key], kind=np.int64))

    def cells(
        self, codes: Callable[[Part], Codes], dense: Callable[[Part], Floats], widths: tuple[int, int]
    ) -> Cells | None:
        """The cells, or None where no pair came; arrays as long as all is in memory.

        Args:
            codes, dense: the design's columns of a part of the rows.
            widths: how many columns each gives.
        """
        self._put_away()
        store = self._store
        if not store.height:
            return None
        coarser = None if self._coarser is None else self._coarser.cells(codes, dense, widths)
        ids = None if self._cluster is None else number_clusters(self.rows(self._cluster), self.n_pairs)
        if ids is None and coarser is not None and not self._finer:
            return coarser
        n, s, q = ({y: Stored(store, made(y)) for y in self._outcomes} for made in (_count, _sum, _square))
        design = Stored(store, codes, widths[0], np.int8), Stored(store, dense, widths[1])
        found = Cells(*design, n, s, q, ids, coarser=coarser)
        return found if store.on_disk else found.loaded()


def _count(outcome: str) -> Callable[[Part], Floats]:
    """Pairs with the outcome, of cells and of pairs alone; the two below likewise."""

    def made(part: Part) -> Floats:
        found = part.get(f"n_{outcome}")
        return (~np.isnan(part[outcome])).astype(np.float64) if found is None else found

    return made


def _sum(outcome: str) -> Callable[[Part], Floats]:
    def made(part: Part) -> Floats:
        found = part.get(f"s_{outcome}")
        return np.nan_to_num(part[outcome]) if found is None else found

    return made


def _square(outcome: str) -> Callable[[Part], Floats]:
    def made(part: Part) -> Floats:
        found = part.get(f"q_{outcome}")
        return np.nan_to_num(part[outcome]) ** 2 if found is None else found

    return made
