"""Data files -> records, each with its place; no file is held whole.

A record that cannot be read is yielded as the `Malformed` that says why, so that the rest goes on; a file
that breaks off or is damaged as a whole is an `InputError`, for nobody can say how many records it lost.
"""

from collections.abc import Iterator, Sequence

import pyarrow.parquet as pq

from seal.engine.datasets.delimited import read_delimited
from seal.engine.datasets.items import DAMAGE, Item, for_arrow
from seal.engine.datasets.lines import read_lines
from seal.engine.datasets.sources import Source
from seal.engine.datasets.tables import read_arrow, read_parquet
from seal.engine.datasets.transcripts import Malformed
from seal.engine.errors import InputError


def read_items(
    source: Source, *, columns: Sequence[str] | None = None, number: int = 0, start: int = 0,
    max_bytes: int = 1 << 26,
) -> Iterator[Item]:  # fmt: skip
    """The records of a file from a place on, in order.

    Args:
        source: the file.
        columns: of a table only these top-level columns are read, where it has them.
        number: the `number` of the last item that is done; 0 for the whole file.
        start: the `end` of that item.
        max_bytes: a longer line is not kept in memory but yielded as `too_long`, and so is one of more values
            than two texts of such a length need.

    Raises:
        InputError: it cannot be opened, is damaged, or is one JSON list instead of a record a line.
    """
    last = number if start else None
    try:
        for item in _read(source, columns, number, start, max_bytes):
            last = item.number
            yield item
    except DAMAGE as error:
        after = "" if last is None else f" after {source.unit} {last}"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(
            f"{source.path} cannot be read{after}: {reason}; bring the file over again"
        ) from None


def _read(
    source: Source, columns: Sequence[str] | None, number: int, start: int, max_bytes: int
) -> Iterator[Item]:
    if source.broken:
        return iter([] if start else [Item(1, 1, Malformed("broken_link", source.broken))])
    if source.is_table:
        return (read_arrow if source.is_arrow else read_parquet)(source, columns, start, max_bytes)
    return (read_delimited if source.is_delimited else read_lines)(source, number, start, max_bytes)


def count_rows(source: Source) -> int | None:
    """How many records a file holds, None where only reading it would tell."""
    if source.broken:
        return 1
    if not source.is_table or source.is_arrow:
        return None
    with for_arrow(source.path) as opened:
        return int(pq.read_metadata(opened).num_rows)
