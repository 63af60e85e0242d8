"""Throughput of labeling on this machine: every backend and protocol on the same texts, in turns.

Each turn takes fresh pairs, since a prefix cache would make the same ones nearly free.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from seal.engine.bench.options import LabelBenchOptions
from seal.engine.bench.scoring import Say, sample_pairs
from seal.engine.errors import UsageError
from seal.engine.frames.manifest import machine, versions
from seal.engine.frames.taxonomy import load_taxonomy
from seal.engine.generation.loading import available_backends, is_url, open_generator
from seal.engine.generation.options import GeneratorOptions
from seal.engine.labeling.cross_check import compared
from seal.engine.labeling.model_labeler import ModelLabeler
from seal.engine.progress import Meter, silent

_COUNTS = ("n_requests", "n_retries", "n_prompt_tokens", "n_cached_tokens", "n_generated_tokens")


@dataclass(frozen=True)
class LabelMeasurement:
    """One backend and protocol.

    Attributes:
        backend, protocol: which.
        seconds: of every turn.
        texts_per_s, prompt_tokens_per_s, generated_tokens_per_s: over all turns.
        generated_per_text: tokens of the answers.
        cached: share of prompt tokens that came from the prefix cache.
        n_texts, n_failures: of all turns.
        counts: requests, retries and tokens.
        start_up_s: until the first message could be sent.
    """

    backend: str
    protocol: str
    seconds: list[float]
    texts_per_s: float
    prompt_tokens_per_s: float
    generated_tokens_per_s: float
    generated_per_text: float
    cached: float
    n_texts: int
    n_failures: int
    counts: dict[str, int]
    start_up_s: float


def bench_label(
    texts: str | Path, model: str | Path, options: LabelBenchOptions | None = None, *,
    say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Measure labeling on real texts.

    Args:
        texts: a TEXTS file or folder.
        model: a decoder's folder, or a server's URL.
        options: backends, protocols, taxonomy, pairs and turns; the defaults when None.
        say: told what is going on.

    Returns:
        A JSON document: machine, versions, one measurement a backend and protocol, and how far any two of
        them agree.

    Raises:
        UsageError: a backend for a URL.
        MissingExtraError: no backend is installed.
    """
    options, texts, model = options or LabelBenchOptions(), Path(texts), str(model)
    if options.backends and is_url(model):
        raise UsageError("a backend is for a folder; a URL is always asked through OpenAI's API")
    features = load_taxonomy(options.taxonomy).features
    backends = ("openai",) if is_url(model) else options.backends or available_backends()
    n_turns = options.repeats + 1
    rows = sample_pairs(texts, options.n_pairs * n_turns)
    ids = rows["row_id"].unique(maintain_order=True)
    turns = [rows.filter(pl.col("row_id").is_in(ids[t::n_turns].implode())) for t in range(n_turns)]
    measured, labels = [], {}
    for backend in backends:
        began = time.perf_counter()
        generator = open_generator(model, GeneratorOptions(backend=backend))
        start_up_s = time.perf_counter() - began
        for protocol in options.protocols:
            labeler = ModelLabeler(backend, generator, features, protocol)
            found, labeled = _measure(labeler, turns, start_up_s, say)
            measured.append(found)
            labels[f"{backend}, {protocol}"] = labeled
    return {
        "machine": machine(), "versions": versions(), "model": model, "n_features": len(features),
        "n_pairs_a_turn": options.n_pairs, "measurements": [asdict(m) for m in measured],
        "agreement": _agreements(labels, [f.name for f in features]),
    }  # fmt: skip


def _measure(
    labeler: ModelLabeler, turns: Sequence[pl.DataFrame], start_up_s: float, say: Say
) -> tuple[LabelMeasurement, pl.DataFrame]:
    """Time each turn but the first; the labels of all of these."""
    backend, protocol = str(labeler.identity["backend"]), labeler.protocol.name
    meter = Meter(silent, "bench", None, 0, 1)
    labeler.label(turns[0], meter)
    meter.lap()
    seconds, rows, n_failures = [], [], 0
    for turn, texts in enumerate(turns[1:], 1):
        start = time.perf_counter()
        labeled = labeler.label(texts, meter)
        seconds.append(time.perf_counter() - start)
        rows.append(labeled.rows)
        n_failures += labeled.failures.height
        say(f"{backend}, {protocol}: turn {turn} of {len(turns) - 1}: {seconds[-1]:.2f} s")
    lap = meter.lap()
    counts = {name: int(lap[name]) for name in _COUNTS}
    n_texts, total = sum(t.height for t in turns[1:]), float(np.sum(seconds))
    n_prompt, n_generated = counts["n_prompt_tokens"], counts["n_generated_tokens"]
    measured = LabelMeasurement(
        backend, protocol, seconds, n_texts / total, n_prompt / total, n_generated / total,
        n_generated / n_texts, counts["n_cached_tokens"] / max(1, n_prompt), n_texts, n_failures, counts,
        start_up_s,
    )  # fmt: skip
    return measured, pl.concat(rows)


def same_values(a: pl.DataFrame, b: pl.DataFrame, features: Sequence[str]) -> dict[str, float]:
    """Share of equal values by feature, over the texts that both label; lists are compared as sets.

    Args:
        a, b: LABELS of one labeler each.
        features: columns that both have.
    """
    return {name: found.agreement for name, found in compared(a, b, features).items()}


def _agreements(labels: dict[str, pl.DataFrame], features: Sequence[str]) -> dict[str, float]:
    """Share of equal values between any two, over all features."""
    pairs = {f"{a} with {b}": (labels[a], labels[b]) for a, b in combinations(labels, 2)}
    shares = {names: same_values(*two, features) for names, two in pairs.items()}
    return {names: sum(found.values()) / len(found) for names, found in shares.items() if found}
