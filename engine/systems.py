"""The systems that this program runs on."""

import sys

from seal.engine.errors import UsageError


def check_system() -> None:
    """Refuse a system on which what is promised of files, locks and kills does not hold.

    Raises:
        UsageError: this is Windows.
    """
    if sys.platform == "win32":
        raise UsageError("seal runs on Linux and macOS; on Windows use WSL")
