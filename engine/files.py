"""Files: written whole or not at all, and named by what they hold; JSON and TOML that cannot do harm."""

import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from seal.engine.errors import InputError

DEEPEST = 100
"""How deep lists and objects of a settings file or a record of this program may be nested."""
SEALED = "self_sha256"
"""The key under which a document says the hash of all else that it holds."""
_TOO_DEEP = f"lists or objects are nested deeper than {DEEPEST}"


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


def parse_json(text: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is none, or lists and objects are nested deeper than `DEEPEST`.
    """
    try:
        return _shallow(json.loads(text))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def parse_toml(text: str) -> dict[str, Any]:
    """What TOML says.

    Raises:
        ValueError: it is none (`tomllib.TOMLDecodeError`), nested deeper than `DEEPEST`, or holds the
            character U+0000, which no path, name or question can have.
    """
    try:
        document: dict[str, Any] = _shallow(tomllib.loads(text))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if _holds_nul(document):
        raise ValueError("a text holds the character U+0000")
    return document


def _holds_nul(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_holds_nul, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and "\0" in value


def _shallow(document: Any) -> Any:
    level = [document]
    for _ in range(DEEPEST):
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [value for values in inner for value in values]
        if not level:
            return document
    raise ValueError(_TOO_DEEP)


def sealed(document: Mapping[str, Any]) -> bytes:
    """A document as JSON that says its own hash, so that any byte changed since shows (`unsealed`)."""
    plain = {name: value for name, value in document.items() if name != SEALED}
    return _indented(plain | {SEALED: hashlib.sha256(_indented(plain)).hexdigest()})


def unsealed(data: bytes, known: Collection[str]) -> bool:
    """Whether these bytes are not what `sealed` gave.

    Args:
        data: of a document.
        known: its keys. An earlier version wrote the same without a hash: there only these are held, and how
            it is laid out.
    """
    try:
        document = dict(parse_json(data))
    except (ValueError, TypeError):
        return True
    if SEALED in document:
        return data != sealed(document)
    return not document.keys() <= set(known) or data != _indented(document)


def _indented(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()


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


def copy_atomic(source: Path, target: Path) -> str:
    """Copy a file so that it is either whole or not there; returns the SHA-256 of what was copied.

    Raises:
        InputError: it cannot be read.
        OSError: it cannot be written.
    """
    try:
        file = source.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from None
    with file, written_aside(target) as aside:
        with aside.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        return file_sha256(aside)


def take_lock(path: Path) -> IO[bytes] | None:
    """Hold a lock file until what is returned is closed; None where another process holds it.

    The file is made where there is none. One that is there is neither emptied nor, if it is a link, followed.
    A child that inherits the open file holds the lock as well, until both have closed it.

    Raises:
        OSError: it cannot be opened (a link cannot), or its file system knows no locks.
    """
    from filelock import lock_descriptor  # a twentieth of a second that `--help` need not wait for

    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.fdopen(os.open(path, flags, 0o644), "r+b")
    try:
        if lock_descriptor(lock.fileno(), blocking=False):
            return lock
    except BaseException:
        lock.close()
        raise
    lock.close()
    return None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
