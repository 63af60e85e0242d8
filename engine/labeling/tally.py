"""What labels look like, counted part by part in bounded memory: nothing of a text is kept."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.frames.schema import CHOSEN, REJECTED
from seal.engine.frames.taxonomy import PROBABILITY

EMPTY = "(empty)"
"""How a list that names nothing is counted."""
_MOST_VALUES = 200
"""Text of more values than this is no category: its values are no longer counted."""
_OTHER = "/other"


@dataclass
class FeatureTally:
    """What one feature's labels add up to.

    Attributes:
        kind: `boolean`, `enum`, `list`, `number` or `text`.
        n: labels that are there: neither null nor, of numbers, NaN or infinite.
        counts: value -> labels that are it, or name it; empty for numbers and for text of many values.
        total, low, high: of numbers.
        n_likely, likely: labels with a probability, and the sum of these.
        n_pairs, n_same: pairs with a label on both sides, and those in which the two are equal.
    """

    kind: str
    n: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    total: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")
    n_likely: int = 0
    likely: float = 0.0
    n_pairs: int = 0
    n_same: int = 0

    @property
    def most(self) -> tuple[str | None, int]:
        """The commonest value, of several the first in the alphabet, and how often it stands."""
        return max(sorted(self.counts.items()), key=lambda item: item[1], default=(None, 0))

    def add(self, labels: pl.Series) -> None:
        """Add the labels of a part."""
        labels = labels.drop_nulls()
        if self.kind == "number":
            labels = labels.cast(pl.Float64)
            labels = labels.filter(labels.is_finite())
        self.n += labels.len()
        if self.kind == "number":
            numbers = labels.to_numpy()
            if numbers.size:
                self.total += float(numbers.sum())
                self.low, self.high = (
                    min(self.low, float(numbers.min())),
                    max(self.high, float(numbers.max())),
                )
            return
        if self.kind == "list":
            sizes = labels.list.len()
            self.counts[EMPTY] += int((sizes == 0).sum())
            labels = labels.filter(sizes > 0).list.unique().explode()
        if self.kind == "text" and not self.counts and self.n > labels.len():
            return  # it had too many values before
        for value, n in labels.cast(pl.String).value_counts().iter_rows():
            self.counts[value] += n
        if self.kind == "text" and len(self.counts) > _MOST_VALUES:
            self.counts.clear()


def kind_of(dtype: pl.DataType) -> str:
    """What a column of labels is, in a word."""
    if dtype == pl.Boolean():
        return "boolean"
    if isinstance(dtype, pl.List):
        return "list"
    if isinstance(dtype, pl.Enum | pl.Categorical):
        return "enum"
    return "number" if dtype.is_numeric() else "text"


@dataclass
class LabelerTally:
    """What the labels of one labeler add up to.

    Attributes:
        types: its columns; `p_<feature>` belongs to its feature.
        features: by name.
        n: rows.
        n_pairs, n_same: pairs with rows on both sides, and those whose labels are all equal.
        n_all_true, n_all_false: rows in which every boolean is so.
        true: (booleans, booleans) rows in which both are true.
        equal: (booleans, booleans) rows in which both are the same.
    """

    types: Mapping[str, pl.DataType]
    features: dict[str, FeatureTally] = field(init=False)
    n: int = 0
    n_pairs: int = 0
    n_same: int = 0
    n_all_true: int = 0
    n_all_false: int = 0
    true: NDArray[np.int64] = field(init=False)
    equal: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        names = [n for n in self.types if n.removeprefix(PROBABILITY) == n or n[2:] not in self.types]
        self.features = {name: FeatureTally(kind_of(self.types[name])) for name in names}
        k = len(self.booleans)
        self.true, self.equal = np.zeros((2, k, k), np.int64)

    @property
    def booleans(self) -> list[str]:
        """The features that are true or false."""
        return [name for name, found in self.features.items() if found.kind == "boolean"]

    def add(self, rows: pl.DataFrame) -> None:
        """Add its rows of a part, which holds whole pairs."""
        self.n += rows.height
        for name, tally in self.features.items():
            tally.add(rows[name])
            if PROBABILITY + name in self.types:
                likely = rows[PROBABILITY + name].drop_nulls().cast(pl.Float64).to_numpy()
                tally.n_likely += likely.size
                tally.likely += float(likely.sum())
        self._add_booleans(rows)
        self._add_pairs(rows)

    def _add_booleans(self, rows: pl.DataFrame) -> None:
        if not self.booleans or not rows.height:
            return
        said = [rows.select((pl.col(self.booleans) == v).fill_null(False)) for v in (True, False)]
        true, false = (frame.to_numpy() for frame in said)
        self.n_all_true += int(true.all(axis=1).sum())
        self.n_all_false += int(false.all(axis=1).sum())
        both_true, both_false = (x.T.astype(np.int64) @ x.astype(np.int64) for x in (true, false))
        self.true += both_true
        self.equal += both_true + both_false

    def _add_pairs(self, rows: pl.DataFrame) -> None:
        names = list(self.features)
        lists = [n for n in names if self.features[n].kind == "list"]
        rows = rows.with_columns(pl.col(lists).list.sort())
        chosen, rejected = (rows.filter(pl.col("preference") == side) for side in (CHOSEN, REJECTED))
        both = chosen.join(rejected, on=["row_id", "variant"], suffix=_OTHER)
        self.n_pairs += both.height
        same = both.select(pl.col(n).eq_missing(pl.col(n + _OTHER)).alias(n) for n in names)
        self.n_same += int(same.select(pl.all_horizontal(pl.all()).sum()).item()) if names else 0
        for name in names:
            there = both[name].is_not_null() & both[name + _OTHER].is_not_null()
            self.features[name].n_pairs += int(there.sum())
            self.features[name].n_same += int((same[name] & there).sum())
