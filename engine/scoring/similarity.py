"""Rewritten texts -> how near they are to their originals: the cosine of two embeddings.

The rewritten texts set the pace: a window of them is joined on (row_id, preference) with the originals, which
are read beside it, and both are embedded as scoring runs rewards (`running.py`): tokenized, identical texts
once, batched by length, several batches at once. A window becomes one part and depends on its own rows alone,
so a run that was killed ends in the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.background import Behind, ahead
from seal.engine.frames.manifest import Manifest, content_hash
from seal.engine.frames.reader import beside, chunks, count_texts, in_order, keep_apart, windows
from seal.engine.frames.schema import (
    FAILURES,
    ORIGINAL,
    REWRITTEN,
    SIMILARITIES,
    TEXT_KEY,
    TEXTS,
    VARIANT,
    readable,
    scan,
)
from seal.engine.frames.sink import Sink
from seal.engine.pooling.loading import Device, LoadedEmbedder, load_embedders
from seal.engine.pooling.runner import MAX_BATCH_TOKENS, Outcome, Runner, Window, prepare
from seal.engine.progress import Listener, Meter, silent

STAGE = "similarity"
_KEY = ["row_id", "preference"]


@dataclass(frozen=True)
class SimilarityOptions:
    """How to compare.

    Attributes:
        device: where to run; `auto` takes a GPU where onnxruntime offers one.
        max_batch_tokens: longest text x texts of a batch, at most; None takes the device's default.
        max_tokens: longest input; a longer text is cut on the right. None takes the embedder's own setting
            (`max_seq_length`); a larger number is allowed as far as its positions reach.
        min_cosine: a lower cosine is a failure row; None keeps all.
        part_rows: pairs in a part: the unit of resuming, sorting and deduplication.
        limit: only the first rewritten pairs.
        threads: batches at once on a CPU; does not change a cosine.
    """

    device: Device = "auto"
    max_batch_tokens: int | None = None
    max_tokens: int | None = None
    min_cosine: float | None = None
    part_rows: int = 2048
    limit: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_batch_tokens", "max_tokens", "part_rows", "limit", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")
        if self.min_cosine is not None and not -1 <= self.min_cosine <= 1:
            raise UsageError(f"min_cosine must be from -1 to 1, not {self.min_cosine}")


@dataclass(frozen=True)
class SimilarityReport:
    """What a run did, earlier starts of it included.

    Attributes:
        n_texts: rewritten texts read.
        n_rows: cosines written, one per rewritten text and embedder.
        n_failures: rewritten texts x embedders that failed, those below `min_cosine` included.
        n_low: of these, those below `min_cosine`.
        n_truncated: texts x embedders, originals and rewritten, that were cut at the longest input.
        n_tokens: real tokens computed (an identical text in a part counts once).
        n_slots: tokens computed with padding.
        n_halved: batches that had to be halved for want of memory.
        elapsed_s: seconds of work in all.
    """

    n_texts: int
    n_rows: int
    n_failures: int
    n_low: int
    n_truncated: int
    n_tokens: int
    n_slots: int
    n_halved: int
    elapsed_s: float

    @property
    def failed_share(self) -> float:
        """Failures over rows asked for."""
        return self.n_failures / max(1, self.n_rows + self.n_failures)


def similarity(
    texts: Path,
    rewritten: Path,
    embedders: Mapping[str, Path],
    out: Path,
    options: SimilarityOptions | None = None,
    *,
    overwrite: bool = False,
    listen: Listener = silent,
) -> SimilarityReport:
    """Compare rewritten texts with their originals into a SIMILARITIES folder; go on where a run was killed.

    A text is its prompt and response joined, as scoring joins a dialogue. A rewritten text whose original is
    missing is a failure row; an original that nobody rewrote is left out.

    Args:
        texts: a TEXTS Parquet file or folder; its rows of variant `original` are read.
        rewritten: the same of the rewritten texts; its rows of variant `rewritten` are read.
        embedders: name -> folder that `seal export` made of a sentence-transformers folder.
        out: the folder to write.
        options: how.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress, batch by batch.

    Raises:
        SealError: one of its children, for whatever the user can mend.
    """
    options = options or SimilarityOptions()
    for path, variant in ((texts, ORIGINAL), (rewritten, REWRITTEN)):
        keep_apart(path, out)
        _check_variant(path, variant)  # before a folder is made for what cannot be compared
    loaded = load_embedders(embedders, options.device, options.max_tokens, options.threads)
    budget = options.max_batch_tokens or MAX_BATCH_TOKENS[loaded[0].device]
    computes = [(m.backend.embeddings, (m.backend.n_dimensions,)) for m in loaded]
    with Sink(out, _manifest(texts, rewritten, loaded, options, budget), overwrite=overwrite) as sink:
        if not sink.finished:
            aside = [out / ".originals.tmp", out / ".rewritten.tmp"]
            limit = None if options.limit is None else options.limit - int(sink.total("n_pairs"))
            originals, wanted = (in_order(p, a) for p, a in zip((texts, rewritten), aside, strict=True))
            todo = beside(
                windows(wanted, options.part_rows, after=sink.last_row_id, limit=limit, variant=REWRITTEN),
                chunks(originals, after=sink.last_row_id, variant=ORIGINAL),
            )
            n_total = count_texts(rewritten) if limit is None else None
            meter = Meter(listen, STAGE, n_total, int(sink.total("n_texts")), 2 * len(loaded))
            with Runner(loaded, computes, meter) as runner, Behind() as writer:
                for pairs in ahead(_pair(new, old, loaded, budget) for new, old in todo):
                    outcomes = runner.run(pairs.window)
                    writer.submit(_commit, sink, pairs, loaded, outcomes, options.min_cosine, meter.lap())
            for path in aside:
                path.unlink(missing_ok=True)
        report = _report(sink)
        sink.finish(**asdict(report))
    return report


@dataclass(frozen=True)
class _Pairs:
    """Rewritten texts and their originals, ready to run.

    Attributes:
        wanted: the rewritten texts as they were read.
        without: those of them that have no original.
        window: the others and their originals.
    """

    wanted: pl.DataFrame
    without: pl.DataFrame
    window: Window


def _pair(
    wanted: pl.DataFrame, originals: pl.DataFrame, embedders: Sequence[LoadedEmbedder], budget: int
) -> _Pairs:
    rows = pl.concat(
        [wanted.join(originals, on=_KEY, how="semi"), originals.join(wanted, on=_KEY, how="semi")]
    ).sort(TEXT_KEY)
    return _Pairs(wanted, wanted.join(originals, on=_KEY, how="anti"), prepare(rows, embedders, budget))


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


def _commit(
    sink: Sink,
    pairs: _Pairs,
    embedders: Sequence[LoadedEmbedder],
    outcomes: Sequence[Outcome],
    min_cosine: float | None,
    counters: Mapping[str, float],
) -> None:
    work = zip(embedders, outcomes, strict=True)
    results = [_result(pairs, embedder, outcome, min_cosine) for embedder, outcome in work]
    rows, failures = (pl.concat(frames) for frames in zip(*results, strict=True))
    window = pairs.window
    sink.commit(
        rows.sort(SIMILARITIES.key),
        failures.sort(*TEXT_KEY, "detail"),
        last_row_id=pairs.wanted["row_id"].item(-1),
        counters={
            **counters,
            "n_pairs": pairs.wanted["row_id"].n_unique(),
            "n_texts": pairs.wanted.height,
            "n_low": failures.filter(error="low_cosine").height,
            "n_truncated": sum(int(t.truncated[window.distinct.index].sum()) for t, _ in window.inputs),
        },
    )


def _result(
    pairs: _Pairs, embedder: LoadedEmbedder, outcome: Outcome, min_cosine: float | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """SIMILARITIES and FAILURES of one embedder: every rewritten text is in one of them."""
    compared = _compared(pairs.window, embedder, outcome)
    finite, too_large = pl.col("cosine").is_finite(), pl.col("too_large")
    is_low = pl.lit(False) if min_cosine is None else pl.col("cosine") < min_cosine
    below = pl.format("cosine {} is below {}", pl.col("cosine").cast(pl.Float64).round(6), pl.lit(min_cosine))
    unusable = pairs.window.unusable.select(_KEY).unique()
    failures = [
        _failed(rows, embedder, error, detail)
        for rows, error, detail in (
            (pairs.without, "no_original", pl.lit("no original text of this row_id and preference")),
            (unusable, "missing_text", pl.lit("prompt or response is null, here or in the original")),
            (compared.filter(~finite & too_large), "out_of_memory", pl.lit("does not fit alone")),
            (compared.filter(~finite & ~too_large), "not_finite", pl.lit("an embedding is 0 or no number")),
            (compared.filter(finite & is_low), "low_cosine", below),
        )
    ]
    return compared.filter(finite & ~is_low).select(*SIMILARITIES.types), pl.concat(failures)


def _compared(window: Window, embedder: LoadedEmbedder, outcome: Outcome) -> pl.DataFrame:
    """SIMILARITIES of one embedder, with `too_large` beside: whether one of the two texts did not fit."""
    places = window.rows.select(*TEXT_KEY, place=pl.Series(window.distinct.index, dtype=pl.Int64))
    old, new = (places.filter(variant=pl.lit(v, VARIANT)).drop("variant") for v in (ORIGINAL, REWRITTEN))
    both = new.join(old, on=_KEY, how="inner", suffix="_original", maintain_order="left")
    left, right = both["place_original"].to_numpy(), both["place"].to_numpy()
    too_large = np.isin(left, list(outcome.too_large)) | np.isin(right, list(outcome.too_large))
    return both.select(
        *_KEY,
        embedder=pl.lit(embedder.name),
        cosine=pl.Series(cosines(outcome.values, left, right), dtype=pl.Float32),
        too_large=pl.Series(too_large, dtype=pl.Boolean),
    )


def _failed(rows: pl.DataFrame, embedder: LoadedEmbedder, error: str, detail: pl.Expr) -> pl.DataFrame:
    return rows.select(
        *_KEY,
        variant=pl.lit(REWRITTEN, VARIANT),
        stage=pl.lit(STAGE),
        error=pl.lit(error),
        detail=pl.format("embedder {}: {}", pl.lit(embedder.name), detail),
    ).select(*FAILURES.types)


def _check_variant(path: Path, variant: str) -> None:
    """Refuse what is no TEXTS frame, and one that has rows but none of the variant wanted."""
    rows = scan(path, TEXTS, columns=("prompt", "response"))
    wanted = pl.col("variant") == pl.lit(variant, VARIANT)
    with readable(path):
        n_rows, found = rows.select(pl.len(), wanted.any().alias("found")).collect(engine="streaming").row(0)
    if n_rows and not found:
        raise InputError(
            f"{path} holds no text of variant '{variant}'; the originals come first, the rewritten texts "
            "second"
        )


def _manifest(
    texts: Path,
    rewritten: Path,
    embedders: Sequence[LoadedEmbedder],
    options: SimilarityOptions,
    budget: int,
) -> Manifest:
    return Manifest(
        stage=STAGE,
        options={
            "max_batch_tokens": budget,
            "part_rows": options.part_rows,
            "limit": options.limit,
            "min_cosine": options.min_cosine,
        },
        inputs={"texts": content_hash(texts), "rewritten": content_hash(rewritten)},
        models={embedder.name: embedder.identity for embedder in embedders},
    )


def _report(sink: Sink) -> SimilarityReport:
    total = sink.total
    return SimilarityReport(
        n_texts=int(total("n_texts")),
        n_rows=sink.n_rows,
        n_failures=sink.n_failures,
        n_low=int(total("n_low")),
        n_truncated=int(total("n_truncated")),
        n_tokens=int(total("n_tokens")),
        n_slots=int(total("n_slots")),
        n_halved=int(total("n_halved")),
        elapsed_s=total("elapsed_s"),
    )
