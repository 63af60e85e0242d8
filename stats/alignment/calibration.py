"""How far margins can be read as probabilities, and what they follow beside: a row a model and source."""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import polars as pl

from seal.stats.alignment.reliability import Ordered, area_under_curve, factor
from seal.stats.options import LEVEL
from seal.stats.pairs.margins import margins_of

ALL = "all"  # what the rows over all pairs have for a source
_ENDS = ("ece", "ece_conf_low", "ece_conf_high")
_NUMBERS = (
    "mean_margin", "sd_margin", "auc", "log_loss", "brier", *_ENDS, "t",
    *(f"{name}_fitted" for name in ("log_loss", "brier", *_ENDS)), "length_spearman", "longer_preferred",
)  # fmt: skip
SCHEMA: dict[str, pl.DataType] = {
    "model": pl.String(), "source": pl.String(), "n_pairs": pl.Int64(),
    **dict.fromkeys(_NUMBERS, pl.Float64()),
}  # fmt: skip


def calibration(
    scores: pl.LazyFrame, texts: pl.LazyFrame | None = None, *, by: str = "source", level: float = LEVEL
) -> pl.DataFrame:
    """Log loss, Brier score, calibration error and AUC of every model's margins; original texts only.

    The margins and differences of length of one model at a time are held in memory, and sorted.

    Args:
        scores: SCORES of any number of models.
        texts: TEXTS: adds a row for each model and source, and what margins have to do with lengths.
        by: the column of TEXTS to split by.
        level: of the bootstrap interval of the calibration error.

    Returns:
        `SCHEMA`, over all pairs (source `all`) and then by source, sorted by model. `n_pairs` have two finite
        rewards. Margins in reward units; `t` is what best turns them into the people's choices (null where
        there is no such number), and the columns that end in `_fitted` are at it, the others at 1.
        `length_spearman` is the rank correlation of margins with differences of length, `longer_preferred`
        the share of pairs of unequal length in which the longer response has the higher reward.

    Raises:
        InputError: a column is missing, a key stands twice, or a reward is larger than any model gives.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    with margins_of(scores, texts, by) as margins:
        for model in margins.models:
            for place, source, numbers in _by_source(margins.pairs(model), margins.groups, level):
                rows.append((place, {"model": model, "source": source, **numbers}))
    return pl.DataFrame([row for _, row in sorted(rows, key=itemgetter(0))], schema=SCHEMA)


def _by_source(
    pairs: pl.DataFrame, groups: Sequence[str | None], level: float
) -> Iterator[tuple[int, str | None, dict[str, Any]]]:
    """Over all, then group by group: its place, what it is called, its numbers."""
    whole = described(pairs, level)
    yield 0, ALL, whole
    for place, name in enumerate(sorted(groups, key=lambda g: (g is not None, g)), 1):
        part = pairs.filter(pl.col("group") == groups.index(name))
        if part.height:
            yield place, name, whole if part.height == pairs.height else described(part, level)


def described(pairs: pl.DataFrame, level: float = LEVEL) -> dict[str, Any]:
    """The row of one model.

    Args:
        pairs: `margin` (finite) and `length`, see `seal.stats.pairs.margins.Margins.pairs`.
        level: of the interval.

    Returns:
        `n_pairs` and the numbers of `SCHEMA` that are known.
    """
    margins = pairs["margin"].to_numpy()
    if not len(margins):
        return {"n_pairs": 0}
    t, ordered = factor(margins), Ordered(margins)
    mean = float(margins.mean())
    found: dict[str, Any] = {
        "n_pairs": len(margins), "mean_margin": mean, "sd_margin": float(margins.std()),
        "auc": area_under_curve(margins), "t": t, **_reliability(ordered, 1.0, level),
    }  # fmt: skip
    if t is not None:
        found |= {f"{k}_fitted": v for k, v in _reliability(ordered, t, level, fitted=True).items()}
    return found | lengths_said(pairs)


def _reliability(
    ordered: Ordered, t: float, level: float, *, fitted: bool = False
) -> dict[str, float | None]:
    found = ordered.reliability(t, fitted=fitted, level=level)
    return {
        "log_loss": found.log_loss, "brier": found.brier, "ece": found.ece,
        "ece_conf_low": found.ece_low, "ece_conf_high": found.ece_high,
    }  # fmt: skip


def lengths_said(pairs: pl.DataFrame) -> dict[str, float | None]:
    """What margins have to do with lengths: `length_spearman` and `longer_preferred`, None where unknown."""
    known = pairs.select("margin", "length").drop_nulls("length")
    unequal = known.filter(pl.col("length") != 0)
    longer = int((unequal["margin"].sign() == unequal["length"].sign()).sum())
    varies = known.height > 1 and all(known[c].min() != known[c].max() for c in known.columns)
    rank = known.select(pl.corr("margin", "length", method="spearman")).item() if varies else None
    return {"length_spearman": rank, "longer_preferred": longer / unequal.height if unequal.height else None}
