"""What an analysis reads: frames from folders or from memory, and which labeler's features enter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.gathered import FAILED
from seal.engine.frames.given import Given, as_frame, as_keyed, given_path
from seal.engine.frames.schema import (
    FAILURES,
    GROUP,
    INCLUSION,
    LABELS,
    SCORES,
    SIMILARITIES,
    TEXTS,
    Schema,
    scan,
)
from seal.stats.equations.designs import Design
from seal.stats.labelers.measures import Labeler, text_labelers
from seal.stats.options import AnalyzeOptions
from seal.stats.pairs.features import Regressor, find_features, refuse_reserved
from seal.stats.pairs.joins import Inputs

_ROLES = (
    "scores", "labels", "texts", "rewritten", "rewritten-scores", "rewritten-labels", "similarities",
    "perturbed", "perturbed-scores",
)  # fmt: skip
PAIR = "pair"  # what errors are clustered by, where no column is named and TEXTS have no groups


@dataclass(frozen=True)
class Frames:
    """What an analysis reads; lazy frames over files stay on disk.

    Attributes:
        scores, labels, texts: of the original texts (several LABELS frames for several labelers).
        rewritten_scores, rewritten_labels: of the rewritten texts, both or neither.
        rewritten_texts: TEXTS of them, against which scores are counted.
        perturbed_scores: of the perturbed texts.
        perturbed_failures: FAILURES of them, for the pairs to which a perturbation did not apply.
        similarities: SIMILARITIES of original and rewritten.
        notes: what was counted where rows found their keys by their texts.
    """

    scores: pl.LazyFrame
    labels: tuple[pl.LazyFrame, ...]
    texts: pl.LazyFrame | None = None
    rewritten_scores: pl.LazyFrame | None = None
    rewritten_labels: tuple[pl.LazyFrame, ...] = ()
    similarities: pl.LazyFrame | None = None
    rewritten_texts: pl.LazyFrame | None = None
    perturbed_scores: pl.LazyFrame | None = None
    perturbed_failures: pl.LazyFrame | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.rewritten_scores is None) != (not self.rewritten_labels):
            raise UsageError("robustness needs both the scores and the labels of the rewritten texts")
        if self.similarities is not None and self.rewritten_scores is None:
            raise UsageError("similarities belong to rewritten texts: give their scores and labels also")

    @classmethod
    def of(cls, given: Mapping[str, Sequence[Given]]) -> "Frames":
        """Open what was given for each role (`scores`, `labels`, `texts`, ...), lazily and checked.

        A role that is not named has nothing.

        Raises:
            UsageError: rewritten texts, scores, labels and similarities do not come together.
            InputError: a frame is not what its role needs.
        """
        given = {**dict.fromkeys(_ROLES, ()), **given}
        if given["rewritten"] and not given["rewritten-scores"]:
            raise UsageError("rewritten comes with rewritten-scores and rewritten-labels")
        if given["perturbed"] and not given["perturbed-scores"]:
            raise UsageError("perturbed comes with perturbed-scores")
        twins = [as_frame(x, SCORES, ("reward",)) for x in given["perturbed-scores"]]
        texts, rewritten = (
            [as_frame(x, TEXTS, ("source", "response"), further=True) for x in given[r]]
            for r in ("texts", "rewritten")
        )
        notes: list[str] = []
        beside = [next(iter(frames), None) for frames in (texts, rewritten)]

        def keyed(x: Given, schema: Schema, columns: Sequence[str], of: pl.LazyFrame | None) -> pl.LazyFrame:
            frame, said = as_keyed(x, schema, columns, texts=of)
            notes.extend(said)
            return frame

        scores, again = (
            [keyed(x, SCORES, ("reward",), of) for x in given[r]]
            for r, of in zip(("scores", "rewritten-scores"), beside, strict=True)
        )
        labels, marks = (
            [keyed(x, LABELS, (), of) for x in given[r]]
            for r, of in zip(("labels", "rewritten-labels"), beside, strict=True)
        )
        similarities = [as_frame(x, SIMILARITIES) for x in given["similarities"]]
        return cls(
            _together(scores), tuple(labels), texts[0] if texts else None,
            _together(again) if again else None, tuple(marks), similarities[0] if similarities else None,
            rewritten[0] if rewritten else None, _together(twins) if twins else None,
            _failures_of(given["perturbed"]), tuple(notes),
        )  # fmt: skip


def _failures_of(perturbed: Sequence[Given]) -> pl.LazyFrame | None:
    """The failures beside perturbed texts; None where these are no folder, which has none."""
    paths = [path for given in perturbed if (path := given_path(given)) is not None]
    files = [file for path in paths if (file := path / FAILED).is_file()]
    return scan(files[0], FAILURES) if files else None


def _together(scores: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """Frames of several models as one; where one has rewards as Float64, all are read so."""
    return pl.concat(scores, how="vertical_relaxed")


def choose_labeler(labelers: Sequence[Labeler], name: str | None, gold: str | None = None) -> Labeler:
    """The named labeler, or the only one that is neither all numbers nor the one taken as right.

    Raises:
        UsageError: there is no such labeler, or a choice must be made.
    """
    names = ", ".join(x.name for x in labelers)
    if name is not None:
        chosen = [x for x in labelers if x.name == name]
        if not chosen:
            raise UsageError(f"no labeler {name!r}; there are: {names}")
        return chosen[0]
    candidates = text_labelers(labelers) or list(labelers)
    candidates = [x for x in candidates if x.name != gold] or candidates
    if len(candidates) > 1:
        raise UsageError(f"several labelers ({names}); choose one with labeler")
    return candidates[0]


def design_of(options: AnalyzeOptions) -> Design:
    """What Eq. 1 has beyond the pair effect.

    Raises:
        UsageError: effects, cluster and interactions that do not go together.
    """
    return Design(
        options.fixed_effects, None if options.cluster == PAIR else options.cluster, options.crossed
    )


def cluster_of(frames: Frames, options: AnalyzeOptions) -> str | None:
    """The column of TEXTS that errors are clustered by: what was asked for, or `group`; None: the pair.

    A `group` that slopes differ by has one cluster a slope; errors are then those by pair.
    """
    if options.cluster is not None:
        return None if options.cluster == PAIR else options.cluster
    grouped = frames.texts is not None and GROUP in frames.texts.collect_schema()
    return GROUP if grouped and GROUP not in {column for _, column in options.crossed} else None


def make_inputs(frames: Frames, options: AnalyzeOptions, labelers: Sequence[Labeler]) -> Inputs:
    """The original texts' frames, with the features of the chosen labeler and where numbers come from.

    Raises:
        InputError: a covariate or target is nowhere, or covariates stand with several labelers.
    """
    main = choose_labeler(labelers, options.labeler, options.gold)
    numbers = tuple(dict.fromkeys(options.covariates))
    holders = [x for x in labelers if all(_is_number(x.frame, n) for n in numbers)] if numbers else []
    if numbers and not holders:
        there = [n for x in labelers for n in x.frame.collect_schema() if _is_number(x.frame, n)]
        raise InputError(
            f"no labels hold the numeric features {', '.join(numbers)} together; there are: "
            f"{', '.join(n for n in there if n not in LABELS.types) or 'none'}"
        )
    own = not numbers or main in holders
    if not own and len(holders) > 1:
        raise InputError(
            f"{', '.join(numbers)} stand with several labelers: {', '.join(x.name for x in holders)}"
        )
    features = find_features(
        main.frame, targets=options.targets, exclude=options.exclude, sentiment=options.sentiment
    )
    numeric = tuple(Regressor(n, n, "numeric") for n in numbers)
    left_out = {k: v for k, v in features.left_out.items() if k not in numbers}
    refuse_reserved(numbers)
    design, cluster = design_of(options), cluster_of(frames, options)
    if design.columns and frames.texts is None:
        raise InputError(f"{', '.join(design.columns)} come with the texts; give the texts also")
    return Inputs(
        frames.scores, options.pre, options.post, main.frame,
        replace(features, regressors=(*features.regressors, *numeric), left_out=left_out),
        computed=None if own else holders[0].frame, texts=frames.texts,
        carried=(cluster,) if cluster else (), effects=design.effects, crossed=design.crossed,
    )  # fmt: skip


def _is_number(frame: pl.LazyFrame, name: str) -> bool:
    schema = frame.collect_schema()
    return name in schema and name != INCLUSION and schema[name].is_numeric()
