"""What gold pairs allow: which regressors can be corrected by them, how, and what is said of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from seal.stats.labelers.rectified import GoldSample, gold_only, rectified, slope
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.gold import GoldPairs, NoGold
from seal.stats.pairs.places import Places
from seal.stats.regression.inference import Floats, Rows, coefficient, pivot_rank, tested
from seal.stats.regression.influence import Influence

FEWEST_INFORMATIVE = 10  # gold pairs in which the truth must differ: with fewer a feature is left out
FEW_INFORMATIVE = 30  # with fewer it is flagged
PAIRS_A_COEFFICIENT = 6  # gold pairs that every coefficient of a regression needs

COLUMNS: dict[str, pl.DataType] = {
    "method": pl.String(), "naive_estimate": pl.Float64(), "n_gold": pl.Int64(),
    "n_gold_informative": pl.Int64(),
}  # fmt: skip


@dataclass(frozen=True)
class Usable:
    """The regressors that can be corrected.

    Attributes:
        columns: their positions among the columns of the differences, ascending.
        left_out: position -> why it is left out, of the others that were asked for.
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

    def usable(self, kept: Sequence[int]) -> Usable:
        """Which of some columns can be corrected: labeled by gold, and not alike in nearly all gold pairs."""
        informative = self.pairs.informative(range(len(self.pairs.labeled)))
        left_out = {}
        for j in kept:
            if not self.pairs.labeled[j]:
                left_out[j] = "not labeled by gold"
            elif informative[j] < FEWEST_INFORMATIVE:
                left_out[j] = (
                    f"differs in {informative[j]} gold pairs only; {FEWEST_INFORMATIVE} are needed at least"
                )
        left = [j for j in kept if j not in left_out]
        for x in self.pairs.differences(left):
            gram = x.T @ x
            good = {left[i] for i in pivot_rank(gram)}
            left_out |= dict.fromkeys((j for j in left if j not in good), "repeats others on the gold pairs")
        columns = tuple(j for j in left if j not in left_out)
        few = frozenset(j for j in columns if informative[j] < FEW_INFORMATIVE)
        return Usable(columns, left_out, few)

    def require(self, n_coefficients: int, of: str) -> None:
        """Refuse what so few gold pairs cannot tell.

        Raises:
            NoGold: there are fewer than six gold pairs a coefficient.
        """
        if not n_coefficients:
            raise NoGold(f"{of}: no regressor differs in {FEWEST_INFORMATIVE} gold pairs")
        if len(self.pairs) < PAIRS_A_COEFFICIENT * n_coefficients:
            raise NoGold(
                f"{of}: {len(self.pairs)} gold pairs are fewer than {PAIRS_A_COEFFICIENT} for each of "
                f"{n_coefficients} coefficients; label {PAIRS_A_COEFFICIENT * n_coefficients} at least"
            )

    def row(self, estimate: Influence, j: int, level: float) -> dict[str, float | None]:
        """Coefficient j as a line of a table."""
        std_error = float(estimate.std_error[j]) * float(np.sqrt(self.places.factor))
        return coefficient(float(estimate.estimate[j]), std_error, self.dof, level)


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
        """`rectified`, from (estimate, influence) of the fits on gold with true and with the labeler's labels."""
        found = rectified(*truth, *proxy, everyone, sample, n_regressors)
        alone = gold_only(*truth, everyone, sample, n_regressors)
        return cls(found, everyone.estimate, variance_ratio(alone, found))


def variance_ratio(of: Influence, to: Influence) -> Floats:
    """(p,), NaN where there is no variance."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(of.std_error**2 / to.std_error**2, dtype=np.float64)


def correction_tests(equation: str, model: str, names: Sequence[str], found: Corrected, n_gold: int) -> Rows:
    """How much the correction did: the naive estimates' slope on the corrected ones, and what proxies gain."""
    across = slope(found.naive, found.estimate.estimate)
    rows: Rows = [_known(f"naive_slope_{equation}", model, across, n_gold)]
    return rows + [
        _known(f"gold_variance_ratio_{equation}", f"{model}: {name}", ratio, n_gold)
        for name, ratio in zip(names, found.gain, strict=True)
    ]


def _known(test: str, group: str, value: float, n: int) -> dict[str, object]:
    return tested(test, group, float(value) if np.isfinite(value) else None, None, n)


def said_of(usable: Usable, columns: Sequence[Regressor], equation: str) -> list[str]:
    """Notes on what was left out and what few gold pairs tell of."""
    notes = []
    if usable.left_out:
        names = "; ".join(f"{columns[j].term}: {reason}" for j, reason in sorted(usable.left_out.items()))
        notes.append(
            f"{equation}: left out ({names}); the corrected coefficients are those of the regression without"
        )
    if usable.few:
        names = ", ".join(columns[j].term for j in sorted(usable.few))
        notes.append(f"{equation}: fewer than {FEW_INFORMATIVE} gold pairs differ in {names}: take care")
    return notes
