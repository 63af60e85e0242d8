"""SIGKILL at random moments of every stage, one to three times over, then the same command to its end.

Half of the kills come after a random time, the other half at a random change of a file: a rename, a sync, the
middle of a write. The labeler on vLLM is killed after its engine is up, at its parts.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any

from benchmarks.torture.campaign import Found
from benchmarks.torture.disk import Do
from benchmarks.torture.stages import LONGEST_S, STAGES, VLLM, Bench, bench
from benchmarks.torture.traces import Whole, check_same, check_standing, done_parts
from seal.engine.files import take_lock

NAME = "kills"
CASES: Mapping[str, int] = {
    "import": 12, "export": 6, "score": 14, "label computed": 12, "label transformers": 18, "gold sample": 10,
    "analyze": 14, "report": 10, "run": 8, "similarity": 8, "rewrite": 8,
    "rewrite double": 12, "label vllm": 15,
}  # fmt: skip
SMALL = ("import 1", "import 2", "label computed 2", "gold sample 1")
_TRIES = 40
_LOCK_S = 30.0


def cases(small: bool) -> Sequence[str]:
    """Case i of a stage is killed 1 + i % 3 times."""
    if small:
        return SMALL
    stages = [name for name in CASES if not STAGES[name].vllm or VLLM.exists()]
    return [f"{name} {i}" for name in stages for i in range(CASES[name])]


def run(case: str, scratch: Path) -> Found:
    """Kill, look, and start again; see `Campaign`."""
    name, _, number = case.rpartition(" ")
    here, rng = bench(scratch), Random(case)
    whole, out = here.whole(name), here.out(name)
    here.clear(name)
    n_kills, n_unlogged, n_starts, done = 0, 0, 0, done_parts(out)
    while n_kills < 1 + int(number) % 3:
        assert n_starts < _TRIES, f"{n_starts} kills came too late"
        n_starts += 1
        if _killed(here, name, whole, rng):
            n_kills += 1
            n_unlogged = max(n_unlogged, check_standing(out, whole))
            _check_kept(done)
            done = done_parts(out)
        else:
            check_same(out, whole)
            here.clear(name)
            done = {}
    assert n_unlogged <= 1, f"{n_unlogged} parts were written and not logged: they are done again"
    here.finish(name)
    check_same(out, whole)
    _check_kept(done)
    return {"stage": name, "kills": n_kills, "parts kept": len(done), "parts redone": n_unlogged}


def _killed(here: Bench, name: str, whole: Whole, rng: Random) -> bool:
    """Start a stage and kill it; False where it ended before."""
    if whole.n_changes and rng.random() < 0.5:
        child = here.start(name, rng.randint(1, whole.n_changes), Do.KILL)
        code = child.wait(LONGEST_S)
    else:
        child = here.start(name)
        if STAGES[name].vllm:
            part = here.out(name) / f"part-{rng.randint(0, 3):05}.parquet"
            while not part.exists() and child.wait(0.01) is None:
                pass
            child.wait(rng.uniform(0, 0.5))
        else:
            child.wait(rng.uniform(0.9 * whole.begun_s, whole.elapsed_s))
        child.kill()
        code = child.wait()
    assert code in (0, -SIGKILL), f"exit code {code}: {here.said(name).read_text(encoding='utf-8')[-1500:]}"
    if name == "run":
        _wait_for_the_stage(here.out(name))
    return code != 0


def _wait_for_the_stage(out: Path) -> None:
    """The stage of a run that was killed ends in a moment, and holds the lock until then."""
    until_s = time.monotonic() + _LOCK_S
    while out.exists():
        lock = take_lock(out / ".lock")
        if lock is not None:
            lock.close()
            return
        assert time.monotonic() < until_s, f"a stage outlived its run by {_LOCK_S:g} s"
        time.sleep(0.02)


def _check_kept(done: Mapping[Path, tuple[int, int]]) -> None:
    """What was logged is not done again."""
    for path, facts in done.items():
        assert path.exists(), f"{path.name} was logged, and is gone"
        stat = path.stat()
        assert (stat.st_ino, stat.st_mtime_ns) == facts, f"{path.name} was logged, and was done again"


def summary(rows: Sequence[Found]) -> Mapping[str, Any]:
    """Kills by stage; see `Campaign`."""
    stages = {}
    for name in CASES:
        own = [row for row in rows if row["stage"] == name]
        if own:
            stages[name] = {
                "runs": len(own),
                "kills": sum(row["kills"] for row in own),
                "parts kept": sum(row["parts kept"] for row in own),
                "most parts redone after a kill": max(row["parts redone"] for row in own),
            }
    n_kills = sum(figures["kills"] for figures in stages.values())
    return {
        "promise": "Killed anywhere (SIGKILL), started again with the same command, the same result",
        "figure": f"{n_kills:,} kills over {len(stages)} stages: every file as the undisturbed run left it",
        "stages": stages,
    }
