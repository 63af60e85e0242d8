"""The one pairing: rows of texts become a row a pair, each value under the side it stands on."""

from collections.abc import Mapping, Sequence

import polars as pl

from seal.engine.frames.schema import CHOSEN, REJECTED

SIDES = (CHOSEN, REJECTED)


def pair_up(
    frame: pl.LazyFrame,
    values: Mapping[str, tuple[pl.Expr, pl.Expr]],
    *,
    by: Sequence[str] = ("row_id",),
    count: str = "n",
    carried: Sequence[str] = (),
) -> pl.LazyFrame:
    """One row a pair.

    Args:
        frame: rows with `preference` and the columns of `by`.
        values: name -> (which rows hold it, the value); a side has one such row, or the key stands twice.
        by: what a pair is.
        count: name of the counts of rows, by which keys that stand twice are seen.
        carried: further columns, of which the chosen side's value is kept, and as `<column>_split` whether
            the other side's is another one.

    Returns:
        `by`, then `<name>_chosen`, ..., `<count>_chosen`, the same of the other side, then `carried`. A
        value is null where no row holds it.
    """
    columns = []
    for side in SIDES:
        here = pl.col("preference") == side
        columns += [
            pl.when(here & rows).then(value).max().alias(f"{name}_{side}")
            for name, (rows, value) in values.items()
        ]
        columns.append(here.sum().cast(pl.Int64).alias(f"{count}_{side}"))
    columns += [pl.col(c).filter(pl.col("preference") == CHOSEN).first() for c in carried]
    columns += [(pl.col(c).first() != pl.col(c).last()).fill_null(False).alias(f"{c}_split") for c in carried]
    return frame.group_by(*by).agg(columns)


def stands_twice(count: str = "n") -> pl.Expr:
    """Whether a key of a pair stands twice, by its counts."""
    return pl.any_horizontal(pl.col(f"{count}_{side}") > 1 for side in SIDES)
