"""TEXTS in order of row_id, a window of whole pairs at a time, in bounded memory."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import TEXT_KEY, TEXTS, VARIANT, check, parquet_files, readable, scan

_ROWS_AT_ONCE = 8192
TEXT_COLUMNS = ("prompt", "response")
"""What most stages read of a text beyond its key."""
_TwoFrames = tuple[pl.DataFrame, pl.DataFrame]


def keep_apart(texts: Path, out: Path, what: str = "the texts") -> None:
    """Refuse a folder to write that the texts lie in, or that lies in theirs: overwriting would take them.

    Args:
        texts: what is read.
        out: the folder to write.
        what: what is read, in words.

    Raises:
        UsageError: it is so.
    """
    there, here = texts.resolve(), out.resolve()
    if there == here or there in here.parents or here in there.parents:
        raise UsageError(f"{out} and {what} {texts} lie in each other; choose a folder beside them to write")


def count_texts(path: Path) -> int:
    """Number of rows of a Parquet file or folder, from its footers."""
    n_texts = 0
    for file in parquet_files(path):
        with readable(file):
            n_texts += pq.read_metadata(file).num_rows
    return n_texts


def in_order(path: Path, aside: Path, columns: Sequence[str] = TEXT_COLUMNS) -> list[Path]:
    """The files of a TEXTS frame with row_id never falling; sorted into one file aside if it is not so.

    Args:
        path: a Parquet file or folder.
        aside: where a sorted copy may be written.
        columns: what will be read beyond the key.

    Raises:
        InputError: a column is missing or of the wrong type, a part of a key is null, or a row_id negative.
    """
    files = parquet_files(path)
    rows = scan(path, TEXTS, columns=columns)
    ids = rows.select(
        *(pl.col(name).is_null().any().alias(name) for name in TEXT_KEY),
        negative=(pl.col("row_id") < 0).any(),
        ordered=pl.col("row_id").is_sorted(),
    )
    with readable(path):
        *null, negative, ordered = ids.collect(engine="streaming").row(0)
    if any(null):
        name = next(name for name, found in zip(TEXT_KEY, null, strict=True) if found)
        raise InputError(f"{path}: a {name} is null; every text needs its key")
    if negative:
        raise InputError(f"{path}: a row_id is negative; it is the pair's place in its source, from 0")
    if ordered:
        return files
    try:
        rows.sort(TEXT_KEY).sink_parquet(aside)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise InputError(f"{path} cannot be sorted into {aside}: {error}") from None
    return [aside]


def windows(
    files: Sequence[Path], n_pairs: int, *, after: int = -1, limit: int | None = None,
    keep: Callable[[pl.Series], pl.Series] | None = None, variant: str | None = None,
    columns: Sequence[str] = TEXT_COLUMNS,
) -> Iterator[pl.DataFrame]:  # fmt: skip
    """Read whole pairs, so many at a time.

    Args:
        files: Parquet files with row_id never falling (see `in_order`).
        n_pairs: distinct row_ids in a window; only the last window has fewer.
        after: leave out row_ids up to this one.
        limit: end after so many distinct row_ids, not counting those left out by `after`, `keep`, `variant`.
        keep: row_ids -> booleans, which of them are wanted; all by default.
        variant: only texts of this variant; both by default.
        columns: what to read beyond the key.

    Yields:
        Frames with the key and the columns, sorted by the key.

    Raises:
        InputError: a key occurs twice, a preference or variant is unknown.
    """
    left = sys.maxsize if limit is None else limit
    held: pl.DataFrame | None = None
    for chunk in chain(chunks(files, after=after, keep=keep, variant=variant, columns=columns), [None]):
        held = chunk if held is None else held if chunk is None else pl.concat([held, chunk])
        if held is None:
            return
        ids = held["row_id"].unique(maintain_order=True)
        n_whole = len(ids) - (chunk is not None)  # the last pair may go on in the next chunk
        while left and (n_whole >= n_pairs or (chunk is None and n_whole)):
            take = min(n_pairs, n_whole, left)
            done = held["row_id"] <= ids[take - 1]
            window, held = held.filter(done), held.filter(~done)
            ids, n_whole, left = ids[take:], n_whole - take, left - take
            yield _checked(window)
        if not left:
            return


def beside(wanted: Iterable[pl.DataFrame], others: Iterable[pl.DataFrame]) -> Iterator[_TwoFrames]:
    """Two frames read along each other: each window of the first, with all rows of the second of its row_ids.

    Args:
        wanted: windows in order of row_id (see `windows`).
        others: rows in order of row_id, cut anywhere (see `chunks`); read no further than needed.

    Yields:
        A window of the first, and the rows of the second, sorted by the key.

    Raises:
        InputError: a key of the second occurs twice.
    """
    coming = iter(others)
    held = next(coming, None)
    for window in wanted:
        ids, last = window.select("row_id").unique(), window["row_id"].item(-1)
        found = [window.clear()]
        while held is not None and held["row_id"].item(0) <= last:
            found.append(_alone(held.join(ids, on="row_id", how="semi")))
            if held["row_id"].item(-1) > last:  # the next window may want the rest
                break
            held = next(coming, None)
        yield window, _checked(pl.concat(found))


def _alone(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows with texts of their own: a few rows picked from many keep the memory of all."""
    return rows.with_columns(pl.Series(name, rows[name].to_list(), dtype=pl.String) for name in TEXT_COLUMNS)


def chunks(
    files: Sequence[Path], *, after: int = -1, keep: Callable[[pl.Series], pl.Series] | None = None,
    variant: str | None = None, columns: Sequence[str] = TEXT_COLUMNS,
) -> Iterator[pl.DataFrame]:  # fmt: skip
    """Read some thousand rows at a time, cut anywhere; arguments and errors as for `windows`."""
    for file in files:  # without pre_buffer=False, pyarrow keeps every row group until the end of the file
        with readable(file), pq.ParquetFile(file, pre_buffer=False) as parquet:
            groups = [g for g in range(parquet.num_row_groups) if _highest(parquet, g) > after]
            wanted = [*TEXT_KEY, *columns]
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=wanted):
                frame = pl.DataFrame(pl.from_arrow(batch))
                frame = check(frame.lazy(), TEXTS, origin=str(file), columns=columns).collect()
                frame = frame.filter(frame["row_id"] > after)
                frame = frame if keep is None else frame.filter(keep(frame["row_id"]))
                frame = frame if variant is None else frame.filter(variant=pl.lit(variant, VARIANT))
                if frame.height:
                    yield frame


def _highest(parquet: pq.ParquetFile, group: int) -> float:
    metadata = parquet.metadata.row_group(group)
    column = next(i for i in range(metadata.num_columns) if metadata.column(i).path_in_schema == "row_id")
    statistics = metadata.column(column).statistics
    return float(statistics.max) if statistics is not None and statistics.has_min_max else float("inf")


def _checked(window: pl.DataFrame) -> pl.DataFrame:
    window = window.sort(TEXT_KEY)
    twice = window.filter(window.select(TEXT_KEY).is_duplicated())
    if twice.height:
        key = ", ".join(f"{n} {v}" for n, v in zip(TEXT_KEY, twice.row(0), strict=False))
        raise InputError(f"the key ({key}) occurs more than once; each text needs a key of its own")
    return window
