"""Columns of numbers, written once and read in passes: in memory while they are few, then on disk.

A chunk on disk is one file, its columns one after another, eight bytes a number; a pass reads the rows and
columns that it needs and no more, so memory does not grow with the rows.
"""

import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

IN_MEMORY = 64 * 2**20  # bytes of columns that stay in memory; chunks after them go to the scratch folder
ROWS = 1 << 16  # rows read at a time
Array = NDArray[Any]


class _Chunk(Protocol):
    @property
    def height(self) -> int: ...

    def read(self, name: str, rows: slice) -> Array | None: ...


@dataclass(frozen=True)
class _Held:
    height: int
    columns: Mapping[str, Array]

    def read(self, name: str, rows: slice) -> Array | None:
        column = self.columns.get(name)
        return None if column is None else column[rows]


@dataclass(frozen=True)
class _Written:
    height: int
    path: Path
    places: Mapping[str, tuple[int, np.dtype[Any]]]  # name -> which column of the file, type

    def read(self, name: str, rows: slice) -> Array | None:
        if name not in self.places:
            return None
        place, kind = self.places[name]
        start = 8 * (place * self.height + rows.start)
        return np.fromfile(self.path, kind, rows.stop - rows.start, offset=start)


@dataclass(frozen=True)
class Part:
    """Some rows of one chunk."""

    chunk: _Chunk
    rows: slice

    def __len__(self) -> int:
        return int(self.rows.stop - self.rows.start)

    def __getitem__(self, name: str) -> Array:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def get(self, name: str) -> Array | None:
        """A column, or None where its chunk has none of that name."""
        return self.chunk.read(name, self.rows)


class Store:
    """Chunks of equally long columns of int64 or float64, numbered through in the order they came.

    The scratch folder goes with the store.

    Args:
        in_memory: bytes that stay in memory.
    """

    def __init__(self, *, in_memory: int = IN_MEMORY) -> None:
        self._room = in_memory
        self._chunks: list[_Chunk] = []
        self._folder: Path | None = None

    @property
    def height(self) -> int:
        """Rows so far."""
        return sum(c.height for c in self._chunks)

    @property
    def on_disk(self) -> bool:
        """Whether some rows are in the scratch folder."""
        return self._folder is not None

    def add(self, columns: Mapping[str, Array]) -> None:
        """Add a chunk: name -> (n,) int64 or float64."""
        height = len(next(iter(columns.values())))
        if not height:
            return
        size = 8 * height * len(columns)
        if size <= self._room:
            self._room -= size
            self._chunks.append(_Held(height, dict(columns)))
        else:
            self._chunks.append(self._write(height, columns))

    def _write(self, height: int, columns: Mapping[str, Array]) -> _Written:
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="seal-cells-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"{len(self._chunks):06d}.bin"
        with path.open("wb") as file:
            for column in columns.values():
                np.ascontiguousarray(column).tofile(file)
        places = {name: (i, column.dtype) for i, (name, column) in enumerate(columns.items())}
        return _Written(height, path, places)

    def parts(self, low: int, high: int) -> Iterator[Part]:
        """Rows low to high, less one, `ROWS` at a time, none across two chunks."""
        start = 0
        for chunk in self._chunks:
            first, last = max(low - start, 0), min(high - start, chunk.height)
            for at in range(first, last, ROWS):
                yield Part(chunk, slice(at, min(at + ROWS, last)))
            start += chunk.height


@dataclass(frozen=True)
class Stored:
    """What is worked out from the rows of a store, row by row; it reads like an array.

    A slice reads its rows alone. Whatever else is asked for is gathered part by part.

    Attributes:
        store: the rows.
        make: a part's numbers, (n,) or (n, width).
        width: columns; None where there is one number a row.
        kind: of the numbers.
    """

    store: Store
    make: Callable[[Part], Array]
    width: int | None = None
    kind: type = np.float64

    def __len__(self) -> int:
        return self.store.height

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows,) or (rows, width)."""
        return (len(self),) if self.width is None else (len(self), self.width)

    def __getitem__(self, at: Any) -> Array:
        rows, *rest = at if isinstance(at, tuple) else (at,)
        if isinstance(rows, slice) and rows.step in (None, 1):
            low, high, _ = rows.indices(len(self))
            return self._gathered(low, high, tuple(rest))
        return np.asarray(self._gathered(0, len(self), tuple(rest))[rows])

    def __gt__(self, other: float) -> NDArray[np.bool_]:
        return np.asarray(self[:] > other)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype=dtype)

    def sum(self) -> float:
        """Of all numbers."""
        return float(sum(self.make(part).sum() for part in self.store.parts(0, len(self))))

    def _gathered(self, low: int, high: int, rest: tuple[Any, ...]) -> Array:
        made = [self.make(part)[(slice(None), *rest)] for part in self.store.parts(low, high)]
        if len(made) == 1:
            return made[0]
        empty: Array = np.empty((0, *self.shape[1:]), self.kind)
        return np.concatenate(made) if made else empty[(slice(None), *rest)]
