"""Where an export is made before it takes its place: a folder beside it that says whose it is.

    .export-NAME/export.json   the record: which export this is; sealed, written first
    .export-NAME/.lock         held while it is being made

A killed export leaves it; the next start of the same export removes it, for the record says that it may.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from seal.engine.errors import ResumeError
from seal.engine.files import sealed, take_lock, write_atomic

_PREFIX = ".export-"
_RECORD, _LOCK = "export.json", ".lock"
_BEFORE = {_LOCK, f".{_RECORD}.tmp"}  # all that can stand there before the record does


@contextmanager
def made_aside(out: Path) -> Iterator[Path]:
    """A folder to make an export in; gone at the end, with what an export that was killed left there.

    Args:
        out: where the export goes.

    Raises:
        ResumeError: another process exports to `out`, or what stands there bears no record of this export.
    """
    folder = _place(out)
    clear_aside(out)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, out):
        write_atomic(folder / _RECORD, _record(out))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def clear_aside(out: Path) -> None:
    """Remove what an export to `out` left when it was killed.

    Raises:
        ResumeError: see `made_aside`.
    """
    folder = _place(out)
    if not folder.is_symlink() and not folder.exists():
        return
    if folder.is_symlink() or not folder.is_dir() or not _is_ours(folder, out):
        raise ResumeError(f"{folder} is not what an export to {out} left; move it elsewhere")
    if (folder / _RECORD).is_file():
        with _locked(folder, out):
            shutil.rmtree(folder)


def clear_all_aside(folder: Path) -> None:
    """Remove what killed exports left in a folder of models; what bears no such record stays."""
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(ResumeError):
            clear_aside(folder / left.name.removeprefix(_PREFIX))


def _place(out: Path) -> Path:
    return out.parent / f"{_PREFIX}{out.name}"


def _record(out: Path) -> bytes:
    return sealed({"made_by": "seal export", "out": out.name})


def _is_ours(folder: Path, out: Path) -> bool:
    record = folder / _RECORD
    if record.is_file():
        return record.read_bytes() == _record(out)
    return {path.name for path in folder.iterdir()} <= _BEFORE


@contextmanager
def _locked(folder: Path, out: Path) -> Iterator[IO[bytes]]:
    lock = take_lock(folder / _LOCK)
    if lock is None:
        raise ResumeError(f"{out} is being exported by another process; wait for it to end")
    with lock:
        yield lock
