"""Speed and memory of `seal import` on one million short pairs of synthetic transcripts.

    python -m benchmarks.import_memory [--pairs N] [--out benchmarks/results/import_memory.json]

The import runs in a process of its own, and its resident set is read after every part: the peak, and the
growth a hundred thousand pairs once the first hundred thousand are done (a least-squares slope). CPU seconds
are given beside the wall clock, with the load of the machine, for other work may share it.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.frames.manifest import machine, versions
from seal.engine.progress import Progress

_WORDS = ("the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as")


def write_pairs(path: Path, n_pairs: int) -> None:
    """Write seeded transcripts of one or two turns, 5 to 40 words an answer, as JSON lines."""
    rng = random.Random(0)
    answers = [" ".join(rng.choices(_WORDS, k=rng.randint(5, 40))) for _ in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        for i in range(n_pairs):
            prompt = f"\n\nHuman: {rng.choice(answers)} {i}"
            if i % 2:
                prompt += f"\n\nAssistant: {rng.choice(answers)}\n\nHuman: {rng.choice(answers)}"
            chosen, rejected = rng.sample(answers, 2)
            pair = {
                side: f"{prompt}\n\nAssistant: {t}"
                for side, t in (("chosen", chosen), ("rejected", rejected))
            }
            file.write(json.dumps(pair) + "\n")


def resident_bytes() -> int:
    """Resident set of this process now."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024


def measure(source: Path, out: Path) -> dict[str, Any]:
    """Import and watch this process."""
    seen: list[tuple[int, int]] = []
    before = resident_bytes()
    began, began_cpu, load = time.perf_counter(), time.process_time(), os.getloadavg()[0]

    def listen(progress: Progress) -> None:
        seen.append((progress.n_done, resident_bytes()))

    report = import_texts([source], out, options=ImportOptions(), listen=listen)
    elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    n_done, resident = np.array(seen).T
    warm = n_done >= 100_000 if n_done[-1] >= 300_000 else n_done > 0
    stops = range(100_000, int(n_done[-1]) + 1, 100_000)
    slope = np.polyfit(n_done[warm], resident[warm], 1)[0]
    return {
        "n_pairs": report.n_pairs,
        "elapsed_s": round(elapsed_s, 2),
        "pairs_per_s": round(report.n_pairs / elapsed_s),
        "cpu_s": round(cpu_s, 2),
        "pairs_per_cpu_s": round(report.n_pairs / cpu_s),
        "load_before": round(load, 1),
        "rss_before_mib": round(before / 2**20, 1),
        "rss_peak_mib": round(max(r for _, r in seen) / 2**20, 1),
        "rss_growth_mib_per_100k_pairs": round(slope * 1e5 / 2**20, 3),
        "rss_mib_after_each_100k": [round(int(resident[np.argmax(n_done >= n)]) / 2**20, 1) for n in stops],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/import_memory.json"))
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pairs.jsonl"
        write_pairs(source, options.pairs)
        command = [
            sys.executable,
            "-m",
            "benchmarks.import_memory",
            "--measure",
            str(source),
            str(Path(folder) / "out"),
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout) | {"source_mib": round(source.stat().st_size / 2**20, 1)}
    result |= {"machine": machine(), "versions": versions()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
