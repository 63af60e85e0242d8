"""`seal report`: a results folder as one HTML file."""

from pathlib import Path

import click

from seal.cli.options import say
from seal.engine.errors import UsageError

_PATH = click.Path(path_type=Path)


@click.command("report")
@click.argument("results", type=_PATH)
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write."
)
@click.option(
    "--stage", "stages", type=_PATH, multiple=True,
    help="A folder that a stage wrote, where it is not where the analysis found it; repeatable.",
)  # fmt: skip
@click.option("--truth", type=_PATH, help="CSV of planted coefficients: model, term, planted[, low, high].")
@click.option("--beside", type=_PATH, help="RESULTS of another analysis of the same models, set beside.")
@click.option("--beside-name", help="What to call it; `the other analysis` by default.")
@click.option("--title", help="Of the page.")
@click.option(
    "--pairs", type=click.IntRange(min=0), default=10, show_default=True,
    help="Pairs shown that resist most; their dialogues may be offensive.",
)  # fmt: skip
def command(
    results: Path, out: Path, stages: tuple[Path, ...], truth: Path | None, beside: Path | None,
    beside_name: str | None, title: str | None, pairs: int,
) -> None:  # fmt: skip
    """Write what an analysis found as one HTML file.

    RESULTS is the folder that `seal analyze` wrote. The file holds no script and loads nothing: a summary,
    figures, every table, failures, the pairs that resist most, and what made it all. A folder that is not
    found is named in the report.
    """
    from seal.engine.frames.folder import content_hash
    from seal.stats.report.page import ReportOptions, report

    if beside_name is not None and beside is None:
        raise UsageError("--beside-name names the results of --beside: give both")
    options = ReportOptions(title, stages, truth, beside, beside_name or ReportOptions.beside_name, pairs)
    written = report(results, out, options, identify=content_hash)
    for line in written.missing:
        say(f"missing: {line}")
    say(f"{written.path}: {written.n_bytes / 1e6:.1f} MB")
