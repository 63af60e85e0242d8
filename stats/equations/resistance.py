"""Eq. 3, alignment resistance: a logit of misalignment on the features of the chosen and the rejected text.

Maximum likelihood with the HC0 sandwich (CR1 when clustered), z statistics, odds ratios and average marginal
effects (the average over pairs of dP/dx, delta-method errors). Separated coefficients, infinite under maximum
likelihood, are Firth's, with profile penalised likelihood.
"""

import numpy as np
import polars as pl

from seal.stats.equations.equation import Equation
from seal.stats.options import Inference, Ties
from seal.stats.pairs.rewards import aligned
from seal.stats.pairs.two_sided import INTERCEPT, Column, KeptColumns, choose, differing
from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import FEW_INFORMATIVE, INFERENCE, Rows, coefficient_table, tested, wald
from seal.stats.regression.logit import EFFECTS, LogitFit, logit_rows

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "preference", "term"), pl.String()) | INFERENCE | EFFECTS
)


def outcomes(ties: Ties) -> dict[str, pl.Expr]:
    """Misalignment of the two models as expressions over a block of pairs."""
    return {f"misaligned_{m}": ~aligned(m, ties) for m in ("pre", "post")}


def estimate_resistance(
    cells: Cells,
    columns: list[Column],
    how: Inference,
    *,
    models: tuple[str, str],
    kept: KeptColumns[Column] | None = None,
) -> Equation:
    """Estimate Eq. 3 for the pre and the post model; a family is the features of one model.

    Args:
        cells: patterns with the outcomes of `outcomes`.
        columns: the design's columns, as the cells hold them.
        how: multiplicity, intervals, collinearity.
        models: names of the pre and the post model.
        kept: the columns that enter, where several equations choose together; else this one chooses.

    Returns:
        Estimates are log odds ratios of misalignment.
    """
    kept = choose(cells, columns, "misaligned_post", how.max_vif) if kept is None else kept
    rows: Rows = []
    notes: list[str] = []
    tests: Rows = []
    for outcome, model in zip(("misaligned_pre", "misaligned_post"), models, strict=True):
        what = f"resistance of {model}"
        found, said, fit = logit_rows(cells, outcome, kept.positions, kept.names, how.level, what)
        rows += [{"model": model, **key, **row} for key, row in zip(kept.keys, found, strict=True)]
        notes += said
        tests += _antisymmetry(fit, kept, model) if fit is not None else []
    named = zip(kept.positions, kept.columns, strict=True)
    if few := [c.name for j, c in named if differing(cells, "misaligned_post", j) < FEW_INFORMATIVE]:
        notes.append(f"resistance: fewer than {FEW_INFORMATIVE} pairs vary in {', '.join(few)}: take care")
    table = coefficient_table(rows, SCHEMA, "model", how.adjust, outside=INTERCEPT)
    return Equation(table, kept.verdicts, tuple(tests), tuple(notes))


def _antisymmetry(fit: LogitFit, kept: KeptColumns[Column], model: str) -> Rows:
    """Wald tests of rho(chosen) = -rho(rejected), for each feature and for all together."""
    found = {(c.regressor.term, c.preference): i + 1 for i, c in enumerate(kept.columns)}
    terms = [c.regressor.term for c in kept.columns if c.preference == "chosen"]
    terms = [t for t in terms if (t, "rejected") in found]
    if not terms:
        return []
    contrast = np.zeros((len(terms), len(fit.estimate)))
    for i, term in enumerate(terms):
        contrast[i, [found[term, "chosen"], found[term, "rejected"]]] = 1.0
    sums, covariance = contrast @ fit.estimate, contrast @ fit.covariance @ contrast.T
    groups = [(f"{model}: {t}", slice(i, i + 1)) for i, t in enumerate(terms)]
    rows: Rows = []
    for group, part in [(f"{model}: all features", slice(None)), *groups]:
        statistic, p_value, rank = wald(sums[part], covariance[part, part])
        if rank:
            rows.append(tested("wald_antisymmetry", group, statistic, p_value, fit.n))
    return rows
