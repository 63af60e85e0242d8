"""Estimates corrected for label errors that do not follow the reward: the naive fit, calibrated on gold.

Regressing true differences on the labeler's over the gold pairs gives L, what the labeler's say of the truth,
and c = L beta wherever errors are unrelated to what the reward has beyond the true labels (regression
calibration; Carroll, Ruppert, Stefanski and Crainiceanu 2006, chapter 4). No noise of rewards is divided by
the number of gold pairs, so it is the more precise one; whether it may be used is what Hausman's test asks.
"""

import numpy as np

from seal.stats.labelers.rectified import GoldSample, least_squares_influence
from seal.stats.regression.inference import Floats, wald
from seal.stats.regression.influence import Influence, beside
from seal.stats.regression.separation import NoFit

MIN_HAUSMAN_P = 0.1
MIN_SINGULAR_VALUE = 0.2


def calibration(d: Floats, v: Floats, weight: Floats | None = None) -> Floats:
    """L (K, K) = (sum w v v')^-1 sum w v d', from true (m, K) and the labeler's differences (m, K).

    Raises:
        NoFit: no more gold pairs than regressors, or regressors that repeat one another.
    """
    columns = [least_squares_influence(v, d[:, j], weight)[0] for j in range(d.shape[1])]
    return np.asarray(np.stack(columns, axis=1))


def calibrated(d: Floats, v: Floats, everyone: Influence, sample: GoldSample) -> Influence:
    """Correct Eq. 1 by calibrating the labeler's differences.

    Args:
        d: (m, K) true differences of the gold pairs.
        v: (m, K) the labeler's.
        everyone: c_a (K,), fitted on all pairs with the labeler's labels.
        sample: the gold pairs.

    Returns:
        beta = L^-1 c_a; psi_i = L^-1 (xia_i - 1{i gold} (sum w v v')^-1 w_i v_i (d_i'beta - v_i'L beta) /
        sqrt(1 - h_i)), summed within clusters.

    Raises:
        NoFit: as `calibration`, or L has no inverse.
    """
    loading = calibration(d, v, sample.weight)
    if smallest_singular_value(d, v, sample.weight) < 1e-8:
        raise NoFit("the labeler's differences say nothing of some true ones: nothing to calibrate by")
    back = np.linalg.inv(loading)
    estimate = back @ everyone.estimate
    _, missed = least_squares_influence(v, d @ estimate, sample.weight)
    own = sample.summed(-missed, len(everyone.scores.at_gold))
    if everyone.own is not None:
        own = own + everyone.own
    return Influence(np.asarray(estimate), back @ everyone.loading, everyone.scores, own @ back.T)


def smallest_singular_value(d: Floats, v: Floats, weight: Floats | None = None) -> float:
    """Of L; near zero, a coefficient divides by next to nothing.

    Columns without any error (numbers of any unit) are divided by their root mean square first.
    """
    exact = np.all(d == v, axis=0)
    size = np.sqrt((v**2).mean(axis=0))
    scale = np.where(exact & (size > 0), size, 1.0)
    return float(np.linalg.svd(calibration(d / scale, v / scale, weight), compute_uv=False)[-1])


def hausman(first: Influence, second: Influence, factor: float = 1.0) -> tuple[float, float, int]:
    """Whether two estimates of the same coefficients (K,) differ by more than chance (Hausman 1978).

    Args:
        first, second: the estimates, from one set of scores.
        factor: what covariances are multiplied by (clusters).

    Returns:
        Statistic D'V^-D, V the sum of squares of the differences of influences, p-value from chi-squared, and
        its degrees of freedom, the rank of V. NaN, NaN, 0 where the two are one.
    """
    both, one = beside([first, second]), np.eye(len(first.estimate))
    difference = first.estimate - second.estimate
    contrast = both.mapped(difference, np.concatenate([one, -one], axis=1))
    return wald(difference, factor * contrast.covariance)


def refusal(p_value: float, singular_value: float) -> str | None:
    """Why a calibrated estimate is not to be shown, given Hausman's p-value against `rectified`; or None."""
    if singular_value < MIN_SINGULAR_VALUE:
        return (
            f"the labeler's labels say too little of the gold ones (smallest singular value "
            f"{singular_value:.2f}, below {MIN_SINGULAR_VALUE:g})"
        )
    if p_value < MIN_HAUSMAN_P:
        return (
            f"it differs from the rectified estimate by more than chance (Hausman p = {p_value:.3f}, below "
            f"{MIN_HAUSMAN_P:g}): the labeler's errors seem to follow the reward"
        )
    return None
