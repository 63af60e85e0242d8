"""Figures as SVG inside a page: unique ids, a text alternative, and colours that follow light and dark."""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib
import polars as pl
from matplotlib.figure import Figure

from seal.stats import figures
from seal.stats.report.caused import caused
from seal.stats.report.figures_causal import effects
from seal.stats.report.figures_human import prices
from seal.stats.report.paid import paid
from seal.stats.report.text import shortened, visible

_NAMED = ("model", "term", "feature", "perturbation")  # columns whose names figures show
_NAME = 40  # characters of a name in a figure; tables give it in full
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"
_KEPT = frozenset(("svg", "g", "defs", "path", "use", "text", "tspan", "clipPath", "rect", "circle", "line"))
# Colours of `seal.stats.figures` and of matplotlib's own frame -> variables of the page.
_VARIABLES = {
    figures.BLUE: "blue", figures.ORANGE: "orange", figures.GREEN: "green", figures.VERMILION: "vermilion",
    figures.GREY: "soft", "#000000": "ink", "#ffffff": "panel", "#b0b0b0": "rule", "#cccccc": "rule",
    "#262626": "ink", "#808080": "soft",
}  # fmt: skip
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_FONT = "'DejaVu Sans', Verdana, 'Liberation Sans', sans-serif"  # first of all the one it was measured in
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LONG_NUMBER = re.compile(r"(\d+\.\d{3})\d+")


@dataclass(frozen=True)
class FigureView:
    """A figure ready to be set.

    Attributes:
        key: unique in the report.
        title: its caption.
        description: what it shows, for those who do not see it; the tables hold the numbers.
        svg: the drawing: elements and attributes of this module's own list only, text escaped.
        width: in pixels at its natural size.
        narrow, narrow_width: the same drawn for a phone; empty where the wide one scrolls there.
    """

    key: str
    title: str
    description: str
    svg: str
    width: int
    narrow: str = ""
    narrow_width: int = 0


def figure_views(tables: Mapping[str, pl.DataFrame], pre: str, post: str) -> list[FigureView]:
    """The figures that the tables allow.

    Names are shortened and made visible first: no letter of them is markup, mathematics or invisible.
    """
    clean, pre, post = _named(tables, pre, post)
    there = {
        "figure-2": _some(clean, "theta_histogram", "reward_sample"),
        "figure-3": all(n in clean and clean[n].width for n in ("imprint", "shift", "resistance")),
        "figure-4": _some(clean, "theta_histogram"),
        "figure-5": _some(clean, "robustness"),
        "figure-6": _some(clean, "perturbations"),
        "figure-7": bool(caused(clean, (pre, post))),
    }
    drawn = [*_prices(clean, pre, post)]
    for key, (title, description, draw) in _FIGURES.items():
        if there[key]:
            svg, width = _inline(draw(clean, pre, post), key, title, description)
            drawn.append(FigureView(key, title, description, svg, width))
    return drawn


_PRICES = (
    "Figure 1. What people pay for a feature, and what each model pays",
    "One line a feature, that of the largest difference on top: a diamond for the people, a circle for the "
    "model before training and a square for the one after, each with its interval; hollow where it does not "
    "differ significantly from the people. The numbers are in the table below and in human.csv.",
)
_FAINT = " Faint strokes: with labels taken as true."


def _prices(tables: Mapping[str, pl.DataFrame], pre: str, post: str) -> Iterator[FigureView]:
    """The first figure, drawn twice: for a page and for a phone."""
    found = [x for x in paid(tables, (pre, post)) if x.row.get("human") is not None]
    if not found:
        return
    title, description = _PRICES
    said = f"{title}. Hollow: not significantly otherwise than the people."
    said += _FAINT if any(x.naive for x in found) else ""
    (wide, width), (narrow, narrow_width) = (
        _inline(prices(found, (pre, post), narrow=small), key, title, description)
        for small, key in ((False, "figure-1"), (True, "figure-1-narrow"))
    )
    yield FigureView("figure-1", said.rstrip("."), description, wide, width, narrow, narrow_width)


def _some(tables: Mapping[str, pl.DataFrame], *names: str) -> bool:
    return all(name in tables and tables[name].height for name in names)


_Draw = Callable[[Mapping[str, pl.DataFrame], str, str], Figure]
_FIGURES: dict[str, tuple[str, str, _Draw]] = {
    "figure-2": (
        "Figure 2. Pairs in the plane of rewards, before and after, and the turn of their reward vector",
        "Two scatter plots of the reward of the chosen text against that of the rejected text, one a model; "
        "aligned pairs lie below the diagonal. Under them a rose of the reward shift for each regime. The "
        "numbers are in the tables reward_sample.csv and theta_histogram.csv.",
        lambda t, pre, post: figures.reward_vectors(
            t["reward_sample"], t["theta_histogram"], pre=pre, post=post
        ),
    ),
    "figure-3": (
        "Figure 3. Feature imprint, reward shift and alignment resistance",
        "Three panels of points with intervals, one row a feature: the reward it brings before and after, "
        "how it changes the margin, and how it moves the odds of misalignment. The numbers are in the "
        "tables imprint.csv, shift.csv and resistance.csv.",
        lambda t, pre, post: figures.coefficients(t, pre=pre, post=post),
    ),
    "figure-4": (
        "Figure 4. Reward shift by regime and labeler preference",
        "A grid of roses of the reward shift: a row a regime, a column what the labeler prefers. The numbers "
        "are in the table theta_histogram.csv.",
        lambda t, pre, post: figures.shift_roses(t["theta_histogram"]),
    ),
    "figure-5": (
        "Figure 5. Alignment robustness under rewriting",
        "Points with intervals: how each label lost or gained in rewriting moves the odds that an aligned "
        "pair becomes misaligned. The numbers are in the table robustness.csv.",
        lambda t, pre, post: figures.robustness_scores(t["robustness"], model=post),
    ),
    "figure-6": (
        "Figure 6. Perturbed responses: pairs that flip, and how far the rewards move",
        "Two panels of points with intervals, one row a perturbation and a marker a model: the share of "
        "pairs whose order flips, and the mean change of the rewards; perturbations that change the "
        "meaning stand below a dashed line. The numbers are in the table perturbations.csv.",
        lambda t, pre, post: figures.perturbation_lines(t["perturbations"], pre=pre, post=post),
    ),
    "figure-7": (
        "Figure 7. What a change of one attribute does to the reward, beside its imprint",
        "One line an attribute: for each model a filled mark for what rewriting a response to have it does "
        "to the reward, and a hollow one for its imprint in pairs as they are, each with its interval. The "
        "numbers are in the table below and in causal.csv.",
        lambda t, pre, post: effects(caused(t, (pre, post)), (pre, post)),
    ),
}


def _named(
    tables: Mapping[str, pl.DataFrame], pre: str, post: str
) -> tuple[dict[str, pl.DataFrame], str, str]:
    """Tables and model names with every name as a figure can show it."""
    names = {pre, post, f"{post}-{pre}"}
    for frame in tables.values():
        names |= {str(v) for c in _NAMED if c in frame.columns for v in frame[c].drop_nulls()}
    ordered = sorted(names)
    short = shortened([visible(n) for n in ordered], _NAME)
    mapping = {n: short[visible(n)] for n in ordered}
    clean = {
        name: frame.with_columns(
            pl.col(c).replace_strict(mapping, default=None, return_dtype=pl.String)
            for c in _NAMED
            if c in frame.columns
        )
        for name, frame in tables.items()
    }
    return clean, mapping[pre], mapping[post]


def _inline(figure: Figure, key: str, title: str, description: str) -> tuple[str, int]:
    """A figure as an `svg` element and its width in pixels."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({**figures.STYLE, "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the browser's fonts have it
        figure.savefig(
            buffer, format="svg", transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )  # fmt: skip
    root = ElementTree.fromstring(buffer.getvalue())
    _strip(root)
    for element in root.iter():
        _rewrite(element, key)
    width, height = (float(x) for x in root.attrib["viewBox"].split()[2:])
    root.attrib.clear()
    labels = {"title": f"{key}-title", "desc": f"{key}-desc"}
    root.attrib.update(
        {"viewBox": f"0 0 {width:g} {height:g}", "role": "img",
         "aria-labelledby": labels["title"], "aria-describedby": labels["desc"]}
    )  # fmt: skip
    for tag, text in (("desc", description), ("title", title)):
        head = ElementTree.Element(tag, {"id": labels[tag]})
        head.text = text
        root.insert(0, head)
    return ElementTree.tostring(root, encoding="unicode"), round(width * 96 / 72)


def _strip(parent: ElementTree.Element) -> None:
    """Leave only drawing: no metadata, no style sheet (it would reach the whole page)."""
    for child in list(parent):
        tag = str(child.tag).removeprefix(_SVG)
        if tag not in _KEPT:
            parent.remove(child)
        else:
            _strip(child)
    parent.tag = str(parent.tag).removeprefix(_SVG)


def _rewrite(element: ElementTree.Element, key: str) -> None:
    """Ids of this figure's own, references that follow, colours as variables, fewer digits."""
    old = dict(element.attrib)
    element.attrib.clear()
    for name, value in old.items():
        if name == "id":
            element.set("id", f"{key}-{value}")
        elif name == f"{_XLINK}href":
            element.set("href", f"#{key}-{value.removeprefix('#')}")
        elif not name.startswith("{"):
            value = _REFERENCE.sub(rf"url(#{key}-\1)", value)
            if name == "style":
                value = re.sub(r"font(-family)?: ([^;]*?)'DejaVu Sans'[^;]*", rf"font\1: \2{_FONT}", value)
                value = _COLOUR.sub(_variable, value)
            element.set(name, _LONG_NUMBER.sub(r"\1", value) if name in ("d", "x", "y") else value)


def _variable(match: re.Match[str]) -> str:
    colour = match.group().lower()
    known = {k.lower(): v for k, v in _VARIABLES.items()}
    return f"var(--{known[colour]})" if colour in known else match.group()
