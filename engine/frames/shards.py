"""A share of a stage's windows, so that several machines do one run (`--shard I/N`; `engine/merge.py`)."""

import re
from dataclasses import dataclass
from typing import Any, Self

from seal.engine.errors import UsageError
from seal.engine.options import option

SHARD = "shard"
"""The option's name in the identity of a shard's folder."""
_FORM = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,8})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """Every N-th window from the I-th on: where texts grow longer, every shard has some of them.

    Attributes:
        number: I, from 1.
        of: N, how many shards there are.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read I/N.

        Raises:
            UsageError: it is not that.
        """
        found = _FORM.fullmatch(text)
        shard = cls(*map(int, found.groups())) if found else None
        if shard is None or shard.number > shard.of:
            raise UsageError(f"shard cannot be {text!r}; write I/N, from 1/N to N/N, e.g. 2/8")
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def takes(self, window: int) -> bool:
        """Whether the window of this number, from 0, is this shard's."""
        return window % self.of == self.number - 1

    def window_after(self, n_parts: int) -> int:
        """The number of the window that follows its first so many parts; 0 behind none."""
        return self.number + (n_parts - 1) * self.of if n_parts else 0


def shard_option() -> Any:
    """The option `shard` of an options class."""
    return option(
        None, "Only every N-th part from the I-th on, for `seal merge` to put together; each shard has a "
        "folder of its own. Default: all parts.", metavar="I/N", check=Shard.parse,
    )  # fmt: skip
