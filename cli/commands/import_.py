"""`seal import`: preference datasets -> a folder of texts."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seal.cli.options import (
    json_option,
    limit_option,
    max_failures_option,
    out_option,
    overwrite_option,
    print_json,
    refuse_too_many,
)
from seal.cli.progress import display
from seal.engine.datasets.formats import FORMATS

if TYPE_CHECKING:
    from seal.engine.datasets.importing import ImportReport

_EPILOG = "\b\nFormats, and the columns they carry along as meta_NAME:\n" + "\n".join(
    f"  {f.name}: {f.holds}{' -> ' if f.meta else ''}{', '.join(m.name for m in f.meta)}"
    for f in FORMATS.values()
)


@click.command("import", epilog=_EPILOG)
@click.argument(
    "sources", metavar="SRC...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@out_option
@click.option(
    "--format",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    show_default=True,
    metavar="NAME",
    help="What the records are (see below); auto finds it out for each file.",
)
@limit_option
@click.option(
    "--split",
    help="Only files with this word in their name (train, test_prefs); where a source has none, "
    "only records whose column `split` is this.",
)
@click.option("--meta", multiple=True, metavar="COLUMN", help="Carry a column as meta_COLUMN; repeatable.")
@click.option(
    "--max-chars",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Longest prompt and response together; a longer one is a failed row.",
)
@click.option(
    "--part-rows", type=click.IntRange(min=1), default=8192, show_default=True, help="Pairs in a part."
)
@max_failures_option
@overwrite_option
@json_option
def command(
    sources: tuple[Path, ...],
    out: Path,
    format: str,
    limit: int | None,
    split: str | None,
    meta: tuple[str, ...],
    max_chars: int,
    part_rows: int,
    max_failures: float,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Read preference pairs into a folder of texts.

    SRC are files (.jsonl, .json or .ndjson of one record a line, also .gz or .zst; .parquet) or folders of
    such. A malformed record becomes a row of failures.parquet with its place and the reason.
    """
    from seal.engine.datasets.importing import ImportOptions, import_texts

    options = ImportOptions(
        format=format, limit=limit, split=split, meta=meta, max_chars=max_chars, part_rows=part_rows
    )
    with display() as listen:
        report = import_texts(sources, out, options=options, overwrite=overwrite, listen=listen)
    _print(report, as_json)
    # A tie is no fault of the data, and webgpt_comparisons has more of them than the default share allows.
    n_malformed = report.n_failures - report.failures.get("no_preference", 0)
    refuse_too_many(n_malformed / (report.n_pairs + report.n_failures), max_failures, out)


def _print(report: "ImportReport", as_json: bool) -> None:
    if as_json:
        print_json(asdict(report))
        return
    rows = [("pairs in", report.n_pairs + report.n_failures), ("pairs out", report.n_pairs)]
    rows += [("failed", report.n_failures), *((f"  {code}", n) for code, n in report.failures.items())]
    if report.n_other_splits:
        rows.append(("of other splits", report.n_other_splits))
    for name, n in rows:
        click.echo(f"{name:<22}{n:>12,}")
