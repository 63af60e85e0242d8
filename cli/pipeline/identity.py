"""What files hold, by hash, without reading again what has not been touched.

A hash is believed while size, both times and inode of its file are what they were when it was taken, and only
if the file was left alone for some seconds before that: within the clock's grain a change might not show.
Whoever changes a file's content changes its ctime, which no program can set back.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seal.engine.errors import InputError
from seal.engine.files import file_sha256, parse_json, walk_files, write_atomic
from seal.engine.frames.folder import LOG, RESULTS, StageFolder
from seal.engine.frames.manifest import MANIFEST

_GRAIN_NS = 2_000_000_000
_RESULT = re.compile(
    r"results\.json|suspects\.parquet|(as_published/)?\w+\.csv|figures/figure\d\w*\.(png|svg)"
)


@dataclass(frozen=True)
class Seen:
    """A file when it was hashed.

    Attributes:
        mark: size, mtime, ctime (ns) and inode.
        at_ns: when.
        sha256: of its bytes.
    """

    mark: tuple[int, int, int, int]
    at_ns: int
    sha256: str

    def holds(self, mark: tuple[int, int, int, int]) -> bool:
        """Whether the hash is still the file's for certain."""
        return self.mark == mark and max(mark[1], mark[2]) + _GRAIN_NS < self.at_ns


@dataclass
class HashBook:
    """Hashes of files, kept from run to run in a file that may be deleted at any time."""

    file: Path
    seen: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def open(cls, file: Path) -> "HashBook":
        """Read it; one that is missing or cannot be read is empty."""
        try:
            entries = parse_json(file.read_text(encoding="utf-8"))
            return cls(file, {name: Seen((*e[0],), e[1], e[2]) for name, e in entries.items()})
        except (OSError, ValueError, TypeError, IndexError, AttributeError):
            return cls(file)

    def save(self) -> None:
        """Write it, files that are gone left out."""
        kept = {n: [s.mark, s.at_ns, s.sha256] for n, s in self.seen.items() if Path(n).exists()}
        write_atomic(self.file, json.dumps(kept).encode())

    def file_hash(self, path: Path, known: str | None = None) -> str:
        """SHA-256 of a file.

        Args:
            path: the file.
            known: what the one who has just written it says; saves reading it.

        Raises:
            InputError: it cannot be read.
        """
        try:
            stat = path.stat()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from None
        mark = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        before = self.seen.get(str(path))
        if before is None or not before.holds(mark):
            now_ns = time.time_ns()
            before = self.seen[str(path)] = Seen(mark, now_ns, known or file_sha256(path))
        return before.sha256

    def hashes(self, path: Path, *, just_written: bool = False) -> dict[str, str]:
        """Name -> hash of a file, or of every file of a folder that says what it holds.

        Left out are hidden files, training checkpoints, the times of a stage's folder, and what somebody put
        beside the files that a stage or an analysis wrote.

        Args:
            path: the file or folder.
            just_written: believe the folder's own commit log for this once.

        Raises:
            InputError: nothing is there, or it cannot be read.
        """
        if path.is_file():
            return {"": self.file_hash(path)}
        if not path.is_dir():
            raise InputError(f"{path} is not there")
        is_stage = (path / LOG).is_file() and (path / MANIFEST).is_file()
        stage = StageFolder.open(path) if is_stage else None
        logged = stage.hashes if stage else {}
        known = logged if just_written else {}
        found = {str(p.relative_to(path)): p for p in _files(path)}
        if stage is not None:
            found = {name: p for name, p in found.items() if name in logged}
        elif RESULTS in found:
            found = {name: p for name, p in found.items() if _RESULT.fullmatch(name)}
        return {name: self.file_hash(p, known.get(name)) for name, p in sorted(found.items())}

    def identity(self, path: Path, *, just_written: bool = False) -> str | None:
        """One hash for the content of a file or folder; None where nothing is there."""
        if not path.exists():
            return None
        hashes = self.hashes(path, just_written=just_written)
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def _unread(path: Path) -> bool:
    return path.name.startswith(".") or (path.name.startswith("checkpoint-") and path.is_dir())


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in walk_files(folder, without=_unread) if path.is_file())
