"""What further labelers say of the pairs, beside the one whose labels were joined first."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.errors import InputError
from seal.engine.frames.schema import LABELS, check
from seal.stats.pairs.features import Regressor, is_text
from seal.stats.pairs.joins import Inputs, collect_all
from seal.stats.pairs.sides import SIDES, pair_up, stands_twice
from seal.stats.regression.cells import pack

_ANY = pl.lit(True)


@dataclass(frozen=True)
class SeveralLabelers:
    """Blocks of pairs with the packed labels of further labelers, to be walked through once.

    A block is one of `rows` less the pairs that some labeler has not labeled in full on both sides; labeler
    i's words are `w0_chosen@i`, ... A feature that a labeler lacks counts as 0 there (see `lacking`).

    Attributes:
        rows: blocks of `seal.stats.pairs.joins.Pairs`.
        inputs: the frames behind them.
        others: LABELS of one further labeler each.
    """

    rows: Iterable[pl.DataFrame]
    inputs: Inputs
    others: Sequence[pl.LazyFrame]

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for block in self.rows:
            entering = block.filter("regressed")
            if not entering.height:
                continue
            ids = entering["row_id"]
            for i, frame in enumerate(self.others, 1):
                entering = entering.join(self._said(frame, i, ids), on="row_id", how="inner")
            yield entering.sort("row_id")

    def lacking(self, r: Regressor) -> list[int]:
        """Numbers of the further labelers that do not label a feature."""
        return [i for i, frame in enumerate(self.others, 1) if not _has(r, frame)]

    def codes(self, part: pl.DataFrame, side: str, columns: Sequence[int]) -> NDArray[np.int8]:
        """(L, rows, K), labels of all labelers, the first one's first."""
        suffixes = ["", *(f"@{i}" for i in range(1, len(self.others) + 1))]
        return np.stack([self.inputs.codes(part, side, s)[:, list(columns)] for s in suffixes])

    def _said(self, frame: pl.LazyFrame, i: int, ids: pl.Series) -> pl.DataFrame:
        low, high = int(ids[0]), int(ids[-1])
        typed = check(frame, LABELS, origin="labels").filter(
            pl.col("variant") == self.inputs.variant, pl.col("row_id").is_between(low, high)
        )
        packed = self.inputs.regressed.packed
        values = [r.value() if _has(r, frame) else pl.lit(0, pl.Int8) for r in packed]
        whole = pl.all_horizontal([_ANY, *(v.is_not_null() for v in values)])
        words = {w: (whole, word) for w, word in zip(self.inputs.words, pack(values), strict=True)}
        (found,) = collect_all([pair_up(typed, words)])
        if found.filter(stands_twice()).height:
            raise InputError("a labeler labels a text twice; every (row_id, preference, variant) stands once")
        names = {f"{w}_{s}": f"{w}_{s}@{i}" for w in self.inputs.words for s in SIDES}
        return found.select("row_id", *names).rename(names).drop_nulls()


def _has(r: Regressor, frame: pl.LazyFrame) -> bool:
    kind = frame.collect_schema().get(r.feature)
    return kind == pl.Boolean() if r.kind == "boolean" else is_text(kind)
