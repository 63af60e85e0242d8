"""Pairs that are walked through more than once: joined once, kept in memory or in a scratch folder."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import polars as pl

IN_MEMORY = 256 * 2**20  # bytes of blocks that stay in memory; those after them go to the scratch folder


class Spool:
    """Blocks of pairs, as often as wanted, in one order.

    The first walk passes the blocks on as they come and keeps them; it must be walked to its end. Further
    walks read what was kept. Use it in a `with` statement: leaving it removes the scratch folder.

    Args:
        blocks: walked through once, e.g. `seal.stats.pairs.joins.Pairs`.
        in_memory: bytes of blocks to keep in memory.
    """

    def __init__(self, blocks: Iterable[pl.DataFrame], *, in_memory: int = IN_MEMORY) -> None:
        self._blocks, self._room = blocks, in_memory
        self._kept: list[pl.DataFrame | Path] = []
        self._whole = False
        self._scratch: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.clear()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        if self._whole:
            for kept in self._kept:
                yield pl.read_ipc(kept.read_bytes()) if isinstance(kept, Path) else kept
            return
        if self._kept:
            raise RuntimeError("the first walk through the pairs was not walked to its end")
        for block in self._blocks:
            self._keep(block)
            yield block
        self._whole = True

    def _keep(self, block: pl.DataFrame) -> None:
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
