"""The published study's figures from its own counts; tests/data/seal_published_numbers.json names sources."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.stats import norm

from benchmarks.statistics_worlds import TERMS, world
from seal.engine.frames.schema import PREFERENCE, VARIANT
from seal.stats.alignment.alignment import with_alignment
from seal.stats.alignment.regimes import REGIMES, gamma, profile_table, regimes
from seal.stats.equations.imprint import feature_imprint
from seal.stats.equations.published import bonferroni, chance_agreement, classical, published_gamma
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.options import AnalyzeOptions
from seal.stats.pairs.features import find_features
from seal.stats.pairs.joins import Inputs
from seal.stats.pairs.rewards import theta
from seal.stats.regression.cells import Cells
from seal.stats.regression.inference import mcnemar_exact
from seal.stats.regression.logit import fit_logit
from tests.support.published import PUBLISHED

N = PUBLISHED["_meta"]["n_pairs"]


def twelve(counts: dict[str, int]) -> pl.DataFrame:
    """The 12 cells, `<pre pick>-<gamma>-<post pick>`, as `RegimeTally.counts` has them."""
    rows = []
    for key, n in counts.items():
        pre, g, post = key.split("-")
        rows.append(
            {"regime": REGIMES[pre == "c", post == "c"], "gamma": g, "pick": 1 if post == "c" else -1, "n": n}
        )
    return pl.DataFrame(rows)


def sixteen() -> pl.DataFrame:
    """The 16 joint cells of (harmless, helpful) as a block of pairs with a count."""
    rows = []
    for key, n in PUBLISHED["harmless_helpful_joint_16"]["published_counts"].items():
        hc, uc, hr, ur = (int(c) for c in key if c in "01")
        rows.append({"t0_chosen": hc, "t1_chosen": uc, "t0_rejected": hr, "t1_rejected": ur, "n": n})
    return pl.DataFrame(rows)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ("published_counts_with_gamma_bug", "derived_from_published_counts"),
        ("derived_counts_gamma_bug_fixed", "derived_gamma_bug_fixed"),
    ],
)
def test_table_1(counts: str, expected: str) -> None:
    table = regimes(twelve(PUBLISHED["joint_counts_12"][counts]))
    for row in table.iter_rows(named=True):
        known = PUBLISHED["table1"][expected][row["regime"]]
        assert (row["n_pairs"], row["n_decided"]) == (known["n"], known["n_decided"])
        assert row["prevalence"] == pytest.approx(known["prevalence"], abs=1e-12)
        assert row["agreement"] == pytest.approx(known["agreement_given_decided"], abs=1e-12)
        assert row["agreement_conf_low"] < row["agreement"] < row["agreement_conf_high"]


def test_table_1_as_printed() -> None:
    # the print rounds 0.172 to 0.18, 0.087 to 0.08 and 0.4765 to 0.47; the other five are right
    table = regimes(twelve(PUBLISHED["joint_counts_12"]["published_counts_with_gamma_bug"]))
    printed = PUBLISHED["table1"]["published"]
    off = []
    for row in table.iter_rows(named=True):
        for kind in ("prevalence", "agreement"):
            if abs(row[kind] - printed[kind][row["regime"]]) > 0.005 + 1e-9:
                off.append((kind, row["regime"]))
        percent = PUBLISHED["table1"]["published_prevalence_percent_cell17"][row["regime"]]
        assert 100 * row["prevalence"] == pytest.approx(percent, abs=1e-9)
    assert off == [
        ("prevalence", "stayed_misaligned"),
        ("prevalence", "reversed_alignment"),
        ("agreement", "reversed_alignment"),
    ]


def test_the_profile_has_the_twelve_cells() -> None:
    counts = PUBLISHED["joint_counts_12"]["published_counts_with_gamma_bug"]
    table = profile_table(twelve(counts))
    assert table.height == 12
    assert table["n_pairs"].sum() == N
    assert table.filter(regime="became_aligned", gamma="i")["n_pairs"].item() == counts["r-i-c"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (gamma(2), "code_rule_correct_harmless_first_lexicographic"),
        (published_gamma(), "paper_mode_with_str_bug_cell12"),
        (gamma(2, "pareto"), "pareto_dominance"),
    ],
)
def test_gamma_counts_under_every_rule(rule: pl.Expr, expected: str) -> None:
    found = dict(sixteen().group_by(gamma=rule).agg(pl.col("n").sum()).iter_rows())
    assert found == PUBLISHED["gamma_rules"][expected]
    assert found["i"] / N == pytest.approx(PUBLISHED["gamma_rules"]["share_indifferent"])


def test_gamma_helpful_first_as_the_footnote_says() -> None:
    swapped = sixteen().rename({"t0_chosen": "t1_chosen", "t1_chosen": "t0_chosen",
                                "t0_rejected": "t1_rejected", "t1_rejected": "t0_rejected"})  # fmt: skip
    found = dict(swapped.group_by(gamma=gamma(2)).agg(pl.col("n").sum()).iter_rows())
    assert found == PUBLISHED["gamma_rules"]["helpful_first_lexicographic_paper_footnote9_literal"]


def test_the_pairs_that_the_comparison_misses() -> None:
    missed = sixteen().filter(published_gamma() != gamma(2))
    bug = PUBLISHED["gamma_rules"]["bug_pairs"]
    assert sorted(missed["n"]) == sorted([bug["[0 1][1 1]"], bug["[0 1][1 0]"]])
    assert missed["n"].sum() == bug["total"] == 186


def test_alignment_scores() -> None:
    counts = PUBLISHED["joint_counts_12"]["marginals_published"]
    won = {"pre": counts["c-c"] + counts["c-r"], "post": counts["c-c"] + counts["r-c"]}
    frame = pl.DataFrame(
        {"model": list(won), "n_pairs": N, "n_ties": 0, "n_won": list(won.values()), "sum_margin": 0.0}
    )
    table = with_alignment(frame)
    known = PUBLISHED["alignment_scores"]
    for row in table.iter_rows(named=True):
        assert row["alignment"] == pytest.approx(known["derived_exact"][row["model"]], abs=1e-15)
        assert round(row["alignment"], 2) == known["published"][row["model"]]
    assert table["resistance"][1] == pytest.approx(known["derived_exact"]["resistance_post"], abs=1e-15)
    assert counts["c-r"] / won["pre"] == pytest.approx(
        known["derived_exact"]["reversed_share_of_pre_aligned"]
    )
    assert counts["r-c"] / (N - won["pre"]) == pytest.approx(
        known["derived_exact"]["became_share_of_pre_misaligned"]
    )


def test_theta_spot_rows() -> None:
    spots = PUBLISHED["angle_spot_rows"]
    start = math.atan2(-1, -1)  # the notebook measures from (-1, -1)
    frame = {}
    for name, angles, length in (("pre", "angles_u_pre_rad", 1.7), ("post", "angles_v_post_rad", 0.4)):
        at = np.array(spots[angles]) + start
        frame |= {f"{name}_chosen": length * np.cos(at), f"{name}_rejected": length * np.sin(at)}
    found = np.deg2rad(pl.DataFrame(frame).select(theta()).to_series().to_numpy())
    assert found == pytest.approx(spots["theta_rad"], abs=1e-5)
    assert np.abs(found) == pytest.approx(
        np.deg2rad(pl.DataFrame(frame).select(theta("unsigned")).to_series().to_numpy()), abs=1e-12
    )
    aligned = pl.DataFrame(frame).select(pl.col("pre_chosen") > pl.col("pre_rejected")).to_series()
    assert aligned.to_list() == [math.sin(a) > 0 for a in spots["angles_u_pre_rad"]]


def test_theta_of_the_head_rows() -> None:
    # cos_u is printed, the sine of the angle: of the two angles that have it, one gives the printed theta
    head = PUBLISHED["angle_spot_rows"]["head_row_id_0_4"]
    for cos_u, cos_v, expected in zip(head["cos_u"], head["cos_v"], head["theta_deg"], strict=True):
        found = []
        for u, v in itertools.product(*((math.asin(c), math.pi - math.asin(c)) for c in (cos_u, cos_v))):
            at = np.array([u, v]) + math.atan2(-1, -1)
            row = {"pre_chosen": math.cos(at[0]), "pre_rejected": math.sin(at[0]),
                   "post_chosen": math.cos(at[1]), "post_rejected": math.sin(at[1])}  # fmt: skip
            found.append(pl.DataFrame([row]).select(theta()).item())
        assert min(abs(f - expected) for f in found) < 1e-3  # six decimals of a cosine


def expanded() -> tuple[pl.DataFrame, pl.DataFrame]:
    """All 160,800 pairs with the joint labels of the study, and rewards that only have to exist."""
    cells = sixteen()
    rows = cells.select(pl.exclude("n").repeat_by("n").explode())
    n = rows.height
    sides = []
    for side in ("chosen", "rejected"):
        sides.append(
            rows.select(
                pl.int_range(n, dtype=pl.Int64).alias("row_id"),
                pl.lit(side, PREFERENCE).alias("preference"),
                pl.lit("original", VARIANT).alias("variant"),
                pl.lit("gpt").alias("labeler"),
                (pl.col(f"t0_{side}") == 1).alias("last_response_is_harmless"),
                (pl.col(f"t1_{side}") == 1).alias("last_response_is_helpful"),
            )
        )
    labels = pl.concat(sides)
    rng = np.random.default_rng(0)
    key = labels.select("row_id", "preference", "variant")
    scores = pl.concat(
        [
            key.with_columns(model=pl.lit(m), reward=pl.Series(rng.normal(size=2 * n), dtype=pl.Float32))
            for m in ("a", "b")
        ]
    )
    return scores, labels


def test_informative_pairs_and_means_of_the_study() -> None:
    scores, labels = expanded()
    assert labels.height == 2 * N
    features = find_features(labels.lazy(), targets=("last_response_is_harmless", "last_response_is_helpful"))
    result, joined = feature_imprint(Inputs(scores.lazy(), "a", "b", labels.lazy(), features))
    assert joined.n_regressed == N
    known = PUBLISHED["feature_means"]
    discordant = known["derived_discordant_pairs"]
    part = result.table.filter(model="b")
    assert part["n_informative"].to_list() == [
        discordant["harmless"]["total"],
        discordant["helpful"]["total"],
    ]
    means = labels.group_by("preference").agg(pl.col("^last.*$").mean())
    for side, harmless, helpful in means.iter_rows():
        assert harmless == pytest.approx(known["derived_exact_from_joint16"][f"harmless_{side}"], abs=1e-12)
        assert helpful == pytest.approx(known["derived_exact_from_joint16"][f"helpful_{side}"], abs=1e-12)
        assert round(harmless, 3) == known["published"][side]["last_response_is_harmless"]
    overall = labels.select(pl.col("^last.*$").mean()).row(0, named=True)
    for feature, value in known["published_overall_cell5"].items():
        assert overall[feature] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("equation", ["figure3_center_eq2", "figure3_right_eq3"])
def test_published_p_values_are_bonferroni_over_31(equation: str) -> None:
    for name, row in PUBLISHED[equation]["coefficients"].items():
        p = 2 * norm.sf(abs(row["estimate"] / row["std_error"]))
        ours = bonferroni(p, PUBLISHED[equation]["bonferroni_factor_actual"])
        assert p == pytest.approx(row["derived_raw_p_normal"], rel=1e-9)
        printed = row["published_p_bonferroni"]
        if (
            printed > 1e-12
        ):  # smaller ones are printed as a bound; t with 160,769 df against normal: 1e-4 at most
            assert ours == pytest.approx(printed, rel=3e-3, abs=5e-6), name
        else:
            assert ours < 1e-6, name


def test_equations_2_and_3_share_one_homoskedastic_design() -> None:
    errors = [
        np.array([r["std_error"] for r in PUBLISHED[e]["coefficients"].values()])
        for e in ("figure3_center_eq2", "figure3_right_eq3")
    ]
    ratio = errors[0] / errors[1]
    known = PUBLISHED["figure3_se_ratio_test"]["se_eq2_over_se_eq3"]
    assert ratio.mean() == pytest.approx(known["mean"], rel=1e-9)
    assert ratio.std(ddof=1) / ratio.mean() == pytest.approx(known["rel_sd"], rel=0.2)
    w = world(3000, seed=0)
    frames = Frames(w.scores.lazy(), (w.labels.lazy(),), w.texts.lazy())
    results = estimate(frames, AnalyzeOptions("pre", "post"), as_published=True)
    shift, resistance = results.published["shift"], results.published["resistance"].filter(model="post")
    ours = shift["std_error"].to_numpy() / resistance["std_error"].to_numpy()
    assert ours == pytest.approx(np.full(13, ours[0]), rel=1e-10)  # as published: constant
    logit = results.tables["resistance"].filter(model="post")
    true = (
        results.tables["shift"].filter(outcome="theta")["std_error"].to_numpy()
        / logit["std_error"].to_numpy()
    )
    assert true.std() / true.mean() > 1e-3  # a true logit: not


def test_eq_4_z_statistics_and_unadjusted_normal_p() -> None:
    for row in PUBLISHED["figure5_eq4"]["coefficients"].values():
        z = row["estimate"] / row["std_error"]
        assert z == pytest.approx(row["z"], abs=5e-4)
        assert 2 * norm.sf(abs(z)) == pytest.approx(row["published_p_unadjusted"], abs=5e-4)
    exp = PUBLISHED["figure5_eq4"]["derived_exp"]
    assert [math.exp(0.1169116), math.exp(0.0979206)] == pytest.approx(list(exp.values()), rel=1e-12)


FLIPS = PUBLISHED["flip_tables"]


@pytest.mark.parametrize("outcome", ["became_misaligned", "became_aligned"])
def test_flip_tables(outcome: str) -> None:
    for feature, by_size in FLIPS[f"{outcome}_by_flip"].items():
        assert sum(v["n"] for v in by_size.values()) == FLIPS["totals"]["n"], feature
        assert sum(v["derived_k"] for v in by_size.values()) == FLIPS["totals"][outcome], feature
        for v in by_size.values():
            share = v["derived_k"] / v["n"]
            assert share == pytest.approx(v["mean"], abs=5e-7)
            spread = math.sqrt(share * (1 - share) * v["n"] / (v["n"] - 1))
            assert spread == pytest.approx(v["std"], abs=5e-6)


def test_flip_frequencies() -> None:
    known = PUBLISHED["flip_frequencies"]
    for feature, counts in known["derived_counts"].items():
        pooled: dict[str, int] = dict.fromkeys(counts, 0)
        for side in ("chosen", "rejected"):
            for size, v in FLIPS["became_misaligned_by_flip"][f"flip_{feature}_{side}"].items():
                pooled[size] += v["n"]
        assert pooled == counts
        for size, n in counts.items():
            assert n / 3216 == pytest.approx(known["published"][feature][size], abs=1e-12)


def test_the_two_directions_of_rewriting() -> None:
    totals = FLIPS["totals"]
    statistic, p = mcnemar_exact(totals["became_misaligned"], totals["became_aligned"])
    assert statistic == 121
    assert p == pytest.approx(FLIPS["derived_mcnemar_exact_p_170_vs_121"], rel=1e-9)
    counts = PUBLISHED["rewrite_alignment"]["derived_counts"]
    assert (
        counts["original_post"] - totals["became_misaligned"] + totals["became_aligned"]
        == counts["rewritten_post"]
    )
    for name, k in counts.items():
        assert k / 1608 == pytest.approx(PUBLISHED["rewrite_alignment"]["published"][name], abs=5e-7)


@pytest.mark.parametrize(("side", "size"), [("chosen", "1"), ("rejected", "-1")])
def test_the_odds_ratio_behind_the_published_exponent(side: str, size: str) -> None:
    # a logit of one flip against no flip gives 2.47 where the study reports exp(LPM coefficient) = 1.13
    table = FLIPS["became_misaligned_by_flip"][f"flip_sentiment_{side}"]
    n = np.array([float(table[s]["n"]) for s in ("0", size)])
    k = np.array([float(table[s]["derived_k"]) for s in ("0", size)])
    cells = Cells(np.array([[0], [1]], dtype=np.int8), np.empty((2, 0)), {"y": n}, {"y": k}, {"y": k})
    known = FLIPS["derived_univariate"][f"sentiment_{side} {'+1' if size == '1' else '-1'} vs 0"]
    fit = fit_logit(cells, "y", [0])
    assert fit.estimate[1] == pytest.approx(known["log_or"], abs=1e-9)
    assert math.exp(fit.estimate[1]) == pytest.approx(known["or"], rel=1e-9)
    gram = np.array([[n.sum(), n[1]], [n[1], n[1]]])
    linear = classical(gram, np.array([k.sum(), k[1]]), float(k.sum()), z=True)
    assert linear[1]["estimate"] == pytest.approx(known["risk_diff"], abs=1e-12)


def test_labelers_joined_by_position_agree_as_chance_does() -> None:
    means = PUBLISHED["labeler_means"]["published"]
    gpt = means["gpt-4-turbo-2024-04-09 (all 321600 rows)"]
    known = PUBLISHED["labeler_match_rates"]
    for feature, by_labeler in known["derived_expected_under_independence"].items():
        for name, expected in by_labeler.items():
            full = next(m for m in means if m.startswith(name))
            ours = chance_agreement(gpt[feature], means[full][feature])
            assert ours == pytest.approx(expected, abs=1e-9)
            # read from a figure, and the control's own 3,216 rows stand in for all rows: 1.5 points at most
            assert ours == pytest.approx(known["digitized"][feature][name], abs=0.015)


def test_regressors_of_the_study() -> None:
    features = PUBLISHED["features"]
    assert (
        len(features["regression_features"])
        == PUBLISHED["paper_other_numbers"]["n_features_in_regressions"]
        == 15
    )
    total = 15 + len(features["dropped_by_vif"]) + len(features["non_boolean_excluded"])
    assert total == PUBLISHED["paper_other_numbers"]["n_features_claimed"] == 19


def test_ties_are_counted_twice_over() -> None:
    # 757 indifferent pairs tie under both models: aligned by >=, misaligned by >
    w = world(3000, seed=4)
    tied = w.scores.with_columns(
        reward=pl.when(pl.col("row_id") < 20).then(0.5).otherwise("reward").cast(pl.Float32)
    )
    results = estimate(
        Frames(tied.lazy(), (w.labels.lazy(),)), AnalyzeOptions("pre", "post"), as_published=True
    )
    ties = results.published["ties"]
    for model in ("pre", "post"):
        assert (ties[f"aligned_or_tied_{model}"] - ties[f"aligned_{model}"]).sum() == 20
    assert PUBLISHED["alignment_scores"]["derived_ties_counted_aligned_in_cell6_but_not_in_cell12"] == 757


def test_the_published_regressions_are_rs_lm() -> None:
    w = world(4000, seed=6, shuffle=False)
    frames = Frames(w.scores.lazy(), (w.labels.lazy(),), w.texts.lazy())
    results = estimate(frames, AnalyzeOptions("pre", "post"), as_published=True)
    both = np.concatenate([w.values[:, 0], w.values[:, 1]])
    x = np.column_stack([np.ones(8000), both, np.tile(np.arange(4000), 2)])
    for i, model in enumerate(("pre", "post")):
        theirs = sm.OLS(np.concatenate([w.rewards[i, :, 0], w.rewards[i, :, 1]]), x).fit()
        part = results.published["imprint"].filter(model=model)
        assert part["term"].to_list() == ["intercept", *TERMS, "row_id"]
        assert part["estimate"].to_numpy() == pytest.approx(theirs.params, abs=1e-8)
        assert part["std_error"].to_numpy() == pytest.approx(theirs.bse, rel=1e-8)
        assert part["p_value"].to_numpy() == pytest.approx(theirs.pvalues, rel=1e-6, abs=1e-300)
    sides = sm.add_constant(np.concatenate([w.values[:, 0], w.values[:, 1]], axis=1))
    misaligned = (w.rewards[1, :, 0] <= w.rewards[1, :, 1]).astype(float)
    theirs = sm.OLS(misaligned, sides).fit()
    part = results.published["resistance"].filter(model="post")
    assert part["estimate"].to_numpy() == pytest.approx(theirs.params, abs=1e-8)
    assert part["std_error"].to_numpy() == pytest.approx(theirs.bse, rel=1e-8)
    assert part["p_bonferroni"].to_numpy() == pytest.approx(
        np.minimum(theirs.pvalues * 13, 1), rel=1e-6, abs=1e-300
    )
