"""Parquet and Arrow -> records, of the columns that are asked for, a few rows in memory at a time."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seal.engine.datasets.fields import Record
from seal.engine.datasets.items import DAMAGE, Item, for_arrow, refuse_doubled
from seal.engine.datasets.sources import Source
from seal.engine.datasets.transcripts import Malformed
from seal.engine.errors import InputError

_BATCH_ROWS = 256
_BATCH_BYTES = 1 << 27  # of a batch of rows in memory
_REPEATED = 64  # bytes of a row, below which its dictionary is thought to be used again and again
_FEW_ROWS = 20_000  # of a group; so few can be read one at a time
_NO_VALUE = (ValueError, OverflowError, LookupError, RecursionError)  # what pyarrow makes of odd values
_ARROW_FILE = b"ARROW1"  # how a file with an index of its batches begins; a stream of batches has none
_REFERRING = ("dictionary<", "_view", "run_end_encoded")  # types whose rows may share one long value


def read_parquet(source: Source, columns: Sequence[str] | None, start: int, max_bytes: int) -> Iterator[Item]:
    """The rows of a Parquet file (see `files.read_items`)."""
    with (
        for_arrow(source.path) as opened,
        pq.ParquetFile(opened, buffer_size=1 << 20, pre_buffer=False) as file,
    ):
        wanted = [name for _, name in _wanted(source, list(file.schema_arrow.names), columns)]
        for group, row in _groups_from(file.metadata, start):
            _check_readable(file, group, wanted)
            n_rows = _batch_rows(source, file, group, wanted, max_bytes)
            for batch in file.iter_batches(n_rows, row_groups=[group], columns=wanted):
                done = min(max(start - row, 0), batch.num_rows)
                for at, record in enumerate(_records(batch.slice(done)), start=row + done):
                    yield Item(at, at + 1, record)
                row += batch.num_rows


def read_arrow(source: Source, columns: Sequence[str] | None, start: int, max_bytes: int) -> Iterator[Item]:
    """The rows of an Arrow file, as `datasets` saves it or with an index (see `files.read_items`)."""
    wanted = _wanted(source, _arrow_names(source), columns)
    options = pa.ipc.IpcReadOptions(included_fields=[at for at, _ in wanted], use_threads=False)
    row = 0
    with ExitStack() as stack:
        for batch in _arrow_batches(_open_arrow(source, stack, options)):
            if row + batch.num_rows > start:
                batch.validate(full=True)  # what is damaged raises here, and does not end the process later
            n_rows = _slice_rows(batch)
            for at in range(max(start - row, 0), batch.num_rows, n_rows):
                yield from _few(batch.slice(at, n_rows), row + at, max_bytes)
            row += batch.num_rows


def _wanted(source: Source, names: Sequence[str], columns: Sequence[str] | None) -> list[tuple[int, str]]:
    """The columns to read, each with its place."""
    wanted = [(at, name) for at, name in enumerate(names) if columns is None or name in columns]
    refuse_doubled(source.path, [name for _, name in wanted])
    return wanted


def column_names(source: Source) -> list[str]:
    """The top-level columns of a Parquet or Arrow file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if source.is_arrow:
            return _arrow_names(source)
        with for_arrow(source.path) as opened:
            return list(pq.read_schema(opened).names)
    except UnicodeDecodeError:
        raise InputError(f"{source.path} cannot be read: a column's name is not UTF-8") from None
    except DAMAGE as error:
        raise InputError(f"{source.path} cannot be read: {error}; bring the file over again") from None


def _arrow_names(source: Source) -> list[str]:
    with ExitStack() as stack:
        return list(_open_arrow(source, stack).schema.names)


def _open_arrow(source: Source, stack: ExitStack, options: Any = None) -> Any:
    opened = stack.enter_context(for_arrow(source.path))
    mapped = opened is source.path  # rows are then read where they lie, without a copy of a whole batch
    file = stack.enter_context(pa.memory_map(str(opened)) if mapped else pa.PythonFile(opened, "r"))
    indexed = file.read(len(_ARROW_FILE)) == _ARROW_FILE
    file.seek(0)
    return (pa.ipc.open_file if indexed else pa.ipc.open_stream)(file, options=options)


def _arrow_batches(reader: Any) -> Iterator[Any]:
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        yield from map(reader.get_batch, range(reader.num_record_batches))
    else:
        yield from reader


def _slice_rows(batch: Any) -> int:
    """How many rows of a batch are made into records at a time."""
    if any(word in str(batch.schema) for word in _REFERRING):
        return min(_BATCH_ROWS, max(1, _BATCH_BYTES // max(1, int(batch.nbytes))))
    return _BATCH_ROWS


def _few(rows: Any, first: int, max_bytes: int) -> Iterator[Item]:
    """Some rows of a batch, one by one where one may be too long."""
    if rows.nbytes <= max_bytes:
        found: Iterator[Record | Malformed] = _records(rows)
    else:
        found = (_record_within(rows.slice(i, 1), max_bytes) for i in range(rows.num_rows))
    for at, record in enumerate(found, start=first):
        yield Item(at, at + 1, record)


def _record_within(row: Any, max_bytes: int) -> Record | Malformed:
    if row.nbytes > max_bytes:
        n_bytes = f"{row.nbytes:,} bytes, allowed are {max_bytes:,}"
        return Malformed("too_long", f"the row takes {n_bytes}; a larger max_chars allows more")
    return _record(row)


def _check_readable(file: Any, group: int, wanted: Sequence[str]) -> None:
    """Read one row: what is damaged raises here, whereas asking for a chunk's facts would end the process."""
    for _ in file.iter_batches(1, row_groups=[group], columns=wanted):
        return


def _batch_rows(source: Source, file: Any, group: int, wanted: Sequence[str], max_bytes: int) -> int:
    """How many rows of a group are read at a time, so that they take about `_BATCH_BYTES` at most."""
    facts, n_rows = file.metadata.row_group(group), _BATCH_ROWS
    paths = [file.schema.column(i).path for i in range(facts.num_columns)]
    for at in [i for i, path in enumerate(paths) if path.partition(".")[0] in wanted]:
        chunk, n_values = facts.column(at), max(1, facts.num_rows)
        value_bytes = chunk.total_uncompressed_size // n_values
        if value_bytes > max_bytes:
            raise InputError(
                f"{source.path}: a row of the column {paths[at]!r} takes {value_bytes:,} bytes, allowed are "
                f"{max_bytes:,}; a larger max_chars allows more"
            )
        if _may_repeat(chunk, n_values):
            value_bytes = chunk.total_uncompressed_size
        n_rows = min(n_rows, max(1, _BATCH_BYTES // max(1, value_bytes)))
    return n_rows


def _may_repeat(chunk: Any, n_rows: int) -> bool:
    """Whether a dictionary may hold a text of nearly all these bytes, which every row refers to."""
    n_bytes = chunk.total_uncompressed_size
    odd = n_rows < _FEW_ROWS or n_bytes < _REPEATED * n_rows or n_bytes > 20 * chunk.total_compressed_size
    return odd and any("DICTIONARY" in encoding for encoding in chunk.encodings)


def _groups_from(metadata: Any, start: int) -> Iterator[tuple[int, int]]:
    """The row groups that hold rows from `start` on, each with its first row."""
    first = 0
    for group in range(metadata.num_row_groups):
        n_rows = metadata.row_group(group).num_rows
        if first + n_rows > start:
            yield group, first
        first += n_rows


def _records(batch: Any) -> Iterator[Record]:
    try:
        if batch.nbytes < _BATCH_BYTES // 8:
            yield from batch.to_pylist()
            return
    except _NO_VALUE:
        pass  # raised before the first record: find the rows it is about
    for i in range(batch.num_rows):
        yield _record(batch.slice(i, 1))


def _record(row: Any) -> Record:
    """One row; a value that is none is the `Malformed` that says why."""
    record = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            record[name] = column[0].as_py()
        except UnicodeDecodeError as error:
            record[name] = Malformed("invalid_utf8", f"'{name}' is not UTF-8: {error.reason}")
        except _NO_VALUE as error:  # a day beyond the year 9999, a time zone nobody knows
            reason = f"'{name}' ({column.type}) cannot be read: {error}"
            record[name] = Malformed("bad_value", reason[:300])
    return record
