"""`seal score`: the reward of every text under one or more models."""

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


@click.command("score")
@click.argument("texts", type=click.Path(path_type=Path))
@click.option(
    "--model", "models", multiple=True, required=True, metavar="[NAME=]DIR",
    help="An exported folder; may be repeated. The name is the folder's own unless given.",
)  # fmt: skip
@out_option
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]), default="auto", show_default=True,
    help="auto takes a GPU where onnxruntime offers one; TensorRT has to be asked for.",
)  # fmt: skip
@click.option(
    "--backend", type=click.Choice(["onnx", "torch"]), default="onnx", show_default=True,
    help="onnx: exported folders. torch: transformers folders, the reference.",
)  # fmt: skip
@click.option(
    "--max-batch-tokens", type=click.IntRange(min=1),
    help="Longest text x texts of a batch, at most. Default: what `seal bench score --tune` found here, else "
    "512 on a CPU, 32768 on a GPU.",
)  # fmt: skip
@click.option(
    "--max-tokens", type=click.IntRange(min=1),
    help="Longest input; of a longer text the prompt is cut from the left. Default: what the model can take, "
    "4096 where it sets no limit.",
)  # fmt: skip
@click.option(
    "--part-rows", type=click.IntRange(min=1),
    help="Pairs in a part: what is sorted together, and at most lost when killed. Default: as tuned, else "
    "2048.",
)  # fmt: skip
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Batches at once on a CPU. Default: as tuned, else one a core.",
)
@limit_option
@max_failures_option
@overwrite_option
@json_option
def command(
    texts: Path,
    models: tuple[str, ...],
    out: Path,
    device: str,
    backend: str,
    max_batch_tokens: int | None,
    max_tokens: int | None,
    part_rows: int | None,
    threads: int | None,
    limit: int | None,
    max_failures: float,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score texts with reward models.

    TEXTS is a Parquet file or folder, as `seal import` writes it. Killed anywhere and started again with the
    same command, it ends in the same bytes.
    """
    from seal.engine.bench.tuning import settle
    from seal.engine.scoring.scoring import ScoreOptions, score

    folders = dict(map(named_path, models))
    if len(folders) < len(models):
        raise UsageError("two models have the same name; write --model NAME=DIR")
    options = ScoreOptions(
        device=device,  # type: ignore[arg-type]  # click has checked the choice
        backend=backend,  # type: ignore[arg-type]
        max_batch_tokens=max_batch_tokens,
        max_tokens=max_tokens,
        part_rows=part_rows,
        limit=limit,
        threads=threads,
    )
    options, notes = settle(options, list(folders.values()), out, overwrite=overwrite)
    for note in notes:
        say(note)
    with display() as listen:
        report = score(texts, folders, out, options, overwrite=overwrite, listen=listen)
    if report.n_halved:
        say(f"{report.n_halved} batches did not fit into memory and were halved; lower --max-batch-tokens")
    if as_json:
        print_json(asdict(report))
    else:
        rate = report.n_texts / report.elapsed_s if report.elapsed_s else 0.0
        click.echo(
            f"{report.n_texts:,} texts x {len(folders)} models = {report.n_rows:,} rewards + "
            f"{report.n_failures:,} failures -> {out} ({rate:,.1f} texts/s)"
        )
    refuse_too_many(report.failed_share, max_failures, out)
