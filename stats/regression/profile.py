"""Tests and intervals by a profile likelihood: where it has fallen as far as the level allows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, norm

from seal.stats.regression.inference import Floats

_FAR = 60.0  # log odds beyond which a limit counts as infinite
_CLOSE = 1e-5  # log odds: a limit is as good as that
_MOST_STEPS = 100


@dataclass(frozen=True)
class Profile:
    """A profile likelihood test; with `interval` its limits also, None where the profile stays flat."""

    p_value: float
    low: float | None = None
    high: float | None = None
    interval: bool = False


@dataclass(frozen=True)
class Point:
    """The highest likelihood with one coefficient held.

    Attributes:
        at: what it is held at.
        value: log likelihood.
        slope: its derivative in that coefficient; in the others it is 0.
        solution: (p,) all coefficients.
    """

    at: float
    value: float
    slope: float
    solution: Floats


Solve = Callable[[float, Floats], Point]
"""(what the coefficient is held at, where to begin (p,)) -> a maximum."""


def profile(solve: Solve, best: Point, std_error: float, level: float | None) -> Profile:
    """Test one coefficient against 0, and give its interval (Heinze and Schemper 2002).

    Args:
        solve: finds a maximum; there may be others.
        best: the maximum with nothing held.
        std_error: of the coefficient, as large as the first step out.
        level: of the interval; None for the test alone.
    """
    p_value = float(chi2.sf(_deviance(best, solve(0.0, best.solution)), 1))
    if level is None:
        return Profile(p_value)
    out = float(norm.isf((1 - level) / 2)), std_error
    return Profile(p_value, _limit(solve, best, -1, *out), _limit(solve, best, 1, *out), interval=True)


def _deviance(best: Point, point: Point) -> float:
    return max(2 * (best.value - point.value), 0.0)


def _limit(solve: Solve, best: Point, sign: int, critical: float, std_error: float) -> float | None:
    """Where the root of the deviance, nearly a straight line, is the critical value: by Newton's method.

    Its steps stay between two ends that close in. Each maximum is looked for from both, for the way back from
    far out alone can end in another, lower one.
    """

    def excess(point: Point) -> float:
        return float(np.sqrt(_deviance(best, point))) - critical

    def highest(at: float, *known: Point) -> Point:
        return max((solve(at, point.solution) for point in known), key=lambda point: point.value)

    near, far = best, solve(best.at + sign * critical * std_error, best.solution)
    while excess(far) <= 0:
        further = best.at + 1.7 * (far.at - best.at)
        if abs(further - best.at) >= _FAR:
            return None
        near, far = far, highest(further, far, best)
    point = far
    for _ in range(_MOST_STEPS):
        at = point.at + excess(point) * float(np.sqrt(_deviance(best, point))) / (point.slope or sign)
        if not min(near.at, far.at) < at < max(near.at, far.at):
            at = (near.at + far.at) / 2
        if abs(at - point.at) < _CLOSE:
            return at
        point = highest(at, near, far)
        near, far = (near, point) if excess(point) > 0 else (point, far)
    return point.at
