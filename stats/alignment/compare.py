"""`seal.compare`: models side by side, over all pairs and source by source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.given import Given, as_frame, as_keyed, given_list, given_name, given_path
from seal.engine.frames.schema import ORIGINAL, SCORES, TEXTS, readable
from seal.engine.notebook import html
from seal.stats.alignment.alignment import alignment
from seal.stats.alignment.calibration import ALL, calibration
from seal.stats.options import CompareOptions
from seal.stats.pairs.checks import require_columns
from seal.stats.pairs.joins import collect_all

SOURCE = "source"
MOST_GROUPS = 1000


@dataclass(frozen=True)
class Comparison:
    """Models compared.

    Attributes:
        tables: `alignment`: a row a model over all pairs (source `all`), then, given texts, a row a model and
            source: model, source, n_pairs, n_ties, n_incomplete, alignment, resistance, conf_low, conf_high,
            mean_margin. `calibration`: the same rows, see `docs/formats.md`. Where pairs are told apart by
            another column, that stands in the place of `source` in both.
        notes: what a reader must know, one sentence each.
    """

    tables: Mapping[str, pl.DataFrame]
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return html("Agreement with the people", self.tables, self.notes)


def compare(
    scores: Given | Sequence[Given], options: CompareOptions | None = None, *, texts: Given | None = None
) -> Comparison:
    """Compare models by how often they score the human's choice higher, and by how much; original texts only.

    Each frame is a Parquet file or folder (its path), or in memory: polars, pandas or Arrow. Scores may be
    CSV files too, and have `prompt` and `response` in the place of `row_id` and `preference`.

    Args:
        scores: SCORES, one frame or a list; a (text, model) must not stand in two of them.
        options: what ties count as, the level of the intervals, and what pairs are told apart by.
        texts: the scored TEXTS, to tell the sources apart, and for the lengths of responses.

    Raises:
        UsageError: pairs are to be told apart by a column, and there are no texts.
        InputError: a column is missing or has more than 1,000 values, a key stands twice, or there is no pair
            to compare.
    """
    options, given = options or CompareOptions(), given_list(scores)
    named = list(dict.fromkeys(given_name(x, "scores") for x in given))
    beside = None if texts is None else as_frame(texts, TEXTS, (SOURCE, "response"), further=True)
    keyed = [as_keyed(x, SCORES, ("reward",), texts=beside) for x in given]
    rows = pl.concat([frame for frame, _ in keyed], how="vertical_relaxed")
    rows = rows.filter(pl.col("variant") == ORIGINAL)
    with readable(*filter(None, map(given_path, (*given, texts)))):
        by = _told_apart_by(beside, options.by)
        table = _agreement(rows, beside, by, options)
        if not table.height:
            raise InputError(f"{', '.join(named)}: no original text was scored")
        calibrated = calibration(rows, beside, by=by, level=options.level)
    incomplete = table.filter(table["n_incomplete"] > 0).to_dicts()
    notes = [note for _, said in keyed for note in said]
    notes += [
        f"{row['model']}, {row[by]}: {row['n_incomplete']} pairs lack a reward and are left out"
        for row in incomplete
    ]
    tables = {"alignment": table, "calibration": calibrated.rename({SOURCE: by})}
    return Comparison(tables, (*notes, *(_not_finite(rows) if incomplete else ())))


def _told_apart_by(texts: pl.LazyFrame | None, by: str | None) -> str:
    """The column that pairs are told apart by, held to what it must be."""
    if by is None:
        return SOURCE
    if texts is None:
        raise UsageError(f"by: {by!r} is a column of the texts; give the texts also")
    require_columns(texts, [by])
    (found,) = collect_all([texts.select(pl.col(by).n_unique())])
    if (n := int(found.item())) > MOST_GROUPS:
        raise InputError(
            f"texts: column {by!r} has {n} values; pairs are told apart by at most {MOST_GROUPS}"
        )
    return by


def _agreement(
    rows: pl.LazyFrame, texts: pl.LazyFrame | None, by: str, options: CompareOptions
) -> pl.DataFrame:
    """Alignment over all pairs, then by the values of a column."""
    table = alignment(rows, ties=options.ties, level=options.level).with_columns(pl.lit(ALL).alias(by))
    if texts is not None:
        values = texts.filter(pl.col("variant") == ORIGINAL).select(
            "row_id", "preference", pl.col(by).cast(pl.String)
        )
        split = rows.join(values, on=["row_id", "preference"])
        parts = alignment(split, by=[by], ties=options.ties, level=options.level)
        table = pl.concat([table, parts.select(table.columns)])
    return table.select("model", by, pl.exclude("model", by))


def _not_finite(rows: pl.LazyFrame) -> list[str]:
    """A note that names the first rewards that are null, NaN or infinite."""
    bad = rows.filter(~pl.col("reward").is_finite().fill_null(False))
    (found,) = collect_all(
        [bad.select("row_id", "model", "preference").sort("row_id", "model", "preference")]
    )
    first = [f"row_id {i} of {model} ({side})" for i, model, side in found.head(5).iter_rows()]
    return [f"{found.height} rewards are null, NaN or infinite: {', '.join(first)}"] if first else []
