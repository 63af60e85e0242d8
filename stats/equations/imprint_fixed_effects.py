"""Eq. 1 beyond the one pair effect: further fixed effects, several labelers, slopes that differ by source.

Slopes for each value of a column and labelers stacked are least squares of differences still, and go through
cells. What differs between the two texts of a pair goes through pyfixest, all texts in memory, one row a text
(and labeler). Stacked, the effect is that of the pair and labeler: with the pair's alone, what labelers
disagree on about one text would enter the features' variance and never their covariance with the reward.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import TEXT_KEY
from seal.stats.equations.differences import MOST_SLOPES, Differences, outcomes, refuse_unknown
from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint import CHOSEN_TERM, NO_FEATURE, NO_PAIR, SCHEMA, standardise
from seal.stats.options import USUAL, Inference
from seal.stats.pairs.features import Features, Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs, collect_all, require_columns
from seal.stats.pairs.sides import SIDES
from seal.stats.regression import collinearity, fixest, linear
from seal.stats.regression.cells import Cells
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import FEW_INFORMATIVE, Floats, Rows, coefficient, coefficient_table

LABELER = "labeler"
_UNIT = "__unit"
_RESERVED = {"pre", "post", "change", "row_id", "preference", CHOSEN_TERM, LABELER}
_FEW_CLUSTERS = 30  # below it the clustered sandwich is too small on average


@dataclass(frozen=True)
class Design:
    """What is asked for beside the pair effect.

    Attributes:
        fixed_effects: columns of TEXTS, or `labeler`.
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
            raise UsageError(
                f"cluster cannot be {self.cluster!r}: name `pair`, or a column of TEXTS of whole pairs"
            )
        if self.cluster and self.cluster in {c for _, c in self.interactions}:
            raise UsageError(
                f"a slope for each {self.cluster} rests on one cluster alone when errors are clustered by "
                f"{self.cluster}: no error can be given; drop one of cluster and interactions"
            )

    @property
    def stacked(self) -> bool:
        """Whether every labeler's labels enter, one row a text and labeler."""
        return LABELER in (*self.fixed_effects, *(c for _, c in self.interactions))

    @property
    def effects(self) -> tuple[str, ...]:
        """Columns of TEXTS with effects of their own."""
        return tuple(dict.fromkeys(c for c in self.fixed_effects if c != LABELER))

    @property
    def crossed(self) -> tuple[str, ...]:
        """Columns of TEXTS that slopes differ by."""
        return tuple(dict.fromkeys(c for _, c in self.interactions if c != LABELER))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns the design needs of TEXTS."""
        cluster = (self.cluster,) if self.cluster else ()
        return tuple(dict.fromkeys((*self.effects, *cluster, *self.crossed)))

    @property
    def plain(self) -> bool:
        """Whether the differences have one slope a feature and come from one labeler."""
        return not (self.stacked or self.interactions)

    def varying(self, split: Iterable[str]) -> tuple[str, ...]:
        """Of its effects and what slopes differ by, the columns that differ within pairs."""
        return tuple(c for c in dict.fromkeys((*self.effects, *self.crossed)) if c in set(split))

    def notes(self, gathered: Differences) -> list[str]:
        """What is to be said of effects that change nothing, of pairs left out, and of few clusters."""
        said = [
            f"{c} is the same for both texts of every pair: the pair effect absorbs it, nothing changes"
            for c in self.effects
            if c not in gathered.split
        ]
        if gathered.n_unknown:
            said.append(
                f"{gathered.n_unknown} pairs have no {' or '.join(self.crossed)}: left out of the imprint"
            )
        if self.cluster and gathered.n_pairs:
            n = gathered.n_clusters()
            rough = ": intervals are rough" if n < _FEW_CLUSTERS else ""
            if n < gathered.n_pairs:
                said.append(
                    f"errors are clustered by {self.cluster}, {n} clusters of {gathered.n_pairs} pairs{rough}"
                )
        return said


def stack(inputs: Inputs, design: Design, labelers: Sequence[tuple[str, pl.LazyFrame]]) -> Differences:
    """The differences of every labeler, each pair once for each of them.

    Args:
        inputs: the frames; their features are taken of all labelers.
        design: names the interactions.
        labelers: (name, LABELS frame).

    Raises:
        InputError: a labeler lacks a feature.
    """
    gathered = Differences(inputs, design.interactions, stacked=True)
    for name, labels in labelers:
        _refuse_lacking(inputs, name, labels)
        for block in Pairs(replace(inputs, labels=labels)):
            gathered.add(block.with_columns(pl.lit(name).alias(LABELER)))
    return gathered


def _refuse_lacking(inputs: Inputs, name: str, labels: pl.LazyFrame) -> None:
    own = inputs.regressed.packed if inputs.computed is not None else inputs.regressed.regressors
    there = labels.collect_schema()
    if missing := [r.feature for r in (*own, *inputs.regressed.targets) if r.feature not in there]:
        raise InputError(
            f"labeler {name!r} has no {', '.join(dict.fromkeys(missing))}; all that are stacked need them"
        )


def imprint_by_cells(gathered: Differences, how: Inference = USUAL, *, chosen_side: bool = False) -> Equation:
    """Eq. 1 with slopes that differ by a column, or with labelers stacked.

    Errors are by pair without small-sample factors, also where each pair stands there once for each labeler,
    or by the inputs' cluster with pyfixest's default ones; t(clusters - 1).

    Args:
        gathered: the differences.
        how, chosen_side: as in `seal.stats.equations.imprint.feature_imprint`.
    """
    cells, inputs = gathered.cells(), gathered.inputs
    if cells is None:
        return Equation(pl.DataFrame(schema=SCHEMA), notes=(NO_PAIR,))
    gram = linear.cross_products(cells, "pre", gathered.positions, intercept=chosen_side)
    gram = linear.centred(gram) if chosen_side else gram
    terms = [r.term for r in gathered.regressors]
    judged = collinearity.select(gram, terms, threshold=how.max_vif)
    verdicts = tuple(zip(gathered.regressors, judged, strict=True))
    kept = [j for j, v in zip(gathered.positions, judged, strict=True) if v.kept]
    if not kept:
        return Equation(pl.DataFrame(schema=SCHEMA), verdicts, notes=(NO_FEATURE,))
    names = [*[CHOSEN_TERM] * chosen_side, *(r.term for r, v in verdicts if v.kept)]
    n_pairs = gathered.n_pairs
    informative = [*[n_pairs] * chosen_side, *(gathered.informative(cells, j) for j in kept)]
    by_pair = cells.cluster is None
    rows: Rows = []
    notes: list[str] = []
    for outcome, model in outcomes(inputs).items():
        found, said = linear.coefficient_rows(
            cells, outcome, kept, names, informative if by_pair else [float("inf")] * len(names),
            intercept=chosen_side, robust="HC0", level=how.level, scarce="informative pairs for",
        )  # fmt: skip
        rows += [
            {"model": model, "term": term, **row, "n_pairs": n_pairs, "n_informative": n}
            for term, row, n in zip(names, found, informative, strict=True)
        ]
        notes += [f"imprint of {model}: {text}" for text in said]
    notes += [] if by_pair else _few_informative(names, informative)
    _in_margin_sds(rows, gathered, cells)
    table = coefficient_table(rows, SCHEMA, "model", how.adjust, outside=CHOSEN_TERM)
    return Equation(table, verdicts, notes=tuple(dict.fromkeys(notes)))


def _in_margin_sds(rows: Rows, gathered: Differences, cells: Cells) -> None:
    """Set `estimate_std`: in SDs of the model's own margins, for a SD of a covariate."""
    inputs, sds = gathered.inputs, {}
    for outcome, model in (("pre", gathered.inputs.pre), ("post", gathered.inputs.post)):
        n, s, q = (float(of[outcome].sum()) for of in (cells.counts, cells.sums, cells.squares))
        sds[model] = np.sqrt(max(q / n - (s / n) ** 2, 0.0))
    units = {s.regressor.term: gathered.unit(s) for s in gathered.slopes}
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        model, term = str(row["model"]), str(row["term"])
        if model in sds:
            value = (
                float(str(row["estimate"])) * units.get(term, 1.0) / sds[model] if sds[model] > 0 else np.nan
            )
            found[model, term] = value
        else:
            value = found[inputs.post, term] - found[inputs.pre, term]
        row["estimate_std"] = value if np.isfinite(value) else None


def _few_informative(terms: Sequence[str], informative: Sequence[int]) -> list[str]:
    few = [t for t, n in zip(terms, informative, strict=True) if n < FEW_INFORMATIVE]
    said = f"imprint: fewer than {FEW_INFORMATIVE} informative pairs for {', '.join(few)}: errors too small"
    return [said] if few else []


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
    notes += _few_informative(kept, [informative[t] for t in kept])
    standardise(rows, lambda base: _sd(frame, base), inputs)
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
        if len(values) > MOST_SLOPES:
            raise UsageError(f"interactions: {column} has over {MOST_SLOPES} values, too many for slopes")
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


def _sd(frame: pl.DataFrame, base: str) -> float:
    value = frame[base].std()
    return float(value) if isinstance(value, int | float) and value > 0 else float("nan")
