"""`seal rewrite`: a sample of the pairs in other words, to see what a reward model's judgement hangs on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seal.cli.options import (
    PATH,
    name_list,
    print_json,
    put,
    refuse_too_many,
    stage_options,
    texts_a_second,
)
from seal.cli.progress import display
from seal.engine.errors import UsageError
from seal.engine.generation.options import GeneratorOptions
from seal.engine.rewriting.options import (
    PERTURB_PART_PAIRS,
    AttributeOptions,
    PerturbOptions,
    RewriteOptions,
)
from seal.engine.rewriting.perturbations import PERTURBATIONS

if TYPE_CHECKING:
    from seal.engine.rewriting.perturbing import PerturbReport
    from seal.engine.rewriting.rewriting import RewriteReport

_OF_PERTURBING = frozenset((
    "texts", "perturb", "out", "sample", "seed", "limit", "part_pairs", "formerly_part_rows", "shard",
    "max_failures", "overwrite", "as_json",
))  # fmt: skip


_EPILOG = "\b\nPerturbations (* changes the meaning on purpose):\n" + "\n".join(
    f"  {p.name + ('' if p.keeps_meaning else ' *'):27}{p.says}" for p in PERTURBATIONS
)


@click.command("rewrite", epilog=_EPILOG)
@click.argument("texts", type=PATH)
@click.option(
    "--rewriter", metavar="[NAME=]MODEL|URL",
    help="Who rewrites: an open-weight model, as a folder or as org/name[@revision] in the local Hugging "
    "Face cache; or the URL of a server that speaks OpenAI's API.",
)  # fmt: skip
@click.option(
    "--perturb", metavar="NAME,...|all", callback=name_list,
    help="Perturb the responses instead, without a model; the names stand below.",
)  # fmt: skip
@stage_options((GeneratorOptions, "generator"), (RewriteOptions, "options"), (AttributeOptions, "attributes"))
def command(
    texts: Path, rewriter: str | None, perturb: tuple[str, ...] | None, out: Path,
    generator: GeneratorOptions, options: RewriteOptions, attributes: AttributeOptions, max_failures: float,
    overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write a sample of the pairs in other words, as texts of variant `rewritten`, or perturb all.

    TEXTS is a Parquet file or folder, as `seal import` writes it. A rewriting that is empty, the same text,
    cut, in other turns or another language is asked for again, then a failure with its code; where one text
    of a pair fails, the other fails with it. `seal score` and `seal label` take what is written like any
    texts. Killed anywhere and started again with the same command, it goes on from its last part.

    With --toward or --placebo a model rewrites the responses alone: toward a value of a feature, with
    --double back again, or with no aim.

    With --perturb the responses are changed by rules instead, as texts of variants `perturb:NAME`. A pair is
    perturbed where a rule changes at least one of its texts.
    """
    if perturb is not None:
        _perturb(texts, perturb, out, options, max_failures, overwrite=overwrite, as_json=as_json)
        return
    if rewriter is None:
        raise click.UsageError("Missing option '--rewriter' (or '--perturb', which needs no model).")
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


def _perturb(
    texts: Path, names: tuple[str, ...], out: Path, options: RewriteOptions, max_failures: float, *,
    overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    from seal.engine.rewriting.perturbing import perturb

    asked = _perturb_options(options)
    with display() as listen:
        report = perturb(texts, names, out, asked, overwrite=overwrite, listen=listen)
    if as_json:
        print_json(report)
    else:
        _show_perturbed(report, out)
    refuse_too_many(report.failed_share, max_failures, out)


def _perturb_options(options: RewriteOptions) -> PerturbOptions:
    """What was given of the options that perturbing honours; others are refused where they were typed.

    What settings and variables say of asking a model is for those who ask one.
    """
    context, source = click.get_current_context(), click.core.ParameterSource
    sources = {p.name: context.get_parameter_source(p.name) for p in context.command.params if p.name}
    given = {name for name, where in sources.items() if where is not source.DEFAULT}
    typed = {name for name, where in sources.items() if where is source.COMMANDLINE}
    if refused := sorted(name.replace("_", "-") for name in typed - _OF_PERTURBING):
        raise UsageError(f"perturb asks no model, and does not take the option {', '.join(refused)}")
    part_pairs = options.part_pairs if given & {"part_pairs", "formerly_part_rows"} else PERTURB_PART_PAIRS
    sample = options.sample if "sample" in given else 1.0
    return PerturbOptions(sample, options.seed, options.limit, part_pairs, options.shard)


def _show_perturbed(report: "PerturbReport", out: Path) -> None:
    failed = report.n_failures - report.n_not_applied
    put(
        f"{report.n_texts:,} texts -> {report.n_rows:,} perturbed + {failed:,} failures + "
        f"{report.n_not_applied:,} to which a perturbation did not apply -> {out} "
        f"({texts_a_second(report):,.4g} texts/s)"
    )
    if report.not_applied:
        put("pairs without: " + ", ".join(f"{name} {n:,}" for name, n in sorted(report.not_applied.items())))
