"""The report's first figure: what people pay and what each model pays for a feature, one line a feature."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seal.stats.figures import BLUE, GREY, ORANGE, STYLE
from seal.stats.report.paid import Paid, Row
from seal.stats.report.text import words

INK = "#262626"  # matplotlib leaves out a fill that is black, and the page could not turn it
_STEP = 0.24  # between people and models on one line, of the distance between two lines
_FAINT = 0.55
_ROOM = 4.0  # intervals are cut so many median half-widths beyond the outermost estimate


@dataclass(frozen=True)
class Series:
    """Who pays: how they are drawn and where their price stands.

    Attributes:
        label, colour, marker: in the legend.
        model: whose rows are read.
        price: column of the price; its interval is `{price}_low` to `{price}_high`.
    """

    label: str
    colour: str
    marker: str
    model: str
    price: str


def prices(found: Sequence[Paid], models: Sequence[str], *, narrow: bool = False) -> Figure:
    """People and models on one line a feature, the largest difference on top; faint: labels taken as true.

    Hollow: the model's price does not differ significantly from the people's.

    Args:
        found: in the order of the lines, from the top (see `seal.stats.report.paid.paid`).
        models: before and after training.
        narrow: for a phone: names stand above their line.
    """
    terms = list(dict.fromkeys(x.term for x in found))[::-1]
    height = (1.5 if narrow else 1.3) + (0.62 if narrow else 0.44) * max(len(terms), 3)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.9 if narrow else 8.6, height), layout="constrained")
        ax = figure.subplots()
        ax.axvline(0, color=GREY, linewidth=0.8)
        for k, series in enumerate(_series(found, models)):
            _draw(ax, series, found, terms, (1 - k) * _STEP - (0.12 if narrow else 0.0))
        ax.set_xlim(*_ends(found))
        ax.set_ylim(-0.6, max(len(terms) - 0.4, 0.6))
        ax.set_yticks(range(len(terms)), [] if narrow else [words(t) for t in terms])
        ax.tick_params(axis="y", length=0)
        for y, term in enumerate(terms if narrow else ()):
            ax.annotate(
                words(term), (0.008, y + 0.29), xycoords=("axes fraction", "data"), fontsize=8, va="center"
            )
        for y in range(len(terms) - 1):
            ax.axhline(y + 0.5, color=GREY, linewidth=0.4, alpha=0.35)
        ax.set_xlabel("log odds of being chosen, per unit of the feature")
        ax.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=1 if narrow else 4, handletextpad=0.1,
            columnspacing=1.2, borderaxespad=0.2,
        )  # fmt: skip
    return figure


def _series(found: Sequence[Paid], models: Sequence[str]) -> list[Series]:
    there = {x.model for x in found}
    looks = zip(models, (BLUE, ORANGE), "os", strict=True)
    drawn = [Series(m, colour, marker, m, "rm") for m, colour, marker in looks if m in there]
    people = next(m for m in reversed(models) if m in there)
    return [Series("people", INK, "D", people, "human"), *drawn]


def _draw(ax: Axes, series: Series, found: Sequence[Paid], terms: Sequence[str], shift: float) -> None:
    """One point with its interval on every line, and faintly what labels taken as true give."""
    mine = [x for x in found if x.model == series.model and x.row.get(series.price) is not None]
    y = np.array([terms.index(x.term) for x in mine], dtype=np.float64) + shift
    values = np.array([x.row[series.price] for x in mine], dtype=np.float64)
    low, high = (np.array([_end(x.row, series.price, e) for x in mine]) for e in ("low", "high"))
    size = 20 if series.marker == "D" else 26
    ax.hlines(y, low, high, color=series.colour, linewidth=1.4)
    faces = [series.colour if x.sure or series.price == "human" else "white" for x in mine]
    ax.scatter(
        values, y, marker=series.marker, s=size, c=faces, edgecolors=series.colour, linewidths=1.2, zorder=3
    )
    ax.scatter([], [], marker=series.marker, s=size, c=series.colour, label=series.label)
    naive = {i: (x.naive or {}).get(series.price) for i, x in enumerate(mine)}
    faint = {i: float(value) for i, value in naive.items() if value is not None}
    if faint:
        ax.scatter(
            list(faint.values()), y[list(faint)], marker="|", s=70, c=series.colour, linewidths=1.6,
            alpha=_FAINT, zorder=2,
        )  # fmt: skip


def _end(row: Row, price: str, end: str) -> float:
    value = row.get(f"{price}_{end}")
    return float(row[price] if value is None else value)


def _ends(found: Sequence[Paid]) -> tuple[float, float]:
    """Limits that hold every price; an interval that has run away does not flatten the others."""
    rows = [(x.row, price) for x in found for price in ("human", "rm") if x.row.get(price) is not None]
    naive = [
        float(x.naive[p]) for x in found if x.naive for p in ("human", "rm") if x.naive.get(p) is not None
    ]
    if not rows:
        return -1.0, 1.0
    values = np.array([0.0, *naive, *(float(row[price]) for row, price in rows)])
    low, high = (np.array([_end(row, price, e) for row, price in rows]) for e in ("low", "high"))
    most = _ROOM * float(np.median((high - low) / 2))
    left = max(min(values.min(), low.min()), values.min() - most)
    right = min(max(values.max(), high.max()), values.max() + most)
    room = 0.04 * max(right - left, 1e-6)
    return float(left - room), float(right + room)
