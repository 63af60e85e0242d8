"""Worlds in which people choose between two texts and a reward model scores them, for the human imprint.

Two texts differ in K features (-1, 0, 1). People choose the first with odds e^(x'h + q); the model's margin
is x'r + q + e. The quality q, which nobody labeled, is what the two share beside the features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]

PREVALENCE = np.array([0.5, 0.3, 0.7, 0.15, 0.6, 0.25, 0.1, 0.4])
HUMAN = np.array([0.6, -0.4, 0.3, 0.8, 0.0, -0.7, 0.5, 0.2])
MODEL = np.array([0.9, -0.2, 0.3, 0.5, 0.3, -0.9, 0.0, 0.4])


@dataclass(frozen=True)
class Choices:
    """Pairs as they are recorded: d (n, K), margins (n,), both chosen less rejected."""

    d: Floats
    margins: Floats


def choices(
    n: int,
    rng: np.random.Generator,
    *,
    human: Floats = HUMAN,
    model: Floats = MODEL,
    quality: float = 0.0,
    noise: float = 1.4,
    logistic: bool = False,
) -> Choices:
    """Draw n pairs.

    Args:
        n: pairs.
        rng: where they come from.
        human, model: (K,), what people and the model pay.
        quality: SD of q.
        noise: SD of the margins' own e.
        logistic: whether e is logistic (of scale `noise`) and not normal.
    """
    drawn = rng.random((2, n, len(human))) < PREVALENCE[: len(human)]
    x = drawn[0].astype(np.float64) - drawn[1]
    q = quality * rng.normal(size=n)
    first = rng.random(n) < expit(x @ human + q)
    margin = x @ model + q + noise * (rng.logistic(size=n) if logistic else rng.normal(size=n))
    return chosen_first(x, margin, first)


def chosen_first(x: Floats, margins: Floats, first: NDArray[np.bool_]) -> Choices:
    """Pairs turned so that the chosen text stands first."""
    return Choices(np.where(first[:, None], x, -x), np.where(first, margins, -margins))
