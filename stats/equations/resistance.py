"""Eq. 3, alignment resistance: a logit of misalignment on the features of the chosen and the rejected text.

Maximum likelihood with the HC0 sandwich (CR1 when clustered), z statistics, odds ratios and average marginal
effects (the average over pairs of dP/dx, delta-method errors). Separated coefficients, infinite under maximum
likelihood, are Firth's, with profile penalised likelihood.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.stats.options import Adjust, Ties
from seal.stats.pairs.rewards import aligned
from seal.stats.pairs.two_sided import INTERCEPT, Column, KeptColumns, choose
from seal.stats.regression import collinearity
from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import (
    FEW_INFORMATIVE,
    INFERENCE,
    adjust_families,
    wald,
)
from seal.stats.regression.logit import EFFECTS, LogitFit, logit_rows

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "preference", "term"), pl.String()) | INFERENCE | EFFECTS
)


@dataclass(frozen=True)
class Resistance:
    """Eq. 3: `table` has the columns of `SCHEMA`; estimates are log odds ratios of misalignment."""

    table: pl.DataFrame
    verdicts: tuple[tuple[Column, collinearity.Verdict], ...]
    tests: tuple[dict[str, object], ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def nothing(cls) -> "Resistance":
        """The result where no pair could enter."""
        return cls(pl.DataFrame(schema=SCHEMA), ())


def outcomes(ties: Ties) -> dict[str, pl.Expr]:
    """Misalignment of the two models as expressions over a block of pairs."""
    return {f"misaligned_{m}": ~aligned(m, ties) for m in ("pre", "post")}


def estimate_resistance(
    cells: Cells,
    columns: list[Column],
    *,
    models: tuple[str, str],
    method: Adjust,
    level: float,
    max_vif: float,
) -> Resistance:
    """Estimate Eq. 3 for the pre and the post model; a family is the features of one model.

    Args:
        cells: patterns with the outcomes of `outcomes`.
        columns: the design's columns, as the cells hold them.
        models: names of the pre and the post model.
        method: for multiplicity.
        level: of the intervals.
        max_vif: regressors above it are dropped.
    """
    kept = choose(cells, columns, "misaligned_post", max_vif, FEW_INFORMATIVE)
    rows: list[dict[str, object]] = []
    notes: list[str] = []
    tests: list[dict[str, object]] = []
    for outcome, model in zip(("misaligned_pre", "misaligned_post"), models, strict=True):
        keys = [{"model": model, "preference": None, "term": INTERCEPT}]
        keys += [{"model": model, "preference": c.preference, "term": c.regressor.term} for c in kept.columns]
        names = [INTERCEPT, *(c.name for c in kept.columns)]
        found, said, fit = logit_rows(cells, outcome, kept.positions, names, level, f"resistance of {model}")
        rows += [key | row for key, row in zip(keys, found, strict=True)]
        notes += said
        if fit is not None:
            tests += _antisymmetry(fit, kept, model)
    if kept.few:
        notes.append(
            f"resistance: fewer than {FEW_INFORMATIVE} pairs vary in {', '.join(kept.few)}: take care"
        )
    table = adjust_families(pl.DataFrame(rows, schema=SCHEMA), ["model"], method, outside=(INTERCEPT,))
    return Resistance(table, kept.verdicts, tuple(tests), tuple(notes))


def _antisymmetry(fit: LogitFit, kept: KeptColumns, model: str) -> list[dict[str, object]]:
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
    rows: list[dict[str, object]] = []
    for group, part in [(f"{model}: all features", slice(None)), *groups]:
        statistic, p_value, rank = wald(sums[part], covariance[part, part])
        if rank:
            rows.append(
                {
                    "test": "wald_antisymmetry",
                    "group": group,
                    "statistic": statistic,
                    "p_value": p_value,
                    "n": fit.n,
                }
            )
    return rows
