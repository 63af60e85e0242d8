"""`seal gold`: labels from people: a sample of pairs, a page to label it on, and back; how many it takes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seal.cli.options import (
    PATH,
    json_option,
    max_failures_option,
    options_of,
    out_option,
    overwrite_option,
    print_json,
    put,
    refuse_too_many,
    say,
)
from seal.cli.tables import console, print_table
from seal.engine.gold.options import GoldReadOptions, GoldSampleOptions, GoldSheetOptions
from seal.stats.options import GoldPowerOptions

if TYPE_CHECKING:
    from seal.engine.gold.reading import GoldReadReport

_NEEDS = ("model", "term", "n_gold", "n_gold_informative", "half_width", "n_needed")
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group("gold")
def command() -> None:
    """Get labels from people: a sample of pairs, a page to label it on, and back."""


@command.command("sample")
@click.argument("texts", type=PATH)
@out_option
@click.option(
    "--labels", type=PATH,
    help="LABELS of the texts: more of the pairs that differ in a rare label are drawn.",
)  # fmt: skip
@options_of(GoldSampleOptions)
@overwrite_option
@json_option
def sample(
    texts: Path, out: Path, labels: Path | None, options: GoldSampleOptions, overwrite: bool, as_json: bool
) -> None:
    """Draw whole pairs of TEXTS at random for people to label.

    What is written is a TEXTS folder of the drawn pairs; meta_inclusion_probability says with what
    probability a pair of its stratum was drawn.
    """
    from seal.engine.gold.sampling import gold_sample

    found = gold_sample(texts, out, options, labels=labels, overwrite=overwrite)
    if as_json:
        print_json(found)
        return
    left = f", {found.n_incomplete:,} left out without both texts" if found.n_incomplete else ""
    put(f"{found.n_drawn:,} of {found.n_pairs:,} pairs{left} -> {out}")
    if len(found.strata) > 1:
        for name, (n_drawn, n_pairs) in found.strata.items():
            put(f"  {name}: {n_drawn:,} of {n_pairs:,}")


@command.command("sheet")
@click.argument("gold", type=_FOLDER)
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write."
)
@options_of(GoldSheetOptions)
@json_option
def sheet(gold: Path, out: Path, options: GoldSheetOptions, as_json: bool) -> None:
    """Write the page on which a person labels the pairs of GOLD.

    One file that loads nothing. It does not say which response was chosen, is worked by keyboard, keeps the
    answers in the browser, and exports them as JSON for `seal gold read`.
    """
    from seal.engine.gold.sheet import gold_sheet

    found = gold_sheet(gold, out, options)
    if as_json:
        print_json(found)
    else:
        put(f"{found.n_pairs:,} pairs, {found.n_questions:,} questions -> {out}")


@command.command("read")
@click.argument("answers", type=PATH, nargs=-1, required=True)
@click.option("--gold", required=True, type=_FOLDER, help="The sample that the page was made of.")
@out_option
@options_of(GoldReadOptions)
@max_failures_option
@overwrite_option
@json_option
def read(
    answers: tuple[Path, ...], gold: Path, out: Path, options: GoldReadOptions, max_failures: float,
    overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Check ANSWERS, the files that people exported from the page, and write them as LABELS.

    Each person is a labeler. inclusion_probability is what `seal analyze` weights pairs by.
    """
    from seal.engine.gold.reading import gold_read

    found = gold_read(answers, gold, out, options, overwrite=overwrite)
    if as_json:
        print_json(found)
    else:
        _show(found, out)
    for note in found.notes:
        say(f"note: {note}")
    refuse_too_many(found.failed_share, max_failures, out)


def _show(found: "GoldReadReport", out: Path) -> None:
    for name, n_pairs in found.n_pairs.items():
        put(f"{name}: {n_pairs:,} of {found.n_drawn:,} pairs labeled")
    put(f"{found.n_rows:,} rows + {found.n_failures:,} failures -> {out}")
    if found.errors:
        put("failures: " + ", ".join(f"{code} {n:,}" for code, n in found.errors.items()))


@command.command("power")
@click.argument("labels", type=PATH, nargs=-1, required=True)
@click.option("--scores", type=PATH, multiple=True, required=True, help="SCORES; repeatable.")
@options_of(GoldPowerOptions)
@json_option
def power(
    labels: tuple[Path, ...], scores: tuple[Path, ...], options: GoldPowerOptions, as_json: bool
) -> None:
    """Say from a pilot how many pairs people must label.

    LABELS are those of the pilot and of the labeler it corrects. For each model and feature: the half-width
    of the corrected interval with the pilot alone, and the pairs to label for the one wanted.
    """
    from seal.stats.power import gold_power

    found = gold_power(labels, scores, options)
    if as_json:
        print_json({**vars(found), "table": found.table.to_dicts()})
    else:
        print_table(console(), f"Gold pairs for a half-width of {found.width:g} SD", found.table, _NEEDS)
        enough = (
            f"{found.n_needed:,} pairs labeled"
            if found.n_needed
            else "intervals without a number stay wider even with all pairs labeled"
        )
        put(f"{enough}: {found.n_gold:,} are, of {found.n_pairs:,}")
    for note in found.notes:
        say(f"note: {note}")
