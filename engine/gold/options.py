"""Which pairs people are asked about, and what they are asked."""

from dataclasses import MISSING, dataclass
from pathlib import Path

from seal.engine.options import Options, option

GOLD = "gold"
RARE_BELOW = 0.1
RARE_SHARE = 0.7


@dataclass(frozen=True)
class GoldSampleOptions(Options):
    """How many pairs are drawn, and from which strata."""

    pairs: int = option(MISSING, "Pairs to draw, both texts of each.", at_least=1)
    seed: int = option(0, "Of the draw. A pair is drawn by its row_id and the seed alone.", at_least=0)
    strata: str | None = option(
        None, "Draw from each value of this column of TEXTS (source, meta_...) in proportion to its pairs, "
        "at least one. Default: from all pairs alike.", metavar="COLUMN",
    )  # fmt: skip
    rare: tuple[str, ...] | None = option(
        None, "With --labels: features, comma-separated; a pair is rare where the labels of its two texts "
        f"differ in one. Default: those that differ in fewer than {RARE_BELOW:.0%} of the pairs.",
    )  # fmt: skip
    rare_share: float | None = option(
        None, f"With --labels: share of the drawn pairs that are rare ones. Default: {RARE_SHARE:g}.",
        above=0, below=1,
    )  # fmt: skip


@dataclass(frozen=True)
class GoldSheetOptions(Options):
    """What people are asked on the page."""

    taxonomy: Path | None = option(
        None, "What is asked (TOML). Default: the built-in features.", metavar="FILE"
    )
    features: tuple[str, ...] | None = option(
        None, "Only these features, comma-separated. Default: all of the taxonomy."
    )


@dataclass(frozen=True)
class GoldReadOptions(Options):
    """How answers become labels."""

    taxonomy: Path | None = option(
        None, "The taxonomy the page was made with (TOML). Default: the built-in features.", metavar="FILE"
    )
    labeler: str | None = option(
        None, f"What all rows say under labeler. Default: {GOLD} where one person answered, else the names "
        "that were typed.",
    )  # fmt: skip
