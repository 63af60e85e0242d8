"""Which texts are rewritten, and how a rewriter is asked."""

from dataclasses import dataclass
from math import inf
from pathlib import Path

from seal.engine.frames.options import Selection
from seal.engine.options import option

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
