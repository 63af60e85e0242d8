"""Tables of what people and models pay, plain and corrected, as an analysis with gold writes them.

The numbers are made by rule: what the tests quote can be worked out by hand. They stand in for no estimate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from benchmarks.statistics_worlds import TERMS
from seal.stats.results import read, write

_POST = dict(
    zip(TERMS, [(1.2, 1.9), (0.9, 0.5), (0.4, 0.45), (0.6, -0.5), (-0.5, -0.9), (0.3, 0.25)], strict=True)
)
_PRE = dict(
    zip(TERMS, [(1.2, 0.6), (0.9, 0.8), (0.4, 0.3), (0.6, 0.9), (-0.5, -0.4), (0.3, 0.0)], strict=True)
)
PAID = {("pre", t): v for t, v in _PRE.items()} | {("post", t): v for t, v in _POST.items()}
HALF = 0.2  # half width of every interval in log odds
ATTENUATED = 0.6  # labels taken as true give so much of what is corrected
N_GOLD = 300


def human(
    paid: Mapping[tuple[str, str], tuple[float, float]],
    *,
    of: float = 1.0,
    points: float = 0.15,
    sure: float = 0.001,
) -> pl.DataFrame:
    """Rows of `human.csv`.

    Args:
        paid: (model, term) -> what people pay and what the model pays, in log odds.
        of: what both are multiplied by.
        points: what log odds are multiplied by for points; a negative one makes points disagree.
        sure: adjusted p of a difference of more than 0.3 log odds; of a smaller one it is 0.4.
    """
    rows = []
    for scale, times in (("log_odds", of), ("points", of * points)):
        for (model, term), (people, rm) in paid.items():
            width, difference = HALF * abs(times), (rm - people) * times
            row: dict[str, object] = {"model": model, "term": term, "scale": scale}
            for name, value in (("human", people * times), ("rm", rm * times)):
                row |= {name: value, f"{name}_low": value - width, f"{name}_high": value + width}
            p = sure if abs(rm - people) > 0.3 else 0.4
            row |= {"difference": difference, "std_error": width / 2, "p_value": p / 4, "p_adjusted": p}
            row |= {"conf_low": difference - width, "conf_high": difference + width, "n_informative": 420}
            rows.append(row)
    return pl.DataFrame(rows)


def human_corrected(naive: pl.DataFrame, corrected: pl.DataFrame, method: str = "rectified") -> pl.DataFrame:
    """Rows of `human_corrected.csv`."""
    beside = naive.select("model", "term", "scale", naive_difference="difference")
    return _gold(corrected.join(beside, on=["model", "term", "scale"], maintain_order="left"), method)


def in_sds(imprint: pl.DataFrame, sds: Mapping[str, float]) -> pl.DataFrame:
    """`imprint.csv` with the standardised columns: each row divided by the SD of its model's margins."""
    sd = pl.col("model").replace_strict(dict(sds), return_dtype=pl.Float64)
    ends = {f"{c}_std": pl.col(c) / sd for c in ("estimate", "std_error", "conf_low", "conf_high")}
    return imprint.with_columns(**ends, p_value_std="p_value", p_adjusted_std="p_adjusted")


def corrected(table: pl.DataFrame, method: str = "rectified", times: float = 1 / ATTENUATED) -> pl.DataFrame:
    """A corrected table beside `imprint.csv` or `resistance.csv`: every estimate times a factor."""
    moved = [c for c in table.columns if c.removesuffix("_std") in ("estimate", "conf_low", "conf_high")]
    return _gold(table.with_columns(pl.col(moved) * times, naive_estimate="estimate"), method)


def label_errors(features: Sequence[str], labeler: str = "truth") -> pl.DataFrame:
    """Rows of `label_errors.csv`: feature i is invented in 2 + i and missed in 3 + 2 i of a hundred texts."""
    rows = []
    for side in ("all", "chosen", "rejected"):
        for i, feature in enumerate(features):
            row: dict[str, object] = {"labeler": labeler, "feature": feature, "side": side, "source": "all"}
            row["n_gold"] = 2 * N_GOLD if side == "all" else N_GOLD
            for name, rate in (
                ("false_positive_rate", 0.02 + i / 100), ("false_negative_rate", 0.03 + i / 50),
            ):  # fmt: skip
                row |= {name: rate, f"{name}_conf_low": rate / 2, f"{name}_conf_high": rate * 2}
            rows.append(row | {"kappa": 0.8})
    return pl.DataFrame(rows)


def rows_of_tests(
    models: Sequence[str], *, proportional: float = 0.001, corrected: bool = True
) -> list[dict[str, object]]:
    """Rows of `tests.csv` that belong to these tables."""
    end = "_corrected" if corrected else ""
    rows: list[dict[str, object]] = []
    for model in models:
        for test, p in (("human_equals_rm", 0.0001), ("human_proportional", proportional)):
            rows.append({"test": test + end, "group": model, "statistic": 30.0, "p_value": p, "n": 900})
    if corrected:
        rows += [
            {"test": "naive_slope_imprint", "group": m, "statistic": ATTENUATED, "p_value": None, "n": N_GOLD}
            for m in models
        ]
        rows.append({"test": "hausman", "group": models[0], "statistic": 7.0, "p_value": 0.42, "n": N_GOLD})
    return rows


def with_people(
    results: Path,
    paid: Mapping[tuple[str, str], tuple[float, float]],
    *,
    gold: bool = True,
    points: float = 0.15,
    proportional: float = 0.001,
) -> None:
    """Put such tables into a results folder; its models and terms are those of `paid`.

    Args:
        results: a folder of `make_results`.
        paid: see `human`; the corrected prices, of which labels taken as true give ATTENUATED.
        gold: whether they were corrected; without it `paid` is multiplied all the same.
        points: see `human`.
        proportional: p of the test that one factor explains all.
    """
    found = read(results)
    models = [str(found.settings[m]) for m in ("pre", "post")]
    naive = human(paid, of=ATTENUATED, points=points)
    sds = {models[0]: 2.0, models[1]: 4.0, f"{models[1]}-{models[0]}": 1.0}
    tables = {"human": naive, "imprint": in_sds(found.tables["imprint"], sds)}
    if gold:
        tables |= {
            "human_corrected": human_corrected(naive, human(paid, points=points)),
            "imprint_corrected": corrected(tables["imprint"]),
            "resistance_corrected": corrected(found.tables["resistance"]),
            "label_errors": label_errors(list(dict.fromkeys(t for _, t in paid))),
        }
    rows = rows_of_tests(models, proportional=proportional, corrected=gold)
    tests = pl.DataFrame(rows, schema=found.tables["tests"].schema)
    tables |= {"tests": pl.concat([found.tables["tests"], tests])}
    options = found.settings | {"gold": "people" if gold else None, "theta_origin": "centred"}
    write(replace(found, tables={**found.tables, **tables}, options=options), results)


def _gold(table: pl.DataFrame, method: str) -> pl.DataFrame:
    return table.with_columns(method=pl.lit(method), n_gold=pl.lit(N_GOLD), n_gold_informative=pl.lit(77))
