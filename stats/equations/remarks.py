"""What is said of result tables as a whole: doubtful coefficients, families, the fate of regressors."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import polars as pl

from seal.stats.labelers import measures
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.two_sided import Column
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import FEW_INFORMATIVE, Rows, n_families

AGREE_LITTLE = "labelers agree little"
Verdicts = Sequence[tuple[Regressor | Column, Verdict]]


def flagged(tables: dict[str, pl.DataFrame], doubtful: dict[str, float]) -> dict[str, pl.DataFrame]:
    """Mark the coefficients of features on which labelers agree too little, or that little gold tells of."""
    out = dict(tables)
    for name, table in tables.items():
        if "term" in table.columns and ("estimate" in table.columns or name.startswith("human")):
            out[name] = table.with_columns(pl.Series("flag", _flags(table, doubtful), dtype=pl.String))
    return out


def _flags(table: pl.DataFrame, doubtful: Mapping[str, float]) -> list[str | None]:
    """A remark on each coefficient, or None; corrected ones do not rest on how far labelers agree."""
    if "n_gold_informative" in table.columns:
        gold = table["n_gold_informative"]
        few = [n is not None and n < FEW_INFORMATIVE for n in gold]
        return [f"differs in {n} gold pairs only" if f else None for n, f in zip(gold, few, strict=True)]
    alphas = [measures.alpha_of(term, doubtful) for term in table["term"]]
    return [None if a is None else f"{AGREE_LITTLE}: alpha {a:.2f}" for a in alphas]


def family_note(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """How many families of hypotheses a reader scans."""
    n = n_families(tables)
    if n < 2:
        return []
    return [
        f"p-values are adjusted within each of {n} families (the features of one equation and model, or "
        "outcome), not over them: who scans every table scans all of these"
    ]


VIF: dict[str, pl.DataType] = {
    "equation": pl.String(), "term": pl.String(), "vif": pl.Float64(), "kept": pl.Boolean(),
    "reason": pl.String(), "preference": pl.String(), "flip": pl.String(),
}  # fmt: skip


def vif_table(inputs: Inputs, verdicts: Mapping[str, Verdicts]) -> pl.DataFrame:
    """Every regressor of every equation: its VIF, and why it does not enter where it does not."""
    rows: Rows = [
        {"equation": equation, **column.key, **asdict(verdict)}
        for equation, judged in verdicts.items()
        for column, verdict in judged
    ]
    if inputs.features is not None:
        rows += [
            {"equation": "all", "term": name, "kept": False, "reason": reason}
            for name, reason in inputs.features.left_out.items()
        ]
    return pl.DataFrame(rows, schema=VIF)
