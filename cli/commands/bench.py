"""`seal bench`: throughput on this machine, against the limit measured on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.options import print_json, say
from seal.engine.errors import UsageError

if TYPE_CHECKING:
    from seal.engine.bench.scoring import BenchOptions


@click.group("bench")
def command() -> None:
    """Measure throughput against this machine's limit."""


@command.command("score")
@click.argument("texts", type=click.Path(path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path), help="An exported folder.")
@click.option(
    "--reference", type=click.Path(path_type=Path),
    help="The transformers folder it came from: measures the one-text-at-a-time torch loop beside it.",
)  # fmt: skip
@click.option("--pairs", type=click.IntRange(min=1), default=32, show_default=True, help="Pairs to score.")
@click.option(
    "--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Turns; medians are given."
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]), default="auto", show_default=True,
    help="auto takes a GPU where onnxruntime offers one; TensorRT has to be asked for.",
)  # fmt: skip
@click.option(
    "--max-batch-tokens", type=click.IntRange(min=1), multiple=True,
    help="A budget to measure; may be repeated. Default: the device's.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Batches at once on a CPU. Default: one a core.")
@click.option(
    "--tune", is_flag=True,
    help="Find the budget, the batches at once and the pairs a part that are fastest here, and keep them "
    "beside the model: `seal score` uses them from then on.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print everything measured as JSON on stdout.")
def score(
    texts: Path,
    model: Path,
    reference: Path | None,
    pairs: int,
    repeats: int,
    device: str,
    max_batch_tokens: tuple[int, ...],
    threads: int | None,
    tune: bool,
    as_json: bool,
) -> None:
    """Score some of TEXTS over and over: texts/s, tokens/s, and the fraction of the matrix-product peak."""
    from seal.engine.bench.scoring import BenchOptions, bench_score

    options = BenchOptions(
        n_pairs=pairs,
        repeats=repeats,
        device=device,  # type: ignore[arg-type]  # click has checked the choice
        budgets=max_batch_tokens,
        threads=threads,
    )
    if tune:
        if reference is not None:
            raise UsageError("--tune compares settings of the engine; leave --reference out")
        _tune(texts, model, options, as_json=as_json)
        return
    result = bench_score(texts, model, options, reference=reference, say=say)
    click.echo(json.dumps(result, indent=2) if as_json else _layout(result))


@command.command("label")
@click.argument("texts", type=click.Path(path_type=Path))
@click.option("--labeler", required=True, metavar="DIR|URL", help="A decoder's folder, or a server's URL.")
@click.option(
    "--backend", "backends", type=click.Choice(["vllm", "transformers"]), multiple=True,
    help="May be repeated. Default: those that this environment has.",
)  # fmt: skip
@click.option(
    "--protocol", "protocols", type=click.Choice(["json", "choice"]), multiple=True,
    default=("json", "choice"), show_default=True, help="May be repeated.",
)  # fmt: skip
@click.option(
    "--taxonomy", type=click.Path(path_type=Path), metavar="FILE", help="Default: the built-in features."
)
@click.option("--pairs", type=click.IntRange(min=1), default=16, show_default=True, help="Pairs a turn.")
@click.option(
    "--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Turns, of other pairs each."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything measured as JSON on stdout.")
def label(
    texts: Path,
    labeler: str,
    backends: tuple[str, ...],
    protocols: tuple[str, ...],
    taxonomy: Path | None,
    pairs: int,
    repeats: int,
    as_json: bool,
) -> None:
    """Label some of TEXTS with a model: texts/s and tokens/s of each backend and protocol, and agreement."""
    from seal.engine.bench.labeling import LabelBenchOptions, bench_label
    from seal.engine.generation.loading import available_backends, is_url
    from seal.engine.labeling.taxonomy import load_taxonomy

    if backends and is_url(labeler):
        raise UsageError("--backend is for a folder; a URL is always asked through OpenAI's API")
    backends = backends or available_backends()
    # click has checked the choices
    options = LabelBenchOptions(pairs, repeats, protocols, backends)  # type: ignore[arg-type]
    result = bench_label(texts, labeler, load_taxonomy(taxonomy).features, options, say=say)
    click.echo(json.dumps(result, indent=2) if as_json else _label_layout(result))


def _label_layout(result: dict[str, Any]) -> str:
    columns = ("texts/s", "prompt tok/s", "cached", "generated/s", "a text", "failed")
    lines = [f"{'':22}" + "".join(f"{name:>13}" for name in columns)]
    lines += [
        f"{m['backend'] + ', ' + m['protocol']:22}{m['texts_per_s']:13,.2f}{m['prompt_tokens_per_s']:13,.0f}"
        f"{m['cached']:13.0%}{m['generated_tokens_per_s']:13,.0f}{m['generated_per_text']:13,.1f}"
        f"{m['n_failures']:13,}"
        for m in result["measurements"]
    ]
    lines += [f"same values, {names}: {share:.1%}" for names, share in result["agreement"].items()]
    return "\n".join(lines)


def _tune(texts: Path, model: Path, options: "BenchOptions", *, as_json: bool) -> None:
    from seal.engine.bench import tuning

    found, where = tuning.search(texts, model, options, say)
    tuning.store(model, found, where)
    if as_json:
        print_json({"machine": where, **asdict(found)})
        return
    for setting, rate in found.tried:
        click.echo(f"{tuning.describe(setting):40}{rate:10,.0f} tokens/s")
    for size, padding in found.paddings:
        click.echo(f"{f'{size} pairs a part':40}{padding:10.1%} padding")
    gain = found.tokens_per_s / found.default_tokens_per_s
    click.echo(
        f"best: {tuning.describe(found.setting)}, {gain:.2f} times the default; "
        f"{found.setting.part_rows} pairs a part -> {model / tuning.TUNING}"
    )


def _layout(result: dict[str, Any]) -> str:
    texts, peak = result["texts"], max(result["gemm_peak_gflops"].values())
    lines = [
        f"{texts['n']} texts, {texts['mean']:.0f} tokens on average, longest {texts['longest']}; "
        f"{result['device']}, {result['machine']['cores']} cores, matrix product {peak:,.0f} GFLOP/s; "
        f"model ready in {result['start_up_s']:.1f} s",
        f"{'':28}{'tokens/s':>10}{'pairs/s':>10}{'padding':>9}{'of peak':>9}{'ratio':>8}",
    ]
    first = result["measurements"][0]["median_s"]
    lines += [
        f"{m['name']:28}{m['tokens_per_s']:10,.0f}{m['pairs_per_s']:10,.2f}{m['padding']:9.1%}"
        f"{m['fraction_of_peak']:9.1%}{first / m['median_s']:8.2f}"
        for m in result["measurements"]
    ]
    return "\n".join(lines)
