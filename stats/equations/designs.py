"""Eq. 1 beyond the one pair effect: what may be asked for, and the designs that differences are enough for.

Slopes for each value of a column and labelers stacked are least squares of differences still, and go through
cells; what differs between the two texts of a pair is left to `imprint_fixed_effects`. Stacked, the effect is
that of the pair and labeler: with the pair's alone, what labelers disagree on about one text would enter the
features' variance and never their covariance with the reward.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.stats.equations.differences import STANDARDISED, Differences, outcomes
from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint import CHOSEN_TERM, NO_FEATURE, NO_PAIR, SCHEMA
from seal.stats.equations.imprint_influence import MODELS
from seal.stats.equations.standardised import CHANGE, known_sd_columns, with_adjusted, without_rounding
from seal.stats.options import USUAL, Inference
from seal.stats.pairs.joins import Inputs, Pairs
from seal.stats.pairs.places import PAIR
from seal.stats.regression import collinearity, linear
from seal.stats.regression.inference import FEW_INFORMATIVE, Floats, Rows, coefficient_table

LABELER = "labeler"
KNOWN_SDS = (
    "imprint: in this design the SDs of the models' margins are taken as known in the errors of `_std`"
)
_FEW_CLUSTERS = 30  # below it the clustered sandwich is too small on average


@dataclass(frozen=True)
class Design:
    """What is asked for beside the pair effect.

    Attributes:
        fixed_effects: columns of TEXTS, or `labeler`.
        cluster: column to cluster by in place of the pair; the same for both texts of a pair.
        interactions: (feature, column): a slope of the feature for each value of the column.
    """

    fixed_effects: tuple[str, ...] = ()
    cluster: str | None = None
    interactions: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if PAIR in self.fixed_effects:
            raise UsageError("the pair effect (row_id) is always in Eq. 1; name further effects only")
        if self.cluster in (PAIR, LABELER):
            raise UsageError(
                f"cluster cannot be {self.cluster!r}: name `pair`, or a column of TEXTS of whole pairs"
            )
        if self.cluster and self.cluster in {c for _, c in self.interactions}:
            raise UsageError(
                f"a slope for each {self.cluster} rests on one cluster alone when errors are clustered by "
                f"{self.cluster}: no error can be given; drop one of cluster and interactions"
            )

    @property
    def stacked(self) -> bool:
        """Whether every labeler's labels enter, one row a text and labeler."""
        return LABELER in (*self.fixed_effects, *(c for _, c in self.interactions))

    @property
    def effects(self) -> tuple[str, ...]:
        """Columns of TEXTS with effects of their own."""
        return tuple(dict.fromkeys(c for c in self.fixed_effects if c != LABELER))

    @property
    def crossed(self) -> tuple[str, ...]:
        """Columns of TEXTS that slopes differ by."""
        return tuple(dict.fromkeys(c for _, c in self.interactions if c != LABELER))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns the design needs of TEXTS."""
        cluster = (self.cluster,) if self.cluster else ()
        return tuple(dict.fromkeys((*self.effects, *cluster, *self.crossed)))

    @property
    def plain(self) -> bool:
        """Whether the differences have one slope a feature and come from one labeler."""
        return not (self.stacked or self.interactions)

    def varying(self, split: Iterable[str]) -> tuple[str, ...]:
        """Of its effects and what slopes differ by, the columns that differ within pairs."""
        return tuple(c for c in dict.fromkeys((*self.effects, *self.crossed)) if c in set(split))

    def notes(self, gathered: Differences) -> list[str]:
        """What is to be said of effects that change nothing, of pairs left out, and of few clusters."""
        said = [
            f"{c} is the same for both texts of every pair: the pair effect absorbs it, nothing changes"
            for c in self.effects
            if c not in gathered.split
        ]
        if gathered.n_unknown:
            said.append(
                f"{gathered.n_unknown} pairs have no {' or '.join(self.crossed)}: left out of the imprint"
            )
        if self.cluster and gathered.n_pairs:
            n = gathered.n_clusters()
            rough = ": intervals are rough" if n < _FEW_CLUSTERS else ""
            if n < gathered.n_pairs:
                said.append(
                    f"errors are clustered by {self.cluster}, {n} clusters of {gathered.n_pairs} pairs{rough}"
                )
        return said


def stack(
    inputs: Inputs,
    design: Design,
    labelers: Sequence[tuple[str, pl.LazyFrame]],
    sd: tuple[float, float] | None = None,
) -> Differences:
    """The differences of every labeler, each pair once for each of them.

    Args:
        inputs: the frames; their features are taken of all labelers.
        design: names the interactions.
        labelers: (name, LABELS frame).
        sd: of the margins of pre and post.

    Raises:
        InputError: a labeler lacks a feature.
    """
    gathered = Differences(inputs, design.interactions, stacked=True, sd=sd)
    for name, labels in labelers:
        _refuse_lacking(inputs, name, labels)
        for block in Pairs(replace(inputs, labels=labels)):
            gathered.add(block.with_columns(pl.lit(name).alias(LABELER)))
    return gathered


def _refuse_lacking(inputs: Inputs, name: str, labels: pl.LazyFrame) -> None:
    own = inputs.regressed.packed if inputs.computed is not None else inputs.regressed.regressors
    there = labels.collect_schema()
    if missing := [r.feature for r in (*own, *inputs.regressed.targets) if r.feature not in there]:
        raise InputError(
            f"labeler {name!r} has no {', '.join(dict.fromkeys(missing))}; all that are stacked need them"
        )


def imprint_by_cells(gathered: Differences, how: Inference = USUAL, *, chosen_side: bool = False) -> Equation:
    """Eq. 1 with slopes that differ by a column, or with labelers stacked.

    Errors are by pair without small-sample factors, also where each pair stands there once for each labeler,
    or by the inputs' cluster with pyfixest's default ones; t(clusters - 1).

    Args:
        gathered: the differences.
        how, chosen_side: as in `seal.stats.equations.imprint.feature_imprint`.
    """
    cells, inputs = gathered.cells(), gathered.inputs
    if cells is None:
        return Equation(pl.DataFrame(schema=SCHEMA), notes=(NO_PAIR,))
    gram = linear.cross_products(cells, "pre", gathered.positions, intercept=chosen_side)
    gram = linear.centred(gram) if chosen_side else gram
    terms = [r.term for r in gathered.regressors]
    judged = collinearity.select(gram, terms, threshold=how.max_vif)
    verdicts = tuple(zip(gathered.regressors, judged, strict=True))
    kept = [j for j, v in zip(gathered.positions, judged, strict=True) if v.kept]
    if not kept:
        return Equation(pl.DataFrame(schema=SCHEMA), verdicts, notes=(NO_FEATURE,))
    names = [*[CHOSEN_TERM] * chosen_side, *(r.term for r, v in verdicts if v.kept)]
    n_pairs = gathered.n_pairs
    informative = [*[n_pairs] * chosen_side, *(gathered.informative(cells, j) for j in kept)]
    by_pair = cells.cluster is None
    units = np.array([1.0] * chosen_side + [gathered.unit(gathered.slopes[j]) for j in kept])
    rows: Rows = []
    notes: list[str] = []

    def estimated(outcome: str) -> linear.Fitted:
        return linear.fitted_rows(
            cells, outcome, kept, names, informative if by_pair else [float("inf")] * len(names),
            intercept=chosen_side, robust="HC0", level=how.level, scarce="informative pairs for",
        )  # fmt: skip

    for outcome, model in outcomes(inputs).items():
        fitted = estimated(outcome)
        std = _std_columns(gathered, outcome, fitted.rows, units, estimated)
        rows += [
            {"model": model, "term": term, **row, "n_pairs": n_pairs, "n_informative": n, **more}
            for term, row, n, more in zip(names, fitted.rows, informative, std, strict=True)
        ]
        notes += [f"imprint of {model}: {text}" for text in fitted.notes]
    notes += [] if by_pair else few_informative(names, informative)
    rows = without_rounding(rows, outcomes(inputs))
    table = coefficient_table(rows, SCHEMA, "model", how.adjust, outside=CHOSEN_TERM)
    table = with_adjusted(table, "model", how.adjust, outside=CHOSEN_TERM)
    return Equation(table, verdicts, notes=tuple(dict.fromkeys([*notes, KNOWN_SDS])))


def _std_columns(
    gathered: Differences,
    outcome: str,
    rows: Rows,
    units: Floats,
    estimated: Callable[[str], linear.Fitted],
) -> Rows:
    """The `_std` columns of an outcome's rows; the contrast's are a regression of its own."""
    if gathered.sd is None:
        return [{} for _ in rows]
    if outcome == CHANGE:
        varies = min(gathered.sd) > 0
        return (
            known_sd_columns(estimated(STANDARDISED).rows, units.tolist()) if varies else [{} for _ in rows]
        )
    return known_sd_columns(rows, (units / (gathered.sd[MODELS.index(outcome)] or np.nan)).tolist())


def few_informative(terms: Sequence[str], informative: Sequence[int]) -> list[str]:
    """A note on coefficients that few pairs identify, where nothing better than the sandwich is at hand."""
    few = [t for t, n in zip(terms, informative, strict=True) if n < FEW_INFORMATIVE]
    said = f"imprint: fewer than {FEW_INFORMATIVE} informative pairs for {', '.join(few)}: errors too small"
    return [said] if few else []
