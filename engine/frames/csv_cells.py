"""Text in CSV files that no spreadsheet and no terminal runs."""

import polars as pl

from seal.engine.visible import shown

_PLAIN = r"^[\n\t -~]*$"


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
