"""Throughput of scoring on this machine, beside the limit measured on this machine in the same run.

Every engine gets the same texts, in turns, several times over; medians are reported. The limit is the rate of
a large matrix product in the precision that is used.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.bench.flops import flops
from seal.engine.bench.options import ScoreBenchOptions
from seal.engine.checkpoints.cached import local_model
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.errors import InputError, MissingExtraError
from seal.engine.frames.manifest import machine, versions
from seal.engine.frames.reader import in_order, windows
from seal.engine.pooling import onnx as onnx_backend
from seal.engine.pooling import torch as torch_backend
from seal.engine.pooling.loading import LoadedModel, load_models
from seal.engine.pooling.options import MAX_BATCH_TOKENS, Device
from seal.engine.pooling.runner import Runner, prepare
from seal.engine.progress import Meter, silent
from seal.engine.scoring.scoring import rewards_of

Say = Callable[[str], None]
Rewards = NDArray[np.float32]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Measurement:
    """One way to score the texts.

    Attributes:
        name: which.
        seconds: of every turn.
        median_s: their median.
        texts_per_s, pairs_per_s, tokens_per_s: at the median; real tokens.
        padding: share of computed tokens that are padding.
        gflops: nominal operations a second, in 1e9.
        fraction_of_peak: of the matrix product's rate.
        max_abs_diff: largest difference of a reward from the first engine's.
    """

    name: str
    seconds: list[float]
    median_s: float
    texts_per_s: float
    pairs_per_s: float
    tokens_per_s: float
    padding: float
    gflops: float
    fraction_of_peak: float
    max_abs_diff: float


def gemm_peak(device: str, seconds: float = 1.0) -> dict[str, float]:
    """Rate of square matrix products (CPU: fp32, CUDA: fp16) by every library that is there, in GFLOP/s.

    The best of several products counts: the limit is what the machine can do, not what it did on average.
    Libraries differ by a factor of two on one processor, so every one that is installed is asked.

    Returns:
        Library and side of the matrices -> rate.
    """
    device = "cpu" if device == "cpu" else "cuda"
    sizes = (1024, 2048) if device == "cpu" else (8192,)
    makers = {"torch": torch_backend.matrix_product, "onnxruntime": onnx_backend.matrix_product}
    found = {}
    for n in sizes:
        if device == "cpu":
            found[f"numpy, {n}"] = _best_rate(_numpy_product(n), 2 * n**3, seconds)
        for library, make in makers.items():
            with suppress(MissingExtraError):
                found[f"{library}, {n}"] = _best_rate(make(n, device), 2 * n**3, seconds)
    return found


def _numpy_product(size: int) -> Callable[[], object]:
    a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    return lambda: a @ a


def _best_rate(product: Callable[[], object], n_flops: float, seconds: float) -> float:
    product()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - start)
    return n_flops / best / 1e9


def bench_score(
    texts: str | Path, model: str | Path, options: ScoreBenchOptions | None = None, *,
    reference: str | Path | None = None, say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Measure the engine on real texts, beside the one-text-at-a-time torch loop where there is a checkpoint.

    Args:
        texts: a TEXTS file or folder.
        model: an exported folder.
        options: pairs, turns, device, budgets; the defaults when None.
        reference: the transformers folder it was exported from.
        say: told what is going on.

    Returns:
        A JSON document: machine, versions, lengths, the measured peak, one measurement an engine.

    Raises:
        InputError: there are too few texts.
    """
    options, texts, model = options or ScoreBenchOptions(), Path(texts), local_model(model)
    rows = sample_pairs(texts, options.n_pairs)
    began = time.perf_counter()
    largest = max(options.budgets, default=MAX_BATCH_TOKENS["tensorrt"])
    engine = load_models(
        {"engine": model}, options.device, "onnx", threads=options.threads, max_batch_tokens=largest
    )[0]
    start_up_s = time.perf_counter() - began
    budgets = options.budgets or (MAX_BATCH_TOKENS[engine.device],)
    ways: dict[str, Callable[[], tuple[Rewards, float]]] = {
        f"seal, budget {b}": partial(run_engine, rows, engine, b) for b in budgets
    }
    if reference is not None:
        device: Device = "cuda" if engine.device == "tensorrt" else options.device
        loop = load_models({"torch": local_model(reference)}, device, "torch")[0]
        ways["torch, one text at a time"] = partial(_one_by_one, rows, loop)
    peaks: dict[str, float] = {}
    seconds, results = take_turns(ways, options.repeats, say, lambda: _raise_peaks(peaks, engine.device))
    config = Checkpoint.open(model, weights=False).config
    window = prepare(rows, [engine], budgets[0])
    lengths = window.inputs[0][0].lengths[window.distinct.index]
    work, peak, (expected, _) = flops(config, lengths), max(peaks.values()), next(iter(results.values()))

    def measurement(name: str) -> Measurement:
        (rewards, padding), median_s = results[name], float(np.median(seconds[name]))
        gflops, off = work / median_s / 1e9, float(np.abs(rewards - expected).max())
        texts_per_s, tokens_per_s = len(lengths) / median_s, float(lengths.sum()) / median_s
        return Measurement(
            name, seconds[name], median_s, texts_per_s, texts_per_s / 2, tokens_per_s, padding, gflops,
            gflops / peak, off,
        )  # fmt: skip

    return {
        "machine": machine(), "versions": versions(), "device": engine.device,
        "model": {k: config.get(k) for k in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")},
        "texts": {
            "n": len(lengths), "tokens": int(lengths.sum()), "mean": float(lengths.mean()),
            "median": float(np.median(lengths)), "longest": int(lengths.max()),
        },
        "start_up_s": start_up_s, "nominal_gflop": work / 1e9, "gemm_peak_gflops": peaks,
        "measurements": [asdict(measurement(name)) for name in ways],
    }  # fmt: skip


def take_turns(
    ways: Mapping[str, Callable[[], Result]], repeats: int, say: Say,
    before: Callable[[], None] = lambda: None,
) -> tuple[dict[str, list[float]], dict[str, Result]]:  # fmt: skip
    """Run every way in turn, several times over, and something else before each round.

    Returns:
        Name -> seconds of every turn, and what the last one gave.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, Result] = {}
    for turn in range(repeats):
        before()
        for name, way in ways.items():
            start = time.perf_counter()
            results[name] = way()
            seconds[name].append(time.perf_counter() - start)
            say(f"turn {turn + 1} of {repeats}: {name}: {seconds[name][-1]:.2f} s")
    return seconds, results


def _raise_peaks(peaks: dict[str, float], device: str) -> None:
    for library, rate in gemm_peak(device).items():
        peaks[library] = max(rate, peaks.get(library, 0.0))


def sample_pairs(texts: Path, n_pairs: int) -> pl.DataFrame:
    """Pairs spread evenly over the first of the texts."""
    with tempfile.TemporaryDirectory() as aside:
        first = next(windows(in_order(texts, Path(aside) / "sorted.parquet"), 16_384), None)
    ids = first["row_id"].unique().sort() if first is not None else pl.Series([], dtype=pl.Int64)
    if first is None or len(ids) < n_pairs:
        raise InputError(f"{texts} holds {len(ids)} pairs, fewer than the {n_pairs} to measure with")
    return first.filter(pl.col("row_id").is_in(ids[:: len(ids) // n_pairs][:n_pairs].implode()))


def run_engine(rows: pl.DataFrame, model: LoadedModel, budget: int) -> tuple[Rewards, float]:
    window = prepare(rows, [model], budget)
    with Runner([model], rewards_of([model]), Meter(silent, "bench", None, 0, 1)) as runner:
        rewards = runner.run(window)[0].values
    plan = window.inputs[0][1]
    return rewards[window.distinct.index], 1 - plan.n_tokens / plan.n_slots


def _one_by_one(rows: pl.DataFrame, model: LoadedModel) -> tuple[Rewards, float]:
    rewards = []
    for prompt, response in rows.select("prompt", "response").iter_rows():
        encoded = model.encoder.encode([prompt], [response])
        rewards.append(model.backend.rewards(encoded.batch(np.array([0]), model.pad_token_id)))
    return np.concatenate(rewards), 0.0
