"""What people pay and what the models pay, corrected for label errors by gold pairs.

h and r of all pairs by the labeler's labels, and of the gold pairs by true and by the labeler's labels, each
with its influences (see `seal.stats.equations.human`); h, r and their probability points are corrected one by
one, and the error of r - h is that of psi_r - psi_h.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.stats.equations.corrected import design_columns, usable_differences
from seal.stats.equations.equation import Equation
from seal.stats.equations.gold_sample import Corrected, Gold, correction_tests, said_of
from seal.stats.equations.human import HumanFit, HumanInfluence, human_fit, human_influences
from seal.stats.equations.imprint_influence import MODELS
from seal.stats.options import Inference, RmScale
from seal.stats.pairs.joins import Inputs
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import Floats, Rows, adjust
from seal.stats.regression.influence import Influence, beside
from seal.stats.regression.separation import NoFit

HUMAN: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "term", "scale"), pl.String())
    | dict.fromkeys(("human", "human_low", "human_high", "rm", "rm_low", "rm_high"), pl.Float64())
    | dict.fromkeys(
        ("difference", "std_error", "p_value", "p_adjusted", "conf_low", "conf_high"), pl.Float64()
    )
    | {"n_informative": pl.Int64()}
)
SCHEMA = HUMAN | {"method": pl.String(), "naive_difference": pl.Float64()} | dict.fromkeys(
    ("n_gold", "n_gold_informative"), pl.Int64()
)  # fmt: skip
NAME = "human_corrected"
_SCALES = ("log_odds", "points")


def corrected_human(
    rows: Iterable[pl.DataFrame],
    inputs: Inputs,
    naive: pl.DataFrame,
    gold: Gold,
    how: Inference,
    scale: RmScale,
) -> Equation:
    """Correct what people and each model pay, and the difference, by `rectified`.

    Args:
        rows: blocks of pairs, walked through some twenty times.
        inputs: the frames.
        naive: `human.csv`; its terms are those that are corrected, where gold allows it.
        gold: the gold pairs.
        how: multiplicity over the differences of one model, intervals.
        scale: what the models' side is.

    Returns:
        The columns of `human.csv` and what the correction was made of.

    Raises:
        NoGold: there are too few gold pairs.
        NoFit: people's side has no estimate.
    """
    columns = design_columns(inputs.regressed)
    informative = dict(naive.select("term", "n_informative").iter_rows())
    asked = [j for j, r in enumerate(columns) if r.term in informative]
    judged = usable_differences(gold, asked)
    entering = [asked[i] for i in judged.columns]
    gold.require(len(entering), NAME)
    terms = [columns[j].term for j in entering]
    notes = said_of(judged, [columns[j].term for j in asked], NAME)
    models = [m for m in MODELS if getattr(inputs, m) in set(naive["model"])]
    found = human_influences(rows, inputs, entering, gold.places, scale, models=models)
    lines: Rows = []
    tests: Rows = []
    for model, everyone in found.items():
        name = str(getattr(inputs, model))
        try:
            sides = _correct(everyone, gold, entering, model, scale)
        except NoFit as reason:
            notes.append(f"{NAME}: {name}: not corrected: {reason}")
            continue
        beside_it = [
            {"n_informative": informative[t], "n_gold": len(gold.pairs), "n_gold_informative": n}
            for t, n in zip(terms, gold.pairs.informative(entering).tolist(), strict=True)
        ]
        for of in _SCALES:
            lines += sides[of].lines({"model": name, "scale": of}, terms, beside_it, gold, how)
        for who, fit in (("people", sides["log_odds"].human), ("model", sides["log_odds"].rm)):
            tests += correction_tests(f"human_{who}", name, terms, fit, len(gold.pairs))
    verdicts = tuple((columns[asked[i]], Verdict(None, False, why)) for i, why in judged.left_out.items())
    return Equation(pl.DataFrame(lines, schema=SCHEMA), verdicts, tuple(tests), tuple(notes))


@dataclass(frozen=True)
class _Sides:
    """People's and the model's side, corrected."""

    human: Corrected
    rm: Corrected

    def lines(
        self,
        key: Mapping[str, object],
        terms: Sequence[str],
        beside_it: Sequence[Mapping[str, object]],
        gold: Gold,
        how: Inference,
    ) -> Rows:
        h, r = self.human.estimate, self.rm.estimate
        one = np.eye(len(terms))
        z = beside([h, r]).mapped(r.estimate - h.estimate, np.concatenate([-one, one], axis=1))
        naive = self.rm.naive - self.human.naive
        lines: Rows = []
        for j, term in enumerate(terms):
            line: dict[str, object] = {**key, "term": term}
            for who, side in (("human", h), ("rm", r)):
                found = gold.line(side, j, how.level)
                line |= {who: found["estimate"], f"{who}_low": found["conf_low"]}
                line |= {f"{who}_high": found["conf_high"]}
            found = gold.line(z, j, how.level)
            line |= {n: found[n] for n in ("std_error", "p_value", "conf_low", "conf_high")}
            line |= {"difference": found["estimate"], "naive_difference": float(naive[j])}
            lines.append(line | {"method": "rectified"} | dict(beside_it[j]))
        p_values = [gold.line(z, j, how.level)["p_value"] for j in range(len(terms))]
        for line, p in zip(lines, adjust(p_values, how.adjust), strict=True):
            line["p_adjusted"] = p
        return lines


def _correct(
    everyone: HumanInfluence | NoFit, gold: Gold, columns: Sequence[int], model: str, scale: RmScale
) -> dict[str, _Sides]:
    """By scale of the table: both sides of one model.

    Raises:
        NoFit: a side has no estimate, or an infinite one.
    """
    if isinstance(everyone, NoFit):
        raise everyone
    y, weight = gold.pairs.margins(model), gold.sample.weight
    truth, proxy = (human_fit(x, y, weight, scale) for x in gold.pairs.differences(columns))
    if everyone.infinite or truth.infinite or proxy.infinite:
        raise NoFit("a feature separates the choices, of all or of the gold pairs")
    k = len(columns)
    halves = (slice(0, k), slice(k, 2 * k))
    found = {}
    for of, whole in (("log_odds", everyone.log_odds), ("points", everyone.points)):
        human, rm = (
            Corrected.by(_fit(truth, of, half), _fit(proxy, of, half), _part(whole, half), gold.sample, k)
            for half in halves
        )
        found[of] = _Sides(human, rm)
    return found


def _fit(of: HumanFit, scale: str, half: slice) -> tuple[Floats, Floats]:
    if scale == "log_odds":
        return of.estimate[half], of.influence[:, half]
    return of.points[half], of.points_influence[:, half]


def _part(of: Influence, half: slice) -> Influence:
    return Influence(of.estimate[half], of.loading[half], of.scores)
