"""How many pairs people must label: from a pilot, for corrected coefficients of Eq. 1 as narrow as wanted."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from seal.engine.errors import UsageError, nearest
from seal.engine.frames.given import Given, given_list
from seal.engine.notebook import html
from seal.stats.equations.gold_sample import Usable, usable
from seal.stats.inputs import Frames, choose_labeler, make_inputs
from seal.stats.labelers.gold import MIN_INFORMATIVE, PER_REGRESSOR
from seal.stats.labelers.gold import gold_power as power_of_pilot
from seal.stats.labelers.measures import Labeler, find_labelers
from seal.stats.options import AnalyzeOptions, GoldPowerOptions
from seal.stats.pairs.gold import GoldPairs, NoGold, gather, read_gold
from seal.stats.pairs.joins import Inputs, Pairs
from seal.stats.pairs.rewards import RewardScale
from seal.stats.pairs.spool import Spool
from seal.stats.regression.inference import Floats, Rows, t_critical
from seal.stats.regression.separation import NoFit

SCHEMA: dict[str, pl.DataType] = {
    "model": pl.String(), "term": pl.String(), "n_gold": pl.Int64(), "n_gold_informative": pl.Int64(),
    "half_width": pl.Float64(), "n_needed": pl.Int64(),
}  # fmt: skip


@dataclass(frozen=True)
class GoldNeeds:
    """How many pairs to label.

    Attributes:
        n_pairs: all pairs that enter the regressions.
        n_gold: those that the pilot labeled.
        width: the half-width wanted, in SDs of each model's margins.
        n_needed: pairs with which every interval asked for is that narrow; None where one is not with all.
        table: a row a model (before, after, and after less before) and feature: `half_width` of the pilot's
            interval, and `n_needed`, null where all pairs are too few.
        notes: what a reader must know.
    """

    n_pairs: int
    n_gold: int
    width: float
    n_needed: int | None
    table: pl.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return html(f"Gold pairs for a half-width of {self.width:g}", {"needed": self.table}, self.notes)


def gold_power(
    labels: Given | Sequence[Given], scores: Given | Sequence[Given], options: GoldPowerOptions
) -> GoldNeeds:
    """Say from a pilot how many pairs people must label for intervals of a wanted half-width.

    Eq. 1 corrected by `rectified`, in SDs of each model's margins (taken as known), pairs as independent. The
    variance is one part that falls as 1 / gold pairs and one that stays. What corrections ask for besides is
    part of the number: six gold pairs a coefficient, and ten in which a feature differs.

    Args:
        labels: LABELS of the labeler and of gold, one frame or a list.
        scores: SCORES of both models, one frame or a list.
        options: the width, the models' names, and which labeler is gold.

    Raises:
        UsageError: options that do not go together, or a pilot that is too small; the text says why.
        InputError: a frame is not what it must be.
    """
    frames = Frames.of({"scores": given_list(scores), "labels": given_list(labels)})
    labelers = find_labelers(frames.labels)
    inputs, right = _inputs(frames, labelers, options)
    try:
        with Spool(Pairs(inputs)) as rows:
            scale = RewardScale.of(rows)
            truth = read_gold(right.frame, inputs.regressed, [True] * _width(inputs), inputs.variant)
            pilot = gather(rows, inputs, truth)
        return _needs(inputs, pilot, scale, options)
    except (NoGold, NoFit, np.linalg.LinAlgError) as reason:
        raise UsageError(f"the pilot cannot tell: {reason}") from None


def _inputs(frames: Frames, labelers: Sequence[Labeler], options: GoldPowerOptions) -> tuple[Inputs, Labeler]:
    by_name = {x.name: x for x in labelers}
    if options.gold not in by_name:
        raise UsageError(f"no labeler {options.gold!r}; {nearest(options.gold, by_name)}")
    if choose_labeler(labelers, options.labeler, options.gold).name == options.gold:
        raise UsageError(f"{options.gold} is gold; give the labels that it corrects also")
    how = AnalyzeOptions(
        pre=options.pre, post=options.post, labeler=options.labeler, gold=options.gold,
        exclude=options.exclude, targets=(),
    )  # fmt: skip
    return make_inputs(frames, how, labelers), by_name[options.gold]


def _width(inputs: Inputs) -> int:
    return len(inputs.regressed.packed) + len(inputs.regressed.numeric)


def _needs(inputs: Inputs, pilot: GoldPairs, scale: RewardScale, options: GoldPowerOptions) -> GoldNeeds:
    terms = [r.term for r in (*inputs.regressed.packed, *inputs.regressed.numeric)]
    judged = _usable(pilot, terms, _entering(inputs), options.features)
    n_pairs = scale.n
    if not min(scale.sd) > 0:
        raise NoGold("the margins of a model do not vary")
    pre, post = (pilot.margins(m) / sd for m, sd in zip(("pre", "post"), scale.sd, strict=True))
    outcomes = {inputs.pre: pre, inputs.post: post, f"{inputs.post}-{inputs.pre}": post - pre}
    rows = [r for m, y in outcomes.items() for r in _rows(m, y, pilot, judged, terms, n_pairs, options)]
    table = pl.DataFrame(rows, schema=SCHEMA)
    if options.features:
        table = table.filter(pl.col("term").is_in(options.features))
    most = None if table["n_needed"].null_count() else int(table.select(pl.col("n_needed").max()).item())
    notes = [f"left out: {terms[j]} ({why})" for j, why in sorted(judged.left_out.items())]
    if len(np.unique(pilot.probability)) > 1:
        notes.append("the pilot was drawn in strata: the numbers hold for pairs drawn as it was")
    return GoldNeeds(n_pairs, len(pilot), options.width, most, table, tuple(notes))


def _entering(inputs: Inputs) -> list[int]:
    """Columns of the differences that Eq. 1 regresses on: not the curves, which only test linearity."""
    n_coded, n_packed = len(inputs.regressed.coded), len(inputs.regressed.packed)
    return [j for j in range(_width(inputs)) if not n_coded <= j < n_packed]


def _usable(pilot: GoldPairs, terms: Sequence[str], columns: Sequence[int], wanted: Sequence[str]) -> Usable:
    """The regressors that the pilot tells of, by their columns of the differences.

    Raises:
        NoGold: it is too small.
        UsageError: one that is wanted is none of them.
    """
    labeled, counts = pilot.labeled[list(columns)].tolist(), pilot.informative(columns).tolist()
    found = usable(*pilot.differences(columns), labeled, counts, intercept=False, of="gold power")
    judged = Usable(
        tuple(columns[i] for i in found.columns),
        {columns[i]: why for i, why in found.left_out.items()},
        frozenset(columns[i] for i in found.few),
    )
    kept = [terms[j] for j in judged.columns]
    why = {terms[j]: reason for j, reason in judged.left_out.items()}
    for name in wanted:
        if name not in kept:
            raise UsageError(f"feature {name!r}: {why.get(name) or nearest(name, kept)}")
    return judged


def _rows(
    model: str, y: Floats, pilot: GoldPairs, judged: Usable, terms: Sequence[str], n_pairs: int,
    options: GoldPowerOptions,
) -> Rows:  # fmt: skip
    """Rows of the table for one model; `y` are the pilot's margins in SDs."""
    columns, m = list(judged.columns), len(pilot)
    counts = pilot.informative(columns)
    power = power_of_pilot(*pilot.differences(columns), y, n_pairs=n_pairs, probability=pilot.probability)
    least = np.maximum(PER_REGRESSOR * len(columns), np.ceil(MIN_INFORMATIVE * m / counts))
    needed = np.maximum(power.needed(options.width, level=options.level), least)
    half = float(t_critical(options.level, np.inf)) * power.std_error(m)
    return [
        {
            "model": model, "term": terms[j], "n_gold": m, "n_gold_informative": int(n),
            "half_width": float(h), "n_needed": int(all_in) if all_in <= n_pairs else None,
        }
        for j, n, h, all_in in zip(columns, counts, half, needed, strict=True)
    ]  # fmt: skip
