"""A share of the pairs, drawn by the seed and the pair's number alone: not by order, parts or versions."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.errors import UsageError


@dataclass(frozen=True)
class Sample:
    """Which pairs are kept. A larger share of the same seed keeps all that a smaller one keeps.

    Attributes:
        share: of the pairs, in expectation; above 0, at most 1.
        seed: another one keeps other pairs.
    """

    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"the sample is {self.share}; a share above 0 and at most 1 is needed")
        if not 0 <= self.seed < 1 << 63:
            raise UsageError(f"the seed is {self.seed}; it is 0 to 2^63 - 1")

    def keeps(self, row_id: pl.Series) -> pl.Series:
        """For each row_id whether its pair is kept."""
        return pl.Series((hashed(row_id.to_numpy(), self.seed) >> np.uint64(11)) < self.share * 2.0**53)


def hashed(row_id: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """(n,) 64 random bits a pair, of the seed and its row_id alone; no two row_ids have the same."""
    return _mixed(row_id.astype(np.uint64) + _mixed(np.array([seed], np.uint64)))


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of x."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
