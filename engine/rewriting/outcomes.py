"""What came of texts that were to be rewritten: rows, failures, and how many failed for which reason."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import polars as pl

from seal.engine.frames.stage import FAILED, Part
from seal.engine.generation.asking import Failed
from seal.engine.progress import Meter

STAGE = "rewrite"
ERROR = "error_"
TEXTS_AT_ONCE = 256  # that a decoder is asked about


Came = TypeVar("Came")


class Way(Protocol[Came]):
    """One way to rewrite a window of texts."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything that can change an answer, for the manifest."""

    def work(self, window: pl.DataFrame, meter: Meter) -> Came:
        """Ask for every rewriting of a window."""

    def part(self, window: pl.DataFrame, came: Came) -> Part:
        """The rows and failures of a window."""


def sorted_out(
    texts: pl.DataFrame, outcomes: Sequence[tuple[str, str] | Failed]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rewritten texts, and those that failed.

    Args:
        texts: key, prompt, response and whatever else is carried, a row an outcome.
        outcomes: the new prompt and response, or why there is none.
    """
    failed = [outcome if isinstance(outcome, Failed) else None for outcome in outcomes]
    told = texts.with_columns(
        prompt=pl.Series([None if isinstance(o, Failed) else o[0] for o in outcomes], dtype=pl.String),
        response=pl.Series([None if isinstance(o, Failed) else o[1] for o in outcomes], dtype=pl.String),
        error=pl.Series([f.error if f else None for f in failed], dtype=pl.String),
        detail=pl.Series([f.detail if f else None for f in failed], dtype=pl.String),
    )
    rows = told.filter(pl.col("error").is_null()).drop("error", "detail")
    return rows, told.filter(pl.col("error").is_not_null()).select(FAILED.keys())


def counted(rows: pl.DataFrame, failed: pl.DataFrame) -> Part:
    """Rows and failures of this stage as a part, with the failures counted by code."""
    codes = failed["error"].value_counts().iter_rows()
    return Part(rows, failed.with_columns(stage=pl.lit(STAGE)), {f"{ERROR}{code}": n for code, n in codes})
