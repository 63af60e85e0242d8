"""Ten million pairs through import, computed labels, compare and analyze: what memory each takes.

    python -m benchmarks.torture.scale pairs|scores|judged FOLDER N_PAIRS

makes the input, in a process of its own, so that the memory of what watches is small. Each command runs in
a process too; its peak is what the kernel says (`ru_maxrss`), its growth what was sampled while it ran.

Nobody scored or judged these texts: rewards are drawn, and so are the two judgements that the analysis needs
for its targets, which stand beside the computed features.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil

from benchmarks.torture.campaign import Found
from benchmarks.torture.commands import ROOT, command, environment
from seal.engine.frames.schema import PREFERENCE, SCORES, VARIANT

NAME = "scale"
MOST_BYTES = 2 << 30
EVERY_S = 0.5
_FILE_PAIRS = 1_000_000
_WORDS = ("the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "perhaps", "on", "I", "as?")
_COVARIATES = "n_words,n_questions,n_hedges,n_first_person"


def cases(small: bool) -> Sequence[str]:
    """Numbers of pairs, fewer first, to see what grows once all that is kept in memory is full."""
    return ["10000"] if small else ["3000000", "10000000"]


def run(case: str, scratch: Path) -> Found:
    """Import, label, compare and analyze so many pairs."""
    n_pairs, folder = int(case), scratch / case
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _make("pairs", folder, n_pairs)
    texts, labels, results = folder / "texts", folder / "labels", folder / "results"
    stages = {"import": _measured("import", folder / "pairs", "--out", texts, n_pairs=n_pairs)}
    shutil.rmtree(folder / "pairs")
    _make("scores", folder, n_pairs)
    words = (texts, "--labeler", "computed", "--out", labels)
    stages["label"] = _measured("label", *words, n_pairs=n_pairs)
    scores = folder / "scores"
    stages["compare"] = _measured("compare", scores, n_pairs=n_pairs)
    models = ("--pre", "pre", "--post", "post", "--covariates", _COVARIATES)
    _make("judged", folder, n_pairs)
    frames = ("--scores", scores, "--labels", folder / "judged")
    stages["analyze"] = _measured("analyze", *frames, *models, "--out", results, n_pairs=n_pairs)
    alignment = pl.read_csv(results / "alignment.csv").filter(pl.col("model") == "post")
    assert alignment["n_pairs"].to_list() == [n_pairs], alignment
    shutil.rmtree(folder)
    for stage, facts in stages.items():
        assert facts["peak_bytes"] < MOST_BYTES, f"{stage}: {facts['peak_bytes']:,} bytes, {facts}"
    return {"n_pairs": n_pairs, "stages": stages}


def _measured(*words: object, n_pairs: int) -> dict[str, Any]:
    """Run a command to its end; its seconds, peak and growth."""
    began, samples = time.monotonic(), list[tuple[float, int]]()
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            command(*words), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=stderr
        )
        watched = psutil.Process(process.pid)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            with suppress(psutil.NoSuchProcess):  # it may end in between
                samples.append((time.monotonic() - began, watched.memory_info().rss))
            time.sleep(EVERY_S)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        said = stderr.read()
    assert code == 0, f"seal {words[0]} ended with {code}: {said[-2000:]}"
    return {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_bytes": usage.ru_maxrss * 1024,
        "growth_mib_per_million": _growth(samples, n_pairs),
    }


def _growth(samples: Sequence[tuple[float, int]], n_pairs: int) -> float:
    """MiB a million pairs over the second half, by least squares, as if the pairs went by at one rate."""
    if n_pairs < _FILE_PAIRS or len(samples) < 10:
        return 0.0
    seconds, resident = np.array(samples).T
    late = seconds > seconds[-1] / 2
    slope = np.polyfit(seconds[late] / seconds[-1] * n_pairs / 1e6, resident[late] / 2**20, 1)[0]
    return round(float(slope), 3)


def summary(rows: Sequence[Found]) -> Mapping[str, Any]:
    """The peaks of the largest number of pairs, and what a million more take."""
    if not rows:
        return {"promise": _PROMISE, "figure": "nothing", "stages": {}}
    least, most = rows[0], rows[-1]
    stages = dict[str, dict[str, float]]()
    for stage, facts in most["stages"].items():
        mib, first = facts["peak_bytes"] / 2**20, least["stages"][stage]["peak_bytes"] / 2**20
        further = (most["n_pairs"] - least["n_pairs"]) / 1e6
        stages[stage] = {
            "MiB at most": round(mib),
            "MiB a further million": round((mib - first) / further, 1) if further else 0,
            "seconds": round(facts["seconds"]),
            "CPU seconds": round(facts["cpu_seconds"]),
        }
    worst = max(stages, key=lambda stage: stages[stage]["MiB at most"])
    return {
        "promise": _PROMISE,
        "figure": f"{most['n_pairs']:,} pairs: at most {stages[worst]['MiB at most']:,.0f} MiB ({worst})",
        "rows": list(rows),
        "stages": stages,
    }


_PROMISE = "memory is bounded: under 2 GiB beyond the model's"


def _make(what: str, folder: Path, n_pairs: int) -> None:
    words = [sys.executable, "-m", "benchmarks.torture.scale", what, str(folder / what), str(n_pairs)]
    subprocess.run(words, cwd=ROOT, check=True)


def write_pairs(folder: Path, n_pairs: int) -> None:
    """Transcripts of one turn, 3 to 16 words an answer, a million a file, as JSON lines."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    pool = pl.Series([" ".join(rng.choice(_WORDS, rng.integers(3, 17))) for _ in range(5000)])
    for at, start in enumerate(range(0, n_pairs, _FILE_PAIRS)):
        n = min(_FILE_PAIRS, n_pairs - start)
        asked, good, bad = (pool.gather(rng.integers(0, len(pool), n)) for _ in range(3))
        prompt = pl.format("\n\nHuman: {} {}\n\nAssistant: ", pl.lit(asked), pl.int_range(start, start + n))
        sides = {"chosen": good, "rejected": bad}
        pairs = pl.select(pl.concat_str(prompt, pl.lit(text)).alias(side) for side, text in sides.items())
        pairs.write_ndjson(folder / f"pairs-{at:02}.jsonl")


def write_scores(folder: Path, n_pairs: int) -> None:
    """SCORES of two models that agree with people in two of three pairs, a file a model and million pairs."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for at, start in enumerate(range(0, n_pairs, _FILE_PAIRS)):
        n = min(_FILE_PAIRS, n_pairs - start)
        key = pl.select(
            row_id=pl.int_range(2 * n) // 2 + start,
            preference=pl.lit(pl.Series(["chosen", "rejected"] * n, dtype=PREFERENCE)),
            variant=pl.lit("original", VARIANT),
        )
        for name in ("pre", "post"):
            rewards = rng.normal(size=2 * n) + np.tile([0.6, 0.0], n)
            frame = key.with_columns(
                model=pl.lit(name), reward=pl.Series(rewards, dtype=pl.Float32),
                n_tokens=pl.lit(20, pl.Int32), truncated=pl.lit(False),
            )  # fmt: skip
            frame.select(*SCORES.types).write_parquet(folder / f"part-{2 * at + (name == 'post'):05}.parquet")


def write_judged(folder: Path, n_pairs: int) -> None:
    """The computed LABELS, part by part, with two judgements beside them."""
    folder.mkdir()
    rng = np.random.default_rng(2)
    for part in sorted(folder.with_name("labels").glob("part-*.parquet")):
        frame = pl.read_parquet(part)
        drawn = {
            f"last_response_is_{name}": rng.random(frame.height) < 0.7 for name in ("harmless", "helpful")
        }
        frame.with_columns(**{n: pl.Series(v) for n, v in drawn.items()}).write_parquet(folder / part.name)


if __name__ == "__main__":
    {"pairs": write_pairs, "scores": write_scores, "judged": write_judged}[sys.argv[1]](
        Path(sys.argv[2]), int(sys.argv[3])
    )
