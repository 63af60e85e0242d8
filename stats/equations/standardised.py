"""Both models' coefficients, and their contrast, in SDs of each model's own margins.

Raw scales of two reward models are not comparable: training fixes a reward up to a factor at best. So models
are compared by beta_post / s_post - beta_pre / s_pre, s the SD of the model's margins over the pairs that
enter. s is estimated too, and its error enters by the delta method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.stats.equations.imprint_influence import MODELS, ImprintInfluence
from seal.stats.options import Adjust
from seal.stats.regression.inference import Floats, Rows, adjust, coefficient
from seal.stats.regression.influence import Influence, beside

_SAID = {
    "estimate": "estimate_std", "std_error": "std_error_std", "p_value": "p_value_std",
    "p_adjusted": "p_adjusted_std", "conf_low": "conf_low_std", "conf_high": "conf_high_std",
}  # fmt: skip
STANDARDISED: dict[str, pl.DataType] = dict.fromkeys(_SAID.values(), pl.Float64())
CHANGE = "change"
_NOTHING = 1e-6  # of the models' own errors: below it a contrast's error is the rounding of rewards


@dataclass(frozen=True)
class Pair:
    """One model's coefficients (or their difference, `change`), in reward units and in SDs.

    The second is None where margins do not vary.
    """

    raw: Influence
    std: Influence | None


def in_sds(
    by_model: Mapping[str, Influence], sd: Mapping[str, Influence], unit: Floats | float = 1.0
) -> dict[str, Pair]:
    """Set coefficients of both models and their difference in SDs of each model's own margins.

    Args:
        by_model: `pre`, `post`: (K,) in reward units.
        sd: `pre`, `post`: (1,) SD of the model's margins.
        unit: (K,) how much of the regressor one step is: 1, or a covariate's SD (taken as known).

    Returns:
        `pre`, `post`, `change`; the SDs' own error counts (delta method).
    """
    std = {m: _in_sds(raw, sd[m], unit) for m, raw in by_model.items()}
    pre, post = (std[m] for m in MODELS)
    both = None if pre is None or post is None else _less(post, pre)
    change = Pair(_less(by_model["post"], by_model["pre"]), both)
    return {m: Pair(raw, std[m]) for m, raw in by_model.items()} | {CHANGE: change}


def _in_sds(raw: Influence, sd: Influence, unit: Floats | float) -> Influence | None:
    size = float(sd.estimate[0])
    if not size > 0:
        return None
    by = np.broadcast_to(np.asarray(unit) / size, raw.estimate.shape)
    value = raw.estimate * by
    return beside([raw, sd]).mapped(value, np.column_stack([np.diag(by), -value / size]))


def _less(of: Influence, by: Influence) -> Influence:
    one = np.eye(len(of.estimate))
    return beside([of, by]).mapped(of.estimate - by.estimate, np.concatenate([one, -one], axis=1))


def standardised_columns(of: Pair, rows: Rows, dof: Sequence[float], level: float) -> Rows:
    """The `_std` columns of an outcome's rows.

    The errors are as many times the influences' as the rows' own are, so that what takes the plain sandwich's
    place (HC2, CR2, a factor for clusters) holds here too.

    Args:
        of: the coefficients, (K,).
        rows: (K,) in reward units.
        dof: (K,) degrees of freedom of the rows.
        level: of the intervals.
    """
    if of.std is None:
        return [{} for _ in rows]
    plain = of.raw.std_error
    used = np.array([np.nan if r["std_error"] is None else float(str(r["std_error"])) for r in rows])
    factor = np.divide(used, plain, out=np.ones(len(rows)), where=plain > 0)
    errors = of.std.std_error * np.where(np.isnan(used), np.nan, factor)
    out: Rows = []
    for estimate, error, v in zip(of.std.estimate.tolist(), errors.tolist(), dof, strict=True):
        row = coefficient(estimate, error, float(v), level)
        out.append({said: row[name] for name, said in _SAID.items() if name in row})
    return out


def without_rounding(rows: Rows, models: Mapping[str, str]) -> Rows:
    """Rows of Eq. 1, in which a contrast that rounding alone makes, e.g. of post = 3 pre, is not tested.

    Args:
        rows: of both models and their difference, with the `_std` columns.
        models: `pre`, `post`, `change` -> what each is called.
    """
    size: dict[object, float] = {}
    for row in rows:
        error = row.get("std_error_std")
        if row["model"] != models[CHANGE] and isinstance(error, float):
            size[row["term"]] = size.get(row["term"], 0.0) + error
    return [
        unless_nothing(row, size.get(row["term"], 0.0), "_std") if row["model"] == models[CHANGE] else row
        for row in rows
    ]


def unless_nothing(row: dict[str, object], size: float, end: str = "") -> dict[str, object]:
    """The row of a contrast of two models in SDs; where it is what rounding leaves, with p = 1.

    Args:
        row: with `estimate`, `std_error` and what follows from them.
        size: what the two models' own errors add up to.
        end: of the names of the columns.
    """
    estimate, error = row.get(f"estimate{end}"), row.get(f"std_error{end}") or 0.0
    if not (isinstance(estimate, float) and isinstance(error, float)):
        return row
    if max(abs(estimate), error) >= _NOTHING * size:
        return row
    width = abs(estimate) + error
    said = {"std_error": error, "statistic": 0.0, "p_value": 1.0, "conf_low": estimate - width}
    said |= {"conf_high": estimate + width}
    return row | {f"{name}{end}": value for name, value in said.items() if f"{name}{end}" in row}


def known_sd_columns(rows: Rows, scale: Sequence[float]) -> Rows:
    """The `_std` columns where the SDs of margins are taken as known: (K,) rows times a scale."""
    out: Rows = []
    for row, by in zip(rows, scale, strict=True):
        scaled: dict[str, object] = {
            k: None if row[k] is None or not np.isfinite(by) else float(str(row[k])) * by
            for k in ("estimate", "std_error", "conf_low", "conf_high")
        }
        scaled["p_value"] = row["p_value"] if np.isfinite(by) else None
        out.append({_SAID[k]: v for k, v in scaled.items()})
    return out


def with_adjusted(table: pl.DataFrame, family: str, method: Adjust, *, outside: str) -> pl.DataFrame:
    """Set `p_adjusted_std`: a family is the rows alike in a column, less the term `outside`."""
    numbered = table.with_row_index("__row")
    adjusted: list[float | None] = [None] * table.height
    for part in numbered.filter(pl.col("term") != outside).partition_by(family, maintain_order=True):
        for i, p in zip(part["__row"], adjust(part["p_value_std"].to_list(), method), strict=True):
            adjusted[i] = p
    return table.with_columns(p_adjusted_std=pl.Series(adjusted, dtype=pl.Float64))


def inflation(found: ImprintInfluence) -> tuple[Floats, Floats] | None:
    """By how much the contrast's errors grow because the SDs are estimated too, (K,).

    Returns:
        That, and what the two models' own errors add up to, (K,); None where margins do not vary.
    """
    pairs = in_sds(found.by_model, found.sd)
    pre, post, change = (pairs[o].std for o in (*MODELS, CHANGE))
    if pre is None or post is None or change is None:
        return None
    eye = np.eye(len(found.terms))
    known = [
        raw.mapped(raw.estimate / s, eye / s)
        for raw, s in ((found.by_model[m], float(found.sd[m].estimate[0])) for m in MODELS)
    ]
    given = _less(known[1], known[0]).std_error
    grown = np.divide(change.std_error, given, out=np.ones(len(given)), where=given > 0)
    return grown, np.asarray(pre.std_error + post.std_error)
