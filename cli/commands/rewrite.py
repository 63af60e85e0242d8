"""`seal rewrite`: a sample of the pairs in other words, to see what a reward model's judgement hangs on."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.decoder_options import generator_options, make_generator_options, named_model, served_name
from seal.cli.options import (
    json_option,
    limit_option,
    max_failures_option,
    out_option,
    overwrite_option,
    print_json,
    refuse_too_many,
)
from seal.cli.progress import display
from seal.engine.errors import InputError

if TYPE_CHECKING:
    from seal.engine.rewriting.rewriting import Rewriter, RewriteReport


@click.command("rewrite")
@click.argument("texts", type=click.Path(path_type=Path))
@click.option(
    "--rewriter", required=True, metavar="[NAME=]DIR|URL",
    help="Who rewrites: a folder of an open-weight model, or the URL of a server that speaks OpenAI's API.",
)  # fmt: skip
@out_option
@generator_options
@click.option(
    "--instruction", type=click.Path(path_type=Path), metavar="FILE",
    help="What is asked for, in UTF-8. Default: change vocabulary and grammar, keep meaning and intensity.",
)  # fmt: skip
@click.option(
    "--temperature", type=click.FloatRange(min=0), default=0.1, show_default=True,
    help="Of the answers; 0 takes the likeliest words, and asks for nothing again.",
)  # fmt: skip
@click.option(
    "--retries", type=click.IntRange(min=0), default=2, show_default=True,
    help="How often an answer that is cut or refused is asked for again, with another seed.",
)  # fmt: skip
@click.option(
    "--sample", type=click.FloatRange(0, 1, min_open=True), default=0.01, show_default=True,
    help="Share of the pairs, drawn by seed and row_id: both texts of a pair or neither.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the sample and the answers."
)
@click.option(
    "--part-rows", type=click.IntRange(min=1), default=128, show_default=True,
    help="Pairs in a part: what is at most lost when killed.",
)  # fmt: skip
@limit_option
@max_failures_option
@overwrite_option
@json_option
def command(
    texts: Path, rewriter: str, out: Path, sample: float, seed: int, part_rows: int, limit: int | None,
    max_failures: float, overwrite: bool, as_json: bool, **choices: Any,
) -> None:  # fmt: skip
    """Write a sample of the pairs in other words, as texts of variant `rewritten`.

    TEXTS is a Parquet file or folder, as `seal import` writes it. A rewriting that is empty, the same text,
    cut, in other turns or another language is asked for again, then a failure with its code; where one text
    of a pair fails, the other fails with it. `seal score` and `seal label` take what is written like any
    texts. Killed anywhere and started again with the same command, it goes on from its last part.
    """
    from seal.engine.frames.sampling import Sample
    from seal.engine.frames.selection import Selection
    from seal.engine.rewriting.rewriting import rewrite

    who = _rewriter(rewriter, seed, choices)
    select = Selection(Sample(sample, seed), limit, part_rows)
    with display() as listen:
        report = rewrite(texts, who, out, select, overwrite=overwrite, listen=listen)
    if as_json:
        print_json(asdict(report))
    else:
        _show(report, out)
    refuse_too_many(report.failed_share, max_failures, out)


def _rewriter(value: str, seed: int, choices: dict[str, Any]) -> "Rewriter":
    """The rewriter that the user named, its model loaded."""
    from seal.engine.generation.loading import open_generator
    from seal.engine.rewriting.prompts import MILD_REWRITING
    from seal.engine.rewriting.rewriting import Rewriter, Wording

    path = choices["instruction"]
    instruction = MILD_REWRITING if path is None else _read(path)
    wording = Wording(instruction, choices["temperature"], seed, choices["retries"])
    name, where = named_model(value)
    generator = open_generator(where, make_generator_options(choices))
    return Rewriter(name or served_name(str(generator.identity["model"])), generator, wording)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the instruction {path}: {error}") from None


def _show(report: "RewriteReport", out: Path) -> None:
    rate = report.n_texts / report.elapsed_s if report.elapsed_s else 0.0
    click.echo(
        f"{report.n_texts:,} texts = {report.n_rows:,} rewritten + {report.n_failures:,} failures -> {out} "
        f"({rate:,.4g} texts/s)"
    )
    if report.errors:
        click.echo("failures: " + ", ".join(f"{code} {n:,}" for code, n in report.errors.items()))
    cached = report.n_cached_tokens / max(1, report.n_prompt_tokens)
    click.echo(
        f"{report.n_requests:,} requests ({report.n_retries:,} again), {report.n_prompt_tokens:,} prompt "
        f"tokens ({cached:.0%} from the cache), {report.n_generated_tokens:,} generated"
    )
