"""What each idea in the fast graph of DeBERTa-v2 is worth: with it and without it, on the same texts.

    python -m benchmarks.fast_graph --texts TEXTS --out benchmarks/results/fast_graph_cpu.json

All graphs score the same texts in turns, one batch a core on one thread each, as `seal score` does; ratios
are of the same turn. Processor time is measured beside the clock: it is what a graph costs where the machine
is shared. What was expected of each idea is in fast_graph.md.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from benchmarks.shapes import SHAPES, make
from seal.engine.bench.flops import flops
from seal.engine.bench.scoring import gemm_peak
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.exported import MODEL, TOKENIZER, load_spec
from seal.engine.export import deberta, disentangled
from seal.engine.export.exporting import export
from seal.engine.export.graphs import write_graph
from seal.engine.export.onnx_graph import optimize
from seal.engine.export.options import ExportOptions
from seal.engine.frames.manifest import machine, usable_cores, versions
from seal.engine.frames.schema import TEXTS, scan
from seal.engine.pooling.batching import plan_batches
from seal.engine.pooling.onnx import OnnxBackend
from seal.engine.pooling.tokenizing import EncodedTexts, PairEncoder

Attention = disentangled.Attention


def _gathered(
    self: Any, x: torch.Tensor, table: torch.Tensor, places: torch.Tensor, blocks: Any
) -> torch.Tensor:
    """transformers' way: products with all buckets, every score picked by its index."""
    index = _index(places, blocks).expand(*x.shape[:2], -1, -1)
    return torch.gather(x @ table.transpose(-1, -2), -1, index)


def _gathered_of_reachable(
    self: Any, x: torch.Tensor, table: torch.Tensor, places: torch.Tensor, blocks: Any
) -> torch.Tensor:
    """The same with the buckets that a text of this length can reach."""
    low, high = places.min(), places.max()
    index = (_index(places, blocks) - low).expand(*x.shape[:2], -1, -1)
    return torch.gather(x @ table[:, low : high + 1].transpose(-1, -2), -1, index)


def _index(places: torch.Tensor, blocks: Any) -> torch.Tensor:
    """Bucket of each row and column, shape (s, s), from the places of one block."""
    length = blocks.n * blocks.h
    tokens = torch.arange(length)
    return places[0][tokens - tokens.unsqueeze(-1) + blocks.h - 1]


def _values_first(self: Any, x: torch.Tensor, mask: torch.Tensor, places: Any) -> torch.Tensor:
    """The first position with all values projected, then weighted."""
    weights = torch.softmax(self.first_scores(x, mask, places), -1).unsqueeze(2)
    seen = weights @ self._heads(self.value(x))
    return self.output(seen.transpose(1, 2).reshape(x.shape[0], 1, -1))


def _whole_layer(self: Any, x: torch.Tensor, mask: torch.Tensor, places: Any) -> torch.Tensor:
    """All positions of the last layer, of which the first is kept."""
    return self(x, mask, places, disentangled.cut(x.shape[1]))[:, :1]


CASES: dict[str, list[tuple[object, str, object]]] = {
    "fast": [],
    "fast, scores gathered": [
        (disentangled, "_BLOCK", 1 << 20), (Attention, "_positions", _gathered),
    ],
    "fast, scores gathered from reachable buckets": [
        (disentangled, "_BLOCK", 1 << 20), (Attention, "_positions", _gathered_of_reachable),
    ],
    "fast, one block": [(disentangled, "_BLOCK", 1 << 20)],
    "fast, blocks of 64": [(disentangled, "_BLOCK", 64)],
    "fast, whole last layer": [(deberta.Layer, "first", _whole_layer)],
    "fast, values projected in the last layer": [(Attention, "first", _values_first)],
}  # fmt: skip


def write_case(checkpoint: Path, fast: Path, patches: list[tuple[object, str, object]], out: Path) -> Path:
    """Export the fast graph with some of its parts exchanged."""
    shutil.copytree(fast, out)
    with ExitStack() as stack, tempfile.TemporaryDirectory() as aside:
        for place, name, value in patches:
            stack.enter_context(mock.patch.object(place, name, value))
        write_graph(Checkpoint.open(checkpoint), "fast", Path(aside) / "raw.onnx")
        optimize(Path(aside) / "raw.onnx", out / MODEL)
    return out


@dataclass
class Case:
    """One graph and what was measured of it."""

    backend: OnnxBackend
    seconds: list[float]
    cpu_seconds: list[float]
    rewards: NDArray[np.float32]

    def turn(self, texts: EncodedTexts, budget: int, pad: int) -> None:
        """Score all texts once, a batch a core."""
        batches = plan_batches(texts.lengths, budget).batches

        def one(rows: NDArray[np.intp]) -> None:
            self.rewards[rows] = self.backend.rewards(texts.batch(rows, pad))

        start, start_cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(self.backend.concurrency) as pool:
            list(pool.map(one, batches))
        self.seconds.append(time.perf_counter() - start)
        self.cpu_seconds.append(time.process_time() - start_cpu)


def one_core_peak() -> float:
    """Rate of a large fp32 product on one thread, by its processor time, in GFLOP/s; the best of several."""
    torch.set_num_threads(1)
    left, right = torch.randn(2, 2048, 2048)
    best = float("inf")
    for _ in range(8):
        start = time.thread_time()
        torch.mm(left, right)
        best = min(best, time.thread_time() - start)
    torch.set_num_threads(usable_cores())
    return 2 * 2048**3 / best / 1e9


def summary(
    cases: dict[str, Case], work: float, n_tokens: int, peak: float, one_core: float
) -> list[dict[str, Any]]:
    """A line a case: medians, the ratio to the reference within a turn, the difference of rewards."""
    reference = cases["reference"]
    return [
        {
            "graph": name,
            "seconds": case.seconds,
            "tokens_per_s": n_tokens / float(np.median(case.seconds)),
            "cpu_seconds": case.cpu_seconds,
            "times_the_reference": float(np.median(np.divide(reference.seconds, case.seconds))),
            "times_the_reference_cpu": float(np.median(np.divide(reference.cpu_seconds, case.cpu_seconds))),
            "fraction_of_peak": work / float(np.median(case.seconds)) / 1e9 / peak,
            "fraction_of_one_core_peak": work / float(np.median(case.cpu_seconds)) / 1e9 / one_core,
            "max_abs_diff": float(np.abs(case.rewards - reference.rewards).max()),
        }
        for name, case in cases.items()
    ]


def measure(
    cases: dict[str, Case], texts: EncodedTexts, args: argparse.Namespace, pad: int
) -> dict[str, Any]:
    """Turns over all cases, the matrix product before each; the first turn warms up and does not count."""
    peaks: dict[str, float] = {}
    one_core, loads = 0.0, []
    for turn in range(args.repeats + 1):
        for library, rate in gemm_peak("cpu", 1.0).items():
            peaks[library] = max(rate, peaks.get(library, 0.0))
        one_core = max(one_core, one_core_peak())
        loads.append(os.getloadavg()[0])
        for name, case in cases.items():
            case.turn(texts, args.budget, pad)
            print(f"turn {turn}: {name}: {case.seconds[-1]:.2f} s", file=sys.stderr)
            if turn == 0:
                case.seconds.clear()
                case.cpu_seconds.clear()
    return {"gemm_peak_gflops": peaks, "gemm_one_core_gflops": one_core, "load_before_each_turn": loads}


def arguments() -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="deberta-v3-base")
    parser.add_argument("--texts", type=Path, required=True, help="TEXTS of real dialogues")
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--budget", type=int, default=512)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--work", type=Path, help="where to keep the models; a temporary folder by default")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Make the model, export every case, measure, write the JSON."""
    args = arguments()
    frame = scan(args.texts, TEXTS, columns=("prompt", "response"))
    rows = frame.collect().sample(args.n, seed=3)
    with tempfile.TemporaryDirectory() as aside:
        work = args.work or Path(aside)
        lines = frame.select(pl.col("prompt") + pl.col("response")).collect().to_series().to_list()
        checkpoint = make(args.shape, lines, work / args.shape)
        folders = {g: work / f"{args.shape}-{g}" for g in ("reference", "fast")}
        parity = {
            g: export(checkpoint, folder, ExportOptions(graph=g)).parity.max_abs_diff  # type: ignore[arg-type]
            for g, folder in folders.items()
        }
        for i, name in enumerate(args.cases):
            if CASES[name]:
                folders[name] = write_case(checkpoint, folders["fast"], CASES[name], Path(aside) / str(i))
        spec = load_spec(folders["fast"])
        encoder = PairEncoder(
            (folders["fast"] / TOKENIZER).read_text(), spec.pair_template, spec.longest_input()
        )
        texts = encoder.encode(rows["prompt"].to_list(), rows["response"].to_list())
        cases = {
            n: Case(OnnxBackend(f, "cpu"), [], [], np.zeros(args.n, np.float32)) for n, f in folders.items()
        }
        facts = measure(cases, texts, args, spec.pad_token_id)
        config = Checkpoint.open(checkpoint, weights=False).config
    work_done = flops(config, texts.lengths)
    n_tokens = int(texts.lengths.sum())
    peak = max(facts["gemm_peak_gflops"].values())
    results = summary(cases, work_done, n_tokens, peak, facts["gemm_one_core_gflops"])
    document = {
        "shape": args.shape,
        "command": " ".join(
            ["python -m benchmarks.fast_graph", *(a.rpartition("/")[2] for a in sys.argv[1:])]
        ),
        "machine": machine(),
        "versions": versions(),
        "texts": {
            "n": args.n,
            "tokens": n_tokens,
            "mean": n_tokens / args.n,
            "longest": int(texts.lengths.max()),
        },
        "budget": args.budget,
        "nominal_gflop": work_done / 1e9,
        **facts,
        "parity_with_torch": parity,
        "results": results,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=2) + "\n")
    print(pl.DataFrame(results).drop("seconds", "cpu_seconds"))


if __name__ == "__main__":
    main()
