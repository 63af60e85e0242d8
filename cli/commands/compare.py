"""`seal compare`: how far each model agrees with the people."""

from pathlib import Path

import click

from seal.cli.options import PATH, json_option, options_of, print_json, say
from seal.cli.tables import console, print_table
from seal.stats.options import CompareOptions

_COLUMNS = (
    "n_pairs", "n_ties", "alignment", "conf_low", "conf_high", "resistance", "mean_margin"
)  # fmt: skip
_CALIBRATION = (
    "n_pairs", "sd_margin", "auc", "log_loss", "brier", "ece", "ece_conf_low", "ece_conf_high",
)  # fmt: skip
_FITTED = (
    "n_pairs", "t", "log_loss_fitted", "brier_fitted", "ece_fitted", "ece_conf_low_fitted",
    "ece_conf_high_fitted",
)  # fmt: skip
_LENGTHS = ("n_pairs", "length_spearman", "longer_preferred")


@click.command("compare")
@click.argument("scores", type=PATH, nargs=-1, required=True)
@click.option("--texts", type=PATH, help="The scored TEXTS: adds a row for each source, and lengths.")
@options_of(CompareOptions)
@json_option
def command(scores: tuple[Path, ...], texts: Path | None, options: CompareOptions, as_json: bool) -> None:
    """Compare models by their agreement with people.

    Alignment is the share of pairs in which the human's choice has the higher reward, resistance the rest.
    Calibration says how far margins can be read as the probability of the human's choice, as they are and
    multiplied by t. SCORES are Parquet files or folders, as `seal score` writes them, or CSV or Parquet files
    of any program, with row_id and preference or, given the texts, with prompt and response.
    """
    from seal.stats.alignment.compare import compare

    found = compare(scores, options, texts=texts)
    table, margins = found.tables["alignment"], found.tables["calibration"]
    named = table.columns[:2]
    if as_json:
        key = [*named, "n_pairs"]
        beside = margins.drop("mean_margin").unique(key)
        print_json(table.join(beside, on=key, how="left", nulls_equal=True, maintain_order="left").to_dicts())
        return
    out, level = console(), f"{options.level:.0%} interval"
    print_table(out, f"Alignment, {level}", table, [*named, *_COLUMNS])
    print_table(out, f"Calibration of margins, {level}", margins, [*named, *_CALIBRATION])
    print_table(out, f"Calibration of t times margins, {level}", margins, [*named, *_FITTED])
    if texts is not None:
        print_table(out, "Margins and lengths of responses", margins, [*named, *_LENGTHS])
    for note in found.notes:
        say(note)
