"""Files: written whole or not at all, and named by what they hold."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from seal.engine.errors import InputError


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def walk_files(folder: Path, *, without: Callable[[Path], bool]) -> Iterator[Path]:
    """All that is no folder in a folder and below, in sorted order; linked folders are entered.

    A folder that several links lead to is entered once, so that links in a circle end.

    Args:
        folder: where to begin.
        without: what is left out, a folder with all it holds.

    Raises:
        OSError: a folder cannot be read.
    """
    entered, left = set[str](), [folder]
    while left:
        path = left.pop()
        if not path.is_dir():
            yield path
        elif (place := os.path.realpath(path)) not in entered:
            entered.add(place)
            left += sorted((p for p in path.iterdir() if not without(p)), reverse=True)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A path to write to; what was written there takes the place of `path` at the end, whole or not."""
    aside = path.with_name(f".{path.name}.tmp")
    try:
        yield aside
        _sync(aside)
        os.replace(aside, path)
    except OSError:
        with suppress(OSError):  # nothing half written is left
            aside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_atomic(path: Path, data: bytes) -> dict[str, Any]:
    """Write a file so that it is either whole or not there; returns its SHA-256 and size."""
    with written_aside(path) as aside, aside.open("wb") as file:
        file.write(data)
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def take_lock(path: Path) -> IO[bytes] | None:
    """Hold a lock file until what is returned is closed; None where another process holds it.

    The file is made where there is none. One that is there is neither emptied nor, if it is a link, followed.

    Raises:
        OSError: it cannot be opened; a link cannot.
    """
    lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644), "r+b")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
