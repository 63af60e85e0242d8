"""The same input gives the same bytes, whatever polars' threads happened to read first."""

from pathlib import Path

import numpy as np
import polars as pl

from seal.stats.alignment.alignment import alignment
from seal.stats.regression.cells import collapse, merge

N = 600_000
TIMES = 10


def test_cells_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(0)
    pairs = pl.DataFrame({"a": rng.integers(0, 50, N), "y": rng.normal(size=N), "z": rng.normal(size=N)})
    first = collapse(pairs, ["a"], ["y", "z"])
    assert all(collapse(pairs, ["a"], ["y", "z"]).equals(first) for _ in range(TIMES))
    blocks = [collapse(part, ["a"], ["y", "z"]) for part in pairs.iter_slices(N // 40)]
    whole = merge(blocks, ["a"])
    assert all(merge(blocks, ["a"]).equals(whole) for _ in range(TIMES))
    np.testing.assert_allclose(whole["s_y"], first["s_y"], rtol=1e-9, atol=1e-9)


def test_mean_margins_do_not_depend_on_threads(tmp_path: Path) -> None:
    rewards = np.random.default_rng(1).normal(size=2 * N).astype(np.float32)
    frame = pl.DataFrame(
        {
            "row_id": np.repeat(np.arange(N), 2), "preference": ["chosen", "rejected"] * N,
            "variant": ["original"] * (2 * N), "model": ["one"] * (2 * N), "reward": rewards,
        }
    )  # fmt: skip
    frame.write_parquet(tmp_path / "scores.parquet", row_group_size=50_000)
    scores = pl.scan_parquet(tmp_path / "scores.parquet")
    first = alignment(scores)
    assert all(alignment(scores).equals(first) for _ in range(TIMES))
    margins = rewards[::2].astype(np.float64) - rewards[1::2]
    np.testing.assert_allclose(first["mean_margin"], margins.mean(), rtol=1e-9)
