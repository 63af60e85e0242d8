"""The folders behind a results folder: where they are, what made them, how fast, and what failed in them.

Each is found by what it holds, not by where it lies: a folder that was moved is named again and recognised,
and one that was made anew at the old place is said to hold something else.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import InputError, SealError
from seal.engine.frames.schema import readable
from seal.stats.results import Source

Identify = Callable[[Path], str]

MANIFEST, LOG, FAILED = "manifest.json", "log.jsonl", "failures.parquet"
# The stage that writes each role, to place folders where nothing was recorded.
_ROLES = {
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
        role: as in `Source.role`; `beside` for a folder that is no input.
        place: as it was recorded or given.
        sha256: what the analysis read, or what it holds where nothing was recorded.
        path: where it is; None where it was not found or holds something else.
        problem: why it could not be used, or empty.
        manifest: its `manifest.json`; empty where it has none.
        counters: sums over its parts and totals: `n_rows`, `elapsed_s`, ...
        failures: by reason, most first.
    """

    role: str
    place: str
    sha256: str
    path: Path | None
    problem: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

    @property
    def stage(self) -> str:
        """The command that wrote it, as its manifest says; empty where it has none."""
        return str(self.identity.get("stage", ""))

    @property
    def identity(self) -> Mapping[str, Any]:
        """What made it: stage, options, inputs, models."""
        found = self.manifest.get("identity", {})
        return found if isinstance(found, Mapping) else {}


def find_folders(
    recorded: Sequence[Source], results: Path, given: Sequence[Path], identify: Identify
) -> list[Folder]:
    """Every recorded input and every folder given, in that order.

    Args:
        recorded: what the analysis says that it read.
        results: the results folder, from which relative places count.
        given: folders named by the user.
        identify: the content hash of a file or folder.
    """
    hashes = {path: _identified(path, identify) for path in given}
    found, used = [], set()
    for source in recorded:
        same = next((p for p, (sha, _) in hashes.items() if sha == source.sha256), None)
        path = same if same is not None else results / source.path
        used.add(path.resolve())
        sha, problem = hashes[path] if same is not None else _identified(path, identify)
        if sha and sha != source.sha256:
            problem = "holds something else than what the analysis read"
        found.append(_opened(source.role, source.path, source.sha256, path, problem))
    for path, (sha, problem) in hashes.items():
        if path.resolve() not in used:
            folder = _opened(EXTRA, path.name or str(path), sha, path, problem)
            role = _ROLES.get(folder.stage, EXTRA) if not recorded else EXTRA
            found.append(replace(folder, role=role))
    return found


def _identified(path: Path, identify: Identify) -> tuple[str, str]:
    """The content hash, or an empty one and why."""
    if not path.exists():
        return "", "is not there"
    try:
        return identify(path), ""
    except (SealError, OSError) as error:
        return "", f"cannot be read: {error}"


def _opened(role: str, place: str, sha256: str, path: Path, problem: str) -> Folder:
    """Read what a folder says of itself; what cannot be read becomes its problem."""
    manifest: Mapping[str, Any] = {}
    counters: Mapping[str, float] = {}
    failures: tuple[Failure, ...] = ()
    try:
        manifest = _manifest(path)
        counters = _counters(path, manifest)
        failures = _failures(path)
    except (InputError, OSError) as error:
        problem = problem or str(error)
    if manifest.get("complete") is False:
        problem = problem or "is not finished"
    return Folder(role, place, sha256, None if problem else path, problem, manifest, counters, failures)


def _manifest(path: Path) -> Mapping[str, Any]:
    """`manifest.json` of a folder; empty where there is none or it is another program's."""
    file = path / MANIFEST
    if not file.is_file():
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{MANIFEST} is damaged: {error}") from None
    return document if isinstance(document, dict) and isinstance(document.get("identity"), dict) else {}


def _counters(path: Path, manifest: Mapping[str, Any]) -> dict[str, float]:
    """Sums over the log's parts; the manifest's totals where it has them."""
    sums: dict[str, float] = {}
    log = path / LOG
    if manifest and log.is_file():
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                amounts = {**entry.get("counters", {}), "n_rows": entry.get("n_rows")}
            except (ValueError, AttributeError, TypeError) as error:
                raise InputError(f"{LOG} is damaged: {error}") from None
            for name, amount in _numbers(amounts).items():
                sums[name] = sums.get(name, 0) + amount
    totals = manifest.get("totals")
    return sums | (_numbers(totals) if isinstance(totals, Mapping) else {})


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those that can be added up."""
    known = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {k: v for k, v in known.items() if math.isfinite(v)}


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
