"""What columns of texts and rewards are held to before pairs are made of them."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.schema import TEXT_KEY
from seal.stats.pairs.sides import SIDES, stands_twice

LARGEST = float(np.finfo(np.float32).max)
NAMED = 5  # rewards named among those that are not finite
Models = Sequence[tuple[str, str]]  # what blocks call a model, and its name


def identity(column: str, kind: pl.DataType) -> pl.Expr:
    """A number that tells values apart; of what is no whole number 64 bits of a hash, like `group` itself."""
    value = pl.col(column)
    if kind == pl.Boolean() or kind.is_signed_integer():
        return value.cast(pl.Int64)
    if kind.is_integer():
        return value.cast(pl.UInt64).reinterpret(signed=True)
    return pl.when(value.is_not_null()).then(value.cast(pl.String).hash().reinterpret(signed=True))


def require_columns(texts: pl.LazyFrame, columns: Sequence[str]) -> None:
    """Refuse columns that TEXTS do not have or that hold lists, naming those to choose from."""
    schema = texts.collect_schema()
    there = ", ".join(c for c in schema if c not in TEXT_KEY and not schema[c].is_nested()) or "none"
    if missing := [c for c in columns if c not in schema or c in TEXT_KEY]:
        raise InputError(f"texts: no column {', '.join(map(repr, missing))}; there are: {there}")
    if nested := [c for c in columns if schema[c].is_nested()]:
        raise InputError(f"texts: column {nested[0]!r} is {schema[nested[0]]}; name one of: {there}")


def refuse_split(block: pl.DataFrame, clusters: Sequence[str]) -> None:
    """Refuse clusters that differ between the two texts of some pair."""
    for column in clusters:
        if (split := block.filter(f"{column}_split")).height:
            first = int(split.select(pl.col("row_id").min()).item())
            raise InputError(
                f"texts: {column!r} differs within {split.height} pairs, the first row_id {first}; a cluster "
                "holds whole pairs"
            )


def refuse_huge(block: pl.DataFrame, models: Models) -> None:
    """Refuse a block of pairs with rewards that are `too_large`."""
    for model, name in models:
        huge = block.filter(pl.any_horizontal(too_large(pl.col(f"{model}_{s}")) for s in SIDES))
        if huge.height:
            raise InputError(huge_rewards(name, huge.height, int(huge.select(pl.col("row_id").min()).item())))


def too_large(reward: pl.Expr) -> pl.Expr:
    """Whether a finite reward is beyond what a float32 holds, so that no model gave it."""
    return reward.is_finite() & (reward.abs() > LARGEST)


def huge_rewards(model: str, n: int, row_id: int) -> str:
    """What is said of rewards that are `too_large`."""
    return (
        f"scores: {n} pairs have a reward of {model!r} beyond {LARGEST:.3g}, the first row_id {row_id}; a "
        "float32, which models give, holds no such number: mend it, or leave those rows out"
    )


def not_finite(block: pl.DataFrame, models: Models) -> list[str]:
    """The rewards that stand there and are no number, by `row_id`."""
    found = []
    for model, name in models:
        for side in SIDES:
            there = (pl.col(f"has_{model}_{side}") > 0) & pl.col(f"{model}_{side}").is_null()
            found += [(i, f"row_id {i} of {name} ({side})") for i in block.filter(there)["row_id"]]
    return [text for _, text in sorted(found)]


def refuse_duplicates(block: pl.DataFrame, name: str) -> None:
    """Refuse keys that stand twice in the frame of that name."""
    columns = [f"n_{name}_{s}" for s in SIDES]
    if columns[0] not in block.columns:
        return
    twice = stands_twice(f"n_{name}")
    if name == "scores":
        models = [pl.col(f"has_{m}_{s}").fill_null(0) for s in SIDES for m in ("pre", "post")]
        twice = (pl.col(columns[0]) > models[0] + models[1]) | (pl.col(columns[1]) > models[2] + models[3])
    if (found := block.filter(twice)).height:
        key = "row_id, preference, variant" + {"scores": ", model", "texts": ""}.get(name, ", labeler")
        first = int(found.select(pl.col("row_id").min()).item())
        raise InputError(
            f"{name}: {found.height} pairs have a text that stands there twice, the first row_id "
            f"{first}; every ({key}) must stand once"
        )
