"""Eq. 1 with effects, or slopes, of what differs between the two texts of a pair: pyfixest estimates.

All texts are held in memory, one row a text (and labeler); the effect is the pair's (and labeler's).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.schema import TEXT_KEY
from seal.stats.equations.designs import LABELER, Design, few_informative
from seal.stats.equations.differences import outcomes, refuse_crowded, refuse_unknown
from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint import (
    CHOSEN_TERM,
    NO_FEATURE,
    NO_PAIR,
    SCHEMA,
    Spread,
    standardise_rows,
)
from seal.stats.options import USUAL, Inference
from seal.stats.pairs.checks import require_columns
from seal.stats.pairs.features import Features, Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs, collect_all
from seal.stats.pairs.sides import SIDES
from seal.stats.regression import collinearity, fixest
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import Floats, Rows, coefficient, coefficient_table

_UNIT = "__unit"
_RESERVED = {"pre", "post", "change", "row_id", "preference", CHOSEN_TERM, LABELER}


def imprint_by_pyfixest(
    inputs: Inputs,
    design: Design,
    how: Inference = USUAL,
    *,
    labelers: Sequence[tuple[str, pl.LazyFrame]] = (),
    chosen_side: bool = False,
) -> tuple[Equation, Joined]:
    """Estimate Eq. 1 under any design, effects that differ within pairs among them.

    Errors are clustered by pair without small-sample factors, as in the streaming path, or by
    `design.cluster` with pyfixest's default ones; t(clusters - 1).

    Args:
        inputs: the frames; `texts` where the design names their columns.
        design: what is asked for.
        how, chosen_side: as in `seal.stats.equations.imprint.feature_imprint`.
        labelers: (name, LABELS frame) of every labeler, stacked when the design names `labeler`.

    Raises:
        SealError: a column is missing, or does not suit its use.
    """
    frame, joined = _long(inputs, design, labelers)
    if not frame.height:
        return Equation(pl.DataFrame(schema=SCHEMA), notes=(NO_PAIR,)), joined
    regressors, frame = _interact(frame, inputs.regressed, design)
    sides = [CHOSEN_TERM] if chosen_side else []
    frame = frame.with_columns((pl.col("preference") == SIDES[0]).cast(pl.Float64).alias(CHOSEN_TERM))
    names = [*sides, *(r.term for r in regressors)]
    within = frame.select(pl.col(n) - pl.col(n).mean().over(_UNIT) for n in names)
    judged = _verdicts(within.to_numpy(), names, how.max_vif, chosen_side)
    kept = [r.term for r, v in zip(regressors, judged, strict=True) if v.kept]
    notes = [] if kept else [NO_FEATURE]
    if reserved := _RESERVED & {r.term for r in regressors}:
        raise InputError(
            f"a feature cannot be called {', '.join(sorted(reserved))} in this design; rename it"
        )
    informative = {n: frame.filter(within[n].abs() > 1e-12)[fixest.PAIR].n_unique() for n in names}
    rows, absorbed = _estimate(frame, [*sides, *kept] if kept else [], informative, inputs, design, how.level)
    notes += few_informative(kept, [informative[t] for t in kept])
    standardise_rows(rows, lambda model: _sd(_margins(frame), model), inputs, _spread(frame, inputs))
    verdicts = tuple(
        (r, replace(v, kept=False, reason="collinear with the fixed effects") if r.term in absorbed else v)
        for r, v in zip(regressors, judged, strict=True)
    )
    table = coefficient_table(rows, SCHEMA, "model", how.adjust, outside=CHOSEN_TERM)
    return Equation(table, verdicts, notes=tuple(notes)), joined


def _estimate(
    frame: pl.DataFrame,
    entering: list[str],
    informative: dict[str, int],
    inputs: Inputs,
    design: Design,
    level: float,
) -> tuple[Rows, set[str]]:
    """The three outcomes' coefficients, and the regressors that the fixed effects absorb."""
    rows: Rows = []
    absorbed: set[str] = set()
    n_pairs = frame[fixest.PAIR].n_unique()
    effects = tuple(e for e in design.effects if frame[e].n_unique() > 1)
    wider = design.cluster is not None and frame[design.cluster].n_unique() < n_pairs
    for outcome, model in outcomes(inputs).items() if entering else ():
        fit = fixest.fit(
            frame, outcome, entering, fixed_effects=(_UNIT, *effects),
            cluster=design.cluster if wider and design.cluster else fixest.PAIR, small_sample=wider,
        )  # fmt: skip
        absorbed |= set(entering) - set(fit.estimate)
        for term in (t for t in entering if t in fit.estimate):
            row = coefficient(fit.estimate[term], fit.std_error[term], fit.dof, level)
            rows.append(
                {"model": model, "term": term, **row, "n_pairs": n_pairs, "n_informative": informative[term]}
            )
    return rows, absorbed


def _long(
    inputs: Inputs, design: Design, labelers: Sequence[tuple[str, pl.LazyFrame]]
) -> tuple[pl.DataFrame, Joined]:
    """One row a text: key, rewards `pre`, `post`, `change`, regressors by term, and the design's columns."""
    stacked = labelers if design.stacked else [("", inputs.labels)]
    pieces, joined = [], Joined()
    for name, labels in stacked:
        pairs = Pairs(replace(inputs, labels=labels, carried=(), effects=(), crossed=()))
        pieces += [_texts(b, pairs.inputs).with_columns(pl.lit(name).alias(LABELER)) for b in pairs]
        joined = pairs.joined
    frame = pl.concat(pieces) if pieces else pl.DataFrame()
    frame = (
        frame.with_columns(pl.struct(fixest.PAIR, LABELER).rank("dense").alias(_UNIT)) if pieces else frame
    )
    if not design.columns or not frame.height:
        return frame, joined
    if inputs.texts is None:
        raise InputError(f"{', '.join(design.columns)} come with the texts; give the texts also")
    require_columns(inputs.texts, design.columns)
    key, own = TEXT_KEY[:2], inputs.texts.filter(pl.col("variant").cast(pl.String) == inputs.variant)
    (texts,) = collect_all(
        [own.select(*key, *design.columns).with_columns(pl.col("preference").cast(pl.String))]
    )
    if texts.select(key).is_duplicated().any():
        raise InputError(
            "texts: a text stands there twice; every (row_id, preference, variant) must stand once"
        )
    whole = frame.join(texts, on=key, how="left").with_columns(
        known=pl.all_horizontal(pl.col(design.columns).is_not_null()).all().over(fixest.PAIR)
    )
    return whole.filter("known").drop("known"), joined


def _texts(block: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """The two texts of each pair that enters, one above the other."""
    features = inputs.regressed
    pairs = block.filter("regressed")
    named = dict(zip(inputs.covariates, (r.term for r in features.numeric), strict=True))
    sides = []
    for side in SIDES:
        codes = inputs.codes(pairs, side)
        coded = {r.term: codes[:, j] for j, r in enumerate(features.coded)}
        dense = {name: pairs[f"{x}_{side}"] for x, term in named.items() for name in (term, x)}
        rewards = {m: pairs[f"{m}_{side}"] for m in ("pre", "post")}
        change = rewards["post"] - rewards["pre"]
        columns = {"row_id": pairs["row_id"], **rewards, **coded, **dense, "change": change}
        sides.append(pl.DataFrame(columns).with_columns(preference=pl.lit(side)))
    return pl.concat(sides)


def _interact(
    frame: pl.DataFrame, features: Features, design: Design
) -> tuple[list[Regressor], pl.DataFrame]:
    """Put a slope for each value of the column in a feature's place."""
    refuse_unknown(features, design.interactions)
    regressors = list(features.regressors)
    for feature, column in design.interactions:
        own = [r for r in regressors if r.feature == feature and r.level != "|.|"]
        values = sorted(map(str, frame[column].unique()))
        refuse_crowded(column, len(values))
        for r in own:
            slopes = [replace(r, term=f"{r.term}:{column}={v}") for v in values]
            frame = frame.with_columns(
                pl.when(pl.col(column).cast(pl.String) == v).then(pl.col(r.term)).otherwise(0).alias(s.term)
                for s, v in zip(slopes, values, strict=True)
            )
            at = regressors.index(r)
            regressors[at : at + 1] = slopes
    return regressors, frame


def _verdicts(within: Floats, names: Sequence[str], max_vif: float, chosen_side: bool) -> list[Verdict]:
    """VIFs of the regressors within pairs; of the features, where the chosen side has its own intercept."""
    x = within
    if chosen_side:
        side = within[:, :1]
        x = within[:, 1:] - side @ (side.T @ within[:, 1:]) / np.sum(side**2)
        x[:, np.abs(x).max(axis=0, initial=0.0) < 1e-9] = 0.0
    return collinearity.select(x.T @ x, names[1:] if chosen_side else names, threshold=max_vif)


def _margins(frame: pl.DataFrame) -> pl.DataFrame:
    """Margins of `pre` and `post`, a row a pair (and labeler)."""
    sign = pl.when(pl.col("preference") == SIDES[0]).then(1.0).otherwise(-1.0)
    return frame.group_by(fixest.PAIR, LABELER).agg((pl.col("pre", "post") * sign).sum())


def _spread(frame: pl.DataFrame, inputs: Inputs) -> Spread:
    """Of the covariates, over the texts."""
    found = Spread(inputs.covariates)
    sides = [frame.filter(pl.col("preference") == s) for s in SIDES]
    for x in inputs.covariates:
        found.add_values(x, [s[x].to_numpy() for s in sides])
    return found


def _sd(frame: pl.DataFrame, base: str) -> float:
    value = frame[base].std(ddof=0)
    return float(value) if isinstance(value, int | float) and value > 0 else float("nan")
