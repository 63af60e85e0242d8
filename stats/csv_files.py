"""Tables as CSV files, safe to open in a spreadsheet and to print on a terminal."""

from pathlib import Path

import polars as pl

from seal.engine.files import write_atomic
from seal.engine.frames.csv_cells import neutralised


def write_csv(frame: pl.DataFrame, path: Path) -> Path:
    """Write a table, whole or not at all, with no text that a spreadsheet or a terminal would run.

    Returns:
        The path.
    """
    write_atomic(path, neutralised(frame).write_csv().encode())
    return path
