"""Eq. 1, feature imprint: how much reward a model pays for a feature, between the two texts of one pair.

r(t) = alpha_i + sum_f beta_f t(f) + e, errors clustered by pair. With two texts a pair this is least
squares, without intercept, of the reward difference on the feature differences d, and the clustered variance
is its HC0 (no small-sample factor: pyfixest's `ssc(k_adj=False, G_adj=False)`), with t(n_pairs - 1) for
intervals. Pairs are grouped by d, so one pass over the data is all it takes.
"""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from seal.stats.equations.differences import Differences, outcomes
from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint_influence import (
    CHOSEN_TERM,
    ImprintInfluence,
    differences,
    imprint_influence,
)
from seal.stats.options import LEVEL, USUAL, Inference
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs
from seal.stats.regression import collinearity, linear
from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import INFERENCE, Rows, coefficient, coefficient_table, tested

__all__ = (
    "CHOSEN_TERM", "NO_FEATURE", "NO_PAIR", "SCHEMA", "Differences", "ImprintInfluence",
    "differences", "estimate_imprint", "feature_imprint", "imprint_influence", "outcomes", "standardise",
)  # fmt: skip
_TEXT, _FLOAT, _COUNT = pl.String(), pl.Float64(), pl.Int64()

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "term"), _TEXT)
    | INFERENCE
    | {"n_pairs": _COUNT, "n_informative": _COUNT, "estimate_std": _FLOAT}
)

NO_PAIR = "no pair has both rewards and labels: no imprint"
NO_FEATURE = "no feature varies within pairs: no imprint"


def feature_imprint(
    inputs: Inputs, how: Inference = USUAL, *, chosen_side: bool = False
) -> tuple[Equation, Joined]:
    """Estimate Eq. 1 for the pre model, the post model and their difference.

    Args:
        inputs: scores, labels and features; scanned files stay on disk, read a block at a time.
        how: multiplicity over the features of one model, intervals, collinearity.
        chosen_side: add an intercept of the chosen side, so that features do not absorb the part of the
            chosen premium that no feature explains.

    Returns:
        The estimates, in the model's reward units a unit of the feature (`estimate_std`: in SDs of the
        model's rewards, and of a covariate; for the difference of the two models the difference of theirs),
        and what the joins counted.

    Raises:
        InputError: a key stands twice, or a column is missing.
    """
    pairs, gathered = Pairs(inputs), Differences(inputs)
    for block in pairs:
        gathered.add(block)
    return estimate_imprint(gathered, how, chosen_side=chosen_side), pairs.joined


def estimate_imprint(gathered: Differences, how: Inference, *, chosen_side: bool) -> Equation:
    """Eq. 1 from grouped differences; see `feature_imprint`."""
    cells, inputs, features = gathered.cells(), gathered.inputs, gathered.inputs.regressed
    if cells is None:
        return Equation(pl.DataFrame(schema=SCHEMA), notes=(NO_PAIR,))
    columns = gathered.positions
    gram = linear.cross_products(cells, "pre", columns, intercept=chosen_side)
    gram = linear.centred(gram) if chosen_side else gram
    judged = collinearity.select(gram, [r.term for r in features.regressors], threshold=how.max_vif)
    verdicts = tuple(zip(features.regressors, judged, strict=True))
    kept = {j: r for j, (r, v) in zip(columns, verdicts, strict=True) if v.kept}
    if not kept:
        return Equation(pl.DataFrame(schema=SCHEMA), verdicts, notes=(NO_FEATURE,))
    terms = [*[CHOSEN_TERM] * chosen_side, *(r.term for r in kept.values())]
    informative = [*[cells.total("pre")] * chosen_side, *(gathered.informative(cells, j) for j in kept)]
    rows: Rows = []
    notes: list[str] = []
    for outcome, model in outcomes(inputs).items():
        found, said = linear.coefficient_rows(
            cells, outcome, list(kept), terms, informative,
            intercept=chosen_side, robust="HC0", level=how.level, scarce="informative pairs for",
        )  # fmt: skip
        rows += [
            {"model": model, "term": term, **row, "n_informative": n}
            for term, row, n in zip(terms, found, informative, strict=True)
        ]
        notes += [f"imprint of {model}: {text}" for text in said]
    standardise(rows, gathered.spread.sd, inputs)
    table = coefficient_table(rows, SCHEMA, "model", how.adjust, outside=CHOSEN_TERM)
    tests = () if chosen_side else tuple(_linearity(gathered, cells, kept))
    return Equation(table, verdicts, tests, tuple(dict.fromkeys(notes)))


def standardise(rows: Rows, sd: Callable[[str], float], inputs: Inputs) -> None:
    """Set `estimate_std`: in SDs of the model's rewards, for a covariate a SD of it.

    Args:
        rows: pre's, post's, then their difference's.
        sd: standard deviation of `pre`, `post`, and the covariates by their base names.
        inputs: for the names.
    """
    assert inputs.features is not None
    numeric = {r.term: x for r, x in zip(inputs.features.numeric, inputs.covariates, strict=True)}
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        model, term = str(row["model"]), str(row["term"])
        unit = sd(numeric[term]) if term in numeric else 1.0
        if model in (inputs.pre, inputs.post):
            value = float(str(row["estimate"])) * unit / sd("pre" if model == inputs.pre else "post")
            found[model, term] = value
        else:
            value = found[inputs.post, term] - found[inputs.pre, term]
        row["estimate_std"] = value if np.isfinite(value) else None


def _linearity(gathered: Differences, cells: Cells, kept: Mapping[int, Regressor]) -> Rows:
    """Whether positive/neutral/negative is linear: add |value|, test its coefficient."""
    rows: Rows = []
    features = gathered.inputs.regressed
    ternary = {r.feature for r in kept.values() if r.kind == "ternary"}
    for at, curve in enumerate(features.curves, len(features.coded)):
        if curve.feature not in ternary:
            continue
        columns = sorted([*kept, at])
        j = columns.index(at)
        for outcome, model in outcomes(gathered.inputs).items():
            try:
                fit = linear.least_squares(cells, outcome, columns, intercept=False, robust="HC0")
            except np.linalg.LinAlgError:
                continue
            row = coefficient(float(fit.estimate[j]), float(fit.std_error[j]), fit.dof, LEVEL)
            group = f"{model}: {curve.feature}"
            rows.append(tested("linearity", group, row["statistic"], row["p_value"], fit.n))
    return rows
