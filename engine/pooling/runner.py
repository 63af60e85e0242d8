"""Texts through models: tokenize and batch a window, run its batches, halve what does not fit into memory.

What a model gives a text (a reward, an embedding) makes no difference here: a window is prepared and run in
the same way, and the stage says which function of the backend is called.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.frames.stage import StageReport
from seal.engine.pooling.batching import Plan, plan_batches, plan_buckets
from seal.engine.pooling.contract import Compute, OutOfMemoryError
from seal.engine.pooling.loading import Loaded
from seal.engine.pooling.tokenizing import Deduplicated, EncodedTexts
from seal.engine.progress import Meter


@dataclass(frozen=True)
class ComputeReport(StageReport):
    """What a stage that runs models over texts did, earlier starts of it included.

    Attributes:
        n_tokens: real tokens computed (an identical text in a part counts once).
        n_slots: tokens computed with padding.
        n_halved: batches that had to be halved for want of memory.
    """

    n_tokens: int = 0
    n_slots: int = 0
    n_halved: int = 0


@dataclass(frozen=True)
class Window:
    """Texts of whole pairs, ready to run.

    Attributes:
        rows: key, prompt, response of the texts that can be run, n of them, in the order they were given.
        unusable: those that cannot (no text).
        distinct: which of the n texts are the same.
        inputs: for each model, the tokens of the distinct texts and their batches.
    """

    rows: pl.DataFrame
    unusable: pl.DataFrame
    distinct: Deduplicated
    inputs: list[tuple[EncodedTexts, Plan]]


@dataclass(frozen=True)
class ModelOutput:
    """What one model gives the distinct texts of a window.

    Attributes:
        values: float32, shape (m,) for rewards, (m, d) for embeddings; NaN where there is none.
        too_large: positions of texts that did not fit into memory even alone.
    """

    values: NDArray[np.float32]
    too_large: set[int]


def prepare(rows: pl.DataFrame, models: Sequence[Loaded[Any]], budget: int) -> Window:
    """Tokenize and batch a window: identical texts once, models of the same encoder once."""
    usable = rows["prompt"].is_not_null() & rows["response"].is_not_null()
    good = rows.filter(usable)
    prompts, responses = good["prompt"].to_list(), good["response"].to_list()
    distinct = Deduplicated.of(prompts, responses)
    prompts, responses = [prompts[i] for i in distinct.first], [responses[i] for i in distinct.first]
    inputs: dict[int, tuple[EncodedTexts, Plan]] = {}
    for encoder, edges in {id(m.encoder): (m.encoder, m.edges) for m in models}.values():
        texts = encoder.encode(prompts, responses)
        n = texts.lengths
        inputs[id(encoder)] = texts, plan_buckets(n, budget, edges) if edges else plan_batches(n, budget)
    return Window(good, rows.filter(~usable), distinct, [inputs[id(m.encoder)] for m in models])


class Runner:
    """Runs windows through models, as many batches at once as each backend allows.

    Args:
        models: the models.
        computes: for each model, what of its backend is called, and the shape of what a text gets: () or
            (d,).
        meter: counts what is done.
    """

    def __init__(
        self, models: Sequence[Loaded[Any]], computes: Sequence[tuple[Compute, tuple[int, ...]]], meter: Meter
    ) -> None:
        self._models, self._computes, self._meter = models, computes, meter
        self._pool = ThreadPoolExecutor(max(m.backend.concurrency for m in models))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, window: Window) -> list[ModelOutput]:
        """What the models give the texts of a window, one outcome a model."""
        work, copies = zip(self._models, self._computes, window.inputs, strict=True), window.distinct.copies
        return [self._run(model, *compute, *inputs, copies) for model, compute, inputs in work]

    def _run(
        self, model: Loaded[Any], compute: Compute, shape: tuple[int, ...], texts: EncodedTexts, plan: Plan,
        copies: NDArray[np.intp],
    ) -> ModelOutput:  # fmt: skip
        outcome = ModelOutput(np.full((len(texts.lengths), *shape), np.nan, np.float32), set())

        def run_batch(rows: NDArray[np.intp]) -> None:
            try:
                batch = texts.batch(rows, model.pad_token_id)
                outcome.values[rows] = compute(batch)
                n_texts = int(copies[rows].sum())
                self._meter.batch(n_texts, int(texts.lengths[rows].sum()), batch.width * len(rows))
            except (OutOfMemoryError, MemoryError):
                if len(rows) == 1:
                    outcome.too_large.add(int(rows[0]))
                    return
                self._meter.count(n_halved=1)
                run_batch(rows[: len(rows) // 2])
                run_batch(rows[len(rows) // 2 :])

        if model.backend.concurrency == 1:
            for rows in plan.batches:
                run_batch(rows)
        else:
            for done in [self._pool.submit(run_batch, rows) for rows in plan.batches]:
                done.result()
        return outcome
