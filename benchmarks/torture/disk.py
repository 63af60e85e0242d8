"""A disk that fails, or a death, at the n-th change below a folder: `disk.c`, compiled and preloaded.

It stands between the program and the C library, so that what Arrow (C++) and polars (Rust) write fails as
well as what Python writes.
"""

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from pathlib import Path

_SOURCE = Path(__file__).with_name("disk.c")


class Do(IntEnum):
    """What happens at the n-th change; the numbers are those of disk.c."""

    COUNT = 0
    FAIL_ONCE = 1
    FAIL_ON = 2
    KILL = 3


@dataclass(frozen=True)
class Armed:
    """A fault to come.

    Attributes:
        below: the folder whose changes count.
        at: the number of the change, from 1.
        do: what happens then.
        told: a file; the fault adds a line to it: the number, what failed, and the path.
    """

    below: Path
    at: int
    do: Do
    told: Path


def library(folder: Path) -> Path:
    """The compiled library.

    Args:
        folder: where it is kept.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    made = folder / f"disk-{sha256(_SOURCE.read_bytes()).hexdigest()[:12]}.so"
    if not made.exists():
        compiler = compiler_here()
        if compiler is None:
            raise FileNotFoundError("no C compiler: install gcc or clang, or name one in CC")
        folder.mkdir(parents=True, exist_ok=True)
        aside = made.with_suffix(".tmp")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", aside, _SOURCE, "-ldl"], check=True)
        aside.rename(made)
    return made


def compiler_here() -> str | None:
    """The C compiler of this machine; None where there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


def arm(armed: Armed) -> None:
    """Let it come, in this process; the library must be preloaded."""
    ctypes.CDLL(None).torture_arm(
        os.fsencode(armed.below), ctypes.c_long(armed.at), int(armed.do), os.fsencode(armed.told)
    )


def changes_seen() -> int:
    """The changes counted so far."""
    seen = ctypes.CDLL(None).torture_seen
    seen.restype = ctypes.c_long
    return int(seen())
