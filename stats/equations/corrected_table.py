"""Corrected coefficients of Eq. 1 as lines of `imprint_corrected.csv`: raw, and in SDs of margins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.stats.equations.gold_sample import COLUMNS
from seal.stats.equations.imprint import SCHEMA as IMPRINT
from seal.stats.equations.imprint import outcomes
from seal.stats.options import Inference
from seal.stats.pairs.joins import Inputs
from seal.stats.regression.inference import Floats, Rows, adjust, coefficient, coefficient_table
from seal.stats.regression.influence import Influence, beside

STANDARDISED: dict[str, pl.DataType] = dict.fromkeys(
    ("std_error_std", "p_value_std", "p_adjusted_std", "conf_low_std", "conf_high_std"), pl.Float64()
)
SCHEMA = IMPRINT | STANDARDISED | COLUMNS


@dataclass(frozen=True)
class Pair:
    """One model's coefficients (or their difference, `change`), in reward units and in SDs."""

    raw: Influence
    std: Influence


def in_sds(by_model: Mapping[str, Influence], sd: Mapping[str, Influence], unit: Floats) -> dict[str, Pair]:
    """Set coefficients of both models and their difference in SDs of each model's own margins.

    Args:
        by_model: `pre`, `post`: (K,) in reward units.
        sd: `pre`, `post`: (1,) SD of the model's margins.
        unit: (K,) how much of the regressor one step is: 1, or a covariate's SD (taken as known).

    Returns:
        `pre`, `post`, `change`; the SDs' own error counts (delta method).
    """
    found = {}
    for model, raw in by_model.items():
        size = float(sd[model].estimate[0])
        value = raw.estimate * unit / size
        jacobian = np.column_stack([np.diag(unit / size), -value / size])
        found[model] = Pair(raw, beside([raw, sd[model]]).mapped(value, jacobian))
    change = [_less(getattr(found["post"], of), getattr(found["pre"], of)) for of in ("raw", "std")]
    return found | {"change": Pair(*change)}


def _less(of: Influence, by: Influence) -> Influence:
    one = np.eye(len(of.estimate))
    return beside([of, by]).mapped(of.estimate - by.estimate, np.concatenate([one, -one], axis=1))


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
        raw = [_line(found[outcome].raw, j, layout, how) for j in range(len(layout.terms))]
        std = [_line(found[outcome].std, j, layout, how) for j in range(len(layout.terms))]
        if outcome == "change":
            std = [_unless_nothing(x, least) for x, least in zip(std, _rounding(found), strict=True)]
        adjusted = adjust([line["p_value"] for line in std], how.adjust)
        for j, term in enumerate(layout.terms):
            row: dict[str, object] = {"model": model, "term": term, **raw[j]}
            row |= {"n_pairs": layout.n_pairs, "n_informative": layout.n_informative[j]}
            row |= {"estimate_std": std[j]["estimate"], "p_adjusted_std": adjusted[j]}
            row |= {f"{name}_std": std[j][name] for name in ("std_error", "p_value", "conf_low", "conf_high")}
            row |= {"method": layout.method, "naive_estimate": float(naive[outcome][j])}
            rows.append(row | {"n_gold": layout.n_gold, "n_gold_informative": gold[j]})
    return coefficient_table(rows, SCHEMA, "model", how.adjust, outside="")


def _rounding(found: Mapping[str, Pair]) -> Floats:
    """(K,), under which a contrast is what rounding leaves of two models that are alike but for a factor."""
    return np.asarray(1e-6 * (found["pre"].std.std_error + found["post"].std.std_error), dtype=np.float64)


def _unless_nothing(line: dict[str, float | None], least: float) -> dict[str, float | None]:
    estimate, error = line["estimate"], line["std_error"]
    if estimate is None or abs(estimate) >= least or (error is not None and error >= least):
        return line
    size = abs(estimate) + (error or 0.0)
    return line | {"p_value": 1.0, "conf_low": estimate - size, "conf_high": estimate + size}


def _line(of: Influence, j: int, layout: Layout, how: Inference) -> dict[str, float | None]:
    std_error = float(of.std_error[j]) * float(np.sqrt(layout.factor))
    return coefficient(float(of.estimate[j]), std_error, layout.dof, how.level)
