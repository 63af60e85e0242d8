"""What a campaign is: a module with these four names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Found = Mapping[str, Any]
"""What a case found, plain JSON values; `stage` where it belongs to one."""


class Campaign(Protocol):
    """One promise, tried in many cases."""

    @property
    def NAME(self) -> str:
        """What `--only` calls it."""

    def cases(self, small: bool) -> Sequence[str]:
        """The names of the cases, in order; `small`, the sample of them that the ordinary tests run."""

    def run(self, case: str, scratch: Path) -> Found:
        """Try one case.

        Args:
            case: its name; whatever chance it needs is seeded by it.
            scratch: a folder of this campaign, kept from case to case and from start to start.

        Raises:
            AssertionError: the promise was broken; says how.
        """

    def summary(self, rows: Sequence[Found]) -> Mapping[str, Any]:
        """What the cases that held say together.

        Returns:
            `promise` and `figure`, a sentence each; `stages`: stage -> name of a figure -> number.
        """
