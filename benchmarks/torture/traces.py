"""What a stage left, as far as it is the same in every run: no times, nothing that a run notes for itself."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from benchmarks.torture.commands import json_lines, logged_hashes
from seal.engine.frames.folder import LOG, Log
from seal.engine.frames.manifest import MANIFEST

_NOTES = frozenset((".lock", ".hashes.json"))
_LOGS = "logs"
RECORD, RESULTS, REPORT = "run.json", "results.json", "report.html"
_TIMES = re.compile(rb"took [^<]* in all\..*?</table>", re.DOTALL)  # of the stages, in a report
_VARY = frozenset(("written", "log_sha256", "self_sha256", "n_cached_tokens"))  # a cache starts empty


@dataclass(frozen=True)
class Whole:
    """What an undisturbed run was.

    Attributes:
        digests: path below the output -> SHA-256 of what is the same in every run of it.
        logs: folder below the output -> the lines of its commit log.
        logged: file name -> hashes that some commit log gives it.
        begun_s: from its start until its output was there. elapsed_s: from its start to its end.
        n_changes: changes of files below the output; 0 where they were not counted.
    """

    digests: Mapping[str, str]
    logs: Mapping[str, list[str]]
    logged: Mapping[str, set[str]]
    begun_s: float
    elapsed_s: float
    n_changes: int

    @classmethod
    def of(cls, folder: Path, *, begun_s: float, elapsed_s: float, n_changes: int) -> Self:
        """What lies in a folder now."""
        logs = {str(log.parent.relative_to(folder)): log for log in folder.rglob(LOG)}
        logged: dict[str, set[str]] = {}
        for log in logs.values():
            for commit in Log.parse(log.read_bytes(), log).commits:
                for file, facts in commit.files.items():
                    logged.setdefault(file, set()).add(facts["sha256"])
        plain = {place: plain_log(log) for place, log in logs.items()}
        return cls(digests(folder), plain, logged, begun_s, elapsed_s, n_changes)


def digests(folder: Path) -> dict[str, str]:
    """Path below the folder -> SHA-256 of every file, hidden ones too."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        place = path.relative_to(folder)
        if path.name not in _NOTES and place.parts[0] != _LOGS:
            found[str(place)] = sha256(_plain(path)).hexdigest()
    return found


def plain_log(log: Path) -> list[str]:
    """The whole lines of a commit log without seconds."""
    return [json.dumps(_timeless(line), sort_keys=True) for line in json_lines(log)]


def _plain(path: Path) -> bytes:
    if path.name == LOG:
        return "\n".join(plain_log(path)).encode()
    data = path.read_bytes()
    if path.name == REPORT:
        return _TIMES.sub(b"", data)
    if path.name not in (MANIFEST, RECORD):
        return data
    kept = _timeless(json.loads(data))
    if path.name == RECORD and REPORT in kept["stages"]:
        del kept["stages"][REPORT]["output"]  # the hash of a page that tells times
    return json.dumps(kept, sort_keys=True).encode()


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _timeless(v) for k, v in value.items() if k not in _VARY and not k.endswith("_s")}
    return value


def check_standing(folder: Path, whole: Whole) -> int:
    """Hold what a run that was cut left against the undisturbed run.

    Returns:
        Parts that are written but not logged, the most of one stage: what will be done again.

    Raises:
        AssertionError: a file is torn or nobody's, the log names what is not so, or says what never happened.
    """
    for place, sha in digests(folder).items():
        path = folder / place
        if any(part.startswith(".") for part in Path(place).parts) or path.name in (MANIFEST, RECORD, LOG):
            continue  # written aside, or held below
        known = {whole.digests.get(place), *whole.logged.get(path.name, ())}
        assert sha in known or _is_unfinished(path), f"{place} is torn, or of no undisturbed run"
    return max((_check_log(log, whole, folder) for log in folder.rglob(LOG)), default=0)


def _is_unfinished(path: Path) -> bool:
    """Whether it is the results of an analysis that says that it was cut."""
    return path.name == RESULTS and "unfinished" in json.loads(path.read_bytes())


def _check_log(log: Path, whole: Whole, folder: Path) -> int:
    place = str(log.parent.relative_to(folder))
    lines, logged = plain_log(log), logged_hashes(log)
    assert lines == whole.logs[place][: len(lines)], f"the log of {place} says what no undisturbed run does"
    gone = len(lines) == len(whole.logs[place])  # failures of single parts, once they are gathered
    for name, sha in logged.items():
        file = log.parent / name
        if file.exists() or not (gone and name.startswith("failures-")):
            assert file.exists(), f"the log of {place} names {name}, which is not there"
            assert sha256(file.read_bytes()).hexdigest() == sha, f"the log of {place} names {name}: torn"
    return sum(part.name not in logged for part in log.parent.glob("part-*.parquet"))


def check_same(folder: Path, whole: Whole) -> None:
    """Hold a finished output against the undisturbed run's.

    Raises:
        AssertionError: a file differs, is missing, or is too many.
    """
    found = digests(folder)
    differing = sorted(n for n in found.keys() | whole.digests.keys() if found.get(n) != whole.digests.get(n))
    assert not differing, f"not what an undisturbed run writes: {', '.join(differing[:5])}"


def done_parts(folder: Path) -> dict[Path, tuple[int, int]]:
    """The parts that the logs name, and what a file gets anew when it is written again: inode, time."""
    paths = [log.parent / n for log in folder.rglob(LOG) for n in logged_hashes(log) if n.startswith("part-")]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
