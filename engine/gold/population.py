"""The pairs that a sample is drawn from: their row_ids and strata, read without their texts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seal.engine.errors import InputError, UsageError, nearest
from seal.engine.frames.reader import TEXT_COLUMNS, in_order, windows
from seal.engine.frames.schema import (
    CHOSEN,
    INCLUSION,
    LABELS,
    ORIGINAL,
    REJECTED,
    TEXT_KEY,
    TEXTS,
    VARIANT,
    parquet_files,
    readable,
    scan,
)
from seal.engine.gold.options import RARE_BELOW

_PAIRS_AT_ONCE = 8192
DRAWN_WITH, STRATUM = f"meta_{INCLUSION}", "meta_stratum"


@dataclass(frozen=True)
class Population:
    """All pairs of which both original texts are there.

    Attributes:
        row_id: (N,) rising.
        stratum: (N,) the number of each one's stratum.
        names: (H,) of the strata, sorted.
        n_incomplete: pairs left out, for a text of theirs is missing.
    """

    row_id: NDArray[np.int64]
    stratum: NDArray[np.int64]
    names: tuple[str, ...]
    n_incomplete: int

    @property
    def counts(self) -> list[int]:
        """(H,) pairs of each stratum."""
        return [int(n) for n in np.bincount(self.stratum, minlength=len(self.names))]

    def parted(self, rare: NDArray[np.int64]) -> "Population":
        """The same pairs in two strata: those named and the others."""
        stratum = np.isin(self.row_id, rare).astype(np.int64)
        return Population(self.row_id, stratum, ("common", "rare"), self.n_incomplete)


def read_population(texts: Path, aside: Path, column: str | None = None) -> Population:
    """Read the row_ids of TEXTS, and what a column says of each pair.

    Args:
        texts: a TEXTS file or folder.
        aside: where a sorted copy of the columns read may be written.
        column: gives the strata; one stratum without.

    Raises:
        InputError: the texts are not what they must be, or the two texts of a pair are of two strata.
        UsageError: there is no such column, or it belongs to a sample already.
    """
    columns = ("source",) if column is None else (column,)
    _check_columns(texts, column)
    files = in_order(texts, aside, columns)
    missing = _without_text(texts)
    ids, codes, numbers, n_incomplete = [], [], dict[str, int](), 0
    for window in windows(files, _PAIRS_AT_ONCE, variant=ORIGINAL, columns=columns):
        pairs = _whole(window, columns[0]).filter(~pl.col("row_id").is_in(list(missing)))
        n_incomplete += window["row_id"].n_unique() - pairs.height
        values = ["all"] * pairs.height if column is None else _values(pairs, column)
        ids.append(pairs["row_id"].to_numpy())
        codes.append(np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64))
    if not numbers:
        raise InputError(f"{texts} holds no pair of which both texts are there")
    names = tuple(sorted(numbers))
    place = np.argsort(np.argsort(np.array(list(numbers))))
    return Population(np.concatenate(ids), place[np.concatenate(codes)], names, n_incomplete)


def _check_columns(texts: Path, column: str | None) -> None:
    with readable(texts):
        have = pl.scan_parquet(parquet_files(texts)).collect_schema().names()
    if taken := [name for name in (DRAWN_WITH, STRATUM) if name in have]:
        raise UsageError(
            f"{texts} has a column '{taken[0]}' already: it is a sample; draw from the texts it came from"
        )
    known = [
        n for n in have if n not in (*TEXT_KEY, *TEXT_COLUMNS) and (n in TEXTS.types or n[:5] == "meta_")
    ]
    if column is not None and column not in known:
        raise UsageError(f"{texts}: no column '{column}' to draw by; {nearest(column, known)}")


def _whole(window: pl.DataFrame, column: str) -> pl.DataFrame:
    sides = [window.filter(preference=pl.lit(p)).select("row_id", column) for p in (CHOSEN, REJECTED)]
    return sides[0].join(sides[1], on="row_id", maintain_order="left")


def _values(pairs: pl.DataFrame, column: str) -> list[str]:
    apart = pairs.filter(pl.col(column).ne_missing(pl.col(f"{column}_right")))
    if apart.height:
        raise InputError(
            f"the texts of pair {apart['row_id'].item(0)} differ in '{column}'; strata are made of pairs, so "
            "both texts must have the same"
        )
    return pairs[column].cast(pl.String).fill_null("(null)").to_list()


def _without_text(texts: Path) -> frozenset[int]:
    """Pairs of which a text is null; what the footers rule out is not read."""
    found: set[int] = set()
    for file in parquet_files(texts):
        with readable(file):
            metadata = pq.read_metadata(file)
            groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
            chunks = [g.column(c) for g in groups for c in range(g.num_columns)]
            read = [c.statistics for c in chunks if c.path_in_schema in TEXT_COLUMNS]
            if all(s is not None and s.has_null_count and not s.null_count for s in read):
                continue
            empty = pl.any_horizontal(pl.col(*TEXT_COLUMNS).is_null())
            original = pl.col("variant").cast(VARIANT) == ORIGINAL
            rows = pl.scan_parquet(file).filter(empty & original).select("row_id")
            found.update(rows.collect(engine="streaming")["row_id"].to_list())
    return frozenset(found)


def rare_pairs(
    labels: Path, features: Collection[str] | None = None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Pairs whose two texts differ in a rare label, by any labeler.

    Args:
        labels: LABELS of both texts of pairs; what is missing or null differs from nothing.
        features: of boolean or text columns; by default those that differ in some pairs, but in fewer than
            one in ten.

    Returns:
        The row_ids (rising), and the features that were used.

    Raises:
        InputError: the labels cannot be read, or no pair differs.
        UsageError: a feature is unknown or of another kind.
    """
    rows = scan(labels, LABELS).filter(variant=pl.lit(ORIGINAL, VARIANT))
    kinds = rows.collect_schema()
    known = [n for n, kind in kinds.items() if n not in LABELS.types and _sorted_by(kind)]
    for name in features or ():
        if name not in known:
            raise UsageError(f"{labels}: no boolean or text feature '{name}'; {nearest(name, known)}")
    asked = [name for name in known if features is None or name in features]
    differ = [(pl.col(n).drop_nulls().n_unique() > 1).alias(n) for n in asked]
    with readable(labels):
        pairs = rows.group_by("row_id", "labeler").agg(differ).collect(engine="streaming")
    names = asked if features is not None else _rare(pairs, asked)
    rare = pairs.filter(pl.any_horizontal(pl.col(names)))["row_id"].unique().sort() if names else pl.Series()
    if not len(rare):
        raise InputError(f"{labels}: {_nothing_rare(features)}")
    return rare.to_numpy().astype(np.int64), tuple(names)


def _rare(pairs: pl.DataFrame, names: Sequence[str]) -> list[str]:
    shares = pairs.select(pl.col(names).mean()).row(0) if names and pairs.height else ()
    return [name for name, share in zip(names, shares, strict=False) if 0 < share < RARE_BELOW]


def _nothing_rare(features: Collection[str] | None) -> str:
    if features is None:
        return f"no feature differs in some pairs, but in fewer than {RARE_BELOW:.0%}; name features"
    return f"no pair differs in {', '.join(features)}; name other features"


def _sorted_by(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Boolean | pl.Enum | pl.String | pl.Categorical)
