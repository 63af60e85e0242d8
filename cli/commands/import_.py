"""`seal import`: preference datasets -> a folder of texts."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seal.cli.options import print_json, put, refuse_too_many, stage_options
from seal.cli.progress import display
from seal.engine.datasets.formats import FORMATS
from seal.engine.datasets.options import ImportOptions

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
@stage_options((ImportOptions, "options"))
def command(
    sources: tuple[Path, ...], out: Path, options: ImportOptions, max_failures: float, overwrite: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Read preference pairs into a folder of texts.

    SRC are files (.jsonl, .json or .ndjson of one record a line, .csv, .tsv, also .gz or .zst; .parquet,
    .arrow) or folders of such. A malformed record becomes a row of failures.parquet with its place and the
    reason. A record of more than two responses becomes its pairs; ties go to ties.parquet.
    """
    from seal.engine.datasets.importing import import_texts

    with display() as listen:
        report = import_texts(sources, out, options, overwrite=overwrite, listen=listen)
    _print(report, as_json)
    refuse_too_many(report.failed_share, max_failures, out)


def _print(report: "ImportReport", as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    n_in = report.n_compared - report.n_other_splits
    rows = [("records in", report.n_records)] if report.n_records != report.n_compared else []
    rows += [("pairs in", n_in), ("pairs out", report.n_pairs), ("ties", report.n_ties)]
    rows += [("failed", report.n_failures), *((f"  {code}", n) for code, n in report.failures.items())]
    if report.n_other_splits:
        rows.append(("of other splits", report.n_other_splits))
    for name, n in rows:
        put(f"{name:<22}{n:>12,}")
