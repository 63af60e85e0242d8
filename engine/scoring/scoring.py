"""Texts -> rewards: read, tokenize, batch, run, write, all at the same time.

A window of whole pairs is the unit of everything: it is read and tokenized while the one before it is run and
the one before that is written, and it becomes one part. What is batched together never crosses a window, so a
part depends on its own rows alone, and a run that was killed ends in the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.background import Behind, ahead
from seal.engine.frames.manifest import Manifest, content_hash
from seal.engine.frames.reader import count_texts, in_order, keep_apart, windows
from seal.engine.frames.schema import FAILURES, SCORES, TEXT_KEY, TEXTS, scan
from seal.engine.frames.sink import Sink
from seal.engine.pooling.contract import Compute
from seal.engine.pooling.loading import BackendName, Device, LoadedModel, load_models
from seal.engine.pooling.runner import MAX_BATCH_TOKENS, PART_ROWS, Outcome, Runner, Window, prepare
from seal.engine.progress import Listener, Meter, silent


@dataclass(frozen=True)
class ScoreOptions:
    """How to score.

    Attributes:
        device: where to run; `auto` takes a GPU where onnxruntime offers one.
        backend: `onnx` for exported folders, `torch` for transformers folders (the reference).
        max_batch_tokens: longest text x texts of a batch, at most; None takes the device's default.
        max_tokens: longest input; the prompt of a longer text is cut from the left.
        part_rows: pairs in a part: the unit of resuming, sorting and deduplication; 2,048 where None.
        limit: only the first pairs.
        threads: batches at once on a CPU; does not change a reward.
    """

    device: Device = "auto"
    backend: BackendName = "onnx"
    max_batch_tokens: int | None = None
    max_tokens: int | None = None
    part_rows: int | None = None
    limit: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_batch_tokens", "max_tokens", "part_rows", "limit", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")


@dataclass(frozen=True)
class ScoreReport:
    """What a run did, earlier starts of it included.

    Attributes:
        n_texts: texts read.
        n_rows: rows written, one per text and model.
        n_failures: texts x models that failed.
        n_tokens: real tokens computed (an identical text in a part counts once).
        n_slots: tokens computed with padding.
        n_halved: batches that had to be halved for want of memory.
        elapsed_s: seconds of work in all.
    """

    n_texts: int
    n_rows: int
    n_failures: int
    n_tokens: int
    n_slots: int
    n_halved: int
    elapsed_s: float

    @property
    def failed_share(self) -> float:
        """Failures over rows asked for."""
        return self.n_failures / max(1, self.n_rows + self.n_failures)


def score(
    texts: Path,
    models: Mapping[str, Path],
    out: Path,
    options: ScoreOptions | None = None,
    *,
    overwrite: bool = False,
    listen: Listener = silent,
) -> ScoreReport:
    """Score every text with every model into a SCORES folder; go on where an earlier run was killed.

    Args:
        texts: a TEXTS Parquet file or folder.
        models: name -> folder.
        out: the folder to write.
        options: how.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress, batch by batch.

    Raises:
        SealError: one of its children, for whatever the user can mend.
    """
    options = options or ScoreOptions()
    keep_apart(texts, out)
    scan(texts, TEXTS, columns=("prompt", "response"))  # before a folder is made for what cannot be scored
    n_texts = count_texts(texts)
    largest = options.max_batch_tokens or MAX_BATCH_TOKENS["tensorrt"]
    loaded = load_models(
        models, options.device, options.backend, options.max_tokens, options.threads, largest
    )
    budget = options.max_batch_tokens or MAX_BATCH_TOKENS[loaded[0].device]
    part_rows = options.part_rows or PART_ROWS
    identity = {"max_batch_tokens": budget, "part_rows": part_rows, "limit": options.limit}
    with Sink(out, _manifest(texts, loaded, identity), overwrite=overwrite) as sink:
        if not sink.finished:
            aside = out / ".sorted.tmp"
            limit = None if options.limit is None else options.limit - int(sink.total("n_pairs"))
            todo = windows(in_order(texts, aside), part_rows, after=sink.last_row_id, limit=limit)
            n_total = n_texts if limit is None else None
            meter = Meter(listen, "score", n_total, int(sink.total("n_texts")), len(loaded))
            with Runner(loaded, rewards_of(loaded), meter) as runner, Behind() as writer:
                for window in ahead(prepare(rows, loaded, budget) for rows in todo):
                    outcomes = runner.run(window)
                    writer.submit(_commit, sink, window, loaded, outcomes, meter.lap())
            aside.unlink(missing_ok=True)
        report = _report(sink)
        sink.finish(**asdict(report))
    return report


def rewards_of(models: Sequence[LoadedModel]) -> list[tuple[Compute, tuple[int, ...]]]:
    """What the runner calls of each model: its rewards, one number a text."""
    return [(model.backend.rewards, ()) for model in models]


def _commit(
    sink: Sink,
    window: Window,
    models: Sequence[LoadedModel],
    outcomes: Sequence[Outcome],
    counters: Mapping[str, float],
) -> None:
    frames, failures = [], []
    for model, outcome, (texts, _) in zip(models, outcomes, window.inputs, strict=True):
        index = window.distinct.index
        scored = window.rows.select(
            *TEXT_KEY,
            model=pl.lit(model.name),
            reward=pl.Series(outcome.values[index], dtype=pl.Float32),
            n_tokens=pl.Series(texts.lengths[index], dtype=pl.Int32),
            truncated=pl.Series(texts.truncated[index], dtype=pl.Boolean),
        )
        lost = ~scored["reward"].is_finite()
        too_large = pl.Series(np.isin(index, list(outcome.too_large)), dtype=pl.Boolean)
        frames.append(scored.filter(~lost))
        failures.append(
            _failed(scored.filter(lost & too_large), model, "out_of_memory", "does not fit alone")
        )
        failures.append(
            _failed(scored.filter(lost & ~too_large), model, "not_finite", "the reward is no number")
        )
        failures.append(_failed(window.unusable, model, "missing_text", "prompt or response is null"))
    sink.commit(
        pl.concat(frames).sort(SCORES.key),
        pl.concat(failures).sort("row_id", "preference", "variant", "detail"),
        last_row_id=window.last_row_id,
        counters={
            **counters,
            "n_pairs": window.n_pairs,
            "n_texts": window.rows.height + window.unusable.height,
        },
    )


def _failed(rows: pl.DataFrame, model: LoadedModel, error: str, detail: str) -> pl.DataFrame:
    return rows.select(
        *TEXT_KEY, stage=pl.lit("score"), error=pl.lit(error), detail=pl.lit(f"model {model.name}: {detail}")
    ).select(*FAILURES.types)


def _manifest(texts: Path, models: Sequence[LoadedModel], options: Mapping[str, Any]) -> Manifest:
    return Manifest(
        stage="score",
        options=options,
        inputs={"texts": content_hash(texts)},
        models={model.name: model.identity for model in models},
    )


def _report(sink: Sink) -> ScoreReport:
    total = sink.total
    return ScoreReport(
        n_texts=int(total("n_texts")),
        n_rows=sink.n_rows,
        n_failures=sink.n_failures,
        n_tokens=int(total("n_tokens")),
        n_slots=int(total("n_slots")),
        n_halved=int(total("n_halved")),
        elapsed_s=total("elapsed_s"),
    )
