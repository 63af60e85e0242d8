"""Estimates corrected for label errors by pairs whose true labels are known (gold), errors of any kind.

The gold pairs give the estimate b_g with true labels and c_g with the labeler's, all pairs c_a with the
labeler's. What c_g misses of c_a says how unlucky the gold sample is: beta = b_g - P (c_g - c_a), P the
projection of b_g's influences on c_g's (Chen and Chen 2000, JRSS B 62; prediction-powered inference with a
matrix for its tuning, Angelopoulos, Duchi and Zrnic 2023). It holds for every estimate that has influences.

Influences of a fit on gold rows are (m, p) in sum form: estimate - truth = sum of the rows. A row's weight is
in it, so the scale that weights come in does not matter.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from seal.stats.regression.inference import Floats
from seal.stats.regression.influence import Influence
from seal.stats.regression.separation import NoFit

_MOST_STEPS = 100
_FAR = 30.0  # log odds of a row beyond which the fit is running away


@dataclass(frozen=True)
class GoldSample:
    """The gold pairs, drawn at random with known probabilities.

    Attributes:
        weight: (m,), one over the probability, scaled to a sum of one.
        probability: (m,), that the pair was drawn into the sample; 1 where it was taken for sure.
        cluster: (m,), row of `Scores.at_gold` that each pair belongs to.
    """

    weight: Floats
    probability: Floats
    cluster: NDArray[np.int64]

    @classmethod
    def of(cls, probability: Floats, cluster: NDArray[np.int64] | None = None) -> "GoldSample":
        """A sample by its inclusion probabilities; without clusters each pair stands alone.

        Raises:
            ValueError: a probability is not above 0 and up to 1.
        """
        p = np.asarray(probability, dtype=np.float64)
        if not (np.all(p > 0) and np.all(p <= 1)):
            raise ValueError("inclusion probabilities must lie above 0 and be at most 1")
        weight = 1.0 / p
        rows = np.arange(len(p)) if cluster is None else cluster
        return cls(np.asarray(weight / weight.sum()), p, rows)

    def __len__(self) -> int:
        return len(self.weight)

    def only(self, these: NDArray[np.bool_]) -> "GoldSample":
        """Some of its pairs, (m,) which."""
        weight = self.weight[these]
        return GoldSample(np.asarray(weight / weight.sum()), self.probability[these], self.cluster[these])

    def summed(self, rows: Floats, n_clusters: int) -> Floats:
        """Rows of the gold pairs (m, p) added up within their clusters, (n_clusters, p)."""
        total = np.zeros((n_clusters, rows.shape[1]))
        np.add.at(total, self.cluster, rows)
        return total


def least_squares_influence(d: Floats, y: Floats, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """Weighted least squares without intercept, and the influence of every row.

    Args:
        d: (m, K) regressors; put a column of ones among them for an intercept.
        y: (m,) outcome.
        weight: (m,) of any scale; None for equal ones.

    Returns:
        Estimate (K,), and (m, K) in sum form, each row over sqrt(1 - its leverage), as HC2 has it
        (MacKinnon and White 1985).

    Raises:
        NoFit: no more rows than regressors, or regressors that repeat one another.
    """
    w = _scaled(d, weight)
    bread = _bread((d * w[:, None]).T @ d)
    estimate = bread @ (d.T @ (w * y))
    turned = d @ bread
    leverage = w * (turned * d).sum(axis=1)
    residual = w * (y - d @ estimate) / _root_complement(leverage)
    return estimate, np.asarray(turned * residual[:, None], dtype=np.float64)


def logit_influence(x: Floats, outcome: Floats, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """A weighted logit, no intercept added, and the influence of every row.

    Args:
        x: (m, K) regressors; put a column of ones among them for an intercept.
        outcome: (m,), 0 or 1, or shares between.
        weight: (m,) of any scale; None for equal ones.

    Returns:
        Estimate (K,) by maximum likelihood, and (m, K) in sum form, each row over sqrt(1 - its leverage).

    Raises:
        NoFit: no more rows than regressors, regressors that repeat one another, or no finite maximum
            (separation).
    """
    w = _scaled(x, weight)
    estimate = np.zeros(x.shape[1])
    value = _log_likelihood(x, outcome, w, estimate)
    for _ in range(_MOST_STEPS):
        mean = expit(x @ estimate)
        bread = _bread((x * (w * mean * (1 - mean))[:, None]).T @ x)
        step = bread @ (x.T @ (w * (outcome - mean)))
        if np.max(np.abs(x @ step)) < 1e-10:
            break
        for _ in range(40):
            found = _log_likelihood(x, outcome, w, estimate + step)
            if found >= value - 1e-12:
                break
            step = step / 2
        estimate, value = estimate + step, found
        if np.max(np.abs(x @ estimate)) > _FAR:
            raise NoFit("the gold pairs separate the outcome: no finite logit fits them")
    else:
        raise NoFit(f"the logit on the gold pairs did not converge in {_MOST_STEPS} steps")
    turned = x @ bread
    leverage = w * mean * (1 - mean) * (turned * x).sum(axis=1)
    residual = w * (outcome - mean) / _root_complement(leverage)
    return estimate, np.asarray(turned * residual[:, None], dtype=np.float64)


def rectified(
    truth: Floats,
    truth_influence: Floats,
    proxy: Floats,
    proxy_influence: Floats,
    everyone: Influence,
    sample: GoldSample,
    n_regressors: int,
    by: Floats | None = None,
) -> Influence:
    """Correct an estimate by gold pairs.

    Args:
        truth: (p,), b_g, fitted on the gold pairs with true labels, weighted by `sample.weight`.
        truth_influence: (m, p), its influences in sum form.
        proxy: (p,), c_g, fitted on the gold pairs with the labeler's labels, weighted alike.
        proxy_influence: (m, p), its influences in sum form.
        everyone: c_a, fitted on all pairs with the labeler's labels.
        sample: the gold pairs.
        n_regressors: K, of one fit, for the factor m / (m - K) on what gold adds.
        by: (p, p) in the place of P: zeros give gold alone, the identity untuned PPI.

    Returns:
        beta = b_g - P (c_g - c_a), from the scores of `everyone`; psi_i = P xia_i + 1{i gold} m / (m - K)
        (phi_i - P xi_i), summed within clusters. Where every probability is 1, P is zero: gold alone.

    Raises:
        NoFit: no more gold pairs than regressors.
    """
    m = len(sample)
    if m <= n_regressors:
        raise NoFit(f"{m} gold pairs do not identify {n_regressors} coefficients")
    if by is None:
        by = projection(truth_influence, proxy_influence, sample.probability)
    factor = m / (m - n_regressors)
    own = sample.summed(factor * (truth_influence - proxy_influence @ by.T), len(everyone.scores.at_gold))
    if everyone.own is not None:
        own = own + everyone.own @ by.T
    estimate = np.asarray(truth - by @ (proxy - everyone.estimate), dtype=np.float64)
    return Influence(estimate, by @ everyone.loading, everyone.scores, own)


def gold_only(
    truth: Floats, truth_influence: Floats, everyone: Influence, sample: GoldSample, n_regressors: int
) -> Influence:
    """b_g alone, with the scores of `everyone`: what the gold pairs say without the labeler."""
    nothing = np.zeros((len(truth), len(everyone.estimate)))
    return rectified(
        truth, truth_influence, everyone.estimate, np.zeros((len(sample), len(everyone.estimate))),
        everyone, sample, n_regressors, nothing,
    )  # fmt: skip


def projection(truth_influence: Floats, proxy_influence: Floats, probability: Floats) -> Floats:
    """P (p, p): least squares of the true fit's influences on the proxy's, rows weighted by 1 - probability.

    Directions in which the proxy's influences do not vary get zero.
    """
    root = np.sqrt(1.0 - probability)[:, None]
    x, y = root * proxy_influence, root * truth_influence
    size = np.sqrt((x * x).sum(axis=0))
    scale = np.where(size > 0, size, 1.0)
    found = np.linalg.lstsq(x / scale, y, rcond=1e-10)[0]
    return np.asarray((found / scale[:, None]).T, dtype=np.float64)


def slope(of: Floats, on: Floats) -> float:
    """Of one vector on another through the origin; NaN where the other is zero."""
    square = float(on @ on)
    return float(of @ on) / square if square > 0 else float("nan")


def _scaled(d: Floats, weight: Floats | None) -> Floats:
    m, k = d.shape
    if m <= k:
        raise NoFit(f"{m} gold pairs do not identify {k} coefficients")
    if weight is None:
        return np.full(m, 1.0 / m)
    return np.asarray(weight / weight.sum(), dtype=np.float64)


def _bread(gram: Floats) -> Floats:
    """Inverse of a Gram matrix; refused where columns repeat one another."""
    scale = np.sqrt(np.clip(np.diag(gram), 0.0, None))
    if not np.all(scale > 0):
        raise NoFit("a regressor never varies over the gold pairs")
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    if values[0] < 1e-10:
        raise NoFit("regressors repeat one another over the gold pairs")
    return np.asarray((vectors / values) @ vectors.T / np.outer(scale, scale), dtype=np.float64)


def _root_complement(leverage: Floats) -> Floats:
    """sqrt(1 - h); a row that is fitted whatever its outcome has a residual of zero, and keeps it."""
    return np.asarray(np.sqrt(np.clip(1.0 - leverage, 1e-8, None)), dtype=np.float64)


def _log_likelihood(x: Floats, outcome: Floats, weight: Floats, b: Floats) -> float:
    eta = x @ b
    return float(weight @ (outcome * eta - np.logaddexp(0.0, eta)))
