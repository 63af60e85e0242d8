"""`seal similarity`: how near rewritten texts are to their originals."""

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
from seal.engine.scoring.options import SimilarityOptions


@click.command("similarity")
@click.argument("texts", type=PATH)
@click.argument("rewritten", type=PATH)
@click.option(
    "--embedder", "embedders", multiple=True, required=True, metavar="[NAME=]MODEL",
    help="An exported sentence-transformers folder, or org/name[@revision] of one in the local Hugging Face "
    "cache; may be repeated. The name is the folder's own unless given.",
)  # fmt: skip
@stage_options((SimilarityOptions, "options"))
def command(
    texts: Path, rewritten: Path, embedders: tuple[str, ...], out: Path, options: SimilarityOptions,
    max_failures: float, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compare rewritten texts with their originals: the cosine of two embeddings.

    TEXTS holds the originals, REWRITTEN the rewritten texts: Parquet files or folders with the same columns,
    joined on row_id and preference. A rewritten text without an original is a failure row. Killed anywhere
    and started again with the same command, it ends in the same bytes.
    """
    from seal.engine.scoring.similarity import similarity

    with display() as listen:
        report = similarity(texts, rewritten, embedders, out, options, overwrite=overwrite, listen=listen)
    say_halved(report.n_halved)
    if report.n_truncated:
        say(f"{report.n_truncated:,} texts were too long for the embedder and were cut on the right")
    if as_json:
        print_json(report)
    else:
        lowest = options.min_cosine
        low = f" ({report.n_low:,} below {lowest:g})" if lowest is not None else ""
        put(
            f"{report.n_texts:,} rewritten texts x {len(embedders)} embedders = {report.n_rows:,} cosines + "
            f"{report.n_failures:,} failures{low} -> {out} ({texts_a_second(report):,.1f} texts/s)"
        )
    refuse_too_many(report.failed_share, max_failures, out)
