"""What gold pairs allow: which regressors can be corrected by them, how, and what is said of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from seal.stats.labelers.gold import MIN_INFORMATIVE, PER_REGRESSOR
from seal.stats.labelers.rectified import GoldSample, gold_only, rectified, slope
from seal.stats.pairs.gold import GoldPairs, NoGold
from seal.stats.pairs.places import Places
from seal.stats.regression.inference import FEW_INFORMATIVE, Floats, Rows, pivot_rank, tested
from seal.stats.regression.influence import Influence

COLUMNS: dict[str, pl.DataType] = {
    "method": pl.String(), "naive_estimate": pl.Float64(), "n_gold": pl.Int64(),
    "n_gold_informative": pl.Int64(),
}  # fmt: skip


@dataclass(frozen=True)
class Usable:
    """The regressors that can be corrected.

    Attributes:
        columns: positions of those that enter, ascending.
        left_out: position -> why it is left out.
        few: positions of those that few gold pairs tell of.
    """

    columns: tuple[int, ...]
    left_out: Mapping[int, str]
    few: frozenset[int]


@dataclass(frozen=True)
class Gold:
    """The gold pairs of an analysis, and where they stand among all pairs.

    Attributes:
        pairs: the gold pairs.
        places: of all pairs, found with the gold pairs' `row_id`.
    """

    pairs: GoldPairs
    places: Places

    @cached_property
    def sample(self) -> GoldSample:
        """As the estimators take it."""
        return GoldSample(self.pairs.weight, self.pairs.probability, self.places.gold_clusters)

    @property
    def dof(self) -> float:
        """Of the t distribution: clusters that hold gold pairs, less one."""
        return float(self.places.gold.height - 1)


def usable(
    truth: Floats, proxy: Floats, labeled: Sequence[bool], informative: Sequence[int], *, intercept: bool,
    of: str,
) -> Usable:  # fmt: skip
    """Which columns of a design can be corrected: labeled by gold, by enough pairs, and no repetition.

    Args:
        truth, proxy: (m, p), the design on the gold pairs, without its constant.
        labeled: (p,) whether the truth is known.
        informative: (p,) gold pairs that identify the column.
        intercept: whether a constant enters beside them.
        of: the table, for the reason.

    Raises:
        NoGold: there are fewer than six gold pairs a coefficient that gold labels, or no column is left.
    """
    m, size = len(truth), sum(labeled) + intercept
    if m < PER_REGRESSOR * size:
        raise NoGold(
            f"{of}: {m} gold pairs are fewer than {PER_REGRESSOR} for each of {size} coefficients; label "
            f"{PER_REGRESSOR * size} pairs, or leave features out with --exclude"
        )
    left_out = {j: "not labeled by gold" for j, known in enumerate(labeled) if not known}
    for j, n in enumerate(informative):
        if j not in left_out and n < MIN_INFORMATIVE:
            left_out[j] = f"differs in {n} gold pairs only, {MIN_INFORMATIVE} are needed"
    for x in (truth, proxy):
        left = [j for j in range(len(labeled)) if j not in left_out]
        part = x[:, left] - x[:, left].mean(axis=0) * intercept
        good = {left[i] for i in pivot_rank(part.T @ part)}
        left_out |= {j: "repeats others, or never varies, on the gold pairs" for j in left if j not in good}
    columns = tuple(j for j in range(len(labeled)) if j not in left_out)
    if not columns:
        raise NoGold(f"{of}: no regressor is labeled by gold and differs in {MIN_INFORMATIVE} gold pairs")
    return Usable(columns, left_out, frozenset(j for j in columns if informative[j] < FEW_INFORMATIVE))


_Fit = tuple[Floats, Floats]


@dataclass(frozen=True)
class Corrected:
    """One fit, corrected.

    Attributes:
        estimate: corrected.
        naive: (p,), of all pairs by the labeler's labels.
        gain: (p,), variance of gold alone over the corrected one.
    """

    estimate: Influence
    naive: Floats
    gain: Floats

    @classmethod
    def by(
        cls, truth: _Fit, proxy: _Fit, everyone: Influence, sample: GoldSample, n_regressors: int
    ) -> "Corrected":
        """`rectified`, from the fits on gold by true and by the labeler's labels, each with its influence."""
        found = rectified(*truth, *proxy, everyone, sample, n_regressors)
        alone = gold_only(*truth, everyone, sample, n_regressors)
        return cls(found, everyone.estimate, variance_ratio(alone, found))


def variance_ratio(of: Influence, to: Influence) -> Floats:
    """(p,), NaN where there is no variance."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(of.std_error**2 / to.std_error**2, dtype=np.float64)


def correction_tests(equation: str, model: str, names: Sequence[str], found: Corrected, n_gold: int) -> Rows:
    """The naive estimates' slope on the corrected ones, and what the labels gain beside gold alone."""
    across = slope(found.naive, found.estimate.estimate)
    rows: Rows = [_known(f"naive_slope_{equation}", model, across, n_gold)]
    return rows + [
        _known(f"gold_variance_ratio_{equation}", f"{model}: {name}", ratio, n_gold)
        for name, ratio in zip(names, found.gain, strict=True)
    ]


def _known(test: str, group: str, value: float, n: int) -> dict[str, object]:
    return tested(test, group, float(value) if np.isfinite(value) else None, None, n)


def said_of(usable: Usable, names: Sequence[str], equation: str) -> list[str]:
    """Notes on what was left out, and on what few gold pairs tell of."""
    notes = []
    if usable.left_out:
        said = "; ".join(f"{names[j]}: {reason}" for j, reason in sorted(usable.left_out.items()))
        notes.append(f"{equation}: left out ({said}); corrected coefficients are of the regression without")
    if usable.few:
        said = ", ".join(names[j] for j in sorted(usable.few))
        notes.append(f"{equation}: fewer than {FEW_INFORMATIVE} gold pairs differ in {said}: take care")
    return notes
