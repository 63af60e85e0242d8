"""Many `seal` commands one after another in a child process, each with its seconds, memory and last words.

    python -m benchmarks.torture.watched JOBS.json OUTCOMES.jsonl SECONDS

A command runs in the child through the same `main` as on a terminal, so that thousands of hostile files do
not start Python thousands of times. A crash, or a command that takes longer than it may, ends the child and
is its command's outcome; the next child goes on behind it. Linux only: the kernel says each peak.

What a library writes past Python's own streams is not looked at: there polars says that it panicked.
"""

import faulthandler
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path

import psutil

from benchmarks.torture.commands import ROOT, environment
from seal.cli.main import main as seal

_WAITING = 10
"""A child that goes on for so many times the seconds of computing that it may take is ended: it may wait."""

_MOST_SAID = 4000
_LOADING_S = 600.0
"""Allowed beyond that for the first command, which loads what there is to load."""


@dataclass(frozen=True)
class Job:
    """A command.

    Attributes:
        words: after `seal`.
        out: what it writes, removed beforehand.
    """

    words: tuple[str, ...]
    out: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: its exit code; None where the child died or was ended.
        said: what it wrote on stderr, or the traceback, or what became of the child.
        raised: whether an exception came through.
        seconds: of computing, in all its threads.
        peak: bytes of the largest resident set meanwhile.
    """

    code: int | None
    said: str
    raised: bool
    seconds: float
    peak: int


def civil(ended: Outcome) -> bool:
    """Whether a command came to its end, and where it failed said so in one line."""
    lines = ended.said.splitlines()
    told = len(lines) == 1 and lines[0].startswith("seal: ")
    return not ended.raised and (ended.code in (0, 3) or (ended.code in (1, 2) and told))


def watch(
    jobs: Sequence[Job], scratch: Path, *, seconds: float, n_bytes: int, calm: Job
) -> tuple[list[Outcome], Outcome]:
    """Run commands and see how each ends.

    Args:
        jobs: the commands, in order.
        scratch: an empty folder to write notes to.
        seconds: of computing, that one of them may take; one that waits is given ten times as long.
        n_bytes: how far the child may grow beyond the peak of `calm` before it is ended.
        calm: a command that is not disturbed, run first by every child: it loads what there is to load, and
            its peak is what the others are held against.

    Returns:
        The outcomes, and that of `calm`.
    """
    notes, outcomes, undisturbed = scratch / "outcomes.jsonl", list[Outcome](), Outcome(0, "", False, 0, 0)
    while len(outcomes) < len(jobs):
        rest = [calm, *jobs[len(outcomes) :]]
        (scratch / "jobs.json").write_text(json.dumps([asdict(job) for job in rest]), encoding="utf-8")
        notes.unlink(missing_ok=True)
        why = _child(scratch / "jobs.json", notes, seconds, n_bytes)
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
        ended = [Outcome(**json.loads(line)) for line in lines]
        assert ended, f"the undisturbed command did not end: {' '.join(calm.words)}: {why}"
        undisturbed = ended.pop(0)
        assert undisturbed.code == 0, f"the undisturbed {' '.join(calm.words)} failed: {undisturbed.said}"
        outcomes += ended
        if len(outcomes) < len(jobs):
            outcomes.append(Outcome(None, why, False, seconds, 0))
    return outcomes, undisturbed


def _child(jobs: Path, notes: Path, seconds: float, n_bytes: int) -> str:
    """Start one child and wait for its end; says what became of it."""
    words = [sys.executable, "-m", "benchmarks.torture.watched", str(jobs), str(notes), str(seconds)]
    said = jobs.with_name("said.txt")
    with said.open("w+b") as stderr:
        process = subprocess.Popen(words, cwd=ROOT, env=environment(), stdout=stderr, stderr=stderr)
        watched, grown = psutil.Process(process.pid), False
        while process.poll() is None:
            time.sleep(0.05)
            calm = _first_peak(notes)
            try:
                grown = bool(calm) and watched.memory_info().rss > calm + n_bytes
            except psutil.NoSuchProcess:
                break
            if grown:
                process.kill()
                break
        code = process.wait()
    last = _cut(said.read_text(encoding="utf-8", errors="replace"))
    return (
        f"more memory than {n_bytes:,} bytes beyond the undisturbed run"
        if grown
        else f"ended with {code}: {last}"
    )


def _first_peak(notes: Path) -> int:
    try:
        with notes.open(encoding="utf-8") as lines:
            first = lines.readline()
        return int(json.loads(first)["peak"]) if first.endswith("\n") else 0
    except FileNotFoundError:
        return 0


def attempt(job: Job) -> Outcome:
    """Run a command in this process; its peak is not looked at."""
    if job.out:
        shutil.rmtree(job.out, ignore_errors=True)
    said, raised, code = StringIO(), False, None
    began = time.process_time()
    try:
        with redirect_stderr(said), redirect_stdout(StringIO()):
            code = seal(job.words)
    except BaseException:  # noqa: BLE001 -- an exception that came through is what is looked for
        raised = True
        said.write(traceback.format_exc())
    return Outcome(code, _cut(said.getvalue()), raised, time.process_time() - began, 0)


def _cut(said: str) -> str:
    """The beginning and the end, where it is long."""
    half = _MOST_SAID // 2
    return said if len(said) <= _MOST_SAID else f"{said[:half]}…{said[-half:]}"


def _attempt(job: Job, seconds: float) -> Outcome:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
    faulthandler.dump_traceback_later(seconds, exit=True)
    outcome = attempt(job)
    faulthandler.cancel_dump_traceback_later()
    return replace(outcome, peak=_peak())


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def _main(jobs: Path, notes: Path, seconds: float) -> None:
    os.fsync = lambda fd: None  # only a power failure could tell the difference
    with notes.open("a", encoding="utf-8") as file:
        for i, job in enumerate(json.loads(jobs.read_text(encoding="utf-8"))):
            outcome = _attempt(Job(**job), _WAITING * seconds + (0 if i else _LOADING_S))
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
