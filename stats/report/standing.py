"""How far coefficients can be read: labels taken as true or corrected, association, families of tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from seal.stats.regression.inference import n_families
from seal.stats.report.text import count, listed, visible
from seal.stats.results import Results

# Table -> the table with the same coefficients corrected for label errors; None where there is none.
COEFFICIENTS: dict[str, str | None] = {
    "human": "human_corrected", "imprint": "imprint_corrected", "imprint_chosen": None, "shift": None,
    "resistance": "resistance_corrected", "robustness": None, "robustness_given_aligned": None,
    "robustness_became_aligned": None,
}  # fmt: skip
_CORRECTED = frozenset(c for c in COEFFICIENTS.values() if c)
_DRAWN_FROM = {"figure-3": "shift", "figure-5": "robustness"}  # tables whose labels are those of the figure
_NOT_CORRECTED = (
    "not corrected for label errors; attenuated or worse: "  # how the analysis says why, in a note
)
ASSOCIATION = "An association, not an experiment."
SAMPLE = "seal gold sample TEXTS --pairs 500 --seed 1 --out gold/"


@dataclass(frozen=True)
class Notice:
    """What stands at the head of a chapter: a heading, what it means, and maybe a command that mends it."""

    title: str
    text: str
    command: str = ""


def has_rows(tables: Mapping[str, pl.DataFrame], name: str | None) -> bool:
    """Whether a table is there and not empty."""
    return name is not None and name in tables and tables[name].height > 0


def best(tables: Mapping[str, pl.DataFrame], name: str) -> str:
    """The corrected table where it is there, else the one that takes labels as true."""
    corrected = COEFFICIENTS.get(name)
    return corrected if corrected is not None and has_rows(tables, corrected) else name


def corrected_by(frame: pl.DataFrame, settings: Mapping[str, Any]) -> str:
    """By what a table is corrected and from which gold: `rectified, 300 gold pairs of people`."""
    methods = sorted({visible(m) for m in frame["method"].drop_nulls()}) if "method" in frame.columns else []
    said = [listed(methods) or "by a method that is not named"]
    m = max(map(int, frame["n_gold"].drop_nulls()), default=0) if "n_gold" in frame.columns else 0
    gold = settings.get("gold")
    whose = f" of {visible(gold)}" if gold else ""
    said.append(f"{count(m)} gold pairs{whose}" if m else "from the labelers' disagreement, without gold")
    return ", ".join(said)


def labels_said(name: str, results: Results) -> str:
    """For the caption of a table of coefficients: what its labels are; empty for any other table."""
    if name in _CORRECTED:
        by = corrected_by(results.tables[name], results.settings)
        return f"Corrected for label errors ({by}). {ASSOCIATION}"
    if name not in COEFFICIENTS:
        return ""
    if _own_gold(results):
        return f"Labels of {visible(results.settings['gold'])}, taken as true. {ASSOCIATION}"
    corrected = COEFFICIENTS[name]
    beside = f"; corrected in {corrected}.csv" if corrected and has_rows(results.tables, corrected) else ""
    return f"Labels taken as true, not corrected for their errors{beside}. {ASSOCIATION}"


def figure_said(key: str, results: Results) -> str:
    """The same for the caption of a figure."""
    if key == "figure-2":
        return "No label enters it."
    if key == "figure-4":
        return "The labeler's preference is taken as true, not corrected for label errors."
    if key == "figure-1":  # the only one that draws corrected values
        return labels_said(best(results.tables, "human"), results)
    return labels_said(_DRAWN_FROM.get(key, ""), results)


def notice(tables: Sequence[str], results: Results, *, first: bool) -> Notice | None:
    """The heading over a chapter whose first coefficients take labels as true; None where they do not.

    Args:
        tables: of the chapter; what stands behind the first says in its caption what its labels are.
        results: what the analysis found.
        first: whether this chapter tells what to do; later ones do not repeat it.
    """
    leading = next((t for t in tables if t in COEFFICIENTS and has_rows(results.tables, t)), None)
    if leading is None or best(results.tables, leading) != leading or _own_gold(results):
        return None
    if any(has_rows(results.tables, name) for name in _CORRECTED):
        return Notice(_HEADING, "Labels are taken as true here: other equations are corrected, not this one.")
    reason = next((n for n in results.notes if n.startswith(_NOT_CORRECTED)), "").removeprefix(_NOT_CORRECTED)
    if reason and results.settings.get("gold"):
        return Notice(
            _HEADING, f"Labels are taken as true: coefficients are attenuated or worse. {_cause(reason)}"
        )
    if not first:
        return Notice(_HEADING, "Labels are taken as true: coefficients are attenuated or worse.")
    return Notice(_HEADING, _MEND, SAMPLE)


def _cause(reason: str) -> str:
    return f"Why: {visible(reason)}."


_HEADING = "Not corrected for label errors"
_MEND = (
    "Labels are taken as true. A labeler that errs makes coefficients too small, and where its errors go "
    "with the rewards or hang together, wrong in any direction. A few hundred pairs labeled by people "
    "correct them: draw them with the command below, label them on the page of seal gold sheet, and analyze "
    "again with --gold."
)


def _own_gold(results: Results) -> bool:
    """Whether the labels regressed on are those that were named as right."""
    gold = results.settings.get("gold")
    return gold is not None and gold == results.settings.get("labeler")


def families_said(results: Results) -> str:
    """How many families a reader scans; empty where there is none."""
    n = n_families(results.tables)
    adjust = visible(results.settings.get("adjust", "holm"))
    if not n:
        return ""
    return (
        f"Adjusted p-values ({adjust}) hold within one family, the features of one equation for one model or "
        f"outcome: the tables of this report hold {count(n)} of them."
    )
