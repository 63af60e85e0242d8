"""`seal.compare`: models side by side, over all pairs and source by source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.given import Given, as_frame, given_list, given_name, given_path
from seal.engine.frames.schema import ORIGINAL, SCORES, TEXTS, readable
from seal.engine.notebook import html
from seal.stats.alignment.alignment import alignment
from seal.stats.options import CompareOptions
from seal.stats.pairs.joins import collect_all

ALL = "all"


@dataclass(frozen=True)
class Comparison:
    """Models compared.

    Attributes:
        tables: `alignment`: a row a model over all pairs (source `all`), then, given texts, a row a model and
            source: model, source, n_pairs, n_ties, n_incomplete, alignment, resistance, conf_low, conf_high,
            mean_margin.
        notes: what a reader must know, one sentence each.
    """

    tables: Mapping[str, pl.DataFrame]
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return html("Agreement with the people", self.tables, self.notes)


def compare(
    scores: Given | Sequence[Given], options: CompareOptions | None = None, *, texts: Given | None = None
) -> Comparison:
    """Compare models by how often they score the human's choice higher; original texts only.

    Each frame is a Parquet file or folder (its path), or in memory: polars, pandas or Arrow.

    Args:
        scores: SCORES, one frame or a list; a (text, model) must not stand in two of them.
        options: what ties count as, and the level of the intervals.
        texts: the scored TEXTS, to tell the sources apart.

    Raises:
        InputError: a column is missing, a key stands twice, or there is no pair to compare.
    """
    options, given = options or CompareOptions(), given_list(scores)
    named = list(dict.fromkeys(given_name(x, "scores") for x in given))
    frames = [as_frame(x, SCORES, ("reward",)) for x in given]
    rows = pl.concat(frames, how="vertical_relaxed").filter(pl.col("variant") == ORIGINAL)
    with readable(*filter(None, map(given_path, given))):
        table = alignment(rows, ties=options.ties, level=options.level).with_columns(source=pl.lit(ALL))
    if texts is not None:
        sources = as_frame(texts, TEXTS, ("source",)).filter(pl.col("variant") == ORIGINAL)
        with_source = rows.join(sources.select("row_id", "preference", "source"), on=["row_id", "preference"])
        with readable(*filter(None, [given_path(texts)])):
            by_source = alignment(with_source, by=["source"], ties=options.ties, level=options.level)
        table = pl.concat([table, by_source.select(table.columns)])
    if not table.height:
        raise InputError(f"{', '.join(named)}: no original text was scored")
    table = table.select("model", "source", pl.exclude("model", "source"))
    incomplete = table.filter(table["n_incomplete"] > 0).to_dicts()
    notes = [
        f"{row['model']}, {row['source']}: {row['n_incomplete']} pairs lack a reward and are left out"
        for row in incomplete
    ]
    return Comparison({"alignment": table}, (*notes, *(_not_finite(rows) if incomplete else ())))


def _not_finite(rows: pl.LazyFrame) -> list[str]:
    """A note that names the first rewards that are null, NaN or infinite."""
    bad = rows.filter(~pl.col("reward").is_finite().fill_null(False))
    (found,) = collect_all(
        [bad.select("row_id", "model", "preference").sort("row_id", "model", "preference")]
    )
    first = [f"row_id {i} of {model} ({side})" for i, model, side in found.head(5).iter_rows()]
    return [f"{found.height} rewards are null, NaN or infinite: {', '.join(first)}"] if first else []
