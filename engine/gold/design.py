"""Which pairs are drawn: sizes of strata, the draw, and each pair's inclusion probability. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seal.engine.errors import UsageError
from seal.engine.frames.sampling import hashed


@dataclass(frozen=True)
class Drawn:
    """Some of N pairs.

    Attributes:
        row_id: (m,) of the pairs that were drawn, rising.
        stratum: (m,) the number of each one's stratum.
        probability: (m,) that a pair of its stratum was drawn: drawn over all of the stratum, exactly.
    """

    row_id: NDArray[np.int64]
    stratum: NDArray[np.int64]
    probability: NDArray[np.float64]


def draw(row_id: NDArray[np.int64], stratum: NDArray[np.int64], sizes: Sequence[int], seed: int) -> Drawn:
    """Simple random sampling without replacement within each stratum.

    Pairs are taken in order of a hash of seed and row_id that has no ties, so that neither the order of the
    pairs nor the other strata change what is drawn, and a larger sample of one seed holds a smaller one.

    Args:
        row_id: (N,) all different.
        stratum: (N,) 0 to H - 1.
        sizes: (H,) pairs to draw from each.
        seed: another one draws other pairs.
    """
    order = hashed(row_id, seed)
    taken, shares = [], []
    for number, size in enumerate(sizes):
        here = np.flatnonzero(stratum == number)
        taken.append(here[np.argsort(order[here])[:size]])
        shares.append(size / max(1, len(here)))
    places = np.concatenate(taken)
    places = places[np.argsort(row_id[places])]
    return Drawn(row_id[places], stratum[places], np.array(shares)[stratum[places]])


def proportional(counts: Sequence[int], n_drawn: int) -> list[int]:
    """Sizes in proportion to strata by largest remainder, at least one each.

    Args:
        counts: (H,) pairs of each stratum, all above 0.
        n_drawn: pairs to draw in all; at least H, at most their sum.

    Raises:
        UsageError: fewer pairs than strata, or more than there are.
    """
    _refuse_more(n_drawn, sum(counts))
    if n_drawn < len(counts):
        raise UsageError(
            f"{n_drawn} pairs of {len(counts)} strata: each needs one, or nothing "
            f"would stand for its pairs; draw at least {len(counts)}, or name a column with fewer values"
        )
    wanted = n_drawn * np.array(counts) / sum(counts)
    sizes = np.maximum(1, np.floor(wanted)).astype(int)
    for place in np.argsort(-(wanted - sizes), kind="stable")[: max(0, n_drawn - sizes.sum())]:
        sizes[place] += 1
    while sizes.sum() > n_drawn:  # strata of less than one pair's share were given one
        able = np.where(sizes > 1, sizes - wanted, -np.inf)
        sizes[np.argmax(able)] -= 1
    return [int(size) for size in sizes]


def with_share(counts: Sequence[int], n_drawn: int, share: float) -> list[int]:
    """Sizes of two strata, the second with a share of the sample as far as its pairs go, at least one each.

    Args:
        counts: (2,) pairs of each.
        n_drawn: pairs to draw in all.
        share: of the second.

    Raises:
        UsageError: more pairs than there are, or one pair for two strata.
    """
    _refuse_more(n_drawn, sum(counts))
    common, rare = counts
    if n_drawn < (common > 0) + (rare > 0):
        raise UsageError("1 pair of two strata: draw at least 2")
    size = min(rare, max(round(share * n_drawn), min(rare, 1)), n_drawn - min(common, 1))
    size = max(size, n_drawn - common)
    return [n_drawn - size, size]


def _refuse_more(n_drawn: int, n_pairs: int) -> None:
    if n_drawn > n_pairs:
        raise UsageError(f"{n_drawn} pairs cannot be drawn of {n_pairs}; draw at most {n_pairs}")
