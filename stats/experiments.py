"""What rewritten texts tell: robustness, what perturbing does, what an attribute causes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.contrasts import PLACEBO, aimed_at
from seal.engine.frames.schema import REWRITTEN
from seal.stats.equations.causal import causal
from seal.stats.equations.perturbations import estimate_perturbations
from seal.stats.equations.robustness import DIRECTIONS, Robustness, alignment_robustness, rewriting_drop
from seal.stats.inputs import Frames, choose_labeler, make_inputs
from seal.stats.labelers.measures import Labeler, find_labelers
from seal.stats.options import AnalyzeOptions
from seal.stats.pairs.features import Features
from seal.stats.pairs.joins import Inputs, collect_all
from seal.stats.pairs.places import Places
from seal.stats.pairs.rewards import RewardScale
from seal.stats.pairs.rewrites import Rewrites
from seal.stats.pairs.spool import Spool


@dataclass(frozen=True)
class Experiments:
    """What was found.

    Attributes:
        tables: `perturbations` where perturbed texts are scored; `causal` where texts were rewritten toward
            an attribute or with no aim, and `rewriting` of the placebos.
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
    rows: Spool,
    frames: Frames,
    inputs: Inputs,
    labelers: Sequence[Labeler],
    options: AnalyzeOptions,
    scale: RewardScale,
    places: Places,
) -> Experiments:
    """Estimate every experiment whose texts are among the rewritten ones.

    Args:
        rows: blocks of the original pairs, walked through several times.
        frames: what was given.
        inputs: the frames of the originals.
        labelers: of the originals.
        options: models, targets, multiplicity, ties.
        scale: of the models' margins.
        places: the clusters of the pairs.

    Raises:
        SealError: labels of the rewritten texts do not fit.
    """
    tables: dict[str, pl.DataFrame] = {}
    notes: list[str] = []
    if frames.perturbed_scores is not None:
        perturbed = estimate_perturbations(
            rows, inputs.models, frames.perturbed_scores, scale, options.inference, ties=options.ties,
            cluster=inputs.cluster, failures=frames.perturbed_failures,
        )  # fmt: skip
        tables["perturbations"] = perturbed.table
        notes += perturbed.notes
    variants = rewritten_variants(frames)
    if PLACEBO not in variants and not any(map(aimed_at, variants)):
        return Experiments(tables, tuple(notes))
    original = plain_inputs(frames, options, labelers)
    again = rewritten_inputs(original, frames, labelers, options, PLACEBO)
    assert again.labels is not None
    rewrites = Rewrites(original, again.scores, again.labels, options.targets)
    found = causal(rows, rewrites, scale, places, options.inference)
    tables["causal"] = found.table
    if PLACEBO in variants:
        tables["rewriting"] = rewriting_drop(original, again, options.ties)
    return Experiments(tables, (*notes, *found.notes))


def find_robustness(
    frames: Frames, options: AnalyzeOptions, labelers: Sequence[Labeler]
) -> Robustness | None:
    """Eq. 4, where whole dialogues were rewritten.

    Raises:
        InputError: the labels of the rewritten texts lack a feature.
    """
    if not has_mild(frames):
        return None
    original = plain_inputs(frames, options, labelers)
    rewritten = rewritten_inputs(original, frames, labelers, options, REWRITTEN)
    assert rewritten.labels is not None
    _refuse_other_features(original.features, rewritten.labels)
    return alignment_robustness(
        original, rewritten, options.inference, ties=options.ties, cluster=original.cluster,
        similarities=frames.similarities,
    )  # fmt: skip


def has_mild(frames: Frames) -> bool:
    """Whether whole dialogues in other words are among the rewritten texts, or nothing of another kind is."""
    variants = rewritten_variants(frames)
    return frames.rewritten_scores is not None and (not variants or REWRITTEN in variants)


def rewriting_tables(experiments: Experiments, robustness: Robustness | None) -> dict[str, pl.DataFrame]:
    """All tables about rewritten texts; placebos stand behind the mild rewriting."""
    tables = dict(experiments.tables)
    if robustness is None:
        return tables
    placebo = [tables["rewriting"]] if "rewriting" in tables else []
    names = ("robustness", "robustness_given_aligned", "robustness_became_aligned")
    tables |= {name: robustness.tables[of] for name, of in zip(names, DIRECTIONS, strict=True)}
    tables |= {"rewriting_targets": robustness.targets, "flips": robustness.flips}
    return tables | {"rewriting": pl.concat([robustness.alignment, *placebo])}


def _refuse_other_features(features: Features | None, labels: pl.LazyFrame) -> None:
    schema = labels.collect_schema()
    missing = [r.feature for r in (features.coded if features else ()) if r.feature not in schema]
    if missing:
        raise InputError(f"labels of the rewritten texts lack {', '.join(dict.fromkeys(missing))}")
