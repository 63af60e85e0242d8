"""What rewritten texts tell beside robustness: what an attribute causes, and what rewriting alone does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from seal.engine.frames.contrasts import PLACEBO, aimed_at
from seal.engine.frames.schema import REWRITTEN
from seal.stats.equations.causal import causal
from seal.stats.equations.robustness import rewriting_drop
from seal.stats.inputs import Frames, choose_labeler, make_inputs
from seal.stats.labelers.measures import Labeler, find_labelers
from seal.stats.options import AnalyzeOptions
from seal.stats.pairs.joins import Inputs, collect_all
from seal.stats.pairs.places import Places
from seal.stats.pairs.rewards import RewardScale
from seal.stats.pairs.rewrites import Rewrites


@dataclass(frozen=True)
class Experiments:
    """What was found.

    Attributes:
        tables: `causal` where texts were rewritten toward an attribute or with no aim, and then `rewriting`
            of the placebos.
        notes: what a reader must know.
    """

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def rewritten_variants(frames: Frames) -> frozenset[str]:
    """The variants that stand among the scores of rewritten texts."""
    if frames.rewritten_scores is None:
        return frozenset()
    (found,) = collect_all([frames.rewritten_scores.select(pl.col("variant").cast(pl.String).unique())])
    return frozenset(found["variant"].drop_nulls())


def plain_inputs(frames: Frames, options: AnalyzeOptions, labelers: Sequence[Labeler]) -> Inputs:
    """The frames of the originals without covariates, further effects and interactions."""
    return make_inputs(frames, replace(options, covariates=(), fixed_effects=(), interactions=()), labelers)


def rewritten_inputs(
    original: Inputs, frames: Frames, labelers: Sequence[Labeler], options: AnalyzeOptions, variant: str
) -> Inputs:
    """The frames of one variant of the rewritten texts, labeled by whoever labeled the originals."""
    assert frames.rewritten_scores is not None
    main = choose_labeler(labelers, options.labeler, options.gold)
    again = choose_labeler(find_labelers(frames.rewritten_labels), main.name)
    return replace(
        original, scores=frames.rewritten_scores, labels=again.frame, texts=None, carried=(), variant=variant,
    )  # fmt: skip


def find_experiments(
    rows: Iterable[pl.DataFrame],
    frames: Frames,
    labelers: Sequence[Labeler],
    options: AnalyzeOptions,
    scale: RewardScale,
    places: Places,
) -> Experiments:
    """Estimate every experiment whose texts are among the rewritten ones.

    Args:
        rows: blocks of the original pairs, walked through several times.
        frames: what was given.
        labelers: of the originals.
        options: models, targets, multiplicity, ties.
        scale: of the models' margins.
        places: the clusters of the pairs.

    Raises:
        SealError: labels of the rewritten texts do not fit.
    """
    variants = rewritten_variants(frames)
    if PLACEBO not in variants and not any(map(aimed_at, variants)):
        return Experiments()
    original = plain_inputs(frames, options, labelers)
    again = rewritten_inputs(original, frames, labelers, options, PLACEBO)
    assert again.labels is not None
    rewrites = Rewrites(original, again.scores, again.labels, options.targets)
    found = causal(rows, rewrites, scale, places, options.inference)
    tables = {"causal": found.table}
    if PLACEBO in variants:
        tables["rewriting"] = rewriting_drop(original, again, options.ties)
    return Experiments(tables, found.notes)


def has_mild(frames: Frames) -> bool:
    """Whether whole dialogues in other words are among the rewritten texts, or nothing of another kind is."""
    variants = rewritten_variants(frames)
    return frames.rewritten_scores is not None and (not variants or REWRITTEN in variants)
