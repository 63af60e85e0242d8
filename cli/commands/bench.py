"""`seal bench`: throughput on this machine, against the limit measured on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from seal.cli.options import PATH, json_option, options_of, print_json, put, say
from seal.engine.bench.options import LabelBenchOptions, ScoreBenchOptions
from seal.engine.checkpoints.cached import local_model
from seal.engine.errors import UsageError


@click.group("bench")
def command() -> None:
    """Measure throughput against this machine's limit."""


@command.command("score")
@click.argument("texts", type=PATH)
@click.option("--model", required=True, type=PATH, help="An exported folder.")
@click.option(
    "--reference", type=PATH,
    help="The transformers folder it came from: measures the one-text-at-a-time torch loop beside it.",
)  # fmt: skip
@options_of(ScoreBenchOptions)
@click.option(
    "--tune", is_flag=True,
    help="Find the budget, the batches at once and the pairs a part that are fastest here, and keep them "
    "beside the model: `seal score` uses them from then on.",
)  # fmt: skip
@json_option
def score(
    texts: Path, model: Path, reference: Path | None, options: ScoreBenchOptions, tune: bool, as_json: bool
) -> None:
    """Score some of TEXTS over and over: texts/s, tokens/s, and the fraction of the matrix-product peak."""
    from seal.engine.bench.scoring import bench_score

    if tune:
        if reference is not None:
            raise UsageError("--tune compares settings of the engine; leave --reference out")
        _tune(texts, local_model(model), options, as_json=as_json)
        return
    result = bench_score(texts, model, options, reference=reference, say=say)
    put(json.dumps(result, indent=2) if as_json else _layout(result))


@command.command("label")
@click.argument("texts", type=PATH)
@click.option(
    "--labeler", required=True, metavar="MODEL|URL", help="A decoder's folder, or the URL of a server here."
)
@options_of(LabelBenchOptions)
@json_option
def label(texts: Path, labeler: str, options: LabelBenchOptions, as_json: bool) -> None:
    """Label some of TEXTS with a model: texts/s and tokens/s of each backend and protocol, and agreement."""
    from seal.engine.bench.labeling import bench_label

    result = bench_label(texts, labeler, options, say=say)
    put(json.dumps(result, indent=2) if as_json else _label_layout(result))


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


def _tune(texts: Path, model: Path, options: ScoreBenchOptions, *, as_json: bool) -> None:
    from seal.engine.bench import tuning

    found, where = tuning.search(texts, model, options, say)
    tuning.store(model, found, where)
    if as_json:
        print_json({"machine": where, **asdict(found)})
        return
    for setting, rate in found.tried:
        put(f"{tuning.describe(setting):40}{rate:10,.0f} tokens/s")
    for size, padding in found.paddings:
        put(f"{f'{size} pairs a part':40}{padding:10.1%} padding")
    gain = found.tokens_per_s / found.default_tokens_per_s
    put(
        f"best: {tuning.describe(found.setting)}, {gain:.2f} times the default; "
        f"{found.setting.part_pairs} pairs a part -> {model / tuning.TUNING}"
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
