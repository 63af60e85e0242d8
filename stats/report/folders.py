"""The folders behind a results folder: where they are, what made them, how fast, and what failed in them.

Each is found by what it holds, not by where it lies: a folder that was moved is named again and recognised,
and one that was made anew at the old place is said to hold something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import InputError, SealError
from seal.engine.frames.folder import StageFolder, content_hash
from seal.engine.frames.gathered import FAILED
from seal.engine.frames.schema import readable
from seal.stats.results import InputRecord

# The stage that writes each role, to place folders where nothing was recorded.
ROLES = {
    "import": "texts", "score": "scores", "label": "labels", "rewrite": "rewritten",
    "similarity": "similarities",
}  # fmt: skip
EXTRA = "beside"


@dataclass(frozen=True)
class Failure:
    """Rows that failed alike: how many, and one of them as an example."""

    error: str
    n_rows: int
    row_id: int | None
    detail: str


@dataclass(frozen=True)
class Folder:
    """One input of the analysis, or a folder named beside them.

    Attributes:
        role: as in `InputRecord.role`; `beside` for a folder that is no input.
        place: as it was recorded or given.
        sha256: what the analysis read, or what it holds where nothing was recorded.
        path: where it is; None where it was not found or holds something else.
        problem: why it could not be used, or empty.
        stage_folder: what it says of itself; None where no stage wrote it or it cannot be read.
        failures: by reason, most first.
    """

    role: str
    place: str
    sha256: str
    path: Path | None
    problem: str = ""
    stage_folder: StageFolder | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def stage(self) -> str:
        """The command that wrote it; empty where none did."""
        return self.stage_folder.stage if self.stage_folder else ""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Its `manifest.json`; empty where it has none."""
        return self.stage_folder.manifest if self.stage_folder else {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """What made it: stage, options, inputs, models."""
        return self.stage_folder.identity if self.stage_folder else {}

    @property
    def counters(self) -> Mapping[str, float]:
        """Sums over its parts and totals: `n_rows`, `elapsed_s`, ..."""
        return self.stage_folder.counters if self.stage_folder else {}


def find_folders(recorded: Sequence[InputRecord], results: Path, given: Sequence[Path]) -> list[Folder]:
    """Every recorded input and every folder given, in that order.

    Args:
        recorded: what the analysis says that it read.
        results: the results folder, from which relative places count.
        given: folders named by the user.
    """
    hashes = {path: _identified(path) for path in given}
    found, used = [], set()
    for record in recorded:
        if not record.path:
            found.append(Folder(record.role, "in memory", "", None, "was a frame in memory"))
            continue
        same = next((p for p, (sha, _) in hashes.items() if sha == record.sha256), None)
        path = same if same is not None else results / record.path
        used.add(path.resolve())
        sha, problem = hashes[path] if same is not None else _identified(path)
        if sha and sha != record.sha256:
            problem = "holds something else than what the analysis read"
        found.append(_opened(record.role, record.path, record.sha256, path, problem))
    for path, (sha, problem) in hashes.items():
        if path.resolve() not in used:
            folder = _opened(EXTRA, path.name or str(path), sha, path, problem)
            role = ROLES.get(folder.stage, EXTRA) if not recorded else EXTRA
            found.append(replace(folder, role=role))
    return found


def _identified(path: Path) -> tuple[str, str]:
    """The content hash, or an empty one and why."""
    if not path.exists():
        return "", "is not there"
    try:
        return content_hash(path), ""
    except (SealError, OSError) as error:
        return "", f"cannot be read: {error}"


def _opened(role: str, place: str, sha256: str, path: Path, problem: str) -> Folder:
    """Read what a folder says of itself; what cannot be read becomes its problem."""
    stage_folder: StageFolder | None = None
    failures: tuple[Failure, ...] = ()
    try:
        stage_folder = StageFolder.open(path)
        failures = _failures(path)
    except (InputError, OSError) as error:
        problem = problem or str(error)
    if stage_folder is not None and not stage_folder.complete:
        problem = problem or "is not finished"
    return Folder(role, place, sha256, None if problem else path, problem, stage_folder, failures)


def _failures(path: Path) -> tuple[Failure, ...]:
    file = path / FAILED
    if not file.is_file():
        return ()
    with readable(file):
        frame = pl.scan_parquet(file)
        have = frame.collect_schema()
        if "error" not in have:
            return ()
        first = [pl.col(c).first().alias(c) for c in ("row_id", "detail") if c in have]
        table = frame.group_by("error").agg(pl.len().alias("n"), *first).collect()
    rows = sorted(table.to_dicts(), key=lambda r: (-r["n"], str(r["error"])))
    return tuple(
        Failure(str(r["error"]), r["n"], r.get("row_id"), "" if r.get("detail") is None else str(r["detail"]))
        for r in rows
    )
