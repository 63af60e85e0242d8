"""Estimates beside what is known to be true, or beside another analysis of the same models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.schema import readable
from seal.stats.report.tables import TableView, derived, interval_heading, numbers
from seal.stats.report.text import decimals_for, fixed, visible
from seal.stats.results import Results

_NEEDED = ("model", "term", "planted")
_ENDS = ("low", "high")


@dataclass(frozen=True)
class Beside:
    """One table of estimates beside others, and what it comes to."""

    sentences: tuple[str, ...]
    table: TableView


def read_truth(path: Path) -> pl.DataFrame:
    """Planted coefficients: `model`, `term`, `planted`, and maybe `low`, `high`.

    `low` and `high` are the ends of an interval that the same regression gives on the true labels.

    Raises:
        InputError: the file cannot be read, a column is missing or holds no numbers.
    """
    with readable(path):
        frame = pl.read_csv(path, infer_schema_length=0)
    if missing := [c for c in _NEEDED if c not in frame.columns]:
        raise InputError(f"{path}: no column {', '.join(missing)}; planted truth has {', '.join(_NEEDED)}")
    numbers = [c for c in ("planted", *_ENDS) if c in frame.columns]
    try:
        return frame.select("model", "term", *(pl.col(c).cast(pl.Float64) for c in numbers))
    except pl.exceptions.InvalidOperationError as error:
        raise InputError(f"{path}: {str(error).splitlines()[0]}") from None


def beside_truth(imprint: pl.DataFrame, truth: pl.DataFrame, level: float) -> Beside:
    """Each imprint beside its planted value; those that were not planted are left out."""
    estimates = {(str(r["model"]), str(r["term"])): r for r in imprint.to_dicts()}
    rows = [(r, estimates.get((str(r["model"]), str(r["term"])), {})) for r in truth.to_dicts()]
    ends = set(_ENDS) <= set(truth.columns)
    decimals = _decimals([found for _, found in rows])
    columns = [("feature", "name"), ("model", "name")]
    columns += numbers("planted", "estimate", interval_heading(level))
    columns += [("interval holds the planted value", "text")]
    columns += numbers("interval on the true labels") if ends else []
    cells = []
    for planted, found in rows:
        row = [
            planted["term"], planted["model"], _fixed(planted["planted"], decimals),
            _fixed(found.get("estimate"), decimals),
            _interval(found.get("conf_low"), found.get("conf_high"), decimals),
            _yes(_holds(found, planted["planted"])),
        ]  # fmt: skip
        cells.append([*row, _interval(planted["low"], planted["high"], decimals)] if ends else row)
    note = "Imprints (Eq. 1) beside the values planted in the data; both may be in units of their own."
    table = derived("beside-truth", "Estimates beside the planted truth", note, columns, cells)
    sentences = [
        _agreement(str(m), [(p["planted"], f) for p, f in rows if p["model"] == m])
        for m in dict.fromkeys(r["model"] for r in truth.to_dicts())
    ]
    return Beside(tuple(s for s in sentences if s), table)


def _agreement(model: str, rows: Sequence[tuple[float | None, Mapping[str, Any]]]) -> str:
    """How closely the estimates of one model follow what was planted, and on what scale."""
    pairs = [(p, f) for p, f in rows if p is not None and f.get("estimate") is not None]
    if len(pairs) < 2:
        return ""
    planted = np.array([p for p, _ in pairs])
    found = np.array([f["estimate"] for _, f in pairs])
    held = sum(_holds(f, p) is True for p, f in pairs)
    scale = float(planted @ found / (planted @ planted)) if planted.any() else None
    straight = planted.std() > 0 and found.std() > 0
    parts = [f"{visible(model)}: {held} of {len(pairs)} intervals hold the planted value"]
    if scale is not None:
        parts.append(f"estimates are {fixed(scale, 2)} times what was planted (least squares)")
    if straight:
        parts.append(f"their correlation with it is {fixed(float(np.corrcoef(planted, found)[0, 1]), 3)}")
    return "; ".join(parts) + "."


def beside_results(results: Results, other: Results, name: str, level: float) -> Beside:
    """The imprints of two analyses of the same models, on other labels say, row by row."""
    theirs = {(str(r["model"]), str(r["term"])): r for r in other.tables["imprint"].to_dicts()}
    ours = results.tables["imprint"].to_dicts()
    rows = [(r, theirs.get((str(r["model"]), str(r["term"])), {})) for r in ours]
    decimals = _decimals([*ours, *theirs.values()])
    shown = visible(name)
    interval = interval_heading(level)
    columns = [("feature", "name"), ("model", "name")]
    columns += numbers("estimate", interval, shown, f"{interval}, {shown}")
    columns += [(f"interval holds that of {shown}", "text")]
    cells = [
        (r["term"], r["model"], _fixed(r["estimate"], decimals),
         _interval(r["conf_low"], r["conf_high"], decimals), _fixed(t.get("estimate"), decimals),
         _interval(t.get("conf_low"), t.get("conf_high"), decimals), _yes(_holds(r, t.get("estimate"))))
        for r, t in rows
    ]  # fmt: skip
    known = [(r, t) for r, t in rows if t.get("estimate") is not None and r["conf_low"] is not None]
    held = sum(_holds(r, t["estimate"]) is True for r, t in known)
    sentence = f"{held} of {len(known)} intervals hold the estimate of {shown}."
    title = f"Feature imprint beside that of {shown}"
    table = derived("beside-results", title, "Eq. 1, the same models.", columns, cells)
    return Beside((sentence,), table)


def _decimals(rows: Sequence[Mapping[str, Any]]) -> int:
    return decimals_for([r["std_error"] for r in rows if r.get("std_error") is not None])


def _holds(row: Mapping[str, Any], value: float | None) -> bool | None:
    low, high = row.get("conf_low"), row.get("conf_high")
    return None if low is None or high is None or value is None else bool(low <= value <= high)


def _yes(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _fixed(value: float | None, decimals: int) -> str | None:
    return None if value is None else fixed(value, decimals)


def _interval(low: float | None, high: float | None, decimals: int) -> str | None:
    return None if low is None or high is None else f"{fixed(low, decimals)} to {fixed(high, decimals)}"
