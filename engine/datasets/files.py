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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from seal.engine.datasets.formats import Record
from seal.engine.datasets.transcripts import Malformed, kind
from seal.engine.errors import InputError, UsageError

_NAME = re.compile(r"(?P<stem>.+?)\.(?:(?:jsonl|json|ndjson)(?P<codec>\.gz|\.zst)?|(?P<parquet>parquet))")
_SHARD = re.compile(r"-\d+-of-\d+$")
_SUFFIXES = ".jsonl, .json or .ndjson (also with .gz or .zst) and .parquet"
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "state.json", "manifest.json"}
_READ_BYTES = 1 << 18
_BATCH_ROWS = 256
_OPENS_LIST = re.compile(rb"\s*\[\s*(\{|$)")
_BOM = b"\xef\xbb\xbf"
_DAMAGE = (OSError, EOFError, zlib.error, pa.ArrowException)


@dataclass(frozen=True)
class Source:
    """One data file.

    Attributes:
        path: where it lies.
        label: the shortest tail of the path that no other file shares; names it in failures and manifests.
        name: the `source` of its rows: the label without extensions and shard number.
        by_column: whether `split` selects by the records' `split` column here, not by file name.
    """

    path: Path
    label: str
    name: str
    by_column: bool = False

    @property
    def is_parquet(self) -> bool:
        return self.path.suffix == ".parquet"

    @property
    def unit(self) -> str:
        """What the numbers of its records count."""
        return "row" if self.is_parquet else "line"


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


def find_sources(paths: Sequence[Path], split: str | None = None) -> list[Source]:
    """The data files of these files and folders, folders in sorted order, each under a name of its own.

    Args:
        paths: files, or folders that are searched to the bottom.
        split: keep the files whose name (in a folder: whose path below it) holds this word; where a path has
            none, its files are kept and their `split` column decides.

    Raises:
        InputError: nothing is there, or a file has a suffix that is not read.
        UsageError: a file is named twice.
    """
    found: list[tuple[Path, bool]] = []
    for path in paths:
        files = _data_files(path)
        named = [f for f in files if split and _holds_word(f, path, split)]
        found += [(f, bool(split) and not named) for f in named or files]
    counts = Counter(path.resolve() for path, _ in found)
    if twice := [str(path) for path, n in counts.items() if n > 1]:
        raise UsageError(f"{twice[0]} is named twice; name each file once")
    files = [path.resolve() for path, _ in found]
    labels = _tails(files)
    return [
        Source(path, label, name, by_column)
        for (path, by_column), label, name in zip(found, labels, _names(files), strict=True)
    ]


def _names(files: Sequence[Path]) -> list[str]:
    """The tails without extensions; the shards of a file share a name, other files never do."""
    stems = [file.with_name(_SHARD.sub("", _stem(file))) for file in files]
    counts, both = Counter(stems), zip(files, stems, strict=True)
    stems = [f if counts[stem] > 1 and not _SHARD.search(_stem(f)) else stem for f, stem in both]
    distinct = list(dict.fromkeys(stems))
    names = dict(zip(distinct, _tails(distinct), strict=True))
    return [names[stem] for stem in stems]


def _data_files(path: Path) -> list[Path]:
    if path.is_file():
        if not _NAME.fullmatch(path.name):
            raise InputError(f"{path} is no data file: {_SUFFIXES} are read")
        return [path]
    if not path.is_dir():
        raise InputError(f"{path} is neither a file nor a folder")
    named = [f for f in sorted(path.rglob("*")) if _NAME.fullmatch(f.name) and f.name not in _NOT_DATA]
    hidden = [any(part.startswith(".") for part in f.relative_to(path).parts) for f in named]
    files = [f for f, is_hidden in zip(named, hidden, strict=True) if f.is_file() and not is_hidden]
    if not files:
        raise InputError(f"{path} holds no data files: {_SUFFIXES} are read")
    return files


def _holds_word(file: Path, root: Path, word: str) -> bool:
    name = file.name if file == root else file.relative_to(root).as_posix()
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", name) is not None


def _stem(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    assert match
    return match["stem"]


def _tails(paths: Sequence[Path]) -> list[str]:
    """For each path the shortest tail that no other has, the folders above it added as needed."""
    tails = [path.name for path in paths]
    for depth in range(2, max((len(p.parts) for p in paths), default=0) + 1):
        counts = Counter(tails)
        if len(counts) == len(paths):
            break
        tails = [
            "/".join(p.parts[-depth:]).replace("//", "/") if counts[t] > 1 else t
            for p, t in zip(paths, tails, strict=True)
        ]
    return tails


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
        max_bytes: a longer line is not kept in memory but yielded as `too_long`.

    Raises:
        InputError: it cannot be opened, is damaged, or is one JSON list instead of a record a line.
    """
    by_row = source.is_parquet
    items = _read_rows(source, columns, start) if by_row else _read_lines(source, number, start, max_bytes)
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
                    f"jq -c '.[]' {source.path.name} > {_stem(source.path)}.jsonl"
                )
            if too_long:
                reason = f"the line is longer than {max_bytes:,} bytes, too long for two texts of max_chars"
                yield Item(number, end, Malformed("too_long", reason))
            elif line and not line.isspace():
                yield Item(number, end, decode(line))


def _open_lines(path: Path) -> IO[bytes]:
    opened: dict[str, Callable[[Path], Any]] = {
        ".gz": gzip.GzipFile, ".zst": lambda p: pa.input_stream(p, compression="zstd"),
    }  # fmt: skip
    return io.BufferedReader(opened.get(path.suffix, io.FileIO)(path), _READ_BYTES)


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


def _read_rows(source: Source, columns: Sequence[str] | None, start: int) -> Iterator[Item]:
    with pq.ParquetFile(source.path, buffer_size=1 << 20, pre_buffer=False) as file:
        names = file.schema_arrow.names
        wanted = None if columns is None else [name for name in names if name in columns]
        groups, row = _groups_from(file.metadata, start)
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=wanted):
            done = min(max(start - row, 0), batch.num_rows)
            for at, record in enumerate(_records(batch.slice(done)), start=row + done):
                yield Item(at, at + 1, record)
            row += batch.num_rows


def _groups_from(metadata: Any, start: int) -> tuple[list[int], int]:
    """The row groups that hold rows from `start` on, and the first row of the first of them."""
    first = 0
    for group in range(metadata.num_row_groups):
        n_rows = metadata.row_group(group).num_rows
        if first + n_rows > start:
            return list(range(group, metadata.num_row_groups)), first
        first += n_rows
    return [], first


def _records(batch: Any) -> Iterator[Record | Malformed]:
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass  # raised before the first record: find the rows it is about
    for i in range(batch.num_rows):
        try:
            yield batch.slice(i, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield Malformed("invalid_utf8", f"a text of the row is not UTF-8: {error.reason}")


def count_rows(source: Source) -> int | None:
    """How many records a file holds, None where only reading it would tell."""
    return int(pq.read_metadata(source.path).num_rows) if source.is_parquet else None
