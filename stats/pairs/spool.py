"""Pairs that are walked through more than once: joined once, kept in memory or in a scratch folder."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import polars as pl

IN_MEMORY = 256 * 2**20  # bytes of blocks that stay in memory; those after them go to the scratch folder


class Store:
    """Blocks in the order they were added: the first ones in memory, those after them in a scratch folder.

    Use it in a `with` statement: leaving it forgets the blocks and removes the folder.

    Args:
        in_memory: bytes of blocks to keep in memory.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._room = in_memory
        self._kept: list[pl.DataFrame | Path] = []
        self._scratch: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget the blocks and remove the scratch folder."""
        self._kept.clear()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for kept in self._kept:
            yield pl.read_ipc(kept.read_bytes()) if isinstance(kept, Path) else kept

    def add(self, block: pl.DataFrame) -> None:
        """Keep a block."""
        size = int(block.estimated_size())
        if size <= self._room:
            self._room -= size
            self._kept.append(block)
            return
        if self._scratch is None:
            self._scratch = TemporaryDirectory(prefix="seal-pairs-")
        path = Path(self._scratch.name) / f"{len(self._kept):06d}.arrow"
        block.write_ipc(path, compression="uncompressed")
        self._kept.append(path)


class Spool(Store):
    """Blocks of pairs, as often as wanted, in one order.

    The first walk passes the blocks on as they come and keeps them; it must be walked to its end. Further
    walks read what was kept.

    Args:
        blocks: walked through once, e.g. `seal.stats.pairs.joins.Pairs`.
        in_memory: bytes of blocks to keep in memory.
    """

    def __init__(self, blocks: Iterable[pl.DataFrame], *, in_memory: int = IN_MEMORY) -> None:
        super().__init__(in_memory)
        self._blocks, self._whole = blocks, False

    def __iter__(self) -> Iterator[pl.DataFrame]:
        if self._whole:
            yield from super().__iter__()
            return
        if self._kept:
            raise RuntimeError("the first walk through the pairs was not walked to its end")
        for block in self._blocks:
            self.add(block)
            yield block
        self._whole = True
