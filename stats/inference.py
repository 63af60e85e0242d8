"""Intervals, tests and multiplicity: pure functions on numbers and arrays."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats as distributions

from engine.errors import UsageError

Adjust = Literal["holm", "bonferroni", "bh"]
Floats = NDArray[np.float64]


def require_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a value that is none of the allowed ones, naming them."""
    if value not in allowed:
        raise UsageError(f"{name} cannot be {value!r}; allowed: {', '.join(allowed)}")


def require_level(level: float) -> None:
    """Refuse a confidence level that is no probability between 0 and 1."""
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, not {level}; 0.95 is usual")


def wilson(successes: ArrayLike, totals: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval of a proportion (Wilson 1927), elementwise.

    Args:
        successes: counts (halves allowed), any shape.
        totals: of the same shape; the interval of no observation is NaN, which the caller turns into null.
        level: coverage, 0.95 for 95%.

    Returns:
        Lower and upper limits, within [0, 1].
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(totals, dtype=np.float64)
    z = distributions.norm.isf((1 - level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = k / n
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
