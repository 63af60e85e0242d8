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


def beside_truth(tables: Mapping[str, pl.DataFrame], truth: pl.DataFrame, level: float) -> Beside:
    """Imprints with labels taken as true and corrected ones, each beside its planted value, on one scale.

    Planted values may be log odds, and rewards have a scale that training does not fix. So each model's
    estimates are divided by their slope on the planted values (weighted least squares through the origin):
    the table is in the planted values' unit, and an interval judges the pattern, not the scale. A model of
    fewer than three planted terms, or without a positive slope, stays in its own unit.

    Args:
        tables: `imprint`, and `imprint_corrected` where there is one.
        truth: see `read_truth`; what was not planted is left out.
        level: of the intervals.
    """
    planted = [(str(r["model"]), str(r["term"]), r["planted"]) for r in truth.to_dicts()]
    columns_of = {"labels taken as true": _scaled(tables.get("imprint"), planted)}
    if "imprint_corrected" in tables and tables["imprint_corrected"].height:
        columns_of["corrected"] = _scaled(tables["imprint_corrected"], planted)
    decimals = _decimals([r for column in columns_of.values() for r in column.rows.values()])
    ends = set(_ENDS) <= set(truth.columns)
    columns = [("feature", "name"), ("model", "name"), *numbers("planted")]
    for said in columns_of:
        columns += [*numbers(said, interval_heading(level)), ("holds the planted value", "text")]
    columns += numbers("interval on the true labels") if ends else []
    cells = []
    for (model, term, value), row in zip(planted, truth.to_dicts(), strict=True):
        line = [term, model, _fixed(value, decimals)]
        for column in columns_of.values():
            found = column.rows.get((model, term), {})
            line += [_fixed(found.get("estimate"), decimals),
                     _interval(found.get("conf_low"), found.get("conf_high"), decimals),
                     _yes(_holds(found, value))]  # fmt: skip
        cells.append([*line, _interval(row["low"], row["high"], decimals)] if ends else line)
    note = (
        "Imprints (Eq. 1) in the unit of the planted values: each model's estimates, and their intervals, "
        "are divided by their slope on the planted values, which spends one of its terms."
    )
    table = derived("beside-truth", "Estimates beside the planted truth", note, columns, cells)
    models = dict.fromkeys(model for model, _, _ in planted)
    sentences = [_agreement(m, planted, columns_of) for m in models]
    return Beside(tuple(s for s in sentences if s), table)


@dataclass(frozen=True)
class _Scaled:
    """Estimates in the planted values' unit.

    Attributes:
        rows: (model, term) -> its row, divided by the model's slope.
        slopes: model -> what its rows were divided by; none where they stand in their own unit.
    """

    rows: Mapping[tuple[str, str], Mapping[str, Any]]
    slopes: Mapping[str, float]


_FEWEST = 3  # with fewer planted terms a slope leaves too little to judge
_TOGETHER = ("estimate", "std_error", "conf_low", "conf_high")


def _scaled(frame: pl.DataFrame | None, planted: Sequence[tuple[str, str, float | None]]) -> _Scaled:
    rows = {} if frame is None else {(str(r["model"]), str(r["term"])): r for r in frame.to_dicts()}
    slopes = {}
    for model in dict.fromkeys(m for m, _, _ in planted):
        slope = _slope([(v, rows.get((m, t), {})) for m, t, v in planted if m == model])
        if slope is not None:
            slopes[model] = slope
    scaled = {
        (m, t): {c: None if r[c] is None else r[c] / slopes.get(m, 1.0) for c in _TOGETHER}
        for (m, t), r in rows.items()
    }
    return _Scaled(scaled, slopes)


def _slope(rows: Sequence[tuple[float | None, Mapping[str, Any]]]) -> float | None:
    """Of estimates on planted values through the origin, weighted by precision; None without a scale."""
    known = [
        (p, r["estimate"], r["std_error"])
        for p, r in rows
        if p is not None and r.get("estimate") is not None and (r.get("std_error") or 0.0) > 0
    ]
    if len(known) < _FEWEST:
        return None
    value, estimate, error = np.array(known).T
    if not (size := float(np.sum((value / error) ** 2))):
        return None
    slope = float(np.sum(value * estimate / error**2)) / size
    return slope if slope > 0 else None


def _agreement(
    model: str, planted: Sequence[tuple[str, str, float | None]], columns: Mapping[str, _Scaled]
) -> str:
    """How closely the estimates of one model follow what was planted, and on what scale."""
    parts = []
    for said, column in columns.items():
        pairs = [(v, column.rows.get((m, t), {})) for m, t, v in planted if m == model]
        pairs = [(v, r) for v, r in pairs if v is not None and r.get("estimate") is not None]
        if len(pairs) < 2:
            continue
        held = sum(_holds(r, v) is True for v, r in pairs)
        facts = [_scale_said(column.slopes.get(model))]
        value, found = np.array([v for v, _ in pairs]), np.array([r["estimate"] for _, r in pairs])
        if value.std() > 0 and found.std() > 0:
            facts.append(f"correlation {fixed(float(np.corrcoef(value, found)[0, 1]), 3)}")
        parts.append(f"{said}, {held} of {len(pairs)} intervals hold the planted value ({', '.join(facts)})")
    return f"{visible(model)}: {'; '.join(parts)}." if parts else ""


def _scale_said(slope: float | None) -> str:
    return "in their own unit" if slope is None else f"after division by their slope, {fixed(slope, 2)}"


def beside_results(results: Results, other: Results, name: str, level: float) -> Beside:
    """The imprints of two analyses of the same models, on other labels say, row by row, in reward units.

    Where this analysis is corrected, the corrected values stand between.
    """
    theirs = _by_row(other.tables["imprint"])
    ours = _by_row(results.tables["imprint"])
    corrected = _by_row(results.tables.get("imprint_corrected", pl.DataFrame()))
    decimals = _decimals([*ours.values(), *corrected.values(), *theirs.values()])
    shown, interval = visible(name), interval_heading(level)
    own = {"labels taken as true": ours} | ({"corrected": corrected} if corrected else {})
    columns = [("feature", "name"), ("model", "name")]
    for said in own:
        columns += [*numbers(said, interval), (f"holds that of {shown}", "text")]
    columns += numbers(shown, f"{interval}, {shown}")
    cells = []
    for key in ours:
        their = theirs.get(key, {})
        line: list[object] = [key[1], key[0]]
        for rows in own.values():
            row = rows.get(key, {})
            line += [*_estimated(row, decimals), _yes(_holds(row, their.get("estimate")))]
        cells.append([*line, *_estimated(their, decimals)])
    sentences = [_held(said, rows, theirs, shown) for said, rows in own.items()]
    title = f"Feature imprint beside that of {shown}"
    table = derived("beside-results", title, "Eq. 1, the same models, in reward units.", columns, cells)
    return Beside(tuple(sentences), table)


_Rows = Mapping[tuple[str, str], Mapping[str, Any]]


def _by_row(frame: pl.DataFrame) -> _Rows:
    return {(str(r["model"]), str(r["term"])): r for r in frame.to_dicts()}


def _held(said: str, rows: _Rows, theirs: _Rows, shown: str) -> str:
    known = [
        (r, theirs[k]["estimate"]) for k, r in rows.items()
        if k in theirs and theirs[k]["estimate"] is not None and r["conf_low"] is not None
    ]  # fmt: skip
    held = sum(_holds(r, value) is True for r, value in known)
    return f"{said.capitalize()}: {held} of {len(known)} intervals hold the estimate of {shown}."


def _estimated(row: Mapping[str, Any], decimals: int) -> list[str | None]:
    ends = _interval(row.get("conf_low"), row.get("conf_high"), decimals)
    return [_fixed(row.get("estimate"), decimals), ends]


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
