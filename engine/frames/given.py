"""Frames as a user gives them: a Parquet file or folder, or a data frame in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.schema import Schema, check, scan

Given = Any
"""A path (text or `Path`), a polars frame (eager or lazy), a pandas data frame, or an Arrow table."""


def as_frame(
    given: Given, schema: Schema, columns: Sequence[str] = (), *, further: bool = False
) -> pl.LazyFrame:
    """Open whatever was given as a lazy frame of a schema.

    Args:
        given: see `Given`; an index of pandas is left out.
        schema: what it must be.
        columns: the fixed columns wanted beyond the key; all of them when empty.
        further: carry through whatever other columns there are.

    Raises:
        UsageError: it is nothing of that kind.
        InputError: a file is missing, or a column is missing or of a wrong type.
    """
    if (path := given_path(given)) is not None:
        return scan(path, schema, columns=columns, further=further)
    origin = schema.name.lower()
    return check(_in_memory(given), schema, origin=origin, columns=columns, further=further)


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
