"""What an attribute causes beside its imprint, one line an attribute, models side by side."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seal.stats.figures import BLUE, GREY, ORANGE, STYLE
from seal.stats.report.caused import Caused
from seal.stats.report.text import words

_STEP = 0.2


def effects(found: Sequence[Caused], models: Sequence[str]) -> Figure:
    """Filled: caused, with its interval; hollow: observed, with its own.

    Args:
        found: in the order of the lines, from the top (see `seal.stats.report.caused.caused`).
        models: before and after training.
    """
    names = list(dict.fromkeys(x.name for x in found))[::-1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 1.5 + 0.62 * max(len(names), 2)), layout="constrained")
        ax = figure.subplots()
        ax.axvline(0, color=GREY, linewidth=0.8)
        looks = list(zip(models, (BLUE, ORANGE), "os", strict=True))
        for k, (model, colour, marker) in enumerate(looks):
            mine = [x for x in found if x.model == model]
            for offset, observed in ((0.0, False), (1.0, True)):
                shift = (1.5 - 2 * k - offset) * _STEP
                _draw(ax, mine, names, shift, colour, marker, observed=observed, label=model)
        ax.set_yticks(range(len(names)), [words(n) for n in names])
        ax.set_ylim(-0.6, max(len(names) - 0.4, 0.6))
        ax.tick_params(axis="y", length=0)
        for y in range(len(names) - 1):
            ax.axhline(y + 0.5, color=GREY, linewidth=0.4, alpha=0.35)
        ax.set_xlabel("change of the reward, SDs of the model's own margins")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2 * len(looks), handletextpad=0.1)
    return figure


def _draw(
    ax: Axes, mine: Sequence[Caused], names: Sequence[str], shift: float, colour: str, marker: str, *,
    observed: bool, label: str,
) -> None:  # fmt: skip
    rows = [(names.index(x.name) + shift, x.observed if observed else x.row) for x in mine]
    known = [(y, r) for y, r in rows if r is not None and r["estimate"] is not None]
    y = np.array([y for y, _ in known], dtype=np.float64)
    values = np.array([r["estimate"] for _, r in known], dtype=np.float64)
    low, high = (
        np.array([r["estimate"] if r[end] is None else r[end] for _, r in known], dtype=np.float64)
        for end in ("conf_low", "conf_high")
    )
    face = "white" if observed else colour
    ax.hlines(y, low, high, color=colour, linewidth=1.0 if observed else 1.6)
    ax.scatter(values, y, marker=marker, s=26, c=face, edgecolors=colour, linewidths=1.2, zorder=3)
    said = f"{label}, {'observed' if observed else 'caused'}"
    ax.scatter([], [], marker=marker, s=26, c=face, edgecolors=colour, linewidths=1.2, label=said)
