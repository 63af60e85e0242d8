"""What an import reads: every source with its format and the `meta_` columns all of them agree on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from seal.engine.datasets.files import read_items
from seal.engine.datasets.formats import (
    FORMATS,
    Format,
    Meta,
    MetaType,
    column,
    favourite,
    of_columns,
    shape,
)  # fmt: skip
from seal.engine.datasets.options import ImportOptions
from seal.engine.datasets.sources import Source, find_sources
from seal.engine.datasets.tables import column_names
from seal.engine.datasets.transcripts import Malformed
from seal.engine.errors import InputError, UsageError

_TYPES: dict[MetaType, pl.DataType] = {str: pl.String(), float: pl.Float64(), int: pl.Int64()}
_NAMED = 8  # columns in an error
_HEAD = 100  # records of a file that its format is detected from


@dataclass(frozen=True)
class Feed:
    """A source with all that is needed to read it.

    Attributes:
        source: the file.
        format: what its records are.
        metas: a reader for each `meta_` column of the folder, in the order of `meta_types`; None where the
            format has no such column.
        meta_types: those columns, the same for all feeds, so that every part has one schema.
        columns: what to read of a table.
    """

    source: Source
    format: Format
    metas: tuple[Meta | None, ...]
    meta_types: Mapping[str, pl.DataType]
    columns: tuple[str, ...]


def open_feeds(paths: Sequence[Path], options: ImportOptions) -> list[Feed]:
    """Find the files of these paths, their formats, and one set of `meta_` columns.

    Args:
        paths: files or folders.
        options: how to read; of `auto` each file's format is detected from its first records.

    Raises:
        InputError: a file is missing, empty or of no known format, or a column or split is nowhere.
        UsageError: no path, or one file twice.
    """
    if not paths:
        raise UsageError("name at least one file or folder to import")
    split, meta = options.split, options.meta
    named = _named(options)
    sources = find_sources(paths, split)
    asked_for = (*meta, *(named.columns if named else ()))
    heads = [_head(source, asked_for, options.max_bytes) for source in sources]
    for source, head in zip(sources, heads, strict=True):
        if source.by_column and not source.broken and "split" not in head.columns:
            raise InputError(
                f"split {split}: no file beside {source.path} is named so, and its records have no column "
                f"'split'; here are {head.named}"
            )
    both = zip(sources, heads, strict=True)
    formats = [named or _format(source, head, options.format) for source, head in both]
    _check_columns(asked_for, formats, heads)
    asked = [column(name) for name in meta]
    types = {m.name: m.type for m in asked} | {m.name: m.type for f in formats for m in f.meta}
    meta_types = {f"meta_{name}": _TYPES[kind] for name, kind in types.items()}
    feeds = []
    for source, known in zip(sources, formats, strict=True):
        readers = {m.name: m for m in (*asked, *known.meta)}
        metas = tuple(readers.get(name) for name in types)
        feeds.append(Feed(source, known, metas, meta_types, (*known.columns, *meta, "split")))
    return feeds


def _named(options: ImportOptions) -> Format | None:
    """The format of the columns that were named; None where none were."""
    if options.chosen is None or options.rejected is None:
        return None
    return of_columns(options.prompt, options.chosen, options.rejected)


@dataclass(frozen=True)
class _Head:
    """What the first records of a source look like; none of them is kept.

    Attributes:
        n_records: how many were looked at.
        n_whole: those that could be read.
        first: number and text of the first that could not be read.
        columns: what they have, of far too many only the first and those that were asked for.
        format: what most of them have the shape of.
    """

    n_records: int
    n_whole: int
    first: str
    columns: tuple[str, ...]
    format: Format | None

    @property
    def named(self) -> str:
        return ", ".join(self.columns[:_NAMED]) or "(none)"


def _head(source: Source, asked_for: Sequence[str], max_bytes: int) -> _Head:
    asked, votes, first, n_records = {*asked_for, "split"}, Counter[str](), "", 0
    columns = dict.fromkeys(column_names(source) if source.is_table and not source.broken else ())
    needed = {*asked, *(name for known in FORMATS.values() for name in known.columns)}
    for item in islice(read_items(source, columns=tuple(needed), max_bytes=max_bytes), _HEAD):
        n_records += 1
        if isinstance(item.record, Malformed):
            first = first or f"{source.unit} {item.number}: {item.record}"
            continue
        votes[shape(item.record)] += 1
        columns |= {n[:100]: None for n in islice(item.record, 100)}
        columns |= {n: None for n in asked if n in item.record}
    if not n_records:
        raise InputError(f"{source.path} holds no records; leave it out, or bring it over again")
    return _Head(n_records, votes.total(), first, tuple(columns), favourite(votes))


def _check_columns(names: Sequence[str], formats: Sequence[Format], heads: Sequence[_Head]) -> None:
    carried = {m.name for known in formats for m in known.meta}
    seen = {name for head in heads for name in head.columns}
    if absent := [name for name in names if name not in seen | carried]:
        raise InputError(
            f"no such column as {absent[0]!r} in the first {_HEAD} records; "
            f"here are {', '.join(sorted(seen)[:20])}"
        )


def _format(source: Source, head: _Head, name: str) -> Format:
    if name in FORMATS:
        return FORMATS[name]
    if known := head.format:
        return known
    if source.broken:
        return next(iter(FORMATS.values()))  # of no consequence: none of its records is read
    seen = f"none of its first {head.n_records} records can be read ({head.first})"
    if head.n_whole:
        seen = f"its columns are {head.named}"
    raise InputError(
        f"{source.path} is of no known format: {seen}; the options prompt, chosen and rejected name its "
        "columns, format its format"
    )
