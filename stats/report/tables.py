"""Result tables as a report sets them: columns in words, numbers rounded to what is known, rows capped."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from seal.stats.equations.remarks import AGREE_LITTLE
from seal.stats.labelers.measures import alpha_of, doubtful_features
from seal.stats.report.captions import ABOUT, HEADINGS, SHARES
from seal.stats.report.text import (
    NOTHING,
    count,
    decimals_for,
    fixed,
    p_value,
    significant,
    visible,
)

SHOWN_ROWS = 200
_DRAWN = {"reward_sample": 20, "theta_histogram": 40}  # rows that nobody reads: figures draw them
FOLDED_FROM = 31  # longer tables are folded away, so that a reader finds the next heading
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Column:
    """One column: its heading and whether it is set to the right as numbers are."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell; `text` holds nothing invisible. `name`: may break after an underscore; `code`: a hash."""

    text: str
    kind: str = "number"
    strong: bool = False


@dataclass(frozen=True)
class TableView:
    """A table ready to be set.

    Attributes:
        key: unique in the report, letters, digits and hyphens.
        title, note: the caption; what the table shows and how to read it.
        columns: headings; the first column heads its row.
        rows: cells of the rows that are shown.
        n_rows: how many there are.
        csv: the file in the results folder that holds all of it in full precision, None for a derived table.
        folded: whether it starts folded.
    """

    key: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    n_rows: int
    csv: str | None = None
    folded: bool = False


# Rounded with their standard error.
_IN_ITS_UNIT = frozenset(
    ("estimate", "std_error", "human", "rm", "difference", "naive_estimate", "naive_difference")
)
_JUDGED = {
    "estimate": "p_adjusted", "difference": "p_adjusted", "estimate_std": "p_adjusted_std",
    "alignment_change": "p_adjusted",
}  # fmt: skip
_NAMES = frozenset(
    (
        "term",
        "feature",
        "model",
        "regime",
        "test",
        "labeler",
        "labeler_a",
        "labeler_b",
        "group",
        "source",
        "perturbation",
    )
)
_LOW = re.compile(r"(^|_)low(?=_|$)")
_LEADS = ("term", "perturbation", "feature", "regime", "model", "test")


def table_view(
    name: str,
    frame: pl.DataFrame,
    *,
    level: float,
    alphas: Mapping[str, float] | None = None,
    folder: str = "",
    limit: int = SHOWN_ROWS,
    labels: str = "",
) -> TableView:
    """Set one result table.

    Args:
        name: its file name without `.csv`.
        frame: its rows.
        level: of the intervals, for their heading.
        alphas: feature -> lowest alpha between two labelers, set beside the coefficients.
        folder: of the CSV inside the results folder.
        limit: rows shown at most.
        labels: whether its labels are taken as true or corrected, for the caption.
    """
    limit = min(limit, _DRAWN.get(name, limit))
    title, note = ABOUT.get(name, (name.replace("_", " ").capitalize(), ""))
    if folder:
        title = f"{title}, the published study's own arithmetic"
    shown = frame.head(limit)
    rows = shown.to_dicts()
    blocks = _blocks(shown.drop("flag", *_in_caption(shown, labels), strict=False), rows, level)
    if alphas and "estimate" in shown.columns and "term" in shown.columns:
        behind = [i + 1 for i, (c, _) in enumerate(blocks) if c.title.endswith("interval")]
        marks = [alpha_cell(str(r.get("term")), alphas, r.get("flag")) for r in rows]
        blocks.insert(behind[0] if behind else len(blocks), (Column("labelers' alpha", number=True), marks))
    columns = tuple(column for column, _ in blocks)
    cells = tuple(zip(*(values for _, values in blocks), strict=True)) if rows else ()
    return TableView(
        f"table-{'published-' if folder else ''}{_key(name)}", visible(title), f"{note} {labels}".strip(),
        columns, cells, frame.height, f"{folder}{name}.csv", frame.height >= FOLDED_FROM,
    )  # fmt: skip


def _in_caption(frame: pl.DataFrame, labels: str) -> list[str]:
    """Columns that say the same in every row, and that the caption says of all: how labels were corrected."""
    there = [c for c in ("method", "n_gold") if c in frame.columns]
    return [c for c in there if labels and frame[c].n_unique() == 1]


_Block = tuple[Column, list[Cell]]


def _blocks(frame: pl.DataFrame, rows: Sequence[Mapping[str, object]], level: float) -> list[_Block]:
    """Every column with its cells, the one that heads the row first, the ends of an interval in one."""
    decimals = _decimals(rows)
    blocks: list[_Block] = []
    for name in _ordered(frame.columns):
        if high := upper_end(name, frame.columns):
            of = _end_of(name, frame.columns)
            share = of not in _IN_ITS_UNIT
            ends = [
                interval(r[name], r[high], 3 if share else d) for r, d in zip(rows, decimals, strict=True)
            ]
            said = "" if of in ("", "estimate", "alignment") else f" of {_heading(of, frame.columns)}"
            blocks.append((Column(interval_heading(level) + said, number=True), ends))
        elif frame.schema[name].is_numeric():
            column = Column(_heading(name, frame.columns), number=True)
            cells = [
                number(name, r[name], d, strong=name in _JUDGED and is_sure(r, _JUDGED[name]))
                for r, d in zip(rows, decimals, strict=True)
            ]
            blocks.append((column, cells))
        else:
            kind = "name" if name in _NAMES else "text"
            blocks.append((Column(_heading(name, frame.columns)), [_text(r[name], kind) for r in rows]))
    return blocks


def upper_end(name: str, columns: Sequence[str]) -> str | None:
    """The column with the other end of an interval; None where `name` is no lower end.

    >>> upper_end("conf_low_std", ["conf_low_std", "conf_high_std"])
    'conf_high_std'
    """
    high = _LOW.sub(r"\1high", name)
    return high if high != name and high in columns else None


def _end_of(name: str, columns: Sequence[str]) -> str:
    """What the interval with this lower end is of; empty where no column says so."""
    of = "_".join(part for part in name.split("_") if part not in ("conf", "low"))
    if of == "std":
        return "estimate_std"
    return of or next((c for c in ("estimate", "difference", "alignment", "flipped") if c in columns), "")


def _ordered(columns: Sequence[str]) -> list[str]:
    """The column that heads the row first, each interval beside what it is of; its upper end goes with it."""
    ends = {c: high for c in columns if (high := upper_end(c, columns))}
    lead = next((c for c in _LEADS if c in columns), None)
    rest = [c for c in columns if c != lead and c not in ends and c not in ends.values()]
    order = [lead, *rest] if lead else rest
    for end in reversed(ends):
        of = _end_of(end, columns)
        order.insert(order.index(of) + 1 if of in order else len(order), end)
    return order


def _heading(name: str, columns: Sequence[str] = ()) -> str:
    if name == "estimate_std" and "std_error_std" not in columns:
        return "estimate, SDs of reward"  # of an earlier version
    if name == "n_gold" and "labeler" in columns:
        return "gold texts"
    return HEADINGS.get(name) or visible(name.removeprefix("n_").replace("_", " "))


def interval_heading(level: float) -> str:
    """`95% interval`."""
    return f"{100 * level:g}% interval"


def _decimals(rows: Sequence[Mapping[str, object]]) -> list[int]:
    """Decimals of each row's estimate, the same for all rows of one outcome and scale."""
    errors: dict[tuple[object, object], list[float]] = {}
    for row in rows:
        error = row.get("std_error")
        if isinstance(error, int | float):
            errors.setdefault((row.get("outcome"), row.get("scale")), []).append(float(error))
    known = {of: decimals_for(found) for of, found in errors.items()}
    return [known.get((row.get("outcome"), row.get("scale")), 3) for row in rows]


def is_sure(row: Mapping[str, object], by: str = "p_adjusted") -> bool:
    """Whether a coefficient is significant after adjustment."""
    p = row.get(by)
    return isinstance(p, int | float) and p <= SIGNIFICANT


def interval(low: object, high: object, decimals: int) -> Cell:
    """The ends of an interval in one cell; nothing where one is not known."""
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return Cell(NOTHING)
    return Cell(f"{_capped(low, decimals)} to {_capped(high, decimals)}")


def _capped(value: float, decimals: int) -> str:
    """Fixed decimals, except where an estimate has run away."""
    return significant(value) if abs(value) >= 1e6 else fixed(value, decimals)


def number(name: str, value: object, decimals: int, *, strong: bool = False) -> Cell:
    """One number as its column is set.

    Args:
        name: of the column.
        value: what it holds.
        decimals: of estimates in their own unit.
        strong: whether it is set bold.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return Cell(NOTHING)
    if name in _IN_ITS_UNIT:
        return Cell(_capped(value, decimals), strong=strong)
    if name.startswith("p_"):
        return Cell(p_value(value))
    if name in SHARES:
        return Cell(_capped(value, 3))
    if name == "row_id":
        return Cell(str(value))
    if isinstance(value, int):
        return Cell(count(value))
    if name.startswith("theta_"):
        return Cell(fixed(value, 0))
    if name in ("statistic", "vif"):
        return Cell(_capped(value, 2))
    return Cell(significant(value))


def _text(value: object, kind: str) -> Cell:
    if isinstance(value, bool):
        return Cell("yes" if value else "no", "text")
    return Cell(NOTHING if value is None else visible(value), kind)


def alpha_cell(term: str, alphas: Mapping[str, float], flag: str | None) -> Cell:
    """The alpha behind a coefficient; `doubtful` where it is flagged, a flag of another kind as it is."""
    alpha = alpha_of(term, alphas)
    if alpha is None:
        return Cell(NOTHING)
    if flag is None:
        return Cell(fixed(alpha, 2))
    said = "doubtful" if flag.startswith(AGREE_LITTLE) else visible(flag)
    return Cell(f"{fixed(alpha, 2)}, {said}", strong=True)


def lowest_alphas(labelers: pl.DataFrame | None) -> dict[str, float]:
    """Feature -> its lowest alpha between some two labelers."""
    if labelers is None or not {"feature", "alpha"} <= set(labelers.columns):
        return {}
    return doubtful_features(labelers, math.inf)


def derived(
    key: str, title: str, note: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[object]]
) -> TableView:
    """A table that no file holds.

    Args:
        key, title, note: as in `TableView`.
        columns: heading and kind of cell (see `Cell`) of each.
        rows: cells, or what they say; None where that is nothing.
    """
    cells = tuple(
        tuple(
            x if isinstance(x, Cell) else Cell(NOTHING if x is None else visible(x), kind)
            for x, (_, kind) in zip(row, columns, strict=True)
        )
        for row in rows
    )
    heads = tuple(Column(heading, kind == "number") for heading, kind in columns)
    return TableView(key, title, note, heads, cells, len(cells))


def numbers(*headings: str) -> list[tuple[str, str]]:
    """Columns of numbers, for `derived`."""
    return [(heading, "number") for heading in headings]


def _key(name: str) -> str:
    """A name as part of an id; no two names alike."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else f"-{ord(c):x}-" for c in name)
