"""What the stages that ask about texts (`label`, `rewrite`) share: which texts, in what parts, how it counts.

A stage reads `parts`, turns each into rows and failures, and hands them to `commit` on a thread of its own;
reading ahead, sampling, resuming and counting are the same whatever is asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.background import ahead
from seal.engine.frames.reader import TEXT_COLUMNS, in_order, windows
from seal.engine.frames.sampling import Sample
from seal.engine.frames.schema import FAILURES, TEXT_KEY, TEXTS
from seal.engine.frames.sink import Sink
from seal.engine.generation.asking import Spent

FAILED: dict[str, pl.DataType] = {
    **{name: TEXTS.types[name] for name in TEXT_KEY},
    "error": pl.String(),
    "detail": pl.String(),
}
"""What there is to know of a failure before the stage puts its name to it."""

_COUNTS = (*(f.name for f in fields(Spent)), "n_truncated")


@dataclass(frozen=True)
class Selection:
    """Which texts, and how many pairs at a time.

    Attributes:
        sample: which pairs.
        limit: only the first of these.
        part_rows: pairs in a part, the unit of resuming.
    """

    sample: Sample = field(default_factory=Sample)
    limit: int | None = None
    part_rows: int = 8192

    def __post_init__(self) -> None:
        for name in ("limit", "part_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")

    @property
    def takes_all(self) -> bool:
        """Whether no text is left out."""
        return self.limit is None and self.sample.share == 1

    @property
    def identity(self) -> dict[str, Any]:
        """What of it changes a folder, for the manifest."""
        sampled = self.sample.share < 1
        return {
            "part_rows": self.part_rows,
            "limit": self.limit,
            "sample": self.sample.share,
            "seed": self.sample.seed if sampled else None,
        }


def parts(
    texts: Path, sink: Sink, selection: Selection, columns: Sequence[str] = TEXT_COLUMNS
) -> Iterator[pl.DataFrame]:
    """Windows of whole pairs that the sink does not hold yet, the next one read while one is worked on.

    Args:
        texts: a TEXTS Parquet file or folder.
        sink: where the stage writes; texts that are out of order are sorted into a file in its folder.
        selection: which texts.
        columns: what to read beyond the key.
    """
    aside = sink.folder / ".sorted.tmp"
    sample, limit = selection.sample, selection.limit
    left = None if limit is None else limit - int(sink.total("n_pairs"))
    keep = None if sample.share == 1 else sample.keeps
    files = in_order(texts, aside, columns)
    n_pairs = selection.part_rows
    yield from ahead(windows(files, n_pairs, after=sink.last_row_id, limit=left, keep=keep, columns=columns))
    aside.unlink(missing_ok=True)


def commit(
    sink: Sink,
    window: pl.DataFrame,
    rows: pl.DataFrame,
    failures: pl.DataFrame,
    counters: Mapping[str, float],
) -> None:
    """Write what became of a window; `failures` is a FAILURES frame in any order."""
    sink.commit(
        rows,
        failures.sort(*TEXT_KEY, "detail").select(*FAILURES.types),
        last_row_id=window["row_id"].item(-1),
        counters={**counters, "n_pairs": window["row_id"].n_unique(), "n_texts": window.height},
    )


def counted(sink: Sink) -> dict[str, Any]:
    """What every such stage reports, earlier starts of it included: texts, rows, failures, time, tokens."""
    return {
        "n_texts": int(sink.total("n_texts")),
        "n_rows": sink.n_rows,
        "n_failures": sink.n_failures,
        "elapsed_s": sink.total("elapsed_s"),
        **{name: int(sink.total(name)) for name in _COUNTS},
    }


def refuse_empty_sample(n_there: int, n_texts: int, texts: Path) -> None:
    """Say so where there are texts and the sample took none.

    Raises:
        InputError: it is so.
    """
    if n_there and not n_texts:
        raise InputError(
            f"the sample keeps none of the pairs of {texts}; raise --sample or change --seed, and add "
            "--overwrite"
        )


def usable(window: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The texts of a window that can be asked about, and the others as failures `missing_text`."""
    there = window["prompt"].is_not_null() & window["response"].is_not_null()
    reason = {"error": pl.lit("missing_text"), "detail": pl.lit("prompt or response is null")}
    return window.filter(there), window.filter(~there).select(*TEXT_KEY, **reason)
