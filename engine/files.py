"""Files: written whole or not at all, and named by what they hold."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from seal.engine.errors import InputError


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def write_atomic(path: Path, data: bytes) -> dict[str, Any]:
    """Write a file so that it is either whole or not there; returns its SHA-256 and size."""
    aside = path.with_name(f".{path.name}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        with suppress(OSError):  # nothing half written is left
            aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
