"""Frames as tables on the terminal."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seal.engine.visible import visible

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console


def console() -> "Console":
    """Where tables go: stdout, 160 columns wide where it is no terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def print_table(console: "Console", title: str, frame: "pl.DataFrame", columns: Sequence[str]) -> None:
    """Print some columns of a frame, numbers to the right, then an empty line; nothing in it is markup."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(visible(title)), title_justify="left", box=None, pad_edge=False)
    numeric = {c: frame.schema[c].is_numeric() for c in columns}
    for column in columns:
        number = numeric[column]
        table.add_column(
            escape(visible(column.replace("_", " "))),
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
        )
    for row in frame.select(columns).iter_rows():
        table.add_row(*(escape(_cell(v)) for v in row))
    console.print(table)
    console.print()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return visible(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0:
        return "0"  # a p-value below what a float holds
    return f"{value:.2g}" if abs(value) < 0.001 else f"{value:.3f}"
