"""Tables as CSV files, safe to open in a spreadsheet and to print on a terminal."""

from pathlib import Path

import polars as pl

from seal.engine.files import write_atomic
from seal.engine.visible import shown

_PLAIN = r"^[\n\t -~]*$"


def write_csv(frame: pl.DataFrame, path: Path) -> Path:
    """Write a table, whole or not at all, with no text that a spreadsheet or a terminal would run.

    Returns:
        The path.
    """
    write_atomic(path, neutralised(frame).write_csv().encode())
    return path


def neutralised(frame: pl.DataFrame) -> pl.DataFrame:
    """Put an apostrophe before text that a spreadsheet would take as a formula; hidden characters as `shown`.

    Joiners, line ends and tabs within a text stay.
    """
    odd = [c.name for c in frame.iter_columns() if c.dtype == pl.String and not c.str.contains(_PLAIN).all()]
    frame = frame.with_columns(pl.col(odd).map_elements(shown, return_dtype=pl.String))
    text = pl.col(pl.String)
    return frame.with_columns(
        pl.when(text.str.contains(r"^[=+\-@\t\r\n]")).then(pl.lit("'") + text).otherwise(text).name.keep()
    )
