"""A logit without intercept on differences (Bradley and Terry 1952), fractional outcomes allowed, in walks.

P(the first of two texts is preferred) = expit(x'b), x the difference of their features; the outcome may be
a share (Papke and Wooldridge 1996). Several such fits climb side by side, each step one walk through the
blocks, so that memory is a block's. Turning a pair round (x -> -x, share -> 1 - share) changes nothing, and a
pair with x = 0 adds nothing. Where the estimate is infinite, Firth's penalty (half the log determinant of the
information) keeps it finite.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.special import expit

from seal.stats.regression.inference import Floats, inverse
from seal.stats.regression.separation import NoFit

_MOST_WALKS = 400
_TOLERANCE = 1e-7  # of the last step, in SDs of the linear predictor: the error after it is its square
_PURE = 1e-12  # a share this near 0 or 1 counts as 0 or 1
_BATCH = 2000


@dataclass(frozen=True)
class Observations:
    """A block of one fit.

    Attributes:
        x: (n, K) differences.
        share: (n,) outcomes in [0, 1].
        weight: (n,); None for one each.
    """

    x: Floats
    share: Floats
    weight: Floats | None = None


@dataclass(frozen=True)
class Maximum:
    """Where a fit arrived.

    Attributes:
        estimate: (K,) log odds.
        information: (K, K), sum of w p (1 - p) x x'.
        penalised: whether Firth's penalty was on.
    """

    estimate: Floats
    information: Floats
    penalised: bool = False

    @property
    def bread(self) -> Floats:
        """(K, K), the inverse information."""
        return inverse(self.information)

    def residual(self, part: Observations) -> Floats:
        """(n,), share - p; under the penalty with its own part, so that weighed by x they sum to zero."""
        p = expit(part.x @ self.estimate)
        if not self.penalised:
            return np.asarray(part.share - p, dtype=np.float64)
        return np.asarray(part.share - p + self.leverage(part) * (0.5 - p), dtype=np.float64)

    def leverage(self, part: Observations) -> Floats:
        """(n,), p (1 - p) x' information^-1 x, not weighed."""
        p = expit(part.x @ self.estimate)
        return np.asarray(p * (1 - p) * ((part.x @ self.bread) * part.x).sum(axis=1), dtype=np.float64)


Walk = Callable[[], Iterable[Sequence[Observations]]]


def maximise(walk: Walk, sizes: Sequence[int], *, penalised: Sequence[bool] | None = None) -> list[Maximum]:
    """Maximise several likelihoods, none of which may be separated unless it is penalised.

    Args:
        walk: gives the blocks anew at each call; a block holds one `Observations` a fit.
        sizes: coefficients of each fit.
        penalised: of each, whether Firth's penalty is on; weights then count observations.

    Raises:
        NoFit: the information is singular, or it does not converge.
    """
    climbs = [_Climb(k, p) for k, p in zip(sizes, penalised or [False] * len(sizes), strict=True)]
    for _ in range(_MOST_WALKS):
        if all(climb.found is not None for climb in climbs):
            break
        for parts in walk():
            for climb, part in zip(climbs, parts, strict=True):
                if climb.found is None:
                    climb.add(part)
        for climb in climbs:
            if climb.found is None:
                climb.turn()
    found = [climb.found for climb in climbs if climb.found is not None]
    if len(found) < len(climbs):
        raise NoFit(f"the likelihood did not converge in {_MOST_WALKS} walks through the pairs")
    return found


class _Climb:
    """Newton's method with halving, fed block by block; under the penalty a point takes two walks.

    The penalised score is sum x [w (q - p) + h (1/2 - p)], h the leverage: every observation counts w + h
    times, h of it as half a success. Its curvature is taken at those counts, so that few steps are needed.
    """

    def __init__(self, size: int, penalised: bool) -> None:
        self.found: Maximum | None = None
        self._penalised = penalised
        self._point, self._base, self._step = np.zeros(size), np.zeros(size), np.zeros(size)
        self._top, self._shrink = -np.inf, 1.0
        self._clear()

    def _clear(self) -> None:
        k = len(self._point)
        self._n, self._value, self._score = 0.0, 0.0, np.zeros(k)
        self._information, self._curvature = np.zeros((k, k)), np.zeros((k, k))
        self._bread: Floats | None = None

    def add(self, part: Observations) -> None:
        eta = part.x @ self._point
        p = expit(eta)
        w = np.ones(len(p)) if part.weight is None else part.weight
        spread = w * p * (1 - p)
        if self._bread is None:
            self._n += float(w.sum())
            self._value += float(w @ (part.share * eta - np.logaddexp(0.0, eta)))
            self._score += part.x.T @ (w * (part.share - p))
            self._information += (part.x * spread[:, None]).T @ part.x
        else:
            leverage = spread * ((part.x @ self._bread) * part.x).sum(axis=1)
            self._score += part.x.T @ (leverage * (0.5 - p))
            self._curvature += (part.x * (leverage * p * (1 - p))[:, None]).T @ part.x

    def turn(self) -> None:
        """After a walk: to the second one, back half of the way, on to the next point, or done."""
        if self._penalised and self._bread is None:
            try:
                self._bread = inverse(self._information)
            except np.linalg.LinAlgError:
                self._retreat()
            return
        value = self._value
        if self._penalised:
            value += 0.5 * float(np.linalg.slogdet(self._information)[1])
        if value < self._top - 1e-9 * (abs(self._top) + 1) and self._shrink > 1e-10:
            self._retreat()
            return
        try:
            self._step = inverse(self._information + self._curvature) @ self._score
        except np.linalg.LinAlgError:
            raise NoFit("the information matrix is singular") from None
        size = float(np.max(np.abs(self._step) * np.sqrt(np.diag(self._information) / self._n)))
        self._base, self._top, self._shrink = self._point, value, 1.0
        self._point = self._base + self._step
        if size < _TOLERANCE:
            self.found = Maximum(self._point, self._information, self._penalised)
        else:
            self._clear()

    def _retreat(self) -> None:
        self._shrink /= 2
        if self._shrink < 1e-12:
            raise NoFit("the information matrix is singular")
        self._point = self._base + self._shrink * self._step
        self._clear()


def find_infinite(walk: Callable[[], Iterable[Observations]], size: int) -> list[int]:
    """Positions of the coefficients whose maximum likelihood estimate is infinite.

    The data are separated when some direction b has x'b >= 0 wherever the share is 1, <= 0 wherever it is 0
    and = 0 wherever it lies between, not all zero (Albert and Anderson 1984, without their intercept). A
    linear programme on a sample of rows looks for one (Konis 2007); a walk through all rows adds those that
    it violates, until there is none. The sample spans all columns, so that no rare feature stays unseen. An
    empty list means that there is no such direction.
    """
    n, squares, mixed = 0, np.zeros(size), np.zeros((size, size))
    sample: list[Floats] = []
    for i, part in enumerate(walk()):
        between = (part.share > _PURE) & (part.share < 1 - _PURE)
        n += len(part.x)
        squares += (part.x**2).sum(axis=0)
        mixed += part.x[between].T @ part.x[between]
        step = max(1, len(part.x) // (50 if i else _BATCH))
        sample.append(_signed(part)[::step].copy())  # a view would keep the block
    scale = np.where(squares > 0, np.sqrt(squares / max(n, 1)), 1.0)
    values, vectors = np.linalg.eigh(mixed / np.outer(scale, scale) / max(n, 1))
    basis = vectors[:, values <= 1e-9] / scale[:, None]
    if not basis.shape[1]:
        return []
    working = _spanning(walk, basis, np.concatenate(sample) @ basis)
    for _ in range(100):
        direction = _recession(working)
        if direction is None:
            return []
        worst = _violators(walk, basis, direction)
        if not len(worst):
            found = np.abs(basis @ direction) * scale
            return [int(j) for j in np.flatnonzero(found > 1e-6 * found.max())]
        working = np.concatenate([working, worst])
    raise NoFit("the search for separation did not end")


def _signed(part: Observations) -> Floats:
    """The rows whose share is 1, and the others' negatives where it is 0."""
    pure = (part.share <= _PURE) | (part.share >= 1 - _PURE)
    return np.asarray(part.x[pure] * np.where(part.share[pure] > 0.5, 1.0, -1.0)[:, None], dtype=np.float64)


def _spanning(walk: Callable[[], Iterable[Observations]], basis: Floats, working: Floats) -> Floats:
    """The working rows with others added, until every direction has a row that is not zero in it."""
    for _ in range(basis.shape[1]):
        values, vectors = np.linalg.eigh(working.T @ working)
        unseen = vectors[:, values <= 1e-9]
        if not unseen.shape[1]:
            break
        found = np.zeros((0, basis.shape[1]))
        for part in walk():
            rows = _signed(part) @ basis
            found = np.concatenate([found, rows[np.abs(rows @ unseen).max(axis=1) > 1e-9]])[:_BATCH]
        if not len(found):
            raise NoFit("regressors repeat one another")
        working = np.concatenate([working, found])
    return working


def _recession(rows: Floats) -> Floats | None:
    """A direction z, |z| <= 1, with rows @ z >= 0, not all zero, or None."""
    rows = np.unique(np.round(rows, 12), axis=0)
    rows = rows[np.abs(rows).max(axis=1, initial=0.0) > 1e-9]
    solved = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1), method="highs")
    if solved.status != 0:
        raise NoFit(f"the search for separation failed: {solved.message}")
    return None if -solved.fun <= 1e-7 * len(rows) else np.asarray(solved.x, dtype=np.float64)


def _violators(walk: Callable[[], Iterable[Observations]], basis: Floats, direction: Floats) -> Floats:
    """The rows that a direction violates most, (m, columns of the basis), at most a batch."""
    worst = np.zeros((0, basis.shape[1]))
    for part in walk():
        rows = _signed(part) @ basis
        worst = np.concatenate([worst, rows[rows @ direction < -1e-7]])
        if len(worst) > _BATCH:
            worst = worst[np.argsort(worst @ direction)[:_BATCH]]
    return worst
