"""What people pay beside what each model pays: `human.csv`, its tests, and what may be said of them.

Log odds shrink with whatever else moves a choice, so noisier people seem to pay less for everything. A
difference in taste is therefore said only where log odds and probability points differ the same way, both
significantly, and no single factor turns one set of log odds into the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm

from seal.stats.equations.equation import Equation
from seal.stats.equations.human import HumanInfluence, human_influences
from seal.stats.options import Inference, RmScale
from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.places import Places
from seal.stats.regression import linear
from seal.stats.regression.inference import (
    FEW_INFORMATIVE,
    Floats,
    Rows,
    adjust,
    coefficient,
    tested,
    wald,
)
from seal.stats.regression.proportion import Proportion, proportion
from seal.stats.regression.separation import NoFit

SCALES = ("log_odds", "points")
SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(("model", "term", "scale"), pl.String()),
    **dict.fromkeys(
        ("human", "human_low", "human_high", "rm", "rm_low", "rm_high", "difference", "std_error",
         "p_value", "p_adjusted", "conf_low", "conf_high"),
        pl.Float64(),
    ),
    "n_informative": pl.Int64(),
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """People and one model, measured on one scale.

    Attributes:
        estimate: (2K,), people's, then the model's.
        covariance: (2K, 2K).
        dof: of the t distribution.
    """

    estimate: Floats
    covariance: Floats
    dof: float

    @property
    def size(self) -> int:
        """K."""
        return len(self.estimate) // 2

    @property
    def contrast(self) -> Floats:
        """(K, 2K), the model's less people's."""
        eye = np.eye(self.size)
        return np.concatenate([-eye, eye], axis=1)

    def difference(self) -> tuple[Floats, Floats]:
        """The model's less people's, (K,), and its covariance (K, K)."""
        c = self.contrast
        return c @ self.estimate, c @ self.covariance @ c.T


def estimate_human(
    rows: Iterable[pl.DataFrame],
    inputs: Inputs,
    kept: Sequence[int],
    places: Places,
    how: Inference,
    scale: RmScale,
) -> Equation:
    """Set what each model pays for a feature beside what people pay.

    Args:
        rows: blocks of pairs, walked through some twenty times (see `seal.stats.pairs.spool.Spool`).
        inputs: the frames.
        kept: columns that enter, see `seal.stats.equations.imprint_influence.differences`.
        places: the clusters.
        how: multiplicity (a family is the features of one model on one scale), intervals.
        scale: of the models' side, see `seal.stats.equations.human`.

    Returns:
        A row a model, feature and scale: `log_odds`, and `points` of a probability (0.05 is five of a
        hundred). A model that has no estimate has no row; a note says why.
    """
    every = [r.term for r in (*inputs.regressed.packed, *inputs.regressed.numeric)]
    terms = [every[j] for j in kept]
    try:
        found = human_influences(rows, inputs, kept, places, scale)
    except NoFit as reason:
        return Equation(pl.DataFrame(schema=SCHEMA), notes=(f"human imprint: not estimated: {reason}",))
    named = {"pre": inputs.pre, "post": inputs.post}
    said = [_of_model(found[at], model, terms, places, how) for at, model in named.items()]
    table = [row for part in said for row in part[0]]
    tests = tuple(test for part in said for test in part[1])
    notes = [*(note for part in said for note in part[2]), *[CAVEAT] * bool(table)]
    return Equation(pl.DataFrame(table, schema=SCHEMA), (), tests, tuple(dict.fromkeys(notes)))


def _of_model(
    side: HumanInfluence | NoFit, model: str, terms: Sequence[str], places: Places, how: Inference
) -> tuple[Rows, Rows, list[str]]:
    """Rows of the table, tests and notes."""
    if isinstance(side, NoFit):
        return [], [], [f"human imprint of {model}: not estimated: {side}"]
    measured = measure(side, places)
    rows = {s: human_rows(model, terms, s, measured[s], side.informative, how) for s in SCALES}
    compared = Comparison.of(measured["log_odds"])
    notes = [f"human imprint of {model}: {taste(rows, compared, how.level)}", *_about(side, model, terms)]
    if few := [t for t, n in zip(terms, side.informative, strict=True) if n < FEW_INFORMATIVE]:
        notes.append(f"human imprint: fewer than {FEW_INFORMATIVE} informative pairs for {', '.join(few)}")
    return [row for s in SCALES for row in rows[s]], compared.tests(model, side.n), notes


CAVEAT = (
    "human imprint: log odds shrink with whatever else moves a choice, so noisier people seem to pay less "
    "for everything; read them beside the points"
)


def measure(side: HumanInfluence, places: Places) -> dict[str, Measured]:
    """People and a model on both scales, errors clustered as the places are."""
    log_odds = places.factor * side.log_odds.covariance + side.surplus
    points = places.factor * side.points.covariance + side.points_surplus
    return {
        "log_odds": Measured(side.log_odds.estimate, log_odds, places.dof),
        "points": Measured(side.points.estimate, points, places.dof),
    }


def human_rows(
    model: str,
    terms: Sequence[str],
    scale: str,
    measured: Measured,
    informative: Sequence[int],
    how: Inference,
) -> Rows:
    """Rows of `human.csv`, the features of one model on one scale: one family.

    Args:
        model: its name.
        terms: (K,).
        scale: `log_odds` or `points`.
        measured: the estimates.
        informative: (K,), pairs in which the feature differs.
        how: multiplicity, intervals.
    """
    difference, covariance = measured.difference()
    errors = linear.root_diagonal(measured.covariance)
    # Of two sides that rest on the same numbers, what rounding leaves of the error is none.
    own = linear.root_diagonal(covariance)
    own = np.where(own > 1e-7 * errors.reshape(2, -1).max(axis=0), own, 0.0)
    rows: Rows = []
    for j, term in enumerate(terms):
        row: dict[str, object] = {"model": model, "term": term, "scale": scale}
        for i, who in ((j, "human"), (measured.size + j, "rm")):
            line = coefficient(float(measured.estimate[i]), float(errors[i]), measured.dof, how.level)
            row |= {who: line["estimate"], f"{who}_low": line["conf_low"], f"{who}_high": line["conf_high"]}
        line = coefficient(float(difference[j]), float(own[j]), measured.dof, how.level)
        row |= {"difference": line["estimate"]}
        row |= {name: line[name] for name in ("std_error", "p_value", "conf_low", "conf_high")}
        rows.append(row | {"n_informative": int(informative[j])})
    p_values = [row["p_value"] for row in rows]
    adjusted = adjust([p if isinstance(p, float) else None for p in p_values], how.adjust)
    return [row | {"p_adjusted": p} for row, p in zip(rows, adjusted, strict=True)]


@dataclass(frozen=True)
class Comparison:
    """All features of a model together, in log odds.

    Attributes:
        statistic, p_value, dof: Wald's test that it pays what people pay.
        proportion: whether it pays that times one factor; None where that cannot be tested.
    """

    statistic: float
    p_value: float
    dof: int
    proportion: Proportion | None

    @classmethod
    def of(cls, measured: Measured) -> "Comparison":
        """Compare people's and the model's coefficients."""
        k, (difference, covariance) = measured.size, measured.difference()
        if not np.trace(covariance) > 1e-14 * np.trace(measured.covariance):
            return cls(float("nan"), float("nan"), 0, None)
        found = proportion(measured.estimate[:k], measured.estimate[k:], measured.covariance)
        return cls(*wald(difference, covariance), found)

    def tests(self, model: str, n: int) -> Rows:
        """Rows of `tests.csv`; of `human_factor` the statistic is k, the p-value that of k = 1."""
        if not self.dof:
            return []
        rows = [tested("human_equals_rm", model, self.statistic, self.p_value, n)]
        if self.proportion is not None and np.isfinite(self.proportion.std_error):
            k, p_value = self.proportion.k, float(2 * norm.sf(abs(self.proportion.z_of_one)))
            if self.proportion.dof:
                found = self.proportion
                rows.append(tested("human_proportional", model, found.statistic, found.p_value, n))
            rows.append(tested("human_factor", model, k, p_value, n))
        return rows


_NOTHING = 0.005  # times what people pay, and less: no number is said


def taste(rows: Mapping[str, Rows], compared: Comparison, level: float) -> str:
    """What may be said of a model's rows on both scales, as a clause: a difference in taste or why none.

    Args:
        rows: `log_odds` and `points`, the features in one order.
        compared: of all features together.
        level: 1 - level is what an adjusted p-value must stay under.
    """
    found = compared.proportion
    if not compared.dof:
        return "it rests on the same numbers as people's choices: nothing to compare"
    if compared.p_value >= 1 - level:
        return f"no difference from what people pay is seen (p = {compared.p_value:.2g})"
    if found is None or not found.dof:
        return (
            "whether it pays as people do but for one factor cannot be tested: no difference in taste is said"
        )
    if found.p_value >= 1 - level:
        times = f"{found.k:.3g} times" if abs(found.k) >= _NOTHING else "next to nothing of"
        return (
            f"it pays {times} what people pay, for all features alike as far as is seen (p = "
            f"{found.p_value:.2g}): noisier choices would look the same, so no difference in taste is said"
        )
    both = list(zip(rows["log_odds"], rows["points"], strict=True))
    more = [str(a["term"]) for a, b in both if _sign(a, level) > 0 < _sign(b, level)]
    less = [str(a["term"]) for a, b in both if _sign(a, level) < 0 > _sign(b, level)]
    if not (more or less):
        return "it differs from people, but in no feature both in log odds and in points"
    said = [f"for {', '.join(names)} {word}" for word, names in (("above", more), ("below", less)) if names]
    return (
        f"a difference in taste: its prices lie {' and '.join(said)} those of people (log odds and points "
        f"agree; one factor for all features is rejected, p = {found.p_value:.2g})"
    )


def _sign(row: Mapping[str, object], level: float) -> int:
    """1 or -1 where the difference is significant after adjustment, else 0."""
    difference, p = row["difference"], row["p_adjusted"]
    if not (isinstance(difference, float) and isinstance(p, float)) or p >= 1 - level:
        return 0
    return 1 if difference > 0 else -1


def _about(side: HumanInfluence, model: str, terms: Sequence[str]) -> list[str]:
    """The factor of the calibrated scale, and separation."""
    notes = []
    if side.calibrated:
        notes.append(f"human imprint of {model}: margins times {side.t:.4g} stand beside people's choices")
    k = len(terms)
    for who, there in (("people's choices", range(k)), (f"the choices of {model}", range(k, 2 * k))):
        names = [terms[j % k] for j in side.infinite if j in there]
        if names:
            notes.append(
                f"human imprint: {', '.join(names)} separated {who} perfectly: Firth's penalised logit for "
                "them all, model-based errors"
            )
    return notes
