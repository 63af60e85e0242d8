"""Which texts a stage asks about, and how many pairs it takes at a time."""

from dataclasses import dataclass
from typing import Any

from seal.engine.frames.shards import shard_option
from seal.engine.options import Options, option


@dataclass(frozen=True)
class Selection(Options):
    """Which texts, and how many pairs at a time. A pair is drawn by its number and the seed alone."""

    sample: float = option(
        1.0, "Share of the pairs, drawn by seed and row_id: both texts of a pair or neither.", above=0,
        at_most=1,
    )  # fmt: skip
    seed: int = option(0, "Of the sample.", at_least=0)
    limit: int | None = option(None, "Only the first N pairs.", at_least=1)
    part_pairs: int | None = option(
        None, "Pairs in a part: what is at most lost when killed. Default: 512; 64 where a model runs on "
        "a CPU; without models 8192.",
        at_least=1, formerly=("part-rows",),
    )  # fmt: skip
    shard: str | None = shard_option()

    @property
    def takes_all(self) -> bool:
        """Whether no text is left out."""
        return self.limit is None and self.sample == 1

    def identity(self, part_pairs: int) -> dict[str, Any]:
        """What of it changes a folder, for the manifest."""
        seed = self.seed if self.sample < 1 else None
        return {"part_pairs": part_pairs, "limit": self.limit, "sample": self.sample, "seed": seed}
