"""The differences that Eq. 1 regresses on, grouped by pattern: one slope a feature, or one for each value.

A pair's difference is chosen less rejected; with two texts a pair that is the pair's fixed effect. Cells are
split further by a cluster and by the columns that slopes differ by: sums stay exact, and no text is kept. Of
several labelers the same pairs come once each: the effect is then that of the pair and labeler.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.errors import UsageError
from seal.stats.pairs.features import Features, Regressor
from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.places import PAIR
from seal.stats.pairs.rewards import SHIFTS, margin, standardised_margin_change
from seal.stats.pairs.sides import SIDES
from seal.stats.regression.cells import FIELDS, Cells, Codes, packed_difference, unpacked
from seal.stats.regression.inference import Floats
from seal.stats.regression.store import Part
from seal.stats.regression.tally import PairTally

MOST_SLOPES = 20
STANDARDISED = SHIFTS[0]
_CLUSTER = "__cluster"


def outcomes(inputs: Inputs) -> dict[str, str]:
    """The three outcomes, and what each is called as a model."""
    return {"pre": inputs.pre, "post": inputs.post, "change": f"{inputs.post}-{inputs.pre}"}


class Differences:
    """Pairs grouped by their feature differences, block by block.

    Args:
        inputs: the frames; errors are clustered by their `cluster`.
        interactions: (feature, column of the blocks): a slope of the feature for each value of the column.
        stacked: the same pairs come once for each labeler, and errors are clustered by pair at least.
        sd: of the margins of pre and post; the cells then have the outcome `STANDARDISED` also.

    Attributes:
        spread: SDs of rewards and covariates over the texts.
        split: columns that differ between the two texts of some pair.
        n_unknown: pairs left out for a null in a column that slopes differ by.
    """

    def __init__(
        self,
        inputs: Inputs,
        interactions: Sequence[tuple[str, str]] = (),
        *,
        stacked: bool = False,
        sd: tuple[float, float] | None = None,
    ) -> None:
        self.inputs, self.interactions, self.sd = inputs, tuple(interactions), sd
        refuse_unknown(inputs.regressed, self.interactions)
        self.spread = Spread(("pre", "post", *inputs.covariates))
        self.split: set[str] = set()
        self.n_unknown = 0
        self._levels: dict[str, dict[str, int]] = {column: {} for _, column in self.interactions}
        self._covariates = [f"d_{x}" for x in inputs.covariates]
        self._pair = [PAIR] if stacked else []
        self.cluster = inputs.cluster or (PAIR if stacked else None)
        numbers = (_number(column) for column in self._levels)
        self._tally = PairTally(
            (*inputs.words, *numbers), [*outcomes(inputs), *self._standardised], covariates=self._covariates,
            split_by=(*([_CLUSTER] if self.cluster else []), *self._pair),
        )  # fmt: skip

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`."""
        self.split |= {c for c in self.inputs.beside if block[f"{c}_split"].any()}
        regressed = block.filter("regressed")
        pairs = regressed.drop_nulls(list(self._levels))
        self.n_unknown += regressed.height - pairs.height
        self.spread.add(pairs)
        margins = {m: margin(m) for m in ("pre", "post")}
        n_codes = len(self.inputs.regressed.packed)
        fields = [min(FIELDS, n_codes - FIELDS * i) for i in range(len(self.inputs.words))]
        words = {
            w: packed_difference(pl.col(f"{w}_chosen"), pl.col(f"{w}_rejected"), n)
            for w, n in zip(self.inputs.words, fields, strict=True)
        }
        split = {_CLUSTER: pl.col(self.cluster)} if self.cluster else {}
        split |= {_number(c): self._numbered(pairs, c) for c in self._levels}
        dense = {f"d_{x}": margin(x) for x in self.inputs.covariates}
        change = margins["post"] - margins["pre"]
        values = margins | {"change": change} | self._standardised
        self._tally.add(pairs.select(*self._pair, **words, **split, **dense, **values))

    @property
    def _standardised(self) -> dict[str, pl.Expr]:
        return {STANDARDISED: standardised_margin_change(self.sd)} if self.sd is not None else {}

    def _numbered(self, pairs: pl.DataFrame, column: str) -> pl.Expr:
        """The values of a column as numbers, in the order they came."""
        known = self._levels[column]
        for value in pairs[column].unique(maintain_order=True):
            known.setdefault(value, len(known))
        refuse_crowded(column, len(known))
        return pl.col(column).replace_strict(known, return_dtype=pl.Int64)

    @property
    def n_pairs(self) -> int:
        """Pairs that entered."""
        return len(np.unique(self._tally.rows(PAIR))) if self._pair else self._tally.n_pairs

    def n_clusters(self) -> int:
        """Clusters of those pairs; as many as pairs where errors are by pair."""
        return len(np.unique(self._tally.rows(_CLUSTER))) if self.cluster else self._tally.n_pairs

    @cached_property
    def slopes(self) -> tuple["Slope", ...]:
        """The design's columns: coded regressors, curves (their `curve` set), covariates."""
        features = self.inputs.regressed
        kinds = ((features.coded, False), (features.curves, True), (features.numeric, False))
        found: list[Slope] = []
        for regressors, curve in kinds:
            first = len(features.coded) if curve else 0
            for i, regressor in enumerate(regressors, first):
                found += self._crossed(Slope(regressor, i, curve=curve))
        return tuple(found)

    def unit(self, slope: "Slope") -> float:
        """What of a column standardised estimates are for: 1, of a covariate its SD over the texts."""
        if slope.regressor.kind != "numeric":
            return 1.0
        return self.spread.sd(self.inputs.covariates[slope.at])

    def _crossed(self, slope: "Slope") -> list["Slope"]:
        """A slope for each value of each column that the feature is crossed with."""
        out = [slope]
        for feature, column in self.interactions:
            if feature != slope.regressor.feature or slope.curve:
                continue
            levels = sorted(self._levels[column].items())
            out = [s.within(column, value, number) for s in out for value, number in levels]
        return out

    @property
    def regressors(self) -> tuple[Regressor, ...]:
        """What the design's columns are, the curves left out; `positions` says where each stands."""
        return tuple(s.regressor for s in self.slopes if not s.curve)

    @property
    def positions(self) -> list[int]:
        """Of each of `regressors`, its column in the cells."""
        return [j for j, s in enumerate(self.slopes) if not s.curve]

    def cells(self) -> Cells | None:
        """The differences as arrays, or None where no pair could enter; asked for when all are added."""
        return self._cells

    @cached_property
    def _cells(self) -> Cells | None:
        n_dense = sum(s.regressor.kind == "numeric" for s in self.slopes)
        found = self._tally.cells(self._codes, self._dense, (len(self.slopes) - n_dense, n_dense))
        if found is None:
            return None
        wider = self.inputs.cluster is not None  # by pair, also of several labelers, no factor is due
        return replace(found, per_row=2, corrected=wider)

    def _codes(self, part: Part) -> Codes:
        words = [part[w] for w in self.inputs.words]
        own = unpacked(words, len(self.inputs.regressed.packed), 2)
        if not self.interactions:
            return own
        coded = [s for s in self.slopes if s.regressor.kind != "numeric"]
        return np.array([own[:, s.at] * s.here(part) for s in coded], dtype=np.int8).T

    def _dense(self, part: Part) -> Floats:
        numeric = [s for s in self.slopes if s.regressor.kind == "numeric"]
        values = [part[self._covariates[s.at]] * s.here(part) for s in numeric]
        return np.array(values, dtype=np.float64).reshape(-1, len(part)).T

    def informative(self, cells: Cells, j: int) -> int:
        """Pairs in which a column differs between the two texts."""
        if not self._pair:
            cells = cells.patterns
            parts = ((cells.counts["pre"][p], cells.column(p, j)) for p in cells.parts())
            return int(sum(n[x != 0].sum() for n, x in parts))
        pairs = self._tally.rows(PAIR)
        return len(np.unique(np.concatenate([pairs[p][cells.column(p, j) != 0] for p in cells.parts()])))


def _number(column: str) -> str:
    return f"__{column}"


@dataclass(frozen=True)
class Slope:
    """One column of Eq. 1.

    Attributes:
        regressor: what it is; `f:column=value` where it counts for one value of a column alone.
        at: where its feature stands among the packed ones, or among the covariates.
        where: (column, number of the value) it counts for.
        curve: whether it is the absolute value of a ternary feature, which tests its linearity.
    """

    regressor: Regressor
    at: int
    where: tuple[tuple[str, int], ...] = ()
    curve: bool = False

    def within(self, column: str, value: str, number: int) -> "Slope":
        """The slope for one value of a column."""
        term = replace(self.regressor, term=f"{self.regressor.term}:{column}={value}")
        return replace(self, regressor=term, where=(*self.where, (column, number)))

    def here(self, part: Part) -> NDArray[np.bool_]:
        """The rows it counts for."""
        out = np.ones(len(part), dtype=np.bool_)
        for column, number in self.where:
            out &= part[_number(column)] == number
        return out


def refuse_crowded(column: str, n_values: int) -> None:
    """Refuse a slope for each of very many values."""
    if n_values > MOST_SLOPES:
        raise UsageError(f"interactions: {column} has over {MOST_SLOPES} values, too many for slopes")


def refuse_unknown(features: Features, interactions: Sequence[tuple[str, str]]) -> None:
    """Refuse slopes of what is no regressor, naming those there are."""
    known = dict.fromkeys(r.feature for r in features.regressors)
    for feature, column in interactions:
        if feature not in known:
            raise UsageError(
                f"interactions {feature}:{column}: no regressor {feature!r}; there are: {', '.join(known)}"
            )


class Spread:
    """Standard deviations over the texts of the pairs that enter, both sides pooled."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._sums = np.zeros((len(self._columns), 3))
        self._origin: Floats | None = None  # the first text's: squares of rewards far from zero lose digits

    def add(self, pairs: pl.DataFrame) -> None:
        """Add a block."""
        if not pairs.height:
            return
        if self._origin is None:
            self._origin = np.array([pairs[f"{c}_{SIDES[0]}"][0] for c in self._columns], dtype=np.float64)
        for i, column in enumerate(self._columns):
            values = np.concatenate([pairs[f"{column}_{s}"].to_numpy() for s in SIDES]) - self._origin[i]
            self._sums[i] += len(values), values.sum(), values @ values

    def sd(self, column: str) -> float:
        """Sample standard deviation; NaN where there are not two texts, or no variation."""
        n, s, q = self._sums[self._columns.index(column)]
        variance = (q - s * s / n) / (n - 1) if n > 1 else 0.0
        return float(np.sqrt(variance)) if variance > 1e-14 * max(q / max(n, 1), 1e-300) else float("nan")
