"""Figures 2 to 5 of the study and one of perturbations, from result tables to matplotlib, and saving them.

Colours are Okabe and Ito's, told apart with any colour vision; sides also differ by marker.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seal.stats.alignment.regimes import REGIMES
from seal.stats.pairs.rewards import SHIFTS

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7A7A7A"
REGIME_COLOURS = dict(zip(REGIMES.values(), (GREEN, BLUE, ORANGE, VERMILION), strict=True))
GAMMAS = {"c": "prefers chosen", "r": "prefers rejected", "i": "indifferent", "conflict": "targets disagree"}
STYLE: Any = {
    "font.size": 9, "axes.titlesize": 10, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "svg.hashsalt": "seal", "legend.frameon": False,
    "text.parse_math": False,  # a `$` in a name is a `$`
}  # fmt: skip
_DRAWN = 400  # arrows in the plane of rewards
_BARS = "Bars are confidence intervals; hollow: adjusted p above 0.05"


def reward_vectors(sample: pl.DataFrame, histogram: pl.DataFrame, *, pre: str, post: str) -> Figure:
    """Figure 2: pairs in the plane of rewards under each model, and a rose of the shift for each regime.

    Args:
        sample: `reward_sample`: the four rewards of some pairs.
        histogram: `theta_histogram`.
        pre, post: model names.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 7.6), layout="constrained")
        grid = figure.add_gridspec(2, 1, height_ratios=[1.5, 1])
        top, bottom = (figure.add_subfigure(grid[i]) for i in range(2))
        planes = top.subplots(1, 2, sharex=True, sharey=True)
        edge = _edge(sample)
        planes[0].set(xlim=edge, ylim=edge)
        drawn = sample.head(_DRAWN)
        for ax, prefix, name in zip(planes, ("pre", "post"), (pre, post), strict=True):
            _plane(ax, drawn, prefix, name)
        roses = bottom.subplots(1, len(REGIMES), subplot_kw={"projection": "polar"})
        for ax, regime in zip(roses, REGIMES.values(), strict=True):
            _rose(ax, histogram.filter(pl.col("regime") == regime), REGIME_COLOURS[regime], _words(regime))
        top.suptitle(
            "Rewards of the chosen and the rejected text; below the line the chosen text wins", fontsize=11
        )
        bottom.suptitle(
            "Reward shift θ, degrees counter-clockwise, by regime; a petal's area is its share", fontsize=11
        )
    return figure


def coefficients(tables: Mapping[str, pl.DataFrame], *, pre: str, post: str) -> Figure:
    """Figure 3: imprint (Eq. 1), shift (Eq. 2) and resistance (Eq. 3), a row a feature, intervals as bars.

    Imprint and shift are in SDs of each model's own margins; results of before that was estimated are drawn
    in reward units and degrees. Hollow markers: not significant after adjustment at 5%.
    """
    imprint, unit = _comparable(tables["imprint"].filter(pl.col("model").is_in([pre, post])))
    shift, turned = _leading_shift(tables["shift"])
    resistance = tables["resistance"].filter(pl.col("model") == post, pl.col("preference").is_not_null())
    order = imprint.filter(pl.col("model") == post).sort("estimate")["term"].to_list()
    order = [*(t for t in shift["term"].unique(maintain_order=True) if t not in order), *order]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12.5, 1.9 + 0.36 * max(len(order), 3)), layout="constrained")
        axes = figure.subplots(1, 3, sharey=True)
        sides = _sides("of")
        models = {pre: (BLUE, "o", pre), post: (ORANGE, "s", post)}
        _panel(axes[0], imprint, "model", models, order)
        axes[0].set(title="Feature imprint (Eq. 1)", xlabel=unit)
        _panel(axes[1], shift, "preference", sides, order)
        axes[1].set(title="Reward shift (Eq. 2)", xlabel=turned)
        _panel(axes[2], resistance, "preference", sides, order)
        axes[2].set(title=f"Alignment resistance of {post} (Eq. 3)", xlabel="log odds ratio of misalignment")
        axes[0].set_yticks(range(len(order)), [_words(t) for t in order])
        figure.supxlabel(_BARS, fontsize=8, color=GREY)
    return figure


def _comparable(imprint: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The imprint in the scale that models share, and its unit."""
    if "conf_low_std" not in imprint.columns:
        return imprint, "reward"
    columns = ("estimate", "conf_low", "conf_high", "p_adjusted")
    return imprint.with_columns(pl.col(f"{c}_std").alias(c) for c in columns), "SDs of the model's margins"


def _leading_shift(shift: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The outcome of Eq. 2 that is drawn, and its unit."""
    sided = shift.filter(pl.col("preference").is_not_null())
    found = sided.filter(pl.col("outcome") == SHIFTS[0])
    if found.height:
        return found, "change of the margin, SDs of margins"
    return sided.filter(pl.col("outcome") == "theta"), "θ, degrees"


def shift_roses(histogram: pl.DataFrame) -> Figure:
    """Figure 4: roses of the shift, a row a regime, a column what the labeler prefers."""
    marks = [g for g in GAMMAS if g in histogram["gamma"].to_list()] or ["i"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.2 + 2.5 * len(marks), 10), layout="constrained")
        axes = figure.subplots(len(REGIMES), len(marks), subplot_kw={"projection": "polar"}, squeeze=False)
        for row, regime in zip(axes, REGIMES.values(), strict=True):
            for ax, mark in zip(row, marks, strict=True):
                part = histogram.filter(pl.col("regime") == regime, pl.col("gamma") == mark)
                title = f"{_words(regime)}\nlabeler {GAMMAS[mark]}" if mark in GAMMAS else regime
                _rose(ax, part, REGIME_COLOURS[regime], title)
        figure.suptitle(
            "Reward shift θ by regime and labeler preference; a petal's area is its share", fontsize=11
        )
    return figure


def robustness_scores(robustness: pl.DataFrame, *, model: str) -> Figure:
    """Figure 5: log odds of becoming misaligned for each label lost or gained in rewriting (Eq. 4)."""
    part = robustness.filter(pl.col("model") == model, pl.col("preference").is_not_null())
    part = part.with_columns(row=pl.col("term") + " " + pl.col("flip"))
    order = part["row"].unique(maintain_order=True).to_list()[::-1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 1.7 + 0.34 * max(len(order), 3)), layout="constrained")
        ax = figure.subplots()
        _panel(ax, part.with_columns(term=pl.col("row")), "preference", _sides("in"), order)
        ax.set_yticks(range(len(order)), [_words(t) for t in order])
        ax.set(
            title=f"Alignment robustness of {model} (Eq. 4)", xlabel="log odds ratio of becoming misaligned"
        )
        figure.supxlabel(_BARS, fontsize=8, color=GREY)
    return figure


def perturbation_lines(table: pl.DataFrame, *, pre: str, post: str) -> Figure:
    """A line a perturbation, the models side by side: flipped pairs, and how far the rewards move.

    Those that change the meaning on purpose stand below the dashed line. Left, hollow markers: alignment does
    not change significantly, adjusted, at 5%.
    """
    shown = table.with_columns(term=pl.col("perturbation"), estimate=pl.col("flipped"))
    moved = shown.with_columns(
        estimate=pl.col("reward_change"), conf_low=pl.col("reward_change_low"),
        conf_high=pl.col("reward_change_high"), p_adjusted=pl.lit(0.0),
    )  # fmt: skip
    order = table["perturbation"].unique(maintain_order=True).to_list()[::-1]
    n_changed = table.filter(~pl.col("keeps_meaning"))["perturbation"].n_unique()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 1.7 + 0.3 * max(len(order), 3)), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        models = {pre: (BLUE, "o", pre), post: (ORANGE, "s", post)}
        for ax, rows in zip(axes, (shown, moved), strict=True):
            _panel(ax, rows, "model", models, order)
            if 0 < n_changed < len(order):
                ax.axhline(n_changed - 0.5, color=GREY, linewidth=0.8, linestyle="--")
        axes[0].set(title="Pairs whose order flips", xlabel="share of the perturbed pairs")
        axes[1].set(
            title="How far the rewards move", xlabel="mean over both texts, SDs of the model's margins"
        )
        axes[0].set_yticks(range(len(order)), [_words(t) for t in order])
        figure.supxlabel(
            "Bars are confidence intervals; left, hollow: alignment does not change, adjusted p above 0.05; "
            "below the dashed line the meaning changes on purpose", fontsize=8, color=GREY,
        )  # fmt: skip
    return figure


def save_figures(tables: Mapping[str, pl.DataFrame], pre: str, post: str, folder: Path) -> list[Path]:
    """Draw every figure the tables allow and save it as PNG (150 dpi) and SVG.

    Returns:
        The files written, `figure2_reward_vectors.png` and so on.
    """
    figures: dict[str, Figure] = {}
    if tables["theta_histogram"].height:
        figures["figure2_reward_vectors"] = reward_vectors(
            tables["reward_sample"], tables["theta_histogram"], pre=pre, post=post
        )
        figures["figure4_shift_roses"] = shift_roses(tables["theta_histogram"])
    if tables["imprint"].height:
        figures["figure3_coefficients"] = coefficients(tables, pre=pre, post=post)
    if "robustness" in tables and tables["robustness"].height:
        figures["figure5_robustness"] = robustness_scores(tables["robustness"], model=post)
    if "perturbations" in tables and tables["perturbations"].height:
        figures["figure6_perturbations"] = perturbation_lines(tables["perturbations"], pre=pre, post=post)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in sorted(figures.items()):
        for ending in ("png", "svg"):
            path = folder / f"{name}.{ending}"
            with matplotlib.rc_context(STYLE):
                figure.savefig(path, dpi=150, metadata={"Date": None} if ending == "svg" else None)
            written.append(path)
    return written


def _sides(where: str) -> dict[str, tuple[str, str, str]]:
    looks = {"chosen": (GREEN, "o"), "rejected": (VERMILION, "s")}
    return {side: (*look, f"{where} the {side} text") for side, look in looks.items()}


def _edge(sample: pl.DataFrame) -> tuple[float, float]:
    """Limits that hold every reward drawn, the same for both axes."""
    values = sample.head(_DRAWN).select(pl.exclude("row_id")).to_numpy()
    low, high = float(values.min()), float(values.max())
    room = 0.05 * max(high - low, 1e-6)
    return low - room, high + room


def _plane(ax: Axes, pairs: pl.DataFrame, prefix: str, name: str) -> None:
    """The pairs' reward vectors under one model, those aligned apart from the others."""
    x, y = pairs[f"{prefix}_chosen"].to_numpy(), pairs[f"{prefix}_rejected"].to_numpy()
    looks = ((x > y, BLUE, "o", "aligned"), (x <= y, VERMILION, "^", "misaligned"))
    for here, colour, marker, label in looks:
        ax.scatter(x[here], y[here], s=10, c=colour, marker=marker, alpha=0.55, linewidths=0, label=label)
    ax.axline((0, 0), slope=1, color=GREY, linewidth=0.8)
    ax.axhline(0, color=GREY, linewidth=0.4)
    ax.axvline(0, color=GREY, linewidth=0.4)
    ax.set(title=name, xlabel="reward of the chosen text", ylabel="reward of the rejected text")
    ax.set_aspect("equal", adjustable="box")
    ax.legend(loc="upper left", markerscale=1.8, handletextpad=0.2)


def _rose(ax: Axes, part: pl.DataFrame, colour: str, title: str) -> None:
    """A histogram of angles; the area of a petal is its share, so radii are square roots."""
    sums = part.group_by("theta_from", "theta_to").agg(pl.col("n_pairs").sum()).sort("theta_from")
    n = int(sums["n_pairs"].sum())
    ax.set_title(f"{title}\n{n:,} pairs", fontsize=8, loc="center")
    ax.set_yticks([])
    ax.set_xticks(np.deg2rad([0, 90, 180, 270]), ["0°", "+90°", "180°", "-90°"], fontsize=7)
    ax.tick_params(pad=-2)
    ax.grid(alpha=0.3)
    if n:
        low, high = np.deg2rad(sums["theta_from"].to_numpy()), np.deg2rad(sums["theta_to"].to_numpy())
        radius = np.sqrt(sums["n_pairs"].to_numpy() / n)
        ax.bar(low, radius, width=high - low, align="edge", color=colour, alpha=0.85)


def _panel(
    ax: Axes, rows: pl.DataFrame, by: str, series: Mapping[str, tuple[str, str, str]], order: Sequence[str]
) -> None:
    """Points with intervals, one row a term, the series a little apart."""
    place = {t: i for i, t in enumerate(order)}
    ax.axvline(0, color=GREY, linewidth=0.8)
    for k, (value, (colour, marker, label)) in enumerate(series.items()):
        part = rows.filter(
            pl.col(by) == value, pl.col("estimate").is_not_null(), pl.col("term").is_in(list(order))
        )
        y = np.array([place[t] for t in part["term"]], dtype=np.float64) + (0.5 - k) * 0.28
        x = part["estimate"].to_numpy()
        ends = part.select(
            pl.col("conf_low").fill_null(pl.col("estimate")),
            pl.col("conf_high").fill_null(pl.col("estimate")),
        )
        ax.hlines(y, ends["conf_low"], ends["conf_high"], color=colour, linewidth=1.4)
        sure = (part["p_adjusted"].fill_null(1.0) <= 0.05).to_numpy()
        faces = [colour if s else "white" for s in sure]
        ax.scatter(x, y, marker=marker, s=26, c=faces, edgecolors=colour, linewidths=1.2, zorder=3)
        ax.scatter([], [], marker=marker, s=26, c=colour, label=label)
    ax.set_ylim(-0.7, max(len(order) - 0.3, 0.7))
    ax.grid(axis="y", alpha=0.2)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.06), ncols=2, handletextpad=0.1, columnspacing=1)


def _words(name: str) -> str:
    """A feature's name as a reader says it."""
    text = name.removeprefix("last_response_").removeprefix("is_").replace("_is_", " is ").replace("_", " ")
    return text.replace("last response", "").strip()
