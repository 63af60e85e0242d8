"""`seal export`: a local reward model or embedder -> an ONNX folder."""

from pathlib import Path

import click

from seal.cli.options import out_option, overwrite_option, say


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL_DIR")
@out_option
@click.option(
    "--graph",
    type=click.Choice(["fast", "reference"]),
    help="reference: optimum's. fast: this project's own. Default: the fastest there is for the model.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp32 for CPUs, fp16 for GPUs; int8 for CPUs where its difference, which is printed, is acceptable.",
)
@click.option(
    "--pair-template",
    type=click.Choice(["pair", "concat"]),
    help="pair: prompt and response are two segments. concat: one text. Default: pair. For reward models "
    "only; an embedder always gets one text.",
)
@click.option(
    "--check-against",
    type=click.Choice(["torch"]),
    default="torch",
    show_default=True,
    help="What the exported graph's rewards or embeddings are held against; an export that fails is refused.",
)
@click.option("--tolerance", type=click.FloatRange(min=0, min_open=True), help="Largest difference allowed.")
@click.option("--convert", is_flag=True, help="Read pickled weights (pytorch_model.bin), tensors only.")
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print the parity report as JSON on stdout.")
def command(
    model: Path,
    out: Path,
    graph: str | None,
    precision: str,
    pair_template: str | None,
    check_against: str,
    tolerance: float | None,
    convert: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Export a local reward model, or an embedder for `seal similarity`, to ONNX.

    MODEL_DIR is a folder as transformers writes it: config.json, tokenizer, *.safetensors, and a
    sequence-classification head with one logit; or a sentence-transformers folder, whose modules.json names
    its pooling. Nothing is fetched and no code of the folder is run.
    """
    from seal.engine.export.exporting import ExportOptions, export, to_json
    from seal.engine.export.parity import describe

    options = ExportOptions(
        graph=graph,  # type: ignore[arg-type]  # click has checked the choice
        precision=precision,  # type: ignore[arg-type]
        pair_template=pair_template,  # type: ignore[arg-type]
        convert=convert,
        tolerance=tolerance,
    )
    report = export(model, out, options, overwrite=overwrite)
    for note in report.notes:
        say(note)
    if as_json:
        click.echo(to_json(report))
    else:
        click.echo(f"parity with {check_against}:\n{describe(report.parity)}")
        click.echo(f"{report.spec.architecture}, {report.spec.graph} graph, {precision} -> {out}")
