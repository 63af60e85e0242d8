"""What readers of data files share: what they yield, limits, and files as they are opened."""

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from seal.engine.datasets.fields import Record
from seal.engine.datasets.transcripts import Malformed
from seal.engine.errors import InputError

READ_BYTES = 1 << 18
FEW_BYTES = 1 << 20  # of a line that is not looked at more closely
VALUE_BYTES = 12  # of a line for a value; a value takes up to 100 bytes of memory
BOM = b"\xef\xbb\xbf"
DAMAGE = (OSError, EOFError, zlib.error, pa.ArrowException)


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


@contextmanager
def open_lines(path: Path) -> Iterator[IO[bytes]]:
    """A file of lines, decompressed as its suffix says."""
    with ExitStack() as stack:
        if path.suffix == ".zst":
            opened: Any = pa.input_stream(stack.enter_context(for_arrow(path)), compression="zstd")
        else:
            opened = (gzip.GzipFile if path.suffix == ".gz" else io.FileIO)(path)
        yield stack.enter_context(io.BufferedReader(opened, READ_BYTES))


def skip(file: IO[bytes], n_bytes: int) -> None:
    """Go from the start of a file to one of its bytes."""
    if file.seekable():
        file.seek(n_bytes)
        return
    while n_bytes > 0 and (skipped := file.read(min(n_bytes, READ_BYTES))):
        n_bytes -= len(skipped)


def refuse_doubled(path: Path, columns: Sequence[str]) -> None:
    """Refuse a file with two columns of one name.

    Raises:
        InputError: it is so.
    """
    if twice := [(name, n) for name, n in Counter(columns).items() if n > 1]:
        name, n = twice[0]
        raise InputError(
            f"{path} has {n} columns named {name!r}, and nothing says which is meant: write it again under "
            "names of their own"
        )


@contextmanager
def for_arrow(path: Path) -> Iterator[Any]:
    """A file as pyarrow takes it, which takes no name that is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield file
    else:
        yield path
