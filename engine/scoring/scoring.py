"""Texts -> rewards: windows are tokenized, batched and run through every model (loop: `frames/stage.py`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.checkpoints.heads import Weights, parse_weights
from seal.engine.checkpoints.named import Models, named_paths
from seal.engine.errors import UsageError, nearest
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
    """What a run did, earlier starts of it included: rows are texts x models.

    Attributes:
        models: names of the models in the SCORES frame; several of one network that has several heads.
        notes: which logit or logits of a network are its rewards, where it has more than one.
    """

    models: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Scorer:
    """A network, and the rewards that are made of its logits.

    Attributes:
        model: the network, run once.
        rewards: name in the SCORES frame -> a weight for each logit.
    """

    model: LoadedModel
    rewards: Mapping[str, Weights]

    @property
    def identities(self) -> dict[str, Any]:
        """For the manifest: what each reward is made of."""
        of = self.model
        return {name: {**of.identity, **of.heads.facts(weights)} for name, weights in self.rewards.items()}


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
    scorers, notes = _scorers(loaded, parse_weights(options.head))
    manifest = Manifest(
        STAGE, {"max_batch_tokens": budget, "part_pairs": part_pairs, "limit": options.limit},
        {"texts": content_hash(texts)},
        {name: facts for scorer in scorers for name, facts in scorer.identities.items()},
    )  # fmt: skip

    def windows(remaining: Remaining) -> Iterator[tuple[pl.DataFrame, Window]]:
        return ((rows, prepare(rows, loaded, budget)) for rows in remaining.windows(texts, part_pairs))

    @contextmanager
    def work(meter: Meter) -> Iterator[Callable[[Window], list[ModelOutput]]]:
        with Runner(loaded, rewards_of(loaded), meter) as runner:
            yield runner.run

    stage = Stage(
        manifest, windows, work, partial(_part, scorers), options.limit, options.shard,
        n_total=n_texts if options.limit is None else None, passes=len(loaded),
    )  # fmt: skip
    done = run_stage(stage, out, ComputeReport, overwrite=overwrite, listen=listener(listen))
    return ScoreReport(**vars(done), models=tuple(manifest.models), notes=notes)


def _scorers(
    models: Sequence[LoadedModel], stated: Mapping[str, Weights]
) -> tuple[list[_Scorer], tuple[str, ...]]:
    """What each network's logits are made into, and what its user should know of that.

    Raises:
        UsageError: weights for no model here, or not one a logit; two rewards of one name.
        InputError: heads that cannot be told apart by name.
    """
    for name in stated:
        if name not in (names := [model.name for model in models]):
            raise UsageError(f"head {name}=...: no model here is called so; {nearest(name, names)}")
    found = [_Scorer(m, m.heads.rewards(m.name, stated.get(m.name))) for m in models]
    names = [name for scorer in found for name in scorer.rewards]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two models would be called {twice[0]!r} in the scores; write NAME=MODEL")
    notes = [m.heads.note(m.name, stated.get(m.name)) for m in models]
    return found, tuple(note for note in notes if note)


def rewards_of(models: Sequence[LoadedModel]) -> list[tuple[Compute, tuple[int, ...]]]:
    """What the runner calls of each model: its logits, one number a text or one a head."""
    sizes = [len(model.heads.names) for model in models]
    return [(m.backend.rewards, () if n == 1 else (n,)) for m, n in zip(models, sizes, strict=True)]


def weigh(logits: NDArray[np.float32], weights: Weights) -> NDArray[np.float32]:
    """Rewards of logits of shape (n,) or (n, h), summed in float64: shape (n,).

    A logit of weight 0 is not read, so that one which is no number spoils no other head.
    """
    columns = logits.reshape(len(logits), len(weights))
    used = [i for i, weight in enumerate(weights) if weight]
    with np.errstate(over="ignore", invalid="ignore"):
        rewards = columns[:, used].astype(np.float64) @ np.array([weights[i] for i in used])
        return np.asarray(rewards, np.float32)


def _part(scorers: Sequence[_Scorer], window: Window, outputs: Sequence[ModelOutput]) -> Part:
    frames, failed = [], []
    for scorer, output, (texts, _) in zip(scorers, outputs, window.inputs, strict=True):
        index = window.distinct.index
        too_large = pl.Series(np.isin(index, list(output.too_large)), dtype=pl.Boolean)
        for name, weights in scorer.rewards.items():
            scored = window.rows.select(
                *TEXT_KEY,
                model=pl.lit(name),
                reward=pl.Series(weigh(output.values, weights)[index], dtype=pl.Float32),
                n_tokens=pl.Series(texts.lengths[index], dtype=pl.Int32),
                truncated=pl.Series(texts.truncated[index], dtype=pl.Boolean),
            )
            lost = ~scored["reward"].is_finite()
            frames.append(scored.filter(~lost))
            failed += [
                failures(rows, STAGE, error, f"model {name}: {detail}")
                for rows, error, detail in (
                    (scored.filter(lost & too_large), "out_of_memory", "does not fit alone"),
                    (scored.filter(lost & ~too_large), "not_finite", "the reward is no number"),
                    (window.unusable, "missing_text", "prompt or response is null"),
                )
            ]
    return Part(pl.concat(frames).sort(SCORES.key), pl.concat(failed))
