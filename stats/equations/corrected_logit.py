"""Eq. 3, alignment resistance, corrected for label errors by gold pairs.

The logit of all pairs by the labeler's labels climbs in walks through the pairs; those of the gold pairs, by
true and by the labeler's labels, say what its coefficients miss. Average marginal effects are b S, S the mean
of p (1 - p) over pairs, and S is corrected as the coefficients are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import expit

from seal.stats.equations import resistance
from seal.stats.equations.equation import Equation
from seal.stats.equations.gold_sample import (
    COLUMNS,
    Corrected,
    Gold,
    Usable,
    correction_tests,
    said_of,
    usable,
)
from seal.stats.equations.imprint_influence import MODELS
from seal.stats.labelers.gold import PER_REGRESSOR
from seal.stats.labelers.rectified import logit_influence
from seal.stats.options import Inference, Ties
from seal.stats.pairs.gold import NoGold
from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.sides import SIDES
from seal.stats.pairs.two_sided import INTERCEPT, Column
from seal.stats.regression.bradley_terry import Observations, maximise
from seal.stats.regression.cells import BLOCK
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import Floats, Rows, coefficient, coefficient_table, inverse
from seal.stats.regression.influence import Influence, beside
from seal.stats.regression.separation import NoFit

SCHEMA = resistance.SCHEMA | COLUMNS
NAME = "resistance_corrected"


def corrected_resistance(
    rows: Iterable[pl.DataFrame], inputs: Inputs, naive: pl.DataFrame, gold: Gold, how: Inference, ties: Ties
) -> Equation:
    """Correct Eq. 3 of both models by `rectified`.

    Args:
        rows: blocks of pairs, walked through twice a model; some ten times where a column is left out.
        inputs: the frames.
        naive: `resistance.csv`; its coefficients are those that are corrected, where gold allows it.
        gold: the gold pairs.
        how: multiplicity over the features of one model, intervals.
        ties: what equal rewards count as.

    Returns:
        The columns of `resistance.csv` and what the correction was made of.

    Raises:
        NoGold: there are too few gold pairs.
    """
    asked = _design(inputs, naive)
    judged = asked.usable(gold)
    design = asked.only(judged.columns)
    lines: Rows = []
    tests: Rows = []
    notes = said_of(judged, [c.name for c in asked.columns], NAME)
    for name, model in zip((inputs.pre, inputs.post), MODELS, strict=True):
        try:
            if _separated(naive, name):
                raise NoFit("the logit by the labeler's labels is separated or has no estimate")
            start = None if judged.left_out else asked.estimates(naive, name)
            found = _correct(rows, design, gold, resistance.outcomes(ties)[f"misaligned_{model}"], start)
        except NoFit as reason:
            notes.append(f"{NAME}: {name}: not corrected: {reason}")
            continue
        lines += [{"model": name, **line} for line in found.lines(design, gold, how.level)]
        names = [INTERCEPT, *(c.name for c in design.columns)]
        tests += correction_tests("resistance", name, names, found.coefficients, found.n_gold)
    table = coefficient_table(lines, SCHEMA, "model", how.adjust, outside=INTERCEPT)
    verdicts = tuple((asked.columns[i], Verdict(None, False, why)) for i, why in judged.left_out.items())
    return Equation(table, verdicts, tuple(tests), tuple(notes))


def _separated(naive: pl.DataFrame, model: str) -> bool:
    return naive.filter(pl.col("model") == model)["statistic"].null_count() > 0


@dataclass(frozen=True)
class _Design:
    """Columns of one side each: their regressors, and positions among the columns of the differences."""

    inputs: Inputs
    columns: tuple[Column, ...]
    at: tuple[int, ...]

    def only(self, positions: Sequence[int]) -> "_Design":
        columns, at = tuple(self.columns[i] for i in positions), tuple(self.at[i] for i in positions)
        return _Design(self.inputs, columns, at)

    def of(self, part: pl.DataFrame) -> Floats:
        """(rows, 1 + p) of rows of a block, the constant first."""
        inputs, n_codes = self.inputs, len(self.inputs.regressed.packed)
        codes = {s: inputs.codes(part, s) for s in SIDES}
        out = np.ones((part.height, 1 + len(self.columns)))
        for i, (column, j) in enumerate(zip(self.columns, self.at, strict=True), 1):
            side = column.preference
            if j < n_codes:
                out[:, i] = codes[side][:, j]
            else:
                out[:, i] = part[f"{inputs.covariates[j - n_codes]}_{side}"].to_numpy()
        return out

    def estimates(self, naive: pl.DataFrame, model: str) -> Floats:
        """(1 + p,), the uncorrected ones of a model, the constant first."""
        lines = naive.filter(pl.col("model") == model)
        known = {(p, t): b for p, t, b in lines.select("preference", "term", "estimate").iter_rows()}
        keys = [(None, INTERCEPT), *((c.preference, c.regressor.term) for c in self.columns)]
        return np.array([known[key] for key in keys], dtype=np.float64)

    def at_gold(self, labels: Floats) -> Floats:
        """(m, 1 + p) from labels of the gold pairs (m, 2, C)."""
        sides = [SIDES.index(c.preference) for c in self.columns]
        return np.column_stack([np.ones(len(labels)), labels[:, sides, list(self.at)]])

    def informative(self, gold: Gold) -> list[int]:
        """Gold pairs whose true value is not the commonest one; all of them, for a covariate."""
        truth = self.at_gold(gold.pairs.truth)[:, 1:]
        commonest = [
            0 if c.regressor.kind == "numeric" else int(np.unique(x, return_counts=True)[1].max())
            for c, x in zip(self.columns, truth.T, strict=True)
        ]
        return [len(truth) - n for n in commonest]

    def usable(self, gold: Gold) -> Usable:
        truth, proxy = (self.at_gold(x)[:, 1:] for x in (gold.pairs.truth, gold.pairs.proxy))
        labeled = gold.pairs.labeled[list(self.at)].tolist()
        return usable(truth, proxy, labeled, self.informative(gold), intercept=True, of=NAME)


def _design(inputs: Inputs, naive: pl.DataFrame) -> _Design:
    """The columns of `resistance.csv`."""
    features = inputs.regressed
    entered = set(naive.filter(pl.col("term") != INTERCEPT).select("preference", "term").unique().iter_rows())
    every = [
        (Column(r, side), j) for side in SIDES for j, r in enumerate((*features.packed, *features.numeric))
    ]
    chosen = [(c, j) for c, j in every if (c.preference, c.regressor.term) in entered]
    if not chosen:
        raise NoGold(f"{NAME}: no regressor entered resistance")
    return _Design(inputs, tuple(c for c, _ in chosen), tuple(j for _, j in chosen))


@dataclass(frozen=True)
class _Found:
    """One model's resistance, corrected.

    Attributes:
        coefficients: (1 + p,), the constant first.
        slope: (1,), mean of p (1 - p).
        n: pairs.
        n_gold: gold pairs that have the outcome.
    """

    coefficients: Corrected
    slope: Corrected
    n: int
    n_gold: int

    def lines(self, design: _Design, gold: Gold, level: float) -> Rows:
        keys: list[dict[str, object]] = [{"term": INTERCEPT}, *(c.key for c in design.columns)]
        informative = [None, *design.informative(gold)]
        estimate, mean = self.coefficients.estimate, self.slope.estimate
        effects = _effects(estimate, mean)
        grown = float(np.sqrt(gold.places.factor))
        lines: Rows = []
        for j, key in enumerate(keys):
            b, error = float(estimate.estimate[j]), float(estimate.std_error[j]) * grown
            line: dict[str, object] = {**key, **coefficient(b, error, gold.dof, level), "n_pairs": self.n}
            line["odds_ratio"] = float(np.exp(b)) if b < 700 else None
            if j:
                line["ame"] = float(effects.estimate[j])
                line["ame_std_error"] = float(effects.std_error[j]) * grown
            line |= {"method": "rectified", "naive_estimate": float(self.coefficients.naive[j])}
            lines.append(line | {"n_gold": self.n_gold, "n_gold_informative": informative[j]})
        return lines


def _effects(coefficients: Influence, slope: Influence) -> Influence:
    """Average marginal effects b S."""
    b, s = coefficients.estimate, float(slope.estimate[0])
    return beside([coefficients, slope]).mapped(b * s, np.column_stack([s * np.eye(len(b)), b]))


def _correct(
    rows: Iterable[pl.DataFrame], design: _Design, gold: Gold, outcome: pl.Expr, start: Floats | None
) -> _Found:
    """One model; `start` (1 + p,) is the estimate of all pairs, where it is known."""
    y = _outcome(_rewards(gold), outcome)
    known, k = np.isfinite(y), len(design.columns) + 1
    sample = gold.sample.only(known)
    if len(sample) < PER_REGRESSOR * k:
        raise NoFit(
            f"{len(sample)} gold pairs that are no tie are fewer than {PER_REGRESSOR} for each of {k} "
            "coefficients"
        )
    coefficients, slope, n = _everyone(rows, design, gold, outcome, start)
    fits = []
    for labels in (gold.pairs.truth, gold.pairs.proxy):
        x = design.at_gold(labels[known])
        b, influence = logit_influence(x, y[known], sample.weight)
        fits.append(((b, influence), _mean_slope(x, b, influence, sample.weight)))
    (truth, truth_slope), (proxy, proxy_slope) = fits
    return _Found(
        Corrected.by(truth, proxy, coefficients, sample, k),
        Corrected.by(truth_slope, proxy_slope, slope, sample, k),
        n,
        len(sample),
    )


def _everyone(
    rows: Iterable[pl.DataFrame], design: _Design, gold: Gold, outcome: pl.Expr, b: Floats | None
) -> tuple[Influence, Influence, int]:
    """Coefficients and mean slope of all pairs by the labeler's labels, and how many they are."""

    def observed(part: pl.DataFrame) -> Observations:
        y = _outcome(part, outcome)
        return Observations(design.of(part), np.nan_to_num(y), np.isfinite(y).astype(np.float64))

    def walk() -> Iterable[list[Observations]]:
        for block in rows:
            for part in block.filter("regressed").iter_slices(BLOCK):
                yield [observed(part)]

    k = len(design.columns) + 1
    if b is None:
        (fit,) = maximise(walk, [k])
        b = fit.estimate
    n, total, bend, information = 0.0, 0.0, np.zeros(k), np.zeros((k, k))
    for (part,) in walk():
        assert part.weight is not None
        p = expit(part.x @ b)
        w = part.weight * p * (1 - p)
        n, total, bend = n + part.weight.sum(), total + w.sum(), bend + part.x.T @ (w * (1 - 2 * p))
        information += (part.x * w[:, None]).T @ part.x
    mean, bread = total / n, inverse(information)

    def zeta(block: pl.DataFrame) -> Floats:
        part = observed(block)
        assert part.weight is not None
        p = expit(part.x @ b)
        residual = part.weight * (part.share - p)
        return np.column_stack([part.x * residual[:, None], part.weight * (p * (1 - p) - mean) / n])

    scores = gold.places.sums(rows, zeta)
    loading = np.column_stack([bread, np.zeros(k)])
    own = np.concatenate([bend / n @ bread, [1.0]])[None, :]
    return (
        Influence(b, loading, scores), Influence(np.array([mean]), own, scores), int(n),
    )  # fmt: skip


def _mean_slope(x: Floats, b: Floats, influence: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Mean of p (1 - p) over the gold pairs, (1,), and its influences (m, 1), the coefficients' counted."""
    p = expit(x @ b)
    w = p * (1 - p)
    mean = float(weight @ w)
    bend = x.T @ (weight * w * (1 - 2 * p))
    return np.array([mean]), (weight * (w - mean) + influence @ bend)[:, None]


def _outcome(part: pl.DataFrame, outcome: pl.Expr) -> Floats:
    """1, 0, or NaN where a tie leaves the pair out."""
    values = part.select(y=outcome.cast(pl.Float64))["y"]
    return np.asarray(values.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _rewards(gold: Gold) -> pl.DataFrame:
    return pl.DataFrame(
        {f"{m}_{s}": gold.pairs.rewards[:, i, k] for i, m in enumerate(MODELS) for k, s in enumerate(SIDES)}
    )
