"""What is asked of the statistics, declared once: choices, defaults, limits, words. Nothing here is heavy."""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal

from seal.engine.errors import UsageError
from seal.engine.options import Options, option

Ties = Literal["misaligned", "half", "drop"]
Theta = Literal["signed", "unsigned"]
ThetaOrigin = Literal["centred", "raw"]
Sentiment = Literal["linear", "categories"]
Profile = Literal["lexicographic", "pareto"]
Adjust = Literal["holm", "bonferroni", "bh"]
Method = Literal["majority", "dawid-skene"]
Correct = Literal["rectified", "calibrated", "latent", "none"]
Proxy = Literal["label", "probability"]
RmScale = Literal["calibrated", "own", "choice"]

TARGETS = ("last_response_is_harmless", "last_response_is_helpful")
TIES: Ties = "misaligned"
THETA: Theta = "signed"
THETA_ORIGIN: ThetaOrigin = "centred"
SENTIMENT: Sentiment = "linear"
PROFILE: Profile = "lexicographic"
ADJUST: Adjust = "holm"
RM_SCALE: RmScale = "calibrated"
LEVEL = 0.95
PROXY: Proxy = "label"
MAX_VIF = 5.0
MIN_ALPHA = 0.667  # Krippendorff's lowest for tentative conclusions
RESAMPLES = 1000
SUSPECTS = 10_000


@dataclass(frozen=True)
class Inference:
    """How coefficients are judged, in every equation.

    Attributes:
        adjust: for multiplicity over the features of one model or outcome.
        level: of the intervals.
        max_vif: regressors above it are dropped, one at a time.
    """

    adjust: Adjust = ADJUST
    level: float = LEVEL
    max_vif: float = MAX_VIF


USUAL = Inference()


def _level(of: str) -> Any:
    return option(LEVEL, of, above=0, below=1)


@dataclass(frozen=True)
class AnalyzeOptions(Options):
    """How scores and labels become estimates.

    Raises:
        UsageError: a value is not allowed, the models are the same, or an interaction is no `FEATURE:COLUMN`.
    """

    pre: str = option(MISSING, "Name of the model before it saw the preferences.")
    post: str = option(MISSING, "Name of the model after.")
    labeler: str | None = option(None, "Whose labels to regress on, where there are several.")
    targets: tuple[str, ...] = option(TARGETS,
        "Features of the preference profile, the first decides first, comma-separated.")  # fmt: skip
    profile: Profile = option(PROFILE, "How the targets decide which text is preferred.")
    covariates: tuple[str, ...] = option((),
        "Numeric features to regress on, comma-separated; each is a content-blind ruler also.")  # fmt: skip
    exclude: tuple[str, ...] = option(
        (), "Features to leave out of the regressions, comma-separated (which of two collinear ones, say)."
    )
    sentiment: Sentiment = option(SENTIMENT,
        "How positive/neutral/negative enters: as 1/0/-1, or as categories beside neutral.")  # fmt: skip
    ties: Ties = option(
        TIES, "What equal rewards count as; `half` and `drop` leave tied pairs out of regimes and logits."
    )
    theta: Theta = option(THETA, "The reward shift's angle: counter-clockwise positive, or its size.")
    theta_origin: ThetaOrigin = option(THETA_ORIGIN,
        "Where theta and the normalised margin have zero: at each model's mean reward, or at 0.")  # fmt: skip
    rm_scale: RmScale = option(RM_SCALE,
        "Margins beside people's choices: calibrated to these, as they are, or signs alone.")  # fmt: skip
    adjust: Adjust = option(ADJUST, "For multiplicity over the features of one equation and model.")
    level: float = _level("Of every interval.")
    max_vif: float = option(MAX_VIF, "Regressors above it are dropped.", above=1)
    fixed_effects: tuple[str, ...] = option(
        (),
        "Further effects of Eq. 1 beside the pair's: columns of TEXTS, or `labeler` (all stacked, an effect "
        "for each pair and labeler).",
    )
    cluster: str | None = option(None,
        "Column of TEXTS to cluster errors by, in every equation, or `pair`; `group` where TEXTS have it, "
        "else the pair.")  # fmt: skip
    interactions: tuple[str, ...] = option(
        (),
        "FEATURE:COLUMN,...: in Eq. 1 a slope of the feature for each value of a column of TEXTS, or for "
        "each `labeler`.",
    )
    gold: str | None = option(None,
        "A labeler taken as right: precision, recall and F1 of the others against it, and what coefficients "
        "are corrected by.")  # fmt: skip
    correct: Correct | None = option(None,
        "Correct coefficients for label errors: by gold labels (rectified, calibrated) or by several "
        "labelers (latent); rectified by default where there is gold enough.")  # fmt: skip
    proxy: Proxy = option(PROXY,
        "What gold corrects: the labels, or the probabilities beside them (`p_<feature>`).")  # fmt: skip
    suspects: int = option(
        SUSPECTS,
        "Most pairs in suspects.parquet, on which both models and the labeler are against the people; 0 for "
        "no such file.",
        at_least=0,
    )
    min_alpha: float = option(MIN_ALPHA,
        "Flag coefficients of features on which labelers agree less (Krippendorff's alpha).")  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pre == self.post:
            raise UsageError(f"pre and post are the same model, {self.pre!r}; name two")
        _ = self.crossed

    @property
    def inference(self) -> Inference:
        """How coefficients are judged."""
        return Inference(self.adjust, self.level, self.max_vif)

    @property
    def crossed(self) -> tuple[tuple[str, str], ...]:
        """The interactions as (feature, column).

        Raises:
            UsageError: one is not `FEATURE:COLUMN`.
        """
        pairs = []
        for part in self.interactions:
            feature, colon, column = part.rpartition(":")
            if not (feature and colon and column):
                raise UsageError(
                    f"interactions: {part!r} is not FEATURE:COLUMN, e.g. last_response_is_helpful:source"
                )
            pairs.append((feature, column))
        return tuple(pairs)


@dataclass(frozen=True)
class GoldPowerOptions(Options):
    """How narrow intervals must be, and whose labels they are of."""

    pre: str = option(MISSING, "Name of the model before it saw the preferences.")
    post: str = option(MISSING, "Name of the model after.")
    gold: str = option(MISSING, "The labeler taken as right: the pilot.", metavar="LABELER")
    width: float = option(
        MISSING, "Wanted half-width of the intervals, in SDs of each model's margins.", above=0
    )
    labeler: str | None = option(None, "Whose labels are corrected, where there are several.")
    features: tuple[str, ...] = option(
        (), "Only for this feature; all enter the regression. Repeatable. Default: all.", flag="feature",
        repeat=True, metavar="FEATURE",
    )  # fmt: skip
    exclude: tuple[str, ...] = option((), "Features to leave out of the regression, comma-separated.")
    level: float = _level("Of the intervals.")


@dataclass(frozen=True)
class CompareOptions(Options):
    """How models are compared by their agreement with the people."""

    by: str | None = option(None,
        "Column of TEXTS to tell pairs apart by, such as a `meta_` column; by default their source.",
        metavar="COLUMN")  # fmt: skip
    ties: Ties = option(TIES, "What a pair with equal rewards counts as.")
    level: float = _level("Of the intervals.")


@dataclass(frozen=True)
class AgreementOptions(Options):
    """How labelers are compared, and made into one."""

    combine: Method | None = option(
        None,
        "Make one labeler of them all, a LABELS frame in --out: by vote, or weighed by their error rates.",
    )
    taxonomy: Path | None = option(
        None, "Hold the labels to this taxonomy (TOML): its features, its values, nothing else.",
        metavar="FILE",
    )  # fmt: skip
    resamples: int = option(RESAMPLES, "Of pairs, for the intervals.", at_least=10)
    seed: int = option(0, "Of the resampling.", at_least=0)
    level: float = _level("Of the intervals.")


@dataclass(frozen=True)
class ReportOptions(Options):
    """What a report shows.

    Raises:
        UsageError: a value is not allowed, or `beside_name` names nothing.
    """

    title: str | None = option(None, "Of the page.")
    stages: tuple[Path, ...] = option(
        (), "A folder that a stage wrote, where it is not where the analysis found it; repeatable.",
        flag="stage", repeat=True,
    )  # fmt: skip
    truth: Path | None = option(None, "CSV of planted coefficients: model, term, planted[, low, high].")
    beside: Path | None = option(None, "RESULTS of another analysis of the same models, set beside.")
    beside_name: str | None = option(None, "What to call it; `the other analysis` by default.")
    pairs: int = option(10, "Pairs shown that resist most; their dialogues may be offensive.", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beside_name is not None and self.beside is None:
            raise UsageError("beside-name names the results of beside: give both")
