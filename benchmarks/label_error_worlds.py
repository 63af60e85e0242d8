"""Worlds in which labels err: true features, labels with errors of several kinds, and rewards.

K = 15 correlated features of prevalence .06 to .85, errors of 2 to 20%. Arrays: x true features (n, 2, K),
chosen side first, y reward differences (n,).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]

K = 15
BETA: Floats = np.random.default_rng(42).normal(0, 0.5, K)
BETA[[3, 9]] = 0.0
PREVALENCE = np.array([0.5, 0.3, 0.7, 0.15, 0.6, 0.85, 0.25, 0.08, 0.06, 0.10, 0.12, 0.2, 0.35, 0.65, 0.4])
FALSE_NEGATIVE = np.array(
    [0.05, 0.10, 0.08, 0.15, 0.20, 0.05, 0.12, 0.02, 0.10, 0.15, 0.08, 0.20, 0.06, 0.10, 0.18]
)


def rates(scale: float = 1.0) -> tuple[Floats, Floats]:
    """Rates (K,) of false positives and false negatives; a label's prevalence stays about right."""
    negative = FALSE_NEGATIVE * scale
    return negative * np.minimum(1, PREVALENCE / (1 - PREVALENCE)), negative


def gaussian(n: int, rng: np.random.Generator, *, pair: float = 0.4, feature: float = 0.5) -> Floats:
    """Scores (n, 2, K), correlated between the sides of a pair and between neighbouring features."""
    root = np.linalg.cholesky(feature ** np.abs(np.subtract.outer(np.arange(K), np.arange(K))))
    shared, own = rng.normal(size=(n, 1, K)), rng.normal(size=(n, 2, K))
    return np.asarray(np.sqrt(pair) * shared @ root.T + np.sqrt(1 - pair) * own @ root.T)


def world(n: int, rng: np.random.Generator, *, noise: float = 1.0) -> tuple[Floats, Floats, Floats]:
    """True features, standardised residuals of rewards (n, 2), and y; noise grows with the first feature."""
    x = (gaussian(n, rng) > norm.isf(PREVALENCE)).astype(float)
    residual = rng.normal(size=(n, 2))
    reward = x @ BETA + residual * noise * (1 + 0.5 * x[:, :, 0])
    return x, residual, reward[:, 0] - reward[:, 1]


def label(
    x: Floats,
    residual: Floats,
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
    halo: float = 0.0,
    differential: float = 0.0,
    difficulty: float = 0.0,
    hard: Floats | None = None,
) -> Floats:
    """Labels (n, 2, K) with errors.

    Args:
        x: true features (n, 2, K).
        residual: of rewards (n, 2).
        rng: what errors are drawn from.
        scale: of the rates of error.
        halo: ties the errors of one text together.
        differential: ties them to the reward's residual.
        difficulty: ties them to `hard` (n, 2, K), which several labelers may share.
        hard: standard normal.
    """
    false_positive, false_negative = rates(scale)
    own = np.sqrt(1 - halo**2 - differential**2 - difficulty**2) * rng.normal(size=x.shape)
    tied = halo * rng.normal(size=(*x.shape[:2], 1)) + differential * residual[..., None]
    u = norm.cdf(own + tied + (0.0 if hard is None else difficulty * hard))
    said: Floats = np.where(x == 1, u > false_negative, u > 1 - false_positive).astype(float)
    return said


def ambiguous_world(n: int, rng: np.random.Generator, *, tau: float = 0.35) -> tuple[Floats, Floats, Floats]:
    """Ambiguous texts: x is drawn with probabilities p, which a perfect labeler knows. Returns x, p, y."""
    z = gaussian(n, rng)
    p = norm.cdf((z - norm.isf(PREVALENCE) * np.sqrt(1 + tau**2)) / tau)
    x = (rng.random(p.shape) < p).astype(float)
    reward = x @ BETA + rng.normal(size=(n, 2))
    return x, p, reward[:, 0] - reward[:, 1]


def overconfident(p: Floats, *, slope: float = 1.5, shift: float = 0.0) -> Floats:
    """Miscalibrated probabilities: log odds stretched and shifted."""
    odds = np.log(np.clip(p, 1e-9, None) / np.clip(1 - p, 1e-9, None))
    return np.asarray(1 / (1 + np.exp(-(shift + slope * odds))))


def difference(x: Floats) -> Floats:
    """Chosen minus rejected, (n, K)."""
    return np.asarray(x[:, 0] - x[:, 1])
