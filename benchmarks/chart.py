"""results/peers_cpu.json -> docs/peers.png, tokens a second of every contestant; and the tables of README.md.

python -m benchmarks.chart [--results benchmarks/results/peers_cpu.json] [--out docs/peers.png]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_OURS, _INT8, _PEERS, _LIMIT = "#1b6ca8", "#8fc1e3", "#b8bec6", "#c0392b"
_NOTICED = 0.01  # a difference from the loop's rewards that is no rounding


def draw(document: dict[str, Any], out: Path) -> None:
    """One panel a shape: bars of tokens a second, times the loop beside them, and the peak as a line."""
    shapes = document["shapes"]
    heights = [len(shape["results"]) for shape in shapes]
    figure = Figure(figsize=(8, 1.1 * len(shapes) + 0.3 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(shapes), 1, squeeze=False, height_ratios=heights)
    for panel, shape in zip(panels[:, 0], shapes, strict=True):
        _panel(panel, shape)
    what = "a second" if _by_the_clock(shapes[0]) else "a second of one processor"
    panels[-1, 0].set_xlabel(f"real tokens {what} (median), and times the loop")
    about = document["machine"]
    figure.suptitle(
        f"{about['cpu']}, {about['cores']} cores, fp32 where nothing else is said, real hh-rlhf dialogues",
        fontsize=11,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)


def _panel(panel: Axes, shape: dict[str, Any]) -> None:
    results = sorted(shape["results"], key=lambda line: _rate(shape, line))
    rates = [_rate(shape, line) for line in results]
    ratio = "times_the_loop" if _by_the_clock(shape) else "times_the_loop_cpu"
    bars = panel.barh(
        [_label(line) for line in results], rates,
        color=[_colour(line["name"]) for line in results],
    )  # fmt: skip
    panel.bar_label(
        bars,
        [_beside(line, rate, line[ratio]) for rate, line in zip(rates, results, strict=True)],
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.9},
    )
    if _by_the_clock(shape):
        _mark_peak(panel, shape)
    panel.set_xlim(0, max(panel.get_xlim()[1], 1.65 * max(rates)))
    panel.set_title(
        f"{shape['shape']}: {shape['texts']['n']} texts, {shape['texts']['mean']:.0f} tokens on average",
        fontsize=10, loc="left",
    )  # fmt: skip
    panel.spines[["top", "right"]].set_visible(False)


def _by_the_clock(shape: dict[str, Any]) -> bool:
    """Whether everyone had the whole machine; held to some threads, processor time is what compares."""
    return not isinstance(shape["threads"], int)


def _rate(shape: dict[str, Any], line: dict[str, Any]) -> float:
    taken = line["seconds" if _by_the_clock(shape) else "cpu_seconds"]
    return float(shape["texts"]["tokens"] / np.median(taken))


def _mark_peak(panel: Axes, shape: dict[str, Any]) -> None:
    """The rate at which the best matrix product would do all nominal operations."""
    per_token = shape["nominal_gflop"] / shape["texts"]["tokens"]
    peak = max(shape["gemm_peak_gflops"].values())
    library = max(shape["gemm_peak_gflops"], key=shape["gemm_peak_gflops"].get).split(",")[0]
    panel.axvline(peak / per_token, color=_LIMIT, lw=1, ls="--")
    panel.text(
        peak / per_token,
        -0.4,
        f" {library}'s best\n matrix product",
        color=_LIMIT,
        fontsize=8,
        va="bottom",
    )
    panel.set_xlim(0, 1.08 * peak / per_token)


def _beside(line: dict[str, Any], rate: float, times: float) -> str:
    off = line["max_abs_diff_from_loop"]
    return f" {rate:,.0f}   {times:.2f}x" + (f"   rewards off by {off:.1f}" if off > _NOTICED else "")


def _colour(name: str) -> str:
    return _INT8 if "int8" in name else _OURS if name.startswith("seal") else _PEERS


def _label(line: dict[str, Any]) -> str:
    one_by_one = line["batch_size"] == 1 and "one by one" in line["name"]
    return line["name"] if one_by_one else f"{line['name']} ({_size(line)} a batch)"


def _size(line: dict[str, Any]) -> str:
    return "1 text" if line["batch_size"] == 1 else f"{line['batch_size']} {line['unit']}"


def table(shape: dict[str, Any]) -> str:
    """The Markdown table of a shape, the fastest first."""
    libraries = list(shape["results"][0]["of_peak"]) if _by_the_clock(shape) else []
    ratio = "times_the_loop" if _by_the_clock(shape) else "times_the_loop_cpu"
    head = ["engine", "a batch", "tokens/s", "pairs/s", "padding", "times the loop",
            *(f"of {library}'s product" for library in libraries), "peak MiB", "off"]  # fmt: skip
    pairs = shape["texts"]["n"] / 2 / shape["texts"]["tokens"]
    lines = [head, ["---"] * len(head)]
    for line in sorted(shape["results"], key=lambda line: -_rate(shape, line)):
        lines.append(
            [
                line["name"],
                _size(line),
                f"{_rate(shape, line):,.0f}",
                f"{_rate(shape, line) * pairs:.2f}",
                f"{line['padding']:.1%}",
                f"{line[ratio]:.2f}",
                *(f"{line['of_peak'][library]:.0%}" for library in libraries),
                f"{line['peak_memory_mib']:,.0f}",
                f"{line['max_abs_diff_from_loop']:.0e}",
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Draw, and print the tables."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=here / "results/peers_cpu.json")
    parser.add_argument("--out", type=Path, default=here.parent / "docs/peers.png")
    args = parser.parse_args()
    document = json.loads(args.results.read_text(encoding="utf-8"))
    draw(document, args.out)
    for shape in document["shapes"]:
        about, loads = shape["texts"], ", ".join(f"{load:.1f}" for load in shape["load_before_each_turn"])
        print(f"{shape['shape']}: {about['n']} texts, {about['mean']:.0f} tokens on average; load {loads}\n")
        print(f"{table(shape)}\n")


if __name__ == "__main__":
    main()
