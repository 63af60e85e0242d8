"""What an import reads: every source with its format and the `meta_` columns all of them agree on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from seal.engine.datasets.files import Item, Source, find_sources, read_items
from seal.engine.datasets.formats import FORMATS, Format, Meta, MetaType, Record, column, detect
from seal.engine.datasets.transcripts import Malformed
from seal.engine.errors import InputError, UsageError

_TYPES: dict[MetaType, pl.DataType] = {str: pl.String(), float: pl.Float64(), int: pl.Int64()}
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
        columns: what to read of a Parquet file.
    """

    source: Source
    format: Format
    metas: tuple[Meta | None, ...]
    meta_types: Mapping[str, pl.DataType]
    columns: tuple[str, ...]


def open_feeds(
    paths: Sequence[Path], *, format: str, split: str | None, meta: Sequence[str], max_bytes: int
) -> list[Feed]:
    """Find the files of these paths, their formats, and one set of `meta_` columns.

    Args:
        paths: files or folders.
        format: a name of `FORMATS`, or `auto` to detect each file's from its first records.
        split: see `find_sources`.
        meta: columns to carry beyond those of the format.
        max_bytes: the longest line that is read.

    Raises:
        InputError: a file is missing, empty or of no known format, or a column or split is nowhere.
        UsageError: no path, or one file twice.
    """
    if not paths:
        raise UsageError("name at least one file or folder to import")
    sources = find_sources(paths, split)
    heads = [_head(source, max_bytes) for source in sources]
    for source, head in zip(sources, heads, strict=True):
        if source.by_column and not any("split" in record for record in _whole(head)):
            raise InputError(
                f"split {split}: no file beside {source.path} is named so, and its records have no column "
                f"'split'; here are {_columns(head)}"
            )
    formats = [_format(source, head, format) for source, head in zip(sources, heads, strict=True)]
    _check_meta(meta, formats, heads)
    asked = [column(name) for name in meta]
    types = {m.name: m.type for m in asked} | {m.name: m.type for f in formats for m in f.meta}
    meta_types = {f"meta_{name}": _TYPES[kind] for name, kind in types.items()}
    feeds = []
    for source, known in zip(sources, formats, strict=True):
        readers = {m.name: m for m in (*asked, *known.meta)}
        metas = tuple(readers.get(name) for name in types)
        feeds.append(Feed(source, known, metas, meta_types, (*known.columns, *meta, "split")))
    return feeds


def _head(source: Source, max_bytes: int) -> list[Item]:
    head = list(islice(read_items(source, max_bytes=max_bytes), _HEAD))
    if not head:
        raise InputError(f"{source.path} holds no records; leave it out, or bring it over again")
    return head


def _whole(head: Sequence[Item]) -> list[Record]:
    return [item.record for item in head if not isinstance(item.record, Malformed)]


def _columns(head: Sequence[Item]) -> str:
    names = dict.fromkeys(str(name) for record in _whole(head) for name in record)
    return ", ".join(list(names)[:20]) or "(none)"


def _check_meta(meta: Sequence[str], formats: Sequence[Format], heads: Sequence[Sequence[Item]]) -> None:
    carried = {m.name for known in formats for m in known.meta}
    seen = {str(name) for head in heads for record in _whole(head) for name in record}
    if absent := [name for name in meta if name not in seen | carried]:
        raise InputError(
            f"meta {absent[0]}: no such column in the first {_HEAD} records; "
            f"here are {', '.join(sorted(seen)[:20])}"
        )


def _format(source: Source, head: Sequence[Item], name: str) -> Format:
    if name in FORMATS:
        return FORMATS[name]
    if known := detect(_whole(head)):
        return known
    where = f"{source.unit} {head[0].number}: {head[0].record}"
    seen = f"none of its first {len(head)} records can be read ({where})"
    if _whole(head):
        seen = f"its records have the columns {_columns(head)}"
    table = "; ".join(f"{f.name} ({f.holds})" for f in FORMATS.values())
    raise InputError(
        f"{source.path} is of no known format: {seen}. Known: {table}. format names one outright"
    )
