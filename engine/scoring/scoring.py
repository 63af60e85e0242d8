"""Texts -> rewards: windows are tokenized, batched and run through every model (loop: `frames/stage.py`)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from seal.engine.checkpoints.named import Models, named_paths
from seal.engine.frames.folder import content_hash
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.reader import count_texts, keep_apart
from seal.engine.frames.schema import SCORES, TEXT_KEY, TEXTS, scan
from seal.engine.frames.stage import Part, Remaining, Stage, failures, run_stage
from seal.engine.pooling.contract import Compute
from seal.engine.pooling.loading import LoadedModel, load_models
from seal.engine.pooling.options import MAX_BATCH_TOKENS, PART_PAIRS
from seal.engine.pooling.runner import ComputeReport, ModelOutput, Runner, Window, prepare
from seal.engine.progress import Listener, Meter, listener
from seal.engine.scoring.options import ScoreOptions

STAGE = "score"


@dataclass(frozen=True)
class ScoreReport(ComputeReport):
    """What a run did, earlier starts of it included: rows are texts x models."""


def score(
    texts: str | Path, models: Models, out: str | Path, options: ScoreOptions | None = None, *,
    overwrite: bool = False, listen: Listener | None = None,
) -> ScoreReport:  # fmt: skip
    """Score every text with every model into a SCORES folder; go on where an earlier run was killed.

    Args:
        texts: a TEXTS Parquet file or folder.
        models: name -> MODEL, or `[NAME=]MODEL`, one or several: an exported folder, or
            `org/name[@revision]` in the local Hugging Face cache.
        out: the folder to write.
        options: device, batches, lengths; the defaults when None.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress, batch by batch; by default a bar in a notebook, else nothing.

    Raises:
        InputError: texts or a model are not what they must be.
        ResumeError: `out` was made by something else, or another process writes it.
        UsageError: names or options that do not go together.
        SealError: `out` cannot be written.
    """
    options, texts, out = options or ScoreOptions(), Path(texts), Path(out)
    keep_apart(texts, out)
    scan(texts, TEXTS, columns=("prompt", "response"))  # before a folder is made for what cannot be scored
    n_texts = count_texts(texts)
    largest = options.max_batch_tokens or MAX_BATCH_TOKENS["tensorrt"]
    loaded = load_models(
        named_paths(models), options.device, options.backend, options.max_tokens, options.threads, largest
    )
    budget = options.max_batch_tokens or MAX_BATCH_TOKENS[loaded[0].device]
    part_pairs = options.part_pairs or PART_PAIRS
    manifest = Manifest(
        STAGE, {"max_batch_tokens": budget, "part_pairs": part_pairs, "limit": options.limit},
        {"texts": content_hash(texts)}, {model.name: model.identity for model in loaded},
    )  # fmt: skip

    def windows(remaining: Remaining) -> Iterator[tuple[pl.DataFrame, Window]]:
        return ((rows, prepare(rows, loaded, budget)) for rows in remaining.windows(texts, part_pairs))

    @contextmanager
    def work(meter: Meter) -> Iterator[Callable[[Window], list[ModelOutput]]]:
        with Runner(loaded, rewards_of(loaded), meter) as runner:
            yield runner.run

    stage = Stage(
        manifest, windows, work, partial(_part, loaded), options.limit,
        n_total=n_texts if options.limit is None else None, passes=len(loaded),
    )  # fmt: skip
    return run_stage(stage, out, ScoreReport, overwrite=overwrite, listen=listener(listen))


def rewards_of(models: Sequence[LoadedModel]) -> list[tuple[Compute, tuple[int, ...]]]:
    """What the runner calls of each model: its rewards, one number a text."""
    return [(model.backend.rewards, ()) for model in models]


def _part(models: Sequence[LoadedModel], window: Window, outputs: Sequence[ModelOutput]) -> Part:
    frames, failed = [], []
    for model, output, (texts, _) in zip(models, outputs, window.inputs, strict=True):
        index = window.distinct.index
        scored = window.rows.select(
            *TEXT_KEY,
            model=pl.lit(model.name),
            reward=pl.Series(output.values[index], dtype=pl.Float32),
            n_tokens=pl.Series(texts.lengths[index], dtype=pl.Int32),
            truncated=pl.Series(texts.truncated[index], dtype=pl.Boolean),
        )
        lost = ~scored["reward"].is_finite()
        too_large = pl.Series(np.isin(index, list(output.too_large)), dtype=pl.Boolean)
        frames.append(scored.filter(~lost))
        failed += [
            failures(rows, STAGE, error, f"model {model.name}: {detail}")
            for rows, error, detail in (
                (scored.filter(lost & too_large), "out_of_memory", "does not fit alone"),
                (scored.filter(lost & ~too_large), "not_finite", "the reward is no number"),
                (window.unusable, "missing_text", "prompt or response is null"),
            )
        ]
    return Part(pl.concat(frames).sort(SCORES.key), pl.concat(failed))
