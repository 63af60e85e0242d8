"""Eq. 1 without gold, from two labelers or more: what they say together tells how often each errs.

By the error rates of `error_rates.py` a label's difference is c = 1 - FPR - FNR times the true one on
average, so products of different labelers' labels over their c give the moments of the truth: a labeler's
own errors may hang together as they like. Errors must be independent between labelers given the truth, and
unrelated to the reward beyond it. That can be seen failing, but never be seen to hold.

    fits = fit_features(counts)                 # count_patterns, added up over a first pass
    verdict = judge(fits)                       # which features enter, and remarks
    moments = LatentMoments.of(v, y) + ...      # a second pass
    fit = latent(moments, fits)
    fit.psi(v, y, patterns)                     # a third: sum psi psi' is the covariance
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seal.stats.labelers.error_rates import FeatureFit, fit_feature
from seal.stats.regression.inference import Floats
from seal.stats.regression.separation import NoFit

MIN_C, MAX_RELATIVE_ERROR = 0.3, 0.1
MIN_FIT_P, MAX_MISFITS = 0.01, 0.2


def fit_features(counts: Sequence[Floats | str]) -> list[FeatureFit | str]:
    """Fit each feature's counts (4^L,); where that cannot be, or a text stands in their place, the reason."""
    fits: list[FeatureFit | str] = []
    for table in counts:
        try:
            fits.append(table if isinstance(table, str) else fit_feature(table))
        except NoFit as reason:
            fits.append(str(reason))
    return fits


@dataclass(frozen=True)
class Verdict:
    """What may be estimated.

    Attributes:
        kept: positions of the features that may enter.
        refused: position -> why not, of the others.
        flags: position -> remarks on features that enter.
        reason: why nothing is to be shown at all; None where it may.
    """

    kept: tuple[int, ...]
    refused: dict[int, str]
    flags: dict[int, str]
    reason: str | None


def judge(fits: Sequence[FeatureFit | str]) -> Verdict:
    """Judge features by their fits; a text in place of one says why there is none."""
    refused = {j: why for j, fit in enumerate(fits) if (why := _refusal(fit))}
    entering = [(j, f) for j, f in enumerate(fits) if j not in refused and not isinstance(f, str)]
    tested = [(j, f) for j, f in entering if len(f.c) >= 3 and np.isfinite(f.g2_p_value)]
    misfits = [j for j, f in tested if f.g2_p_value < MIN_FIT_P]
    flags = {j: "the fit of its error rates did not converge" for j, f in entering if not f.converged}
    for j in misfits:
        text = f"labelers do not err independently (G2 p below {MIN_FIT_P:g})"
        flags[j] = f"{flags[j]}; {text}" if j in flags else text
    reason = None
    if not entering:
        reason = "no feature's error rates can be told from its labels"
    elif tested and len(misfits) > MAX_MISFITS * len(tested):
        reason = f"labelers do not err independently in {len(misfits)} of {len(tested)} features"
    return Verdict(tuple(j for j, _ in entering), refused, flags, reason)


def _refusal(fit: FeatureFit | str) -> str | None:
    if isinstance(fit, str):
        return fit
    if np.any(fit.c < MIN_C):
        return f"a labeler's labels say too little (1 - FPR - FNR = {fit.c.min():.2f}, below {MIN_C:g})"
    worst = float(np.max(fit.c_std_error / fit.c))
    if not worst <= MAX_RELATIVE_ERROR:
        return f"its error rates are too uncertain (standard error {worst:.0%} of 1 - FPR - FNR)"
    return None


@dataclass(frozen=True)
class LatentMoments:
    """Sums over pairs; blocks are added with `+`.

    Attributes:
        n: pairs.
        cross: (L, L, K, K), sum of v_l v_m'.
        outcome: (L, K), sum of v_l y.
    """

    n: int
    cross: Floats
    outcome: Floats

    @classmethod
    def of(cls, v: Floats, y: Floats) -> "LatentMoments":
        """A block: label differences (L, n, K) of each labeler, outcome (n,)."""
        cross = np.einsum("lni,mnj->lmij", v, v, optimize=True)
        return cls(v.shape[1], np.asarray(cross), np.asarray(np.einsum("lnk,n->lk", v, y)))

    def __add__(self, other: "LatentMoments") -> "LatentMoments":
        return LatentMoments(self.n + other.n, self.cross + other.cross, self.outcome + other.outcome)


@dataclass(frozen=True)
class LatentFit:
    """Coefficients, and what their influences are made of.

    Attributes:
        estimate: (K,).
        n: pairs.
        bread: (K, K), A^-1.
        scale: (L, K), c of each labeler and feature.
        by_scale: (L, K, K), derivative of the estimate by c_lk, last the coefficient.
        c_influence: K of (4^L, L), of the patterns.
    """

    estimate: Floats
    n: int
    bread: Floats
    scale: Floats
    by_scale: Floats
    c_influence: tuple[Floats, ...]

    def psi(self, v: Floats, y: Floats, patterns: NDArray[np.int64]) -> Floats:
        """Influences of a block's pairs, in sum form: the sum of their squares is the covariance.

        Args:
            v: (L, n, K) label differences.
            y: (n,).
            patterns: (n, K) `pattern_numbers` of each feature; any number where a regressor has no errors.

        Returns:
            (n, K).
        """
        size = len(v)
        u = v / self.scale[:, None, :]
        fitted = u @ self.estimate  # (L, n)
        # the mean over m != l of u_m'beta, for each l
        others = (fitted.sum(axis=0) - fitted) / (size - 1)
        moment = (u * (y - others)[:, :, None]).mean(axis=0)
        psi = moment @ self.bread.T
        for k, table in enumerate(self.c_influence):
            psi = psi + table[patterns[:, k]] @ self.by_scale[:, k]
        return np.asarray(psi / self.n, dtype=np.float64)


def latent(moments: LatentMoments, fits: Sequence[FeatureFit]) -> LatentFit:
    """beta = A^-1 h from products of different labelers' labels, each over its c.

    Args:
        moments: of the pairs, K regressors.
        fits: K of them.

    Raises:
        NoFit: the corrected cross products have no inverse.
    """
    size = len(moments.outcome)
    c = np.stack([f.c for f in fits], axis=1)  # (L, K)
    cross = moments.cross / moments.n / (c[:, None, :, None] * c[None, :, None, :])
    cross[np.arange(size), np.arange(size)] = 0.0
    pairs = size * (size - 1)
    a = cross.sum(axis=(0, 1)) / pairs
    outcome = moments.outcome / moments.n / c
    if np.linalg.eigvalsh((a + a.T) / 2)[0] <= 1e-10:
        raise NoFit("the labelers' common labels do not identify the coefficients")
    bread = np.linalg.inv(a)
    beta = bread @ outcome.mean(axis=0)
    # dh_k = -h_lk / (L c_lk); dA has in row k, and in column k, minus labeler l's share of A over c_lk
    shared = cross.sum(axis=1) / pairs  # (L, K, K): l first
    turned = bread.T[None, :, :]  # row k of bread' is how h_k moves beta
    row = -(outcome / size - shared @ beta) / c
    by_scale = row[:, :, None] * turned + (beta / c)[:, :, None] * (shared @ bread.T)
    return LatentFit(beta, moments.n, bread, c, by_scale, tuple(f.c_influence for f in fits))
