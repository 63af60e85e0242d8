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
from seal.stats.regression.influence import beside

_SAID = {
    "estimate": "estimate_std", "std_error": "std_error_std", "p_value": "p_value_std",
    "p_adjusted": "p_adjusted_std", "conf_low": "conf_low_std", "conf_high": "conf_high_std",
}  # fmt: skip
STANDARDISED: dict[str, pl.DataType] = dict.fromkeys(_SAID.values(), pl.Float64())
CHANGE = "change"
_NOTHING = 1e-6  # of the models' own errors: below it a contrast's error is the rounding of rewards


@dataclass(frozen=True)
class Standardised:
    """In SDs of margins, by outcome: `pre`, `post` and `change`.

    Attributes:
        estimate: (K,) each.
        std_error: (K,) each, of the influences as they are.
        plain: (K,) each, the error of the same coefficients in reward units (of the change: of post - pre).
        given_sds: (K,) each, the error if the SDs were known.
    """

    estimate: dict[str, Floats]
    std_error: dict[str, Floats]
    plain: dict[str, Floats]
    given_sds: dict[str, Floats]


def standardise(found: ImprintInfluence) -> Standardised | None:
    """Divide each model's coefficients by the SD of its margins; None where margins do not vary."""
    sds = np.array([found.sd[m].estimate[0] for m in MODELS])
    if not np.all(sds > 0):
        return None
    k = len(found.terms)
    whole = beside([part for m in MODELS for part in (found.by_model[m], found.sd[m])])
    raw, known, full = (np.zeros((3 * k, 2 * k + 2)) for _ in range(3))
    values, at = {}, {}
    for i, model in enumerate(MODELS):
        b, own = found.by_model[model].estimate, slice(i * k, (i + 1) * k)
        columns = slice(i * (k + 1), i * (k + 1) + k)
        values[model], at[model] = b / sds[i], own
        raw[own, columns], known[own, columns] = np.eye(k), np.eye(k) / sds[i]
        full[own] = known[own]
        full[own, columns.stop] = -b / sds[i] ** 2
    values[CHANGE], at[CHANGE] = values["post"] - values["pre"], slice(2 * k, 3 * k)
    for jacobian in (raw, known, full):
        jacobian[at[CHANGE]] = jacobian[at["post"]] - jacobian[at["pre"]]
    estimate = np.concatenate([values[o] for o in at])
    errors = [whole.mapped(estimate, jacobian).std_error for jacobian in (full, raw, known)]
    return Standardised(values, *({o: e[s] for o, s in at.items()} for e in errors))


def standardised_columns(
    found: Standardised, outcome: str, rows: Rows, dof: Sequence[float], units: Floats, level: float
) -> Rows:
    """The `_std` columns of an outcome's rows.

    The errors are as many times the influences' as the rows' own are, so that what takes the plain sandwich's
    place (HC2, CR2, a factor for clusters) holds here too. Where the models differ by rounding alone, e.g.
    post = 2 pre, the contrast is not tested: p is 1.

    Args:
        found: the coefficients in SDs of margins.
        outcome: `pre`, `post` or `change`.
        rows: (K,) in reward units.
        dof: (K,) degrees of freedom of the rows.
        units: (K,) what of each regressor is meant: 1, or a covariate's SD.
        level: of the intervals.
    """
    plain = found.plain[outcome]
    used = np.array([np.nan if r["std_error"] is None else float(str(r["std_error"])) for r in rows])
    factor = np.divide(used, plain, out=np.ones(len(rows)), where=(plain > 0) | np.isnan(used))
    least = _NOTHING * (found.std_error["pre"] + found.std_error["post"])
    out: Rows = []
    for j, unit in enumerate(units):
        estimate, error = float(found.estimate[outcome][j] * unit), float(found.std_error[outcome][j] * unit)
        nothing = outcome == CHANGE and error < least[j] * unit and abs(estimate) < least[j] * unit
        row = coefficient(estimate, error * float(factor[j]), float(dof[j]), level)
        if nothing:
            row |= {
                "std_error": error,
                "conf_low": estimate - error,
                "conf_high": estimate + error,
                "p_value": 1.0,
            }
        out.append({said: row[name] for name, said in _SAID.items() if name in row})
    return out


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


def inflation(found: Standardised) -> Mapping[str, Floats]:
    """By how much each error grows because the SDs are estimated too, (K,) by outcome."""
    return {
        outcome: np.divide(
            full, found.given_sds[outcome], out=np.ones(len(full)), where=found.given_sds[outcome] > 0
        )
        for outcome, full in found.std_error.items()
    }
