"""`seal similarity`: how near rewritten texts are to their originals."""

from dataclasses import asdict
from pathlib import Path

import click

from seal.cli.options import (
    json_option,
    limit_option,
    max_failures_option,
    named_path,
    out_option,
    overwrite_option,
    print_json,
    refuse_too_many,
    say,
)
from seal.cli.progress import display
from seal.engine.errors import UsageError


@click.command("similarity")
@click.argument("texts", type=click.Path(path_type=Path))
@click.argument("rewritten", type=click.Path(path_type=Path))
@click.option(
    "--embedder", "embedders", multiple=True, required=True, metavar="[NAME=]DIR",
    help="An exported sentence-transformers folder; may be repeated. The name is the folder's own unless "
    "given.",
)  # fmt: skip
@out_option
@click.option(
    "--min-cosine", type=click.FloatRange(-1, 1),
    help="A lower cosine becomes a failure row (low_cosine), which counts for --max-failures. Default: none "
    "does.",
)  # fmt: skip
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
    help="auto takes a GPU where onnxruntime offers one.",
)  # fmt: skip
@click.option(
    "--max-batch-tokens", type=click.IntRange(min=1),
    help="Longest text x texts of a batch, at most. Default: 512 on a CPU, 32768 on a GPU.",
)  # fmt: skip
@click.option(
    "--max-tokens", type=click.IntRange(min=1),
    help="Longest input; a longer text is cut on the right, and how many were is told. Default: the "
    "embedder's own max_seq_length; more is allowed as far as its positions reach.",
)  # fmt: skip
@click.option(
    "--part-rows", type=click.IntRange(min=1), default=2048, show_default=True,
    help="Pairs in a part: what is sorted together, and at most lost when killed.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Batches at once on a CPU. Default: one a core.")
@limit_option
@max_failures_option
@overwrite_option
@json_option
def command(
    texts: Path,
    rewritten: Path,
    embedders: tuple[str, ...],
    out: Path,
    min_cosine: float | None,
    device: str,
    max_batch_tokens: int | None,
    max_tokens: int | None,
    part_rows: int,
    threads: int | None,
    limit: int | None,
    max_failures: float,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compare rewritten texts with their originals: the cosine of two embeddings.

    TEXTS holds the originals, REWRITTEN the rewritten texts: Parquet files or folders with the same columns,
    joined on row_id and preference. A rewritten text without an original is a failure row. Killed anywhere
    and started again with the same command, it ends in the same bytes.
    """
    from seal.engine.scoring.similarity import SimilarityOptions, similarity

    folders = dict(map(named_path, embedders))
    if len(folders) < len(embedders):
        raise UsageError("two embedders have the same name; write --embedder NAME=DIR")
    options = SimilarityOptions(
        device=device,  # type: ignore[arg-type]  # click has checked the choice
        max_batch_tokens=max_batch_tokens,
        max_tokens=max_tokens,
        min_cosine=min_cosine,
        part_rows=part_rows,
        limit=limit,
        threads=threads,
    )
    with display() as listen:
        report = similarity(texts, rewritten, folders, out, options, overwrite=overwrite, listen=listen)
    if report.n_halved:
        say(f"{report.n_halved} batches did not fit into memory and were halved; lower --max-batch-tokens")
    if report.n_truncated:
        say(f"{report.n_truncated:,} texts were too long for the embedder and were cut on the right")
    if as_json:
        print_json(asdict(report))
    else:
        rate = report.n_texts / report.elapsed_s if report.elapsed_s else 0.0
        low = f" ({report.n_low:,} below {min_cosine:g})" if min_cosine is not None else ""
        click.echo(
            f"{report.n_texts:,} rewritten texts x {len(folders)} embedders = {report.n_rows:,} cosines + "
            f"{report.n_failures:,} failures{low} -> {out} ({rate:,.1f} texts/s)"
        )
    refuse_too_many(report.failed_share, max_failures, out)
