"""results/label_errors.json -> results/label_errors.png: error and coverage of every correction."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {
    "naive": "#c0392b", "gold only": "#8a8f96", "rectified": "#1b6ca8", "calibrated": "#e08e0b",
    "IV": "#8a8f96", "majority": "#b07aa1", "latent": "#2e8b57",
}  # fmt: skip
WITH_GOLD = ("independent", "halo .5", "differential .3", "ambiguous")
ASKED = (0.92, 0.97)


def draw(document: dict[str, Any], out: Path) -> None:
    """Two rows over gold pairs for four worlds, and a row without gold."""
    cases = document["cases"]
    figure = Figure(figsize=(11, 9.5), layout="constrained")
    grid = figure.add_gridspec(3, 4, height_ratios=[1, 1, 1.15])
    for column, world in enumerate(WITH_GOLD):
        case = cases.get(f"{world}, n = 20,000")
        if case is not None:
            top, below = figure.add_subplot(grid[0, column]), figure.add_subplot(grid[1, column])
            _over_gold(top, case, "rmse")
            _over_gold(below, case, "coverage")
            top.set_title(f"{world} ({case['n_worlds']} worlds)", fontsize=9)
            if column == 0:
                top.set_ylabel("RMSE")
                below.set_ylabel("coverage of 95% intervals")
                top.legend(fontsize=7, frameon=False)
    names = [name for name, case in cases.items() if "0" in case["gold_pairs"]]
    _without_gold(figure.add_subplot(grid[2, :2]), cases, names, "rmse", labels=True)
    _without_gold(figure.add_subplot(grid[2, 2:]), cases, names, "coverage", labels=False)
    figure.suptitle(
        "Eq. 1 under label errors: 15 features, 20,000 pairs; above by gold pairs, below without gold",
        fontsize=11,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def _over_gold(panel: Axes, case: dict[str, Any], what: str) -> None:
    sizes = sorted(case["gold_pairs"], key=int)
    for method in case["gold_pairs"][sizes[0]]["methods"]:
        values = [case["gold_pairs"][m]["methods"][method][what] for m in sizes]
        panel.plot([int(m) for m in sizes], values, "o-", ms=3, color=COLOURS[method], label=method)
    panel.set_xscale("log")
    panel.set_xticks([int(m) for m in sizes], sizes)
    panel.minorticks_off()
    panel.set_xlabel("gold pairs", fontsize=8)
    panel.tick_params(labelsize=8)
    if what == "rmse":
        panel.set_yscale("log")
        panel.set_ylim(0.04, 0.6)
        panel.set_yticks([0.05, 0.1, 0.2, 0.4], ["0.05", "0.1", "0.2", "0.4"])
    else:
        panel.axhspan(*ASKED, color="#1b6ca8", alpha=0.12, lw=0)
        panel.set_ylim(0, 1.02)
    panel.minorticks_off()
    panel.spines[["top", "right"]].set_visible(False)


def _without_gold(panel: Axes, cases: dict[str, Any], names: list[str], what: str, *, labels: bool) -> None:
    for row, name in enumerate(names):
        for method, values in cases[name]["gold_pairs"]["0"]["methods"].items():
            panel.plot(
                values[what], row, "o", ms=6, color=COLOURS[method], label=method if row == 0 else None
            )
    panel.set_yticks(range(len(names)), [_told(cases[n], n) for n in names] if labels else [""] * len(names))
    panel.invert_yaxis()
    panel.grid(axis="y", color="#e5e7ea")
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8)
    if what == "coverage":
        panel.axvspan(*ASKED, color="#1b6ca8", alpha=0.12, lw=0)
        panel.set_xlim(0, 1.02)
        panel.set_xlabel("coverage of 95% intervals")
    else:
        panel.legend(fontsize=7, frameon=False, loc="upper right")
        panel.set_xlim(0, 0.36)
        panel.set_xlabel("RMSE")
    panel.spines[["top", "right"]].set_visible(False)


def _told(case: dict[str, Any], name: str) -> str:
    """The world, and in how many of its worlds the latent estimate is refused."""
    refused = case["gold_pairs"]["0"]["facts"]["refused"]
    return f"{name.removesuffix(', n = 20,000')}\nlatent refused in {refused:.0%}"
