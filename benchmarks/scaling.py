"""Cost of a pair from a thousand to a million of them: does `seal score` slow down as a run grows?

    python -m benchmarks.scaling [--sizes 1000 10000 100000 1000000] [--out benchmarks/results/scaling.json]

A DeBERTa-v2 of one layer, 32 wide, scores short random pairs, no two alike, through the command line: the
model costs next to nothing, so what is measured is everything around it. Small sizes are run before, between
and after the large ones. Two pairs are the start-up (interpreter, session, and what one window costs whatever
is in it), which is subtracted; what a window of 2,048 pairs takes early and late in a large run needs no
subtraction.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.score_memory import make_model, write_texts
from seal.engine.frames.manifest import machine, versions

_SEAL = [sys.executable, "-c", "from seal.cli.main import run; run()"]
_REPEATED = 200_000  # pairs up to which a size is run several times


def one_run(texts: Path, model: Path, out: Path) -> dict[str, float]:
    """`seal score` in a process of its own: seconds by the clock and of processors, and the load before."""
    load, before = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        [*_SEAL, "score", str(texts), "--model", f"tiny={model}", "--out", str(out), "--json"],
        check=True,
        capture_output=True,
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "cpu_s": cpu, "load_before": load}


def summary(n_pairs: int, runs: list[dict[str, float]], start_up: dict[str, float]) -> dict[str, Any]:
    """Medians of a size, start-up taken off."""
    cost = {key: float(np.median([run[key] for run in runs])) - start_up[key] for key in ("wall_s", "cpu_s")}
    return {
        "pairs": n_pairs,
        "runs": runs,
        "us_per_pair": 1e6 * cost["wall_s"] / n_pairs,
        "cpu_us_per_pair": 1e6 * cost["cpu_s"] / n_pairs,
        "pairs_per_s": n_pairs / cost["wall_s"],
    }


def further_pairs(sizes: list[dict[str, Any]]) -> dict[str, float]:
    """Microseconds by the clock of every pair between one size and the next: no start-up is in it."""
    walls = {size["pairs"]: float(np.median([run["wall_s"] for run in size["runs"]])) for size in sizes}
    return {
        f"{few} to {many}": 1e6 * (walls[many] - walls[few]) / (many - few)
        for few, many in pairwise(sorted(walls))
    }


def seconds_by_tenth(scores: Path) -> list[float]:
    """Median seconds of a window in each tenth of a run, from its commit log."""
    lines = [json.loads(line) for line in (scores / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = [line["counters"]["elapsed_s"] for line in lines if "counters" in line]
    return [float(np.median(tenth)) for tenth in np.array_split(seconds, min(10, len(seconds)))]


def measure(sizes: list[int], repeats: int) -> dict[str, Any]:
    """Every size, the small ones in turns around each of the large ones."""
    runs: dict[int, list[dict[str, float]]] = {size: [] for size in (2, *sizes)}
    small = [size for size in runs if size <= _REPEATED]
    large = [size for size in runs if size > _REPEATED]
    order = (small * repeats + large) * 3 + small * repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = make_model(folder)
        for size in runs:
            write_texts(folder / f"{size}.parquet", size)
        for i, size in enumerate(order):
            runs[size].append(one_run(folder / f"{size}.parquet", model, folder / f"scores-{i}"))
            print(f"{size:>9,} pairs: {runs[size][-1]['wall_s']:.2f} s", file=sys.stderr, flush=True)
        longest = [folder / f"scores-{i}" for i, size in enumerate(order) if size == max(sizes)]
        tenths = np.median([seconds_by_tenth(scores) for scores in longest], axis=0)
    start_up = {key: float(np.median([run[key] for run in runs[2]])) for key in ("wall_s", "cpu_s")}
    found = [summary(size, runs[size], start_up) for size in sizes]
    return {
        "start_up": start_up,
        "sizes": found,
        "us_per_further_pair": further_pairs(found),
        "seconds_of_a_window_by_tenth_of_the_largest_run": tenths.tolist(),
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--repeats",
        type=int,
        default=3,
        help="runs of each small size before, between and after those of a large one",
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/scaling.json")
    options = parser.parse_args()
    found = measure(options.sizes, options.repeats)
    by_size = {line["pairs"]: line for line in found["sizes"]}
    ratios = {
        f"{key}, largest over 10,000": by_size[max(by_size)][key] / by_size[10_000][key]
        for key in ("us_per_pair", "cpu_us_per_pair")
        if 10_000 in by_size
    }
    tenths = found["seconds_of_a_window_by_tenth_of_the_largest_run"]
    ratios["last_tenth_over_first"] = tenths[-1] / tenths[0]
    document = {
        **found, "ratios": ratios, "machine": machine(), "versions": versions(),
    }  # fmt: skip
    options.out.write_text(json.dumps(document, indent=2) + "\n")
    for line in found["sizes"]:
        print(f"{line['pairs']:>9,} pairs: {line['us_per_pair']:7.1f} us a pair by the clock, "
              f"{line['cpu_us_per_pair']:7.1f} us of processors")  # fmt: skip
    print(ratios)


if __name__ == "__main__":
    main()
