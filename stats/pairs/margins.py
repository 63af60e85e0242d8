"""The margins of each model as columns, for what needs all of its pairs at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.schema import ORIGINAL, SCORES, TEXTS, check
from seal.stats.pairs.checks import huge_rewards, require_columns, too_large
from seal.stats.pairs.joins import PAIRS_PER_BLOCK, collect_all, row_blocks
from seal.stats.pairs.sides import SIDES, pair_up, stands_twice
from seal.stats.pairs.spool import Store

IN_MEMORY = 16 * 2**20  # bytes of a model's margins that stay in memory
_SPLIT = "split"  # what blocks call the column that pairs are split by
_COLUMNS = {"margin": pl.Float64(), "length": pl.Int32(), "group": pl.UInt32()}


@dataclass(frozen=True)
class Margins:
    """The margins of several models, most of them in a scratch folder. Use it in a `with` statement.

    Attributes:
        models: their names, sorted.
        groups: the values that pairs are split by, as text; None for pairs without one.
    """

    models: tuple[str, ...]
    groups: tuple[str | None, ...]
    _of: Mapping[str, Store]

    def pairs(self, model: str) -> pl.DataFrame:
        """A row for each pair whose two rewards are finite, in order of `row_id`; 17 bytes a pair.

        `margin` is the reward of the chosen text less that of the rejected one, `length` the characters of
        the chosen response less those of the rejected one (null where the texts are not known), `group` which
        of `groups` (null without texts).
        """
        return pl.concat(list(self._of[model]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self._of.values():
            store.close()


def margins_of(scores: pl.LazyFrame, texts: pl.LazyFrame | None = None, by: str = "source") -> Margins:
    """Walk through the original texts once.

    Args:
        scores: SCORES of any number of models.
        texts: TEXTS, for lengths and for the column of `by`, of which the chosen side's value counts.
        by: a column of TEXTS that is no key and holds no lists.

    Raises:
        InputError: a column is missing, a key stands twice, or a reward is larger than any model gives.
    """
    frame = check(scores, SCORES, origin="scores", columns=("reward",)).filter(pl.col("variant") == ORIGINAL)
    beside = None if texts is None else _texts(texts, by)
    found: dict[str, Store] = {}
    groups: dict[str | None, int] = {}
    for low, high in row_blocks([frame], PAIRS_PER_BLOCK):
        here = pl.col("row_id").is_between(low, high)
        block = _scored(frame.filter(here))
        if beside is not None:
            block = _joined(block, beside.filter(here), groups)
        for model, rows in _by_model(block):
            store = found.setdefault(model, Store(IN_MEMORY))
            store.add(rows.select(pl.col(c).cast(t) for c, t in _COLUMNS.items()))
    return Margins(tuple(sorted(found)), tuple(groups), found)


def _scored(rows: pl.LazyFrame) -> pl.DataFrame:
    """One row a model and pair: its margin, null where a reward is not finite."""
    reward = pl.col("reward").cast(pl.Float64)
    values = {"reward": (reward.is_finite(), reward), "huge": (too_large(reward), pl.lit(1))}
    (pairs,) = collect_all([pair_up(rows, values, by=("model", "row_id")).sort("model", "row_id")])
    if (twice := pairs.filter(stands_twice())).height:
        raise InputError(f"scores: row_id {twice['row_id'][0]} is scored twice by {twice['model'][0]!r}")
    huge = pairs.filter(pl.any_horizontal(pl.col(f"huge_{s}").is_not_null() for s in SIDES))
    if huge.height:
        raise InputError(huge_rewards(huge["model"][0], huge.height, huge["row_id"][0]))
    margin = pl.col("reward_chosen") - pl.col("reward_rejected")
    none = {name: pl.lit(None, kind) for name, kind in _COLUMNS.items()}
    return pairs.select("model", "row_id", **none | {"margin": margin}).drop_nulls("margin")


def _texts(texts: pl.LazyFrame, by: str) -> pl.LazyFrame:
    """Of each original text the length of its response, and what its pair is split by."""
    require_columns(texts, [by])
    frame = check(texts, TEXTS, origin="texts", columns=("source", "response"), further=True)
    return frame.filter(pl.col("variant") == ORIGINAL).select(
        "row_id", "preference", length=pl.col("response").str.len_chars().cast(pl.Int64),
        **{_SPLIT: pl.col(by).cast(pl.String)},
    )  # fmt: skip


def _joined(block: pl.DataFrame, texts: pl.LazyFrame, groups: dict[str | None, int]) -> pl.DataFrame:
    """The same rows with the difference of lengths and the number of their group; new groups are added."""
    lengths = {"length": (pl.lit(True), pl.col("length"))}
    (sides,) = collect_all([pair_up(texts, lengths, carried=(_SPLIT,))])
    if (twice := sides.filter(stands_twice())).height:
        raise InputError(f"texts: row_id {min(twice['row_id'])} has a text that stands there twice")
    for value in sides[_SPLIT].unique().sort():
        groups.setdefault(value, len(groups))
    numbers = pl.DataFrame(
        {_SPLIT: list(groups), "group": list(groups.values())}, schema={_SPLIT: pl.String, "group": pl.UInt32}
    )
    known = sides.select("row_id", _SPLIT, length=pl.col("length_chosen") - pl.col("length_rejected")).join(
        numbers, on=_SPLIT, how="left", nulls_equal=True
    )
    return block.drop("length", "group").join(known, on="row_id", how="left", maintain_order="left")


def _by_model(block: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for rows in block.partition_by("model", maintain_order=True):
        yield str(rows["model"].item(0)), rows
