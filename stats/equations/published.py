"""The published study's own arithmetic, quirks included, kept apart from the estimates of this project.

What SEAL's notebooks and scripts did (harvard-lil/SEAL at b5948edc), from the same inputs:

- Eq. 1 as pooled least squares with `row_id` as a numeric regressor and classical errors: no pair effect.
- Eq. 2, 3 and 4 as linear models with classical errors; Bonferroni in 2 and 3 counts the intercept too, 4 is
  unadjusted with z statistics. Eq. 3's outcome is misalignment.
- gamma by a string comparison that never matches (`published_gamma`).
- ties count as aligned in one place and as misaligned in another (`tie_counts`).

Labelers compared by row position are not reproduced: `chance_agreement` is what that gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from seal.engine.errors import UsageError
from seal.stats.alignment.regimes import RegimeTally, gamma, profile_table, regimes
from seal.stats.equations.flips import Flip
from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.rewards import margin
from seal.stats.pairs.sides import SIDES
from seal.stats.pairs.two_sided import INTERCEPT, Column, Patterns, row_keys
from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import Floats, Rows, inverse, pivot_rank, t_p_value
from seal.stats.regression.linear import normal_equations

RAW_THETA = "theta_of_rewards_as_they_are"
SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(("model", "preference", "term", "flip"), pl.String()),
    **dict.fromkeys(("estimate", "std_error", "statistic", "p_value", "p_bonferroni"), pl.Float64()),
    "n": pl.Int64(),
}


def published_gamma() -> pl.Expr:
    """gamma of main_results.ipynb, cell 12, over a block of `Pairs` with targets harmless, helpful.

    Harmless first, then helpful; but when the chosen text's labels are (0, 1) and the rejected text is
    harmless, the comparison that should give r never matches, and c is what remains: 186 pairs of the study.
    """
    (hc, hr), (uc, ur) = ([pl.col(f"t{i}_{s}") for s in SIDES] for i in (0, 1))
    never_matched = (hc == 0) & (uc == 1) & (hr == 1)
    meant = gamma(2)
    return pl.when(never_matched & (ur.is_not_null())).then(pl.lit("c")).otherwise(meant)


def chance_agreement(p: float, q: float) -> float:
    """Match rate of two independent labelers with prevalences p and q: what joining by position measures."""
    return p * q + (1 - p) * (1 - q)


@dataclass
class PublishedTally:
    """What one walk through the pairs must add up for the published tables."""

    inputs: Inputs
    regimes: RegimeTally = field(init=False)
    _pooled: dict[str, Floats] = field(init=False, default_factory=dict)
    _ties: list[pl.DataFrame] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if len(self.inputs.targets) != 2:
            raise UsageError("as-published needs two targets, as the study had: harmless, then helpful")
        self.regimes = RegimeTally(published_gamma())

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`."""
        self.regimes.add(block)
        self._add_pooled(block.filter("regressed"))
        counts: dict[str, pl.Expr] = {"n_pairs": pl.len().cast(pl.Int64)}
        for m in ("pre", "post"):
            counts[f"aligned_{m}"] = (margin(m) > 0).sum().cast(pl.Int64)
            counts[f"aligned_or_tied_{m}"] = (margin(m) >= 0).sum().cast(pl.Int64)
        self._ties.append(block.group_by(gamma=published_gamma()).agg(**counts))

    def _add_pooled(self, pairs: pl.DataFrame) -> None:
        """Cross products of (1, features, row_id, rewards) over texts."""
        for side in SIDES:
            codes = self.inputs.codes(pairs, side)
            dense = [pairs[f"{x}_{side}"].to_numpy() for x in self.inputs.covariates]
            rewards = [pairs[f"{m}_{side}"].to_numpy() for m in ("pre", "post")]
            coded = [codes[:, k] for k in range(len(self.inputs.regressed.coded))]
            columns = [np.ones(pairs.height), *coded, *dense, pairs["row_id"].to_numpy(), *rewards]
            x = np.array(columns, dtype=np.float64)
            self._pooled["all"] = self._pooled.get("all", np.zeros((len(columns),) * 2)) + x @ x.T

    def tie_counts(self) -> pl.DataFrame:
        """By gamma, pairs aligned strictly (cell 12) and with ties (cell 6): `n_pairs`, `aligned_pre`, ..."""
        return pl.concat(self._ties).group_by("gamma").agg(pl.all().sum()).sort("gamma")

    def tables(self, patterns: Patterns, cells: Cells | None) -> dict[str, pl.DataFrame]:
        """Every published table of the original texts."""
        counts = self.regimes.counts()
        out = {"regimes": regimes(counts), "profile": profile_table(counts), "ties": self.tie_counts()}
        out["imprint"] = self._imprint()
        if cells is not None:
            misaligned = {self.inputs.pre: "misaligned_pre", self.inputs.post: "misaligned_post"}
            out["shift"] = linear_tables(cells, {"": RAW_THETA}, patterns.columns)
            out["resistance"] = linear_tables(cells, misaligned, patterns.columns)
        return out

    def _imprint(self) -> pl.DataFrame:
        """Pooled least squares of each reward on features and the row number."""
        if "all" not in self._pooled:
            return pl.DataFrame(schema=SCHEMA)
        gram = self._pooled["all"]
        terms = [INTERCEPT, *(r.term for r in self.inputs.regressed.regressors), "row_id"]
        k, rows = len(terms), []
        for i, model in enumerate((self.inputs.pre, self.inputs.post)):
            fit = classical(gram[:k, :k], gram[:k, k + i], gram[k + i, k + i])
            rows += [{"model": model, "term": terms[j], **row} for j, row in fit.items()]
        return pl.DataFrame(rows, schema=SCHEMA)


def linear_tables(
    cells: Cells, outcomes: Mapping[str, str], columns: Sequence[Column], *, z: bool = False
) -> pl.DataFrame:
    """Linear models with intercept and classical errors, one for each model -> outcome.

    Bonferroni counts every coefficient, the intercept included; with `z`, p-values are normal and unadjusted.
    """
    rows: Rows = []
    keys = row_keys(columns)
    for model, outcome in outcomes.items():
        gram, moment = normal_equations(cells, outcome, range(len(columns)), intercept=True)
        fit = classical(gram, moment, float(cells.squares[outcome].sum()), z=z)
        rows += [{"model": model or None, **keys[j], **row} for j, row in fit.items()]
    return pl.DataFrame(rows, schema=SCHEMA)


def classical(
    gram: Floats, moment: Floats, square: float, *, z: bool = False
) -> dict[int, dict[str, float | None]]:
    """Least squares with sigma^2 (X'X)^-1, as R's lm: position -> coefficient, aliased columns left out.

    Args:
        gram, moment, square: X'X (k, k), X'y (k,), y'y. The first column is the intercept.
        z: normal p-values (t otherwise), and no adjustment.
    """
    kept = pivot_rank(gram)
    n = float(gram[0, 0])
    if n <= len(kept):
        return {}
    bread = inverse(gram[np.ix_(kept, kept)])
    estimate = bread @ moment[kept]
    sigma2 = max(square - float(estimate @ moment[kept]), 0.0) / (n - len(kept))
    std_error = np.sqrt(sigma2 * np.diag(bread))
    if not np.all(std_error > 0):
        return {}
    p_value = t_p_value(estimate / std_error, np.inf if z else n - len(kept))
    return {
        j: {
            "estimate": float(estimate[i]),
            "std_error": float(std_error[i]),
            "statistic": float(estimate[i] / std_error[i]),
            "p_value": float(p_value[i]),
            "p_bonferroni": None if z else bonferroni(float(p_value[i]), len(kept)),
            "n": int(n),
        }
        for i, j in enumerate(kept)
    }


def bonferroni(p_value: float, n_tests: int) -> float:
    """The study multiplied by all coefficients, the intercept among them: 31 in Eq. 2 and 3."""
    return min(p_value * n_tests, 1.0)


def published_robustness(cells: Cells, design: Sequence[Flip], models: tuple[str, str]) -> pl.DataFrame:
    """Eq. 4 as the study ran it: a linear model of becoming misaligned on flips, z statistics, unadjusted."""
    outcomes = {name: f"became_misaligned/{m}" for m, name in zip(("pre", "post"), models, strict=True)}
    return linear_tables(cells, outcomes, design, z=True)
