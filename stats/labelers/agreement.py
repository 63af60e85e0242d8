"""Labelers against each other and against a gold one; their labels made into one folder, on request."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.folder import content_hash
from seal.engine.frames.given import Given, as_frame, given_list, given_name, given_path
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.reader import keep_apart
from seal.engine.frames.schema import FAILURES, INCLUSION, LABELS, readable, scan
from seal.engine.frames.sink import Sink
from seal.engine.frames.taxonomy import load_taxonomy
from seal.engine.notebook import html
from seal.stats.csv_files import write_csv
from seal.stats.labelers.crowd import Combination, combine
from seal.stats.labelers.measures import Labeler, compare_labelers, doubtful_features, find_labelers
from seal.stats.options import MIN_ALPHA, AgreementOptions

_TABLE, _ERRORS = "labelers", "labeler_errors"


@dataclass(frozen=True)
class Combined:
    """Labelers made into one.

    Attributes:
        folder: its LABELS.
        name: of the labeler it is.
        n_texts: texts labeled.
    """

    folder: Path
    name: str
    n_texts: int


@dataclass(frozen=True)
class Agreement:
    """Labelers compared.

    Attributes:
        tables: `labelers`: a row for every two labelers and feature (see
            `seal.stats.labelers.measures.compare_labelers`); `labeler_errors` where labels were combined by
            `dawid-skene`: how often each says what where what is true.
        notes: what a reader must know, one sentence each.
        combined: the labeler made of them all, on request.
    """

    tables: Mapping[str, pl.DataFrame]
    notes: tuple[str, ...] = ()
    combined: Combined | None = None

    def _repr_html_(self) -> str:
        return html("Agreement of labelers", self.tables, self.notes)


def agreement(
    labels: Given | Sequence[Given],
    options: AgreementOptions | None = None,
    *,
    gold: Given | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Agreement:
    """Compare labelers on the texts and features they share.

    Each frame is a Parquet file or folder (its path), or in memory: polars, pandas or Arrow.

    Args:
        labels: LABELS with one labeler or several, one frame or a list.
        options: intervals, the taxonomy to hold labels to, and whether to make one labeler of them all.
        gold: LABELS of one labeler taken as right: precision, recall and F1 of the others.
        out: a folder to write `labelers.csv` to, and the combined labels.
        overwrite: start afresh where `out` holds other combined labels.

    Raises:
        UsageError: there are too few labelers, the gold frame has several, the taxonomy is none, or options
            do not go together.
        InputError: a frame is no LABELS frame or not one of the taxonomy, or the labelers share no feature.
        ResumeError: `out` was made by something else.
    """
    options, folder = options or AgreementOptions(), None if out is None else Path(out)
    if options.combine and folder is None:
        raise UsageError("combine writes a folder of labels; name it with out")
    if overwrite and not options.combine:
        raise UsageError("overwrite belongs to combine; labelers.csv is written anew each time")
    given = given_list(labels)
    paths = [path for path in map(given_path, (*given, *given_list(gold))) if path is not None]
    with readable(*paths):
        labelers, right = _open(given, gold, options.taxonomy)
        against, notes, tables, combined = list(labelers), [], {}, None
        if options.combine and folder is not None:
            for path in paths:
                keep_apart(path, folder)
            combination = combine(labelers, options.combine)
            combined = _write(combination, given, options, folder, overwrite)
            against.append(Labeler(combined.name, scan(folder, LABELS)))
            notes += _notes(combination, labelers)
            if options.combine == "dawid-skene":
                tables[_ERRORS] = combination.errors()
        parts = _compared(labelers, against, right, options)
    table = pl.concat(parts)
    if table.is_empty():
        raise InputError("the labelers share no boolean or text feature; there is nothing to compare")
    if doubtful := doubtful_features(parts[0]):
        notes.append(f"alpha is below {MIN_ALPHA:g} between some labelers for {', '.join(doubtful)}")
    tables = {_TABLE: table, **tables}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, written in tables.items():
            write_csv(written, folder / f"{name}.csv")
    return Agreement(tables, tuple(notes), combined)


def _compared(
    labelers: Sequence[Labeler], against: Sequence[Labeler], right: Labeler | None, options: AgreementOptions
) -> list[pl.DataFrame]:
    """The labelers among each other, then each against the one taken as right."""
    chances: dict[str, Any] = {"n_resamples": options.resamples, "seed": options.seed, "level": options.level}
    parts = [compare_labelers(labelers, **chances)]
    if right:
        parts += [compare_labelers([x, right], gold=right.name, **chances) for x in against]
    return parts


def _open(
    labels: Sequence[Given], gold: Given | None, taxonomy: Path | None
) -> tuple[list[Labeler], Labeler | None]:
    """The labelers, and the gold one."""
    asked = load_taxonomy(Path(taxonomy)) if taxonomy else None

    def frame(given: Given) -> pl.LazyFrame:
        lazy = as_frame(given, LABELS)
        return asked.check_labels(lazy, origin=given_name(given, "labels"), among=()) if asked else lazy

    labelers = find_labelers([frame(x) for x in labels])
    if gold is None:
        if len(labelers) < 2:
            raise UsageError(f"{labelers[0].name} is the only labeler here; give another one, or a gold one")
        return labelers, None
    right = find_labelers([frame(gold)])
    if len(right) > 1:
        names = ", ".join(x.name for x in right)
        raise UsageError(f"gold, {given_name(gold, 'a frame')}, holds several labelers ({names}); give one")
    if right[0].name in {x.name for x in labelers}:
        raise UsageError(f"the gold labeler {right[0].name!r} is among the LABELS also; leave it out there")
    return labelers, right[0]


def _write(
    combination: Combination, labels: Sequence[Given], options: AgreementOptions, out: Path, overwrite: bool
) -> Combined:
    """Write the combined labels as a folder of their own; gone on with where an earlier run was killed."""
    inputs = {f"labels {i}": _hash(x) for i, x in enumerate(labels, 1)}
    inputs |= {"taxonomy": content_hash(Path(options.taxonomy))} if options.taxonomy else {}
    manifest = Manifest("agreement", {"combine": combination.method}, inputs)
    with Sink(out, manifest, overwrite=overwrite, beside=(f"{_TABLE}.csv", f"{_ERRORS}.csv")) as sink:
        for rows in combination.blocks(after=sink.last_row_id) if not sink.finished else ():
            sink.commit(rows, FAILURES.empty(), last_row_id=rows["row_id"].item(-1))
        sink.finish(n_rows=sink.n_rows, n_failures=0)
        return Combined(out, combination.name, sink.n_rows)


def _hash(given: Given) -> str:
    """What a frame holds: the content hash of its files, or of its rows where it is in memory."""
    path = given_path(given)
    if path is not None:
        return content_hash(path)
    rows = as_frame(given, LABELS).sort(LABELS.key).collect()
    return hashlib.sha256(rows.write_ipc(None).getvalue()).hexdigest()


def _notes(combination: Combination, labelers: Sequence[Labeler]) -> list[str]:
    """What a reader of the combined labels must know."""
    notes = []
    columns = {name for x in labelers for name in x.frame.collect_schema()}
    columns -= {*LABELS.types, INCLUSION}
    if alone := sorted(n for n in columns - set(combination.features) if not n.startswith("p_")):
        notes.append(f"not combined, being lists, numbers or not common to all: {', '.join(alone)}")
    fits = {feature: x.fit for feature, x in combination.features.items() if x.fit}
    if fits and len(labelers) == 2:
        notes.append("two labelers do not identify their error rates; take three, or combine by majority")
    if unfinished := [feature for feature, fit in fits.items() if not fit.converged]:
        notes.append(f"EM had not converged after its last round for {', '.join(unfinished)}")
    return notes
