"""How to use the cores of a CPU: many batches on one thread each, or one batch on many threads?

python -m benchmarks.threads --model ONNX_FOLDER --texts TEXTS --out benchmarks/results/threads.json
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl

from seal.engine.checkpoints.exported import MODEL, TOKENIZER, load_spec
from seal.engine.frames.manifest import machine, usable_cores, versions
from seal.engine.frames.schema import TEXTS, scan
from seal.engine.pooling.batching import plan_batches
from seal.engine.pooling.tokenizing import EncodedTexts, PairEncoder


def session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session that runs one batch on so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(model, options)


def seconds(
    texts: EncodedTexts, run: onnxruntime.InferenceSession, n_at_once: int, budget: int, pad: int
) -> float:
    """Time to run all texts, so many batches at once."""
    names = [i.name for i in run.get_inputs()]

    def one(rows: Any) -> None:
        batch = texts.batch(rows, pad)
        run.run(None, {name: getattr(batch, name) for name in names})

    start = time.perf_counter()
    with ThreadPoolExecutor(n_at_once) as pool:
        list(pool.map(one, plan_batches(texts.lengths, budget).batches))
    return time.perf_counter() - start


def main() -> None:
    """Measure every combination in turns, write medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    cores = usable_cores()
    spec = load_spec(args.model)
    rows = scan(args.texts, TEXTS, columns=("prompt", "response")).collect().sample(args.n, seed=3)
    encoder = PairEncoder((args.model / TOKENIZER).read_text(), spec.pair_template, spec.longest_input())
    texts = encoder.encode(rows["prompt"].to_list(), rows["response"].to_list())
    runs = {n: session(args.model / MODEL, n) for n in (1, cores)}
    cases = [(cores, 1, b) for b in (256, 512, 1024, 2048)] + [(1, cores, b) for b in (512, 2048)]
    found: dict[tuple[int, int, int], list[float]] = {case: [] for case in cases}
    for _ in range(args.repeats):
        for at_once, threads, budget in cases:
            found[at_once, threads, budget].append(
                seconds(texts, runs[threads], at_once, budget, spec.pad_token_id)
            )
    n_tokens = int(texts.lengths.sum())
    results = [
        {
            "batches_at_once": a,
            "threads_a_batch": t,
            "budget": b,
            "tokens_per_s": n_tokens / float(np.median(s)),
            "seconds": s,
        }
        for (a, t, b), s in found.items()
    ]
    document = {
        "machine": machine(),
        "versions": versions(),
        "n_texts": args.n,
        "n_tokens": n_tokens,
        "results": results,
    }
    args.out.write_text(json.dumps(document, indent=2) + "\n")
    print(pl.DataFrame(results).drop("seconds"))


if __name__ == "__main__":
    main()
