"""Eq. 2, reward shift: how far the features of the two texts turn or stretch the rewards between the models.

theta (and the two margin outcomes, which unlike theta are monotone in alignment) on the chosen and rejected
text's features, with intercept, least squares with HC1 variance and t(n - p); clustered on request.
"""

import numpy as np
import polars as pl

from seal.stats.equations.equation import Equation
from seal.stats.options import THETA, Inference, Theta
from seal.stats.pairs.rewards import SHIFTS, margin_change, normalised_margin_change, theta
from seal.stats.pairs.two_sided import INTERCEPT, Column, KeptColumns, choose, differing
from seal.stats.regression import linear
from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import INFERENCE, Rows, coefficient_table

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("outcome", "preference", "term"), pl.String()) | INFERENCE | {"n_pairs": pl.Int64()}
)


def outcomes(kind: Theta = THETA) -> dict[str, pl.Expr]:
    """The three outcomes as expressions over a block of pairs."""
    changes = (theta(kind), margin_change(), normalised_margin_change())
    return dict(zip(SHIFTS, changes, strict=True))


def estimate_shift(cells: Cells, columns: list[Column], how: Inference) -> Equation:
    """Estimate Eq. 2 for each outcome; a family is the features of one outcome.

    Args:
        cells: patterns with the outcomes of `outcomes`.
        columns: the design's columns, as the cells hold them.
        how: multiplicity, intervals, collinearity.

    Returns:
        Estimates in degrees for theta, in reward units for margins.
    """
    kept = choose(cells, columns, "margin_change", how.max_vif)
    rows: Rows = []
    notes: list[str] = []
    for outcome in SHIFTS:
        found, said = _rows(cells, outcome, kept, how.level)
        rows += [{"outcome": outcome, **key, **row} for key, row in zip(kept.keys, found, strict=True)]
        notes += [f"shift, {outcome}: {text}" for text in said]
    if missing := cells.total("margin_change") - cells.total("theta"):
        notes.append(f"shift: theta of {missing} pairs is null, both rewards of a model being zero")
    table = coefficient_table(rows, SCHEMA, "outcome", how.adjust, outside=INTERCEPT)
    return Equation(table, kept.verdicts, notes=tuple(notes))


def _rows(cells: Cells, outcome: str, kept: KeptColumns[Column], level: float) -> tuple[Rows, list[str]]:
    plain = cells.cluster is None  # wider clusters have a variance of their own
    informative = [differing(cells, outcome, j) if plain else float("inf") for j in kept.positions]
    try:
        return linear.coefficient_rows(
            cells, outcome, kept.positions, kept.names, [float("inf"), *informative],
            intercept=True, robust="HC1", level=level, scarce="pairs vary in",
        )  # fmt: skip
    except np.linalg.LinAlgError:
        n = cells.total(outcome)
        said = f"not estimated, the features do not vary enough in {n} pairs"
        return [{"n_pairs": n} for _ in kept.names], [said]
