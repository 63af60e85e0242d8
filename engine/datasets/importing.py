"""Preference datasets -> TEXTS: what `seal import` does.

    open_feeds -> read_items -> Format.parse -> a part -> Sink

Rows are numbered by the position of their record over the sources laid end to end, malformed records counted.
So a part is a range of records, and a run that was killed goes on behind the last one.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import polars as pl

from seal.engine.datasets.feeds import Feed, open_feeds
from seal.engine.datasets.files import Item, count_rows, read_items
from seal.engine.datasets.formats import Meta, Record
from seal.engine.datasets.options import ImportOptions
from seal.engine.datasets.transcripts import Malformed, Pair, check_encodable, check_pair
from seal.engine.errors import InputError, UsageError
from seal.engine.frames.folder import content_hash
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.schema import CHOSEN, FAILURES, ORIGINAL, REJECTED, TEXTS
from seal.engine.frames.sink import Sink
from seal.engine.frames.stage import counts_by_code
from seal.engine.notebook import Shown
from seal.engine.progress import Listener, Progress, listener

STAGE = "import"
_PART_CHARS = 1 << 26  # a part of long texts ends early, so that memory does not depend on their length
_FAILED = "failed."
_OTHER = "n_other_splits"

MetaValue = str | float | int | None


@dataclass(frozen=True)
class ImportReport(Shown):
    """What came of an import; the counts are of the whole folder, earlier runs included.

    Attributes:
        out: the folder.
        formats: the format of each file, by its label.
        n_records: records read.
        n_pairs: of these, pairs; two rows each.
        n_failures: of these, no pairs.
        n_other_splits: of these, left out because their `split` column names another split.
        failures: failures by code, the most frequent first.
    """

    out: Path
    formats: Mapping[str, str]
    n_records: int
    n_pairs: int
    n_failures: int
    n_other_splits: int
    failures: Mapping[str, int]

    def __post_init__(self) -> None:
        n_out = self.n_pairs + self.n_failures + self.n_other_splits
        if self.n_records != n_out or self.n_failures != sum(self.failures.values()):
            raise AssertionError(f"{self.n_records} records in, {n_out} out: {self}")


def import_texts(
    sources: str | Path | Sequence[str | Path], out: str | Path, options: ImportOptions | None = None, *,
    overwrite: bool = False, listen: Listener | None = None,
) -> ImportReport:  # fmt: skip
    """Read preference pairs into a folder of TEXTS, and the malformed records into its failures.

    Args:
        sources: data files, or folders of such; one or several.
        out: the folder; one that the same call left unfinished is gone on with.
        options: how to read; the defaults when None.
        overwrite: start afresh in a folder that this program wrote.
        listen: hears of every part; by default a bar in a notebook, else nothing.

    Raises:
        InputError: a source is missing, empty, damaged or of no known format, or the split has no records.
        ResumeError: `out` was made by something else, or another process writes it.
        SealError: `out` cannot be written.
    """
    options, out, listen = options or ImportOptions(), Path(out), listener(listen)
    paths = [Path(p) for p in ([sources] if isinstance(sources, str | Path) else sources)]
    _refuse_overlap(paths, out)
    feeds = open_feeds(
        paths, format=options.format, split=options.split, meta=options.meta, max_bytes=options.max_bytes
    )
    with Sink(out, _manifest(feeds, options), overwrite=overwrite) as sink:
        told = _progress(sink, feeds, options)
        for part in _parts(feeds, options, sink) if not sink.finished else ():
            _write(part, sink)
            listen(next(told))
        report = ImportReport(
            out, _formats(feeds), sink.last_row_id + 1, sink.n_rows // 2, sink.n_failures,
            int(sink.total(_OTHER)), counts_by_code(sink, _FAILED),
        )  # fmt: skip
        if not report.n_pairs and not report.n_failures:
            raise InputError(f"no record has {options.split!r} in its column 'split'")
        sink.finish(n_records=report.n_records, n_pairs=report.n_pairs, n_failures=report.n_failures)
    return report


def _refuse_overlap(sources: Sequence[Path], out: Path) -> None:
    inner = out.resolve()
    for path in sources:
        if inner in (path.resolve(), *path.resolve().parents) or path.resolve() in inner.parents:
            raise UsageError(
                f"{out} and the source {path} lie in one another; choose another folder to write"
            )


def _manifest(feeds: Sequence[Feed], options: ImportOptions) -> Manifest:
    formats = _formats(feeds)
    inputs = {feed.source.label: feed.source.broken or content_hash(feed.source.path) for feed in feeds}
    return Manifest(STAGE, asdict(options) | {"format": formats, "sources": list(formats)}, inputs)


def _formats(feeds: Sequence[Feed]) -> dict[str, str]:
    return {feed.source.label: feed.format.name for feed in feeds}


@dataclass
class _Part:
    """A range of records on its way to the sink; `n_other` of them are of another split."""

    first_row_id: int
    meta_types: Mapping[str, pl.DataType]
    n_records: int = 0
    n_other: int = 0
    n_chars: int = 0
    cursor: dict[str, int] = field(default_factory=dict)
    rows: list[tuple[int, str, Pair, tuple[MetaValue, ...]]] = field(default_factory=list)
    failures: list[tuple[int, str, str]] = field(default_factory=list)  # row_id, code, detail
    began: float = field(default_factory=time.perf_counter)


def _parts(feeds: Sequence[Feed], options: ImportOptions, sink: Sink) -> Iterator[_Part]:
    """Cut the records that are left into parts. Where one ends depends on the records alone."""
    types = feeds[0].meta_types
    left = None if options.limit is None else options.limit - sink.n_rows // 2 - sink.n_failures
    part = _Part(sink.last_row_id + 1, types)
    for at, item in _walk(feeds, options, sink.cursor) if left != 0 else ():
        _take(part, feeds[at], item, options)
        part.n_records += 1
        part.cursor = {"feed": at, "number": item.number, "end": item.end}
        full = left is not None and len(part.rows) + len(part.failures) >= left
        if full or part.n_records >= options.part_pairs or part.n_chars >= _PART_CHARS:
            yield part
            if full:
                return
            left = None if left is None else left - len(part.rows) - len(part.failures)
            part = _Part(part.first_row_id + part.n_records, types)
    if part.n_records:
        yield part


def _walk(
    feeds: Sequence[Feed], options: ImportOptions, cursor: Mapping[str, int]
) -> Iterator[tuple[int, Item]]:
    """Every record behind the cursor, with the index of its feed."""
    first, place = cursor.get("feed", 0), {"number": cursor.get("number", 0), "start": cursor.get("end", 0)}
    for at, feed in enumerate(feeds[first:], first):
        for item in read_items(feed.source, columns=feed.columns, max_bytes=options.max_bytes, **place):
            yield at, item
        place = {}


def _take(part: _Part, feed: Feed, item: Item, options: ImportOptions) -> None:
    row_id, record = part.first_row_id + part.n_records, item.record
    try:
        if isinstance(record, Malformed):
            raise record
        if odd := next((value for value in record.values() if isinstance(value, Malformed)), None):
            raise odd
        if feed.source.by_column and record.get("split") != options.split:
            part.n_other += 1
            return
        pair = feed.format.parse(record)
        check_pair(pair, options.max_chars)
        meta = tuple(_meta_value(m, record) if m else None for m in feed.metas) if feed.metas else ()
    except Malformed as malformed:
        place = f"{feed.source.label}:{'row ' if feed.source.is_parquet else ''}{item.number}"
        detail = f"{place}: {malformed.reason}".encode(errors="backslashreplace").decode()
        part.failures.append((row_id, malformed.code, detail))
        return
    part.rows.append((row_id, feed.source.name, pair, meta))
    part.n_chars += sum(map(len, pair))


def _meta_value(meta: Meta, record: Record) -> MetaValue:
    value = meta.read(record)
    if value is None or meta.type is str:
        text = value if value is None or isinstance(value, str) else json.dumps(value, default=str)
        if text is not None:
            check_encodable(f"meta_{meta.name}", text)
        return text
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1 << 63:
        return None
    if meta.type is int:
        return int(value) if value == int(value) else None
    return float(value)


def _write(part: _Part, sink: Sink) -> None:
    codes = Counter(_FAILED + code for _, code, _ in part.failures)
    failures = [(row_id, None, None, STAGE, code, detail) for row_id, code, detail in part.failures]
    failed = pl.DataFrame(failures, schema=FAILURES.types, orient="row")
    last_row_id, elapsed_s = (
        part.first_row_id + part.n_records - 1,
        round(time.perf_counter() - part.began, 3),
    )
    counters = {"elapsed_s": elapsed_s, _OTHER: part.n_other, **codes}
    sink.commit(_frame(part), failed, last_row_id=last_row_id, cursor=part.cursor, counters=counters)


def _frame(part: _Part) -> pl.DataFrame:
    """The part as TEXTS: two rows a pair, chosen first, which is the order of its key."""
    pairs = [pair for _, _, pair, _ in part.rows]
    columns: dict[str, Sequence[object]] = {
        "row_id": [row_id for row_id, _, _, _ in part.rows for _ in range(2)],
        "preference": [CHOSEN, REJECTED] * len(pairs),
        "variant": [ORIGINAL] * (2 * len(pairs)),
        "source": [source for _, source, _, _ in part.rows for _ in range(2)],
        "prompt": [text for p in pairs for text in (p.chosen_prompt, p.rejected_prompt)],
        "response": [text for p in pairs for text in (p.chosen, p.rejected)],
    }
    for at, name in enumerate(part.meta_types):
        columns[name] = [meta[at] for _, _, _, meta in part.rows for _ in range(2)]
    types = TEXTS.types | dict(part.meta_types)
    return pl.DataFrame([pl.Series(name, columns[name], dtype) for name, dtype in types.items()])


def _progress(sink: Sink, feeds: Sequence[Feed], options: ImportOptions) -> Iterator[Progress]:
    began, n_before = time.perf_counter(), sink.last_row_id + 1
    counts = [count_rows(feed.source) for feed in feeds]
    known = [n for n in counts if n is not None and not any(feed.source.by_column for feed in feeds)]
    n_total = sum(known) if len(known) == len(feeds) else None
    if n_total is not None and options.limit is not None:
        n_total = min(n_total, options.limit)
    while True:
        n_done, elapsed_s = sink.last_row_id + 1, time.perf_counter() - began
        yield Progress(STAGE, "pairs", n_done, n_total, n_before, sink.n_failures, elapsed_s)
