"""How sources are read; every one of these options changes the result."""

from collections import Counter
from dataclasses import dataclass

from seal.engine.datasets.formats import FORMATS
from seal.engine.errors import UsageError
from seal.engine.options import Options, option

AUTO = "auto"


@dataclass(frozen=True)
class ImportOptions(Options):
    """How to read the sources."""

    format: str = option(
        AUTO, "What the records are (see below); auto finds it out for each file.", among=(AUTO, *FORMATS),
        metavar="NAME",
    )  # fmt: skip
    prompt: str | None = option(
        None, "Column of the prompt, for records of no known format; without it the responses are whole "
        "conversations.", metavar="COLUMN",
    )  # fmt: skip
    chosen: str | None = option(None, "Column of the better response.", metavar="COLUMN")
    rejected: str | None = option(None, "Column of the other response.", metavar="COLUMN")
    limit: int | None = option(None, "Only the first N pairs.", at_least=1)
    split: str | None = option(
        None, "Only files with this word in their name (train, test_prefs); where a source has none, only "
        "records whose column `split` is this.",
    )  # fmt: skip
    meta: tuple[str, ...] = option(
        (), "Carry a column as meta_COLUMN; repeatable.", repeat=True, metavar="COLUMN"
    )
    max_chars: int = option(
        1_000_000, "Longest prompt and response together, in characters; a longer one is a failed row.",
        at_least=1,
    )  # fmt: skip
    part_pairs: int = option(8192, "Pairs in a part.", at_least=1, formerly=("part-rows",))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split == "" or "" in self.meta:
            raise UsageError("an empty name for split or meta; leave it out, or name one")
        if twice := [column for column, n in Counter(self.meta).items() if n > 1]:
            raise UsageError(f"the meta column {twice[0]!r} is named twice")
        named = [column for column in (self.prompt, self.chosen, self.rejected) if column is not None]
        if named and (self.chosen is None or self.rejected is None):
            raise UsageError("columns are named by chosen and rejected together, with or without prompt")
        if "" in named or len(set(named)) < len(named):
            raise UsageError("prompt, chosen and rejected need columns of their own")
        if named and self.format != AUTO:
            raise UsageError(
                f"format {self.format} has columns of its own; leave it out, or prompt, chosen and rejected"
            )

    @property
    def max_bytes(self) -> int:
        """The longest line: two such texts with every character escaped, and as much again beside them."""
        return (1 << 20) + 48 * self.max_chars
