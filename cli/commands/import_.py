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

    SRC are files (.jsonl, .json or .ndjson of one record a line, also .gz or .zst; .parquet) or folders of
    such. A malformed record becomes a row of failures.parquet with its place and the reason.
    """
    from seal.engine.datasets.importing import import_texts

    with display() as listen:
        report = import_texts(sources, out, options, overwrite=overwrite, listen=listen)
    _print(report, as_json)
    # A tie is no fault of the data, and webgpt_comparisons has more of them than the default share allows.
    n_malformed = report.n_failures - report.failures.get("no_preference", 0)
    refuse_too_many(n_malformed / (report.n_pairs + report.n_failures), max_failures, out)


def _print(report: "ImportReport", as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    rows = [("pairs in", report.n_pairs + report.n_failures), ("pairs out", report.n_pairs)]
    rows += [("failed", report.n_failures), *((f"  {code}", n) for code, n in report.failures.items())]
    if report.n_other_splits:
        rows.append(("of other splits", report.n_other_splits))
    for name, n in rows:
        put(f"{name:<22}{n:>12,}")
