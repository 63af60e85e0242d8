"""`seal rewrite`: a sample of the pairs in other words, to see what a reward model's judgement hangs on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seal.cli.options import PATH, print_json, put, refuse_too_many, stage_options, texts_a_second
from seal.cli.progress import display
from seal.engine.generation.options import GeneratorOptions
from seal.engine.rewriting.options import AttributeOptions, RewriteOptions

if TYPE_CHECKING:
    from seal.engine.rewriting.rewriting import RewriteReport


@click.command("rewrite")
@click.argument("texts", type=PATH)
@click.option(
    "--rewriter", required=True, metavar="[NAME=]DIR|URL",
    help="Who rewrites: a folder of an open-weight model, or the URL of a server that speaks OpenAI's API.",
)  # fmt: skip
@stage_options((GeneratorOptions, "generator"), (RewriteOptions, "options"), (AttributeOptions, "attributes"))
def command(
    texts: Path, rewriter: str, out: Path, generator: GeneratorOptions, options: RewriteOptions,
    attributes: AttributeOptions, max_failures: float, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write a sample of the pairs in other words, as texts of variant `rewritten`.

    TEXTS is a Parquet file or folder, as `seal import` writes it. A rewriting that is empty, the same text,
    cut, in other turns or another language is asked for again, then a failure with its code; where one text
    of a pair fails, the other fails with it. `seal score` and `seal label` take what is written like any
    texts. With --toward or --placebo responses alone are rewritten: toward a value of a feature, with
    --double back again, or with no aim. Killed anywhere and started again with the same command, it goes on
    from its last part.
    """
    from seal.engine.rewriting.rewriting import rewrite

    with display() as listen:
        report = rewrite(
            texts,
            rewriter,
            out,
            options,
            generator,
            attributes=attributes,
            overwrite=overwrite,
            listen=listen,
        )
    if as_json:
        print_json(report)
    else:
        _show(report, out)
    refuse_too_many(report.failed_share, max_failures, out)


def _show(report: "RewriteReport", out: Path) -> None:
    put(
        f"{report.n_texts:,} texts = {report.n_rows:,} rewritten + {report.n_failures:,} failures -> {out} "
        f"({texts_a_second(report):,.4g} texts/s)"
    )
    if report.errors:
        put("failures: " + ", ".join(f"{code} {n:,}" for code, n in report.errors.items()))
    put(report.requests)
