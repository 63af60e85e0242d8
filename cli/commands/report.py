"""`seal report`: a results folder as one HTML file."""

from pathlib import Path

import click

from seal.cli.options import PATH, options_of, say
from seal.stats.options import ReportOptions


@click.command("report")
@click.argument("results", type=PATH)
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write."
)
@options_of(ReportOptions)
def command(results: Path, out: Path, options: ReportOptions) -> None:
    """Write what an analysis found as one HTML file.

    RESULTS is the folder that `seal analyze` wrote. The file holds no script and loads nothing: a summary,
    figures, every table, failures, the pairs that resist most, and what made it all. A folder that is not
    found is named in the report.
    """
    from seal.stats.report.page import report

    written = report(results, out, options)
    for line in written.missing:
        say(f"missing: {line}")
    say(f"{written.path}: {written.n_bytes / 1e6:.1f} MB")
