"""`seal score`: the reward of every text under one or more models."""

from pathlib import Path

import click

from seal.cli.options import (
    PATH,
    print_json,
    put,
    refuse_too_many,
    say,
    say_halved,
    stage_options,
    texts_a_second,
)
from seal.cli.progress import display
from seal.engine.checkpoints.named import named_paths
from seal.engine.scoring.options import ScoreOptions


@click.command("score")
@click.argument("texts", type=PATH)
@click.option(
    "--model", "models", multiple=True, required=True, metavar="[NAME=]MODEL",
    help="An exported folder, or org/name[@revision] in the local Hugging Face cache; may be repeated. The "
    "name is the folder's own unless given.",
)  # fmt: skip
@stage_options((ScoreOptions, "options"))
def command(
    texts: Path, models: tuple[str, ...], out: Path, options: ScoreOptions, max_failures: float,
    overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Score texts with reward models.

    TEXTS is a Parquet file or folder, as `seal import` writes it. Killed anywhere and started again with the
    same command, it ends in the same bytes.
    """
    from seal.engine.bench.tuning import apply_tuning
    from seal.engine.scoring.scoring import score

    folders = named_paths(models)
    options, notes = apply_tuning(options, list(folders.values()), out, overwrite=overwrite)
    for note in notes:
        say(note)
    with display() as listen:
        report = score(texts, folders, out, options, overwrite=overwrite, listen=listen)
    for note in report.notes:
        say(note)
    say_halved(report.n_halved)
    if as_json:
        print_json(report)
    else:
        put(
            f"{report.n_texts:,} texts x {len(report.models)} models = {report.n_rows:,} rewards + "
            f"{report.n_failures:,} failures -> {out} ({texts_a_second(report):,.1f} texts/s)"
        )
    refuse_too_many(report.failed_share, max_failures, out)
