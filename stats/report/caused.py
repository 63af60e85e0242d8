"""What a change of one attribute does to the reward, beside what goes with it in pairs as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from seal.stats.report.captions import SURE
from seal.stats.report.overview import told_imprint
from seal.stats.report.standing import has_rows
from seal.stats.report.tables import (
    TableView,
    derived,
    interval,
    interval_heading,
    is_sure,
    number,
    numbers,
)
from seal.stats.report.text import brief, decimals_for, fixed, listed, words

Row = Mapping[str, Any]
_NAMED = 3
_STD = ("estimate", "std_error", "p_value", "p_adjusted", "conf_low", "conf_high")


@dataclass(frozen=True)
class Caused:
    """One attribute and one model (or the contrast of both), in SDs of the model's own margins.

    Attributes:
        model, feature, value, baseline: what the row is of.
        row: the effect of the value over the texts that were rewritten (`ate`, main line).
        observed: the imprint of the same difference in pairs as they are; None where it is not estimated.
        naive: what a single rewriting gives.
    """

    model: str
    feature: str
    value: str
    baseline: str
    row: Row
    observed: Row | None
    naive: Row | None

    @property
    def name(self) -> str:
        """As read beside a line: the feature, and the value where it is no boolean."""
        return self.feature if self.value == "true" else f"{self.feature}: {self.value}"


def caused(tables: Mapping[str, pl.DataFrame], models: Sequence[str]) -> list[Caused]:
    """Every effect that is estimated, the largest of any model first, models in the order given."""
    if not has_rows(tables, "causal"):
        return []
    rows = {
        (r["estimand"], r["model"], r["feature"], r["value"]): {**r, **{c: r[f"{c}_std"] for c in _STD}}
        for r in tables["causal"].to_dicts()
        if r["line"] == "main"
    }
    imprint = told_imprint(tables)
    found = [
        Caused(
            model, feature, value, row["baseline"], row, _observed(imprint.rows, row),
            rows.get(("naive", model, feature, value)),
        )
        for (estimand, model, feature, value), row in rows.items()
        if estimand == "ate" and model in models and row["estimate"] is not None
    ]  # fmt: skip
    largest: dict[str, float] = {}
    for one in found:
        largest[one.name] = max(abs(one.row["estimate"]), largest.get(one.name, 0.0))
    return sorted(found, key=lambda x: (-largest[x.name], x.name, models.index(x.model)))


def _observed(imprint: Mapping[tuple[str, str], Row], row: Row) -> Row | None:
    """The imprint of the same difference: of the category, or of a feature coded -1, 0, 1, turned for -1."""
    model, feature, value = row["model"], row["feature"], row["value"]
    if (found := imprint.get((model, f"{feature}={value}"))) is not None:
        return found
    found = imprint.get((model, feature))
    if found is None or value != "negative" or found["estimate"] is None:
        return found
    ends = {"conf_low": _minus(found["conf_high"]), "conf_high": _minus(found["conf_low"])}
    return {**found, "estimate": -found["estimate"], **ends}


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def caused_table(found: Sequence[Caused], *, level: float) -> TableView:
    """Caused and observed side by side, a row an attribute and model."""
    ends = interval_heading(level)
    columns = [("feature", "name"), ("value", "text"), ("instead of", "text"), ("model", "name")]
    columns += numbers("caused, SD", ends, "adjusted p", "observed, SD", ends, "single rewriting, SD")
    columns += numbers("texts", "left out")
    errors = [x.row["std_error"] for x in found if x.row["std_error"] is not None]
    decimals = decimals_for(errors)
    rows = [
        [x.feature, x.value, x.baseline, x.model,
         number("estimate", x.row["estimate"], decimals, strong=is_sure(x.row)),
         interval(x.row["conf_low"], x.row["conf_high"], decimals),
         number("p_adjusted", x.row["p_adjusted"], decimals),
         *_beside(x.observed, decimals),
         number("estimate", None if x.naive is None else x.naive["estimate"], decimals),
         number("n_texts", x.row["n_texts"], 0), number("n_left_out", x.row["n_left_out"], 0)]
        for x in found
    ]  # fmt: skip
    note = (
        "Caused: the mean change of the reward where a response was rewritten to have the value and not to "
        "have it, all else as the rewriter left it; an experiment. Observed: the imprint, an association in "
        f"pairs as they are. A single rewriting mixes in what rewriting does by itself. {SURE}"
    )
    return derived("overview-causal", "What an attribute causes, beside its imprint", note, columns, rows)


def _beside(row: Row | None, decimals: int) -> list[object]:
    if row is None:
        return [None, None]
    return [
        number("estimate", row["estimate"], decimals, strong=is_sure(row)),
        interval(row["conf_low"], row["conf_high"], decimals),
    ]


def caused_sentences(tables: Mapping[str, pl.DataFrame], models: Sequence[str]) -> tuple[str, ...]:
    """The largest effects of the last model, and what a rewriting with no aim does to it."""
    model = models[-1]
    found = [x for x in caused(tables, models) if x.model == model]
    decimals = decimals_for([x.row["std_error"] for x in found if x.row["std_error"] is not None])

    def said(one: Caused) -> str:
        effect = fixed(one.row["estimate"], decimals, sign=True)
        low, high = one.row["conf_low"], one.row["conf_high"]
        ends = "" if low is None else f", {fixed(low, decimals)} to {fixed(high, decimals)}"
        seen = None if one.observed is None else one.observed["estimate"]
        beside = "" if seen is None else f"; observed {fixed(seen, decimals, sign=True)} SD"
        return f"“{brief(words(one.name))}” ({effect} SD{ends}{beside})"

    sure = [said(x) for x in found if is_sure(x.row)][:_NAMED]
    does = f": {listed(sure)}" if sure else " by nothing significant"
    changes = f"Changing one attribute of a response changes the reward of {brief(model)}{does}."
    return (*[changes] * bool(found), *_placebo(tables, model))


def _placebo(tables: Mapping[str, pl.DataFrame], model: str) -> list[str]:
    if not has_rows(tables, "causal"):
        return []
    rows = tables["causal"].filter(estimand="placebo", line="main", model=model).to_dicts()
    return [
        f"A rewriting with no aim alone changes it by {fixed(r['estimate_std'], 2, sign=True)} SD "
        f"({fixed(r['conf_low_std'], 2)} to {fixed(r['conf_high_std'], 2)})."
        for r in rows
        if r["estimate_std"] is not None and r["conf_low_std"] is not None
    ]
