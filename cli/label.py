"""`seal label`: what stands in every text, as columns beside its key."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.common import (
    json_option,
    limit_option,
    max_failures_option,
    name_list,
    named_path,
    out_option,
    overwrite_option,
    print_json,
    refuse_too_many,
)
from cli.progress import display
from engine.errors import UsageError

if TYPE_CHECKING:
    from engine.labeling import Labeler

COMPUTED = "computed"


@click.command("label")
@click.argument("texts", type=click.Path(path_type=Path))
@click.option(
    "--labeler", "labelers", multiple=True, required=True, metavar="[NAME=]computed",
    help="Who labels; may be repeated. `computed` counts words, layout and wording without any model.",
)  # fmt: skip
@out_option
@click.option(
    "--features", callback=name_list,
    help="Only these computed features, comma-separated. Default: all of them.",
)  # fmt: skip
@click.option(
    "--taxonomy", type=click.Path(path_type=Path), metavar="FILE",
    help="Features that models are asked about (TOML). It is checked, and no computed feature may bear a "
    "name of it. Default: the built-in one.",
)  # fmt: skip
@click.option(
    "--sample", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
    help="Share of the pairs, drawn by seed and row_id: both texts of a pair or neither.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the sample.")
@click.option(
    "--part-rows", type=click.IntRange(min=1), default=8192, show_default=True,
    help="Pairs in a part: what is at most lost when killed.",
)  # fmt: skip
@limit_option
@max_failures_option
@overwrite_option
@json_option
def command(
    texts: Path,
    labelers: tuple[str, ...],
    out: Path,
    features: tuple[str, ...] | None,
    taxonomy: Path | None,
    sample: float,
    seed: int,
    part_rows: int,
    limit: int | None,
    max_failures: float,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Say what stands in every text, in columns beside its key.

    TEXTS is a Parquet file or folder, as `seal import` writes it. Killed anywhere and started again with the
    same command, it ends in the same bytes.
    """
    from engine.labeling import LabelOptions, label
    from engine.sampling import Sample

    options = LabelOptions(Sample(sample, seed), limit, part_rows)
    who = _labelers(labelers, features, taxonomy)
    with display() as listen:
        report = label(texts, who, out, options, overwrite=overwrite, listen=listen)
    if as_json:
        print_json(asdict(report))
    else:
        rate = report.n_texts / report.elapsed_s if report.elapsed_s else 0.0
        click.echo(
            f"{report.n_texts:,} texts x {len(who)} labelers = {report.n_rows:,} rows + "
            f"{report.n_failures:,} failures -> {out} ({rate:,.0f} texts/s)"
        )
    refuse_too_many(report.failed_share, max_failures, out)


def _labelers(
    wanted: Sequence[str], features: tuple[str, ...] | None, taxonomy: Path | None
) -> "list[Labeler]":
    """The labelers that the user named.

    Raises:
        UsageError: one is no labeler of this version, or a computed feature bears a name of the taxonomy.
    """
    from engine.computed import ComputedLabeler
    from engine.taxonomy import load_taxonomy

    asked = load_taxonomy(taxonomy)
    found: list[Labeler] = []
    for value in wanted:
        if value.rpartition("=")[2] != COMPUTED:
            raise UsageError(
                f"--labeler {value}: this version labels with {COMPUTED!r} only; folders and servers of "
                "models are not part of it"
            )
        name, _ = named_path(value)
        labeler = ComputedLabeler(name, features)
        if clash := [column for column in labeler.types if column in asked.names]:
            raise UsageError(
                f"{asked.origin}: feature '{clash[0]}' has the name of a computed one; rename it"
            )
        found.append(labeler)
    return found
