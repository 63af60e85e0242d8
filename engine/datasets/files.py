"""Data files -> records, each with its place: JSON lines (plain, gzip, zstd) and Parquet, no file held whole.

A record that cannot be read is yielded as the `Malformed` that says why, so that the rest goes on; a file
that breaks off or is damaged as a whole is an `InputError`, for nobody can say how many records it lost.
"""

import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from seal.engine.datasets.fields import Record
from seal.engine.datasets.sources import Source
from seal.engine.datasets.transcripts import Malformed, kind
from seal.engine.errors import InputError

_READ_BYTES = 1 << 18
_BATCH_ROWS = 256
_FEW_BYTES = 1 << 20
_OPEN_VALUES = (b",", b"[", b"{")
_VALUE_BYTES = 12  # of a line for a value; a value takes up to 100 bytes of memory
_BATCH_BYTES = 1 << 27  # of a batch of rows in memory
_REPEATED = 64  # bytes of a row, below which its dictionary is thought to be used again and again
_FEW_ROWS = 20_000  # of a group; so few can be read one at a time
_OPENS_LIST = re.compile(rb"\s*\[\s*(\{|$)")
_BOM = b"\xef\xbb\xbf"
_NO_VALUE = (ValueError, OverflowError, LookupError, RecursionError)  # what pyarrow makes of odd values
_DAMAGE = (OSError, EOFError, zlib.error, pa.ArrowException)


class Item(NamedTuple):
    """What stands at one place of a file.

    Attributes:
        number: the line (from 1) or row (from 0).
        end: where reading would go on: a byte of the decompressed lines, or a row.
        record: the record, or why there is none.
    """

    number: int
    end: int
    record: Record | Malformed


def read_items(
    source: Source, *, columns: Sequence[str] | None = None, number: int = 0, start: int = 0,
    max_bytes: int = 1 << 26,
) -> Iterator[Item]:  # fmt: skip
    """The records of a file from a place on, in order.

    Args:
        source: the file.
        columns: of a Parquet file only these top-level columns are read, where it has them.
        number: the `number` of the last item that is done; 0 for the whole file.
        start: the `end` of that item.
        max_bytes: a longer line is not kept in memory but yielded as `too_long`, and so is one of more values
            than two texts of such a length need.

    Raises:
        InputError: it cannot be opened, is damaged, or is one JSON list instead of a record a line.
    """
    if source.broken:
        items = iter([] if start else [Item(1, 1, Malformed("broken_link", source.broken))])
    elif source.is_parquet:
        items = _read_rows(source, columns, start, max_bytes)
    else:
        items = _read_lines(source, number, start, max_bytes)
    last = number if start else None
    try:
        for item in items:
            last = item.number
            yield item
    except _DAMAGE as error:
        after = "" if last is None else f" after {source.unit} {last}"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(
            f"{source.path} cannot be read{after}: {reason}; bring the file over again"
        ) from None


def _read_lines(source: Source, number: int, start: int, max_bytes: int) -> Iterator[Item]:
    with _open_lines(source.path) as file:
        _skip(file, start)
        end = start
        while line := file.readline(max_bytes + 1):
            number += 1
            end += len(line)
            too_long = len(line) > max_bytes
            while too_long and not line.endswith(b"\n") and (more := file.readline(_READ_BYTES)):
                end, line = end + len(more), line[:1024] + more
            if end == len(line) and line.startswith(_BOM):
                line = line.removeprefix(_BOM)
            if number == 1 and _OPENS_LIST.match(line):
                raise InputError(
                    f"{source.path} is one JSON list; a record a line is read: "
                    f"jq -c '.[]' {source.path.name} > {source.stem}.jsonl"
                )
            if too_long:
                reason = f"the line is longer than {max_bytes:,} bytes, too long for two texts of max_chars"
                yield Item(number, end, Malformed("too_long", reason))
            elif len(line) > _FEW_BYTES and sum(map(line.count, _OPEN_VALUES)) > max_bytes // _VALUE_BYTES:
                reason = f"the line holds more than {max_bytes // _VALUE_BYTES:,} values, too many for a pair"
                yield Item(number, end, Malformed("too_long", reason))
            elif line and not line.isspace():
                yield Item(number, end, decode(line))


@contextmanager
def _open_lines(path: Path) -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        if path.suffix == ".zst":
            opened: Any = pa.input_stream(stack.enter_context(_for_arrow(path)), compression="zstd")
        else:
            opened = (gzip.GzipFile if path.suffix == ".gz" else io.FileIO)(path)
        yield stack.enter_context(io.BufferedReader(opened, _READ_BYTES))


def _skip(file: IO[bytes], n_bytes: int) -> None:
    if file.seekable():
        file.seek(n_bytes)
        return
    while n_bytes > 0 and (skipped := file.read(min(n_bytes, _READ_BYTES))):
        n_bytes -= len(skipped)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        key = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
        raise Malformed("duplicate_key", f"the key {key[:40]!r} stands twice in one object")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_refuse_duplicates)


def decode(line: bytes) -> Record | Malformed:
    """One line of JSON -> a record, or why it is none."""
    try:
        value = _DECODER.decode(line.decode("utf-8"))
    except Malformed as malformed:
        return malformed
    except UnicodeDecodeError as error:
        byte = line[error.start]
        return Malformed("invalid_utf8", f"byte 0x{byte:02x} at {error.start} of the line is not UTF-8")
    except RecursionError:
        return Malformed("too_deep", "lists or objects are nested too deep to be read")
    except json.JSONDecodeError as error:
        cut = error.pos + 1 >= len(error.doc.rstrip()) or "Unterminated" in error.msg
        where = "; the line ends inside the record" if cut else ""
        return Malformed("bad_json", f"no JSON: {error.msg} at character {error.pos}{where}")
    except ValueError as error:  # an integer of thousands of digits
        return Malformed("bad_json", f"a number that cannot be read: {error}")
    if not isinstance(value, dict):
        return Malformed("not_an_object", f"the line is {kind(value)}; an object with the texts is needed")
    return value


@contextmanager
def _for_arrow(path: Path) -> Iterator[Any]:
    """A file as pyarrow takes it, which takes no name that is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield file
    else:
        yield path


def _read_rows(source: Source, columns: Sequence[str] | None, start: int, max_bytes: int) -> Iterator[Item]:
    with (
        _for_arrow(source.path) as opened,
        pq.ParquetFile(opened, buffer_size=1 << 20, pre_buffer=False) as file,
    ):
        names = column_names(source, file)
        wanted = [name for name in names if columns is None or name in columns]
        if twice := [name for name, n in Counter(wanted).items() if n > 1]:
            raise InputError(
                f"{source.path} has {wanted.count(twice[0])} columns named {twice[0]!r}, and nothing says "
                "which is meant: write it again under names of their own"
            )
        for group, row in _groups_from(file.metadata, start):
            _check_readable(file, group, wanted)
            n_rows = _batch_rows(source, file, group, wanted, max_bytes)
            for batch in file.iter_batches(n_rows, row_groups=[group], columns=wanted):
                done = min(max(start - row, 0), batch.num_rows)
                for at, record in enumerate(_records(batch.slice(done)), start=row + done):
                    yield Item(at, at + 1, record)
                row += batch.num_rows


def _check_readable(file: Any, group: int, wanted: Sequence[str]) -> None:
    """Read one row: what is damaged raises here, whereas asking for a chunk's facts would end the process."""
    for _ in file.iter_batches(1, row_groups=[group], columns=wanted):
        return


def column_names(source: Source, file: Any = None) -> list[str]:
    """The top-level columns of a Parquet file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if file:
            return list(file.schema_arrow.names)
        with _for_arrow(source.path) as opened:
            return list(pq.read_schema(opened).names)
    except UnicodeDecodeError:
        raise InputError(f"{source.path} cannot be read: a column's name is not UTF-8") from None
    except _DAMAGE as error:
        raise InputError(f"{source.path} cannot be read: {error}; bring the file over again") from None


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


def count_rows(source: Source) -> int | None:
    """How many records a file holds, None where only reading it would tell."""
    if source.broken:
        return 1
    if not source.is_parquet:
        return None
    with _for_arrow(source.path) as opened:
        return int(pq.read_metadata(opened).num_rows)
