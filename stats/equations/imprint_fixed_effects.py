"""Eq. 1 beyond the one pair effect: further fixed effects, wider clusters, slopes that differ by source.

The pair effect always stays; pyfixest estimates. All texts are held in memory, one row a text (and labeler).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import TEXT_KEY
from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint import (
    CHOSEN_TERM,
    NO_FEATURE,
    NO_PAIR,
    SCHEMA,
    Spread,
    outcomes,
    standardise_rows,
)
from seal.stats.options import USUAL, Inference
from seal.stats.pairs.features import Features, Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs, collect_all, require_columns
from seal.stats.pairs.sides import SIDES
from seal.stats.regression import collinearity, fixest
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import FEW_INFORMATIVE, Floats, Rows, coefficient, coefficient_table

LABELER = "labeler"
_RESERVED = {"pre", "post", "change", "row_id", "preference", CHOSEN_TERM, LABELER}
_MOST_SLOPES = 20
_FEW_CLUSTERS = 30  # below it the clustered sandwich is too small on average


@dataclass(frozen=True)
class Design:
    """What is asked for beside the pair effect.

    Attributes:
        fixed_effects: columns of TEXTS (`source`, `meta_...`), or `labeler`.
        cluster: column to cluster by in place of the pair; the same for both texts of a pair.
        interactions: (feature, column): a slope of the feature for each value of the column.
    """

    fixed_effects: tuple[str, ...] = ()
    cluster: str | None = None
    interactions: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if fixest.PAIR in self.fixed_effects:
            raise UsageError("the pair effect (row_id) is always in Eq. 1; name further effects only")
        if self.cluster in (fixest.PAIR, LABELER):
            raise UsageError("errors are clustered by pair already; cluster takes a column of TEXTS")
        if self.cluster and self.cluster in {c for _, c in self.interactions}:
            raise UsageError(
                f"a slope for each {self.cluster} rests on one cluster alone when errors are clustered by "
                f"{self.cluster}: no error can be given; drop one of cluster and interactions"
            )

    @property
    def plain(self) -> bool:
        """Whether nothing is asked for, and the streaming path will do."""
        return not (self.fixed_effects or self.cluster or self.interactions)

    @property
    def stacked(self) -> bool:
        """Whether every labeler's labels enter, one row a text and labeler."""
        return LABELER in (*self.fixed_effects, *(c for _, c in self.interactions))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns the design needs of TEXTS."""
        wanted = (*self.fixed_effects, self.cluster, *(c for _, c in self.interactions))
        return tuple(dict.fromkeys(c for c in wanted if c and c not in (LABELER, fixest.PAIR)))


def imprint_by_pyfixest(
    inputs: Inputs,
    design: Design,
    how: Inference = USUAL,
    *,
    labelers: Sequence[tuple[str, pl.LazyFrame]] = (),
    chosen_side: bool = False,
) -> tuple[Equation, Joined]:
    """Estimate Eq. 1 under a wider design.

    Errors are clustered by pair without small-sample factors, as in the streaming path, or by
    `design.cluster` with pyfixest's default ones; t(clusters - 1).

    Args:
        inputs: the frames; `texts` where the design names their columns.
        design: what is asked for.
        how, chosen_side: as in `seal.stats.equations.imprint.feature_imprint`.
        labelers: (name, LABELS frame) of every labeler, stacked when `labeler` is a fixed effect.

    Raises:
        SealError: a column is missing, or does not suit its use.
    """
    frame, joined = _long(inputs, design, labelers)
    if not frame.height:
        return Equation(pl.DataFrame(schema=SCHEMA), notes=(NO_PAIR,)), joined
    notes = _check_columns(frame, design)
    regressors, frame = _interact(frame, inputs.regressed, design)
    sides = [CHOSEN_TERM] if chosen_side else []
    frame = frame.with_columns((pl.col("preference") == SIDES[0]).cast(pl.Float64).alias(CHOSEN_TERM))
    names = [*sides, *(r.term for r in regressors)]
    within = frame.select(pl.col(n) - pl.col(n).mean().over(fixest.PAIR) for n in names)
    judged = _verdicts(within.to_numpy(), names, how.max_vif, chosen_side)
    kept = [r.term for r, v in zip(regressors, judged, strict=True) if v.kept]
    if not kept:
        notes.append(NO_FEATURE)
    if reserved := _RESERVED & {r.term for r in regressors}:
        raise InputError(
            f"a feature cannot be called {', '.join(sorted(reserved))} in this design; rename it"
        )
    informative = {n: frame.filter(within[n].abs() > 1e-12)[fixest.PAIR].n_unique() for n in names}
    rows, absorbed = _estimate(frame, [*sides, *kept] if kept else [], informative, inputs, design, how.level)
    if few := [t for t in kept if informative[t] < FEW_INFORMATIVE]:
        notes.append(
            f"imprint: fewer than {FEW_INFORMATIVE} informative pairs for {', '.join(few)}: errors too small"
        )
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
    for outcome, model in outcomes(inputs).items() if entering else ():
        fit = fixest.fit(
            frame, outcome, entering, fixed_effects=(fixest.PAIR, *design.fixed_effects),
            cluster=design.cluster or fixest.PAIR, small_sample=design.cluster is not None,
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
        pairs = Pairs(replace(inputs, labels=labels, carried=()))
        pieces += [_texts(b, pairs.inputs).with_columns(pl.lit(name).alias(LABELER)) for b in pairs]
        joined = pairs.joined
    frame = pl.concat(pieces) if pieces else pl.DataFrame()
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


def _check_columns(frame: pl.DataFrame, design: Design) -> list[str]:
    """Notes on fixed effects that change nothing and on few clusters; refuse clusters that split pairs."""
    within = {c: frame.group_by(fixest.PAIR).agg(pl.col(c).n_unique())[c].max() == 1 for c in design.columns}
    notes = [
        f"{c} is the same for both texts of every pair: the pair effect absorbs it, nothing changes"
        for c in design.fixed_effects
        if within.get(c)
    ]
    if design.cluster and not within.get(design.cluster, True):
        raise InputError(f"{design.cluster!r} differs within pairs; a cluster holds whole pairs")
    if design.cluster and (n := frame[design.cluster].n_unique()) < _FEW_CLUSTERS:
        if n < 2:
            raise InputError(f"{design.cluster!r} has one value alone; clustering needs several")
        notes.append(
            f"errors are clustered by {design.cluster}, which has {n} values only: intervals are rough"
        )
    return notes


def _interact(
    frame: pl.DataFrame, features: Features, design: Design
) -> tuple[list[Regressor], pl.DataFrame]:
    """Put a slope for each value of the column in a feature's place."""
    regressors = list(features.regressors)
    for feature, column in design.interactions:
        own = [r for r in regressors if r.feature == feature and r.level != "|.|"]
        if not own:
            known = ", ".join(dict.fromkeys(r.feature for r in features.regressors))
            raise UsageError(f"interactions {feature}:{column}: no regressor {feature!r}; there are: {known}")
        values = sorted(map(str, frame[column].unique()))
        if len(values) > _MOST_SLOPES:
            raise UsageError(
                f"interactions {feature}:{column}: {column} has {len(values)} values, over {_MOST_SLOPES}"
            )
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
