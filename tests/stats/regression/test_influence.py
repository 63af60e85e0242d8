"""Influences: covariances of what is made of estimates, against the same by hand."""

import numpy as np
import pytest

from seal.stats.regression.influence import Influence, Scores, ScoreSums, beside


def _by_hand(zeta: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    return np.stack([zeta[cluster == c].sum(axis=0) for c in np.unique(cluster)])


def test_scores_are_summed_within_clusters_before_they_are_squared() -> None:
    rng = np.random.default_rng(0)
    zeta, cluster = rng.normal(size=(60, 3)), np.repeat(np.arange(40), [1, 2] * 20)
    by_cluster = _by_hand(zeta, cluster)
    shared = np.where(cluster % 2 == 1, cluster // 2, -1)
    gold = np.where(cluster < 5, cluster, -1)
    sums = ScoreSums(3, n_gold=5, n_shared=20)
    for part in (slice(0, 31), slice(31, 60)):  # a cluster may lie in two blocks
        sums.add(zeta[part], gold[part], shared[part])
    found = sums.total()
    np.testing.assert_allclose(found.moment, by_cluster.T @ by_cluster)
    np.testing.assert_allclose(found.at_gold, by_cluster[:5])


def test_maps_and_sides_of_estimates_have_the_covariance_of_their_influences() -> None:
    rng = np.random.default_rng(1)
    zeta, m = rng.normal(size=(50, 4)), 12
    scores = Scores(zeta.T @ zeta, zeta[:m])
    first = Influence(np.ones(2), rng.normal(size=(2, 4)), scores, rng.normal(size=(m, 2)))
    second = Influence(np.zeros(1), rng.normal(size=(1, 4)), scores)
    jacobian = rng.normal(size=(2, 3))
    both = beside([first, second])
    mapped = both.mapped(jacobian @ both.estimate, jacobian)
    psi = zeta @ np.concatenate([first.loading, second.loading]).T
    assert first.own is not None
    psi[:m, :2] += first.own
    np.testing.assert_allclose(both.covariance, psi.T @ psi)
    np.testing.assert_allclose(mapped.covariance, jacobian @ psi.T @ psi @ jacobian.T)
    np.testing.assert_allclose(mapped.std_error**2, np.diag(mapped.covariance))


def test_estimates_of_other_scores_are_not_set_beside() -> None:
    parts = [Influence(np.ones(1), np.ones((1, 1)), Scores(np.ones((1, 1)), np.zeros((0, 1)))) for _ in "ab"]
    with pytest.raises(ValueError, match="share"):
        beside(parts)
