"""`seal agreement`: labelers against each other, against a gold file, and made into one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.options import json_option, overwrite_option, print_json, say
from seal.cli.tables import console, print_table
from seal.engine.errors import InputError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from seal.stats.labelers.agreement import Labeler
    from seal.stats.labelers.crowd import Combination

_PATH = click.Path(path_type=Path)
_COLUMNS = (
    "labeler_a", "labeler_b", "feature", "n", "prevalence_a", "prevalence_b",
    "agreement", "kappa", "ac1", "alpha",
)  # fmt: skip
_GOLD_COLUMNS = ("precision", "recall", "f1")
_TABLE, _ERRORS = "labelers.csv", "labeler_errors.csv"


@click.command("agreement")
@click.argument("labels", type=_PATH, nargs=-1, required=True)
@click.option("--gold", type=_PATH, help="LABELS taken as right: precision, recall and F1 of the others.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write labelers.csv to, and the combined labels.",
)  # fmt: skip
@click.option(
    "--combine", type=click.Choice(["majority", "dawid-skene"]),
    help="Make one labeler of them all, a LABELS frame in --out: by vote, or weighed by their error rates.",
)  # fmt: skip
@click.option(
    "--taxonomy", type=_PATH, metavar="FILE",
    help="Hold the labels to this taxonomy (TOML): its features, its values, nothing else.",
)  # fmt: skip
@click.option(
    "--resamples", type=click.IntRange(min=10), default=1000, show_default=True,
    help="Of pairs, for the intervals.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the resampling.")
@click.option(
    "--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True,
    help="Of the intervals.",
)  # fmt: skip
@overwrite_option
@json_option
def command(
    labels: tuple[Path, ...],
    gold: Path | None,
    out: Path | None,
    combine: str | None,
    taxonomy: Path | None,
    resamples: int,
    seed: int,
    level: float,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compare labelers on the texts and features they share.

    LABELS are Parquet files or folders with one labeler or several. Printed, and with --out written to
    labelers.csv: agreement, Cohen's kappa, Gwet's AC1 and Krippendorff's alpha, feature by feature, with
    bootstrap intervals. Rows of `all` are alpha over all labelers, the gold one left out.
    """
    import polars as pl

    from seal.stats.labelers.agreement import compare_labelers, doubtful_features

    if combine and out is None:
        raise UsageError("--combine writes a folder of labels; name it with --out")
    if overwrite and not combine:
        raise UsageError("--overwrite belongs to --combine; labelers.csv is written anew each time")
    labelers, right = _open(labels, gold, taxonomy)
    against = list(labelers)
    if combine and out:
        against.append(_combine(labelers, combine, (labels, gold, taxonomy), out, overwrite))
    chances: dict[str, Any] = {"n_resamples": resamples, "seed": seed, "level": level}
    tables = [compare_labelers(labelers, **chances)]
    if right:
        tables += [compare_labelers([x, right], gold=right.name, **chances) for x in against]
    table = pl.concat(tables)
    if table.is_empty():
        raise InputError("the labelers share no boolean or text feature; there is nothing to compare")
    if out:
        _write_csv(table, out / _TABLE)
    if as_json:
        print_json(table.to_dicts())
    else:
        print_table(console(), "Labelers", table, [*_COLUMNS, *(_GOLD_COLUMNS if right else ())])
    if doubtful := doubtful_features(tables[0]):
        say(f"note: alpha is below 0.667 between some labelers for {', '.join(doubtful)}")


def _open(
    labels: Sequence[Path], gold: Path | None, taxonomy: Path | None
) -> "tuple[list[Labeler], Labeler | None]":
    """The labelers, and the gold one.

    Raises:
        UsageError: there are too few, or the gold file has several.
        InputError: a file is no LABELS frame, or not one of the taxonomy.
    """
    from seal.engine.frames.schema import LABELS, scan
    from seal.engine.labeling.taxonomy import load_taxonomy
    from seal.stats.options import find_labelers

    asked = load_taxonomy(taxonomy) if taxonomy else None

    def frame(path: Path) -> "pl.LazyFrame":
        lazy = scan(path, LABELS)
        return asked.check_labels(lazy, origin=str(path), among=()) if asked else lazy

    labelers = find_labelers([frame(path) for path in labels])
    if gold is None:
        if len(labelers) < 2:
            raise UsageError(f"{labelers[0].name} is the only labeler here; give another one, or --gold")
        return labelers, None
    right = find_labelers([frame(gold)])
    if len(right) > 1:
        names = ", ".join(x.name for x in right)
        raise UsageError(f"--gold {gold} holds several labelers ({names}); it must hold one")
    if right[0].name in {x.name for x in labelers}:
        raise UsageError(f"the gold labeler {right[0].name!r} is among the LABELS also; leave it out there")
    return labelers, right[0]


def _combine(
    labelers: "Sequence[Labeler]",
    method: str,
    sources: tuple[Sequence[Path], Path | None, Path | None],
    out: Path,
    overwrite: bool,
) -> "Labeler":
    """Write the combined labels as a folder of their own; gone on with where an earlier run was killed."""
    from seal.engine.frames.folder import content_hash
    from seal.engine.frames.manifest import Manifest
    from seal.engine.frames.reader import keep_apart
    from seal.engine.frames.schema import LABELS, scan
    from seal.engine.frames.sink import Sink
    from seal.stats.labelers.agreement import Labeler
    from seal.stats.labelers.crowd import combine

    labels, gold, taxonomy = sources
    for path in [*labels, *filter(None, [gold])]:
        keep_apart(path, out)
    inputs = {f"labels {i}": content_hash(path) for i, path in enumerate(labels, 1)}
    inputs |= {"taxonomy": content_hash(taxonomy)} if taxonomy else {}
    combination = combine(labelers, method)  # type: ignore[arg-type]  # click has checked the choice
    manifest = Manifest("agreement", {"combine": method}, inputs)
    with Sink(out, manifest, overwrite=overwrite, beside=(_TABLE, _ERRORS)) as sink:
        for rows in combination.blocks(after=sink.last_row_id) if not sink.finished else ():
            sink.commit(rows, _no_failures(), last_row_id=rows["row_id"].item(-1))
        sink.finish(n_rows=sink.n_rows, n_failures=0)
    _tell(combination, labelers)
    if method == "dawid-skene":
        _write_csv(combination.errors(), out / _ERRORS)
    say(f"{sink.n_rows:,} texts labeled by {combination.name} -> {out}")
    return Labeler(combination.name, scan(out, LABELS))


def _no_failures() -> "pl.DataFrame":
    from seal.engine.frames.schema import FAILURES

    return FAILURES.empty()


def _tell(combination: "Combination", labelers: "Sequence[Labeler]") -> None:
    """What a reader of the combined labels must know."""
    from seal.engine.frames.schema import LABELS

    columns = {name for x in labelers for name in x.frame.collect_schema()} - set(LABELS.types)
    alone = sorted(n for n in columns - set(combination.features) if not n.startswith("p_"))
    if alone:
        say(f"note: not combined, being lists, numbers or not common to all: {', '.join(alone)}")
    fits = {feature: x.fit for feature, x in combination.features.items() if x.fit}
    if fits and len(labelers) == 2:
        say("note: two labelers do not identify their error rates; take three, or --combine majority")
    if unfinished := [feature for feature, fit in fits.items() if not fit.converged]:
        say(f"note: EM had not converged after its last round for {', '.join(unfinished)}")


def _write_csv(table: "pl.DataFrame", path: Path) -> None:
    from seal.engine.files import write_atomic
    from seal.stats.results import neutralised

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, neutralised(table).write_csv().encode())
