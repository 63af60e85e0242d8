"""Throughput of scoring on true model shapes and real dialogues, beside the torch loop and the GEMM peak.

    python -m benchmarks.score --shape deberta-v3-base --texts TEXTS --out benchmarks/results/score_cpu.json

The same command measures a CUDA GPU where onnxruntime-gpu is installed: `--device cuda --precision fp16`.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import polars as pl

from benchmarks.shapes import SHAPES, make
from seal.engine.bench.options import ScoreBenchOptions
from seal.engine.bench.scoring import bench_score
from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.frames.schema import TEXTS, scan


def main() -> None:
    """Make the model, export it, measure, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="deberta-v3-base")
    parser.add_argument("--texts", type=Path, required=True, help="a TEXTS folder of real dialogues")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "fp16"], default="fp32")
    parser.add_argument("--graph", choices=["fast", "reference"], help="default: the fastest there is")
    parser.add_argument("--budgets", type=int, nargs="*", default=[])
    parser.add_argument("--no-loop", action="store_true", help="leave the torch loop out")
    parser.add_argument("--work", type=Path, help="where to keep the models; a temporary folder by default")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        work = args.work or Path(aside)
        frame = scan(args.texts, TEXTS, columns=("prompt", "response"))
        lines = frame.select(pl.col("prompt") + pl.col("response")).collect().to_series().to_list()
        checkpoint = make(args.shape, lines, work / args.shape)
        exported = work / f"{args.shape}-{args.precision}-{args.graph or 'default'}"
        report = export(checkpoint, exported, ExportOptions(precision=args.precision, graph=args.graph))
        options = ScoreBenchOptions(
            n_pairs=args.pairs,
            repeats=args.repeats,
            device=args.device,
            budgets=tuple(args.budgets),
        )
        result = bench_score(
            args.texts,
            exported,
            options,
            reference=None if args.no_loop else checkpoint,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
    document = {
        "shape": args.shape,
        "precision": args.precision,
        "graph": report.spec.graph,
        "command": " ".join(["python -m benchmarks.score", *sys.argv[1:]]),
        "parity_max_abs_diff": report.parity.max_abs_diff,
        **result,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=2) + "\n")
    for m in result["measurements"]:
        print(f"{m['name']:28} {m['tokens_per_s']:8.0f} tokens/s  {m['fraction_of_peak']:.1%} of the peak")


if __name__ == "__main__":
    main()
