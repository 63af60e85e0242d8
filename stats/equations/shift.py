"""Eq. 2, reward shift: how far the features of the two texts stretch or turn the rewards between the models.

The change of the margin on the chosen and rejected text's features, with intercept, least squares with HC1
variance and t(n - p); clustered on request. The margin comes in SDs of each model's own margins (first: two
models' raw scales are not comparable) and in reward units. theta and the normalised margin, which depend on
where a model's rewards have their zero, stand beside them for comparison with the published study.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint_influence import margin_influence
from seal.stats.equations.standardised import inflation, unless_nothing
from seal.stats.options import THETA, Inference, Theta
from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.places import Places
from seal.stats.pairs.rewards import (
    SHIFTS,
    ZERO,
    Origin,
    margin_change,
    normalised_margin_change,
    standardised_margin_change,
    theta,
)
from seal.stats.pairs.two_sided import INTERCEPT, Column, KeptColumns, choose, differing, sides
from seal.stats.regression import linear
from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import INFERENCE, Floats, Rows, coefficient, coefficient_table

STANDARDISED = SHIFTS[0]
SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("outcome", "preference", "term"), pl.String()) | INFERENCE | {"n_pairs": pl.Int64()}
)


@dataclass(frozen=True)
class Walk:
    """The pairs behind the cells, for the error of the SDs.

    Attributes:
        rows: blocks, to be walked through twice (see `seal.stats.pairs.spool.Spool`).
        inputs: for the layout of their labels.
        places: their clusters.
    """

    rows: Iterable[pl.DataFrame]
    inputs: Inputs
    places: Places


def outcomes(
    kind: Theta = THETA, *, origin: Origin = ZERO, sd: tuple[float, float] = (1.0, 1.0)
) -> dict[str, pl.Expr]:
    """The outcomes as expressions over a block of pairs.

    Args:
        kind: of theta.
        origin: what theta and the normalised margin subtract from the rewards of pre and of post.
        sd: of the margins of pre and of post.
    """
    return {
        "standardised_margin_change": standardised_margin_change(sd),
        "margin_change": margin_change(),
        "theta": theta(kind, origin),
        "normalised_margin_change": normalised_margin_change(origin),
    }


def estimate_shift(
    cells: Cells,
    columns: list[Column],
    how: Inference,
    *,
    kept: KeptColumns[Column] | None = None,
    walk: Walk | None = None,
) -> Equation:
    """Estimate Eq. 2 for each outcome; a family is the features of one outcome.

    Args:
        cells: patterns with the outcomes of `outcomes`.
        columns: the design's columns, as the cells hold them.
        how: multiplicity, intervals, collinearity.
        kept: the columns that enter, where several equations choose together; else this one chooses.
        walk: the pairs; without them the SDs of the margins are taken as known.

    Returns:
        Estimates in degrees for theta, in SDs of margins or reward units for margins.
    """
    kept = choose(cells, columns, "margin_change", how.max_vif) if kept is None else kept
    rows: Rows = []
    notes: list[str] = []
    for outcome in SHIFTS:
        grown = _inflation(walk, kept) if walk is not None and outcome == STANDARDISED else None
        found, said = _rows(cells, outcome, kept, how.level, grown)
        rows += [{"outcome": outcome, **key, **row} for key, row in zip(kept.keys, found, strict=True)]
        notes += [f"shift, {outcome}: {text}" for text in said]
    if missing := cells.total("margin_change") - cells.total("theta"):
        notes.append(f"shift: theta of {missing} pairs is null, both rewards of a model being zero")
    table = coefficient_table(rows, SCHEMA, "outcome", how.adjust, outside=INTERCEPT)
    return Equation(table, kept.verdicts, notes=tuple(notes))


def _inflation(walk: Walk, kept: KeptColumns[Column]) -> tuple[Floats, Floats] | None:
    """`inflation` of the standardised outcome, (p,) each."""

    def design(part: pl.DataFrame) -> Floats:
        return sides(part, walk.inputs, kept.positions)

    try:
        return inflation(margin_influence(walk.rows, design, kept.names, walk.places))
    except np.linalg.LinAlgError:
        return None


def _rows(
    cells: Cells,
    outcome: str,
    kept: KeptColumns[Column],
    level: float,
    grown: tuple[Floats, Floats] | None,
) -> tuple[Rows, list[str]]:
    informative = [float("inf"), *(float(differing(cells, outcome, j)) for j in kept.positions)]
    try:
        found = linear.fitted_rows(
            cells, outcome, kept.positions, kept.names, informative,
            intercept=True, robust="HC1", level=level, scarce="pairs vary in",
        )  # fmt: skip
    except np.linalg.LinAlgError:
        n = cells.total(outcome)
        said = f"not estimated, the features do not vary enough in {n} pairs"
        return [{"n_pairs": n} for _ in kept.names], [said]
    if grown is None:
        return found.rows, found.notes
    scaled = zip(found.rows, found.dof.tolist(), *(x.tolist() for x in grown), strict=True)
    rows = [unless_nothing(_scaled(row, dof, by, level), size) for row, dof, by, size in scaled]
    return rows, found.notes


def _scaled(row: dict[str, object], dof: float, by: float, level: float) -> dict[str, object]:
    """The row with its standard error times `by`."""
    if row["std_error"] is None:
        return row
    estimate, error = float(str(row["estimate"])), float(str(row["std_error"]))
    return row | coefficient(estimate, error * by, dof, level)
