"""Frames as a user gives them: a Parquet file or folder, a CSV file, or a data frame in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.elsewhere import CSV, completed, has_texts_for_a_key, join_by_text, read_csv
from seal.engine.frames.schema import Schema, check, parquet_files, readable, scan

Given = Any
"""A path (text or `Path`), a polars frame (eager or lazy), a pandas data frame, or an Arrow table."""


def as_frame(
    given: Given, schema: Schema, columns: Sequence[str] = (), *, further: bool = False
) -> pl.LazyFrame:
    """Open whatever was given as a lazy frame of a schema.

    In a single file of SCORES or LABELS `variant` may be missing (`original`), and `model` or `labeler` (the
    file's name without its ending).

    Args:
        given: see `Given`; an index of pandas is left out.
        schema: what it must be.
        columns: the fixed columns wanted beyond the key; all of them when empty.
        further: carry through whatever other columns there are.

    Raises:
        UsageError: it is nothing of that kind.
        InputError: a file is missing, or a column is missing or of a wrong type.
    """
    path = given_path(given)
    if path is not None and not path.is_file():
        return scan(path, schema, columns=columns, further=further)
    origin = given_name(given, schema.name.lower())
    return check(_raw(given, schema), schema, origin=origin, columns=columns, further=further)


def as_keyed(
    given: Given, schema: Schema, columns: Sequence[str] = (), *, texts: pl.LazyFrame | None = None
) -> tuple[pl.LazyFrame, tuple[str, ...]]:
    """Open SCORES or LABELS; `prompt` and `response` may stand in the place of `row_id` and `preference`.

    Args:
        given, schema, columns: as for `as_frame`.
        texts: TEXTS in which prompts and responses are looked up.

    Returns:
        The frame, and what the join by texts counted, in words; nothing where there was none.

    Raises:
        UsageError: texts are needed and missing, or it is nothing of that kind.
        InputError: as for `as_frame`; two rows say different things of one text; no row has a text.
    """
    origin = given_name(given, schema.name.lower())
    raw = _raw(given, schema)
    path = given_path(given)
    if not has_texts_for_a_key(raw):
        if path is not None and path.is_dir():
            return scan(path, schema, columns=columns), ()
        return check(raw, schema, origin=origin, columns=columns), ()
    with readable(*filter(None, [path])):
        found = join_by_text(raw, texts, schema, origin)
    return check(found.frame, schema, origin=origin, columns=columns), (found.note(origin),)


def _raw(given: Given, schema: Schema) -> pl.LazyFrame:
    """The frame as it lies there, not held to its schema; what goes without saying in a file is said."""
    path = given_path(given)
    if path is None:
        return _in_memory(given)
    first = parquet_files(path)[0]
    if first.suffix.lower() == CSV:
        return completed(read_csv(path), schema, path.stem)
    with readable(path):
        frame = pl.scan_parquet(first)
        frame.collect_schema()
    return completed(frame, schema, path.stem) if path.is_file() else frame


def given_path(given: Given) -> Path | None:
    """Where it lies; None for a frame in memory."""
    return Path(given) if isinstance(given, str | Path) else None


def given_list(given: Given | Sequence[Given] | None) -> tuple[Given, ...]:
    """One or several frames as a tuple; nothing for None."""
    several = given if isinstance(given, list | tuple) else (given,)
    return () if given is None else tuple(several)


def given_name(given: Given, name: str) -> str:
    """What to call it in an error: its path, or a name for a frame in memory."""
    return str(given_path(given) or name)


def _in_memory(given: Given) -> pl.LazyFrame:
    if isinstance(given, pl.LazyFrame):
        return given
    if isinstance(given, pl.DataFrame):
        return given.lazy()
    if type(given).__module__.split(".")[0] == "pandas":
        return pl.DataFrame(pl.from_pandas(given)).lazy()
    if hasattr(given, "__arrow_c_stream__") or type(given).__module__.split(".")[0] == "pyarrow":
        return pl.DataFrame(given).lazy()
    raise UsageError(
        f"a frame cannot be made of a {type(given).__name__}; give the path of a Parquet file or folder, "
        "or a frame of polars, pandas or Arrow"
    )
