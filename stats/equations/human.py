"""Human imprint: what people pay for a feature, and what a model pays, on one scale, with their influences.

d is chosen less rejected, m the model's margin, s the logistic function.

- People: P(chosen) = s(d'h), Bradley-Terry on the differences; h solves sum d (1 - p) = 0 with p = s(d'h),
  and psi_h = H^-1 d (1 - p), H = sum p (1 - p) d d'.
- The model: the fractional logit of q = s(t m) on d; r solves sum d (q - p) = 0 with p = s(d'r), and
  psi_r = R^-1 d (q - p) + [R^-1 sum d q (1 - q) m] psi_t. On the scale `calibrated` t is estimated from
  P(chosen) = s(t m), so that the arbitrary scale of rewards drops out, and psi_t = m (1 - s(t m)) /
  sum m^2 s (1 - s); on `own` t = 1; on `choice` q is 1 where m > 0 and 1/2 for a tie. These two have no
  psi_t.

Both come from the same pairs, so the error of r - h is that of psi_r - psi_h, not of two errors taken as
independent. No constant is identified, since the outcome is always the chosen text. Each step of Newton's
method is one walk through the pairs, so memory is a block's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.stats.equations.human_points import gains
from seal.stats.equations.human_sides import Part, Side, Sides, fit_sides
from seal.stats.equations.imprint_influence import MODELS, differences, margins
from seal.stats.options import RM_SCALE, RmScale
from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.places import Places
from seal.stats.regression.cells import BLOCK
from seal.stats.regression.inference import Floats
from seal.stats.regression.influence import Influence, Scores
from seal.stats.regression.separation import NoFit


@dataclass(frozen=True)
class HumanFit:
    """People and one model on arrays of pairs.

    Attributes:
        estimate: (2K,), h then r, log odds.
        influence: (n, 2K), in sum form: estimate - truth = sum of the rows; a row's weight is in it.
        points: (2K,), probability points of people, then of the model (see `human_points`).
        points_influence: (n, 2K), of them, the sampling of the pairs counted.
        t: what margins were multiplied by; None on the scale `choice`.
        infinite: positions in `estimate` whose maximum likelihood estimate is infinite (Firth's penalty).
    """

    estimate: Floats
    influence: Floats
    points: Floats
    points_influence: Floats
    t: float | None
    infinite: tuple[int, ...] = ()


@dataclass(frozen=True)
class HumanInfluence:
    """People and one model over all pairs; covariances are to be multiplied by `places.factor`.

    Attributes:
        log_odds: (2K,), h then r.
        points: (2K,), probability points of people, then of the model; shares the scores of `log_odds`.
        surplus: (2K, 2K), to be added to the covariance of `log_odds` (after `places.factor`): what the
            inverse information has beyond the sandwich where Firth's penalty is on, since the residuals of
            separated pairs say too little. Zero elsewhere.
        points_surplus: (2K, 2K), the same of `points`.
        t, infinite: as in `HumanFit`.
        calibrated: whether t was estimated.
        n: pairs.
        informative: (K,), pairs in which the feature differs.
    """

    log_odds: Influence
    points: Influence
    surplus: Floats
    points_surplus: Floats
    t: float | None
    infinite: tuple[int, ...]
    calibrated: bool
    n: int
    informative: tuple[int, ...]


def human_fit(
    d: Floats,
    margins: Floats,
    weight: Floats | None = None,
    scale: RmScale = RM_SCALE,
    *,
    hc2: bool = True,
) -> HumanFit:
    """Estimate what people and a model pay on pairs held as arrays, e.g. gold ones.

    Args:
        d: (n, K), chosen less rejected.
        margins: (n,), r(chosen) - r(rejected).
        weight: (n,) of any scale, e.g. one over the inclusion probability; None for equal ones.
        scale: what the model's side is, see the module.
        hc2: divide the scores of h and r by sqrt(1 - leverage), as HC2's residuals are: the pairs may be few.

    Raises:
        NoFit: people's or the model's side has no estimate; the text says why.
    """
    part = Part(d, margins[:, None], None if weight is None else weight * (len(d) / weight.sum()))
    sides = fit_sides(lambda: iter([part]), d.shape[1], scale, 1)
    (model,) = sides.models
    if isinstance(model, NoFit):
        raise model
    layout = _Layout(sides)
    scores = layout.scores(part, hc2=hc2)
    if part.weight is not None:
        scores *= part.weight[:, None]
    return HumanFit(
        _both(sides.people.fit.estimate, model.fit.estimate), scores @ layout.log_odds(model).T,
        _both(sides.people.points.mean, model.points.mean), scores @ layout.points(model).T,
        model.t, _infinite(sides.people, model),
    )  # fmt: skip


def human_influences(
    rows: Iterable[pl.DataFrame],
    inputs: Inputs,
    kept: Sequence[int],
    places: Places,
    scale: RmScale = RM_SCALE,
    *,
    models: Sequence[str] = MODELS,
) -> dict[str, HumanInfluence | NoFit]:
    """Estimate what people and each model pay, with the influence of every pair.

    Args:
        rows: blocks of pairs, walked through some twenty times (see `seal.stats.pairs.spool.Spool`).
        inputs: the frames.
        kept: columns of the design, see `seal.stats.equations.imprint_influence.differences`.
        places: the clusters and gold pairs; covariances are to be multiplied by `places.factor`.
        scale: what the models' side is, see the module.
        models: `pre`, `post` or both.

    Returns:
        Of each model its estimates, or why it has none; all share one `Scores`.

    Raises:
        NoFit: people's side has no estimate.
    """
    columns = [MODELS.index(m) for m in models]

    def of(part: pl.DataFrame) -> Part:
        return Part(differences(part, inputs, kept), margins(part)[:, columns])

    def walk() -> Iterable[Part]:
        for block in rows:
            yield from map(of, block.filter("regressed").iter_slices(BLOCK))

    sides = fit_sides(walk, len(kept), scale, len(models))
    layout = _Layout(sides)
    scores = places.sums(rows, lambda part: layout.scores(of(part)))
    return {
        name: side if isinstance(side, NoFit) else _influence(sides, side, layout, scores, places.factor)
        for name, side in zip(models, sides.models, strict=True)
    }


def _influence(sides: Sides, model: Side, layout: "_Layout", scores: Scores, factor: float) -> HumanInfluence:
    """People and one model, from the scores of all pairs."""
    people = sides.people
    log_odds = Influence(_both(people.fit.estimate, model.fit.estimate), layout.log_odds(model), scores)
    points = Influence(_both(people.points.mean, model.points.mean), layout.points(model), scores)
    surplus = _surplus(log_odds.covariance * factor, people, model)
    turned = _slopes(people, model)
    return HumanInfluence(
        log_odds, points, surplus, turned @ surplus @ turned.T, model.t, _infinite(people, model),
        model.drift is not None, sides.n, sides.informative,
    )  # fmt: skip


class _Layout:
    """Where in a pair's zeta its scores stand: of people, then of each model, at last 1.

    Of a side: K scores of its fit, K gains, and of a model the score of t.
    """

    def __init__(self, sides: Sides) -> None:
        self._sides = sides
        self._shown = [sides.people, *(m for m in sides.models if isinstance(m, Side))]
        self._k = len(sides.people.fit.estimate)
        widths = [2 * self._k + (side.column >= 0) for side in self._shown]
        self._starts = dict(
            zip((s.column for s in self._shown), np.cumsum([0, *widths]).tolist(), strict=False)
        )
        self._width = sum(widths) + 1

    def scores(self, part: Part, *, hc2: bool = False) -> Floats:
        """zeta, (n, q); with `hc2` the scores of the fits over sqrt(1 - leverage)."""
        out = np.empty((len(part.d), self._width))
        out[:, -1] = 1.0
        for side in self._shown:
            at, k = self._starts[side.column], self._k
            share = side.share(part)
            observed = part.observed(part.d, share)
            residual = side.fit.residual(observed)
            if hc2:
                w = 1.0 if part.weight is None else part.weight
                slack = 1 - w * side.fit.leverage(observed)
                residual = residual / np.sqrt(np.where(slack > 1e-8, slack, np.inf))
            out[:, at : at + k] = part.d * residual[:, None]
            out[:, at + k : at + 2 * k] = gains(part.d, side.fit.estimate)
            if side.column >= 0:
                out[:, at + 2 * k] = part.margins[:, side.column] * (1 - share)
        return out

    def log_odds(self, model: Side) -> Floats:
        """What zeta is turned into: psi of (h, r), (2K, q)."""
        k, out = self._k, np.zeros((2 * self._k, self._width))
        out[:k, :k] = self._sides.people.fit.bread
        at, bread = self._starts[model.column], model.fit.bread
        out[k:, at : at + k] = bread
        if model.drift is not None:
            out[k:, at + 2 * k] = bread @ model.drift / model.t_information
        return out

    def points(self, model: Side) -> Floats:
        """What zeta is turned into: psi of the points, (2K, q), the sampling of the pairs counted."""
        out = _slopes(self._sides.people, model) @ self.log_odds(model)
        for i, side in enumerate((self._sides.people, model)):
            mine = slice(i * self._k, (i + 1) * self._k)
            start = self._starts[side.column] + self._k
            out[mine, start : start + self._k] += np.eye(self._k) / self._sides.total
            out[mine, -1] -= side.points.mean / self._sides.total
        return out


def _both(first: Floats, second: Floats) -> Floats:
    return np.concatenate([first, second])


def _infinite(people: Side, model: Side) -> tuple[int, ...]:
    return (*people.infinite, *(len(people.fit.estimate) + j for j in model.infinite))


def _slopes(people: Side, model: Side) -> Floats:
    """(2K, 2K), derivative of the points in the log odds."""
    k = len(people.fit.estimate)
    out = np.zeros((2 * k, 2 * k))
    out[:k, :k], out[k:, k:] = people.points.jacobian, model.points.jacobian
    return out


def _surplus(sandwich: Floats, people: Side, model: Side) -> Floats:
    """What the inverse information of penalised sides has beyond their sandwich, in no direction less."""
    k = len(people.fit.estimate)
    out = np.zeros_like(sandwich)
    for side, mine in ((people, slice(0, k)), (model, slice(k, 2 * k))):
        if side.fit.penalised:
            values, vectors = np.linalg.eigh(side.fit.bread - sandwich[mine, mine])
            out[mine, mine] = (vectors * np.clip(values, 0.0, None)) @ vectors.T
    return out
