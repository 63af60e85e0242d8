"""People's side and the models', fitted in walks through pairs (see `seal.stats.equations.human`)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from seal.stats.equations.human_points import Points, PointSums
from seal.stats.options import RmScale
from seal.stats.regression.bradley_terry import Maximum, Observations, find_infinite, maximise
from seal.stats.regression.inference import Floats
from seal.stats.regression.separation import NoFit


@dataclass(frozen=True)
class Part:
    """Some pairs: d (n, K), margins (n, M) of M models, weights (n,) of mean one; None for one each."""

    d: Floats
    margins: Floats
    weight: Floats | None = None

    def observed(self, x: Floats, share: Floats) -> Observations:
        """The pairs as one fit sees them."""
        return Observations(x, share, self.weight)


Walk = Callable[[], Iterable[Part]]


@dataclass(frozen=True)
class Side:
    """People or a model.

    Attributes:
        fit: of h, or of r.
        infinite: positions whose maximum likelihood estimate is infinite; then `fit` is penalised.
        points: of its coefficients.
        column: of a model, among the margins.
        t: of a model, what its margins were multiplied by; None where only their signs count.
        t_information: sum of m^2 s (1 - s) where t is estimated, else 0.
        drift: (K,), sum of d q (1 - q) m, where t is estimated.
    """

    fit: Maximum
    infinite: tuple[int, ...]
    points: Points
    column: int = -1
    t: float | None = None
    t_information: float = 0.0
    drift: Floats | None = None

    def share(self, part: Part) -> Floats:
        """(n,), the outcome: 1 for people, q for a model."""
        return np.ones(len(part.d)) if self.column < 0 else shares(part.margins[:, self.column], self.t)


@dataclass(frozen=True)
class Sides:
    """People and the models.

    Attributes:
        people: their side.
        models: of each its side, or why there is none.
        total: sum of the weights.
        n: pairs.
        informative: (K,), pairs in which the feature differs.
    """

    people: Side
    models: tuple[Side | NoFit, ...]
    total: float
    n: int
    informative: tuple[int, ...]


def shares(margins: Floats, t: float | None) -> Floats:
    """q = s(t m); without t 1 where m > 0, 1/2 for a tie, 0 below."""
    if t is None:
        return np.asarray((np.sign(margins) + 1) / 2, dtype=np.float64)
    return np.asarray(expit(t * margins), dtype=np.float64)


def fit_sides(walk: Walk, k: int, scale: RmScale, n_models: int) -> Sides:
    """Fit people and every model.

    Args:
        walk: gives the pairs anew at each call.
        k: columns of d.
        scale: of the models' side.
        n_models: columns of the margins.

    Raises:
        NoFit: people's side has no estimate.
    """
    survey = _survey(walk, k, n_models)
    if survey.n <= k:
        raise NoFit(f"{survey.n} pairs do not identify {k} coefficients")
    reasons = _refusals(survey, n_models, scale)
    ts = [i for i in range(n_models) if i not in reasons and scale == "calibrated"]
    infinite = tuple(find_infinite(lambda: (_chosen(p, p.d) for p in walk()), k))
    people, *fits = maximise(
        lambda: ([_chosen(p, p.d), *(_chosen(p, p.margins[:, [i]]) for i in ts)] for p in walk()),
        [k, *[1] * len(ts)], penalised=[bool(infinite), *[False] * len(ts)],
    )  # fmt: skip
    reasons |= {i: NoFit(_BACKWARDS + _OWN) for i, f in zip(ts, fits, strict=True) if f.estimate[0] <= 0}
    fixed = None if scale == "choice" else 1.0
    known: dict[int, tuple[float | None, float]] = dict.fromkeys(range(n_models), (fixed, 0.0))
    known |= {i: (float(f.estimate[0]), float(f.information[0, 0])) for i, f in zip(ts, fits, strict=True)}
    known = {i: factor for i, factor in known.items() if i not in reasons}
    fitted = _fit_models(walk, k, {i: t for i, (t, _) in known.items()})
    none = Points(np.zeros(k), np.zeros((k, k)))
    sides = [Side(people, infinite, none)]
    sides += [Side(fit, gone, none, i, *known[i]) for i, (fit, gone) in fitted.items()]
    first, *others = _with_sums(walk, sides)
    models = {side.column: side for side in others} | reasons
    return Sides(
        first, tuple(models[i] for i in range(n_models)),
        survey.weight, survey.n, tuple(survey.informative.tolist()),
    )  # fmt: skip


_OWN = "; on the scale `own` its rewards are taken as they are"
_NEVER_WRONG = "no margin is negative, so the factor that turns its margins into people's choices is infinite"
_BACKWARDS = (
    "people chose the text with the lower reward at least as often, so no positive factor turns its margins "
    "into their choices"
)


@dataclass
class _Survey:
    n: int
    weight: float
    informative: NDArray[np.int64]
    lowest: Floats
    highest: Floats


def _survey(walk: Walk, k: int, n_models: int) -> _Survey:
    found = _Survey(0, 0.0, np.zeros(k, np.int64), np.full(n_models, np.inf), np.full(n_models, -np.inf))
    for part in walk():
        if len(part.d):
            found.n += len(part.d)
            found.informative += (part.d != 0).sum(axis=0)
            found.weight += len(part.d) if part.weight is None else float(part.weight.sum())
            found.lowest = np.minimum(found.lowest, part.margins.min(axis=0))
            found.highest = np.maximum(found.highest, part.margins.max(axis=0))
    return found


def _refusals(survey: _Survey, n_models: int, scale: RmScale) -> dict[int, NoFit]:
    """Which models have no side, as far as their margins alone say, and why."""
    out = {}
    for i in range(n_models):
        low, high = survey.lowest[i], survey.highest[i]
        if low == 0 == high:
            out[i] = NoFit("every pair is a tie: it pays nothing for anything")
        elif scale == "calibrated" and low >= 0:
            out[i] = NoFit(_NEVER_WRONG + _OWN)
        elif scale == "calibrated" and high <= 0:
            out[i] = NoFit(_BACKWARDS + _OWN)
    return out


def _chosen(part: Part, x: Floats) -> Observations:
    return part.observed(x, np.ones(len(x)))


def _fit_models(
    walk: Walk, k: int, factors: dict[int, float | None]
) -> dict[int, tuple[Maximum, tuple[int, ...]]]:
    """r of each model with its factor, and the positions that are infinite."""

    def seen(part: Part, i: int) -> Observations:
        return part.observed(part.d, shares(part.margins[:, i], factors[i]))

    def infinite(i: int) -> tuple[int, ...]:
        return tuple(find_infinite(lambda: (seen(p, i) for p in walk()), k))

    gone = {i: infinite(i) for i in factors}
    fits = maximise(
        lambda: ([seen(p, i) for i in factors] for p in walk()),
        [k] * len(factors), penalised=[bool(gone[i]) for i in factors],
    )  # fmt: skip
    return {i: (fit, gone[i]) for i, fit in zip(factors, fits, strict=True)}


def _with_sums(walk: Walk, sides: Sequence[Side]) -> list[Side]:
    """The sides with their points and drifts, one walk."""
    sums, drifts = PointSums([s.fit.estimate for s in sides]), [np.zeros(len(s.fit.estimate)) for s in sides]
    for part in walk():
        sums.add(part.d, part.weight)
        for side, drift in zip(sides, drifts, strict=True):
            if side.t_information:
                q, m = side.share(part), part.margins[:, side.column]
                w = 1.0 if part.weight is None else part.weight
                drift += (w * q * (1 - q) * m) @ part.d
    return [
        replace(side, points=points, drift=drift if side.t_information else None)
        for side, points, drift in zip(sides, sums.total(), drifts, strict=True)
    ]
