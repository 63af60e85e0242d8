"""Speed and memory of `seal label --labeler computed` on one million synthetic texts.

    python -m benchmarks.computed_features [--texts N] [--out benchmarks/results/computed_features.json]

The texts are as long as hh-rlhf's (500 characters of prompt, 200 of response on average), with list items,
marks and curly apostrophes among them. The command runs in a process of its own, its resident set is read
after every part, and CPU seconds stand beside the wall clock, with the load of the machine, for other work
may share it. The cost of each feature alone, words included where it needs them, is measured on one part.
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
import polars as pl

from seal.engine.frames.manifest import machine, versions
from seal.engine.frames.schema import CHOSEN, ORIGINAL, PREFERENCE, REJECTED, VARIANT
from seal.engine.labeling.computed import FEATURES, ComputedLabeler, compute
from seal.engine.labeling.labeling import label
from seal.engine.labeling.options import LabelOptions
from seal.engine.progress import Progress

_WORDS = (
    "the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as", "with",
    "I", "at", "be", "this", "have", "from", "or", "one", "had", "by", "but", "not", "what", "all", "were",
    "we", "when", "your", "can", "said", "there", "use", "an", "each", "which", "she", "do", "how", "their",
    "if", "will", "other", "about", "many", "then", "them", "these", "some", "her", "would", "make", "like",
    "time", "look", "two", "more", "write", "number", "people", "first", "water", "find", "long", "part",
    "don’t", "I’m", "perhaps", "wonderful", "information", "recommendation", "understanding",
)  # fmt: skip
_ENDS = (". ", ". ", ". ", "? ", "! ", "\n\n- ", "\n2. ", " **really** ")
_CHUNK = 100_000


def passages(n: int, least: int, most: int, rng: random.Random) -> list[str]:
    """Texts of sentences of 4 to 16 words, so many words in all."""
    made = []
    for _ in range(n):
        left, text = rng.randint(least, most), []
        while left > 0:
            k = rng.randint(4, 16)
            text += [" ".join(rng.choices(_WORDS, k=k)), rng.choice(_ENDS)]
            left -= k
        made.append("".join(text))
    return made


def write_texts(folder: Path, n_texts: int) -> None:
    """Write TEXTS of n_texts / 2 pairs, a file each hundred thousand."""
    rng, draw = random.Random(0), np.random.default_rng(0)
    prompts, responses = passages(5000, 20, 165, rng), passages(20_000, 5, 70, rng)
    folder.mkdir()
    for start in range(0, n_texts, _CHUNK):
        n = min(_CHUNK, n_texts - start)
        which = draw.integers(len(prompts), size=n // 2).repeat(2)
        frame = pl.DataFrame(
            {
                "row_id": np.arange(start, start + n) // 2,
                "preference": pl.Series([CHOSEN, REJECTED] * (n // 2), dtype=PREFERENCE),
                "variant": pl.repeat(ORIGINAL, n, dtype=VARIANT, eager=True),
                "source": pl.repeat("made", n, eager=True),
                "prompt": [f"\n\nHuman: {prompts[i]}\n\n" for i in which],
                "response": [f"Assistant: {responses[i]}" for i in draw.integers(len(responses), size=n)],
            }
        )
        frame.write_parquet(folder / f"part-{start // _CHUNK:05}.parquet")


def resident_bytes() -> tuple[int, int]:
    """Resident set of this process now, and at its highest."""
    lines = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    )
    now, peak = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


def measure(texts: Path, out: Path) -> dict[str, Any]:
    """Label and watch this process."""
    seen: list[tuple[int, int]] = []
    before, began, began_cpu = resident_bytes()[0], time.perf_counter(), time.process_time()
    load = os.getloadavg()[0]

    def listen(progress: Progress) -> None:
        seen.append((progress.n_done, resident_bytes()[0]))

    report = label(texts, [ComputedLabeler()], out, LabelOptions(), listen=listen)
    elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    n_done, resident = np.array(seen).T
    half = n_done >= n_done[-1] // 2
    return {
        "n_texts": report.n_texts,
        "n_rows": report.n_rows,
        "elapsed_s": round(elapsed_s, 2),
        "texts_per_s": round(report.n_texts / elapsed_s),
        "cpu_s": round(cpu_s, 2),
        "load_before": round(load, 1),
        "rss_before_mib": round(before / 2**20, 1),
        "rss_peak_mib": round(resident_bytes()[1] / 2**20, 1),
        "rss_growth_mib_per_million_texts_second_half": round(
            float(np.polyfit(n_done[half], resident[half], 1)[0]) * 1e6 / 2**20, 1
        ),
    }


def costs(texts: Path) -> dict[str, float]:
    """Microseconds a text of each feature computed alone, the best of three."""
    frame = pl.read_parquet(sorted(texts.glob("*.parquet"))[0], n_rows=16_384)
    found = {}
    for feature in FEATURES:
        best = float("inf")
        for _ in range(3):
            began = time.perf_counter()
            compute(frame.lazy(), [feature]).collect(engine="streaming")
            best = min(best, time.perf_counter() - began)
        found[feature.name] = round(best / frame.height * 1e6, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/computed_features.json"))
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts"
        write_texts(texts, options.texts)
        module = [sys.executable, "-m", "benchmarks.computed_features"]
        command = [*module, "--measure", str(texts), str(Path(folder) / "out")]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout) | {"us_per_text_of_each_feature_alone": costs(texts)}
    result |= {"machine": machine(), "versions": versions()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
