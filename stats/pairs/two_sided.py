"""Designs with the two texts' features side by side: what Eq. 2 and Eq. 3 regress on, grouped by pattern."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import polars as pl

from seal.engine.frames.schema import CHOSEN, REJECTED
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.sides import SIDES
from seal.stats.regression import collinearity, linear
from seal.stats.regression.cells import Cells, Codes, unpacked
from seal.stats.regression.inference import Floats
from seal.stats.regression.store import Part
from seal.stats.regression.tally import PairTally

INTERCEPT = "intercept"


@dataclass(frozen=True)
class Column:
    """One column of the design: a regressor of one side."""

    regressor: Regressor
    preference: str

    @property
    def name(self) -> str:
        """As read in reasons and notes."""
        return f"{self.regressor.term} ({self.preference})"

    @property
    def key(self) -> dict[str, object]:
        """What names it in a result table."""
        return {"preference": self.preference, "term": self.regressor.term}


class Patterns:
    """Pairs grouped by the labels of both texts, block by block.

    Args:
        inputs: the frames; errors are clustered by their `cluster`.
        outcomes: name -> expression over a block of `Pairs`.
    """

    def __init__(self, inputs: Inputs, outcomes: Mapping[str, pl.Expr]) -> None:
        self.inputs, self.outcomes = inputs, dict(outcomes)
        self._words = [f"{w}_{s}" for s in SIDES for w in inputs.words]
        self._dense = [f"{x}_{s}" for s in SIDES for x in inputs.covariates]
        cluster = [inputs.cluster] if inputs.cluster else []
        self._needs = [*self._words, *cluster, *self._dense]
        self._tally = PairTally(self._words, list(self.outcomes), covariates=self._dense, split_by=cluster)

    @property
    def columns(self) -> list[Column]:
        """The design's columns, as the cells hold them."""
        kinds = (self.inputs.regressed.coded, self.inputs.regressed.numeric)
        return [Column(r, s) for kind in kinds for s in (CHOSEN, REJECTED) for r in kind]

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`."""
        pairs = block.filter("regressed")
        self._tally.add(pairs.select(*self._needs, **self.outcomes))

    def cells(self) -> Cells | None:
        """The patterns as arrays, or None where no pair could enter."""
        widths = (2 * len(self.inputs.regressed.coded), len(self._dense))
        return self._tally.cells(self._codes, self._covariates, widths)

    def _codes(self, part: Part) -> Codes:
        n_coded, n_packed = len(self.inputs.regressed.coded), len(self.inputs.regressed.packed)
        sides = [[part[f"{w}_{s}"] for w in self.inputs.words] for s in SIDES]
        return np.concatenate([unpacked(words, n_packed, 1)[:, :n_coded] for words in sides], axis=1)

    def _covariates(self, part: Part) -> Floats:
        return np.array([part[x] for x in self._dense], dtype=np.float64).reshape(-1, len(part)).T


_C = TypeVar("_C", bound=Column)


@dataclass(frozen=True)
class KeptColumns(Generic[_C]):
    """The columns that enter one equation, with every column's verdict."""

    columns: tuple[_C, ...]
    positions: tuple[int, ...]
    verdicts: tuple[tuple[_C, collinearity.Verdict], ...]

    @property
    def names(self) -> list[str]:
        """Of the coefficients, the intercept first, as read in notes."""
        return [INTERCEPT, *(c.name for c in self.columns)]

    @property
    def keys(self) -> list[dict[str, object]]:
        """Of the coefficients, the intercept first: what names each in a result table."""
        return row_keys(self.columns)


def row_keys(columns: Sequence[Column]) -> list[dict[str, object]]:
    """What names the coefficient of the intercept and of each column in a result table."""
    return [{"term": INTERCEPT}, *(c.key for c in columns)]


def choose(cells: Cells, columns: Sequence[_C], outcome: str, max_vif: float) -> KeptColumns[_C]:
    """Drop what never varies, what repeats others, what has too large a VIF (centred, for the intercept).

    Args:
        cells: the data.
        columns: all columns of the cells, in order.
        outcome: whose pairs count.
        max_vif: threshold.
    """
    gram = linear.cross_products(cells, outcome, range(len(columns)), intercept=True)
    judged = collinearity.select(linear.centred(gram), [c.name for c in columns], threshold=max_vif)
    kept = tuple(j for j, v in enumerate(judged) if v.kept)
    return KeptColumns(tuple(columns[j] for j in kept), kept, tuple(zip(columns, judged, strict=True)))


def design_of_sides(
    cells: Cells, columns: Sequence[Column], outcome: str, equation: str
) -> collinearity.Design:
    """What Eq. 2 or 3 regresses on, for the choice of one set of regressors for all equations.

    Args:
        cells, columns, outcome: as for `choose`; columns in the order of `Patterns.columns`.
        equation: what reasons call it.
    """
    gram = linear.centred(linear.cross_products(cells, outcome, range(len(columns)), intercept=True))
    names = list(dict.fromkeys(c.regressor.term for c in columns))
    owners = tuple(names.index(c.regressor.term) for c in columns)
    return collinearity.Design(equation, gram, owners, tuple(c.name for c in columns))


def kept_columns(columns: Sequence[Column], judged: Sequence[collinearity.Verdict]) -> KeptColumns[Column]:
    """The columns that enter, where the verdicts are known."""
    kept = tuple(j for j, v in enumerate(judged) if v.kept)
    return KeptColumns(tuple(columns[j] for j in kept), kept, tuple(zip(columns, judged, strict=True)))


def sides(part: pl.DataFrame, inputs: Inputs, positions: Sequence[int]) -> Floats:
    """The design of Eq. 2 and 3 for rows of a block of `Pairs`: a constant, then `Patterns.columns`.

    Args:
        part: rows that are all `regressed`.
        inputs: for the layout of its packed words.
        positions: of the columns that enter.

    Returns:
        (rows, 1 + len(positions)).
    """
    n_coded = len(inputs.regressed.coded)
    coded = [inputs.codes(part, s)[:, :n_coded].astype(np.float64) for s in SIDES]
    dense = [
        part.select(f"{x}_{s}" for x in inputs.covariates).to_numpy() for s in SIDES if inputs.covariates
    ]
    whole = np.concatenate([*coded, *dense], axis=1)
    return np.concatenate([np.ones((part.height, 1)), whole[:, list(positions)]], axis=1)


def differing(cells: Cells, outcome: str, j: int) -> int:
    """Pairs whose value of column j is not its commonest one (all pairs, for a covariate)."""
    if j >= cells.codes.shape[1]:
        return cells.total(outcome)
    cells, by_value = cells.patterns, np.zeros(9)
    for part in cells.parts():
        at = cells.column(part, j).astype(np.int64) + 4
        by_value += np.bincount(at, weights=cells.counts[outcome][part], minlength=9)
    return int(by_value.sum() - by_value.max())
