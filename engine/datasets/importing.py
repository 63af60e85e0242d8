"""Preference datasets -> TEXTS: what `seal import` does.

    open_feeds -> read_items -> Format.unroll -> Format.parse -> a part -> Sink

A record holds one comparison, or several where it holds more than two responses. Comparisons are numbered
over the sources laid end to end, and each becomes a pair, a tie or a failure; a record that cannot be read is
one failure. So a part is a range of comparisons, and a run that was killed goes on behind the last one.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from seal.engine.datasets.feeds import Feed, open_feeds
from seal.engine.datasets.fields import Record
from seal.engine.datasets.files import count_rows, read_items
from seal.engine.datasets.formats import Meta
from seal.engine.datasets.groups import group_of
from seal.engine.datasets.items import Item
from seal.engine.datasets.options import ImportOptions
from seal.engine.datasets.transcripts import Malformed, Pair, Tie, check_encodable, check_pair
from seal.engine.errors import InputError, UsageError
from seal.engine.frames.folder import content_hash
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.schema import CHOSEN, FAILURES, GROUP, ORIGINAL, REJECTED, TEXTS
from seal.engine.frames.sink import Sink
from seal.engine.frames.stage import counts_by_code
from seal.engine.notebook import Shown
from seal.engine.progress import Listener, Progress, listener

STAGE = "import"
_PART_CHARS = 1 << 26  # a part of long texts ends early, so that memory does not depend on their length
_FAILED = "failed."
_OTHER, _TIES, _FURTHER = "n_other_splits", "n_ties", "n_further"
_TIE = "meta_tie"  # true in each row of ties.parquet

MetaValue = str | float | int | None


@dataclass(frozen=True)
class ImportReport(Shown):
    """What came of an import; the counts are of the whole folder, earlier runs included.

    Attributes:
        out: the folder.
        formats: the format of each file, by its label.
        n_records: records read.
        n_compared: what they hold: one comparison of two responses each, several where a record has more
            responses; a record that cannot be read counts as one.
        n_pairs: of these, pairs; two rows each.
        n_ties: of these, pairs of which neither is preferred; two rows of `ties.parquet` each.
        n_failures: of these, no pairs.
        n_other_splits: of these, left out because their `split` column names another split.
        failures: failures by code, the most frequent first.
    """

    out: Path
    formats: Mapping[str, str]
    n_records: int
    n_compared: int
    n_pairs: int
    n_ties: int
    n_failures: int
    n_other_splits: int
    failures: Mapping[str, int]

    def __post_init__(self) -> None:
        n_out = self.n_pairs + self.n_ties + self.n_failures + self.n_other_splits
        if self.n_compared != n_out or self.n_failures != sum(self.failures.values()):
            raise AssertionError(f"{self.n_compared} comparisons in, {n_out} out: {self}")

    @property
    def failed_share(self) -> float:
        """Failures over all that was to be a pair."""
        return self.n_failures / max(1, self.n_pairs + self.n_ties + self.n_failures)


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
    feeds = open_feeds(paths, options)
    with Sink(out, _manifest(feeds, options), overwrite=overwrite) as sink:
        told = _progress(sink, feeds, options)
        for part in _parts(feeds, options, sink) if not sink.finished else ():
            _write(part, sink, grouped=_grouped(sink))
            listen(next(told))
        report = _report(sink, feeds)
        if report.n_compared == report.n_other_splits:
            raise InputError(f"no record has {options.split!r} in its column 'split'")
        names = ("n_records", "n_pairs", "n_ties", "n_failures")
        sink.finish(**{name: getattr(report, name) for name in names})
    return report


def _report(sink: Sink, feeds: Sequence[Feed]) -> ImportReport:
    n_compared = sink.last_row_id + 1
    return ImportReport(
        sink.folder, _formats(feeds), n_compared - int(sink.total(_FURTHER)), n_compared, sink.n_rows // 2,
        int(sink.total(_TIES)), sink.n_failures, int(sink.total(_OTHER)), counts_by_code(sink, _FAILED),
    )  # fmt: skip


def _grouped(sink: Sink) -> bool:
    """Whether rows have a group: not in a folder that was begun by a version which knew none."""
    return not sink.commits or GROUP in pl.read_parquet_schema(sink.folder / "part-00000.parquet")


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


Row = tuple[int, str, Pair, tuple[MetaValue, ...]]  # row_id, source, texts, meta


@dataclass
class _Part:
    """A range of comparisons on its way to the sink; `n_other` of them are of another split."""

    first_row_id: int
    meta_types: Mapping[str, pl.DataType]
    n_compared: int = 0
    n_other: int = 0
    n_further: int = 0  # comparisons beyond the first of their record
    n_chars: int = 0
    cursor: Mapping[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    ties: list[Row] = field(default_factory=list)
    failures: list[tuple[int, str, str]] = field(default_factory=list)  # row_id, code, detail
    began: float = field(default_factory=time.perf_counter)

    @property
    def n_wanted(self) -> int:
        """Comparisons of the split that is read."""
        return self.n_compared - self.n_other


def _parts(feeds: Sequence[Feed], options: ImportOptions, sink: Sink) -> Iterator[_Part]:
    """Cut the comparisons that are left into parts. Where one ends depends on the records alone."""
    types, left = feeds[0].meta_types, None
    if options.limit is not None:
        left = options.limit - (sink.last_row_id + 1 - int(sink.total(_OTHER)))
    part = _Part(sink.last_row_id + 1, types)
    for compared in _walk(feeds, options, sink.cursor) if left != 0 else ():
        _take(part, compared, options)
        full = left is not None and part.n_wanted >= left
        if full or part.n_compared >= options.part_pairs or part.n_chars >= _PART_CHARS:
            yield part
            if full:
                return
            left = None if left is None else left - part.n_wanted
            part = _Part(part.first_row_id + part.n_compared, types)
    if part.n_compared:
        yield part


class _Compared(NamedTuple):
    """One comparison of two responses, as it stands in its file.

    Attributes:
        feed: what is read.
        number: of its record.
        nth: which one of its record's, from 0.
        record: a record of two responses, or why there is none.
        cursor: where to go on behind it.
    """

    feed: Feed
    number: int
    nth: int
    record: Record | Malformed
    cursor: Mapping[str, int]


def _walk(feeds: Sequence[Feed], options: ImportOptions, cursor: Mapping[str, int]) -> Iterator[_Compared]:
    """Every comparison behind the cursor."""
    first, n_done = cursor.get("feed", 0), cursor.get("done", 0)
    place = {"number": cursor.get("number", 0), "end": cursor.get("end", 0)}
    for at, feed in enumerate(feeds[first:], first):
        number, start = place.values()
        for item in read_items(
            feed.source, columns=feed.columns, number=number, start=start, max_bytes=options.max_bytes
        ):
            behind = {"number": item.number, "end": item.end}
            records = _unrolled(feed, item, options.split)
            for nth, record in enumerate(records[n_done:], n_done):
                last = nth == len(records) - 1
                cursor = {"feed": at, **behind} if last else {"feed": at, **place, "done": nth + 1}
                yield _Compared(feed, item.number, nth, record, cursor)
            place, n_done = behind, 0
        place = {"number": 0, "end": 0}


def _unrolled(feed: Feed, item: Item, split: str | None) -> Sequence[Record | Malformed]:
    """What a record compares; one that cannot be read, or is of another split, stands for itself."""
    record = item.record
    if isinstance(record, Malformed):
        return [record]
    if odd := next((value for value in record.values() if isinstance(value, Malformed)), None):
        return [odd]
    if feed.format.unroll is None or (feed.source.by_column and record.get("split") != split):
        return [record]
    try:
        return list(feed.format.unroll(record))
    except Malformed as malformed:
        return [malformed]


def _take(part: _Part, compared: _Compared, options: ImportOptions) -> None:
    """Take a comparison into a part, as a pair, a tie or a failure."""
    feed, record = compared.feed, compared.record
    row_id = part.first_row_id + part.n_compared
    part.n_compared += 1
    part.n_further += compared.nth > 0
    part.cursor = compared.cursor
    try:
        if isinstance(record, Malformed):
            raise record
        if feed.source.by_column and record.get("split") != options.split:
            part.n_other += 1
            return
        pair = feed.format.parse(record)
        check_pair(pair, options.max_chars)
        meta = tuple(_meta_value(m, record) if m else None for m in feed.metas) if feed.metas else ()
    except Malformed as malformed:
        place = f"{feed.source.label}:{'row ' if feed.source.is_table else ''}{compared.number}"
        detail = f"{place}: {malformed.reason}".encode(errors="backslashreplace").decode()
        part.failures.append((row_id, malformed.code, detail))
        return
    (part.ties if isinstance(pair, Tie) else part.rows).append((row_id, feed.source.name, pair, meta))
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


def _write(part: _Part, sink: Sink, *, grouped: bool) -> None:
    codes = Counter(_FAILED + code for _, code, _ in part.failures)
    failures = [(row_id, None, None, STAGE, code, detail) for row_id, code, detail in part.failures]
    failed = pl.DataFrame(failures, schema=FAILURES.types, orient="row")
    counted = {_TIES: len(part.ties), _FURTHER: part.n_further}
    counters = {
        "elapsed_s": round(time.perf_counter() - part.began, 3), _OTHER: part.n_other,
        **{name: n for name, n in counted.items() if n}, **codes,
    }  # fmt: skip
    ties = _frame(part.ties, part.meta_types, grouped=grouped).with_columns(pl.lit(True).alias(_TIE))
    sink.commit(
        _frame(part.rows, part.meta_types, grouped=grouped), failed,
        last_row_id=part.first_row_id + part.n_compared - 1, cursor=part.cursor, counters=counters, ties=ties,
    )  # fmt: skip


def _frame(rows: Sequence[Row], meta_types: Mapping[str, pl.DataType], *, grouped: bool) -> pl.DataFrame:
    """Pairs as TEXTS: two rows each, chosen first, which is the order of its key."""
    pairs = [pair for _, _, pair, _ in rows]
    columns: dict[str, Sequence[object]] = {
        "row_id": [row_id for row_id, _, _, _ in rows for _ in range(2)],
        "preference": [CHOSEN, REJECTED] * len(pairs),
        "variant": [ORIGINAL] * (2 * len(pairs)),
        "source": [source for _, source, _, _ in rows for _ in range(2)],
        "prompt": [text for p in pairs for text in (p.chosen_prompt, p.rejected_prompt)],
        "response": [text for p in pairs for text in (p.chosen, p.rejected)],
        GROUP: [group for p in pairs for group in (group_of(p.chosen_prompt),) * 2],
    }
    for at, name in enumerate(meta_types):
        columns[name] = [meta[at] for _, _, _, meta in rows for _ in range(2)]
    types = TEXTS.types | (TEXTS.optional if grouped else {}) | dict(meta_types)
    return pl.DataFrame([pl.Series(name, columns[name], dtype) for name, dtype in types.items()])


def _progress(sink: Sink, feeds: Sequence[Feed], options: ImportOptions) -> Iterator[Progress]:
    began, n_before = time.perf_counter(), sink.last_row_id + 1
    counts = [count_rows(feed.source) for feed in feeds]
    uneven = any(feed.source.by_column or feed.format.unroll for feed in feeds)
    known = [n for n in counts if n is not None and not uneven]
    n_total = sum(known) if len(known) == len(feeds) else None
    if n_total is not None and options.limit is not None:
        n_total = min(n_total, options.limit)
    while True:
        n_done, elapsed_s = sink.last_row_id + 1, time.perf_counter() - began
        yield Progress(STAGE, "pairs", n_done, n_total, n_before, sink.n_failures, elapsed_s)
