"""A disk that fails at the n-th change of a file, for every n, over every stage.

A write finds no space after half of its bytes, a sync and a rename meet an I/O error, opening, removing and
making a folder meet no permission. `once` the disk is well again afterwards; `on` every later change fails
too.
A case takes every fourth n, until a run passes untouched.
"""

import os
from collections.abc import Mapping, Sequence
from errno import EACCES, EIO, ENOSPC
from pathlib import Path
from typing import Any

from benchmarks.torture.campaign import Found
from benchmarks.torture.children import End, ended
from benchmarks.torture.disk import Do
from benchmarks.torture.stages import LONGEST_S, STAGES, Bench, bench
from benchmarks.torture.traces import Whole, check_same, check_standing

NAME = "faults"
MODES = {"once": Do.FAIL_ONCE, "on": Do.FAIL_ON}
SMALL = ("gold sample once 1", "gold sample on 2")
_EVERY = 4
_REASONS = tuple(os.strerror(code) for code in (ENOSPC, EIO, EACCES))


def cases(small: bool) -> Sequence[str]:
    """Stage, mode, first n."""
    if small:
        return SMALL
    stages = [name for name, stage in STAGES.items() if not stage.like]
    return [f"{name} {mode} {i}" for mode in MODES for name in stages for i in range(1, _EVERY + 1)]


def run(case: str, scratch: Path) -> Found:
    """Let every fourth change fail, each in a run of its own; see `Campaign`."""
    name, mode, first = case.rsplit(" ", 2)
    here = bench(scratch, fewer=True)  # the disk fails in one part as in another
    whole, at = here.whole(name), int(first)
    n_faults, n_errors = 0, 0
    while (failed := _fail(here, name, whole, at, MODES[mode])) is not None:
        n_faults, n_errors, at = n_faults + 1, n_errors + failed, at + _EVERY
    return {"stage": name, "faults": n_faults, "errors": n_errors, "passed over": n_faults - n_errors}


def _fail(here: Bench, name: str, whole: Whole, at: int, do: Do) -> bool | None:
    """Carry out a stage on a disk that fails, then again on one that does not.

    Returns:
        Whether the stage failed; False where it could do without what failed; None where nothing failed.
    """
    here.clear(name)
    end = ended(here.start(name, at, do), here.said(name), LONGEST_S)
    told = here.told(name).read_text(encoding="utf-8").strip() if here.told(name).exists() else ""
    if end.code == 0:
        check_same(here.out(name), whole)
        return False if told else None
    assert told, f"it failed on a sound disk: {end.said[-1000:]}"
    try:
        _check_words(end)
        check_standing(here.out(name), whole)
        here.finish(name)
        check_same(here.out(name), whole)
    except AssertionError as error:
        raise AssertionError(f"{told}: {error}") from None
    return True


def _check_words(end: End) -> None:
    """One line, exit code 1.

    Raises:
        AssertionError: it is not so.
    """
    lines = [line for line in end.said.splitlines() if line.startswith("seal:")]
    names_reason = len(lines) == 1 and any(reason in lines[0] for reason in _REASONS)
    assert end.code == 1, f"exit code {end.code}: {end.said[-1000:]}"
    assert names_reason, f"not one line that names the reason: {end.said[-1000:]}"
    assert "Traceback" not in end.said, end.said[-1000:]


def summary(rows: Sequence[Found]) -> Mapping[str, Any]:
    """Faults by stage; see `Campaign`."""
    stages = {}
    for name in dict.fromkeys(row["stage"] for row in rows):
        own = [row for row in rows if row["stage"] == name]
        stages[name] = {key: sum(row[key] for row in own) for key in ("faults", "errors", "passed over")}
    n_faults = sum(figures["faults"] for figures in stages.values())
    return {
        "promise": "A failing disk (full, I/O error, no permission) at any change of a file: no torn part is "
        "logged, one line says why, a later start finishes",
        "figure": f"{n_faults:,} faults over {len(stages)} stages: every file as the undisturbed run left it",
        "stages": stages,
    }
