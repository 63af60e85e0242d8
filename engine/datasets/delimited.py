"""CSV and TSV -> records: the first row names the columns, every cell is a string, rows may span lines."""

import csv
from collections.abc import Iterator, Sequence
from typing import IO

from seal.engine.datasets.items import (
    BOM,
    FEW_BYTES,
    READ_BYTES,
    VALUE_BYTES,
    Item,
    open_lines,
    refuse_doubled,
    skip,
)
from seal.engine.datasets.sources import Source
from seal.engine.datasets.transcripts import Malformed
from seal.engine.errors import InputError


def read_delimited(source: Source, number: int, start: int, max_bytes: int) -> Iterator[Item]:
    """The rows below the header, each with the number of its last line (see `files.read_items`)."""
    delimiter = "\t" if ".tsv" in source.path.suffixes[-2:] else ","
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))  # one for the process, 128 KiB at its start
    with open_lines(source.path) as file:
        lines = _Lines(file, delimiter, max_bytes)
        header = _header(source, lines)
    if not header:
        return
    with open_lines(source.path) as file:
        skip(file, start or lines.end)
        lines = _Lines(file, delimiter, max_bytes, number or lines.number, start or lines.end)
        for row in lines.rows():
            record = row if isinstance(row, Malformed) else _record(header, row)
            yield Item(lines.number, lines.end, record)


def _header(source: Source, lines: "_Lines") -> list[str]:
    row = next(lines.rows(), [])
    if isinstance(row, Malformed):
        raise InputError(f"{source.path}: the first row, which names the columns, cannot be read: {row}")
    refuse_doubled(source.path, row)
    return row


def _record(header: Sequence[str], row: Sequence[str]) -> dict[str, str] | Malformed:
    if len(row) != len(header):
        return Malformed("bad_csv", f"the row has {len(row)} cells, the header names {len(header)} columns")
    for name, cell in zip(header, row, strict=True):
        try:
            cell.isascii() or cell.encode()
        except UnicodeEncodeError as error:
            byte = ord(cell[error.start]) & 0xFF
            return Malformed("invalid_utf8", f"byte 0x{byte:02x} of '{name}' is not UTF-8")
    return dict(zip(header, row, strict=True))


class _TooLongError(Exception):
    """A row is not kept in memory; args: the reason."""


class _Lines:
    """The lines of a file as `csv` reads them, one row's at a time, and where they end.

    Attributes:
        number: lines read.
        end: bytes read.
    """

    def __init__(
        self, file: IO[bytes], delimiter: str, max_bytes: int, number: int = 0, end: int = 0
    ) -> None:
        self.number = number
        self.end = end
        self._file = file
        self._delimiter = delimiter
        self._max_bytes = max_bytes
        self._n_bytes = self._n_quotes = 0  # of the row that is being read

    def rows(self) -> Iterator[list[str] | Malformed]:
        """The rows, blank lines left out."""
        while True:
            reader = csv.reader(self, delimiter=self._delimiter, strict=True)
            try:
                self._n_bytes = self._n_quotes = 0
                row: list[str] | Malformed = next(reader)
            except StopIteration:
                return
            except _TooLongError as error:
                row = Malformed("too_long", str(error))
            except csv.Error as error:
                row = Malformed("bad_csv", f"no row: {error}")
            if row:
                yield row

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._max_bytes - self._n_bytes + 1)
        if not line:
            raise StopIteration
        first, self.end = not self.end, self.end + len(line)
        self._n_bytes += len(line)
        self._n_quotes += line.count(b'"')
        too_long = self._n_bytes > self._max_bytes
        most = self._max_bytes // VALUE_BYTES
        too_many = len(line) > FEW_BYTES and line.count(self._delimiter.encode()) > most
        if too_long or too_many:
            self._skip_row(line)
            what = (
                f"is longer than {self._max_bytes:,} bytes" if too_long else f"has more than {most:,} cells"
            )
            raise _TooLongError(f"the row {what}, too long for two texts of max_chars")
        self.number += 1
        return (line.removeprefix(BOM) if first else line).decode(errors="surrogateescape")

    def _skip_row(self, line: bytes) -> None:
        """Read to the end of a line outside quotes."""
        while line and not (line.endswith(b"\n") and self._n_quotes % 2 == 0):
            self.number += line.endswith(b"\n")
            line = self._file.readline(READ_BYTES)
            self.end += len(line)
            self._n_quotes += line.count(b'"')
        self.number += 1
