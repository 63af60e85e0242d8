"""Rewritten texts -> how near they are to their originals: the cosine of two embeddings.

The rewritten texts set the pace: a window of them is joined on (row_id, preference) with the originals, which
are read beside it, and both are embedded as scoring runs rewards (`running.py`): tokenized, identical texts
once, batched by length, several batches at once. A window becomes one part and depends on its own rows alone,
so a run that was killed ends in the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.checkpoints.named import Models, named_paths
from seal.engine.errors import InputError
from seal.engine.frames import schema
from seal.engine.frames.folder import content_hash
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.reader import beside, count_texts, keep_apart
from seal.engine.frames.schema import ORIGINAL, REWRITTEN, SIMILARITIES, TEXT_KEY, TEXTS, scan
from seal.engine.frames.stage import Part, Remaining, Stage, failures, run_stage
from seal.engine.pooling.loading import LoadedEmbedder, load_embedders
from seal.engine.pooling.options import MAX_BATCH_TOKENS
from seal.engine.pooling.runner import ComputeReport, ModelOutput, Runner, Window, prepare
from seal.engine.progress import Listener, Meter, listener
from seal.engine.scoring.options import SimilarityOptions

STAGE = "similarity"
_KEY = ["row_id", "preference"]


@dataclass(frozen=True)
class SimilarityReport(ComputeReport):
    """What a run did, earlier starts of it included: rows are rewritten texts x embedders.

    Attributes:
        n_low: failures whose cosine is below `min_cosine`.
        n_truncated: texts x embedders, originals and rewritten, that were cut at the longest input.
    """

    n_low: int = 0
    n_truncated: int = 0


def similarity(
    texts: str | Path, rewritten: str | Path, embedders: Models, out: str | Path,
    options: SimilarityOptions | None = None, *, overwrite: bool = False, listen: Listener | None = None,
) -> SimilarityReport:  # fmt: skip
    """Compare rewritten texts with their originals into a SIMILARITIES folder; go on where a run was killed.

    A text is its prompt and response joined, as scoring joins a dialogue. A rewritten text whose original is
    missing is a failure row; an original that nobody rewrote is left out.

    Args:
        texts: a TEXTS Parquet file or folder; its rows of variant `original` are read.
        rewritten: the same of the rewritten texts; its rows of the variant that `options` name are read.
        embedders: name -> MODEL, or `[NAME=]MODEL`: what `seal export` made of a sentence-transformers
            folder, or `org/name[@revision]` of such in the local Hugging Face cache.
        out: the folder to write.
        options: device, batches, lengths, the lowest cosine; the defaults when None.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress, batch by batch; by default a bar in a notebook, else nothing.

    Raises:
        InputError: texts or an embedder are not what they must be.
        ResumeError: `out` was made by something else, or another process writes it.
        UsageError: names or options that do not go together.
        SealError: `out` cannot be written.
    """
    options, texts, rewritten, out = options or SimilarityOptions(), Path(texts), Path(rewritten), Path(out)
    for path, variant in ((texts, ORIGINAL), (rewritten, options.variant)):
        keep_apart(path, out)
        _check_variant(path, variant)  # before a folder is made for what cannot be compared
    loaded = load_embedders(named_paths(embedders), options.device, options.max_tokens, options.threads)
    budget = options.max_batch_tokens or MAX_BATCH_TOKENS[loaded[0].device]
    own = {name: getattr(options, name) for name in ("part_pairs", "limit", "min_cosine")}
    own |= {} if options.variant == REWRITTEN else {"variant": options.variant}  # as before there were others
    manifest = Manifest(
        STAGE, {"max_batch_tokens": budget, **own},
        {"texts": content_hash(texts), "rewritten": content_hash(rewritten)},
        {embedder.name: embedder.identity for embedder in loaded},
    )  # fmt: skip

    def windows(remaining: Remaining) -> Iterator[tuple[pl.DataFrame, _Pairs]]:
        wanted = remaining.windows(rewritten, options.part_pairs, variant=options.variant)
        originals = remaining.chunks(texts, variant=ORIGINAL)
        return ((new, _pair(new, old, loaded, budget)) for new, old in beside(wanted, originals))

    @contextmanager
    def work(meter: Meter) -> Iterator[Callable[[_Pairs], list[ModelOutput]]]:
        computes = [(m.backend.embeddings, (m.backend.n_dimensions,)) for m in loaded]
        with Runner(loaded, computes, meter) as runner:
            yield lambda pairs: runner.run(pairs.window)

    stage = Stage(
        manifest, windows, work, partial(_part, loaded, options), options.limit, options.shard,
        n_total=count_texts(rewritten) if options.limit is None else None, passes=2 * len(loaded),
    )  # fmt: skip
    return run_stage(stage, out, SimilarityReport, overwrite=overwrite, listen=listener(listen))


@dataclass(frozen=True)
class _Pairs:
    """Rewritten texts without an original, and the window of the others and their originals."""

    without: pl.DataFrame
    window: Window


def _pair(
    wanted: pl.DataFrame, originals: pl.DataFrame, embedders: Sequence[LoadedEmbedder], budget: int
) -> _Pairs:
    both = wanted.join(originals, on=_KEY, how="semi"), originals.join(wanted, on=_KEY, how="semi")
    window = prepare(pl.concat(both).sort(TEXT_KEY), embedders, budget)
    return _Pairs(wanted.join(originals, on=_KEY, how="anti"), window)


def cosines(
    vectors: NDArray[np.float32], left: NDArray[np.integer], right: NDArray[np.integer]
) -> NDArray[np.float32]:
    """The cosine of pairs of vectors, summed in float64; NaN where a vector is 0 or no number.

    Args:
        vectors: shape (m, d).
        left, right: which of them, shape (n,) each.

    Returns:
        Shape (n,), from -1 to 1.
    """
    a, b = vectors[left], vectors[right]
    product, aa, bb = (np.einsum("nd,nd->n", x, y, dtype=np.float64) for x, y in ((a, b), (a, a), (b, b)))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = product / np.sqrt(aa * bb)
    clipped: NDArray[np.float64] = np.clip(found, -1, 1)
    return clipped.astype(np.float32)


def _part(
    embedders: Sequence[LoadedEmbedder], options: SimilarityOptions, pairs: _Pairs,
    outputs: Sequence[ModelOutput],
) -> Part:  # fmt: skip
    work = zip(embedders, outputs, strict=True)
    results = [_result(pairs, embedder, output, options) for embedder, output in work]
    rows, failed = (pl.concat(frames) for frames in zip(*results, strict=True))
    window = pairs.window
    counters = {
        "n_low": failed.filter(error="low_cosine").height,
        "n_truncated": sum(int(t.truncated[window.distinct.index].sum()) for t, _ in window.inputs),
    }
    return Part(rows.sort(SIMILARITIES.key), failed, counters)


def _result(
    pairs: _Pairs, embedder: LoadedEmbedder, output: ModelOutput, options: SimilarityOptions
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """SIMILARITIES and FAILURES of one embedder: every rewritten text is in one of them."""
    compared, min_cosine = _compared(pairs.window, embedder, output), options.min_cosine
    finite, too_large = pl.col("cosine").is_finite(), pl.col("too_large")
    is_low = pl.lit(False) if min_cosine is None else pl.col("cosine") < min_cosine
    below = pl.format("cosine {} is below {}", pl.col("cosine").cast(pl.Float64).round(6), pl.lit(min_cosine))
    unusable = pairs.window.unusable.select(_KEY).unique()
    failed = [
        _failed(rows.with_columns(variant=pl.lit(options.variant)), embedder, error, detail)
        for rows, error, detail in (
            (pairs.without, "no_original", pl.lit("no original text of this row_id and preference")),
            (unusable, "missing_text", pl.lit("prompt or response is null, here or in the original")),
            (compared.filter(~finite & too_large), "out_of_memory", pl.lit("does not fit alone")),
            (compared.filter(~finite & ~too_large), "not_finite", pl.lit("an embedding is 0 or no number")),
            (compared.filter(finite & is_low), "low_cosine", below),
        )
    ]
    return compared.filter(finite & ~is_low).select(*SIMILARITIES.types), pl.concat(failed)


def _compared(window: Window, embedder: LoadedEmbedder, output: ModelOutput) -> pl.DataFrame:
    """SIMILARITIES of one embedder, with `too_large` beside: whether one of the two texts did not fit."""
    places = window.rows.select(*TEXT_KEY, place=pl.Series(window.distinct.index, dtype=pl.Int64))
    is_old = pl.col("variant") == ORIGINAL
    old, new = (places.filter(of).drop("variant") for of in (is_old, ~is_old))
    both = new.join(old, on=_KEY, how="inner", suffix="_original", maintain_order="left")
    left, right = both["place_original"].to_numpy(), both["place"].to_numpy()
    too_large = np.isin(left, list(output.too_large)) | np.isin(right, list(output.too_large))
    return both.select(
        *_KEY,
        embedder=pl.lit(embedder.name),
        cosine=pl.Series(cosines(output.values, left, right), dtype=pl.Float32),
        too_large=pl.Series(too_large, dtype=pl.Boolean),
    )


def _failed(rows: pl.DataFrame, embedder: LoadedEmbedder, error: str, detail: pl.Expr) -> pl.DataFrame:
    return failures(rows, STAGE, error, pl.format("embedder {}: {}", pl.lit(embedder.name), detail))


def _check_variant(path: Path, variant: str) -> None:
    """Refuse what is no TEXTS frame, and one that has rows but none of the variant wanted."""
    rows = scan(path, TEXTS, columns=("prompt", "response"))
    with schema.readable(path):
        found = rows.select(pl.col("variant").unique()).collect(engine="streaming")["variant"]
    if len(found) and variant not in found:
        raise InputError(
            f"{path} holds no text of variant '{variant}'; the originals come first, the rewritten texts "
            f"second; there are: {', '.join(sorted(found.drop_nulls()))}"
        )
