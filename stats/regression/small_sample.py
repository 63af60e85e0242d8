"""When the plain sandwich is too small, and what takes its place: HC2 or CR2 with Satterthwaite's dof.

The sources: Bell and McCaffrey 2002; Imbens and Kolesar 2016; Pustejovsky and Tipton 2018.

A residual is smaller than the error it stands for, by the leverage of its observation. The plain sandwich of
a coefficient is therefore too small by the average leverage of the pairs that it rests on, and the t
distribution has too many degrees of freedom where those are few. So HC2 with Satterthwaite's degrees of
freedom judges a coefficient where any of these holds:

- the equation has more than one coefficient for every 50 pairs (k/n > `LEVERAGE`);
- the average leverage of its pairs, weighed by their share in it, is above `LEVERAGE`: the plain standard
  error is more than one per cent too small;
- it rests on fewer than `EFFECTIVE` pairs in effect, (sum of shares)^2 / sum of squared shares;
- fewer than 30 pairs are informative (`FEW_INFORMATIVE`).

Where errors are clustered wider, CR1 with t(G - 1) allows for G clusters that are alike. CR2 with Bell and
McCaffrey's degrees of freedom takes its place where they are not: the average leverage of a coefficient's
clusters is more than `LEVERAGE` above 1/G, or fewer than half of them (at most `EFFECTIVE`) count in effect.
CR2 holds the cross products of a cluster. Of more than `CLUSTERS` clusters leverage is not asked for, and the
cross products are held of those alone that weigh most in some coefficient; the scores of the others, each of
next to no leverage, enter as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from seal.stats.regression.cells import Cells, ClusterScores
from seal.stats.regression.inference import FEW_INFORMATIVE, Floats

LEVERAGE = 0.02
EFFECTIVE = 100
CLUSTERS = 2_000
_NONE = 1e-8  # of 1 - leverage: below it an observation is fitted to itself alone

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Data:
    """A least squares fit and the cells it was fitted to.

    Attributes:
        cells, outcome, columns, intercept: the data and its design.
        estimate: (p,). bread: (p, p), inverse cross products.
    """

    cells: Cells
    outcome: str
    columns: Sequence[int]
    intercept: bool
    estimate: Floats
    bread: Floats

    @property
    def n(self) -> int:
        """Pairs."""
        return self.cells.total(self.outcome)

    def blocks(self) -> Iterator[tuple[slice, Floats, Floats]]:
        """Cells, their design and how many pairs each holds."""
        for part, x in self.cells.blocks(self.columns, intercept=self.intercept):
            yield part, x, self.cells.counts[self.outcome][part]

    @cached_property
    def shares(self) -> Floats:
        """(G, p), what each cluster has of the squares that make up each coefficient's variance.

        They depend on the design and on which pairs have the outcome, so those of the last outcome are kept.
        """
        kept, design = self.cells.shares, (tuple(self.columns), self.intercept)
        if design in kept and self.cells.alike(kept[design][0], self.outcome):
            return kept[design][1]
        found = ClusterScores(self.cells.cluster, len(self.bread))
        for part, x, n in self.blocks():
            found.add(part, n[:, None] * (x @ self.bread) ** 2)
        kept.clear()  # one design's: they are as many numbers as clusters times coefficients
        kept[design] = self.outcome, found.sums
        return found.sums

    @cached_property
    def cluster_sums(self) -> "ClusterSums":
        """Cross products and scores of the weightiest clusters, worked out once."""
        return _cluster_sums(self)


def strained(data: Data, informative: Sequence[float]) -> Flags:
    """For which coefficients the plain sandwich will not do, by the rule of this module; (p,).

    Args:
        data: the fit.
        informative: (p,) pairs that identify each coefficient.
    """
    if data.cells.cluster is not None:
        return _strained_by_cluster(data)
    few = np.asarray(informative, dtype=np.float64) < FEW_INFORMATIVE
    if len(data.bread) > LEVERAGE * data.n:
        return np.ones(len(few), dtype=bool)
    share, square = np.zeros(len(few)), np.zeros(len(few))
    for _, x, n in data.blocks():
        projected = x @ data.bread
        direction = projected**2
        share += (n * (projected * x).sum(axis=1)) @ direction
        square += n @ direction**2
    variance = np.diag(data.bread)  # what the shares add up to
    return np.asarray(few | (share > LEVERAGE * variance) | (variance**2 < EFFECTIVE * square))


def adjusted(data: Data, at: Sequence[int]) -> tuple[Floats, Floats]:
    """HC2 (with clusters CR2) standard errors and Satterthwaite degrees of freedom of some coefficients.

    Args:
        data: the fit.
        at: (q,) positions.

    Returns:
        (q,) standard errors and (q,) degrees of freedom; NaN where an observation (or cluster) has leverage
        one, i.e. the coefficient is fitted to it alone.
    """
    return _by_cluster(data, at) if data.cells.cluster is not None else _by_pair(data, at)


def _by_pair(data: Data, at: Sequence[int]) -> tuple[Floats, Floats]:
    """HC2, and the degrees of freedom that match its mean and variance under equal variances."""
    sums, squares = data.cells.sums[data.outcome], data.cells.squares[data.outcome]
    p, own = len(data.bread), np.diag(data.bread)[list(at)]
    variance, curve, weights = np.zeros(len(at)), np.zeros(len(at)), np.zeros((len(at), p, p))
    alone = np.zeros(len(at), dtype=bool)
    for part, x, n in data.blocks():
        projected = x @ data.bread
        slack = 1 - (projected * x).sum(axis=1)
        direction = projected[:, list(at)] ** 2
        touched = (direction > 1e-20 * own) & (n > 0)[:, None]
        alone |= (touched & (slack < _NONE)[:, None]).any(axis=0)
        w = np.where(touched, direction / np.where(slack < _NONE, 1.0, slack)[:, None], 0.0)
        fitted = x @ data.estimate
        variance += np.clip(squares[part] - 2 * fitted * sums[part] + n * fitted**2, 0.0, None) @ w
        curve += (n * (2 * slack - 1)) @ w**2
        for i in range(len(at)):
            weights[i] += (x * (n * w[:, i])[:, None]).T @ x
    rotated = data.bread @ weights
    spread = curve + (rotated * rotated.transpose(0, 2, 1)).sum(axis=(1, 2))
    nan = np.where(alone, np.nan, 1.0)
    return np.sqrt(variance) * nan, own**2 / np.where(alone, 1.0, spread) * nan


@dataclass(frozen=True)
class ClusterSums:
    """Of the m weightiest clusters, all where there are no more than `CLUSTERS`.

    Attributes:
        heavy: (G,) which they are.
        gram: (m, p, p), cross products.
        score: (m, p), scores of the residuals.
    """

    heavy: Flags
    gram: Floats
    score: Floats


def _heavy(shares: Floats) -> Flags:
    """The clusters that weigh most in some coefficient, (G,), at most `CLUSTERS` of them."""
    total = shares.sum(axis=0)
    weight = (shares / np.where(total > 0, total, 1.0)).max(axis=1)
    heavy = np.zeros(len(weight), dtype=np.bool_)
    heavy[np.argsort(-weight, kind="stable")[:CLUSTERS]] = True
    return np.asarray(heavy & (weight > 0))


def _cluster_sums(data: Data) -> ClusterSums:
    assert data.cells.cluster is not None
    heavy, p = _heavy(data.shares), len(data.bread)
    number = np.where(heavy, np.cumsum(heavy) - 1, -1)
    gram, score = np.zeros((int(heavy.sum()), p, p)), np.zeros((int(heavy.sum()), p))
    sums = data.cells.sums[data.outcome]
    for part, x, n in data.blocks():
        ids = number[data.cells.cluster[part]]
        order = np.argsort(ids, kind="stable")
        order = order[ids[order] >= 0]
        here, first = np.unique(ids[order], return_index=True)
        if not len(here):
            continue
        residual = sums[part] - n * (x @ data.estimate)
        score[here] += np.add.reduceat((x * residual[:, None])[order], first, axis=0)
        weighted, plain = (x * n[:, None])[order], x[order]
        for g, low, high in zip(here, first, [*first[1:], len(order)], strict=True):
            gram[g] += weighted[low:high].T @ plain[low:high]
    return ClusterSums(heavy, gram, score)


def _strained_by_cluster(data: Data) -> Flags:
    n_clusters, total = data.cells.n_clusters(data.outcome), np.diag(data.bread)
    if n_clusters < 2:
        return np.zeros(len(total), dtype=bool)
    few = total**2 < min(n_clusters / 2, EFFECTIVE) * (data.shares**2).sum(axis=0)
    if n_clusters > CLUSTERS:
        return np.asarray(few)
    moved = data.cluster_sums.gram @ data.bread  # S_g M, (G, p, p)
    leverage = np.einsum("jk,gkl,glj->gj", data.bread, moved, moved, optimize=True)
    allowed = 1 / n_clusters if data.cells.corrected else 0.0  # what the factor of CR1 stands for
    return np.asarray(few | (leverage.sum(axis=0) > (LEVERAGE + allowed) * total))


def _by_cluster(data: Data, at: Sequence[int]) -> tuple[Floats, Floats]:
    """CR2 by p x p matrices alone.

    With M = L L' and S = X_g'X_g, a cluster's part of the estimate, l'M X_g'(I - X_g M X_g')^-1/2 e_g, is
    l'L (I - L'S L)^-1/2 L' X_g'e_g, whatever root L is.
    """
    sums, root, wanted = data.cluster_sums, _root(data.bread), list(at)
    values, vectors = np.linalg.eigh(np.eye(len(root)) - root.T @ sums.gram @ root)
    alone = values < _NONE  # directions that a cluster is fitted to alone
    half = np.where(alone, 0.0, 1 / np.sqrt(np.where(alone, 1.0, values)))
    turned = root @ vectors  # (G, p, p)
    weight = (turned[:, wanted] * half[:, None]) @ turned.transpose(0, 2, 1)  # (G, q, p)
    touched = turned[:, wanted] ** 2 > 1e-12 * np.diag(data.bread)[wanted][:, None]
    lost = np.where((alone[:, None] & touched).any(axis=(0, 2)), np.nan, 1.0)
    variance = (np.einsum("gjk,gk->gj", weight, sums.score) ** 2).sum(axis=0)
    v = weight @ sums.gram  # X_g'a_g, where a_g'e_g is the cluster's part
    moved = v @ data.bread
    own, cross = (weight * v).sum(axis=2), (moved * v).sum(axis=2)
    pooled = np.einsum("gjk,gjl->jkl", moved, v)
    spread = ((own - cross) ** 2 - cross**2).sum(axis=0) + (pooled * pooled.transpose(0, 2, 1)).sum(
        axis=(1, 2)
    )
    mean = (own - cross).sum(axis=0)
    if not sums.heavy.all():
        light = data.shares[~sums.heavy][:, wanted]
        mean, spread = mean + light.sum(axis=0), spread + (light**2).sum(axis=0)
        variance = variance + (_parts(data, wanted)[~sums.heavy] ** 2).sum(axis=0)
    return np.sqrt(variance) * lost, mean**2 / np.where(np.isnan(lost), 1.0, spread) * lost


def _parts(data: Data, wanted: Sequence[int]) -> Floats:
    """(G, q), what each cluster's residuals, as they are, add to some coefficients."""
    found, sums = ClusterScores(data.cells.cluster, len(wanted)), data.cells.sums[data.outcome]
    for part, x, n in data.blocks():
        residual = sums[part] - n * (x @ data.estimate)
        found.add(part, (x @ data.bread[:, wanted]) * residual[:, None])
    return found.sums


def _root(matrix: Floats) -> Floats:
    """L of L L', scaled to a unit diagonal first so that units do not matter."""
    scale = np.sqrt(np.diag(matrix))
    return np.asarray(scale[:, None] * np.linalg.cholesky(matrix / np.outer(scale, scale)), dtype=np.float64)
