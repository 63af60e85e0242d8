"""Pairs whose human choice is in doubt: both models and the labeler are against it.

A model is against people where its margin is negative, the labeler where its targets favour the rejected text
(gamma = r, see `seal.stats.alignment.regimes.gamma`). How strongly all are is how strongly the least of the
models is: the smaller of the two margins against the choice, each in SDs of the model's own margins.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow.parquet as pq

from seal.engine.files import written_aside
from seal.engine.frames.schema import CHOSEN, ORIGINAL
from seal.stats.pairs.rewards import margin
from seal.stats.pairs.sides import SIDES, pair_up

SUSPECTS = "suspects.parquet"
AGAINST = "r"  # of gamma
SCHEMA: dict[str, pl.DataType] = {
    "row_id": pl.Int64(), **dict.fromkeys(("strength", "margin_pre", "margin_post"), pl.Float64()),
}  # fmt: skip
_SAID = ("prompt", "response")
TEXT_SCHEMA: dict[str, pl.DataType] = {
    "source": pl.String(), **dict.fromkeys((f"{x}_{s}" for s in SIDES for x in _SAID), pl.String()),
}  # fmt: skip
"""What the file has beside; all null without texts."""
_AT_ONCE = 200  # pairs whose texts are in memory together


class SuspectTally:
    """The suspects among blocks of pairs, the strongest kept.

    Args:
        gamma: the labeler's preference, an expression over a block of `Pairs`.
        sd: of the margins of pre and post; where one is not above 0, nothing is a suspect.
        most: pairs kept.

    Attributes:
        n_pairs: how many there are.
    """

    def __init__(self, gamma: pl.Expr, sd: tuple[float, float], most: int) -> None:
        self.n_pairs, self._most, self._gamma = 0, most, gamma
        against = [-margin(m) / s if s > 0 else pl.lit(0.0) for m, s in zip(("pre", "post"), sd, strict=True)]
        self._strength = pl.min_horizontal(against)
        self._kept = pl.DataFrame(schema=SCHEMA)

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`."""
        found = block.filter(self._gamma == AGAINST, self._strength > 0).select(
            "row_id", strength=self._strength, margin_pre=margin("pre"), margin_post=margin("post")
        )
        self.n_pairs += found.height
        both = pl.concat([self._kept, found])
        self._kept = both.sort("strength", "row_id", descending=[True, False]).head(self._most)

    def table(self) -> pl.DataFrame:
        """The strongest first: the columns of `SCHEMA`, margins in reward units, `strength` in SDs."""
        return self._kept


def write_suspects(suspects: pl.DataFrame, texts: pl.LazyFrame | None, path: Path) -> Path:
    """Write suspects with their texts, whole or not at all; the same suspects give the same bytes.

    TEXTS are walked through once; a few hundred pairs' texts are in memory together.

    Args:
        suspects: as `SuspectTally.table` gives them; their order stays.
        texts: TEXTS, or None.
        path: the Parquet file.

    Returns:
        The path.
    """
    with TemporaryDirectory(prefix="seal-suspects-") as scratch, written_aside(path) as aside:
        said = _picked(suspects["row_id"], texts, Path(scratch) / "texts.parquet")
        parts = _with_texts(suspects, said)
        first = next(parts)
        with pq.ParquetWriter(aside, first.to_arrow().schema, compression="zstd") as file:
            file.write_table(first.to_arrow())
            for part in parts:
                file.write_table(part.to_arrow())
    return path


def _picked(row_ids: pl.Series, texts: pl.LazyFrame | None, scratch: Path) -> pl.LazyFrame | None:
    """The original texts of some pairs, in a file of their own."""
    if texts is None or row_ids.is_empty():
        return None
    wanted = texts.filter(pl.col("variant") == ORIGINAL, pl.col("row_id").is_in(row_ids.to_list()))
    have = texts.collect_schema()
    said = [pl.col(x) if x in have else pl.lit(None, pl.String).alias(x) for x in ("source", *_SAID)]
    wanted.select("row_id", "preference", *said).sink_parquet(scratch, row_group_size=2 * _AT_ONCE)
    return pl.scan_parquet(scratch)


def _with_texts(suspects: pl.DataFrame, texts: pl.LazyFrame | None) -> Iterator[pl.DataFrame]:
    """Some suspects after others, with their texts; at least one part, be it empty."""
    none = [pl.lit(None, kind).alias(name) for name, kind in TEXT_SCHEMA.items()]
    slices = suspects.iter_slices(_AT_ONCE) if suspects.height else iter([suspects])
    for part in slices:
        if texts is None:
            yield part.with_columns(none)
            continue
        here = texts.filter(pl.col("row_id").is_in(part["row_id"].to_list()))
        values = {name: (pl.lit(True), pl.col(name)) for name in _SAID}
        values["source"] = (pl.lit(True), pl.col("source"))
        pairs = pair_up(here, values).rename({f"source_{CHOSEN}": "source"}).select("row_id", *TEXT_SCHEMA)
        yield part.join(pairs.collect(), on="row_id", how="left", maintain_order="left")
