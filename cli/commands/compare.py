"""`seal compare`: how far each model agrees with the people."""

from pathlib import Path

import click

from seal.cli.options import PATH, json_option, options_of, print_json, say
from seal.cli.tables import console, print_table
from seal.stats.options import CompareOptions

_COLUMNS = (
    "model", "source", "n_pairs", "n_ties", "alignment", "conf_low", "conf_high", "resistance", "mean_margin"
)  # fmt: skip


@click.command("compare")
@click.argument("scores", type=PATH, nargs=-1, required=True)
@click.option("--texts", type=PATH, help="The scored TEXTS: adds a row for each source.")
@options_of(CompareOptions)
@json_option
def command(scores: tuple[Path, ...], texts: Path | None, options: CompareOptions, as_json: bool) -> None:
    """Compare models by their agreement with people.

    Alignment is the share of pairs in which the human's choice has the higher reward, resistance the rest.
    SCORES are Parquet files or folders, as `seal score` writes them.
    """
    from seal.stats.alignment.compare import compare

    found = compare(scores, options, texts=texts)
    table = found.tables["alignment"]
    if as_json:
        print_json(table.to_dicts())
        return
    print_table(console(), f"Alignment, {options.level:.0%} interval", table, _COLUMNS)
    for note in found.notes:
        say(note)
