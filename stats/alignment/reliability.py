"""How well margins serve as probabilities: log loss, Brier score, expected calibration error, AUC.

The outcome of a pair is always "chosen", so nothing may depend on which text is written first. s(t m) is the
probability of the choice. Log loss and Brier score are the same from either side. For the area under the
curve each pair enters from both sides, as (m, chosen) and (-m, rejected). For the calibration error each pair
is turned so that the text with the higher s(t m) stands first: its confidence is s(|t m|), and it hits where
that text was chosen (Guo et al. 2017).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from seal.stats.options import LEVEL, RESAMPLES
from seal.stats.regression.inference import Floats

BINS = 15
_PARTS = 4  # of a bin: resamples draw from these, each with its mean confidence
_CHUNK = 1 << 18  # pairs worked on together


@dataclass(frozen=True)
class Reliability:
    """Margins as probabilities s(t m) of the people's choices.

    Attributes:
        log_loss: mean of -log s(t m), in nats; 0.693 for a coin.
        brier: mean of (1 - s(t m))^2; 0.25 for a coin.
        ece: expected calibration error, a share.
        ece_low, ece_high: its interval; None with fewer than two pairs.
    """

    log_loss: float
    brier: float
    ece: float
    ece_low: float | None
    ece_high: float | None


def factor(margins: Floats) -> float | None:
    """t of P(chosen) = s(t m) by maximum likelihood: a logit on the margin without intercept.

    Args:
        margins: (n,), finite.

    Returns:
        t, negative where margins go against the people; None where no margin is positive or none negative,
        so that no finite t is best, and where t does not fit into a float.
    """
    if not len(margins) or not margins.min() < 0 < margins.max():
        return None
    scale = float(np.abs(margins).max())

    def score(t: float) -> float:
        return math.fsum(float(x @ expit(-t * x)) for x in (part / scale for part in _chunks(margins)))

    start = score(0.0)
    if start == 0:
        return 0.0
    steepest = math.fsum(float(x @ x) for x in (part / scale for part in _chunks(margins))) / 4  # at t = 0,
    near, far = 0.0, start / steepest  # so that this step of Newton's method never goes too far
    while score(far) * start > 0:
        near, far = far, 2 * far
    t = float(brentq(score, near, far, xtol=1e-300, rtol=1e-13)) / scale
    return t if math.isfinite(t) else None


def area_under_curve(margins: Floats) -> float | None:
    """Share of cases of a chosen and a rejected text that margins put in order, each pair from both sides.

    Ties count half. That is the share of i, j with m_i + m_j > 0, and half of those with m_i + m_j = 0. It is
    the same for every t > 0.

    Args:
        margins: (n,), finite.

    Returns:
        From 0 to 1, 0.5 for a coin; None without pairs. Exact: pairs are counted.
    """
    n = len(margins)
    if not n:
        return None
    ordered = np.sort(margins)
    twice = 0
    for part in _chunks(ordered):
        above = n - np.searchsorted(ordered, -part, side="right")
        tied = n - above - np.searchsorted(ordered, -part, side="left")
        twice += 2 * int(above.sum()) + int(tied.sum())
    return twice / (2 * n * n)


class Ordered:
    """The pairs of one model by the size of their margins, cut into bins of equal counts.

    Equal margins stay together: the bin is that of their middle. So the order of the pairs is nothing.

    Args:
        margins: (n,), finite, n at least 1; two arrays of this length are kept.
    """

    def __init__(self, margins: Floats) -> None:
        ordered = pl.DataFrame({"size": np.abs(margins), "won": margins > 0}).sort("size", "won")
        self._size, self._won = ordered["size"].to_numpy(), ordered["won"].to_numpy()
        self.n = len(margins)
        self._cuts = [self._cut(k * self.n, BINS * _PARTS) for k in range(BINS * _PARTS + 1)]

    def _cut(self, numerator: int, denominator: int) -> int:
        """Where to cut near numerator / denominator: before or behind the margins that are equal there."""
        at = numerator // denominator
        if at >= self.n:
            return self.n
        first, last = (int(np.searchsorted(self._size, self._size[at], side=s)) for s in ("left", "right"))
        return first if (first + last) * denominator >= 2 * numerator else last

    def reliability(
        self,
        t: float,
        *,
        fitted: bool = False,
        level: float = LEVEL,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> Reliability:
        """What s(t m) is worth as a probability.

        Args:
            t: what margins are multiplied by.
            fitted: whether t is `factor` of these margins; its error is then in the interval, to first order.
            level: of the interval of `ece`, see `sum_of_sizes`; pairs are drawn, bins stay as they are.
            resamples, seed: of it.
        """
        cells = _Cells.together(self._parts(t))
        gaps = cells.gaps(cells.n[None, :]) / self.n
        ece = float(np.abs(gaps).sum())
        low, high = None, None
        if self.n > 1:
            drawn = np.random.default_rng(seed).multinomial(self.n, cells.n / self.n, size=resamples)
            noise = cells.gaps(drawn, moved=fitted) / self.n - gaps
            low, high = (min(end, 1.0) for end in sum_of_sizes(gaps[0], noise, level))
        return Reliability(cells.log_loss / self.n, cells.brier / self.n, ece, low, high)

    def _parts(self, t: float) -> Iterator["_Cells"]:
        """Part after part of the bins, at a confidence of s(|t| size)."""
        for low, high in zip(self._cuts, self._cuts[1:], strict=False):
            size, won = self._size[low:high], self._won[low:high]
            yield _Cells.of(size, (won if t >= 0 else ~won) & (size > 0), abs(t))


@dataclass(frozen=True)
class _Cells:
    """Sums over the hits, the misses and the ties of parts of bins.

    Attributes:
        n: (C,), pairs; C = parts x 3, in this order.
        residual: (C,), of hit - confidence.
        score: (C,), of (hit - confidence) x size: what t solves for.
        slope: (C,), of confidence (1 - confidence) x size: how a residual falls with |t|.
        information: of confidence (1 - confidence) x size^2, over all.
        log_loss, brier: over all.
    """

    n: Floats
    residual: Floats
    score: Floats
    slope: Floats
    information: float
    log_loss: float
    brier: float

    @classmethod
    def of(cls, size: Floats, hit: NDArray[np.bool_], t: float) -> "_Cells":
        """Sum up one part."""
        sure, tied = expit(t * size), size == 0
        residual = np.where(tied, 0.0, hit - sure)
        spread = sure * (1 - sure)
        kinds = (hit, ~hit & ~tied, tied)

        def sums(values: Floats) -> Floats:
            return np.array([values[kind].sum() for kind in kinds])

        of_choice = np.where(hit | tied, t * size, -t * size)  # t m
        return cls(
            np.array([kind.sum() for kind in kinds], dtype=np.float64), sums(residual),
            sums(residual * size), sums(spread * size), float((spread * size**2).sum()),
            float(np.logaddexp(0.0, -of_choice).sum()), float((expit(-of_choice) ** 2).sum()),
        )  # fmt: skip

    @classmethod
    def together(cls, parts: Iterable["_Cells"]) -> "_Cells":
        """Lay parts end to end."""
        every = list(parts)
        return cls(
            np.concatenate([p.n for p in every]), np.concatenate([p.residual for p in every]),
            np.concatenate([p.score for p in every]), np.concatenate([p.slope for p in every]),
            math.fsum(p.information for p in every), math.fsum(p.log_loss for p in every),
            math.fsum(p.brier for p in every),
        )  # fmt: skip

    def _of(self, drawn: NDArray[np.int64] | Floats, sums: Floats) -> Floats:
        """The sums of so many pairs of each cell instead of its own."""
        return np.asarray(drawn * (sums / np.maximum(self.n, 1)))

    def gaps(self, drawn: NDArray[np.int64] | Floats, *, moved: bool = False) -> Floats:
        """(R, bins): hits - confidences of each bin, for R draws of pairs by cell (R, C).

        With `moved` the factor moves with the draw, by one step of Newton's method.
        """
        found = _by_bin(self._of(drawn, self.residual))
        if moved and self.information > 0:
            step = self._of(drawn - self.n, self.score).sum(axis=1) / self.information
            found = found - step[:, None] * _by_bin(self._of(drawn, self.slope))
        return found


def sum_of_sizes(gaps: Floats, noise: Floats, level: float) -> tuple[float, float]:
    """An interval for the sum of |true gaps|, which noise makes larger than it is.

    True gaps are taken as k times those seen. The interval holds every k at which the sum that was seen is
    neither too large nor too small among the sums of |k gaps + noise|, and that sum itself. So it reaches
    down to 0 where noise alone explains what is seen.

    Args:
        gaps: (bins,), as seen.
        noise: (R, bins), draws of it.
        level: of the interval.
    """
    seen = float(np.abs(gaps).sum())

    def beyond(k: float, share: float) -> float:
        return float(np.quantile(np.abs(k * gaps + noise).sum(axis=1), share)) - seen

    def largest(share: float) -> float:
        """The k at which this quantile of the sums is what was seen; 0 where it is larger at 0 already."""
        if seen == 0 or beyond(0.0, share) >= 0:
            return 0.0
        far = 1.0
        while beyond(far, share) < 0:
            far *= 2
        return float(brentq(beyond, 0.0, far, args=(share,), xtol=1e-6))

    low, high = (largest(share) for share in ((1 + level) / 2, (1 - level) / 2))
    return min(low, 1.0) * seen, max(high, 1.0) * seen


def _by_bin(values: Floats) -> Floats:
    return np.asarray(values.reshape(len(values), BINS, -1).sum(axis=2))


def _chunks(values: Floats) -> Iterator[Floats]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
