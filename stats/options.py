"""What an analysis reads and how it is asked for: options, frames, and which labeler's features enter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import LABELS, check
from seal.stats.alignment.regimes import Profile
from seal.stats.equations.imprint_fixed_effects import Design
from seal.stats.labelers.agreement import ALPHA_FLOOR, Labeler
from seal.stats.pairs.features import Regressor, Sentiment, find_features
from seal.stats.pairs.joins import Inputs, collect_all
from seal.stats.pairs.rewards import Theta, Ties
from seal.stats.regression import collinearity
from seal.stats.regression.inference import Adjust, require_choice, require_level

TARGETS = ("last_response_is_harmless", "last_response_is_helpful")


@dataclass(frozen=True)
class Options:
    """How an analysis is run.

    Attributes:
        pre, post: model names before and after training on the preferences.
        labeler: whose labels, where there are several.
        targets: features of the preference profile, first the one that decides first.
        profile: how they decide.
        covariates: numeric features that enter the regressions; each is a content-blind ruler also.
        exclude: features that do not enter them.
        sentiment: how positive/neutral/negative enters.
        ties: what equal rewards count as; unless `misaligned`, ties are left out of regimes and logits.
        theta: sign convention of the reward shift.
        adjust: for multiplicity. level: of intervals. max_vif: largest VIF kept.
        fixed_effects, cluster, interactions: beyond the pair effect; the first and last for Eq. 1 alone.
        gold: a labeler taken as right in the comparison of labelers.
        min_alpha: features below it are flagged beside their coefficients.
    """

    pre: str
    post: str
    labeler: str | None = None
    targets: tuple[str, ...] = TARGETS
    profile: Profile = "lexicographic"
    covariates: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    sentiment: Sentiment = "linear"
    ties: Ties = "misaligned"
    theta: Theta = "signed"
    adjust: Adjust = "holm"
    level: float = 0.95
    max_vif: float = collinearity.THRESHOLD
    fixed_effects: tuple[str, ...] = ()
    cluster: str | None = None
    interactions: tuple[tuple[str, str], ...] = ()
    gold: str | None = None
    min_alpha: float = ALPHA_FLOOR

    def __post_init__(self) -> None:
        if self.pre == self.post:
            raise UsageError(f"pre and post are the same model, {self.pre!r}; name two")
        choices = {"profile": Profile, "sentiment": Sentiment, "ties": Ties, "theta": Theta, "adjust": Adjust}
        for name, kind in choices.items():
            require_choice(name, getattr(self, name), get_args(kind))
        require_level(self.level)
        if not self.max_vif > 1:
            raise UsageError(f"max-vif must be above 1, the least a VIF can be, not {self.max_vif}")

    @property
    def design(self) -> Design:
        """What Eq. 1 has beyond the pair effect."""
        return Design(self.fixed_effects, self.cluster, self.interactions)


@dataclass(frozen=True)
class Frames:
    """What an analysis reads; lazy frames over files stay on disk.

    Attributes:
        scores, labels, texts: of the original texts (several LABELS frames for several labelers).
        rewritten_scores, rewritten_labels: of the rewritten texts, both or neither.
        rewritten_texts: TEXTS of them, against which scores are counted.
        similarities: SIMILARITIES of original and rewritten.
    """

    scores: pl.LazyFrame
    labels: tuple[pl.LazyFrame, ...]
    texts: pl.LazyFrame | None = None
    rewritten_scores: pl.LazyFrame | None = None
    rewritten_labels: tuple[pl.LazyFrame, ...] = ()
    similarities: pl.LazyFrame | None = None
    rewritten_texts: pl.LazyFrame | None = None

    def __post_init__(self) -> None:
        if (self.rewritten_scores is None) != (not self.rewritten_labels):
            raise UsageError("robustness needs both the scores and the labels of the rewritten texts")
        if self.similarities is not None and self.rewritten_scores is None:
            raise UsageError("similarities belong to rewritten texts: give their scores and labels also")


def find_labelers(labels: Sequence[pl.LazyFrame]) -> list[Labeler]:
    """The labelers of some LABELS frames, in order, each with its own rows.

    Raises:
        InputError: there is none, or one stands in two frames.
    """
    found: list[Labeler] = []
    for frame in labels:
        checked = check(frame, LABELS, origin="labels")
        (names,) = collect_all([checked.select(pl.col("labeler").unique().sort())])
        for name in names["labeler"].drop_nulls():
            if name in {x.name for x in found}:
                raise InputError(f"labeler {name!r} stands in two of the --labels; give each labeler once")
            found.append(Labeler(name, checked.filter(pl.col("labeler") == name)))
    if not found:
        raise InputError("labels: no rows; there is nothing to regress rewards on")
    return found


def text_labelers(labelers: Sequence[Labeler]) -> list[Labeler]:
    """Those with something else than numbers."""
    return [
        x for x in labelers if any(_is_label(x.frame.collect_schema(), n) for n in x.frame.collect_schema())
    ]


def _is_label(schema: pl.Schema, name: str) -> bool:
    kind = schema[name]
    return name not in LABELS.types and (
        kind == pl.Boolean() or isinstance(kind, pl.String | pl.Enum | pl.Categorical)
    )


def choose_labeler(labelers: Sequence[Labeler], name: str | None) -> Labeler:
    """The named labeler, or the only one that is not all numbers.

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
    if len(candidates) > 1:
        raise UsageError(f"several labelers ({names}); choose one with --labeler")
    return candidates[0]


def make_inputs(frames: Frames, options: Options, labelers: Sequence[Labeler]) -> Inputs:
    """The original texts' frames, with the features of the chosen labeler and where numbers come from.

    Raises:
        InputError: a covariate or target is nowhere, or covariates stand with several labelers.
    """
    main = choose_labeler(labelers, options.labeler)
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
    columns = options.design.columns
    if columns and frames.texts is None:
        raise InputError(f"{', '.join(columns)} come with the texts; name them with --texts")
    return Inputs(
        frames.scores, options.pre, options.post, main.frame,
        replace(features, regressors=(*features.regressors, *numeric), left_out=left_out),
        computed=None if own else holders[0].frame, texts=frames.texts,
        carried=(options.cluster,) if options.cluster and options.cluster in columns else (),
    )  # fmt: skip


def _is_number(frame: pl.LazyFrame, name: str) -> bool:
    schema = frame.collect_schema()
    return name in schema and schema[name].is_numeric()
