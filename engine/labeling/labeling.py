"""Texts -> labels: every labeler turns the texts of a window into rows and failures (`frames/stage.py`).

Behind the last part some pairs are asked about by the other protocol (`cross_check.py`), and what was written
is judged as a whole (`health.py`): `label_health.csv` lies beside the parts, and the log names it as well.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.folder import content_hash
from seal.engine.frames.health import FILE, LabelHealth, read_health
from seal.engine.frames.manifest import Manifest, read_manifest
from seal.engine.frames.reader import count_texts, keep_apart
from seal.engine.frames.sampling import Sample
from seal.engine.frames.schema import LABELS, TEXT_KEY
from seal.engine.frames.sink import Sink
from seal.engine.frames.stage import Beside, Part, Remaining, Stage, failures, run_stage, usable
from seal.engine.generation.asking import AskingReport
from seal.engine.generation.options import GeneratorOptions
from seal.engine.labeling.contract import Labeled, Labeler
from seal.engine.labeling.cross_check import ask_again, held_against
from seal.engine.labeling.health import label_health
from seal.engine.labeling.model_labeler import ModelLabeler
from seal.engine.labeling.opening import Labelers, open_labelers
from seal.engine.labeling.options import CROSS_CHECK, LabelOptions
from seal.engine.labeling.shards import KEPT, kept
from seal.engine.progress import Listener, Meter, Recalling, listener

STAGE = "label"
PART_PAIRS, MODEL_PART_PAIRS, CPU_PART_PAIRS = 8192, 512, 64


@dataclass(frozen=True)
class LabelCounts(AskingReport):
    """What a run counted, earlier starts of it included: rows are texts x labelers.

    Attributes:
        n_truncated: dialogues whose beginning was left out.
    """

    n_truncated: int = 0


@dataclass(frozen=True)
class LabelReport(LabelCounts):
    """What a run did, earlier starts of it included: rows are texts x labelers.

    Attributes:
        n_truncated: dialogues whose beginning was left out.
        health: what the labels look like (`label_health.csv`): shares, constants, agreement of the protocols;
            `health.warnings` says of each labeler what is wrong with its labels as a whole. Requests of the
            cross-check are not among `n_requests`.
    """

    health: LabelHealth = field(default_factory=LabelHealth, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        counts = {f.name: getattr(self, f.name) for f in fields(LabelCounts)}
        found = {"warnings": dict(self.health.warnings), "features": self.health.table.to_dicts()}
        return {**counts, "health": found}


def label(
    texts: str | Path, labelers: Labelers, out: str | Path, options: LabelOptions | None = None,
    generator: GeneratorOptions | None = None, *, overwrite: bool = False, listen: Listener | None = None,
) -> LabelReport:  # fmt: skip
    """Label every text with every labeler into a LABELS folder; go on where an earlier run was killed.

    Args:
        texts: a TEXTS Parquet file or folder.
        labelers: `[NAME=]computed`, `[NAME=]MODEL`, an open-weight model, `[NAME=]URL` of a server, or an
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
    hear = Recalling(listener(listen))
    keep_apart(texts, out)
    who = open_labelers(labelers, options, generator or GeneratorOptions())
    types = _common_types(who)
    n_texts = count_texts(texts)
    models = {labeler.name: labeler.identity for labeler in who}
    begun = None if overwrite else _begun(out)
    part_pairs = options.part_pairs or begun or _default_part_pairs(models.values())
    manifest = Manifest(STAGE, options.identity(part_pairs), {"texts": content_hash(texts)}, models)

    def windows(remaining: Remaining) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        sample = Sample(options.sample, options.seed)
        return ((window, window) for window in remaining.windows(texts, part_pairs, sample=sample))

    stage = Stage(
        manifest, windows, lambda meter: nullcontext(partial(_ask_all, who, meter)),
        partial(_part, who, types), options.limit, options.shard,
        n_total=n_texts if options.takes_all else None, passes=len(who),
        beside=Beside((FILE, KEPT), partial(_judged, who, texts, options, hear)),
    )  # fmt: skip
    done = run_stage(stage, out, LabelCounts, overwrite=overwrite, listen=hear)
    return LabelReport(**vars(done), health=read_health(out) or LabelHealth())


def _judged(
    labelers: Sequence[Labeler], texts: Path, options: LabelOptions, hear: Recalling, sink: Sink
) -> tuple[Mapping[str, bytes], Mapping[str, Any]]:
    """The health of the labels as a file, unless it stands already and was asked for so; in a shard what
    merging needs as well.
    """
    n_pairs = CROSS_CHECK if options.cross_check is None else options.cross_check
    models = [labeler for labeler in labelers if isinstance(labeler, ModelLabeler)] if n_pairs else []
    facts = {"cross_check": n_pairs} if models else {}
    before = read_health(sink.folder) if sink.finished else None
    there = options.shard is None or (sink.folder / KEPT).exists()
    asked = {labeler.name: n_pairs for labeler in models}
    if before is not None and before.cross_checked == asked and there:
        return {}, facts
    drawn = (n_pairs, options.seed)
    with hear.interlude() as listen:
        again = ask_again(models, sink.parts, texts, *drawn, listen)
    types = {labeler.name: labeler.types for labeler in labelers}
    crossed = held_against(again, sink.parts, *drawn)
    health = label_health(sink.parts, types, int(sink.total("n_texts")), crossed)
    shard = {} if options.shard is None else {KEPT: kept(types, again, *drawn)}
    return {FILE: health.as_csv(), **shard}, facts


def _begun(out: Path) -> int | None:
    """The size of the parts that an earlier start chose, which may have had another default."""
    document = read_manifest(out)
    identity = document["identity"] if document else {}
    known = identity["options"].get("part_pairs") if identity.get("stage") == STAGE else None
    return known if isinstance(known, int) else None


def _default_part_pairs(identities: Iterable[Mapping[str, Any]]) -> int:
    """On a CPU a decoder takes minutes for what a GPU does in a second, and a kill must not cost hours."""
    models = [identity for identity in identities if identity.get("kind") == "model"]
    if not models:
        return PART_PAIRS
    return CPU_PART_PAIRS if any(m.get("device") == "cpu" for m in models) else MODEL_PART_PAIRS


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
