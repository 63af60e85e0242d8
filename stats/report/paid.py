"""What people pay for a feature beside what each model pays: rows, table and sentences.

A price is a coefficient of a logit on the differences within pairs: the log odds that a text is chosen for
having the feature (people), and the same of a model's margins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from seal.stats.report.captions import SURE
from seal.stats.report.standing import best, corrected_by, has_rows
from seal.stats.report.tables import (
    SHOWN_ROWS,
    SIGNIFICANT,
    TableView,
    derived,
    interval,
    interval_heading,
    is_sure,
    number,
    numbers,
)
from seal.stats.report.text import NOTHING, brief, decimals_for, fixed, listed, p_value, words
from seal.stats.results import Results

Row = Mapping[str, Any]
LOG_ODDS, POINTS = "log_odds", "points"
_NAMED = 3
_SCALES = {
    "calibrated": "margins are brought to the scale of the people's choices",
    "own": "margins count as log odds as they are",
    "choice": "the text with the higher reward counts as the model's choice",
}
CAVEAT = (
    "Prices shrink where choices are noisier, so people who choose less consistently seem to pay less for "
    "everything."
)


@dataclass(frozen=True)
class Paid:
    """One feature: what people pay for it, what one model pays, and the difference, the model's less theirs.

    Attributes:
        model, term: names.
        row: in log odds: human, rm, difference, each with an interval, and p-values of the difference.
        points: the same in the probability of being chosen; None where there is none.
        naive: `row` with labels taken as true, where `row` is corrected; else None.
    """

    model: str
    term: str
    row: Row
    points: Row | None
    naive: Row | None

    @property
    def size(self) -> float:
        """How large the difference is; 0 where it is not known."""
        return abs(float(self.row.get("difference") or 0.0))

    @property
    def sure(self) -> bool:
        """Whether the difference is significant after adjustment."""
        return is_sure(self.row) and self.row.get("difference") is not None

    @property
    def points_agree(self) -> bool:
        """Whether the points have the difference's sign and are significant too."""
        if not self.sure or self.points is None or not is_sure(self.points):
            return False
        return bool((self.points.get("difference") or 0.0) * self.row["difference"] > 0)


def paid(tables: Mapping[str, pl.DataFrame], models: Sequence[str]) -> list[Paid]:
    """Every price, corrected where prices are; the feature of the largest difference first.

    Args:
        tables: of the results.
        models: their names, in the order in which a feature's rows stand.
    """
    name = best(tables, "human")
    if not has_rows(tables, name):
        return []
    by = _rows(tables[name])
    naive = _rows(tables["human"]) if name != "human" and has_rows(tables, "human") else {}
    found = [
        Paid(model, term, row, by.get((model, term, POINTS)), naive.get((model, term, LOG_ODDS)))
        for (model, term, scale), row in by.items()
        if scale == LOG_ODDS and model in models
    ]
    largest: dict[str, float] = {}
    for one in found:
        largest[one.term] = max(one.size, largest.get(one.term, 0.0))
    return sorted(found, key=lambda x: (-largest[x.term], x.term, models.index(x.model)))


def _rows(frame: pl.DataFrame) -> dict[tuple[str, str, str], Row]:
    return {(str(r["model"]), str(r["term"]), str(r["scale"])): r for r in frame.to_dicts()}


def paid_table(found: Sequence[Paid], *, level: float, labels: str) -> TableView:
    """People, model and difference in one row for each feature and model.

    Args:
        found: prices in the order they are shown.
        level: of the intervals.
        labels: whether labels are taken as true or corrected, for the caption.
    """
    ends, naive = interval_heading(level), any(x.naive for x in found)
    columns = [("feature", "name"), ("model", "name")]
    columns += numbers("people pay", ends, "the model pays", ends, "difference", ends, "adjusted p")
    columns += numbers("difference, points", *["naive difference"] * naive)
    columns += numbers("informative pairs")
    decimals = _decimals(x.row for x in found)
    points = _decimals((x.points for x in found if x.points), 100)
    rows = [
        [x.term, x.model, *_prices(x.row, decimals), number("p_adjusted", x.row.get("p_adjusted"), 3),
         _points(x.points, points),
         *([number("difference", (x.naive or {}).get("difference"), decimals)] if naive else []),
         number("n_informative", x.row.get("n_informative"), 0)]
        for x in found[:SHOWN_ROWS]
    ]  # fmt: skip
    note = (
        "Log odds of being chosen for one unit of the feature; points are percentage points of the "
        f"probability of being chosen. The largest difference first. {SURE} "
        f"{'The naive difference takes labels as true. ' if naive else ''}{labels}"
    )
    title = "What people pay, what the models pay, and the difference"
    return replace(derived("overview-paid", title, note.strip(), columns, rows), n_rows=len(found))


def _prices(row: Row, decimals: int) -> Iterable[object]:
    for name, low in (("human", "human"), ("rm", "rm"), ("difference", "conf")):
        yield number(name, row.get(name), decimals, strong=name == "difference" and is_sure(row))
        yield interval(row.get(f"{low}_low"), row.get(f"{low}_high"), decimals)


def _points(row: Row | None, decimals: int) -> object:
    value = None if row is None else row.get("difference")
    if row is None or value is None:
        return None
    return replace(number("difference", 100 * value, decimals), strong=is_sure(row))


def _decimals(rows: Iterable[Row], times: float = 1.0) -> int:
    return decimals_for([times * r["std_error"] for r in rows if r.get("std_error") is not None])


def paid_sentences(results: Results) -> tuple[str, ...]:
    """What is said first of all: each model's largest difference from the people, and how far it goes."""
    models = (results.settings["post"], results.settings["pre"])
    found = paid(results.tables, models)
    if not found:
        return (_no_prices(results),)
    table = best(results.tables, "human")
    corrected = table != "human"
    decimals = _decimals(x.row for x in found)
    told = [x for m in models if (x := _largest([y for y in found if y.model == m]))]
    told.sort(key=lambda x: (not x.sure, -x.size))
    head = "" if corrected else "Not corrected for label errors: "
    sentences = [f"{head if i == 0 else ''}{_difference(x, decimals)}" for i, x in enumerate(told)]
    if corrected:
        by = corrected_by(results.tables[table], results.settings)
        sentences.append(f"This is corrected for label errors ({by}).")
        sentences += [*_left_out(results, found), *_not_corrected(results, models, found)]
    sentences += [_in_taste(results, m, [x for x in found if x.model == m]) for m in models]
    scale = _SCALES.get(str(results.settings.get("rm_scale") or "calibrated"), "")
    unit = f"Prices are log odds of being chosen{f'; {scale}' if scale else ''}."
    return (*(s for s in sentences if s), f"{unit} {CAVEAT}")


def _no_prices(results: Results) -> str:
    if "human" not in results.tables:
        return "What people pay was not estimated by the version that made these results; analyze again."
    return "What people pay could not be estimated; the notes say why."


def _largest(found: Sequence[Paid]) -> Paid | None:
    """The largest significant difference, else the largest of all."""
    known = [x for x in found if x.row.get("difference") is not None]
    return max(known, key=lambda x: (x.sure, x.size), default=None)


def _difference(x: Paid, decimals: int) -> str:
    """One model's largest difference, in a sentence."""
    feature, model = f"“{brief(words(x.term))}”", brief(x.model)
    p = x.row.get("p_adjusted")
    figures = (
        f"{_price(x.row, 'rm', 'rm', decimals)} against {_price(x.row, 'human', 'human', decimals)}, a "
        f"difference of {_price(x.row, 'difference', 'conf', decimals, sign=True)}"
        f"{'' if p is None else f', adjusted p {p_value(p)}'}."
    )
    if x.sure:
        return f"{model} {compared(x.row, feature)}: {figures}"
    return (
        f"{model} pays for no feature significantly more or less than people do; the largest difference is "
        f"for {feature}: {figures}"
    )


def compared(row: Row, feature: str) -> str:
    """What a model does with a feature, beside what people do with it; prices below zero are costs."""
    more = "more" if row["difference"] > 0 else "less"
    people, model = float(row["human"]), float(row["rm"])
    if people < 0 and model < 0:
        return f"takes {'less' if more == 'more' else 'more'} off for {feature} than people do"
    if people < 0 or model < 0:
        does, do = ("takes off", "pay") if model < 0 else ("pays", "take off")
        return f"{does} for {feature}, for which people {do}"
    return f"pays {more} for {feature} than people do"


def _price(row: Row, name: str, ends: str, decimals: int, *, sign: bool = False) -> str:
    """A price and its interval."""
    value, low, high = row.get(name), row.get(f"{ends}_low"), row.get(f"{ends}_high")
    said = NOTHING if value is None else fixed(value, decimals, sign=sign)
    if low is None or high is None:
        return said
    return f"{said} ({fixed(low, decimals)} to {fixed(high, decimals)})"


def _left_out(results: Results, found: Sequence[Paid]) -> list[str]:
    """Features that only the prices with labels taken as true hold."""
    there = {x.term for x in found}
    naive = map(str, results.tables["human"]["term"]) if has_rows(results.tables, "human") else ()
    lost = [f"“{brief(words(t))}”" for t in dict.fromkeys(naive) if t not in there]
    return [f"Not corrected, for want of gold pairs that differ: {listed(lost)}."] if lost else []


def _not_corrected(results: Results, models: Sequence[str], found: Sequence[Paid]) -> list[str]:
    """Models whose prices stand only in the table with labels taken as true."""
    naive = set(map(str, results.tables["human"]["model"])) if has_rows(results.tables, "human") else set()
    lost = [brief(m) for m in models if m in naive - {x.model for x in found}]
    if not lost:
        return []
    pays = "it pays" if len(lost) == 1 else "they pay"
    return [
        f"{listed(lost)} could not be corrected, the notes say why: what {pays} stands in "
        "the table with labels taken as true."
    ]


def _in_taste(results: Results, model: str, found: Sequence[Paid]) -> str:
    """Whether a difference is one of taste: log odds and points agree, and no one factor explains it."""
    if not any(x.sure for x in found):
        return ""
    named = [f"“{brief(words(x.term))}”" for x in found if x.points_agree]
    p, said = _proportional(results, model), brief(model)
    if p is None:
        return (
            f"Whether {said} differs in taste is not known: no test says whether one factor explains it all."
        )
    if p > SIGNIFICANT:
        return (
            f"A difference of {said} in taste is not shown: its prices may be the people's times one factor "
            f"(p {p_value(p)})."
        )
    if not named:
        return f"A difference of {said} in taste is not shown: in points of probability none is significant."
    rest = len(named) - _NAMED
    features = f"{', '.join(named[:_NAMED])} and {rest} more" if rest > 0 else listed(named)
    return (
        f"{said} differs in taste, not only in how consistently it chooses: its prices are not the people's "
        f"times one factor (p {p_value(p)}), and points agree for {features}."
    )


def _proportional(results: Results, model: str) -> float | None:
    """p of the test that the model's prices are the people's times one factor, corrected where prices are."""
    frame = results.tables.get("tests", pl.DataFrame())
    if not {"test", "group", "p_value"} <= set(frame.columns):
        return None
    name = "human_proportional" + ("_corrected" if best(results.tables, "human") != "human" else "")
    for row in frame.filter(test=name).to_dicts():
        if str(row["group"]) == model or str(row["group"]).startswith(f"{model}:"):
            return None if row["p_value"] is None else float(row["p_value"])
    return None
