"""Files damaged at random, or changed by somebody who knows how they are laid out, through what reads them.

`targets.py` lists the files. A command may succeed, or fail with one line; it may not raise, nor take ten
seconds of computing or 1 GiB of memory beyond the same command on the file as it was. What the changed file
stands beside is linked, so that a folder is whole but for it.
"""

import json
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.torture.campaign import Found
from benchmarks.torture.finished import Finished
from benchmarks.torture.targets import SMALL, TARGETS, Target
from benchmarks.torture.watched import Job, civil, watch
from seal.engine.checkpoints.exported import SPEC
from seal.engine.files import file_sha256, sealed

NAME = "mutated"
SECONDS, N_BYTES = 10.0, 1 << 30
_A_CASE, _FEW = 500, 10


def cases(small: bool) -> Sequence[str]:
    """A target and a range of seeds; small: a few of those that need no model."""
    if small:
        return [f"{name}: 0 to {_FEW}" for name in SMALL]
    return [
        f"{name}: {first} to {min(first + _A_CASE, target.n)}"
        for name, target in TARGETS.items()
        for first in range(0, target.n, _A_CASE)
    ]


def run(case: str, scratch: Path) -> Found:
    """Change a file so many times, and let its command read each."""
    name, _, seeds = case.rpartition(": ")
    first, last = (int(word) for word in seeds.split(" to "))
    target, finished, work = TARGETS[name], Finished(scratch / "finished"), scratch / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    stands, out, jobs = target.where(finished), work / "out", list[Job]()
    for seed in range(first, last):
        path = _disturbed(target, stands, work / f"{seed}", random.Random(f"{name} {seed}"))
        jobs.append(Job(target.command(finished, path, out), str(out)))
    calm = Job(target.command(finished, stands, out), str(out))
    outcomes, undisturbed = watch(jobs, work, seconds=SECONDS, n_bytes=N_BYTES, calm=calm)
    seconds, grown, refused = 0.0, 0, 0
    for seed, ended in enumerate(outcomes, first):
        assert civil(ended), f"seed {seed}: {ended}"
        seconds, grown = max(seconds, ended.seconds), max(grown, ended.peak - undisturbed.peak)
        refused += bool(ended.code)
    assert seconds < SECONDS + undisturbed.seconds, f"{seconds} s, {undisturbed.seconds} s undisturbed"
    assert grown < N_BYTES, f"{grown:,} bytes more than undisturbed"
    shutil.rmtree(work)
    command = name.partition(",")[0]
    return {"stage": command, "n_files": last - first, "n_refused": refused, "seconds": round(seconds, 2),
            "grown_mib": round(grown / 2**20, 1)}  # fmt: skip


def _disturbed(target: Target, stands: Path, place: Path, draw: random.Random) -> Path:
    """What stands, at a place of its own, with one file of it changed."""
    place.mkdir()
    copy = place / stands.name
    if not target.file:
        copy.write_bytes(target.mutation(stands.read_bytes(), draw))
        return copy
    shutil.copytree(stands, copy, copy_function=os.link)
    changed = target.mutation((stands / target.file).read_bytes(), draw)
    (copy / target.file).unlink()
    (copy / target.file).write_bytes(changed)
    if target.deceives:
        spec = json.loads((copy / SPEC).read_text(encoding="utf-8"))
        spec["files"][target.file] = file_sha256(copy / target.file)
        (copy / SPEC).unlink()
        (copy / SPEC).write_bytes(sealed(spec))
    return copy


def summary(rows: Sequence[Found]) -> Mapping[str, Any]:
    """Files by command, and the worst of seconds and memory."""
    stages = defaultdict[str, dict[str, float]](
        lambda: {"files": 0, "refused": 0, "s at most": 0, "MiB more": 0}
    )
    for row in rows:
        stage = stages[row["stage"]]
        stage["files"] += row["n_files"]
        stage["refused"] += row["n_refused"]
        stage["s at most"] = max(stage["s at most"], row["seconds"])
        stage["MiB more"] = max(stage["MiB more"], row["grown_mib"])
    n_files = sum(row["n_files"] for row in rows)
    n_refused = sum(row["n_refused"] for row in rows)
    return {
        "promise": "no damaged or forged file ends a command otherwise than by its result or one line",
        "figure": f"{n_files:,} changed files of {len(TARGETS)} kinds, {n_refused:,} refused by one line: no "
        f"traceback, {max((r['seconds'] for r in rows), default=0):.1f} s and "
        f"{max((r['grown_mib'] for r in rows), default=0):,.0f} MiB above the undisturbed run at most",
        "n_files": n_files,
        "stages": dict(stages),
    }
