"""Eq. 1 corrected for label errors by gold pairs: the imprint as if people had labeled every text.

Only gold pairs are held; all others are walked through. The methods are `seal.stats.labelers.rectified` and
`seal.stats.labelers.calibrated`.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from seal.stats.equations.corrected_table import Layout, imprint_table
from seal.stats.equations.differences import outcomes
from seal.stats.equations.equation import Equation
from seal.stats.equations.gold_sample import (
    Corrected,
    Gold,
    Usable,
    correction_tests,
    said_of,
    usable,
    variance_ratio,
)
from seal.stats.equations.imprint_influence import MODELS, imprint_influence
from seal.stats.equations.standardised import in_sds
from seal.stats.labelers.calibrated import calibrated, hausman, refusal, smallest_singular_value
from seal.stats.labelers.rectified import gold_only, least_squares_influence, slope
from seal.stats.options import Inference
from seal.stats.pairs.features import Features, Regressor
from seal.stats.pairs.gold import NoGold
from seal.stats.pairs.joins import Inputs
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import Rows, tested
from seal.stats.regression.influence import Influence
from seal.stats.regression.separation import NoFit


def design_columns(features: Features) -> tuple[Regressor, ...]:
    """The columns of the differences: packed codes, then covariates."""
    return (*features.packed, *features.numeric)


def corrected_imprint(
    rows: Iterable[pl.DataFrame],
    inputs: Inputs,
    naive: pl.DataFrame,
    gold: Gold,
    how: Inference,
    units: Mapping[str, float],
    *,
    calibrate: bool = False,
) -> Equation:
    """Correct Eq. 1 of the pre model, the post model and their difference.

    Args:
        rows: blocks of pairs, walked through twice.
        inputs: the frames.
        naive: `imprint.csv`; its terms are those that are corrected, where gold allows it.
        gold: the gold pairs.
        how: multiplicity over the features of one model, intervals.
        units: term of a covariate -> what it is standardised by, its SD.
        calibrate: by `calibrated`, not `rectified`.

    Returns:
        The columns of `imprint.csv` and what the correction was made of. `naive_estimate` is of the same
        regression: that of `imprint.csv` unless a feature is left out.

    Raises:
        NoGold: there are too few gold pairs, or the calibrated estimate is not to be shown.
        NoFit: the gold pairs do not identify the regression.
    """
    columns = design_columns(inputs.regressed)
    informative = dict(naive.select("term", "n_informative").iter_rows())
    asked = [j for j, r in enumerate(columns) if r.term in informative]
    judged = usable_differences(gold, asked, "imprint_corrected")
    entering = [asked[i] for i in judged.columns]
    found = imprint_influence(rows, inputs, entering, gold.places)
    fits, tests = _fits(found.by_model, inputs, gold, entering, calibrate)
    layout = Layout(
        inputs, found.terms, "calibrated" if calibrate else "rectified",
        gold.places.factor, gold.dof, found.n,
        [informative[t] for t in found.terms], len(gold.pairs),
        gold.pairs.informative(entering).tolist(),
    )  # fmt: skip
    naives = {m: f.naive for m, f in fits.items()}
    naives["change"] = naives["post"] - naives["pre"]
    unit = np.array([units.get(t, 1.0) for t in found.terms])
    table = imprint_table(
        in_sds({m: f.estimate for m, f in fits.items()}, found.sd, unit), naives, layout, how
    )
    notes = said_of(judged, [columns[j].term for j in asked], "imprint_corrected")
    for model, fit in fits.items():
        tests += correction_tests("imprint", outcomes(inputs)[model], found.terms, fit, len(gold.pairs))
        notes.append(_summary(outcomes(inputs)[model], fit, tests))
    verdicts = tuple((columns[asked[i]], Verdict(None, False, why)) for i, why in judged.left_out.items())
    return Equation(table, verdicts, tuple(tests), tuple(notes))


def _fits(
    everyone: Mapping[str, Influence], inputs: Inputs, gold: Gold, columns: Sequence[int], calibrate: bool
) -> tuple[dict[str, Corrected], Rows]:
    """Both models' fits by the method that was asked for, and Hausman's tests."""
    fits: dict[str, Corrected] = {}
    tests: Rows = []
    for model in MODELS:
        fit, name = rectified_imprint(everyone[model], gold, columns, model), outcomes(inputs)[model]
        other, said = _calibrated(everyone[model], fit, gold, columns, (model, name), calibrate)
        tests += said
        fits[model] = other if calibrate and other is not None else fit
    return fits, tests


def _summary(model: str, fit: Corrected, tests: Rows) -> str:
    """What the correction did to one model's imprint, in a sentence."""
    ratio, share = float(np.median(fit.gain)), slope(fit.naive, fit.estimate.estimate)
    said = (
        f"imprint of {model}: uncorrected coefficients are {share:.2f} times the corrected ones; gold alone"
        f" would have {ratio:.2f} times their variance (median)"
    )
    p_values = [t["p_value"] for t in tests if t["test"] == "hausman" and t["group"] == model]
    return f"{said}; Hausman p = {p_values[0]:.2g}" if p_values else said


def usable_differences(gold: Gold, columns: Sequence[int], of: str) -> Usable:
    """Which columns of the differences can be corrected; `of` names the table.

    Raises:
        NoGold: there are too few gold pairs.
    """
    pairs = gold.pairs
    labeled, informative = pairs.labeled[list(columns)].tolist(), pairs.informative(columns).tolist()
    return usable(*pairs.differences(columns), labeled, informative, intercept=False, of=of)


def rectified_imprint(everyone: Influence, gold: Gold, columns: Sequence[int], model: str) -> Corrected:
    """One model's imprint, from that of all pairs by the labeler's labels."""
    d, v = gold.pairs.differences(columns)
    y, weight = gold.pairs.margins(model), gold.sample.weight
    truth, proxy = (least_squares_influence(x, y, weight) for x in (d, v))
    return Corrected.by(truth, proxy, everyone, gold.sample, len(columns))


def _calibrated(
    everyone: Influence,
    fit: Corrected,
    gold: Gold,
    columns: Sequence[int],
    model: tuple[str, str],
    strict: bool,
) -> tuple[Corrected | None, Rows]:
    """The calibrated estimate if there is one, and Hausman's test of it against `rectified`.

    `model` is `pre` or `post`, and its name.

    Raises:
        NoGold: it is not to be shown though it was asked for (`strict`).
    """
    d, v = gold.pairs.differences(columns)
    try:
        found = calibrated(d, v, everyone, gold.sample)
        singular = smallest_singular_value(d, v, gold.sample.weight)
    except NoFit:
        if strict:
            raise
        return None, []
    statistic, p_value, _ = hausman(fit.estimate, found, gold.places.factor)
    why = refusal(p_value, singular)
    if why is not None and strict:
        raise NoGold(f"{model[1]}: {why}; --correct rectified assumes nothing of the errors")
    alone = gold_only(
        *least_squares_influence(d, gold.pairs.margins(model[0]), gold.sample.weight), everyone, gold.sample,
        len(columns),
    )  # fmt: skip
    rows: Rows = []
    if np.isfinite(statistic):
        rows.append(tested("hausman", model[1], statistic, p_value, len(gold.pairs)))
    return Corrected(found, everyone.estimate, variance_ratio(alone, found)), rows
