"""`seal export`: a local reward model -> an ONNX folder."""

from pathlib import Path

import click

from cli.common import out_option, overwrite_option, say


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
    default="pair",
    show_default=True,
    help="pair: prompt and response are two segments. concat: one text.",
)
@click.option(
    "--check-against",
    type=click.Choice(["torch"]),
    default="torch",
    show_default=True,
    help="What the exported graph's rewards are held against; an export that fails is refused.",
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
    pair_template: str,
    check_against: str,
    tolerance: float | None,
    convert: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Export a local reward model to ONNX.

    MODEL_DIR is a folder as transformers writes it: config.json, tokenizer, *.safetensors, and a
    sequence-classification head with one logit. Nothing is fetched and no code of the folder is run.
    """
    from engine.export import ExportOptions, describe, export, to_json

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
