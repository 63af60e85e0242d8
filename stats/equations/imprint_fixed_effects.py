"""Eq. 1 with effects, or slopes, of what differs between the two texts of a pair: pyfixest estimates.

All texts are held in memory, one row a text (and labeler); the effect is the pair's (and labeler's).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.schema import TEXT_KEY
from seal.stats.equations.designs import KNOWN_SDS, LABELER, Design, few_informative
from seal.stats.equations.differences import STANDARDISED, outcomes, refuse_crowded, refuse_unknown
from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint import CHOSEN_TERM, NO_FEATURE, NO_PAIR, SCHEMA
from seal.stats.equations.imprint_influence import MODELS
from seal.stats.equations.standardised import CHANGE, known_sd_columns, with_adjusted, without_rounding
from seal.stats.options import USUAL, Inference
from seal.stats.pairs.checks import require_columns
from seal.stats.pairs.features import Features, Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs, collect_all
from seal.stats.pairs.sides import SIDES
from seal.stats.regression import collinearity, fixest
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import Floats, Rows, coefficient, coefficient_table

_UNIT = "__unit"
_RESERVED = {"pre", "post", "change", STANDARDISED, "row_id", "preference", CHOSEN_TERM, LABELER}


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
    verdicts = tuple(
        (r, replace(v, kept=False, reason="collinear with the fixed effects") if r.term in absorbed else v)
        for r, v in zip(regressors, judged, strict=True)
    )
    rows = without_rounding(rows, outcomes(inputs))
    table = coefficient_table(rows, SCHEMA, "model", how.adjust, outside=CHOSEN_TERM)
    table = with_adjusted(table, "model", how.adjust, outside=CHOSEN_TERM)
    return Equation(table, verdicts, notes=(*notes, *[KNOWN_SDS] * bool(rows))), joined


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
    sds = _margin_sds(frame)
    frame = frame.with_columns((pl.col("post") / sds[1] - pl.col("pre") / sds[0]).alias(STANDARDISED))

    def fitted(outcome: str) -> dict[str, dict[str, object]]:
        fit = fixest.fit(
            frame, outcome, entering, fixed_effects=(_UNIT, *effects),
            cluster=design.cluster if wider and design.cluster else fixest.PAIR, small_sample=wider,
        )  # fmt: skip
        there = (t for t in entering if t in fit.estimate)
        return {t: {**coefficient(fit.estimate[t], fit.std_error[t], fit.dof, level)} for t in there}

    for outcome, model in outcomes(inputs).items() if entering else ():
        found = fitted(outcome)
        absorbed |= set(entering) - set(found)
        scaled = found if outcome != CHANGE else fitted(STANDARDISED) if min(sds) > 0 else {}
        by = 1.0 if outcome == CHANGE else 1 / (sds[MODELS.index(outcome)] or float("nan"))
        units = [_unit(frame, inputs, t) * by for t in scaled]
        std = dict(zip(scaled, known_sd_columns(list(scaled.values()), units), strict=True))
        rows += [
            {"model": model, "term": term, **row, "n_pairs": n_pairs, "n_informative": informative[term]}
            | std.get(term, {})
            for term, row in found.items()
        ]
    return rows, absorbed


def _margin_sds(frame: pl.DataFrame) -> tuple[float, float]:
    """SDs of the margins of pre and post, over pairs (and labelers)."""
    sign = pl.when(pl.col("preference") == SIDES[0]).then(1.0).otherwise(-1.0)
    margins = frame.group_by(_UNIT).agg((pl.col(*MODELS) * sign).sum())
    sds = margins.select(pl.col(*MODELS).std(ddof=0)).row(0)
    return float(sds[0] or 0.0), float(sds[1] or 0.0)


def _unit(frame: pl.DataFrame, inputs: Inputs, term: str) -> float:
    """What of a regressor `_std` columns are for: 1, of a covariate its SD over the texts."""
    for regressor, x in zip(inputs.regressed.numeric, inputs.covariates, strict=True):
        if term == regressor.term or term.startswith(f"{regressor.term}:"):
            value = frame[x].std()
            return float(value) if isinstance(value, int | float) and value > 0 else float("nan")
    return 1.0


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
