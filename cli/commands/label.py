"""`seal label`: what stands in every text, as columns beside its key."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.decoder_options import (
    generator_options,
    is_url,
    make_generator_options,
    named_model,
    served_name,
)
from seal.cli.options import (
    json_option,
    limit_option,
    max_failures_option,
    name_list,
    named_path,
    out_option,
    overwrite_option,
    print_json,
    refuse_too_many,
)
from seal.cli.progress import display
from seal.engine.errors import UsageError, nearest

if TYPE_CHECKING:
    from seal.engine.generation.loading import GeneratorOptions
    from seal.engine.labeling.labeling import Labeler, LabelReport
    from seal.engine.labeling.taxonomy import Feature, Taxonomy

COMPUTED = "computed"
_PART_ROWS, _MODEL_PART_ROWS = 8192, 512


@click.command("label")
@click.argument("texts", type=click.Path(path_type=Path))
@click.option(
    "--labeler", "labelers", multiple=True, required=True, metavar="[NAME=]computed|DIR|URL",
    help="Who labels; may be repeated. A folder of an open-weight model, the URL of a server that speaks "
    "OpenAI's API, or `computed`, which counts words, layout and wording without any model.",
)  # fmt: skip
@out_option
@generator_options
@click.option(
    "--protocol", type=click.Choice(["json", "choice"]),
    help="How a model is asked: all features in one JSON object, or one token a feature, with its "
    "probability. Default: json.",
)  # fmt: skip
@click.option(
    "--taxonomy", type=click.Path(path_type=Path), metavar="FILE",
    help="What models are asked about (TOML). Default: the built-in features.",
)  # fmt: skip
@click.option(
    "--features", callback=name_list,
    help="Only these features, comma-separated. Default: all of the taxonomy, and all computed ones.",
)  # fmt: skip
@click.option(
    "--max-tokens", type=click.IntRange(min=1),
    help="Longest message to a local model: of a longer dialogue the beginning is left out. Default: none is "
    "shortened, and what does not fit is a failure.",
)  # fmt: skip
@click.option(
    "--retries", type=click.IntRange(min=0),
    help="How often an answer that is cut or invalid is asked for again. Default: 2.",
)  # fmt: skip
@click.option(
    "--sample", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
    help="Share of the pairs, drawn by seed and row_id: both texts of a pair or neither.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the sample.")
@click.option(
    "--part-rows", type=click.IntRange(min=1),
    help=f"Pairs in a part: what is at most lost when killed. Default: {_MODEL_PART_ROWS}, without models "
    f"{_PART_ROWS}.",
)  # fmt: skip
@limit_option
@max_failures_option
@overwrite_option
@json_option
def command(
    texts: Path, labelers: tuple[str, ...], out: Path, taxonomy: Path | None, sample: float, seed: int,
    part_rows: int | None, limit: int | None, max_failures: float, overwrite: bool, as_json: bool,
    **choices_made: Any,
) -> None:  # fmt: skip
    """Say what stands in every text, in columns beside its key.

    TEXTS is a Parquet file or folder, as `seal import` writes it. Every text ends as a row or as a failure
    with its reason. Killed anywhere and started again with the same command, it ends in the same bytes.
    """
    from seal.engine.frames.sampling import Sample
    from seal.engine.labeling.labeling import LabelOptions, label

    who = _labelers(labelers, taxonomy, choices_made)
    with_model = any(w.rpartition("=")[2] != COMPUTED for w in labelers)
    options = LabelOptions(
        Sample(sample, seed), limit, part_rows or (_MODEL_PART_ROWS if with_model else _PART_ROWS)
    )
    with display() as listen:
        report = label(texts, who, out, options, overwrite=overwrite, listen=listen)
    if as_json:
        print_json(asdict(report))
    else:
        _show(report, len(who), out)
    refuse_too_many(report.failed_share, max_failures, out)


def _show(report: "LabelReport", n_labelers: int, out: Path) -> None:
    rate = report.n_texts / report.elapsed_s if report.elapsed_s else 0.0
    click.echo(
        f"{report.n_texts:,} texts x {n_labelers} labelers = {report.n_rows:,} rows + "
        f"{report.n_failures:,} failures -> {out} ({rate:,.4g} texts/s)"
    )
    if report.n_requests:
        cached = report.n_cached_tokens / max(1, report.n_prompt_tokens)
        click.echo(
            f"{report.n_requests:,} requests ({report.n_retries:,} again), {report.n_prompt_tokens:,} prompt "
            f"tokens ({cached:.0%} from the cache), {report.n_generated_tokens:,} generated; "
            f"{report.n_truncated:,} dialogues shortened"
        )


def _labelers(
    wanted: Sequence[str], taxonomy: Path | None, choices_made: Mapping[str, Any]
) -> "list[Labeler]":
    """The labelers that the user named, models loaded.

    Raises:
        UsageError: a feature is nobody's, a computed one bears a name of the taxonomy, or an option is not
            honoured.
    """
    from seal.engine.labeling.taxonomy import load_taxonomy

    asked = load_taxonomy(taxonomy)
    values = [(value.rpartition("=")[2] == COMPUTED, value) for value in wanted]
    only = choices_made["features"]
    _refuse_unknown_features(only, values, asked)
    _refuse_model_options(values, choices_made)
    options = make_generator_options(dict(choices_made))
    mixed = len({is_url(value) for computed, value in values if not computed}) > 1
    return [
        _computed_labeler(value, only, asked)
        if computed
        else _model_labeler(value, _chosen(asked, only), _shared(options, value, mixed), choices_made)
        for computed, value in values
    ]


def _refuse_unknown_features(
    only: Sequence[str] | None, values: Sequence[tuple[bool, str]], asked: "Taxonomy"
) -> None:
    from seal.engine.labeling.computed import FEATURES

    known = [feature.name for feature in FEATURES] if any(computed for computed, _ in values) else []
    known += asked.names if not all(computed for computed, _ in values) else ()
    for name in only or ():
        if name not in known:
            raise UsageError(f"no labeler here knows a feature {name!r}; {nearest(name, known)}")


def _computed_labeler(value: str, only: Sequence[str] | None, asked: "Taxonomy") -> "Labeler":
    from seal.engine.labeling.computed import FEATURES, ComputedLabeler

    names = [feature.name for feature in FEATURES]
    chosen = None if only is None else [name for name in only if name in names]
    labeler = ComputedLabeler(named_path(value)[0], chosen)
    if clash := [column for column in labeler.types if column in asked.names]:
        raise UsageError(f"{asked.origin}: feature '{clash[0]}' has the name of a computed one; rename it")
    return labeler


def _shared(options: "GeneratorOptions", value: str, mixed: bool) -> "GeneratorOptions":
    """Beside folders a server gets what servers take, and the folders the rest; alone each gets all."""
    if not mixed:
        return options
    if is_url(value):
        return replace(options, backend=None, device="auto", context=None, gpu_memory=None)
    return replace(options, server=None)


def _chosen(asked: "Taxonomy", only: Sequence[str] | None) -> "tuple[Feature, ...]":
    return tuple(feature for feature in asked.features if only is None or feature.name in only)


def _refuse_model_options(values: Sequence[tuple[bool, str]], choices_made: Mapping[str, Any]) -> None:
    """Refuse what only a model would honour where none is asked."""
    if not all(computed for computed, _ in values):
        return
    for option in ("backend", "device", "protocol", "max_tokens", "retries", "context", "gpu_memory",
                   "in_flight", "timeout", "patience", "api_key"):  # fmt: skip
        if choices_made[option] is not None:
            raise UsageError(f"--{option.replace('_', '-')} is for models; --labeler {COMPUTED} asks none")


def _model_labeler(
    value: str, features: "tuple[Feature, ...]", options: "GeneratorOptions", choices_made: Mapping[str, Any]
) -> "Labeler":
    from seal.engine.generation.loading import open_generator
    from seal.engine.labeling.model_labeler import RETRIES, ModelLabeler

    name, where = named_model(value)
    if not features:
        raise UsageError(f"--features names none of the features that {value} is asked about")
    generator = open_generator(where, options)
    retries = choices_made["retries"]
    return ModelLabeler(
        name or served_name(str(generator.identity["model"])), generator, features,
        choices_made["protocol"] or "json", choices_made["max_tokens"],
        RETRIES if retries is None else retries,
    )  # fmt: skip
