"""Corrected coefficients of Eq. 1 as lines of `imprint_corrected.csv`: raw, and in SDs of margins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.stats.equations.differences import outcomes
from seal.stats.equations.gold_sample import COLUMNS
from seal.stats.equations.imprint import SCHEMA as IMPRINT
from seal.stats.equations.standardised import Pair, with_adjusted, without_rounding
from seal.stats.options import Inference
from seal.stats.pairs.joins import Inputs
from seal.stats.regression.inference import Floats, Rows, coefficient, coefficient_table
from seal.stats.regression.influence import Influence

SCHEMA = IMPRINT | COLUMNS


@dataclass(frozen=True)
class Layout:
    """What stands beside every coefficient.

    Attributes:
        inputs: for the models' names.
        terms: (K,).
        method: how it was corrected.
        factor, dof: of the variance, and of the t distribution.
        n_pairs: pairs that enter.
        n_informative: (K,) of them, pairs in which the regressor differs by the labeler's labels.
        n_gold, n_gold_informative: gold pairs, and (K,) those in which the truth differs; None without gold.
    """

    inputs: Inputs
    terms: Sequence[str]
    method: str
    factor: float
    dof: float
    n_pairs: int
    n_informative: Sequence[int | None]
    n_gold: int | None = None
    n_gold_informative: Sequence[int | None] | None = None


def imprint_table(
    found: Mapping[str, Pair], naive: Mapping[str, Floats], layout: Layout, how: Inference
) -> pl.DataFrame:
    """A line for every model and term; Holm (or another rule) over the terms of each model."""
    rows: Rows = []
    gold = layout.n_gold_informative or [None] * len(layout.terms)
    for outcome, model in outcomes(layout.inputs).items():
        raw, std = _lines(found[outcome].raw, layout, how), _lines(found[outcome].std, layout, how)
        for j, term in enumerate(layout.terms):
            row: dict[str, object] = {"model": model, "term": term, **raw[j]}
            row |= {"n_pairs": layout.n_pairs, "n_informative": layout.n_informative[j]}
            row |= {"estimate_std": std[j]["estimate"]}
            row |= {f"{name}_std": std[j][name] for name in _ERRORS}
            row |= {"method": layout.method, "naive_estimate": float(naive[outcome][j])}
            rows.append(row | {"n_gold": layout.n_gold, "n_gold_informative": gold[j]})
    rows = without_rounding(rows, outcomes(layout.inputs))
    table = coefficient_table(rows, SCHEMA, "model", how.adjust, outside="")
    return with_adjusted(table, "model", how.adjust, outside="")


def _lines(of: Influence | None, layout: Layout, how: Inference) -> list[dict[str, float | None]]:
    """A line a coefficient; of nulls where there is no estimate."""
    if of is None:
        return [dict.fromkeys(("estimate", *_ERRORS)) for _ in layout.terms]
    errors = of.std_error * np.sqrt(layout.factor)
    values = zip(of.estimate.tolist(), errors.tolist(), strict=True)
    return [coefficient(b, error, layout.dof, how.level) for b, error in values]


_ERRORS = ("std_error", "p_value", "conf_low", "conf_high")
