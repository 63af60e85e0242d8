"""`seal analyze`: scores and labels into imprint, shift, resistance and robustness."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seal.cli.options import PATH, json_option, options_of, out_option, print_json, say
from seal.cli.tables import console, print_table
from seal.stats.options import AnalyzeOptions

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from seal.stats.results import Results


@click.command("analyze")
@click.option("--texts", type=PATH, help="TEXTS: lengths for the rulers; `source` and `meta_` columns.")
@click.option("--scores", type=PATH, multiple=True, required=True, help="SCORES; repeatable.")
@click.option("--labels", type=PATH, multiple=True, required=True, help="LABELS; repeatable.")
@click.option("--rewritten", type=PATH, help="TEXTS of the rewritings, to count unscored ones.")
@click.option(
    "--rewritten-scores", type=PATH, multiple=True, help="SCORES of the rewritten texts; repeatable."
)
@click.option(
    "--rewritten-labels", type=PATH, multiple=True, help="LABELS of the rewritten texts; repeatable."
)
@click.option("--similarities", type=PATH, help="SIMILARITIES of original and rewritten texts.")
@click.option(
    "--perturbed", type=PATH, help="TEXTS that seal rewrite --perturb wrote, to count where none applied."
)
@click.option(
    "--perturbed-scores", type=PATH, multiple=True, help="SCORES of the perturbed texts; repeatable."
)
@out_option
@click.option(
    "--as-published", is_flag=True, help="The published study's own arithmetic beside, in as_published/."
)
@click.option("--figures", is_flag=True, help="Figures 2 to 5 as PNG and SVG, in figures/.")
@options_of(AnalyzeOptions)
@json_option
def command(
    texts: Path | None, scores: tuple[Path, ...], labels: tuple[Path, ...], rewritten: Path | None,
    rewritten_scores: tuple[Path, ...], rewritten_labels: tuple[Path, ...], similarities: Path | None,
    perturbed: Path | None, perturbed_scores: tuple[Path, ...], out: Path, as_published: bool, figures: bool,
    options: AnalyzeOptions, as_json: bool,
) -> None:  # fmt: skip
    """Estimate what the reward models learned, from their scores and a labeler's features.

    Writes alignment, calibration, regimes, profile, human, imprint, shift, resistance, vif, labelers and
    tests as CSV, with the rewritten texts robustness, rewriting and flips also, with perturbed texts' scores
    perturbations, and all of them in results.json, and suspects.parquet. Frames are Parquet files or
    folders; scores and labels may be CSV too, and may have prompt and response for a key.
    """
    from seal.stats.analysis import analyze

    results = analyze(
        scores, labels, options, texts=texts, rewritten=rewritten, rewritten_scores=rewritten_scores,
        rewritten_labels=rewritten_labels, similarities=similarities, perturbed=perturbed,
        perturbed_scores=perturbed_scores, out=out, as_published=as_published, figures=figures,
    )  # fmt: skip
    if as_json:
        print_json(results.as_dict())
    else:
        _show(results)
    for note in results.notes:
        say(f"note: {note}")
    say(f"{len(results.files)} files in {out}")


def _show(results: "Results") -> None:
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
    _show_human(out, tables["human"])
    for name, title in _EQUATIONS.items():
        if name in tables and tables[name].height:
            lead = [c for c in ("model", "preference") if c in tables[name].columns]
            extra = [c for c in _BESIDE if c in tables[name].columns]
            frame = tables[name].filter(tables[name]["term"] != "intercept")
            if "outcome" in frame.columns:
                frame = frame.filter(frame["outcome"] == "standardised_margin_change")
            std = "_std" if "conf_low_std" in frame.columns else ""
            said = [f"{c}{std}" for c in ("estimate", *_ENDS, "p_adjusted")]
            print_table(out, title, frame, [*lead, "term", *said, *extra])
    if "causal" in tables:
        rows = tables["causal"].filter(line="main", estimand="ate")
        said = [f"{c}_std" for c in ("estimate", *_ENDS, "p_adjusted")]
        print_table(
            out, "What a change of an attribute does (ate), SDs of each model's own margins", rows,
            ["model", "feature", "value", "baseline", *said, "n_texts", "n_left_out"],
        )  # fmt: skip
    if "rewriting" in tables:
        print_table(out, "Alignment of the rewritten pairs", tables["rewriting"], tables["rewriting"].columns)
    if "perturbations" in tables:
        columns = ["perturbation", "model", "n_pairs", "flipped", *_ENDS, "alignment_change", "p_adjusted",
                   "margin_change", "reward_change"]  # fmt: skip
        title = "Perturbed responses: share of flipped pairs; changes in SDs of each model's own margins"
        print_table(out, title, tables["perturbations"], columns)
    dropped = tables["vif"].filter(~tables["vif"]["kept"])
    if dropped.height:
        print_table(out, "Left out", dropped, ["equation", "term", "preference", "flip", "vif", "reason"])


def _show_human(out: "Console", human: "pl.DataFrame") -> None:
    """What people pay, what each model pays, and the difference, in log odds."""
    if human.height:
        columns = ["model", "term", "human", "rm", "difference", *_ENDS, "p_adjusted", "n_informative"]
        rows = human.filter(human["scale"] == "log_odds")
        print_table(
            out, "What people pay, what the model pays: log odds; limits of the difference", rows, columns
        )


_ENDS = ("conf_low", "conf_high")
_BESIDE = ("naive_estimate", "n_gold_informative", "n_informative", "flip", "odds_ratio", "ame")
_EQUATIONS = {
    "imprint": "Feature imprint (Eq. 1), SDs of each model's own margins (reward units in imprint.csv)",
    "imprint_corrected": "Feature imprint corrected for label errors, SDs of each model's own margins",
    "shift": "Reward shift (Eq. 2): change of the margin, SDs of each model's own margins",
    "resistance": "Alignment resistance (Eq. 3), log odds of misalignment",
    "robustness": "Alignment robustness (Eq. 4), log odds of becoming misaligned",
}
