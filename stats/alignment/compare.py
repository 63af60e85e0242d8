"""Models side by side: alignment over all pairs, and source by source."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.schema import ORIGINAL, SCORES, TEXTS, readable, scan
from seal.stats.alignment.alignment import alignment
from seal.stats.pairs.rewards import Ties

ALL = "all"


def compare(
    scores: Sequence[Path], *, texts: Path | None = None, ties: Ties = "misaligned", level: float = 0.95
) -> pl.DataFrame:
    """The alignment table of every model in some SCORES folders; original texts only.

    Args:
        scores: Parquet files or folders; a (text, model) must not stand in two of them.
        texts: the scored TEXTS, to tell the sources apart.
        ties: see `seal.stats.alignment.alignment.alignment`.
        level: of the Wilson interval.

    Returns:
        One row per model over all pairs (source `all`), then, given texts, one per model and source: model,
        source, n_pairs, n_ties, n_incomplete, alignment, resistance, conf_low, conf_high, mean_margin.

    Raises:
        InputError: a column is missing, a key stands twice, or there is no pair to compare.
    """
    frames = [scan(path, SCORES, columns=("reward",)) for path in scores]
    rows = pl.concat(frames).filter(pl.col("variant") == ORIGINAL)
    with readable(*scores):
        table = alignment(rows, ties=ties, level=level).with_columns(source=pl.lit(ALL))
    if texts is not None:
        sources = scan(texts, TEXTS, columns=("source",)).filter(pl.col("variant") == ORIGINAL)
        named = rows.join(sources.select("row_id", "preference", "source"), on=["row_id", "preference"])
        with readable(texts):
            by_source = alignment(named, by=["source"], ties=ties, level=level)
        table = pl.concat([table, by_source.select(table.columns)])
    if not table.height:
        raise InputError(f"{', '.join(map(str, scores))}: no original text was scored")
    return table.select("model", "source", pl.exclude("model", "source"))
