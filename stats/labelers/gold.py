"""What gold labels tell: how often a labeler errs, and how many more of them are needed.

`gold_power(d, v, y, n_pairs=, probability=)` gives a `GoldPower`; its `needed(half_width)` is the number of
gold pairs for an interval of that half-width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seal.stats.labelers.measures import pairwise
from seal.stats.labelers.rectified import GoldSample, least_squares_influence, projection
from seal.stats.options import LEVEL
from seal.stats.pairs.sides import SIDES
from seal.stats.regression.inference import Floats, Rows, t_critical, wilson

PER_REGRESSOR = 6  # gold pairs a regressor, below which intervals are not to be relied on
MIN_INFORMATIVE = 10  # gold pairs in which the truth of a feature differs, below which it is left out
ALL = "all"


@dataclass(frozen=True)
class LabelErrors:
    """How often labels err, over texts with gold labels.

    Attributes:
        n_gold: texts.
        false_positive: rate among those where gold says no, and its limits; None where there is none.
        false_negative: rate among those where gold says yes, and its limits.
        kappa: Cohen's, labels against gold; None where nothing varies.
    """

    n_gold: int
    false_positive: tuple[float, float, float] | None
    false_negative: tuple[float, float, float] | None
    kappa: float | None


def label_errors(
    said: Floats, true: Floats, weight: Floats | None = None, *, level: float = LEVEL
) -> LabelErrors:
    """Compare one feature's labels with gold.

    Args:
        said: (t,) of texts, NaN where there is none; such texts are left out.
        true: (t,) gold, likewise.
        weight: (t,), one over the probability that the text is gold; None for equal ones.
        level: of the intervals: Wilson's, on the effective number of texts (sum w)^2 / sum w^2, texts as
            independent.

    Returns:
        Rates for labels that are 0 or 1 only; kappa for any few values.
    """
    there = np.isfinite(said) & np.isfinite(true)
    x, z = said[there], true[there]
    w = np.ones(len(x)) if weight is None else weight[there]
    values, codes = np.unique(np.concatenate([x, z]), return_inverse=True)
    joint = np.zeros((len(values), len(values)))
    np.add.at(joint, (codes[: len(x)], codes[len(x) :]), w)
    kappa = float(pairwise(joint)[1]) if len(x) else float("nan")
    binary = set(values.tolist()) <= {0.0, 1.0}
    return LabelErrors(
        len(x),
        _rate(x[z == 0] == 1, w[z == 0], level) if binary else None,
        _rate(x[z == 1] == 0, w[z == 1], level) if binary else None,
        kappa if np.isfinite(kappa) else None,
    )


def _rate(wrong: np.ndarray, weight: Floats, level: float) -> tuple[float, float, float] | None:
    if not len(wrong):
        return None
    rate, effective = float(weight @ wrong / weight.sum()), float(weight.sum() ** 2 / (weight @ weight))
    low, high = wilson(rate * effective, effective, level)
    return rate, float(low), float(high)


def error_rows(
    labeler: str,
    features: Sequence[str],
    said: Floats,
    true: Floats,
    *,
    probability: Floats | None = None,
    sources: Sequence[str | None] | None = None,
    level: float = LEVEL,
) -> Rows:
    """Rows of `label_errors.csv`.

    Args:
        labeler: whose labels.
        features: (K,) names.
        said: (m, 2, K) labels of the gold pairs' texts, chosen first, as numbers; NaN for none.
        true: (m, 2, K) gold.
        probability: (m,) of inclusion; None for equal ones.
        sources: (m,) of the pairs; None to leave them apart.
        level: of the intervals.

    Returns:
        A row a feature, side (`all`, `chosen`, `rejected`) and source (`all` or one), in that order; `n_gold`
        counts texts.
    """
    weight = np.ones(len(said)) if probability is None else 1.0 / probability
    names = np.array([ALL] * len(said) if sources is None else [s or "" for s in sources], dtype=object)
    known = [] if sources is None else sorted(set(names.tolist()))
    rows: Rows = []
    for j, feature in enumerate(features):
        for side, at in ((ALL, [0, 1]), *((s, [i]) for i, s in enumerate(SIDES))):
            for source in (ALL, *known):
                here = np.full(len(said), True) if source == ALL else names == source
                x, z = (a[here][:, at, j].ravel() for a in (said, true))
                found = label_errors(x, z, np.repeat(weight[here], len(at)), level=level)
                rows.append(
                    {
                        "labeler": labeler, "feature": feature, "side": side, "source": source,
                        "n_gold": found.n_gold, **_limits("false_positive_rate", found.false_positive),
                        **_limits("false_negative_rate", found.false_negative), "kappa": found.kappa,
                    }
                )  # fmt: skip
    return rows


def _limits(name: str, rate: tuple[float, float, float] | None) -> dict[str, float | None]:
    values = rate or (None, None, None)
    return dict(zip((name, f"{name}_conf_low", f"{name}_conf_high"), values, strict=True))


@dataclass(frozen=True)
class GoldPower:
    """How errors fall with the number of gold pairs: variance = fixed + falling / m.

    Attributes:
        n_gold: of the pilot.
        n_pairs: all there are.
        falling: (p,), variance that gold pairs reduce, times their number.
        fixed: (p,), variance that is there however many of them.
    """

    n_gold: int
    n_pairs: int
    falling: Floats
    fixed: Floats

    def std_error(self, n_gold: float) -> Floats:
        """(p,) with so many gold pairs, drawn as the pilot was."""
        return np.asarray(np.sqrt(self.fixed + self.falling / n_gold), dtype=np.float64)

    def needed(self, half_width: float, *, level: float = LEVEL) -> Floats:
        """(p,) gold pairs for an interval of this half-width; infinite where all pairs are too few."""
        if not half_width > 0:
            raise ValueError(f"half_width must be above 0, not {half_width}")
        room = (half_width / float(t_critical(level, np.inf))) ** 2 - self.fixed
        with np.errstate(divide="ignore", invalid="ignore"):
            m = np.ceil(self.falling / room - 1e-9)
        return np.where((room > 0) & (m <= self.n_pairs), np.maximum(m, 1.0), np.inf)


def gold_power(
    d: Floats, v: Floats, y: Floats, *, n_pairs: int, probability: Floats | None = None
) -> GoldPower:
    """How many gold pairs, from a pilot alone, for Eq. 1 corrected by `rectified`.

    Args:
        d: (m, K) true differences of the pilot's gold pairs.
        v: (m, K) the labeler's.
        y: (m,) differences of reward.
        n_pairs: all pairs there are.
        probability: (m,) of inclusion; None for equal ones.

    Raises:
        NoFit: the pilot does not identify the regression.
    """
    m, k = d.shape
    sample = GoldSample.of(np.full(m, min(1.0, m / n_pairs)) if probability is None else probability)
    phi, xi = (least_squares_influence(z, y, sample.weight)[1] for z in (d, v))
    p = projection(phi, xi, np.clip(sample.probability, None, 1 - 1e-9))
    rest, shared = m / (m - k) * (phi - xi @ p.T), xi @ p.T
    fixed = (shared**2 / sample.weight[:, None]).sum(axis=0) / n_pairs
    return GoldPower(m, n_pairs, m * (rest**2).sum(axis=0), fixed)
