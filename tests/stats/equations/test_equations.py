"""Eq. 2, 3 and 4 from frames to tables, against statsmodels on the same numbers."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

from benchmarks.statistics_worlds import TERMS, World, frames, world
from seal.engine.errors import InputError, UsageError
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.options import AnalyzeOptions
from seal.stats.results import Results


def run(w: World, **options: object) -> Results:
    return estimate(
        Frames(w.scores.lazy(), (w.labels.lazy(),), w.texts.lazy()), AnalyzeOptions("pre", "post", **options)
    )  # type: ignore[arg-type]


def sided(w: World) -> NDArray[np.float64]:
    return sm.add_constant(np.concatenate([w.values[:, 0], w.values[:, 1]], axis=1))


@pytest.fixture(scope="module")
def w() -> World:
    return world(8000, seed=2, premium=0.4)


@pytest.fixture(scope="module")
def results(w: World) -> Results:
    return run(w)


def centred(w: World) -> NDArray[np.float64]:
    """Rewards less each model's mean."""
    return np.asarray(w.rewards - w.rewards.mean(axis=(1, 2), keepdims=True))


def theta(w: World) -> NDArray[np.float64]:
    u, v = centred(w)
    return np.degrees(np.arctan2(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], (u * v).sum(axis=1)))


def test_shift_is_least_squares_with_hc1(w: World, results: Results) -> None:
    margins = w.rewards[:, :, 0] - w.rewards[:, :, 1]
    length = np.linalg.norm(centred(w), axis=2)
    outcomes = {
        "theta": theta(w),
        "margin_change": margins[1] - margins[0],
        "normalised_margin_change": margins[1] / length[1] - margins[0] / length[0],
    }
    for name, y in outcomes.items():
        theirs = sm.OLS(y, sided(w)).fit(cov_type="HC1", use_t=True)
        part = results.tables["shift"].filter(pl.col("outcome") == name)
        assert part["term"].to_list() == ["intercept", *TERMS, *TERMS]
        assert part["preference"].to_list() == [None, *["chosen"] * 6, *["rejected"] * 6]
        assert part["estimate"].to_numpy() == pytest.approx(theirs.params, abs=1e-8)
        assert part["std_error"].to_numpy() == pytest.approx(theirs.bse, rel=1e-8)
        assert part["p_value"].to_numpy() == pytest.approx(theirs.pvalues, rel=1e-6, abs=1e-300)


def test_resistance_is_a_logit_with_robust_errors(w: World, results: Results) -> None:
    for i, model in enumerate(("pre", "post")):
        misaligned = (w.rewards[i, :, 0] <= w.rewards[i, :, 1]).astype(float)
        theirs = sm.Logit(misaligned, sided(w)).fit(cov_type="HC1", disp=0, tol=1e-12)
        part = results.tables["resistance"].filter(pl.col("model") == model)
        assert part["estimate"].to_numpy() == pytest.approx(theirs.params, abs=1e-8)
        assert part["std_error"].to_numpy() == pytest.approx(theirs.bse, rel=1e-6)
        assert part["odds_ratio"].to_numpy() == pytest.approx(np.exp(theirs.params), rel=1e-6)
        margins = theirs.get_margeff()
        assert part["ame"].to_numpy()[1:] == pytest.approx(margins.margeff, rel=1e-6)
        assert part["ame_std_error"].to_numpy()[1:] == pytest.approx(margins.margeff_se, rel=1e-6)
        restriction = np.hstack([np.zeros((6, 1)), np.eye(6), np.eye(6)])
        joint = theirs.wald_test(restriction, scalar=True, use_f=False)
        group = f"{model}: all features"
        row = results.tables["tests"].filter(test="wald_antisymmetry", group=group).row(0, named=True)
        assert row["statistic"] == pytest.approx(joint.statistic, rel=1e-6)
        assert row["p_value"] == pytest.approx(joint.pvalue, rel=1e-4)


def test_clusters_widen_every_equation(w: World) -> None:
    many = w.texts.with_columns(source=pl.format("s{}", pl.col("row_id") % 50))
    clustered = run(World(w.scores, w.labels, many, w.values, w.rewards), cluster="source")
    groups = np.arange(8000) % 50
    kwds = {"groups": groups}
    shift = sm.OLS(theta(w), sided(w)).fit(cov_type="cluster", cov_kwds=kwds)
    part = clustered.tables["shift"].filter(pl.col("outcome") == "theta")
    assert part["std_error"].to_numpy() == pytest.approx(shift.bse, rel=1e-6)
    misaligned = (w.rewards[1, :, 0] <= w.rewards[1, :, 1]).astype(float)
    logit = sm.Logit(misaligned, sided(w)).fit(cov_type="cluster", cov_kwds=kwds, disp=0, tol=1e-12)
    part = clustered.tables["resistance"].filter(pl.col("model") == "post")
    assert part["std_error"].to_numpy() == pytest.approx(logit.bse, rel=1e-6)
    d = w.values[:, 0] - w.values[:, 1]
    y = w.rewards[1, :, 0] - w.rewards[1, :, 1]
    imprint = sm.OLS(y, d).fit(cov_type="cluster", cov_kwds=kwds)
    part = clustered.tables["imprint"].filter(pl.col("model") == "post")
    # statsmodels counts pairs, pyfixest texts: (n-1)/(n-k) against (2n-1)/(2n-k-1)
    factor = np.sqrt((2 * 8000 - 1) / (2 * 8000 - 6 - 1) * (8000 - 6) / (8000 - 1))
    assert part["std_error"].to_numpy() == pytest.approx(imprint.bse * factor, rel=1e-8)


def rewritten(
    w: World, n: int, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame, NDArray[np.float64], NDArray[np.float64]]:
    """Rewritings of the first n pairs: some labels flip, rewards move, more so where a label was lost."""
    rng = np.random.default_rng(seed)
    values = w.values[:n].copy()
    flips = rng.random((n, 2, 4)) < [0.01, 0.12, 0.12, 0.12]
    values[:, :, [0, 2, 3, 4]] = np.where(flips, 1 - values[:, :, [0, 2, 3, 4]], values[:, :, [0, 2, 3, 4]])
    values[:, :, 5] = np.clip(
        values[:, :, 5] + rng.choice([-2, -1, 0, 1, 2], (n, 2), p=[0.01, 0.06, 0.86, 0.06, 0.01]), -1, 1
    )
    rewards = (
        w.rewards[:, :n] + rng.normal(size=(2, n, 2)) * 0.8 - 0.9 * (w.values[:n] - values)[None, :, :, 3]
    )
    rewards = rewards.astype(np.float32).astype(np.float64)
    scores, labels, _ = frames(values, rewards, variant="rewritten")
    return scores, labels, values, rewards


def test_robustness_is_a_logit_on_flips(w: World) -> None:
    n = 6000
    scores, labels, values, rewards = rewritten(w, n)
    f = Frames(w.scores.lazy(), (w.labels.lazy(),), w.texts.lazy(),
               rewritten_scores=scores.sample(fraction=1, shuffle=True, seed=1).lazy(),
               rewritten_labels=(labels.lazy(),))  # fmt: skip
    results = estimate(f, AnalyzeOptions("pre", "post"))
    same = (w.values[:n, :, :2] == values[:, :, :2]).all(axis=(1, 2))
    moved = (w.values[:n] - values)[same]
    before = (w.rewards[1, :n, 0] > w.rewards[1, :n, 1])[same]
    after = (rewards[1, :, 0] > rewards[1, :, 1])[same]
    names, columns = [], []
    for s in (0, 1):
        for j in (2, 3, 4, 5):
            for size, name in ((1, "lost"), (-1, "gained"), (2, "lost_2"), (-2, "gained_2")):
                hit = moved[:, s, j] == size
                if hit.any():
                    names.append((("chosen", "rejected")[s], TERMS[j], name, int(hit.sum())))
                    columns.append(hit.astype(float))
    x = sm.add_constant(np.column_stack(columns))
    part = results.tables["robustness"].filter(pl.col("model") == "post")
    assert part.select("preference", "term", "flip", "n_flipped").rows()[1:] == names
    assert part["n_pairs"].unique().to_list() == [int(same.sum())]
    theirs = sm.Logit((before & ~after).astype(float), x).fit(cov_type="HC1", disp=0, tol=1e-12)
    assert part["estimate"].to_numpy() == pytest.approx(theirs.params, abs=1e-7)
    assert part["std_error"].to_numpy() == pytest.approx(theirs.bse, rel=1e-6)
    given = results.tables["robustness_given_aligned"].filter(pl.col("model") == "post")
    theirs = sm.Logit((~after)[before].astype(float), x[before]).fit(cov_type="HC1", disp=0, tol=1e-12)
    assert given["estimate"].to_numpy() == pytest.approx(theirs.params, abs=1e-7)
    other = results.tables["robustness_became_aligned"].filter(pl.col("model") == "post")
    if not any("became_aligned" in note for note in results.notes):
        theirs = sm.Logit((~before & after).astype(float), x).fit(cov_type="HC1", disp=0, tol=1e-12)
        assert other["estimate"].to_numpy() == pytest.approx(theirs.params, abs=1e-7)
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    test = (
        results.tables["tests"].filter(pl.col("group").str.starts_with("post: original")).row(0, named=True)
    )
    assert test["group"].endswith(f"{lost} became misaligned, {gained} aligned")
    assert results.tables["flips"]["n_became_misaligned_post"].sum() > 0
    assert any(f"{n - same.sum()} of them, which are left out" in note for note in results.notes)


def test_similarities_stand_beside_the_flips(w: World) -> None:
    scores, labels, _, _ = rewritten(w, 1000)
    sims = labels.select("row_id", "preference", embedder=pl.lit("e"), cosine=pl.lit(0.9, pl.Float32))
    f = Frames(w.scores.lazy(), (w.labels.lazy(),), rewritten_scores=scores.lazy(),
               rewritten_labels=(labels.lazy(),), similarities=sims.lazy())  # fmt: skip
    flips = estimate(f, AnalyzeOptions("pre", "post")).tables["flips"].filter(pl.col("n_pairs") > 0)
    assert flips["cosine_mean"].to_numpy() == pytest.approx(0.9)
    several = pl.concat([sims, sims.with_columns(embedder=pl.lit("f"))])
    f = Frames(f.scores, f.labels, rewritten_scores=f.rewritten_scores, rewritten_labels=f.rewritten_labels,
               similarities=several.lazy())  # fmt: skip
    with pytest.raises(InputError, match=r"several embedders: e, f"):
        estimate(f, AnalyzeOptions("pre", "post"))


def test_wider_designs_go_through_pyfixest(w: World, results: Results) -> None:
    absorbed = run(w, fixed_effects=("source",))
    for column in ("estimate", "std_error"):
        ours, theirs = (r.tables["imprint"][column].to_numpy() for r in (results, absorbed))
        assert ours == pytest.approx(theirs, abs=1e-8)
    assert any("source is the same for both texts" in n for n in absorbed.notes)
    crossed = run(w, interactions=("last_response_is_helpful:source",)).tables["imprint"]
    slopes = crossed.filter(pl.col("model") == "post", pl.col("term").str.contains(":source="))
    assert slopes["term"].to_list() == [f"last_response_is_helpful:source=source{i}" for i in range(3)]
    d, y = w.values[:, 0] - w.values[:, 1], w.rewards[1, :, 0] - w.rewards[1, :, 1]
    own = np.column_stack([d[:, 1] * (np.arange(8000) % 3 == i) for i in range(3)])
    b = np.linalg.lstsq(np.column_stack([own, np.delete(d, 1, axis=1)]), y, rcond=None)[0]
    assert slopes["estimate"].to_numpy() == pytest.approx(b[:3], abs=1e-8)


def test_labeler_as_a_fixed_effect_stacks_labelers(w: World) -> None:
    rng = np.random.default_rng(0)
    noisy = w.labels.with_columns(
        labeler=pl.lit("noisy"),
        last_response_is_helpful=pl.col("last_response_is_helpful")
        ^ pl.Series(rng.random(w.labels.height) < 0.1),
    )
    f = Frames(w.scores.lazy(), (w.labels.lazy(), noisy.lazy()), w.texts.lazy())
    result = estimate(f, AnalyzeOptions("pre", "post", labeler="truth", fixed_effects=("labeler",)))
    alone = run(w).tables["imprint"]
    ours = result.tables["imprint"]
    assert ours["n_pairs"].unique().to_list() == [8000]
    both = [x.filter(model="post", term="last_response_is_helpful")["estimate"][0] for x in (ours, alone)]
    assert both[0] < both[1]  # noise in labels attenuates


def test_options_that_cannot_be_honoured_are_refused(w: World) -> None:
    with pytest.raises(UsageError, match="pair effect"):
        run(w, fixed_effects=("row_id",))
    with pytest.raises(InputError, match="no column 'meta_x'; there are: source"):
        run(w, fixed_effects=("meta_x",))
    with pytest.raises(UsageError, match="no regressor 'nice'"):
        run(w, interactions=("nice:source",))
    with pytest.raises(UsageError, match="rests on one cluster alone"):
        run(w, cluster="source", interactions=("last_response_is_helpful:source",))
    with pytest.raises(UsageError, match="no labeler 'x'; there are: truth"):
        run(w, labeler="x")
    with pytest.raises(UsageError, match=r"no scores of 'new'; there are: post, pre"):
        estimate(Frames(w.scores.lazy(), (w.labels.lazy(),)), AnalyzeOptions("pre", "new"))
    with pytest.raises(InputError, match="come with the texts"):
        estimate(
            Frames(w.scores.lazy(), (w.labels.lazy(),)),
            AnalyzeOptions("pre", "post", fixed_effects=("source",)),
        )
    with pytest.raises(UsageError, match="both the scores and the labels"):
        Frames(w.scores.lazy(), (w.labels.lazy(),), rewritten_scores=w.scores.lazy())
