"""Estimates that carry the influence of every observation, so that what is made of them has its error.

An estimate of p numbers is asymptotically linear: estimate - truth = sum over clusters of psi_c, and its
variance is sum psi_c psi_c' (a cluster is a pair, or what errors are clustered by). Over all pairs psi is a
linear map of a few scores zeta that one walk through the data adds up; where some pairs carry true labels
besides, those pairs add a part of their own: psi_c = T zeta_c + own_c. Differences, ratios, contrasts in
standard deviations and average effects are maps of psi (delta method), whatever the equation behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from seal.stats.regression.inference import Floats


@dataclass(frozen=True)
class Scores:
    """What all pairs add up to, and what is kept of the gold ones.

    Attributes:
        moment: (q, q), sum over all clusters of zeta zeta'.
        at_gold: (m, q), zeta of each cluster that holds gold pairs; (0, q) where there is no gold.
    """

    moment: Floats
    at_gold: Floats


@dataclass(frozen=True)
class Influence:
    """An estimate whose psi_c = T zeta_c + own_c.

    Attributes:
        estimate: (p,).
        loading: (p, q), T.
        scores: of all pairs; estimates that are combined share one object.
        own: (m, p), what each gold cluster adds; None for nothing.
    """

    estimate: Floats
    loading: Floats
    scores: Scores
    own: Floats | None = None

    @property
    def covariance(self) -> Floats:
        """(p, p), sum of psi psi'."""
        spread = self.loading @ self.scores.moment @ self.loading.T
        if self.own is None:
            return np.asarray(spread, dtype=np.float64)
        cross = self.loading @ self.scores.at_gold.T @ self.own
        return np.asarray(spread + cross + cross.T + self.own.T @ self.own, dtype=np.float64)

    @property
    def std_error(self) -> Floats:
        """(p,)."""
        return np.asarray(np.sqrt(np.clip(np.diag(self.covariance), 0.0, None)), dtype=np.float64)

    def mapped(self, estimate: Floats, jacobian: Floats) -> "Influence":
        """The estimate of a function of this one.

        Args:
            estimate: (r,), the function's value.
            jacobian: (r, p), its derivative.
        """
        own = None if self.own is None else self.own @ jacobian.T
        return replace(self, estimate=estimate, loading=jacobian @ self.loading, own=own)


def beside(parts: Sequence[Influence]) -> Influence:
    """Several estimates from the same scores as one, in order.

    Raises:
        ValueError: their scores are not the same object.
    """
    scores = parts[0].scores
    if any(part.scores is not scores for part in parts):
        raise ValueError("estimates that are set beside one another must share their scores")
    estimate = np.concatenate([p.estimate for p in parts])
    loading = np.concatenate([p.loading for p in parts])
    if all(p.own is None for p in parts):
        return Influence(estimate, loading, scores)
    m = len(scores.at_gold)
    owns = [np.zeros((m, len(p.estimate))) if p.own is None else p.own for p in parts]
    return Influence(estimate, loading, scores, np.concatenate(owns, axis=1))


class ScoreSums:
    """Adds up zeta of all pairs, block by block.

    Without clusters each pair stands alone. Clusters of several pairs are summed before they are squared;
    a cluster of one pair needs no row of its own.

    Args:
        q: scores a pair.
        n_gold: gold clusters.
        n_shared: clusters of more than one pair.
    """

    def __init__(self, q: int, n_gold: int = 0, n_shared: int = 0) -> None:
        self._moment = np.zeros((q, q))
        self._gold = np.zeros((n_gold, q))
        self._shared = np.zeros((n_shared, q))

    def add(self, zeta: Floats, gold: np.ndarray | None = None, shared: np.ndarray | None = None) -> None:
        """Add a block.

        Args:
            zeta: (n, q).
            gold: (n,) the gold cluster each pair belongs to, -1 for none.
            shared: (n,) the number of its cluster among those of several pairs, -1 where it stands alone.
        """
        if gold is not None and len(self._gold):
            at = gold >= 0
            np.add.at(self._gold, gold[at], zeta[at])
        if shared is not None and len(self._shared):
            at = shared >= 0
            here, place = np.unique(shared[at], return_inverse=True)  # a block holds few of many clusters
            rows = np.arange(len(place))
            sums = csr_array((np.ones(len(place)), (place, rows)), shape=(len(here), len(place)))
            self._shared[here] += sums @ zeta[at]
            zeta = zeta[~at]
        self._moment += zeta.T @ zeta

    def total(self) -> Scores:
        """The sums."""
        return Scores(self._moment + self._shared.T @ self._shared, self._gold.copy())
