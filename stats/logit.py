"""A logit on cells: Newton's method, robust variance, marginal effects, separation, Firth's fallback."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq, linprog
from scipy.special import expit
from scipy.stats import chi2, norm

from stats.cells import Cells
from stats.inference import Floats, inverse
from stats.linear import _ClusterScores, cross_products

_MOST_STEPS = 500
_CURVATURE_LIMIT = 3e10  # cells times columns cubed up to which the exact curvature under Firth pays
_PROFILE_LIMIT = 3_000_000  # cells times columns up to which profile likelihood intervals are affordable


class NoFit(Exception):
    """The logit has no estimate; the text says why."""


@dataclass(frozen=True)
class LogitFit:
    """One logit, intercept first.

    Attributes:
        estimate: (p,) log odds ratios.
        covariance: (p, p) sandwich HC0 (statsmodels' HC1 of a logit is the same); with clusters CR1; under
            Firth's correction the inverse information.
        n: observations.
        n_positive: those with outcome 1.
        ame: (p,) average of dP/dx over the observations, and
        ame_std_error: (p,) its standard error by the delta method.
        separated: positions of the columns whose maximum likelihood estimate is infinite.
        profile: position -> (p-value, low, high) by the profile penalised likelihood, for `separated`.
    """

    estimate: Floats
    covariance: Floats
    n: int
    n_positive: int
    ame: Floats
    ame_std_error: Floats
    separated: tuple[int, ...] = ()
    profile: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def std_error(self) -> Floats:
        """(p,) square roots of the variances."""
        return np.asarray(np.sqrt(np.clip(np.diag(self.covariance), 0.0, None)), dtype=np.float64)


def fit_logit(cells: Cells, outcome: str, columns: Sequence[int], *, level: float = 0.95) -> LogitFit:
    """Fit P(outcome = 1) = expit(a + x'b) by maximum likelihood, by Firth's where that is infinite.

    Args:
        cells: the data; `sums[outcome]` counts the ones.
        outcome: a binary outcome.
        columns: of the design, ascending; a constant is put first.
        level: of profile intervals.

    Raises:
        NoFit: the outcome never varies, there are no more pairs than coefficients, or it does not converge.
    """
    n, positive, p = cells.total(outcome), int(cells.sums[outcome].sum()), len(columns) + 1
    if positive in (0, n):
        raise NoFit(f"the outcome is {'always' if positive else 'never'} met in {n} pairs")
    if n <= p:
        raise NoFit(f"{n} pairs do not identify {p} coefficients")
    data = _Data(cells, outcome, columns)
    separated = find_separation(cells, outcome, columns)
    estimate, information = newton(data, firth=bool(separated))
    bread = inverse(information)
    covariance = bread if separated else _sandwich(data, estimate, bread, n)
    ame, ame_std_error = _marginal_effects(data, estimate, covariance, n)
    profile = {}
    if separated and len(cells.codes) * p <= _PROFILE_LIMIT:
        profile = {j: _profile(data, estimate, float(np.sqrt(bread[j, j])), j, level) for j in separated}
    return LogitFit(estimate, covariance, n, positive, ame, ame_std_error, tuple(separated), profile)


@dataclass(frozen=True)
class _Data:
    cells: Cells
    outcome: str
    columns: Sequence[int]

    @property
    def size(self) -> int:
        return len(self.columns) + 1


def newton(data: _Data, *, firth: bool, fixed: dict[int, float] | None = None) -> tuple[Floats, Floats]:
    """Maximise the (penalised) likelihood; `fixed` holds coefficients that are not free.

    Returns:
        Estimate (p,) and Fisher information (p, p) there.
    """
    b = np.zeros(data.size)
    for j, value in (fixed or {}).items():
        b[j] = value
    free = [j for j in range(data.size) if j not in (fixed or {})]
    value, score, information = _derivatives(data, b, firth=firth)
    n = float(data.cells.counts[data.outcome].sum())
    for _ in range(_MOST_STEPS):
        step = np.zeros(data.size)
        step[free] = _direction(data, b, score, information, free, firth=firth)
        if np.max(np.abs(step) * np.sqrt(np.diag(information) / n)) < 1e-11:
            return b, information
        shrink = min(1.0, 5.0 / float(np.max(np.abs(step)))) if firth else 1.0
        for _ in range(40):
            trial = b + shrink * step
            new_value, new_score, new_information = _derivatives(data, trial, firth=firth)
            if new_value >= value - 1e-9 * (abs(value) + 1):
                break
            shrink /= 2
        b, value, score, information = trial, new_value, new_score, new_information
    raise NoFit(f"the likelihood did not converge in {_MOST_STEPS} steps")


def _direction(
    data: _Data, b: Floats, score: Floats, information: Floats, free: list[int], *, firth: bool
) -> Floats:
    """Newton's step in the free coefficients; by the information alone where the curvature is not concave."""
    part = np.ix_(free, free)
    if firth and len(data.cells.codes) * data.size**3 <= _CURVATURE_LIMIT:
        try:
            return np.asarray(
                inverse((information - _penalty_curvature(data, b, information))[part]) @ score[free]
            )
        except np.linalg.LinAlgError:
            pass
    try:
        return np.asarray(inverse(information[part]) @ score[free])
    except np.linalg.LinAlgError:
        raise NoFit("the information matrix is singular") from None


def _penalty_curvature(data: _Data, b: Floats, information: Floats) -> Floats:
    """Second derivatives of log det(I) / 2: without them Firth's steps converge, but slowly.

    d2/dr ds = tr(I^-1 d2I/dr ds) / 2 - tr(I^-1 dI/dr I^-1 dI/ds) / 2, where the weights of I are n m (1 - m).
    """
    bread = inverse(information)
    counts = data.cells.counts[data.outcome]
    straight = np.zeros_like(information)
    slopes = np.zeros((data.size, *information.shape))
    for part, x in data.cells.blocks(data.columns, intercept=True):
        mu = expit(x @ b)
        w = counts[part] * mu * (1 - mu)
        spread = np.einsum("ij,jk,ik->i", x, bread, x)
        straight += (x * (w * (1 - 6 * mu * (1 - mu)) * spread)[:, None]).T @ x
        bend = w * (1 - 2 * mu)
        for r in range(data.size):
            slopes[r] += (x * (bend * x[:, r])[:, None]).T @ x
    turned = bread @ slopes
    return np.asarray(0.5 * (straight - np.einsum("rij,sji->rs", turned, turned)), dtype=np.float64)


def _derivatives(data: _Data, b: Floats, *, firth: bool) -> tuple[float, Floats, Floats]:
    """Log likelihood, score and information; penalised by Jeffreys' prior under `firth`."""
    counts, sums = data.cells.counts[data.outcome], data.cells.sums[data.outcome]
    value, score, information = 0.0, np.zeros(data.size), np.zeros((data.size, data.size))
    for part, x in data.cells.blocks(data.columns, intercept=True):
        n, s, eta = counts[part], sums[part], x @ b
        mu = expit(eta)
        value += float(s @ eta - n @ np.logaddexp(0.0, eta))
        score += x.T @ (s - n * mu)
        information += (x * (n * mu * (1 - mu))[:, None]).T @ x
    if not firth:
        return value, score, information
    try:
        bread = inverse(information)
    except np.linalg.LinAlgError:
        return -np.inf, score, information
    for part, x in data.cells.blocks(data.columns, intercept=True):
        mu = expit(x @ b)
        leverage = mu * (1 - mu) * np.einsum("ij,jk,ik->i", x, bread, x)
        score += x.T @ (counts[part] * leverage * (0.5 - mu))
    return value + 0.5 * float(np.linalg.slogdet(information)[1]), score, information


def _sandwich(data: _Data, b: Floats, bread: Floats, n: int) -> Floats:
    """HC0, or CR1 where the cells carry clusters."""
    cells, p = data.cells, data.size
    counts, sums = cells.counts[data.outcome], cells.sums[data.outcome]
    meat, scores = np.zeros((p, p)), _ClusterScores(cells.cluster, p)
    for part, x in cells.blocks(data.columns, intercept=True):
        mu = expit(x @ b)
        if scores.active:
            scores.add(part, x * (sums[part] - counts[part] * mu)[:, None])
        else:
            square = sums[part] * (1 - mu) ** 2 + (counts[part] - sums[part]) * mu**2
            meat += (x * square[:, None]).T @ x
    if not scores.active:
        return np.asarray(bread @ meat @ bread, dtype=np.float64)
    groups = len(np.unique(cells.cluster[counts > 0])) if cells.cluster is not None else 0
    if groups < 2:
        raise NoFit("one cluster alone gives no clustered variance")
    return groups / (groups - 1) * (n - 1) / (n - p) * bread @ scores.meat() @ bread


def _marginal_effects(data: _Data, b: Floats, covariance: Floats, n: int) -> tuple[Floats, Floats]:
    counts = data.cells.counts[data.outcome]
    slope, bend = 0.0, np.zeros(data.size)
    for part, x in data.cells.blocks(data.columns, intercept=True):
        mu = expit(x @ b)
        w = counts[part] * mu * (1 - mu)
        slope += float(w.sum()) / n
        bend += x.T @ (w * (1 - 2 * mu)) / n
    jacobian = np.outer(b, bend) + slope * np.eye(data.size)
    variance = np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian)
    return b * slope, np.sqrt(np.clip(variance, 0.0, None))


def _profile(data: _Data, best: Floats, std_error: float, j: int, level: float) -> tuple[float, float, float]:
    """Likelihood-ratio p-value and interval of coefficient j (Heinze and Schemper 2002)."""

    def value(at: float) -> float:
        b, _ = newton(data, firth=True, fixed={j: at})
        return _derivatives(data, b, firth=True)[0]

    top = _derivatives(data, best, firth=True)[0]
    critical = float(chi2.isf(1 - level, 1))

    def excess(at: float) -> float:
        return 2 * (top - value(at)) - critical

    def limit(sign: int) -> float:
        far = best[j] + sign * float(norm.isf((1 - level) / 2)) * std_error
        for _ in range(30):
            if excess(far) > 0:
                return float(brentq(excess, best[j], far, xtol=1e-8))
            far = best[j] + 1.5 * (far - best[j])
        return sign * float("inf")

    p_value = float(chi2.sf(max(2 * (top - value(0.0)), 0.0), 1))
    return p_value, limit(-1), limit(1)


def find_separation(cells: Cells, outcome: str, columns: Sequence[int]) -> list[int]:
    """Positions (intercept 0) of the coefficients whose maximum likelihood estimate is infinite.

    The data are separated when some direction b has x'b >= 0 wherever the outcome is 1 and <= 0 wherever it
    is 0, not all zero (Albert and Anderson 1984); a linear programme finds one (Konis 2007). Cells with both
    outcomes force x'b = 0, so the search is left to the directions they leave open; of the other cells,
    those a solution violates are added to the programme until none is. An empty list means no separation.
    """
    counts, sums = cells.counts[outcome], cells.sums[outcome]
    gram = cross_products(cells, outcome, columns, intercept=True)
    scale = np.sqrt(np.where(np.diag(gram) > 0, np.diag(gram) / gram[0, 0], 1.0))
    mixed = np.zeros_like(gram)
    for part, x in cells.blocks(columns, intercept=True):
        both = (sums[part] > 0) & (sums[part] < counts[part])
        z = x[both] / scale
        mixed += z.T @ z
    values, vectors = np.linalg.eigh(mixed)
    open_directions = vectors[:, values <= 1e-9 * max(float(values[-1]), 1.0)]
    if open_directions.shape[1] == 0:
        return []
    rows = _signed_rows(cells, outcome, columns, open_directions / scale[:, None])
    direction = _recession(rows)
    if direction is None:
        return []
    found = np.abs(open_directions @ direction)
    return [int(j) for j in np.flatnonzero(found > 1e-6 * found.max()) if j > 0]


def _signed_rows(cells: Cells, outcome: str, columns: Sequence[int], basis: Floats) -> Floats:
    """Distinct nonzero x'N with the sign of the outcome, of the cells with one outcome only."""
    counts, sums = cells.counts[outcome], cells.sums[outcome]
    found = []
    for part, x in cells.blocks(columns, intercept=True):
        n, s = counts[part], sums[part]
        pure = (n > 0) & ((s == 0) | (s == n))
        rows = (x[pure] @ basis) * np.where(s[pure] > 0, 1.0, -1.0)[:, None]
        rows = rows[np.abs(rows).max(axis=1) > 1e-9]
        found.append(np.unique(np.round(rows, 12), axis=0) if basis.shape[1] <= 8 else rows)
    return np.concatenate(found)


def _recession(rows: Floats, batch: int = 2000) -> Floats | None:
    """A direction z with rows @ z >= 0, not all zero, or None: cutting planes over the rows."""
    if not len(rows):
        return None
    rng = np.random.default_rng(0)
    working = rng.permutation(len(rows))[:batch]
    for _ in range(100):
        part = rows[working]
        solved = linprog(
            -part.sum(axis=0), A_ub=-part, b_ub=np.zeros(len(part)), bounds=(-1, 1), method="highs"
        )
        if solved.status != 0:
            raise NoFit(f"the search for separation failed: {solved.message}")
        if -solved.fun <= 1e-7 * len(part):
            return None
        margins = rows @ solved.x
        worst = np.argsort(margins)[:batch]
        worst = worst[margins[worst] < -1e-7]
        if not len(worst):
            return np.asarray(solved.x, dtype=np.float64)
        working = np.union1d(working, worst)
    raise NoFit("the search for separation did not end")
