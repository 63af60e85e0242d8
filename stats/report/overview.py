"""Many rows of a result table as one row a feature: what the models reward, and what moves the margin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from seal.stats.report.captions import OUTCOME_WORDS, OUTCOMES, SURE
from seal.stats.report.standing import best
from seal.stats.report.tables import (
    SHOWN_ROWS,
    TableView,
    alpha_cell,
    derived,
    interval,
    interval_heading,
    is_sure,
    number,
    numbers,
)
from seal.stats.report.text import decimals_for, shortened, visible

Row = Mapping[str, Any]
_OF_ROW = ("estimate", "std_error", "p_value", "p_adjusted", "conf_low", "conf_high")


@dataclass(frozen=True)
class Imprint:
    """The imprints a report tells: corrected where they are, in SDs of the model's own margins where known.

    Attributes:
        table: the result table they stand in.
        unit: `SD` of the model's own margins, or empty for reward units, which do not compare models.
        rows: (model, term) -> its row; estimate, interval and p-values are those in the unit.
        raw: the same rows in reward units.
    """

    table: str
    unit: str
    rows: Mapping[tuple[str, str], Row]
    raw: Mapping[tuple[str, str], Row]


def told_imprint(tables: Mapping[str, pl.DataFrame]) -> Imprint:
    """Choose table and unit; without an imprint there are no rows."""
    name = best(tables, "imprint")
    frame = tables.get(name, pl.DataFrame())
    raw = {(str(r["model"]), str(r["term"])): r for r in frame.to_dicts()}
    if not {f"{c}_std" for c in _OF_ROW} <= set(frame.columns):  # of an earlier version
        return Imprint(name, "", raw, raw)
    rows = {key: {**r, **{c: r[f"{c}_std"] for c in _OF_ROW}} for key, r in raw.items()}
    return Imprint(name, "SD", rows, raw)


def imprint_overview(
    told: Imprint, pre: str, post: str, *, level: float, alphas: Mapping[str, float], labels: str
) -> TableView:
    """Before, after and the change side by side, one row a feature, the largest change first.

    Args:
        told: the imprints.
        pre, post: model names.
        level: of the intervals.
        alphas: feature -> lowest alpha between two labelers; no column where empty.
        labels: whether labels are taken as true or corrected, for the caption.
    """
    models = (pre, post, f"{post}-{pre}")
    terms = dict.fromkeys(term for _, term in told.rows)
    ordered = sorted(terms, key=lambda t: (-abs(_estimate(told.rows.get((models[2], t)))), t))
    short = shortened([visible(pre), visible(post)], 24)
    before, after = (short[visible(m)] for m in (pre, post))
    ends, sds = interval_heading(level), f", {told.unit}" if told.unit else ""
    columns = [("feature", "name"), *numbers(f"{before}{sds}", ends, f"{after}{sds}", ends)]
    columns += numbers(f"change{sds}", ends, "adjusted p of the change")
    columns += numbers(*["change, reward units"] * bool(told.unit), "informative pairs")
    columns += numbers(*["labelers' alpha"] * bool(alphas))
    rows = [_overview_row(told, models, term, alphas) for term in ordered[:SHOWN_ROWS]]
    unit = (
        "In SDs of each model's own margins: raw rewards of two models are not on one scale. The change in "
        "reward units stands beside. "
        if told.unit
        else "In reward units, which two models need not share. "
    )
    note = (
        "What a feature brings under each model and the change between them, the largest change first. "
        f"{unit}A coefficient rests on its informative pairs alone. {SURE} {labels}"
    )
    view = derived(
        "overview-imprint", "What the models reward, before and after", note.strip(), columns, rows
    )
    return replace(view, n_rows=len(terms))


def _overview_row(
    told: Imprint, models: Sequence[str], term: str, alphas: Mapping[str, float]
) -> list[object]:
    found = [told.rows.get((m, term), {}) for m in models]
    decimals = _decimals(told.rows.values())
    cells: list[object] = [term]
    for row in found:
        cells.append(number("estimate", row.get("estimate"), decimals, strong=is_sure(row)))
        cells.append(interval(row.get("conf_low"), row.get("conf_high"), decimals))
    cells.append(number("p_adjusted", found[2].get("p_adjusted"), decimals))
    if told.unit:
        raw = told.raw.get((models[2], term), {})
        cells.append(
            number("estimate", raw.get("estimate"), _decimals(told.raw.values()), strong=is_sure(raw))
        )
    some = next((r["n_informative"] for r in found if r.get("n_informative") is not None), None)
    cells.append(number("n_informative", some, decimals))
    flag = next((row["flag"] for row in found if row.get("flag") is not None), None)
    return [*cells, alpha_cell(term, alphas, flag)] if alphas else cells


def leading_outcome(shift: pl.DataFrame) -> str | None:
    """The outcome of Eq. 2 that is told: a margin's change; None where there is none."""
    there = set(shift["outcome"]) if "outcome" in shift.columns else set()
    return next((o for o in OUTCOME_WORDS if o in there), None)


def margins_first(shift: pl.DataFrame) -> pl.DataFrame:
    """Eq. 2 with the margins before the outcomes that depend on the origin of the rewards."""
    order = {o: i for i, o in enumerate(OUTCOMES)}
    place = pl.col("outcome").replace_strict(order, default=len(order), return_dtype=pl.Int64)
    return shift.sort(place, maintain_order=True) if "outcome" in shift.columns else shift


def shift_overview(shift: pl.DataFrame, *, level: float, labels: str) -> TableView | None:
    """What moves the margin, one row a feature, the largest effect first; None without such an outcome."""
    outcome = leading_outcome(shift)
    if outcome is None:
        return None
    rows = [r for r in shift.filter(outcome=outcome).to_dicts() if r.get("preference")]
    by = {(str(r["term"]), str(r["preference"])): r for r in rows}
    terms = dict.fromkeys(str(r["term"]) for r in rows)
    sides = ("chosen", "rejected")
    ordered = sorted(terms, key=lambda t: (-max(abs(_estimate(by.get((t, s)))) for s in sides), t))
    decimals, ends = _decimals(rows), interval_heading(level)
    columns = [("feature", "name")]
    for side in sides:
        columns += numbers(f"on the {side} text", ends, "adjusted p")
    cells: list[list[object]] = []
    for term in ordered[:SHOWN_ROWS]:
        line: list[object] = [term]
        for row in (by.get((term, s), {}) for s in sides):
            line.append(number("estimate", row.get("estimate"), decimals, strong=is_sure(row)))
            line.append(interval(row.get("conf_low"), row.get("conf_high"), decimals))
            line.append(number("p_adjusted", row.get("p_adjusted"), decimals))
        cells.append(line)
    note = f"Change of {OUTCOME_WORDS[outcome]}, for each feature, the largest first. {SURE} {labels}"
    view = derived("overview-shift", "What moved the margin", note.strip(), columns, cells)
    return replace(view, n_rows=len(terms))


def _decimals(rows: Any) -> int:
    return decimals_for([float(r["std_error"]) for r in rows if r.get("std_error") is not None])


def _estimate(row: Row | None) -> float:
    value = row.get("estimate") if row else None
    return float(value) if isinstance(value, int | float) else -1.0
