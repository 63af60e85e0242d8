"""One stage, whatever it does with texts: windows of whole pairs in, a part of rows and failures out.

    windows --(next one read ahead)--> work --(written behind)--> part -> Sink

A window is the unit of everything: it is read while the one before it is worked on and the one before that
is written, and it becomes one part. So a part depends on its own rows alone, and a run that was killed ends
in the same bytes. What differs from stage to stage stands in `Stage`; reading, sampling, resuming and
counting are here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.background import BackgroundWriter, prefetch
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.reader import TEXT_COLUMNS, chunks, in_order, windows
from seal.engine.frames.sampling import Sample
from seal.engine.frames.schema import FAILURES, TEXT_KEY
from seal.engine.frames.shards import SHARD, Shard
from seal.engine.frames.sink import Sink
from seal.engine.notebook import Shown
from seal.engine.progress import Listener, Meter

W = TypeVar("W")
R = TypeVar("R")

FAILED: dict[str, pl.DataType] = {name: FAILURES.types[name] for name in (*TEXT_KEY, "error", "detail")}
"""What there is to know of a failure before the stage puts its name to it."""


@dataclass(frozen=True)
class StageReport(Shown):
    """What a run did, earlier starts of it included.

    Attributes:
        n_texts: texts read.
        n_rows: rows written.
        n_failures: rows asked for that failed.
        elapsed_s: seconds of work in all.
    """

    n_texts: int
    n_rows: int
    n_failures: int
    elapsed_s: float

    @property
    def failed_share(self) -> float:
        """Failures over rows asked for."""
        return self.n_failures / max(1, self.n_rows + self.n_failures)

    @classmethod
    def of(cls, sink: Sink) -> Self:
        """What a sink's log says; further counts of a report have the names of its counters."""
        counts: dict[str, Any] = {f.name: int(sink.total(f.name)) for f in fields(cls) if f.type is int}
        counts |= {"n_rows": sink.n_rows, "n_failures": sink.n_failures, "elapsed_s": sink.total("elapsed_s")}
        return cls(**counts)


def counts_by_code(sink: Sink, prefix: str) -> dict[str, int]:
    """Counters that begin alike, by what follows, the largest first."""
    names = {name for commit in sink.commits for name in commit.counters if name.startswith(prefix)}
    counts = {name.removeprefix(prefix): int(sink.total(name)) for name in names}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True)
class Part:
    """What became of a window.

    Attributes:
        rows: sorted by their key.
        failures: FAILURES in any order.
        counters: what the stage counted, by name.
    """

    rows: pl.DataFrame
    failures: pl.DataFrame
    counters: Mapping[str, float] = field(default_factory=dict)


class Remaining:
    """What a stage has not done yet; opens its inputs behind that.

    Args:
        sink: where the stage writes; texts that are out of order are sorted into a file in its folder.
        limit: only the first so many pairs, those that are done counted.
        shard: whose windows are wanted; the parts that are done are its first ones.
    """

    def __init__(self, sink: Sink, limit: int | None, shard: Shard) -> None:
        self._after = sink.last_row_id
        self._limit, self._shard = limit, shard
        self._first = shard.window_after(len(sink.commits))
        self._n_before = sink.total("n_texts")
        self._folder, self._aside = sink.folder, list[Path]()

    def windows(
        self, texts: Path, n_pairs: int, *, sample: Sample | None = None, variant: str | None = None,
        columns: Sequence[str] = TEXT_COLUMNS,
    ) -> Iterator[pl.DataFrame]:  # fmt: skip
        """The shard's windows of whole pairs (see `reader.windows`); every window but the last one is full.

        Raises:
            InputError: there are texts, and the sample keeps none of them.
        """
        keep = None if sample is None or sample.share == 1 else sample.keeps
        files = self._in_order(texts, columns)
        limit = None if self._limit is None else max(0, self._limit - self._first * n_pairs)
        found = windows(
            files, n_pairs, after=self._after, limit=limit, keep=keep, variant=variant, columns=columns
        )
        n_read = self._n_before
        for number, window in enumerate(found, self._first):
            n_read += window.height
            if self._shard.takes(number):
                yield window
        if keep is not None and not n_read and next(chunks(files), None) is not None:
            raise InputError(
                f"the sample keeps none of the pairs of {texts}; raise the sample or change its seed, and "
                "overwrite"
            )

    def chunks(self, texts: Path, *, variant: str) -> Iterator[pl.DataFrame]:
        """Rows of one variant, cut anywhere (see `reader.chunks`)."""
        return chunks(self._in_order(texts, TEXT_COLUMNS), after=self._after, variant=variant)

    def _in_order(self, texts: Path, columns: Sequence[str]) -> list[Path]:
        self._aside.append(self._folder / f".sorted-{len(self._aside)}.tmp")
        return in_order(texts, self._aside[-1], columns)

    def clean(self) -> None:
        """Remove what was sorted aside."""
        for path in self._aside:
            path.unlink(missing_ok=True)


def _nothing(sink: Sink) -> tuple[Mapping[str, bytes], Mapping[str, Any]]:
    return {}, {}


@dataclass(frozen=True)
class Beside:
    """What a stage writes beside its parts, made once all of these are there.

    Attributes:
        names: of the files.
        make: every part -> the files, none where those that stand are right; and facts for the manifest.
    """

    names: tuple[str, ...] = ()
    make: Callable[[Sink], tuple[Mapping[str, bytes], Mapping[str, Any]]] = _nothing


@dataclass(frozen=True)
class Stage(Generic[W, R]):
    """What one stage does.

    Attributes:
        manifest: its identity.
        windows: what is left -> the texts of a window and what `work` takes of them; made ahead, on a thread.
        work: opened with a meter for the whole run; turns what `windows` prepared into results.
        part: results -> rows and failures, on the writer's thread.
        limit: only the first so many pairs.
        shard: I/N, where only these windows are done; it becomes a part of the identity.
        n_total: texts in all; None where that is not known beforehand.
        passes: how often each text is run (once a model).
        beside: what it writes beside the parts.
    """

    manifest: Manifest
    windows: Callable[[Remaining], Iterator[tuple[pl.DataFrame, W]]]
    work: Callable[[Meter], AbstractContextManager[Callable[[W], R]]]
    part: Callable[[W, R], Part]
    limit: int | None = None
    shard: str | None = None
    n_total: int | None = None
    passes: int = 1
    beside: Beside = field(default_factory=Beside)


AnyReport = TypeVar("AnyReport", bound=StageReport)


def run_stage(
    stage: Stage[W, R], out: Path, report: type[AnyReport], *, overwrite: bool, listen: Listener
) -> AnyReport:
    """Carry out a stage into a folder; go on where an earlier run was killed.

    Args:
        stage: what is done.
        out: the folder to write.
        report: the class of what is returned.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress.

    Raises:
        ResumeError: the folder was made by something else, or another process writes it.
        SealError: it cannot be written, or the stage's own errors.
    """
    shard = Shard() if stage.shard is None else Shard.parse(stage.shard)
    with Sink(out, _identified(stage), overwrite=overwrite, beside=stage.beside.names) as sink:
        if not sink.finished:
            remaining = Remaining(sink, stage.limit, shard)
            name, n_before = stage.manifest.stage, int(sink.total("n_texts"))
            n_total = stage.n_total if stage.shard is None else None
            meter = Meter(listen, name, n_total, n_before, stage.passes)
            with stage.work(meter) as work, BackgroundWriter() as writer:
                for texts, window in prefetch(stage.windows(remaining)):
                    writer.submit(_commit, sink, texts, stage.part, window, work(window), meter.lap())
            remaining.clean()
        done = report.of(sink)
        files, facts = stage.beside.make(sink)
        sink.finish(files, **asdict(done), **facts)
    return done


def _identified(stage: Stage[W, R]) -> Manifest:
    """The identity, with the shard where there is one."""
    manifest, shard = stage.manifest, stage.shard
    options = manifest.options if shard is None else {**manifest.options, SHARD: shard}
    return replace(manifest, options=options)


def _commit(
    sink: Sink, texts: pl.DataFrame, make_part: Callable[[W, R], Part], window: W, result: R,
    lap: Mapping[str, float],
) -> None:  # fmt: skip
    part, ids = make_part(window, result), texts["row_id"]
    counters = {**lap, **part.counters, "n_pairs": ids.n_unique(), "n_texts": texts.height}
    failed = part.failures.sort(*TEXT_KEY, "detail").select(*FAILURES.types)
    sink.commit(part.rows, failed, last_row_id=ids.item(-1), counters=counters)


def failures(rows: pl.DataFrame, stage: str, error: str | pl.Expr, detail: str | pl.Expr) -> pl.DataFrame:
    """FAILURES of some texts, all for one reason.

    Args:
        rows: with the key.
        stage: the command.
        error: a short code.
        detail: for people; strings are taken as they are.
    """
    words = {"stage": stage, "error": error, "detail": detail}
    return rows.select(*TEXT_KEY, **{n: pl.lit(w) if isinstance(w, str) else w for n, w in words.items()})


def usable(window: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The texts of a window that can be asked about, and the others as failures `missing_text`."""
    there = window["prompt"].is_not_null() & window["response"].is_not_null()
    reason: dict[str, Any] = {"error": pl.lit("missing_text"), "detail": pl.lit("prompt or response is null")}
    return window.filter(there), window.filter(~there).select(*TEXT_KEY, **reason)
