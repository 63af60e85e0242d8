"""Texts -> labels: what `seal label` does, whoever labels.

    windows of whole pairs -> each labeler -> a part -> Sink

A labeler turns the texts of a window into labels and failures; reading ahead, sampling, writing behind,
resuming and counting are done here, once for all of them. A part depends on its own texts alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.background import Behind
from seal.engine.frames.manifest import Manifest, content_hash
from seal.engine.frames.reader import count_texts, keep_apart
from seal.engine.frames.schema import LABELS, TEXT_KEY
from seal.engine.frames.selection import (
    FAILED,
    Selection,
    commit,
    counted,
    parts,
    refuse_empty_sample,
    usable,
)
from seal.engine.frames.sink import Sink
from seal.engine.progress import Listener, Meter, silent

STAGE = "label"


def failure_types() -> dict[str, pl.DataType]:
    """The columns of a labeler's failures: the key, `error`, `detail`."""
    return dict(FAILED)


@dataclass(frozen=True)
class Labeled:
    """What a labeler made of some texts; every text is in one of the two frames.

    Attributes:
        rows: the key, then the labeler's columns.
        failures: the key, `error` (a short code), `detail`.
    """

    rows: pl.DataFrame
    failures: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FAILED))


class Labeler(Protocol):
    """Anything that labels texts, with a model or without."""

    @property
    def name(self) -> str:
        """What its rows say under `labeler`."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything about it that changes a label, as plain JSON values: what a resumed run must share."""

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        """Its columns beyond the key."""

    def label(self, texts: pl.DataFrame, meter: Meter) -> Labeled:
        """Label the texts of some whole pairs.

        Args:
            texts: key, prompt and response, sorted by key, none of them null.
            meter: told of texts as they are done, and of tokens.
        """


class LabelOptions(Selection):
    """Which texts to label, and in what parts."""


@dataclass(frozen=True)
class LabelReport:
    """What a run did, earlier starts of it included.

    Attributes:
        n_texts: texts read.
        n_rows: rows written, one a text and labeler.
        n_failures: texts x labelers that failed.
        elapsed_s: seconds of work in all.
        n_requests: messages to models, `n_retries` of them because an answer was cut or invalid.
        n_prompt_tokens: tokens of the messages; `n_cached_tokens` of them were not computed again.
        n_generated_tokens: tokens of the answers.
        n_truncated: dialogues whose beginning was left out.
    """

    n_texts: int
    n_rows: int
    n_failures: int
    elapsed_s: float
    n_requests: int = 0
    n_retries: int = 0
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    n_generated_tokens: int = 0
    n_truncated: int = 0

    @property
    def failed_share(self) -> float:
        """Failures over rows asked for."""
        return self.n_failures / max(1, self.n_rows + self.n_failures)


def label(
    texts: Path,
    labelers: Sequence[Labeler],
    out: Path,
    options: LabelOptions | None = None,
    *,
    overwrite: bool = False,
    listen: Listener = silent,
) -> LabelReport:
    """Label every text with every labeler into a LABELS folder; go on where an earlier run was killed.

    Args:
        texts: a TEXTS Parquet file or folder.
        labelers: at least one; a column that a labeler does not have is null in its rows.
        out: the folder to write.
        options: how.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress.

    Raises:
        SealError: one of its children, for whatever the user can mend.
    """
    options = options or LabelOptions()
    keep_apart(texts, out)
    types = _common_types(labelers)
    n_texts = count_texts(texts)
    with Sink(out, _manifest(texts, labelers, options), overwrite=overwrite) as sink:
        if not sink.finished:
            total = n_texts if options.takes_all else None
            meter = Meter(listen, STAGE, total, int(sink.total("n_texts")), len(labelers))
            with Behind() as writer:
                for window in parts(texts, sink, options):
                    rows, failures = _run(window, labelers, types, meter)
                    writer.submit(commit, sink, window, rows, failures, meter.lap())
        report = LabelReport(**counted(sink))
        refuse_empty_sample(n_texts, report.n_texts, texts)
        sink.finish(**asdict(report))
    return report


def _common_types(labelers: Sequence[Labeler]) -> dict[str, pl.DataType]:
    """Column -> type over all labelers, in their order."""
    names = [labeler.name for labeler in labelers]
    if not names or len(set(names)) < len(names):
        raise UsageError("labelers: at least one is needed, each with a name of its own; write NAME=")
    types: dict[str, pl.DataType] = {}
    for labeler in labelers:
        for column, dtype in labeler.types.items():
            if types.setdefault(column, dtype) != dtype:
                raise UsageError(
                    f"labeler {labeler.name}: its column '{column}' is of another kind elsewhere"
                )
    return types


def _run(
    window: pl.DataFrame, labelers: Sequence[Labeler], types: Mapping[str, pl.DataType], meter: Meter
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The LABELS and FAILURES of one window."""
    good, missing = usable(window)
    rows, failures = [], []
    for labeler in labelers:
        labeled = labeler.label(good, meter)
        if labeled.rows.height + labeled.failures.height != good.height:
            raise AssertionError(f"labeler {labeler.name} lost rows of {good.height} texts")
        columns = [
            pl.col(name) if name in labeled.rows.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in types.items()
        ]
        rows.append(labeled.rows.select(*TEXT_KEY, pl.lit(labeler.name).alias("labeler"), *columns))
        detail = pl.format("labeler {}: {}", pl.lit(labeler.name), "detail")
        failures.append(
            pl.concat([labeled.failures, missing]).select(
                *TEXT_KEY, pl.lit(STAGE).alias("stage"), "error", detail.alias("detail")
            )
        )
    return pl.concat(rows).sort(LABELS.key), pl.concat(failures)


def _manifest(texts: Path, labelers: Sequence[Labeler], options: LabelOptions) -> Manifest:
    return Manifest(
        stage=STAGE,
        options=options.identity,
        inputs={"texts": content_hash(texts)},
        models={labeler.name: labeler.identity for labeler in labelers},
    )
