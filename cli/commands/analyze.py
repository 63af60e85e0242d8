"""`seal analyze`: scores and labels into imprint, shift, resistance and robustness."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.options import json_option, print_json, say
from seal.cli.tables import console, print_table
from seal.engine.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from seal.engine.frames.schema import Schema
    from seal.stats.options import Frames, Options
    from seal.stats.results import Results, Source

_PATH = click.Path(path_type=Path)


def _names(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    """Split a comma-separated option."""
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def _crossed(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[tuple[str, str], ...]:
    """Split `FEATURE:COLUMN,...`."""
    pairs = []
    for part in _names(ctx, parameter, value):
        feature, colon, column = part.rpartition(":")
        if not (feature and colon and column):
            raise UsageError(
                f"--interactions {part!r} is not FEATURE:COLUMN, e.g. last_response_is_helpful:source"
            )
        pairs.append((feature, column))
    return tuple(pairs)


@click.command("analyze")
@click.option("--texts", type=_PATH, help="TEXTS: lengths for the rulers; `source` and `meta_` columns.")
@click.option("--scores", type=_PATH, multiple=True, required=True, help="SCORES; repeatable.")
@click.option("--pre", required=True, help="Name of the model before it saw the preferences.")
@click.option("--post", required=True, help="Name of the model after.")
@click.option("--labels", type=_PATH, multiple=True, required=True, help="LABELS; repeatable.")
@click.option("--labeler", help="Whose labels to regress on, where there are several.")
@click.option("--rewritten", type=_PATH, help="TEXTS of the rewritings, to count unscored ones.")
@click.option(
    "--rewritten-scores", type=_PATH, multiple=True, help="SCORES of the rewritten texts; repeatable."
)
@click.option(
    "--rewritten-labels", type=_PATH, multiple=True, help="LABELS of the rewritten texts; repeatable."
)
@click.option("--similarities", type=_PATH, help="SIMILARITIES of original and rewritten texts.")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write."
)
@click.option(
    "--as-published", is_flag=True, help="The published study's own arithmetic beside, in as_published/."
)
@click.option("--figures", is_flag=True, help="Figures 2 to 5 as PNG and SVG, in figures/.")
@click.option(
    "--targets", default="last_response_is_harmless,last_response_is_helpful", show_default=True,
    callback=_names, help="Features of the preference profile, the first decides first.",
)  # fmt: skip
@click.option(
    "--profile", type=click.Choice(["lexicographic", "pareto"]), default="lexicographic", show_default=True,
    help="How the targets decide which text is preferred.",
)  # fmt: skip
@click.option(
    "--covariates", default="", callback=_names, help="Numeric features to regress on, comma-separated."
)
@click.option(
    "--exclude", default="", callback=_names,
    help="Features to leave out of the regressions, comma-separated (which of two collinear ones, say).",
)  # fmt: skip
@click.option(
    "--sentiment", type=click.Choice(["linear", "categories"]), default="linear", show_default=True,
    help="How positive/neutral/negative enters: as 1/0/-1, or as categories beside neutral.",
)  # fmt: skip
@click.option(
    "--ties", type=click.Choice(["misaligned", "half", "drop"]), default="misaligned", show_default=True,
    help="What equal rewards count as; `half` and `drop` leave tied pairs out of regimes and logits.",
)  # fmt: skip
@click.option(
    "--theta", type=click.Choice(["signed", "unsigned"]), default="signed", show_default=True,
    help="The reward shift's angle: counter-clockwise positive, or its size.",
)  # fmt: skip
@click.option(
    "--adjust", type=click.Choice(["holm", "bonferroni", "bh"]), default="holm", show_default=True,
    help="For multiplicity over the features of one equation and model.",
)  # fmt: skip
@click.option("--level", type=float, default=0.95, show_default=True, help="Of every interval.")
@click.option(
    "--max-vif", type=float, default=5.0, show_default=True, help="Regressors above it are dropped."
)
@click.option(
    "--fixed-effects", default="", callback=_names,
    help="Further effects of Eq. 1 beside the pair's: columns of TEXTS, or `labeler` (all stacked).",
)  # fmt: skip
@click.option(
    "--cluster", help="Column of TEXTS to cluster errors by, in every equation; the pair otherwise."
)
@click.option(
    "--interactions", default="", callback=_crossed,
    help="FEATURE:COLUMN,...: in Eq. 1 a slope of the feature for each value of a column of TEXTS.",
)  # fmt: skip
@click.option("--gold", help="A labeler taken as right: precision, recall and F1 of the others against it.")
@click.option(
    "--min-alpha", type=float, default=0.667, show_default=True,
    help="Flag coefficients of features on which labelers agree less (Krippendorff's alpha).",
)  # fmt: skip
@json_option
def command(
    texts: Path | None, scores: tuple[Path, ...], labels: tuple[Path, ...], rewritten: Path | None,
    rewritten_scores: tuple[Path, ...], rewritten_labels: tuple[Path, ...], similarities: Path | None,
    out: Path, as_published: bool, figures: bool, as_json: bool, **choices: Any,
) -> None:  # fmt: skip
    """Estimate what the reward models learned, from their scores and a labeler's features.

    Writes alignment, regimes, profile, imprint, shift, resistance, vif, labelers and tests as CSV, with the
    rewritten texts robustness, rewriting and flips also, and all of them in results.json. Frames are Parquet
    files or folders.
    """
    from seal.engine.frames.manifest import versions
    from seal.stats.analysis import analyze
    from seal.stats.options import Options
    from seal.stats.results import write

    options = Options(**choices)
    frames = _frames(texts, scores, labels, rewritten, rewritten_scores, rewritten_labels, similarities)
    results = analyze(frames, options, as_published=as_published)
    read = {
        "texts": [texts], "scores": scores, "labels": labels, "rewritten": [rewritten],
        "rewritten-scores": rewritten_scores, "rewritten-labels": rewritten_labels,
        "similarities": [similarities],
    }  # fmt: skip
    results = replace(results, inputs=_sources(read, out), versions=versions())
    written = write(results, out)
    if figures:
        from seal.stats.figures import save_figures

        written += save_figures(results.tables, options.pre, options.post, out / "figures")
    if as_json:
        print_json(results.as_dict())
    else:
        _show(results, options)
    for note in results.notes:
        say(f"note: {note}")
    say(f"{len(written)} files in {out}")


def _sources(read: Mapping[str, Sequence[Path | None]], out: Path) -> tuple["Source", ...]:
    """What was read, where it lies as seen from the results, and what it holds: the report finds it so."""
    from seal.engine.frames.folder import content_hash
    from seal.stats.results import Source, place_from

    paths = [(role, path) for role, paths in read.items() for path in paths if path is not None]
    return tuple(Source(role, place_from(path, out), content_hash(path)) for role, path in paths)


def _frames(
    texts: Path | None, scores: Sequence[Path], labels: Sequence[Path], rewritten: Path | None,
    rewritten_scores: Sequence[Path], rewritten_labels: Sequence[Path], similarities: Path | None,
) -> "Frames":  # fmt: skip
    """Open every folder lazily, checked against its schema."""
    import polars as pl

    from seal.engine.frames.schema import LABELS, SCORES, SIMILARITIES, TEXTS
    from seal.stats.options import Frames

    if rewritten is not None and not rewritten_scores:
        raise UsageError("--rewritten comes with --rewritten-scores and --rewritten-labels")
    return Frames(
        scores=pl.concat([_open(p, SCORES) for p in scores]),
        labels=tuple(_open(p, LABELS) for p in labels),
        texts=_open(texts, TEXTS) if texts else None,
        rewritten_texts=_open(rewritten, TEXTS) if rewritten else None,
        rewritten_scores=pl.concat([_open(p, SCORES) for p in rewritten_scores])
        if rewritten_scores
        else None,
        rewritten_labels=tuple(_open(p, LABELS) for p in rewritten_labels),
        similarities=_open(similarities, SIMILARITIES) if similarities else None,
    )


def _open(path: Path, schema: "Schema") -> "pl.LazyFrame":
    from seal.engine.frames.schema import scan

    wanted = {"SCORES": ("reward",), "TEXTS": ("source", "response")}.get(schema.name, ())
    return scan(path, schema, columns=wanted)


def _show(results: "Results", options: "Options") -> None:
    """The tables people read first, on stdout."""
    out = console()
    tables = results.tables
    print_table(out, "Alignment", tables["alignment"], ["model", "n_pairs", "n_ties", "alignment", *_ENDS])
    regimes = [
        "regime",
        "n_pairs",
        "prevalence",
        "n_decided",
        "agreement",
        "agreement_conf_low",
        "agreement_conf_high",
    ]
    print_table(out, "Regimes", tables["regimes"], regimes)
    coefficients = ["term", "estimate", *_ENDS, "p_adjusted"]
    for name, title in _EQUATIONS.items():
        if name in tables and tables[name].height:
            lead = [c for c in ("model", "preference") if c in tables[name].columns]
            extra = [c for c in ("n_informative", "flip", "odds_ratio", "ame") if c in tables[name].columns]
            frame = tables[name].filter(tables[name]["term"] != "intercept")
            frame = frame.filter(frame["outcome"] == "theta") if "outcome" in frame.columns else frame
            print_table(out, title, frame, [*lead, *coefficients, *extra])
    if "rewriting" in tables:
        print_table(out, "Alignment of the rewritten pairs", tables["rewriting"], tables["rewriting"].columns)
    dropped = tables["vif"].filter(~tables["vif"]["kept"])
    if dropped.height:
        print_table(out, "Left out", dropped, ["equation", "term", "preference", "flip", "vif", "reason"])


_ENDS = ("conf_low", "conf_high")
_EQUATIONS = {
    "imprint": "Feature imprint (Eq. 1), reward units",
    "shift": "Reward shift theta (Eq. 2), degrees",
    "resistance": "Alignment resistance (Eq. 3), log odds of misalignment",
    "robustness": "Alignment robustness (Eq. 4), log odds of becoming misaligned",
}
