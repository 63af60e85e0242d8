"""Eq. 1 with the influence of every pair: coefficients of both models and the SDs of their margins, together.

What is made of them (contrasts in SDs of each model's own margins, differences from what people pay,
coefficients corrected for label errors) is a map of these, with its error (see
`seal.stats.regression.influence`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.places import Places
from seal.stats.pairs.rewards import margin
from seal.stats.regression.cells import BLOCK
from seal.stats.regression.inference import Floats, inverse
from seal.stats.regression.influence import Influence, Scores

MODELS = ("pre", "post")
CHOSEN_TERM = "chosen"


@dataclass(frozen=True)
class ImprintInfluence:
    """Both models' imprint, and the spread of their margins; all share one `Scores`.

    A pair's zeta is [d e_pre, d e_post, u_pre, u_post]: K scores of each regression, and of each SD s of n
    margins u = ((m - mean)^2 - s^2) / (2 s n).

    Attributes:
        by_model: `pre`, `post`: (K,) coefficients in reward units a unit of the regressor.
        sd: `pre`, `post`: (1,) standard deviation of the model's margins (over n, not n - 1).
        terms: (K,) names of the coefficients.
        n: pairs.
    """

    by_model: dict[str, Influence]
    sd: dict[str, Influence]
    terms: tuple[str, ...]
    n: int


def differences(part: pl.DataFrame, inputs: Inputs, kept: Sequence[int]) -> Floats:
    """The design of Eq. 1, chosen less rejected.

    Args:
        part: rows of a block of `seal.stats.pairs.joins.Pairs`, all `regressed`.
        inputs: for the layout of its packed words.
        kept: columns, ascending: positions among the packed codes (`Features.packed`: the coded regressors,
            then the curves), then the covariates.

    Returns:
        (rows, len(kept)).
    """
    n_codes = len(inputs.regressed.packed)
    codes = inputs.codes(part, "chosen") - inputs.codes(part, "rejected")
    coded = codes[:, [j for j in kept if j < n_codes]].astype(np.float64)
    names = [inputs.covariates[j - n_codes] for j in kept if j >= n_codes]
    if not names:
        return coded
    dense = part.select((pl.col(f"{x}_chosen") - pl.col(f"{x}_rejected")).alias(x) for x in names)
    return np.concatenate([coded, dense.to_numpy()], axis=1)


def imprint_influence(
    rows: Iterable[pl.DataFrame],
    inputs: Inputs,
    kept: Sequence[int],
    places: Places,
    *,
    chosen_side: bool = False,
) -> ImprintInfluence:
    """Estimate Eq. 1 for both models, with the influence of every pair; two walks through the rows.

    Args:
        rows: blocks of pairs, walked through twice (see `seal.stats.pairs.spool.Spool`).
        inputs: the frames.
        kept: columns of the design, see `differences`.
        places: the clusters and gold pairs; covariances are to be multiplied by `places.factor`.
        chosen_side: an intercept of the chosen side comes first, term `chosen`.

    Raises:
        numpy.linalg.LinAlgError: the cross products are singular.
        ValueError: no pair enters.
    """
    features = inputs.regressed
    every = [r.term for r in (*features.packed, *features.numeric)]

    def design(part: pl.DataFrame) -> Floats:
        d = differences(part, inputs, kept)
        return np.column_stack([np.ones(len(d)), d]) if chosen_side else d

    return margin_influence(rows, design, [*[CHOSEN_TERM] * chosen_side, *(every[j] for j in kept)], places)


def margin_influence(
    rows: Iterable[pl.DataFrame],
    design: Callable[[pl.DataFrame], Floats],
    terms: Sequence[str],
    places: Places,
) -> ImprintInfluence:
    """Least squares of both models' margins on any design; see `imprint_influence`.

    Args:
        rows, places: as there.
        design: (rows, K) of rows of a block that are all `regressed`.
        terms: (K,) names of its columns.
    """
    sums = _Sums(len(terms))
    for part in _parts(rows):
        sums.add(design(part), margins(part))
    if not sums.n:
        raise ValueError("no pair enters the regressions")
    bread = inverse(sums.gram)
    estimates, sds = sums.moment @ bread, np.sqrt(sums.squares / sums.n)
    scale = np.where(sds > 0, 2 * sds * sums.n, np.inf)

    def zeta(part: pl.DataFrame) -> Floats:
        d, m = design(part), margins(part)
        scores = [d * (y - d @ b)[:, None] for y, b in zip(m.T, estimates, strict=True)]
        return np.concatenate([*scores, ((m - sums.means) ** 2 - sds**2) / scale], axis=1)

    by_model, sd = _influences(estimates, sds, bread, places.sums(rows, zeta))
    return ImprintInfluence(by_model, sd, tuple(terms), int(sums.n))


def margins(part: pl.DataFrame) -> Floats:
    """(rows, 2), the margins of the pre and the post model."""
    return part.select(margin(m).alias(m) for m in MODELS).to_numpy()


def _influences(
    estimates: Floats, sds: Floats, bread: Floats, scores: Scores
) -> tuple[dict[str, Influence], dict[str, Influence]]:
    """What zeta is turned into: bread times the scores of a regression, and each SD's own score."""
    k = len(bread)
    by_model, sd = {}, {}
    for i, model in enumerate(MODELS):
        loading, own = np.zeros((k, 2 * k + 2)), np.zeros((1, 2 * k + 2))
        loading[:, i * k : (i + 1) * k] = bread
        own[0, 2 * k + i] = 1.0
        by_model[model] = Influence(estimates[i], loading, scores)
        sd[model] = Influence(sds[i : i + 1], own, scores)
    return by_model, sd


def _parts(rows: Iterable[pl.DataFrame]) -> Iterable[pl.DataFrame]:
    """The rows that enter, so many at a time that their design stays small."""
    for block in rows:
        yield from block.filter("regressed").iter_slices(BLOCK)


@dataclass
class _Sums:
    """Cross products, and means and squares about them merged block by block (Chan et al. 1979)."""

    width: int
    n: int = 0
    gram: Floats = field(init=False)
    moment: Floats = field(init=False)
    means: Floats = field(default_factory=lambda: np.zeros(2))
    squares: Floats = field(default_factory=lambda: np.zeros(2))

    def __post_init__(self) -> None:
        self.gram, self.moment = np.zeros((self.width, self.width)), np.zeros((2, self.width))

    def add(self, d: Floats, m: Floats) -> None:
        self.gram += d.T @ d
        self.moment += m.T @ d
        n, mean = len(m), m.mean(axis=0)
        total, step = self.n + n, mean - self.means
        self.squares += ((m - mean) ** 2).sum(axis=0) + step**2 * (self.n * n / total)
        self.means = self.means + step * (n / total)
        self.n = total
