"""A logit on cells: Newton's method, robust variance, marginal effects, separation, Firth's fallback."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from scipy.special import expit

from seal.stats.options import LEVEL
from seal.stats.regression.cells import Cells, ClusterScores
from seal.stats.regression.inference import Floats, Rows, coefficient, inverse
from seal.stats.regression.linear import root_diagonal
from seal.stats.regression.profile import Point, Profile, Solve, profile
from seal.stats.regression.separation import NoFit, find_separation

_MOST_STEPS = 500
# Costs in cells times columns cubed: of the exact curvature under Firth, of a test and of an interval for
# all separated coefficients together, up to which each is worked out.
_CURVATURE_LIMIT = 3e10
_TEST_LIMIT, _INTERVAL_LIMIT = 1e10, 5e8


@dataclass(frozen=True)
class LogitFit:
    """One logit, intercept first.

    Attributes:
        estimate: (p,) log odds ratios.
        covariance: (p, p) sandwich HC0 (statsmodels' HC1 of a logit is the same); with clusters CR1; under
            Firth's correction the inverse information.
        n: observations.
        ame: (p,) average of dP/dx over the observations, and
        ame_std_error: (p,) its standard error by the delta method.
        separated: positions of the columns whose maximum likelihood estimate is infinite.
        profile: position -> test and interval by the profile penalised likelihood, of those separated, where
            they were affordable.
    """

    estimate: Floats
    covariance: Floats
    n: int
    ame: Floats
    ame_std_error: Floats
    separated: tuple[int, ...] = ()
    profile: dict[int, Profile] = field(default_factory=dict)

    @property
    def std_error(self) -> Floats:
        """(p,) square roots of the variances."""
        return root_diagonal(self.covariance)


def fit_logit(cells: Cells, outcome: str, columns: Sequence[int], *, level: float = LEVEL) -> LogitFit:
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
    data = Data(cells.patterns, outcome, columns)
    separated = find_separation(cells.patterns, outcome, columns)
    estimate, information = newton(data, firth=bool(separated))
    bread = inverse(information)
    whole = replace(data, cells=cells)
    covariance = bread if separated else _sandwich(whole, estimate, bread, n)
    ame, ame_std_error = _marginal_effects(data, estimate, covariance, n)
    tested = _profiles(data, estimate, bread, separated, level) if separated else {}
    return LogitFit(estimate, covariance, n, ame, ame_std_error, tuple(separated), tested)


@dataclass(frozen=True)
class Data:
    cells: Cells
    outcome: str
    columns: Sequence[int]

    @property
    def size(self) -> int:
        return len(self.columns) + 1


def newton(
    data: Data,
    *,
    firth: bool,
    start: Floats | None = None,
    fixed: int | None = None,
    tolerance: float = 1e-11,
) -> tuple[Floats, Floats]:
    """Maximise the likelihood, or under `firth` the one penalised by Jeffreys' prior.

    Args:
        data: the logit.
        firth: whether to penalise.
        start: where to begin (p,), zeros otherwise.
        fixed: a coefficient to hold at its start.
        tolerance: of a step, in SDs of the columns' information.

    Returns:
        Estimate (p,) and Fisher information (p, p) there.
    """
    b = np.zeros(data.size) if start is None else start.copy()
    free = [j for j in range(data.size) if j != fixed]
    value, score, information = derivatives(data, b, firth=firth)
    n, bread, last = float(data.cells.counts[data.outcome].sum()), None, float("inf")
    for _ in range(_MOST_STEPS):
        if bread is None or not firth:
            bread = _curvature_inverse(data, b, information, free, firth=firth)
        step = np.zeros(data.size)
        step[free] = bread @ score[free]
        size = float(np.max(np.abs(step) * np.sqrt(np.diag(information) / n)))
        if size < tolerance:
            return b, information
        if size > 0.3 * last:
            bread = None  # the curvature has changed: work it out again
        last = size
        shrink = min(1.0, 5.0 / float(np.max(np.abs(step)))) if firth else 1.0
        for _ in range(40):
            trial = b + shrink * step
            found = derivatives(data, trial, firth=firth)
            if found[0] >= value - 1e-9 * (abs(value) + 1):
                break
            shrink /= 2
        b, (value, score, information) = trial, found
    raise NoFit(f"the likelihood did not converge in {_MOST_STEPS} steps")


def _curvature_inverse(data: Data, b: Floats, information: Floats, free: list[int], *, firth: bool) -> Floats:
    """Inverse of minus the second derivatives in the free coefficients, or of the information."""
    part = np.ix_(free, free)
    if firth and len(data.cells.codes) * data.size**3 <= _CURVATURE_LIMIT:
        try:
            return inverse((information - _penalty_curvature(data, b, information))[part])
        except np.linalg.LinAlgError:
            pass  # not concave here
    try:
        return inverse(information[part])
    except np.linalg.LinAlgError:
        raise NoFit("the information matrix is singular") from None


def _penalty_curvature(data: Data, b: Floats, information: Floats) -> Floats:
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
        spread = ((x @ bread) * x).sum(axis=1)
        straight += (x * (w * (1 - 6 * mu * (1 - mu)) * spread)[:, None]).T @ x
        bend = w * (1 - 2 * mu)
        for rows in np.array_split(np.arange(len(x)), 1 + len(x) // 1024):
            z = x[rows]
            products = (z[:, :, None] * z[:, None, :]).reshape(len(z), -1)
            slopes += ((z * bend[rows, None]).T @ products).reshape(slopes.shape)
    turned = bread @ slopes
    flat, swapped = (t.reshape(data.size, -1) for t in (turned, turned.transpose(0, 2, 1)))
    return np.asarray(0.5 * (straight - flat @ swapped.T), dtype=np.float64)


def derivatives(data: Data, b: Floats, *, firth: bool) -> tuple[float, Floats, Floats]:
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
        leverage = mu * (1 - mu) * ((x @ bread) * x).sum(axis=1)
        score += x.T @ (counts[part] * leverage * (0.5 - mu))
    return value + 0.5 * float(np.linalg.slogdet(information)[1]), score, information


def _sandwich(data: Data, b: Floats, bread: Floats, n: int) -> Floats:
    """HC0, or CR1 where the cells carry clusters."""
    cells, p = data.cells, data.size
    counts, sums = cells.counts[data.outcome], cells.sums[data.outcome]
    meat, scores = np.zeros((p, p)), ClusterScores(cells.cluster, p)
    for part, x in cells.blocks(data.columns, intercept=True):
        mu = expit(x @ b)
        if scores.active:
            scores.add(part, x * (sums[part] - counts[part] * mu)[:, None])
        else:
            square = sums[part] * (1 - mu) ** 2 + (counts[part] - sums[part]) * mu**2
            meat += (x * square[:, None]).T @ x
    if not scores.active:
        return np.asarray(bread @ meat @ bread, dtype=np.float64)
    groups = cells.n_clusters(data.outcome)
    if groups < 2:
        raise NoFit("one cluster alone gives no clustered variance")
    return cells.small_sample(n, p, groups) * bread @ scores.meat() @ bread


def _marginal_effects(data: Data, b: Floats, covariance: Floats, n: int) -> tuple[Floats, Floats]:
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


def _profiles(
    data: Data, best: Floats, bread: Floats, separated: Sequence[int], level: float
) -> dict[int, Profile]:
    """Penalised likelihood-ratio tests of the separated coefficients, intervals where affordable."""
    cost = len(separated) * len(data.cells.codes) * data.size**3
    if cost > _TEST_LIMIT:
        return {}
    errors = np.sqrt(np.diag(bread))
    wanted = level if cost <= _INTERVAL_LIMIT else None
    return {j: profile(*_held(data, best, j), float(errors[j]), wanted) for j in separated}


def _held(data: Data, best: Floats, j: int) -> tuple[Solve, Point]:
    """What finds the highest penalised likelihood with coefficient j held, and the highest of all."""

    def point(solution: Floats) -> Point:
        value, score, _ = derivatives(data, solution, firth=True)
        return Point(float(solution[j]), value, float(score[j]), solution)

    def solve(at: float, start: Floats) -> Point:
        there = start.copy()
        there[j] = at
        return point(newton(data, firth=True, start=there, fixed=j, tolerance=1e-7)[0])

    return solve, point(best)


EFFECTS: dict[str, pl.DataType] = {
    **dict.fromkeys(("odds_ratio", "ame", "ame_std_error"), pl.Float64()),
    "n_pairs": pl.Int64(),
}


def logit_rows(
    cells: Cells, outcome: str, positions: Sequence[int], names: Sequence[str], level: float, what: str
) -> tuple[Rows, list[str], LogitFit | None]:
    """Fit a logit and lay it out as rows, intercept first.

    Args:
        cells: the data.
        outcome: a binary outcome of the cells.
        positions: columns that enter, ascending.
        names: of the intercept and the columns, for notes.
        level: of the intervals.
        what: the equation, for notes.

    Returns:
        Rows (nulls where nothing could be estimated), notes that say why, and the fit if there is one.
    """
    try:
        fit = fit_logit(cells, outcome, positions, level=level)
    except NoFit as reason:
        return [{"n_pairs": cells.total(outcome)} for _ in names], [f"{what}: not estimated: {reason}"], None
    rows: Rows = []
    for j in range(len(names)):
        row = coefficient(float(fit.estimate[j]), float(fit.std_error[j]), float("inf"), level)
        if j in fit.profile:
            tested = fit.profile[j]
            row |= {"statistic": None, "p_value": tested.p_value}
            row |= {"conf_low": tested.low, "conf_high": tested.high} if tested.interval else {}
        effects = {"odds_ratio": float(np.exp(fit.estimate[j])) if fit.estimate[j] < 700 else None}
        if j:
            effects |= {"ame": float(fit.ame[j]), "ame_std_error": float(fit.ame_std_error[j])}
        rows.append({**row, **effects, "n_pairs": fit.n})
    return rows, _separation_notes(fit, names, what), fit


def _separation_notes(fit: LogitFit, names: Sequence[str], what: str) -> list[str]:
    if not fit.separated:
        return []
    intervals = any(p.interval for p in fit.profile.values())
    how = ("profile likelihood p-values" + " and intervals" * intervals) if fit.profile else "Wald's test"
    return [
        f"{what}: {', '.join(names[j] for j in fit.separated)} separated the outcome perfectly: Firth's "
        f"penalised logit for the whole equation, model-based errors; for these, {how}"
    ]
