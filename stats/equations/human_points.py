"""Probability points: how much likelier a text is chosen for one more of a feature, at the pairs as they are.

For feature f of coefficients b: the mean over pairs of s(d'b + b_f) - s(d'b), d chosen less rejected, s
logistic. Log odds shrink with whatever else moves a choice; points are on the scale of choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from seal.stats.regression.inference import Floats


def gains(d: Floats, b: Floats) -> Floats:
    """s(d'b + b_f) - s(d'b) of every pair and feature, (n, K)."""
    eta = d @ b
    return np.asarray(expit(eta[:, None] + b) - expit(eta)[:, None], dtype=np.float64)


@dataclass(frozen=True)
class Points:
    """Their means, (K,), and the derivative of each in b, (K, K)."""

    mean: Floats
    jacobian: Floats


def points(d: Floats, b: Floats, weight: Floats | None = None) -> Points:
    """Probability points of coefficients b at pairs held as arrays.

    Args:
        d: (n, K).
        b: (K,) log odds.
        weight: (n,); None for one each.
    """
    sums = PointSums([b])
    sums.add(d, weight)
    return sums.total()[0]


@dataclass
class PointSums:
    """Points of several sets of coefficients, added up block by block."""

    coefficients: Sequence[Floats]
    _n: float = 0.0
    _gains: list[Floats] = field(init=False, repr=False)
    _slopes: list[Floats] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._gains = [np.zeros(len(b)) for b in self.coefficients]
        self._slopes = [np.zeros((len(b), len(b))) for b in self.coefficients]

    def add(self, d: Floats, weight: Floats | None = None) -> None:
        """Add pairs."""
        w = np.ones(len(d)) if weight is None else weight
        self._n += float(w.sum())
        for b, total, slopes in zip(self.coefficients, self._gains, self._slopes, strict=True):
            eta = d @ b
            with_it, without = expit(eta[:, None] + b), expit(eta)
            total += w @ (with_it - without[:, None])
            steep = w[:, None] * with_it * (1 - with_it)
            slopes += steep.T @ d - (w * without * (1 - without)) @ d
            slopes[np.diag_indices(len(b))] += steep.sum(axis=0)

    def total(self) -> list[Points]:
        """Of each set of coefficients."""
        return [Points(g / self._n, s / self._n) for g, s in zip(self._gains, self._slopes, strict=True)]
