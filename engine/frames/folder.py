"""A folder that a stage wrote, read: its manifest, its commit log, and what both say.

manifest.json    what made it (manifest.py)
log.jsonl        one line a part, with the hash of its files; a last line when it is finished
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from seal.engine.errors import InputError
from seal.engine.files import file_sha256, parse_json, unsealed
from seal.engine.frames.gathered import is_gathered
from seal.engine.frames.manifest import (
    KEYS,
    LOG_SHA256,
    MANIFEST,
    ForeignManifestError,
    read_manifest,
)

LOG = "log.jsonl"
RESULTS = "results.json"
"""What an analysis says of its folder: with all tables, the hash of every file and its own."""


@dataclass(frozen=True)
class Commit:
    """One line of the log: a part that happened.

    Attributes:
        part: its number, from 0.
        n_rows: rows in the part.
        n_failures: rows that failed.
        last_row_id: the highest row_id read for it; the next part starts above.
        files: file name -> its SHA-256 and size in bytes.
        cursor: what the stage needs to go on from here (a place in a source file, say).
        counters: sums the stage keeps over its parts (seconds, tokens), so that throughput survives a resume.
    """

    part: int
    n_rows: int
    n_failures: int
    last_row_id: int
    files: Mapping[str, Mapping[str, Any]]
    cursor: Mapping[str, Any] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Log:
    """What a commit log says.

    Attributes:
        commits: the parts.
        finished: the files that stand for all parts together; None where the stage is not finished.
    """

    commits: tuple[Commit, ...] = ()
    finished: Mapping[str, Mapping[str, Any]] | None = None

    @classmethod
    def parse(cls, data: bytes, origin: Path) -> Self:
        """Read a log.

        Raises:
            InputError: a line is no entry.
        """
        commits, finished = [], None
        try:
            for line in data.splitlines():
                entry = parse_json(line)
                files = {
                    str(n): {"sha256": f["sha256"], "bytes": f["bytes"]} for n, f in entry["files"].items()
                }
                if entry.get("finished"):
                    finished = files
                else:
                    commits.append(Commit(**entry | {"files": files}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{origin} is damaged: {error}") from None
        return cls(tuple(commits), finished)

    @property
    def files(self) -> dict[str, Mapping[str, Any]]:
        """File name -> hash and size of everything that is named and has not been superseded."""
        named = {name: facts for commit in self.commits for name, facts in commit.files.items()}
        if self.finished is None:
            return named
        return {n: f for n, f in named.items() if not is_gathered(n)} | dict(self.finished)

    def total(self, counter: str) -> float:
        """A counter summed over every part, those of earlier runs included."""
        return sum(commit.counters.get(counter, 0) for commit in self.commits)


@dataclass(frozen=True)
class StageFolder:
    """A folder of this program.

    Attributes:
        path: where it is.
        manifest: its `manifest.json`.
        log: its commit log; empty where it has none.
    """

    path: Path
    manifest: Mapping[str, Any]
    log: Log

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Read what a folder says of itself; None where it has no manifest of this program.

        Raises:
            InputError: manifest or log are damaged.
        """
        try:
            manifest = read_manifest(path)
        except ForeignManifestError:
            return None
        if manifest is None:
            return None
        file = path / LOG
        try:
            data = file.read_bytes() if file.is_file() else b""
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}") from None
        if not manifest.get("complete"):  # a line that is being written, or was when the stage was killed
            data = data[: data.rfind(b"\n") + 1]
        return cls(path, manifest, Log.parse(data, file))

    @property
    def identity(self) -> Mapping[str, Any]:
        """What made it: stage, options, inputs, models."""
        found: Mapping[str, Any] = self.manifest["identity"]
        return found

    @property
    def stage(self) -> str:
        """The command that wrote it."""
        return str(self.identity["stage"])

    @property
    def command(self) -> tuple[str, ...] | None:
        """That command as it was typed, secrets left out; None where none is recorded."""
        words = self.manifest.get("command")
        return tuple(map(str, words)) if isinstance(words, list) else None

    @property
    def complete(self) -> bool:
        """Whether the stage has finished."""
        return bool(self.manifest.get("complete"))

    @property
    def commits(self) -> tuple[Commit, ...]:
        """The parts that its log names."""
        return self.log.commits

    def changed_records(self) -> Iterator[str]:
        """Its manifest and its log, where they are not as they were written."""
        if unsealed((self.path / MANIFEST).read_bytes(), KEYS):
            yield MANIFEST
        log, now = (self.path / LOG).read_bytes(), file_sha256(self.path / LOG)
        lines = log.splitlines()
        laid_out = all(line == json.dumps(json.loads(line), sort_keys=True).encode() for line in lines)
        if not laid_out or self.manifest.get(LOG_SHA256, now) != now or not log.endswith(b"}\n"):
            yield LOG

    @property
    def hashes(self) -> dict[str, str]:
        """File name -> SHA-256 of everything that its log names."""
        return {name: str(facts["sha256"]) for name, facts in self.log.files.items()}

    @property
    def counters(self) -> dict[str, float]:
        """Sums over its parts (`n_rows`, `n_failures`, `elapsed_s`, ...), the manifest's totals over them."""
        sums: dict[str, float] = {}
        for commit in self.commits:
            counts = {**commit.counters, "n_rows": commit.n_rows, "n_failures": commit.n_failures}
            for name, amount in _numbers(counts).items():
                sums[name] = sums.get(name, 0) + amount
        totals = self.manifest.get("totals")
        return sums | (_numbers(totals) if isinstance(totals, Mapping) else {})


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    known = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {k: v for k, v in known.items() if math.isfinite(v)}


def content_hash(path: Path) -> str:
    """One hash for the content of an input, wherever it lies.

    A folder of this program is named by its commit log, which holds the hash of each part, so that ten
    million rows are recognised without reading them; any other file or folder is hashed whole.
    """
    if path.is_file():
        return file_sha256(path)
    folder = StageFolder.open(path) if (path / LOG).is_file() else None
    if folder is not None:
        hashes = folder.hashes
    else:
        hashes = {str(p.relative_to(path)): file_sha256(p) for p in sorted(path.rglob("*")) if p.is_file()}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
