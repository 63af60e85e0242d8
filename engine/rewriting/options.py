"""Which texts are rewritten, toward what, and how a rewriter is asked."""

from dataclasses import dataclass
from math import inf
from pathlib import Path

from seal.engine.errors import UsageError
from seal.engine.frames.options import Selection
from seal.engine.options import Options, option

TEMPERATURE, RETRIES, PART_PAIRS = 0.1, 2, 128
PERTURB_PART_PAIRS = 1024


@dataclass(frozen=True)
class RewriteOptions(Selection):
    """Which texts to rewrite, in what parts, and how. By default 1% of the pairs, as in the study."""

    instruction: Path | None = option(
        None,
        "What is asked for, in UTF-8. Default: change vocabulary and grammar, keep meaning and intensity.",
        metavar="FILE",
    )
    temperature: float = option(
        TEMPERATURE,
        "Of the answers; 0 takes the likeliest words, and asks for nothing again.",
        at_least=0,
        below=inf,
    )
    retries: int = option(
        RETRIES,
        "How often an answer that is cut or refused is asked for again, with another seed.",
        at_least=0,
    )
    sample: float = option(
        0.01,
        "Share of the pairs, drawn by seed and row_id: both texts of a pair or neither. With --perturb: 1 "
        "unless given.",
        above=0,
        at_most=1,
    )
    seed: int = option(0, "Of the sample and the answers.", at_least=0)
    part_pairs: int | None = option(
        PART_PAIRS, "Pairs in a part: what is at most lost when killed. With --perturb: 1024 unless given.",
        at_least=1, formerly=("part-rows",),
    )  # fmt: skip


@dataclass(frozen=True)
class PerturbOptions(Selection):
    """Which responses to perturb, in what parts, and by what seed. By default those of all pairs."""

    seed: int = option(0, "Of the sample, and of what is drawn in a text.", at_least=0)
    part_pairs: int | None = option(
        PERTURB_PART_PAIRS, "Pairs in a part: what is at most lost when killed, and among which an answer of "
        "another prompt is drawn.", at_least=1,
    )  # fmt: skip


@dataclass(frozen=True)
class AttributeOptions(Options):
    """Toward which attributes responses are rewritten; with none, whole dialogues in other words.

    Raises:
        UsageError: an aim is not FEATURE=VALUE or stands twice, or an option has no aim.
    """

    toward: tuple[str, ...] = option(
        (),
        "FEATURE=VALUE: rewrite each response toward what it is not, the value or what that is held against. "
        "Repeatable.",
        repeat=True, metavar="FEATURE=VALUE",
    )  # fmt: skip
    double: bool = option(False, "Rewrite what came of --toward back again: effects are estimated so.")
    placebo: bool = option(False, "Rewrite each response with no aim also: what rewriting itself does.")
    labels: Path | None = option(
        None,
        "LABELS of the texts by one labeler: what each is. Without: each is rewritten toward both values.",
        metavar="LABELS",
    )
    taxonomy: Path | None = option(
        None, "TOML file of the features. Default: the 19 of the study.", metavar="FILE"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.toward)) < len(self.toward):
            raise UsageError(f"toward: {max(self.toward, key=self.toward.count)!r} stands twice")
        for name in ("double", "labels"):
            if getattr(self, name) and not self.toward:
                raise UsageError(f"{name} goes with toward FEATURE=VALUE, which says what is aimed at")
        if self.taxonomy and not self.toward:
            raise UsageError("taxonomy goes with toward: it says what the features of the aims are")
        _ = self.aims

    @property
    def aims(self) -> tuple[tuple[str, str], ...]:
        """(feature, value) of each aim.

        Raises:
            UsageError: one is not FEATURE=VALUE.
        """
        parts = [aim.partition("=") for aim in self.toward]
        for aim, (feature, _, value) in zip(self.toward, parts, strict=True):
            if not (feature and value):
                raise UsageError(
                    f"toward: {aim!r} is not FEATURE=VALUE, e.g. last_response_sentiment=positive"
                )
        return tuple((feature, value) for feature, _, value in parts)

    @property
    def asked(self) -> bool:
        """Whether responses are rewritten rather than dialogues."""
        return bool(self.toward) or self.placebo
