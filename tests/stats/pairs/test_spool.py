"""Pairs that are walked through again: the same blocks, whether they were kept in memory or on disk."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from seal.stats.pairs.spool import Spool

BLOCKS = [pl.DataFrame({"row_id": [i, i + 1], "x": [0.5 * i, None]}) for i in range(0, 8, 2)]


@pytest.mark.parametrize("in_memory", [0, 40, 10**6])
def test_every_walk_gives_the_same_blocks(in_memory: int) -> None:
    with Spool(iter(BLOCKS), in_memory=in_memory) as rows:
        for _ in range(3):
            for got, expected in zip(list(rows), BLOCKS, strict=True):
                assert_frame_equal(got, expected)


def test_the_scratch_folder_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Spool(BLOCKS, in_memory=0) as rows:
        list(rows)
        assert len(list(tmp_path.rglob("*.arrow"))) == len(BLOCKS)
    assert not list(tmp_path.iterdir())


def test_a_first_walk_that_was_broken_off_is_not_taken_for_whole() -> None:
    with Spool(BLOCKS) as rows:
        next(iter(rows))
        with pytest.raises(RuntimeError, match="not walked to its end"):
            list(rows)
