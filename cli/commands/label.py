"""`seal label`: what stands in every text, as columns beside its key."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seal.cli.events import tell
from seal.cli.options import PATH, print_json, put, refuse_too_many, say, stage_options, texts_a_second
from seal.cli.progress import display
from seal.cli.tables import console, print_table
from seal.engine.frames.health import FILE
from seal.engine.generation.options import GeneratorOptions
from seal.engine.labeling.options import LabelOptions

_COLUMNS = (
    "labeler", "feature", "n", "most", "most_share", "mean", "mean_probability", "same_in_pair", "agreement",
    "kappa", "verdict", "reason",
)  # fmt: skip

if TYPE_CHECKING:
    from seal.engine.labeling.labeling import LabelReport


@click.command("label")
@click.argument("texts", type=PATH)
@click.option(
    "--labeler", "labelers", multiple=True, required=True, metavar="[NAME=]computed|MODEL|URL",
    help="Who labels; may be repeated. An open-weight model, as a folder or as org/name[@revision] in the "
    "local Hugging Face cache; the URL of a server that speaks OpenAI's API; or `computed`, which counts "
    "words, layout and wording without any model.",
)  # fmt: skip
@stage_options((GeneratorOptions, "generator"), (LabelOptions, "options"))
def command(
    texts: Path, labelers: tuple[str, ...], out: Path, generator: GeneratorOptions, options: LabelOptions,
    max_failures: float, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Say what stands in every text, in columns beside its key.

    TEXTS is a Parquet file or folder, as `seal import` writes it. Every text ends as a row or as a failure
    with its reason. Killed anywhere and started again with the same command, it ends in the same bytes.
    """
    from seal.engine.labeling.labeling import label

    with display() as listen:
        report = label(texts, labelers, out, options, generator, overwrite=overwrite, listen=listen)
    if as_json:
        print_json(report.as_dict())
    else:
        _show(report, len(labelers), out)
    for labeler, reason in report.health.warnings.items():
        warning = f"the labels of {labeler} may mean nothing: {reason}; see {out / FILE}"
        say(f"WARNING: {warning}")
        tell(warning=warning)
    refuse_too_many(report.failed_share, max_failures, out)


def _show(report: "LabelReport", n_labelers: int, out: Path) -> None:
    put(
        f"{report.n_texts:,} texts x {n_labelers} labelers = {report.n_rows:,} rows + "
        f"{report.n_failures:,} failures -> {out} ({texts_a_second(report):,.4g} texts/s)"
    )
    if report.n_requests:
        put(f"{report.requests}; {report.n_truncated:,} dialogues shortened")
    table = report.health.table
    there = [name for name in _COLUMNS if table[name].null_count() < table.height]
    print_table(console(), f"Label health ({out / FILE})", table, there)
