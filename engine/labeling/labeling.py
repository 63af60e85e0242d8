"""Texts -> labels: every labeler turns the texts of a window into rows and failures (`frames/stage.py`)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.folder import content_hash
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.reader import count_texts, keep_apart
from seal.engine.frames.sampling import Sample
from seal.engine.frames.schema import LABELS, TEXT_KEY
from seal.engine.frames.stage import Part, Remaining, Stage, failures, run_stage, usable
from seal.engine.generation.asking import AskingReport
from seal.engine.generation.options import GeneratorOptions
from seal.engine.labeling.contract import Labeled, Labeler
from seal.engine.labeling.opening import Labelers, open_labelers
from seal.engine.labeling.options import LabelOptions
from seal.engine.progress import Listener, Meter, listener

STAGE = "label"
PART_PAIRS, MODEL_PART_PAIRS = 8192, 512


@dataclass(frozen=True)
class LabelReport(AskingReport):
    """What a run did, earlier starts of it included: rows are texts x labelers.

    Attributes:
        n_truncated: dialogues whose beginning was left out.
    """

    n_truncated: int = 0


def label(
    texts: str | Path, labelers: Labelers, out: str | Path, options: LabelOptions | None = None,
    generator: GeneratorOptions | None = None, *, overwrite: bool = False, listen: Listener | None = None,
) -> LabelReport:  # fmt: skip
    """Label every text with every labeler into a LABELS folder; go on where an earlier run was killed.

    Args:
        texts: a TEXTS Parquet file or folder.
        labelers: `[NAME=]computed`, `[NAME=]DIR` of an open-weight model, `[NAME=]URL` of a server, or an
            object that labels; one or several. A column that a labeler does not have is null in its rows.
        out: the folder to write.
        options: which texts and features, and how models are asked; the defaults when None.
        generator: what runs the models.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress; by default a bar in a notebook, else nothing.

    Raises:
        InputError: texts, taxonomy or a model are not what they must be.
        ResumeError: `out` was made by something else, or another process writes it.
        UsageError: labelers or options that do not go together.
        SealError: `out` cannot be written, or a model or server failed for good.
    """
    options, texts, out = options or LabelOptions(), Path(texts), Path(out)
    keep_apart(texts, out)
    who = open_labelers(labelers, options, generator or GeneratorOptions())
    types = _common_types(who)
    n_texts = count_texts(texts)
    with_model = any(labeler.identity.get("kind") == "model" for labeler in who)
    part_pairs = options.part_pairs or (MODEL_PART_PAIRS if with_model else PART_PAIRS)
    models = {labeler.name: labeler.identity for labeler in who}
    manifest = Manifest(STAGE, options.identity(part_pairs), {"texts": content_hash(texts)}, models)

    def windows(remaining: Remaining) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        sample = Sample(options.sample, options.seed)
        return ((window, window) for window in remaining.windows(texts, part_pairs, sample=sample))

    stage = Stage(
        manifest, windows, lambda meter: nullcontext(partial(_ask_all, who, meter)),
        partial(_part, who, types), options.limit, n_total=n_texts if options.takes_all else None,
        passes=len(who),
    )  # fmt: skip
    return run_stage(stage, out, LabelReport, overwrite=overwrite, listen=listener(listen))


def _common_types(labelers: Sequence[Labeler]) -> dict[str, pl.DataType]:
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


def _ask_all(labelers: Sequence[Labeler], meter: Meter, window: pl.DataFrame) -> list[Labeled]:
    good, _ = usable(window)
    found = [labeler.label(good, meter) for labeler in labelers]
    for labeler, labeled in zip(labelers, found, strict=True):
        if labeled.rows.height + labeled.failures.height != good.height:
            raise AssertionError(f"labeler {labeler.name} lost rows of {good.height} texts")
    return found


def _part(
    labelers: Sequence[Labeler], types: Mapping[str, pl.DataType], window: pl.DataFrame, found: list[Labeled]
) -> Part:
    _, missing = usable(window)
    rows, failed = [], []
    for labeler, labeled in zip(labelers, found, strict=True):
        columns = [
            pl.col(name) if name in labeled.rows.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in types.items()
        ]
        rows.append(labeled.rows.select(*TEXT_KEY, pl.lit(labeler.name).alias("labeler"), *columns))
        detail = pl.format("labeler {}: {}", pl.lit(labeler.name), "detail")
        lost = pl.concat([labeled.failures, missing])
        failed.append(failures(lost, STAGE, pl.col("error"), detail))
    return Part(pl.concat(rows).sort(LABELS.key), pl.concat(failed))
