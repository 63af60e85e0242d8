"""Where each pair stands when errors are summed: in which cluster, and whether it holds gold pairs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.stats.regression.cells import BLOCK
from seal.stats.regression.inference import Floats
from seal.stats.regression.influence import Scores, ScoreSums

PAIR = "row_id"
_NUMBER = "__number"


@dataclass(frozen=True)
class Places:
    """The clusters of the pairs that enter the regressions.

    Attributes:
        cluster: column of the blocks that errors are clustered by; `row_id` for the pair alone.
        n_clusters: how many there are.
        shared: cluster -> number, of the clusters of several pairs.
        gold: cluster -> number, of those that hold gold pairs, in the order of their first gold `row_id`.
        gold_ids: `row_id` of the gold pairs that enter, ascending.
        gold_clusters: (m,), the number in `gold` of each of them.
    """

    cluster: str
    n_clusters: int
    shared: pl.DataFrame
    gold: pl.DataFrame
    gold_ids: pl.Series = field(default_factory=lambda: pl.Series(PAIR, [], pl.Int64()))
    gold_clusters: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def find(
        cls, rows: Iterable[pl.DataFrame], cluster: str | None = None, gold_ids: pl.Series | None = None
    ) -> "Places":
        """Walk through the pairs once and number their clusters.

        Args:
            rows: blocks of `seal.stats.pairs.joins.Pairs`; those marked `regressed` count.
            cluster: a column of theirs; None for the pair.
            gold_ids: `row_id` of the pairs that have gold labels.
        """
        by = cluster or PAIR
        ids = gold_ids if gold_ids is not None else pl.Series(PAIR, [], pl.Int64())
        found, gold, n_pairs = [], [], 0
        for block in rows:
            entering = block.filter("regressed").select(*dict.fromkeys((PAIR, by)))
            gold.append(entering.filter(pl.col(PAIR).is_in(ids.implode())))
            n_pairs += entering.height
            if by != PAIR:
                found.append(entering.group_by(by).agg(n=pl.len()))
        mine = pl.concat(gold).sort(PAIR) if gold else pl.DataFrame(schema={PAIR: pl.Int64(), by: pl.Int64()})
        held = mine.select(pl.col(by).unique(maintain_order=True)).with_row_index(_NUMBER)
        numbers = mine.join(held, on=by, how="left", maintain_order="left")[_NUMBER]
        if by == PAIR:
            shared, n_clusters = held.clear(), n_pairs
        else:
            counted = pl.concat(found).group_by(by).agg(pl.col("n").sum()).sort(by) if found else held.clear()
            n_clusters = counted.height
            several = counted.filter(pl.col("n") > 1) if found else counted
            shared = several.select(by).with_row_index(_NUMBER)
        return cls(by, n_clusters, shared, held, mine[PAIR], numbers.cast(pl.Int64).to_numpy())

    @property
    def by_pair(self) -> bool:
        """Whether each pair is its own cluster."""
        return self.cluster == PAIR or not self.shared.height

    @property
    def factor(self) -> float:
        """What the sum of squared influences is multiplied by: G / (G - 1) for wider clusters, else 1."""
        if self.by_pair:
            return 1.0
        return self.n_clusters / (self.n_clusters - 1) if self.n_clusters > 1 else float("nan")

    @property
    def dof(self) -> float:
        """Degrees of freedom of the t distribution: clusters less one."""
        return float(self.n_clusters - 1)

    def sums(self, rows: Iterable[pl.DataFrame], zeta: Callable[[pl.DataFrame], Floats]) -> Scores:
        """Add up scores over all pairs that enter.

        Args:
            rows: the blocks.
            zeta: (n, q) scores of n rows of a block, all of them `regressed`.
        """
        total: ScoreSums | None = None
        for block in rows:
            entering = block.filter("regressed")
            for start in range(0, entering.height, BLOCK):
                part = entering.slice(start, BLOCK)
                scores = zeta(part)
                if total is None:
                    total = ScoreSums(scores.shape[1], self.gold.height, self.shared.height)
                total.add(scores, self._numbers(part, self.gold), self._numbers(part, self.shared))
        if total is None:
            raise ValueError("no pair enters the regressions")
        return total.total()

    def _numbers(self, part: pl.DataFrame, known: pl.DataFrame) -> NDArray[np.int64] | None:
        if not known.height:
            return None
        joined = part.select(self.cluster).join(known, on=self.cluster, how="left", maintain_order="left")
        return joined[_NUMBER].cast(pl.Int64).fill_null(-1).to_numpy()
