"""`seal agreement`: labelers against each other, against a gold file, and made into one."""

from pathlib import Path

import click

from seal.cli.options import PATH, json_option, options_of, overwrite_option, print_json, say
from seal.cli.tables import console, print_table
from seal.stats.options import AgreementOptions

_COLUMNS = (
    "labeler_a", "labeler_b", "feature", "n", "prevalence_a", "prevalence_b",
    "agreement", "kappa", "ac1", "alpha",
)  # fmt: skip
_GOLD_COLUMNS = ("precision", "recall", "f1")


@click.command("agreement")
@click.argument("labels", type=PATH, nargs=-1, required=True)
@click.option("--gold", type=PATH, help="LABELS taken as right: precision, recall and F1 of the others.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write labelers.csv to, and the combined labels.",
)  # fmt: skip
@options_of(AgreementOptions)
@overwrite_option
@json_option
def command(
    labels: tuple[Path, ...], gold: Path | None, out: Path | None, options: AgreementOptions,
    overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compare labelers on the texts and features they share.

    LABELS are Parquet files or folders with one labeler or several. Printed, and with --out written to
    labelers.csv: agreement, Cohen's kappa, Gwet's AC1 and Krippendorff's alpha, feature by feature, with
    bootstrap intervals. Rows of `all` are alpha over all labelers, the gold one left out.
    """
    from seal.stats.labelers.agreement import agreement

    found = agreement(labels, options, gold=gold, out=out, overwrite=overwrite)
    table = found.tables["labelers"]
    if as_json:
        print_json(table.to_dicts())
    else:
        columns = [*_COLUMNS, *(() if gold is None else _GOLD_COLUMNS)]
        print_table(console(), "Labelers", table, columns)
    for note in found.notes:
        say(f"note: {note}")
    if found.combined:
        say(f"{found.combined.n_texts:,} texts labeled by {found.combined.name} -> {out}")
