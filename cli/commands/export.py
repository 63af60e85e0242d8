"""`seal export`: a local reward model or embedder -> an ONNX folder."""

from pathlib import Path

import click

from seal.cli.options import PATH, json_option, options_of, out_option, overwrite_option, put, say
from seal.engine.export.options import ExportOptions


@click.command("export")
@click.argument("model", type=PATH, metavar="MODEL")
@out_option
@options_of(ExportOptions)
@overwrite_option
@json_option
def command(model: Path, out: Path, options: ExportOptions, overwrite: bool, as_json: bool) -> None:
    """Export a local reward model, or an embedder for `seal similarity`, to ONNX.

    MODEL is a folder as transformers writes it: config.json, tokenizer, *.safetensors, and a
    sequence-classification head of one logit or several; or a sentence-transformers folder, whose
    modules.json names its pooling; or org/name[@revision] of either in the local Hugging Face cache. Nothing
    is fetched and no code of the folder is run.
    """
    from seal.engine.export.exporting import export, to_json
    from seal.engine.export.parity import describe

    report = export(model, out, options, overwrite=overwrite)
    for note in report.notes:
        say(note)
    if as_json:
        put(to_json(report))
    else:
        put(f"parity with {options.check_against}:\n{describe(report.parity)}")
        put(f"{report.spec.architecture}, {report.spec.graph} graph, {options.precision} -> {out}")
