"""The whole comparison on a CUDA machine: one command, one JSON; nothing is downloaded.

    python -m benchmarks.gpu --out benchmarks/results/gpu.json
    python -m benchmarks.gpu --device cpu --shape deberta-tiny --pairs 4 --repeats 1 --out OUT   # a trial

Exports random weights of a true shape (fp16; fp32 on a CPU), measures the matrix product, and scores the same
texts in the same batches, in turns: this engine through CUDA (several budgets) and, where there is one,
TensorRT; torch in the same precision; torch.compile. A way that fails is in the result with its reason.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks.dialogues import DIALOGUES, load_dialogues
from benchmarks.shapes import SHAPES, make
from seal.engine.bench.flops import flops
from seal.engine.bench.scoring import gemm_peak, run_engine
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.errors import SealError
from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.frames.manifest import machine, versions
from seal.engine.pooling.loading import LoadedModel, load_models
from seal.engine.pooling.torch import TorchBackend

Load = Callable[[], LoadedModel]
BUDGETS = {"cuda": (8_192, 32_768, 131_072), "cpu": (512,)}


def made_dialogues(n_pairs: int) -> pl.DataFrame:
    """Random words in lengths like hh-rlhf's (log-normal, median 130 words), where that is not at hand."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(130), 0.7, 2 * n_pairs), 8, 1000).astype(int)
    words = [" ".join(f"word{w}" for w in rng.zipf(1.3, n) % 5000) for n in lengths]
    return pl.DataFrame(
        {
            "row_id": np.repeat(np.arange(n_pairs), 2),
            "prompt": [w[: len(w) // 2] for w in words],
            "response": [w[len(w) // 2 :] for w in words],
        }
    )


def with_torch(like: LoadedModel, checkpoint: Path, device: str, *, compiled: bool) -> LoadedModel:
    """torch on the batches of the engine, in the same precision."""
    backend = TorchBackend(Checkpoint.open(checkpoint), device)
    model = backend._model.half() if device == "cuda" else backend._model
    backend._model = torch.compile(model, dynamic=True) if compiled else model
    return replace(like, name="torch", backend=backend)


def ways(checkpoint: Path, folder: Path, engine: LoadedModel, device: Any) -> dict[str, tuple[Load, int]]:
    """What is measured: name -> how it is loaded, and its budget of tokens."""
    usual = BUDGETS[device][len(BUDGETS[device]) // 2]
    found: dict[str, tuple[Load, int]] = {
        f"seal, {device}, budget {budget}": (lambda: engine, budget) for budget in BUDGETS[device]
    }
    if device == "cuda":
        found["seal, TensorRT"] = (
            lambda: load_models({"engine": folder}, "tensorrt", max_batch_tokens=usual)[0], usual
        )  # fmt: skip
    found["torch"] = (lambda: with_torch(engine, checkpoint, device, compiled=False), usual)
    found["torch.compile"] = (lambda: with_torch(engine, checkpoint, device, compiled=True), usual)
    return found


def one_way(rows: pl.DataFrame, load: Load, budget: int, repeats: int) -> dict[str, Any]:
    """Load, warm up on all shapes, and measure; or the reason why that cannot be."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        began = time.perf_counter()
        model = load()
        rewards, padding = run_engine(rows, model, budget)
        ready = time.perf_counter() - began
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            run_engine(rows, model, budget)
            seconds.append(time.perf_counter() - start)
    except (SealError, RuntimeError, ImportError) as error:
        return {"failed": " ".join(str(error).split())[:300]}
    memory = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    return {"ready_s": ready, "seconds": seconds, "padding": padding, "torch_memory_mib": memory,
            "rewards": rewards}  # fmt: skip


def summary(found: dict[str, dict[str, Any]], lengths: Any, work: float, peak: float) -> list[dict[str, Any]]:
    """A line a way; differences of rewards and flipped pairs are from torch."""
    wanted = found["torch"].get("rewards")
    lines = []
    for name, facts in found.items():
        rewards = facts.pop("rewards", None)
        line = {"name": name, **facts}
        if rewards is not None:
            median = float(np.median(facts["seconds"]))
            line |= {
                "tokens_per_s": int(lengths.sum()) / median,
                "pairs_per_s": len(lengths) / 2 / median,
                "fraction_of_peak": work / median / 1e9 / peak,
            }
        if rewards is not None and wanted is not None:
            order, order_wanted = (np.sign(r[::2] - r[1::2]) for r in (rewards, wanted))
            line |= {
                "max_abs_diff_from_torch": float(np.abs(rewards - wanted).max()),
                "flipped_pairs": float((order != order_wanted).mean()),
            }
        lines.append(line)
    return lines


def measure(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Everything, on one machine."""
    real = args.dialogues.exists()
    texts = load_dialogues(args.dialogues) if real else made_dialogues(max(args.pairs, 2000))
    rows = texts.head(2 * args.pairs)
    checkpoint = make(args.shape, (texts["prompt"] + texts["response"]).to_list(), work / args.shape)
    precision: Any = "fp16" if args.device == "cuda" else "fp32"
    anything = ExportOptions(precision=precision, tolerance=100)  # how far off it is stands in the result
    report = export(checkpoint, work / f"{args.shape}-{precision}", anything)
    engine = load_models({"engine": report.folder}, args.device)[0]
    lengths = engine.encoder.encode(rows["prompt"].to_list(), rows["response"].to_list()).lengths
    peaks = gemm_peak(args.device, 2.0)
    found = {}
    for name, (load, budget) in ways(checkpoint, report.folder, engine, args.device).items():
        found[name] = one_way(rows, load, budget, args.repeats)
        print(name, found[name].get("seconds", found[name].get("failed")), file=sys.stderr, flush=True)
    nominal = flops(Checkpoint.open(checkpoint, weights=False).config, lengths)
    return {
        "shape": args.shape, "device": args.device, "precision": precision, "graph": report.spec.graph,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "parity_with_torch_fp32": asdict(report.parity),
        "texts": {"real": real, "n": len(lengths), "tokens": int(lengths.sum()),
                  "mean": float(lengths.mean()), "longest": int(lengths.max())},
        "nominal_gflop": nominal / 1e9,
        "gemm_peak_gflops": peaks,
        "results": summary(found, lengths, nominal, max(peaks.values())),
        "machine": machine(), "versions": versions(),
    }  # fmt: skip


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--shape", choices=SHAPES, default="deberta-v3-large")
    parser.add_argument("--dialogues", type=Path, default=DIALOGUES, help="made ones where this is missing")
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", type=Path, help="where to keep the models; a temporary folder by default")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        document = measure(args, args.work or Path(aside))
    args.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
