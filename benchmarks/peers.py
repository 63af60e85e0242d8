"""seal beside its peers: the same real dialogues, the same random weights, in turns, in one run.

    python -m benchmarks.peers --work WORK --out benchmarks/results/peers_cpu.json

Every contestant (`contestants.py`) runs in a process of its own, and all of them score the same texts in
every turn. Those with a batch size of their own are first tried with several, and the best is kept. WORK
keeps the models, whose making takes minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.contestants import CASES, Case
from benchmarks.dialogues import DIALOGUES, load_dialogues, spread
from benchmarks.shapes import SHAPES, make
from seal.engine.bench.flops import flops
from seal.engine.bench.scoring import gemm_peak
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.exported import TOKENIZER
from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.frames.manifest import machine, versions
from seal.engine.pooling.tokenizing import PairEncoder

TEXTS = {"deberta-v3-base": 128, "deberta-v3-large": 32, "electra-large": 32, "deberta-tiny": 8}
_PACKAGES = ("sentence-transformers", "optimum")


LOOP = "torch, one by one"


@dataclass
class Entry:
    """A running contestant and what was measured of it."""

    case: Case
    process: subprocess.Popen[str]
    load_s: float
    batch_size: int = 0
    tried: dict[int, float] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def start(cls, case: Case, folder: Path, texts: Path, threads: int | None) -> "Entry":
        """Start its process and wait until the model is loaded and has scored two texts."""
        held = {"OMP_NUM_THREADS": str(threads)} if threads else {}
        command = [sys.executable, "-m", "benchmarks.contestants", case.loader, str(folder), str(texts)]
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | held,
        )  # fmt: skip
        entry = cls(case, process, 0.0, case.batch_sizes[0])
        entry._answer()
        entry.load_s = time.perf_counter() - began
        entry.ask(case.batch_sizes[0], n=2)
        return entry

    def ask(self, batch_size: int, **more: int) -> dict[str, Any]:
        """One pass over the texts."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"batch_size": batch_size, **more}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.case.name} ended with {self.process.wait()}")
        return dict(json.loads(line))

    def find_batch_size(self, n_texts: int) -> None:
        """Try its batch sizes upward until two in a row are slower than the best."""
        if len(self.case.batch_sizes) == 1:
            return
        slower = 0
        for size in [s for s in self.case.batch_sizes if s <= n_texts or self.case.unit == "tokens"]:
            self.tried[size] = self.ask(size)["seconds"]
            slower = 0 if self.tried[size] == min(self.tried.values()) else slower + 1
            if slower == 2:
                break
        self.batch_size = min(self.tried, key=lambda size: self.tried[size])

    def end(self) -> None:
        """Let the process go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def prepare(shape: str, lines: Sequence[str], work: Path) -> dict[str, Path]:
    """The folders of a shape: checkpoint, our exports, and the export CrossEncoder's onnx backend makes."""
    checkpoint = make(shape, lines, work / shape)
    folders = {"checkpoint": checkpoint}
    graphs = ("fast", "reference") if SHAPES[shape]["model_type"] == "deberta-v2" else ("reference",)
    for graph in graphs:
        folders[graph] = export(checkpoint, work / f"{shape}-{graph}", ExportOptions(graph=graph)).folder  # type: ignore[arg-type]
    anything = ExportOptions(precision="int8", tolerance=100)  # how far off it is stands in the result
    folders["int8"] = export(checkpoint, work / f"{shape}-int8", anything).folder
    folders["onnx"] = work / f"{shape}-cross-encoder"
    if not folders["onnx"].exists():
        script = (
            "import sys; from sentence_transformers import CrossEncoder; "
            "CrossEncoder(sys.argv[1], backend='onnx', local_files_only=True, device='cpu', "
            "model_kwargs={'export': True, 'provider': 'CPUExecutionProvider'}).save_pretrained(sys.argv[2])"
        )
        subprocess.run(
            [sys.executable, "-c", script, str(checkpoint), str(folders["onnx"])],
            check=True,
            capture_output=True,
        )
    return folders


def start_up_s(model: Path, pair: pl.DataFrame, aside: Path) -> list[float]:
    """Seconds of the whole of `seal score` over one pair: no less than it takes to a first batch."""
    pair.write_parquet(aside / "pair.parquet")
    seconds = []
    for i in range(3):
        command = [
            sys.executable,
            "-c",
            "from seal.cli.main import run; run()",
            "score",
            str(aside / "pair.parquet"),
        ]
        start = time.perf_counter()
        subprocess.run(
            [*command, "--model", f"m={model}", "--out", str(aside / f"scores-{i}")],
            check=True,
            capture_output=True,
        )
        seconds.append(time.perf_counter() - start)
    return seconds


def take_turns(entries: Sequence[Entry], repeats: int) -> dict[str, Any]:
    """All contestants in every turn, the order reversed in every second; the matrix product before each."""
    peaks: dict[str, float] = {}
    loads = []
    for turn in range(repeats):
        for library, rate in gemm_peak("cpu", 0.5).items():
            peaks[library] = max(rate, peaks.get(library, 0.0))
        loads.append(os.getloadavg()[0])
        for entry in entries if turn % 2 == 0 else entries[::-1]:
            entry.answers.append(entry.ask(entry.batch_size))
            say(f"  turn {turn + 1}: {entry.case.name}: {entry.answers[-1]['seconds']:.2f} s")
    return {"gemm_peak_gflops": peaks, "load_before_each_turn": loads}


def summary(entries: Sequence[Entry], work: float, peaks: dict[str, float]) -> list[dict[str, Any]]:
    """A line a contestant; ratios are medians of the ratios within a turn."""
    loop = next(e for e in entries if e.case.name == LOOP)
    loop_seconds, loop_cpu = ([a[key] for a in loop.answers] for key in ("seconds", "cpu_seconds"))
    found = []
    for entry in entries:
        seconds, cpu = ([a[key] for a in entry.answers] for key in ("seconds", "cpu_seconds"))
        last, median = entry.answers[-1], float(np.median(seconds))
        off = np.abs(np.subtract(last["rewards"], loop.answers[-1]["rewards"]))
        found.append(
            {
                "name": entry.case.name,
                "batch_size": entry.batch_size,
                "unit": entry.case.unit,
                "tried_s": entry.tried,
                "seconds": seconds,
                "cpu_seconds": cpu,
                "tokens_per_s": last["n_tokens"] / median,
                "pairs_per_s": len(last["rewards"]) / 2 / median,
                "padding": 1 - last["n_tokens"] / last["n_slots"],
                "times_the_loop": float(np.median(np.divide(loop_seconds, seconds))),
                "times_the_loop_cpu": float(np.median(np.divide(loop_cpu, cpu))),
                "gflops": work / median / 1e9,
                "of_peak": {lib: work / median / 1e9 / rate for lib, rate in best_by_library(peaks).items()},
                "peak_memory_mib": last["peak_memory_mib"],
                "load_s": entry.load_s,
                "max_abs_diff_from_loop": float(off.max()),
            }
        )
    return found


def best_by_library(peaks: dict[str, float]) -> dict[str, float]:
    """The best rate of each library, whatever the size of the matrices."""
    names = dict.fromkeys(name.split(",")[0] for name in peaks)
    return {lib: max(rate for name, rate in peaks.items() if name.startswith(lib)) for lib in names}


def measure(shape: str, texts: pl.DataFrame, args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Everything about one shape."""
    say(f"{shape}: making and exporting")
    with ProcessPoolExecutor(1, get_context("spawn")) as aside_process:  # its memory goes when it ends
        lines = (texts["prompt"] + texts["response"]).to_list()
        folders = aside_process.submit(prepare, shape, lines, work).result()
    config = Checkpoint.open(folders["checkpoint"], weights=False).config
    limit = None if config.get("relative_attention") else int(config["max_position_embeddings"])
    tokenizer = (folders["reference"] / TOKENIZER).read_text(encoding="utf-8")
    rows, lengths = spread(
        texts, PairEncoder(tokenizer, "pair", 1 << 20), (args.n or TEXTS[shape]) // 2, limit
    )
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        aside = Path(name)
        pairs = aside / "texts.json"
        pairs.write_text(json.dumps(rows.select("prompt", "response").rows()), encoding="utf-8")
        cases = [c for c in CASES if c.model in folders]
        start_up = start_up_s(folders["fast" if "fast" in folders else "reference"], rows.head(2), aside)
        entries = [Entry.start(case, folders[case.model], pairs, args.threads) for case in cases]
        for entry in entries:
            entry.find_batch_size(len(lengths))
        facts = take_turns(entries, args.repeats)
        for entry in entries:
            entry.end()
    work_done = flops(config, lengths)
    return {
        "shape": shape,
        "threads": args.threads or "each contestant's default",
        "texts": {"n": len(lengths), "tokens": int(lengths.sum()), "mean": float(lengths.mean()),
                  "longest": int(lengths.max())},
        "nominal_gflop": work_done / 1e9,
        "measured_in_s": time.perf_counter() - began,
        "seal_score_of_one_pair_s": start_up,
        **facts,
        "results": summary(entries, work_done, facts["gemm_peak_gflops"]),
    }  # fmt: skip


def say(line: str) -> None:
    """Tell the user what is going on."""
    print(line, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=Path, default=DIALOGUES, help="hh-rlhf records, or TEXTS")
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(TEXTS)[:3])
    parser.add_argument("--texts", type=int, dest="n", help="texts per shape; the default differs by shape")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="hold everyone to so many; their own defaults otherwise")
    parser.add_argument("--quick", action="store_true", help="only a tiny shape, one turn: does it run?")
    parser.add_argument("--work", type=Path, help="where to keep the models; a temporary folder by default")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.quick:
        args.shapes, args.repeats = ["deberta-tiny"], 1
    return args


def main() -> None:
    """Measure shape by shape, write the JSON after each."""
    args = arguments()
    texts = load_dialogues(args.dialogues)
    document = begin(args.out, args.shapes)
    command = " ".join(["python -m benchmarks.peers", *(a.rpartition("/")[2] for a in sys.argv[1:])])
    with tempfile.TemporaryDirectory() as aside:
        for shape in args.shapes:
            found = measure(shape, texts, args, args.work or Path(aside))
            document["shapes"].append({"command": command, **found})
            args.out.write_text(json.dumps(document, indent=2) + "\n")
            columns = ("name", "batch_size", "tokens_per_s", "padding", "times_the_loop", "peak_memory_mib")
            for line in document["shapes"][-1]["results"]:
                say(
                    "  ".join(
                        f"{line[c]:.3g}" if isinstance(line[c], float) else str(line[c]) for c in columns
                    )
                )


def begin(out: Path, shapes: Sequence[str]) -> dict[str, Any]:
    """The result so far, if this machine and these versions made it, without the shapes now asked for."""
    document: dict[str, Any] = {
        "machine": machine(), "versions": versions() | package_versions(_PACKAGES), "shapes": [],
    }  # fmt: skip
    if out.exists():
        before = json.loads(out.read_text(encoding="utf-8"))
        if all(before[key] == document[key] for key in ("machine", "versions")):
            document["shapes"] = [s for s in before["shapes"] if s["shape"] not in shapes]
    return document


def package_versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of further packages."""
    from importlib.metadata import version

    return {name: version(name) for name in names}


if __name__ == "__main__":
    main()
