"""What gold tells of the labels: how often they err, and how much that moves the coefficients."""

from typing import Any

import polars as pl

from seal.stats.report.standing import COEFFICIENTS, best, corrected_by, has_rows
from seal.stats.report.text import brief, count, fixed, listed, p_value, percent, words
from seal.stats.results import Results

_SLOPE, _HAUSMAN = "naive_slope_", "hausman"
_KINDS = (("false_positive_rate", "invents", "without"), ("false_negative_rate", "misses", "with"))
_EQUATIONS = {
    "imprint": "Eq. 1", "resistance": "Eq. 3", "human": "what people and models pay",
    "human_people": "what people pay", "human_model": "what models pay",
}  # fmt: skip


def label_error_sentences(results: Results) -> tuple[str, ...]:
    """Error rates, what corrected and from what, the naive slope and Hausman's test; nothing without gold."""
    said = [*_rates(results), *_corrections(results), *_slopes(results), *_hausman(results)]
    return (" ".join(said),) if said else ()


def _rates(results: Results) -> list[str]:
    """The features in which the labeler errs most, over both sides and all sources."""
    if not has_rows(results.tables, "label_errors"):
        return []
    rows = [
        r
        for r in results.tables["label_errors"].to_dicts()
        if r.get("side") == "all" and r.get("source") == "all"
    ]
    said = []
    for labeler in dict.fromkeys(str(r["labeler"]) for r in rows):
        mine = [r for r in rows if r["labeler"] == labeler]
        found = [w for w in (_worst(mine, *kind) for kind in _KINDS) if w]
        n = max(int(r.get("n_gold") or 0) for r in mine)
        if found:
            judge = f"On {count(n)} gold texts" if n else "As the labelers' disagreement tells"
            said.append(f"{judge}, {brief(labeler)} {' and '.join(found)}.")
    return said


def _worst(rows: list[dict[str, Any]], rate: str, verb: str, where: str) -> str:
    """The feature of the largest rate, as a clause; empty where no rate is known."""
    known = [r for r in rows if r.get(rate) is not None]
    if not known:
        return ""
    row = max(known, key=lambda r: float(r[rate]))
    feature = f"“{brief(words(row['feature']))}”"
    return f"{verb} {feature} most, in {percent(row[rate])} of the texts {where} it"


def _corrections(results: Results) -> list[str]:
    """By what each equation is corrected; said once where all agree."""
    by: dict[str, list[str]] = {}
    for name in COEFFICIENTS:
        if (table := best(results.tables, name)) != name:
            by.setdefault(corrected_by(results.tables[table], results.settings), []).append(_EQUATIONS[name])
    return [f"Corrected ({how}): {listed(what)}." for how, what in by.items()]


def _slopes(results: Results) -> list[str]:
    """The naive coefficients' slope on the corrected ones: below 1, label errors make them too small."""
    by: dict[str, list[str]] = {}
    for row in _tests(results, _SLOPE):
        if row["statistic"] is not None:
            said = f"{fixed(row['statistic'], 2)} ({brief(row['group'])})"
            by.setdefault(str(row["test"]).removeprefix(_SLOPE), []).append(said)
    if not by:
        return []
    each = [f"{_EQUATIONS.get(name, brief(name))} {listed(found)}" for name, found in by.items()]
    return [
        "Coefficients with labels taken as true are so many times the corrected ones (slope): "
        f"{'; '.join(each)}."
    ]


def _hausman(results: Results) -> list[str]:
    """Hausman's test of errors that go with the rewards."""
    rows = [r for r in _tests(results, _HAUSMAN) if r["p_value"] is not None]
    if not rows:
        return []
    each = listed([f"p {p_value(r['p_value'])} ({brief(r['group'])})" for r in rows])
    return [f"Hausman's test that the labels' errors do not go with the rewards: {each}."]


def _tests(results: Results, start: str) -> list[dict[str, Any]]:
    frame = results.tables.get("tests", pl.DataFrame())
    if not {"test", "group", "statistic", "p_value"} <= set(frame.columns):
        return []
    return frame.filter(pl.col("test").str.starts_with(start)).to_dicts()
