"""What a user can get wrong, as exceptions whose text says what to do about it.

The command line prints the text of a `SealError` on one line and exits with its `exit_code`; anything else
that escapes is a defect of this program.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SealError(Exception):
    """Something failed that the user can mend: a bad file, a full disk, a missing folder."""

    exit_code = 1


class UsageError(SealError):
    """The call itself is wrong: an option, a name or a combination that is not allowed."""

    exit_code = 2


class InputError(SealError):
    """A file or folder is not what the stage needs (format, columns, keys)."""


class ResumeError(SealError):
    """The output folder was made by something else, or another writer holds it."""


class MissingExtraError(SealError):
    """A package of an optional extra is not installed.

    Args:
        package: the import name that failed, e.g. `onnxruntime`.
        extra: the extra of `seal-engine` that brings it, e.g. `cpu`.
        purpose: what it was needed for, as the tail of a sentence.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed here: "
            f"pip install 'seal-engine[{extra}]'"
        )


class TooManyFailuresError(SealError):
    """The stage finished, but more rows failed than `--max-failures` allows."""

    exit_code = 3


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of an error text about an unknown name: the nearest of the known ones, or all of them."""
    known = list(names)
    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
