"""Tables as CSV files, safe to open in a spreadsheet."""

from pathlib import Path

import polars as pl

from seal.engine.files import write_atomic


def write_csv(frame: pl.DataFrame, path: Path) -> Path:
    """Write a table, whole or not at all, with no text that a spreadsheet would run; returns the path."""
    write_atomic(path, neutralised(frame).write_csv().encode())
    return path


def neutralised(frame: pl.DataFrame) -> pl.DataFrame:
    """Put an apostrophe before text that a spreadsheet would take as a formula."""
    text = pl.col(pl.String)
    return frame.with_columns(
        pl.when(text.str.contains(r"^[=+\-@\t\r]")).then(pl.lit("'") + text).otherwise(text).name.keep()
    )
