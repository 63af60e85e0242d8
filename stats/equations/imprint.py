"""Eq. 1, feature imprint: how much reward a model pays for a feature, between the two texts of one pair.

r(t) = alpha_i + sum_f beta_f t(f) + e, errors clustered by pair. With two texts a pair this is least
squares, without intercept, of the reward difference on the feature differences d, and the clustered variance
is its HC0 (no small-sample factor: pyfixest's `ssc(k_adj=False, G_adj=False)`), with t(n_pairs - 1) for
intervals. Pairs are grouped by d, so one pass over the data is all it takes.
"""

from collections.abc import Iterable, Mapping, Sequence

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
from seal.stats.equations.standardised import (
    STANDARDISED,
    in_sds,
    standardised_columns,
    with_adjusted,
    without_rounding,
)
from seal.stats.options import LEVEL, USUAL, Inference
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs
from seal.stats.pairs.places import Places
from seal.stats.pairs.spool import Spool
from seal.stats.regression import collinearity, linear
from seal.stats.regression.cells import Cells
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import (
    INFERENCE,
    Rows,
    coefficient_table,
    pivot_rank,
    tested,
    wald,
)

__all__ = (
    "CHOSEN_TERM", "NO_FEATURE", "NO_PAIR", "SCHEMA", "ImprintInfluence", "design_of_differences",
    "differences", "estimate_imprint", "feature_imprint", "imprint_influence",
)  # fmt: skip
_TEXT, _COUNT = pl.String(), pl.Int64()

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "term"), _TEXT)
    | INFERENCE
    | {"n_pairs": _COUNT, "n_informative": _COUNT}
    | STANDARDISED
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
        The estimates, in the model's reward units a unit of the feature (in the `_std` columns in SDs of the
        model's own margins, for a SD of a covariate; for the difference of the two models the difference of
        theirs), and what the joins counted.

    Raises:
        InputError: a key stands twice, or a column is missing.
    """
    pairs, gathered = Pairs(inputs), Differences(inputs)
    with Spool(pairs) as rows:
        for block in rows:
            gathered.add(block)
        found = estimate_imprint(
            gathered, rows, Places.find(rows, inputs.cluster), how, chosen_side=chosen_side
        )
    return found, pairs.joined


def design_of_differences(gathered: Differences, *, chosen_side: bool) -> collinearity.Design | None:
    """What Eq. 1 regresses on, as regressors are chosen by; None where no pair enters."""
    cells = gathered.cells()
    if cells is None:
        return None
    gram = linear.cross_products(cells, "pre", gathered.positions, intercept=chosen_side)
    terms = tuple(r.term for r in gathered.regressors)
    return collinearity.Design(
        "imprint_chosen" if chosen_side else "imprint",
        linear.centred(gram) if chosen_side else gram, tuple(range(len(terms))), terms,
    )  # fmt: skip


def estimate_imprint(
    gathered: Differences,
    rows: Iterable[pl.DataFrame],
    places: Places,
    how: Inference,
    *,
    chosen_side: bool,
    judged: Sequence[Verdict] | None = None,
) -> Equation:
    """Eq. 1 from grouped differences; see `feature_imprint`.

    Args:
        gathered: the differences.
        rows: the same pairs, to be walked through again (see `seal.stats.pairs.spool.Spool`).
        places: their clusters.
        how, chosen_side: as there.
        judged: each regressor's verdict, where several equations choose together; else this one chooses.
    """
    cells, inputs, features = gathered.cells(), gathered.inputs, gathered.inputs.regressed
    if cells is None:
        return Equation(pl.DataFrame(schema=SCHEMA), notes=(NO_PAIR,))
    if judged is None:
        design = design_of_differences(gathered, chosen_side=chosen_side)
        assert design is not None
        judged = collinearity.select_together([design], len(features.regressors), threshold=how.max_vif)[1][0]
    verdicts = tuple(zip(features.regressors, judged, strict=True))
    kept = {j: r for j, (r, v) in zip(gathered.positions, verdicts, strict=True) if v.kept}
    if not kept:
        return Equation(pl.DataFrame(schema=SCHEMA), verdicts, notes=(NO_FEATURE,))
    terms = [*[CHOSEN_TERM] * chosen_side, *(r.term for r in kept.values())]
    informative = [*[cells.total("pre")] * chosen_side, *(gathered.informative(cells, j) for j in kept)]
    influence = imprint_influence(rows, inputs, list(kept), places, chosen_side=chosen_side)
    units = np.array([1.0] * chosen_side + [gathered.unit(gathered.slopes[j]) for j in kept])
    standardised = in_sds(influence.by_model, influence.sd, units)
    table: Rows = []
    notes: list[str] = []
    for outcome, model in outcomes(inputs).items():
        found = linear.fitted_rows(
            cells, outcome, list(kept), terms, informative,
            intercept=chosen_side, robust="HC0", level=how.level, scarce="informative pairs for",
        )  # fmt: skip
        std = standardised_columns(standardised[outcome], found.rows, found.dof.tolist(), how.level)
        table += [
            {"model": model, "term": term, **row, "n_informative": n, **more}
            for term, row, n, more in zip(terms, found.rows, informative, std, strict=True)
        ]
        notes += [f"imprint of {model}: {text}" for text in found.notes]
    table = without_rounding(table, outcomes(inputs))
    whole = coefficient_table(table, SCHEMA, "model", how.adjust, outside=CHOSEN_TERM)
    whole = with_adjusted(whole, "model", how.adjust, outside=CHOSEN_TERM)
    tests = () if chosen_side else (*_linearity(gathered, cells, kept), *_dropped(gathered, cells, kept))
    return Equation(whole, verdicts, tests, tuple(dict.fromkeys(notes)))


def _linearity(gathered: Differences, cells: Cells, kept: Mapping[int, Regressor]) -> Rows:
    """Whether positive/neutral/negative is linear: add |value|, test its coefficient."""
    rows: Rows = []
    features = gathered.inputs.regressed
    ternary = {r.feature for r in kept.values() if r.kind == "ternary"}
    for at, curve in enumerate(features.curves, len(features.coded)):
        if curve.feature not in ternary:
            continue
        columns = sorted([*kept, at])
        j, informative = columns.index(at), [gathered.informative(cells, c) for c in columns]
        for outcome, model in outcomes(gathered.inputs).items():
            try:
                found = linear.fitted_rows(
                    cells, outcome, columns, [""] * len(columns), informative,
                    intercept=False, robust="HC0", level=LEVEL, scarce="",
                )  # fmt: skip
            except np.linalg.LinAlgError:
                continue
            row, group = found.rows[j], f"{model}: {curve.feature}"
            rows.append(tested("linearity", group, row["statistic"], row["p_value"], found.fit.n))
    return rows


def _dropped(gathered: Differences, cells: Cells, kept: Mapping[int, Regressor]) -> Rows:
    """A Wald test of all that was dropped, added back to Eq. 1 as far as it is no exact repeat."""
    order = [*kept, *(j for j in gathered.positions if j not in kept)]
    gram = linear.cross_products(cells, "pre", columns := sorted(order), intercept=False)
    at = [columns.index(j) for j in order]
    whole = sorted(order[i] for i in pivot_rank(gram[np.ix_(at, at)]))
    back = [i for i, j in enumerate(whole) if j not in kept]
    if not back:
        return []
    every = dict(zip(gathered.positions, gathered.regressors, strict=True))
    names = ", ".join(every[whole[i]].term for i in back)
    rows: Rows = []
    for outcome, model in outcomes(gathered.inputs).items():
        try:
            fit = linear.least_squares(cells, outcome, whole, intercept=False, robust="HC0")
        except np.linalg.LinAlgError:
            continue
        statistic, p_value, rank = wald(fit.estimate[back], fit.covariance[np.ix_(back, back)])
        if rank:
            rows.append(tested("dropped_block", f"{model}: {names}", statistic, p_value, fit.n))
    return rows
