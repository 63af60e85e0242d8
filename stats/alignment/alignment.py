"""Alignment and resistance: how often a reward model scores the human's choice higher.

Pair i has margin m_i = r(chosen) - r(rejected); alignment a+ is the share of pairs with m_i > 0, resistance
a- = 1 - a+ (SEAL, section 2.2).
"""

from collections.abc import Mapping, Sequence
from typing import get_args

import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.schema import SCORES, check
from seal.stats.options import LEVEL, TIES, Ties
from seal.stats.pairs.checks import huge_rewards, too_large
from seal.stats.pairs.joins import PAIRS_PER_BLOCK, collect_all, row_blocks
from seal.stats.pairs.sides import SIDES, pair_up, stands_twice
from seal.stats.regression.cells import summed
from seal.stats.regression.inference import require_choice, require_level, wilson


def alignment(
    scores: pl.LazyFrame, *, by: Sequence[str] = (), ties: Ties = TIES, level: float = LEVEL
) -> pl.DataFrame:
    """Alignment and resistance of every model in a SCORES frame.

    Rows may stand in any order; pairs are formed on (`by`..., `model`, `variant`, `row_id`).

    Args:
        scores: a SCORES frame, or any frame with its key and `reward`; further columns may be named in `by`.
        by: columns to give one row a value for (a `source` joined on, `variant`).
        ties: what a pair with equal rewards counts as: misaligned, half aligned, or not at all.
        level: of the Wilson interval of `alignment`.

    Returns:
        One row per (`by`..., `model`), sorted: `n_pairs` (both rewards finite, ties included), `n_ties`,
        `n_incomplete` (pairs left out: a side missing, its reward null, NaN or infinite), `alignment`,
        `resistance`, `conf_low`, `conf_high`, `mean_margin` (in the model's reward units). Estimates are null
        where no pair is left.

    Raises:
        InputError: a column is missing, a key stands twice, or both variants are there and not split by.
        UsageError: `ties` or `level` is none of the allowed values.
    """
    require_choice("ties", ties, get_args(Ties))
    require_level(level)
    frame, group = _typed(scores, by), list(dict.fromkeys((*by, "model", "variant")))
    blocks = []
    for low, high in row_blocks([frame], PAIRS_PER_BLOCK) or [(0, 0)]:
        lazy = _margins(frame.filter(pl.col("row_id").is_between(low, high)), group)
        (pairs,) = collect_all([lazy.sort(*group, "row_id")])  # sums in another order differ in last digits
        blocks.append(_counts(pairs, group))
    counts = pl.concat(blocks).group_by(group).agg(pl.exclude(*_EXAMPLES).sum(), pl.col(*_EXAMPLES).min())
    _refuse_doubtful(counts, [*by, "model"])
    table = counts.select(*by, "model", *_COUNTS).sort(*by, "model")
    return with_alignment(table, ties=ties, level=level)


_EXAMPLES = ("example", "example_huge")
_COUNTS = ("n_pairs", "n_ties", "n_incomplete", "n_won", "sum_margin")


def with_alignment(counts: pl.DataFrame, *, ties: Ties = TIES, level: float = LEVEL) -> pl.DataFrame:
    """Alignment, resistance, interval and mean margin from `n_pairs`, `n_ties`, `n_won`, `sum_margin`."""
    won = pl.col("n_won") + (pl.col("n_ties") * 0.5 if ties == "half" else pl.lit(0.0))
    total = pl.col("n_pairs") - (pl.col("n_ties") if ties == "drop" else pl.lit(0, pl.Int64))
    table = counts.with_columns(won=won.cast(pl.Float64), total=total.cast(pl.Float64))
    low, high = wilson(table["won"].to_numpy(), table["total"].to_numpy(), level)
    some, any_pair = pl.col("total") > 0, pl.col("n_pairs") > 0
    return table.with_columns(
        alignment=pl.when(some).then(pl.col("won") / pl.col("total")),
        resistance=pl.when(some).then(1 - pl.col("won") / pl.col("total")),
        conf_low=pl.when(some).then(pl.Series(low)),
        conf_high=pl.when(some).then(pl.Series(high)),
        mean_margin=pl.when(any_pair).then(pl.col("sum_margin") / pl.col("n_pairs")),
    ).drop("won", "total", "n_won", "sum_margin")


def _typed(scores: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """The key, the reward as Float64 and the columns of `by`, each of its type."""
    checked = check(scores, SCORES, origin="scores", columns=("reward",), further=True)
    if missing := [c for c in by if c not in scores.collect_schema()]:
        raise InputError(f"scores: no column {', '.join(map(repr, missing))} to split the alignment by")
    fixed = [*SCORES.key, "reward"]
    return checked.select(*fixed, *(c for c in by if c not in fixed)).with_columns(
        pl.col("reward").cast(pl.Float64)
    )


def _margins(frame: pl.LazyFrame, group: Sequence[str]) -> pl.LazyFrame:
    """One row a pair: its margin (null where it is incomplete) and whether a key stands twice."""
    valid = pl.col("reward").is_not_null() & pl.col("reward").is_finite()
    values = {"reward": (valid, pl.col("reward")), "huge": (too_large(pl.col("reward")), pl.lit(1))}
    pairs = pair_up(frame, values, by=tuple(dict.fromkeys((*group, "row_id"))))
    return pairs.with_columns(
        margin=pl.col("reward_chosen") - pl.col("reward_rejected"), twice=stands_twice(),
        huge=pl.any_horizontal(pl.col(f"huge_{side}").is_not_null() for side in SIDES),
    )  # fmt: skip


def _counts(pairs: pl.DataFrame, group: Sequence[str]) -> pl.DataFrame:
    twice, huge = (pl.col("row_id").filter(name).min() for name in ("twice", "huge"))
    examples = {"example": twice, "example_huge": huge}
    counts = {"n_twice": pl.col("twice").sum(), "n_huge": pl.col("huge").sum()} | examples
    every = _counted(pl.col("margin")) | counts
    return summed(pairs, group, [value.alias(name) for name, value in every.items()])


def _counted(margin: pl.Expr) -> dict[str, pl.Expr]:
    """The columns of `_COUNTS`."""
    counts = (margin.count(), (margin == 0).sum(), margin.null_count(), (margin > 0).sum())
    return dict(zip(_COUNTS, (*(n.cast(pl.Int64) for n in counts), margin.sum()), strict=True))


def _refuse_doubtful(counts: pl.DataFrame, group: Sequence[str]) -> None:
    """Refuse keys that stand twice, rewards that no model gives, and both variants counted together."""
    if (twice := counts.filter(pl.col("n_twice") > 0)).height:
        row = twice.row(0, named=True)
        raise InputError(
            f"scores: {twice['n_twice'].sum()} pairs have a text scored twice by one model, the first row_id "
            f"{row['example']} of model {row['model']!r}; a (row_id, preference, variant, model) stands once"
        )
    if (huge := counts.filter(pl.col("n_huge") > 0)).height:
        row = huge.row(0, named=True)
        raise InputError(huge_rewards(row["model"], row["n_huge"], row["example_huge"]))
    if counts.select(pl.struct(*group).is_duplicated().any()).item():
        raise InputError(
            "scores: original and rewritten texts stand together; keep one, or split with by=['variant']"
        )


class Rulers:
    """What a model is held against: rules that read no content, such as "the longer text is better".

    Args:
        lengths: whether blocks carry `length_chosen` and `length_rejected`.
        features: ruler name -> base name of a numeric feature whose larger value wins.
    """

    def __init__(self, *, lengths: bool, features: Mapping[str, str]) -> None:
        length = pl.col("length_chosen") - pl.col("length_rejected")
        self._margins: dict[str, pl.Expr] = {"longer": length, "shorter": -length} if lengths else {}
        for name, base in features.items():
            self._margins[f"more {name}"] = pl.col(f"{base}_chosen") - pl.col(f"{base}_rejected")
        self._blocks: list[pl.DataFrame] = []

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`."""
        for name, expression in self._margins.items():
            counts = _counted(expression.cast(pl.Float64))
            self._blocks.append(block.select(pl.lit(f"{RULER}{name}").alias("model"), **counts))

    def table(self, *, ties: Ties = TIES, level: float = LEVEL) -> pl.DataFrame | None:
        """Rows as `alignment` gives them (margins in characters or the feature's units), or None."""
        if not self._blocks:
            return None
        counts = pl.concat(self._blocks).group_by("model", maintain_order=True).agg(pl.all().sum())
        return with_alignment(counts, ties=ties, level=level)


RULER = "ruler: "


def ruler_notes(table: pl.DataFrame) -> list[str]:
    """A warning for every model that agrees with the humans no more than a content-blind ruler does."""
    known = table.filter(pl.col("alignment").is_not_null())
    rulers = known.filter(pl.col("model").str.starts_with(RULER)).sort("alignment", descending=True)
    if not rulers.height:
        return []
    best, share = rulers.select("model", "alignment").row(0)
    models = known.filter(~pl.col("model").str.starts_with(RULER), pl.col("alignment") <= share)
    return [
        f"alignment: {name} agrees with the humans in {a:.1%} of pairs, no more than {best!r} ({share:.1%})"
        for name, a in models.select("model", "alignment").iter_rows()
    ]
