"""Double rewritings: every estimand by hand, errors by clusters, planted effects, what is left out."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from benchmarks.causal import estimated
from benchmarks.causal_worlds import LONG, TARGETS, TONE, World, truth, world
from seal.engine.errors import InputError
from seal.engine.frames import contrasts

POST = "post"


@pytest.fixture(scope="module")
def w() -> World:
    return world(200, np.random.default_rng(5))


@pytest.fixture(scope="module")
def table(w: World) -> pl.DataFrame:
    return estimated(w)


def texts_by_hand(w: World, model: str) -> dict[tuple[int, str], dict[str, float]]:
    """(row_id, side) -> variant -> reward."""
    found: dict[tuple[int, str], dict[str, float]] = {}
    for frame in (w.scores, w.rewritten_scores):
        for row in frame.filter(model=model).iter_rows(named=True):
            found.setdefault((row["row_id"], row["preference"]), {})[row["variant"]] = row["reward"]
    return found


def labels_by_hand(w: World) -> dict[tuple[int, str, str], dict[str, object]]:
    key = ("row_id", "preference", "variant")
    frames = pl.concat([w.labels, w.rewritten_labels])
    return {tuple(row[k] for k in key): row for row in frames.iter_rows(named=True)}


def by_hand(w: World, model: str, line: str) -> dict[str, list[tuple[int, float]]]:
    """Estimand of the tone -> (group, difference) of each text, from nothing but the definition."""
    rewards, labels = texts_by_hand(w, model), labels_by_hand(w)
    found: dict[str, list[tuple[int, float]]] = {}
    for (row_id, side), r in rewards.items():
        own = labels[row_id, side, "original"]
        has = own[TONE] == "positive"
        away, home = ("neutral", "positive") if has else ("positive", "neutral")
        first, second = (f"{step}:{TONE}={away}" for step in ("toward", "back"))
        same = [all(labels[row_id, side, v][f] == own[f] for f in TARGETS) for v in (first, second)]
        reached = [labels[row_id, side, v][TONE] == x for v, x in ((first, away), (second, home))]
        every = line == "intention_to_treat"
        group = row_id // 2
        if every or (all(same) and all(reached)):
            estimand, sign = ("att", 1) if has else ("atu", -1)
            d = sign * (r[second] - r[first])
            found.setdefault(estimand, []).append((group, d))
            found.setdefault("ate", []).append((group, d))
        if every or (same[0] and reached[0]):
            found.setdefault("naive", []).append((group, (1 if has else -1) * (r["original"] - r[first])))
        placebo = labels[row_id, side, "placebo"]
        if every or all(placebo[f] == own[f] for f in (*TARGETS, TONE, LONG)):
            found.setdefault("placebo", []).append((group, r["placebo"] - r["original"]))
    return found


def mean_and_error(found: list[tuple[int, float]]) -> tuple[float, float, int]:
    groups, d = np.array([g for g, _ in found]), np.array([x for _, x in found])
    sums = np.array([(d[groups == g] - d.mean()).sum() for g in np.unique(groups)])
    g = len(sums)
    return float(d.mean()), float(np.sqrt(g / (g - 1) * (sums**2).sum()) / len(d)), g


@pytest.mark.parametrize("line", ["main", "intention_to_treat"])
@pytest.mark.parametrize("model", ["pre", POST])
def test_every_estimand_by_hand(w: World, table: pl.DataFrame, model: str, line: str) -> None:
    rows = table.filter(
        pl.col("feature").is_null() | (pl.col("feature") == TONE), model=model, line=line
    ).rows(named=True)
    hand = by_hand(w, model, line)
    assert {r["estimand"] for r in rows} == {"att", "atu", "ate", "naive", "placebo"} == set(hand)
    for row in rows:
        mean, error, groups = mean_and_error(hand[row["estimand"]])
        # sums of some hundred doubles: twelve digits are left
        assert row["estimate"] == pytest.approx(mean, rel=1e-10)
        assert row["std_error"] == pytest.approx(error, rel=1e-8)
        assert row["n_texts"] == len(hand[row["estimand"]])
        asked = len(by_hand(w, model, "intention_to_treat")[row["estimand"]])
        assert row["n_left_out"] == asked - row["n_texts"]
        half = t.isf(0.025, groups - 1) * error
        assert (row["conf_low"], row["conf_high"]) == pytest.approx((mean - half, mean + half), rel=1e-8)


def test_the_contrast_of_models_is_in_sds_of_margins_with_their_error(w: World, table: pl.DataFrame) -> None:
    row = table.filter(model="post-pre", feature=TONE, estimand="ate", line="main").row(0, named=True)
    hand = {m: by_hand(w, m, "main")["ate"] for m in ("pre", POST)}
    wide = w.scores.pivot(on="preference", index=["row_id", "model"], values="reward")
    psi, value = {}, {}
    for m in ("pre", POST):
        margins = wide.filter(model=m).sort("row_id").select(pl.col("chosen") - pl.col("rejected"))
        x = margins.to_series().to_numpy()
        s = x.std()
        spread = ((x - x.mean()) ** 2 - s**2) / (2 * s * len(x))
        groups, d = np.array([g for g, _ in hand[m]]), np.array([v for _, v in hand[m]])
        own = np.bincount(groups, d - d.mean(), minlength=100) / len(d)
        sd = np.bincount(np.arange(200) // 2, spread, minlength=100)
        value[m], psi[m] = d.mean() / s, own / s - d.mean() / s**2 * sd
    assert row["estimate_std"] == pytest.approx(value[POST] - value["pre"], rel=1e-9)
    g = len({g for g, _ in hand[POST]})
    error = np.sqrt(g / (g - 1) * ((psi[POST] - psi["pre"]) ** 2).sum())
    assert row["std_error_std"] == pytest.approx(error, rel=1e-7)


def test_blocks_change_nothing_but_the_last_digits(w: World, table: pl.DataFrame) -> None:
    other = estimated(w, per_block=37)
    for column in table.columns:
        if table.schema[column] == pl.Float64():
            assert other[column].to_list() == pytest.approx(table[column].to_list(), rel=1e-9, abs=1e-12)
        else:
            assert other[column].equals(table[column], null_equal=True), column
    assert estimated(w).equals(table, null_equal=True)


def test_double_rewriting_finds_what_was_planted_and_a_single_one_does_not() -> None:
    """A sample of benchmarks/causal.py: 40 worlds, 95% intervals, within 3 SDs of a binomial's share."""
    planted, held = truth(), {}
    for seed in range(40):
        rows = estimated(world(100, np.random.default_rng([23, seed]))).filter(model=POST, line="main")
        for row in rows.iter_rows(named=True):
            name = row["estimand"]
            aim = planted[POST, row["feature"] or "", "ate" if name == "naive" else name]
            held.setdefault(name, []).append(row["conf_low"] <= aim <= row["conf_high"])
    share = {name: np.mean(found) for name, found in held.items()}
    for name in ("att", "atu", "ate", "placebo"):
        assert share[name] > 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(held[name])), (name, share)
    assert share["naive"] < 0.3


def test_texts_without_a_second_rewriting_stay_in_the_naive_line(w: World) -> None:
    once = replace(
        w,
        rewritten_scores=w.rewritten_scores.filter(~pl.col("variant").str.starts_with("back:")),
        rewritten_labels=w.rewritten_labels.filter(~pl.col("variant").str.starts_with("back:")),
    )
    rows = estimated(once).filter(model=POST, feature=TONE, line="intention_to_treat")
    by = {r["estimand"]: r for r in rows.iter_rows(named=True)}
    assert by["naive"]["n_texts"] == 400
    assert by["ate"]["n_texts"] == 0
    assert by["ate"]["n_left_out"] == 400
    assert by["ate"]["estimate"] is None


def test_rewards_that_are_not_finite_are_left_out(w: World) -> None:
    away = pl.col("variant").str.starts_with(contrasts.TOWARD) & (pl.col("row_id") < 10)
    broken = replace(
        w,
        rewritten_scores=w.rewritten_scores.with_columns(
            reward=pl.when(away).then(float("nan")).otherwise("reward")
        ),
    )
    row = estimated(broken).filter(model=POST, feature=LONG, estimand="ate", line="intention_to_treat")
    assert row.select("n_texts", "n_left_out").row(0) == (380, 20)


def test_both_ways_for_every_text_give_what_the_one_way_gives(w: World, table: pl.DataFrame) -> None:
    """Without labels a text is rewritten toward both values; only the one that it has not counts."""
    others = []
    for frame in (w.rewritten_scores, w.rewritten_labels):
        swapped = frame.filter(pl.col("variant").str.contains(TONE)).with_columns(
            variant=pl.when(pl.col("variant").str.ends_with("=positive"))
            .then(pl.col("variant").str.replace("=positive", "=neutral"))
            .otherwise(pl.col("variant").str.replace("=neutral", "=positive"))
        )
        others.append(pl.concat([frame, swapped]))
    both = estimated(replace(w, rewritten_scores=others[0], rewritten_labels=others[1]))
    assert both.equals(table, null_equal=True)


def test_what_cannot_be_read_is_refused(w: World) -> None:
    twice = replace(w, rewritten_scores=pl.concat([w.rewritten_scores, w.rewritten_scores.head(1)]))
    with pytest.raises(InputError, match="stands there twice"):
        estimated(twice)
    without = replace(w, rewritten_labels=w.rewritten_labels.drop(LONG))
    with pytest.raises(InputError, match=f"labels lack '{LONG}'"):
        estimated(without)
    missing = replace(w, labels=w.labels.drop(LONG))
    with pytest.raises(InputError, match=f"toward '{LONG}', which the labels do not hold"):
        estimated(missing)
