"""Eq. 2, reward shift: how far the features of the two texts turn or stretch the rewards between the models.

theta (and the two margin outcomes, which unlike theta are monotone in alignment) on the chosen and rejected
text's features, with intercept, least squares with HC1 variance and t(n - p); clustered on request.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.stats.options import THETA, Adjust, Theta
from seal.stats.pairs.rewards import SHIFTS, margin_change, normalised_margin_change, theta
from seal.stats.pairs.two_sided import INTERCEPT, Column, KeptColumns, choose, differing
from seal.stats.regression import collinearity, linear
from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import FEW_INFORMATIVE, INFERENCE, adjust_families, coefficient

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("outcome", "preference", "term"), pl.String()) | INFERENCE | {"n_pairs": pl.Int64()}
)


@dataclass(frozen=True)
class Shift:
    """Eq. 2: `table` has the columns of `SCHEMA`; theta in degrees, margins in reward units."""

    table: pl.DataFrame
    verdicts: tuple[tuple[Column, collinearity.Verdict], ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def nothing(cls) -> "Shift":
        """The result where no pair could enter."""
        return cls(pl.DataFrame(schema=SCHEMA), ())


def outcomes(kind: Theta = THETA) -> dict[str, pl.Expr]:
    """The three outcomes as expressions over a block of pairs."""
    changes = (theta(kind), margin_change(), normalised_margin_change())
    return dict(zip(SHIFTS, changes, strict=True))


def estimate_shift(
    cells: Cells, columns: list[Column], *, method: Adjust, level: float, max_vif: float
) -> Shift:
    """Estimate Eq. 2 for each outcome; a family is the features of one outcome.

    Args:
        cells: patterns with the outcomes of `outcomes`.
        columns: the design's columns, as the cells hold them.
        method: for multiplicity.
        level: of the intervals.
        max_vif: regressors above it are dropped.
    """
    kept = choose(cells, columns, "margin_change", max_vif, FEW_INFORMATIVE)
    rows: list[dict[str, object]] = []
    notes: list[str] = []
    for outcome in SHIFTS:
        keys = [{"outcome": outcome, "preference": None, "term": INTERCEPT}]
        keys += [
            {"outcome": outcome, "preference": c.preference, "term": c.regressor.term} for c in kept.columns
        ]
        found, said = _rows(cells, outcome, kept, level)
        rows += [key | row for key, row in zip(keys, found, strict=True)]
        notes += said
    if missing := cells.total("margin_change") - cells.total("theta"):
        notes.append(f"shift: theta of {missing} pairs is null, both rewards of a model being zero")
    table = adjust_families(pl.DataFrame(rows, schema=SCHEMA), ["outcome"], method, outside=(INTERCEPT,))
    return Shift(table, kept.verdicts, tuple(notes))


def _rows(
    cells: Cells, outcome: str, kept: KeptColumns, level: float
) -> tuple[list[dict[str, object]], list[str]]:
    n, positions = cells.total(outcome), list(kept.positions)
    nothing: list[dict[str, object]] = [{"n_pairs": n} for _ in range(len(positions) + 1)]
    try:
        fit = linear.least_squares(cells, outcome, positions, intercept=True, robust="HC1")
    except np.linalg.LinAlgError:
        return nothing, [f"shift, {outcome}: not estimated, the features do not vary enough in {n} pairs"]
    rows: list[dict[str, object]] = []
    few, exact = [], []
    for i in range(len(positions) + 1):
        std_error, dof = float(fit.std_error[i]), fit.dof
        if i and cells.cluster is None and differing(cells, outcome, positions[i - 1]) < FEW_INFORMATIVE:
            std_error, dof = linear.few_informative(cells, outcome, positions, fit, i, intercept=True)
            few.append(kept.columns[i - 1].name)
        row = coefficient(float(fit.estimate[i]), std_error, dof, level)
        if row["std_error"] is None:
            exact.append(kept.columns[i - 1].name if i else INTERCEPT)
        rows.append({**row, "n_pairs": n})
    notes = []
    if few:
        notes.append(
            f"shift, {outcome}: fewer than {FEW_INFORMATIVE} pairs vary in {', '.join(few)}: HC2 standard "
            "error and Satterthwaite degrees of freedom there"
        )
    if exact:
        notes.append(
            f"shift, {outcome}: no residual is left to judge {', '.join(exact)} by: no standard error"
        )
    return rows, notes
