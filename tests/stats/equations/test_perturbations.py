"""Perturbations held against numpy, line by line, and against a world in which the truth is planted."""

import numpy as np
import polars as pl
import pytest
from scipy import stats as distributions

from seal.engine.errors import InputError
from seal.stats.equations import perturbations
from seal.stats.equations.perturbations import SCHEMA, estimate_perturbations
from seal.stats.options import Inference
from seal.stats.pairs import twins
from seal.stats.pairs.rewards import RewardScale

MODELS = (("pre", "before"), ("post", "after"))
NAMES = ("line_wrapping", "typo_swap", "repeated_twice")


def world(n=300, seed=0, group=None, ties=0.0):
    """Blocks of pairs, and SCORES of their twins: `new[model][name]` holds row_id -> the two new rewards."""
    r = np.random.default_rng(seed)
    rewards = {
        f"{m}_{s}": r.normal(size=n).round(1 if ties else 12)
        for m, _ in MODELS
        for s in ("chosen", "rejected")
    }
    pairs = pl.DataFrame({"row_id": np.arange(n) * 2, **rewards})
    if group is not None:
        pairs = pairs.with_columns(group=pl.Series(group, dtype=pl.Int64))
    rows, new = [], {}
    for m, model in MODELS:
        for k, name in enumerate(NAMES):
            kept = r.random(n) < 0.8
            moved = {s: (rewards[f"{m}_{s}"] - 0.3 * k + 0.5 * r.normal(size=n)).round(1 if ties else 12)
                     for s in ("chosen", "rejected")}  # fmt: skip
            new[model, name] = kept, moved
            for s, values in moved.items():
                rows.append(pl.DataFrame({"row_id": (np.arange(n) * 2)[kept], "reward": values[kept]}).select(
                    "row_id", pl.lit(s).alias("preference"), pl.lit(f"perturb:{name}").alias("variant"),
                    pl.lit(model).alias("model"), "reward",
                ))  # fmt: skip
    scores = pl.concat(rows).sample(fraction=1, shuffle=True, seed=1)
    return pairs, scores, new, rewards


def blocks(pairs, *sizes):
    sizes = sizes or (pairs.height,)
    return [pairs.slice(sum(sizes[:i]), size) for i, size in enumerate(sizes)]


def by_hand(pairs, new, rewards, m, model, name, groups, scale):
    """Every figure of a line by whole arrays."""
    kept, moved = new[model, name]
    n_all, sd = pairs.height, scale.sd[("pre", "post").index(m)]
    old_all = rewards[f"{m}_chosen"] - rewards[f"{m}_rejected"]
    old, now = old_all[kept], (moved["chosen"] - moved["rejected"])[kept]
    shift = ((moved["chosen"] + moved["rejected"] - rewards[f"{m}_chosen"] - rewards[f"{m}_rejected"]) / 2)[
        kept
    ]
    found = {
        "n_pairs": int(kept.sum()), "flipped": np.mean(old * now < 0), "alignment_before": np.mean(old > 0),
        "alignment_after": np.mean(now > 0),
        "n_became_misaligned": int(((old > 0) & (now <= 0)).sum()),
        "n_became_aligned": int(((old <= 0) & (now > 0)).sum()),
    }  # fmt: skip
    found["p_value"] = distributions.binomtest(
        found["n_became_misaligned"], found["n_became_misaligned"] + found["n_became_aligned"]
    ).pvalue
    for what, x in (("margin", now - old), ("reward", shift)):
        psi = np.zeros(n_all)
        psi[kept] = (x - x.mean()) / (len(x) * sd)
        psi -= x.mean() / (2 * sd**3 * n_all) * ((old_all - old_all.mean()) ** 2 - sd**2)
        touched = np.unique(groups[kept])
        sums = np.array([psi[groups == g].sum() for g in np.unique(groups)])
        g = len(touched)
        found[f"{what}_change"] = x.mean() / sd
        found[f"{what}_std_error"] = np.sqrt((sums**2).sum() * g / (g - 1))
        half = distributions.t.isf(0.025, g - 1) * found[f"{what}_std_error"]
        found[f"{what}_change_low"] = found[f"{what}_change"] - half
    return found


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("at_once", [7, 50_000])
def test_each_line_is_what_whole_arrays_give(clustered, at_once, monkeypatch):
    monkeypatch.setattr(twins, "PAIRS_AT_ONCE", at_once)
    groups = np.random.default_rng(5).integers(0, 90, 300) if clustered else np.arange(300)
    pairs, scores, new, rewards = world(group=groups)
    rows = blocks(pairs, 120, 100, 80)
    scale = RewardScale.of(rows)
    cluster = "group" if clustered else None
    table = estimate_perturbations(rows, MODELS, scores.lazy(), scale, cluster=cluster).table
    assert table.schema == pl.Schema(SCHEMA)
    assert table.height == 6
    for m, model in MODELS:
        for name in NAMES:
            row = table.filter(model=model, perturbation=name).row(0, named=True)
            for figure, value in by_hand(pairs, new, rewards, m, model, name, groups, scale).items():
                assert row[figure] == pytest.approx(value, rel=1e-9), (model, name, figure)


def test_a_family_is_a_models_perturbations_and_the_meaning_kept_comes_first():
    pairs, scores, *_ = world()
    rows = blocks(pairs)
    table = estimate_perturbations(rows, MODELS, scores.lazy(), RewardScale.of(rows)).table
    assert table["perturbation"].to_list() == [name for name in NAMES for _ in MODELS]
    assert table["keeps_meaning"].to_list() == [True] * 4 + [False] * 2
    bonferroni = Inference(adjust="bonferroni")
    table = estimate_perturbations(rows, MODELS, scores.lazy(), RewardScale.of(rows), bonferroni).table
    p = table["p_value"].to_numpy()
    assert table["p_adjusted"].to_numpy() == pytest.approx(np.minimum(1, 3 * p))


@pytest.mark.parametrize("ties", ["misaligned", "half", "drop"])
def test_ties_are_no_flips_and_count_as_asked(ties):
    pairs, scores, new, rewards = world(ties=1.0)
    rows = blocks(pairs)
    table = estimate_perturbations(rows, MODELS, scores.lazy(), RewardScale.of(rows), ties=ties).table
    kept, moved = new["after", "typo_swap"]
    old = (rewards["post_chosen"] - rewards["post_rejected"]).round(12)[kept]
    now = (moved["chosen"] - moved["rejected"])[kept]
    tied = (old == 0) | (now == 0)
    assert tied.sum() > 5
    row = table.filter(model="after", perturbation="typo_swap").row(0, named=True)
    assert row["flipped"] == pytest.approx(np.mean(old * now < 0))
    share = {
        "misaligned": lambda m: np.mean(m > 0),
        "half": lambda m: np.mean((m > 0) + 0.5 * (m == 0)),
        "drop": lambda m: np.mean(m[~tied] > 0),
    }[ties]
    assert row["alignment_before"] == pytest.approx(share(old))
    assert row["alignment_after"] == pytest.approx(share(now))
    judged = np.ones_like(tied) if ties == "misaligned" else ~tied
    assert row["n_became_misaligned"] == int(((old > 0) & (now <= 0) & judged).sum())


def test_what_did_not_apply_is_counted_from_the_failures():
    pairs, scores, *_ = world()
    rows = blocks(pairs)
    failed = pl.DataFrame(
        [(r, s, f"perturb:{n}", "rewrite", e, "") for r, n, e in (
            (0, "typo_swap", "does_not_apply"), (2, "typo_swap", "does_not_apply"),
            (4, "line_wrapping", "missing_text"),
        ) for s in ("chosen", "rejected")],
        schema=["row_id", "preference", "variant", "stage", "error", "detail"], orient="row",
    )  # fmt: skip
    scale = RewardScale.of(rows)
    idle = failed.tail(1).with_columns(variant=pl.lit("perturb:quotes_curly"), error=pl.lit("does_not_apply"))
    told = pl.concat([failed, idle]).lazy()
    perturbed = estimate_perturbations(rows, MODELS, scores.lazy(), scale, failures=told)
    assert perturbed.notes == ("perturbations that change no pair have no row: quotes_curly",)
    table = perturbed.table
    found = dict(table.filter(model="after").select("perturbation", "n_not_applied").iter_rows())
    assert found == {"line_wrapping": 0, "typo_swap": 2, "repeated_twice": 0}
    unknown = estimate_perturbations(rows, MODELS, scores.lazy(), scale).table
    assert unknown["n_not_applied"].is_null().all()


def test_what_cannot_be_compared_is_refused_or_counted():
    pairs, scores, *_ = world()
    rows = blocks(pairs)
    scale = RewardScale.of(rows)
    with pytest.raises(InputError, match="perturb:NAME"):
        estimate_perturbations(rows, MODELS, scores.with_columns(variant=pl.lit("rewritten")).lazy(), scale)
    with pytest.raises(InputError, match="scored twice by model"):
        estimate_perturbations(rows, MODELS, pl.concat([scores, scores.head(1)]).lazy(), scale)
    far = scores.with_columns(pl.col("row_id") + 10_000)
    with pytest.raises(InputError, match="perturb:NAME"):
        estimate_perturbations(rows, MODELS, far.lazy(), scale)
    found = estimate_perturbations(rows, MODELS, scores.slice(3).lazy(), scale)
    assert found.notes
    assert "3 perturbed pairs" in found.notes[0]


def test_the_interval_covers_a_planted_change():
    """400 worlds: 95% +- 2.2% is two binomial standard errors."""
    inside = 0
    for seed in range(400):
        r = np.random.default_rng(seed)
        n, groups = 120, np.repeat(np.arange(40), 3)
        level = r.normal(size=40)[groups]  # of a group's change, so that errors by pair would be too small
        rows = {f"{m}_{s}": r.normal(size=n) * 2**0.5 for m, _ in MODELS for s in ("chosen", "rejected")}
        pairs = pl.DataFrame({"row_id": np.arange(n), **rows, "group": groups})
        frames = [
            pairs.select(
                "row_id", reward=pl.col(f"{m}_{s}") + (s == "chosen") * (0.5 + level), preference=pl.lit(s),
                variant=pl.lit("perturb:typo_swap"), model=pl.lit(model),
            )
            for m, model in MODELS for s in ("chosen", "rejected")
        ]  # fmt: skip
        scale = RewardScale.of([pairs])
        table = estimate_perturbations(
            [pairs], MODELS, pl.concat(frames).lazy(), scale, cluster="group"
        ).table
        row = table.row(0, named=True)
        inside += row["margin_change_low"] <= 0.5 / 2 <= row["margin_change_high"]
    assert 0.928 <= inside / 400 <= 0.972


def test_no_frame_is_larger_than_a_part(monkeypatch):
    """What is read together is the scores of some pairs, not of all."""
    sizes = []
    monkeypatch.setattr(twins, "PAIRS_AT_ONCE", 10)
    plain = twins.collect_all

    def watched(lazy):
        found = plain(lazy)
        sizes.append(max(f.height for f in found))
        return found

    monkeypatch.setattr(twins, "collect_all", watched)
    pairs, scores, *_ = world()
    rows = blocks(pairs, 150, 150)
    perturbations.estimate_perturbations(rows, MODELS, scores.lazy(), RewardScale.of(rows))
    assert len(sizes) == 30
    assert max(sizes) <= 10 * len(NAMES) * len(MODELS)
