"""What people pay and what the models pay, corrected for label errors by gold pairs.

h and r of all pairs by the labeler's labels, and of the gold pairs by true and by the labeler's labels, each
with its influences (see `seal.stats.equations.human`); h, r and their probability points are corrected one by
one, and the error of r - h is that of psi_r - psi_h.
"""

from collections.abc import Iterable, Sequence

import polars as pl

from seal.stats.equations import amplification
from seal.stats.equations.corrected import design_columns, usable_differences
from seal.stats.equations.equation import Equation
from seal.stats.equations.gold_sample import Corrected, Gold, correction_tests, said_of
from seal.stats.equations.human import HumanFit, HumanInfluence, human_fit, human_influences
from seal.stats.equations.imprint_influence import MODELS
from seal.stats.options import Inference, RmScale
from seal.stats.pairs.joins import Inputs
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import Floats, Rows
from seal.stats.regression.influence import Influence, beside
from seal.stats.regression.separation import NoFit

SCHEMA = (
    amplification.SCHEMA
    | {"method": pl.String(), "naive_difference": pl.Float64()}
    | dict.fromkeys(("n_gold", "n_gold_informative"), pl.Int64())
)
NAME = "human_corrected"


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
    judged = usable_differences(gold, asked, NAME)
    entering = [asked[i] for i in judged.columns]
    terms = [columns[j].term for j in entering]
    notes = said_of(judged, [columns[j].term for j in asked], NAME)
    models = [m for m in MODELS if getattr(inputs, m) in set(naive["model"])]
    lines: Rows = []
    tests: Rows = []
    found = human_influences(rows, inputs, entering, gold.places, scale, models=models)
    for model, everyone in found.items():
        name = str(getattr(inputs, model))
        try:
            if isinstance(everyone, NoFit):
                raise everyone
            sides = _correct(everyone, gold, entering, model, scale)
        except NoFit as reason:
            notes.append(f"{NAME}: {name}: not corrected: {reason}")
            continue
        told = _tell(name, terms, sides, everyone, gold, gold.pairs.informative(entering).tolist(), how)
        lines, tests, notes = lines + told[0], tests + told[1], [*notes, told[2]]
    verdicts = tuple((columns[asked[i]], Verdict(None, False, why)) for i, why in judged.left_out.items())
    return Equation(pl.DataFrame(lines, schema=SCHEMA), verdicts, tuple(tests), tuple(notes))


_Halves = tuple[Corrected, Corrected]  # people's and the model's side


def _tell(
    name: str, terms: Sequence[str], sides: dict[str, _Halves], everyone: HumanInfluence, gold: Gold,
    informative: Sequence[int], how: Inference,
) -> tuple[Rows, Rows, str]:  # fmt: skip
    """One model's lines, tests and note, from both sides by scale of the table."""
    measured = {of: _measured(*halves, gold) for of, halves in sides.items()}
    mine = {
        of: amplification.human_rows(name, terms, of, m, everyone.informative, how)
        for of, m in measured.items()
    }
    lines = [line for of, halves in sides.items() for line in _with_gold(mine[of], halves, gold, informative)]
    compared = amplification.Comparison.of(measured["log_odds"])
    tests = [t | {"test": f"{t['test']}_corrected"} for t in compared.tests(name, everyone.n)]
    for who, fit in zip(("people", "model"), sides["log_odds"], strict=True):
        tests += correction_tests(f"human_{who}", name, terms, fit, len(gold.pairs))
    return lines, tests, f"{NAME}: {name}: {amplification.taste(mine, compared, how.level)}"


def _measured(human: Corrected, rm: Corrected, gold: Gold) -> amplification.Measured:
    both = beside([human.estimate, rm.estimate])
    return amplification.Measured(both.estimate, gold.places.factor * both.covariance, gold.dof)


def _with_gold(rows: Rows, halves: _Halves, gold: Gold, informative: Sequence[int]) -> Rows:
    naive = halves[1].naive - halves[0].naive
    return [
        {**row, "method": "rectified", "naive_difference": float(difference)}
        | {"n_gold": len(gold.pairs), "n_gold_informative": n}
        for row, difference, n in zip(rows, naive, informative, strict=True)
    ]


def _correct(
    everyone: HumanInfluence, gold: Gold, columns: Sequence[int], model: str, scale: RmScale
) -> dict[str, _Halves]:
    """Both sides of one model, by scale of the table.

    Raises:
        NoFit: a side has no estimate on the gold pairs, or an infinite one.
    """
    y, weight = gold.pairs.margins(model), gold.sample.weight
    try:
        truth, proxy = (human_fit(x, y, weight, scale) for x in gold.pairs.differences(columns))
    except NoFit as reason:
        raise NoFit(f"of the {len(gold.pairs)} gold pairs alone: {reason}") from None
    if everyone.infinite or truth.infinite or proxy.infinite:
        raise NoFit("a feature separates the choices, of all or of the gold pairs")
    k = len(columns)
    found = {}
    for of, whole in (("log_odds", everyone.log_odds), ("points", everyone.points)):
        people, rm = (
            Corrected.by(_fit(truth, of, half), _fit(proxy, of, half), _part(whole, half), gold.sample, k)
            for half in (slice(0, k), slice(k, 2 * k))
        )
        found[of] = (people, rm)
    return found


def _fit(of: HumanFit, scale: str, half: slice) -> tuple[Floats, Floats]:
    if scale == "log_odds":
        return of.estimate[half], of.influence[:, half]
    return of.points[half], of.points_influence[:, half]


def _part(of: Influence, half: slice) -> Influence:
    return Influence(of.estimate[half], of.loading[half], of.scores)
