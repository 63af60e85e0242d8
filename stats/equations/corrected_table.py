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

SCHEMA = IMPRINT | COLUMNS


@dataclass(frozen=True)
class Pair:
    """One model's coefficients (or their difference, `change`), in reward units and in SDs.

    The second is None where margins do not vary.
    """

    raw: Influence
    std: Influence | None


def in_sds(by_model: Mapping[str, Influence], sd: Mapping[str, Influence], unit: Floats) -> dict[str, Pair]:
    """Set coefficients of both models and their difference in SDs of each model's own margins.

    Args:
        by_model: `pre`, `post`: (K,) in reward units.
        sd: `pre`, `post`: (1,) SD of the model's margins.
        unit: (K,) how much of the regressor one step is: 1, or a covariate's SD (taken as known).

    Returns:
        `pre`, `post`, `change`; the SDs' own error counts (delta method).
    """
    std = {m: _in_sds(raw, sd[m], unit) for m, raw in by_model.items()}
    change = _less(by_model["post"], by_model["pre"])
    pre, post = std["pre"], std["post"]
    both = None if pre is None or post is None else _less(post, pre)
    return {m: Pair(raw, std[m]) for m, raw in by_model.items()} | {"change": Pair(change, both)}


def _in_sds(raw: Influence, sd: Influence, unit: Floats) -> Influence | None:
    size = float(sd.estimate[0])
    if not size > 0:
        return None
    value = raw.estimate * unit / size
    return beside([raw, sd]).mapped(value, np.column_stack([np.diag(unit / size), -value / size]))


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
        raw, std = _lines(found[outcome].raw, layout, how), _lines(found[outcome].std, layout, how)
        if outcome == "change":
            std = [_unless_nothing(x, least) for x, least in zip(std, _rounding(found), strict=True)]
        adjusted = adjust([line["p_value"] for line in std], how.adjust)
        for j, term in enumerate(layout.terms):
            row: dict[str, object] = {"model": model, "term": term, **raw[j]}
            row |= {"n_pairs": layout.n_pairs, "n_informative": layout.n_informative[j]}
            row |= {"estimate_std": std[j]["estimate"], "p_adjusted_std": adjusted[j]}
            row |= {f"{name}_std": std[j][name] for name in _ERRORS}
            row |= {"method": layout.method, "naive_estimate": float(naive[outcome][j])}
            rows.append(row | {"n_gold": layout.n_gold, "n_gold_informative": gold[j]})
    return coefficient_table(rows, SCHEMA, "model", how.adjust, outside="")


def _rounding(found: Mapping[str, Pair]) -> list[float]:
    """Under which a contrast is what rounding leaves of two models that are alike but for a factor."""
    errors = [f.std.std_error for f in found.values() if f.std is not None]
    return (1e-6 * np.sum(errors, axis=0)).tolist() if errors else [0.0] * len(found["pre"].raw.estimate)


def _unless_nothing(line: dict[str, float | None], least: float) -> dict[str, float | None]:
    estimate, error = line["estimate"], line["std_error"]
    if estimate is None or abs(estimate) >= least or (error is not None and error >= least):
        return line
    size = abs(estimate) + (error or 0.0)
    return line | {"p_value": 1.0, "conf_low": estimate - size, "conf_high": estimate + size}


def _lines(of: Influence | None, layout: Layout, how: Inference) -> list[dict[str, float | None]]:
    """A line a coefficient; of nulls where there is no estimate."""
    if of is None:
        return [dict.fromkeys(("estimate", *_ERRORS)) for _ in layout.terms]
    errors = of.std_error * np.sqrt(layout.factor)
    values = zip(of.estimate.tolist(), errors.tolist(), strict=True)
    return [coefficient(b, error, layout.dof, how.level) for b, error in values]


_ERRORS = ("std_error", "p_value", "conf_low", "conf_high")
