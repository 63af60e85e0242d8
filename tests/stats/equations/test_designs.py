"""Clusters, fixed effects, slopes by source and stacked labelers, against numpy written out and pyfixest."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

from benchmarks.statistics_worlds import TERMS, World, world
from seal.engine.errors import InputError, UsageError
from seal.stats.equations.designs import Design
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.options import AnalyzeOptions
from seal.stats.pairs.features import find_features
from seal.stats.regression import fixest
from seal.stats.results import Results

Floats = NDArray[np.float64]
N = 6000
MODELS = (("pre", "pre"), ("post", "post"), ("change", "post-pre"))


@pytest.fixture(scope="module")
def w() -> World:
    drawn = world(N, seed=4, premium=0.3)
    row = pl.col("row_id")
    texts = drawn.texts.with_columns(
        group=row // 2, prompt=pl.format("p{}", row % 2500), meta_alone=pl.format("t{}", row),
        meta_topic=row % 4,
        meta_writer=pl.format("w{}", (row * 7 + (pl.col("preference") == "chosen")) % 5),
    )  # fmt: skip
    return World(drawn.scores, drawn.labels, texts, drawn.values, drawn.rewards)


def run(w: World, labels: Sequence[pl.DataFrame] = (), **options: object) -> Results:
    frames = {
        "scores": [w.scores], "labels": list(labels) or [w.labels], "texts": [w.texts],
        **{role: [] for role in ("rewritten", "rewritten-scores", "rewritten-labels", "similarities")},
    }  # fmt: skip
    return estimate(Frames.of(frames), AnalyzeOptions("pre", "post", **options))  # type: ignore[arg-type]


def long(w: World, labels: pl.DataFrame) -> pl.DataFrame:
    """One row a text for pyfixest: rewards, regressors, columns of the texts."""
    rewards = w.scores.pivot("model", index=["row_id", "preference"], values="reward").with_columns(
        pl.col("pre", "post").cast(pl.Float64), chosen=(pl.col("preference") == "chosen").cast(pl.Float64)
    )
    features = find_features(labels.lazy(), targets=TERMS[:2])
    numbers = labels.select("row_id", "preference", *(r.value().alias(r.term) for r in features.regressors))
    joined = rewards.join(numbers, on=["row_id", "preference"]).join(w.texts, on=["row_id", "preference"])
    return joined.with_columns(change=pl.col("post") - pl.col("pre"))


def is_pyfixests(table: pl.DataFrame, frame: pl.DataFrame, terms: Sequence[str], **design: object) -> None:
    for outcome, model in MODELS:
        theirs = fixest.fit(frame, outcome, terms, **design)  # type: ignore[arg-type]
        part = table.filter(pl.col("model") == model)
        assert part["term"].to_list() == list(terms)
        for row in part.iter_rows(named=True):
            assert row["estimate"] == pytest.approx(theirs.estimate[row["term"]], abs=1e-8)
            assert row["std_error"] == pytest.approx(theirs.std_error[row["term"]], abs=1e-8)


def same(ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
    """Equal but for the order in which threads add up."""
    assert_frame_equal(ours, theirs, rel_tol=1e-9, abs_tol=1e-13)


def without_pyfixest(patch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("this design needs no pyfixest")

    patch.setattr(fixest, "fit", never)


@pytest.mark.parametrize("cluster", ["group", "prompt", "source"])
def test_any_column_of_the_texts_clusters_as_pyfixest_does(w: World, cluster: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        without_pyfixest(patch)
        found = run(w, cluster=cluster)
    frame = long(w, w.labels)
    for name, terms in (("imprint", TERMS), ("imprint_chosen", ("chosen", *TERMS))):
        is_pyfixests(found.tables[name], frame, terms, cluster=cluster, small_sample=True)
    n = frame[cluster].n_unique()
    assert any(f"clustered by {cluster}, {n} clusters of {N} pairs" in note for note in found.notes)


def test_groups_are_the_default_and_the_pair_can_be_asked_for(w: World) -> None:
    default, by_group, by_pair = run(w), run(w, cluster="group"), run(w, cluster="pair")
    for name in ("imprint", "imprint_chosen", "shift", "resistance"):
        same(default.tables[name], by_group.tables[name])
        gap = default.tables[name]["std_error"] - by_pair.tables[name]["std_error"]
        assert gap.abs().max() > 1e-4  # type: ignore[operator]
    without = World(w.scores, w.labels, w.texts.drop("group"), w.values, w.rewards)
    for name in ("imprint", "shift", "resistance"):
        same(run(without).tables[name], by_pair.tables[name])


def test_clusters_of_one_pair_are_the_pair(w: World) -> None:
    alone, by_pair = run(w, cluster="meta_alone"), run(w, cluster="pair")
    for name in ("imprint", "imprint_chosen", "shift", "resistance", "tests"):
        same(alone.tables[name], by_pair.tables[name])
    assert not any("clustered" in note for note in alone.notes)


def test_people_pay_for_a_feature_also_where_its_slopes_differ(w: World) -> None:
    plain = run(w, cluster="pair").tables["human"]
    assert plain["term"].n_unique() == len(TERMS)
    for column in ("source", "meta_writer"):  # the second differs within pairs
        crossed = run(w, cluster="pair", interactions=(f"last_response_is_helpful:{column}",))
        same(crossed.tables["human"], plain)


def test_slopes_by_a_column_are_pyfixests(w: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        without_pyfixest(patch)
        slopes = run(w, cluster="pair", interactions=("last_response_is_helpful:source",))
        both = run(w, cluster="prompt", interactions=("last_response_sentiment:meta_topic",))
    frame, terms = long(w, w.labels), list(TERMS)
    terms[1:2] = [f"last_response_is_helpful:source=source{i}" for i in range(3)]
    crossed = frame.with_columns(
        ((pl.col("source") == f"source{i}") * pl.col("last_response_is_helpful")).alias(t)
        for i, t in enumerate(terms[1:4])
    )
    is_pyfixests(slopes.tables["imprint"], crossed, terms)
    is_pyfixests(slopes.tables["imprint_chosen"], crossed, ["chosen", *terms])
    terms = [*TERMS[:5], *(f"last_response_sentiment:meta_topic={i}" for i in range(4))]
    crossed = frame.with_columns(
        ((pl.col("meta_topic") == i) * pl.col("last_response_sentiment")).alias(t)
        for i, t in enumerate(terms[5:])
    )
    is_pyfixests(both.tables["imprint"], crossed, terms, cluster="prompt", small_sample=True)
    margins = (w.rewards[:, :, 0] - w.rewards[:, :, 1]).std(axis=1)
    own = slopes.tables["imprint"]["estimate"].to_numpy().reshape(3, -1)
    std = slopes.tables["imprint"]["estimate_std"].to_numpy().reshape(3, -1)
    assert std[:2] == pytest.approx(own[:2] / margins[:, None])
    assert std[2] == pytest.approx(own[1] / margins[1] - own[0] / margins[0])
    d = w.values[:, 0, 1] - w.values[:, 1, 1]
    n = [int((d[np.arange(N) % 3 == i] != 0).sum()) for i in range(3)]
    assert slopes.tables["imprint"]["n_informative"].to_list()[1:4] == n


def test_slopes_of_covariates_by_a_column(w: World) -> None:
    rng = np.random.default_rng(0)
    labels = w.labels.with_columns(n_words=pl.Series(rng.uniform(10, 90, w.labels.height)))
    found = run(w, [labels], cluster="pair", covariates=("n_words",), interactions=("n_words:source",))
    terms = [*TERMS, *(f"n_words:source=source{i}" for i in range(3))]
    frame = long(w, labels).join(
        labels.select("row_id", "preference", "n_words"), on=["row_id", "preference"]
    )
    crossed = frame.with_columns(
        ((pl.col("source") == f"source{i}") * pl.col("n_words")).alias(t) for i, t in enumerate(terms[6:])
    )
    is_pyfixests(found.tables["imprint"], crossed, terms)
    part = found.tables["imprint"].filter(pl.col("model") == "post", pl.col("term") == terms[-1])
    unit = labels["n_words"].std() / (w.rewards[1, :, 0] - w.rewards[1, :, 1]).std()  # type: ignore[operator]
    assert part["estimate_std"][0] == pytest.approx(part["estimate"][0] * unit)


def test_pairs_without_a_value_have_no_slope_and_are_told(w: World) -> None:
    texts = w.texts.with_columns(meta_topic=pl.when(pl.col("row_id") >= 100).then("meta_topic"))
    gap = World(w.scores, w.labels, texts, w.values, w.rewards)
    found = run(gap, cluster="pair", interactions=("last_response_is_helpful:meta_topic",))
    assert found.tables["imprint"]["n_pairs"].unique().to_list() == [N - 100]
    assert found.tables["resistance"]["n_pairs"].unique().to_list() == [N]
    assert "100 pairs have no meta_topic: left out of the imprint" in found.notes


def test_effects_that_pairs_lie_in_are_seen_before_anything_is_fitted(w: World) -> None:
    plain = run(w, cluster="pair")
    with pytest.MonkeyPatch.context() as patch:
        without_pyfixest(patch)
        absorbed = run(w, cluster="pair", fixed_effects=("source", "prompt"))
    for name in ("imprint", "imprint_chosen", "shift", "resistance"):
        same(absorbed.tables[name], plain.tables[name])
    for column in ("source", "prompt"):
        assert any(f"{column} is the same for both texts of every pair" in n for n in absorbed.notes)


def test_effects_that_differ_within_pairs_enter(w: World) -> None:
    # differences of the dummies, less one, beside those of the features
    found = run(w, cluster="pair", fixed_effects=("meta_writer",)).tables["imprint"]
    texts = w.texts.sort("row_id", "preference")["meta_writer"].to_numpy().reshape(N, 2)
    dummies = np.stack([(texts == f"w{i}").astype(float) for i in range(1, 5)], axis=2)
    x = np.column_stack([w.values[:, 0] - w.values[:, 1], dummies[:, 0] - dummies[:, 1]])
    for i, model in enumerate(("pre", "post")):
        b = np.linalg.lstsq(x, w.rewards[i, :, 0] - w.rewards[i, :, 1], rcond=None)[0]
        assert found.filter(pl.col("model") == model)["estimate"].to_numpy() == pytest.approx(b[:6], abs=1e-7)
    slopes = run(w, cluster="pair", interactions=("last_response_is_helpful:meta_writer",)).tables["imprint"]
    own = np.stack([w.values[:, :, 1] * (texts == f"w{i}") for i in range(5)], axis=2)
    x = np.column_stack([own[:, 0] - own[:, 1], np.delete(w.values[:, 0] - w.values[:, 1], 1, axis=1)])
    b = np.linalg.lstsq(x, w.rewards[1, :, 0] - w.rewards[1, :, 1], rcond=None)[0]
    part = slopes.filter(pl.col("model") == "post", pl.col("term").str.contains(":meta_writer="))
    assert part["estimate"].to_numpy() == pytest.approx(b[:5], abs=1e-7)


def noisy(w: World, name: str, seed: int, rate: float = 0.08) -> pl.DataFrame:
    """Labels with errors of their own."""
    rng = np.random.default_rng(seed)
    wrong = {f: pl.col(f) ^ pl.Series(rng.random(w.labels.height) < rate) for f in TERMS[:5]}
    return w.labels.with_columns(labeler=pl.lit(name), **wrong)


def differences(labels: pl.DataFrame) -> Floats:
    ordered = labels.sort("row_id", "preference")
    mood = ordered[TERMS[5]].cast(pl.String).replace_strict({"positive": 1, "neutral": 0, "negative": -1})
    values = np.column_stack([*(ordered[f].to_numpy().astype(float) for f in TERMS[:5]), mood.to_numpy()])
    sides = values.reshape(-1, 2, 6)
    return np.asarray(sides[:, 0] - sides[:, 1])


def clustered(x: Floats, y: Floats, cluster: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Least squares and its errors with scores summed within clusters, no factor."""
    bread = np.linalg.inv(x.T @ x)
    b = bread @ x.T @ y
    scores = np.zeros((cluster.max() + 1, x.shape[1]))
    np.add.at(scores, cluster, x * (y - x @ b)[:, None])
    return b, np.sqrt(np.diag(bread @ scores.T @ scores @ bread))


def test_with_every_feature_crossed_each_labeler_has_its_own_regression(w: World) -> None:
    labelers = [noisy(w, f"l{i}", i) for i in range(3)]
    each = tuple(f"{term}:labeler" for term in TERMS)
    crossed = run(w, labelers, labeler="l0", cluster="pair", interactions=each, max_vif=99.0)
    for i, labels in enumerate(labelers):
        alone = run(w, [labels], cluster="pair", max_vif=99.0)
        own = crossed.tables["imprint"].filter(pl.col("term").str.ends_with(f":labeler=l{i}"))
        for column in ("estimate", "std_error", "n_informative", "n_pairs", "conf_low", "p_value"):
            theirs = alone.tables["imprint"][column].to_numpy()
            assert own[column].to_numpy() == pytest.approx(theirs, rel=1e-8, abs=1e-10), column


@pytest.mark.parametrize("cluster", ["pair", "group"])
def test_stacked_labelers_have_an_effect_for_each_pair_and_labeler(w: World, cluster: str) -> None:
    labelers = [noisy(w, f"l{i}", i) for i in range(3)]
    stacked = run(w, labelers, labeler="l0", cluster=cluster, fixed_effects=("labeler",)).tables["imprint"]
    x = np.concatenate([differences(labels) for labels in labelers])
    y = np.tile(w.rewards[1, :, 0] - w.rewards[1, :, 1], 3)
    ids = np.tile(np.arange(N) if cluster == "pair" else np.arange(N) // 2, 3)
    b, se = clustered(x, y, ids)
    if cluster == "group":  # pyfixest's factor for 6 N texts
        se *= np.sqrt(3000 / 2999 * (6 * N - 1) / (6 * N - 6 - 1))
    part = stacked.filter(pl.col("model") == "post")
    assert part["estimate"].to_numpy() == pytest.approx(b, abs=1e-8)
    assert part["std_error"].to_numpy() == pytest.approx(se, abs=1e-8)
    assert part["n_pairs"].unique().to_list() == [N]
    some = np.stack([differences(labels) != 0 for labels in labelers]).any(axis=0).sum(axis=0)
    assert part["n_informative"].to_list() == list(some)
    alone = [run(w, [x], cluster="pair").tables["imprint"].filter(model="post")["estimate"] for x in labelers]
    mean = np.mean([a.to_numpy() for a in alone], axis=0)
    assert b == pytest.approx(mean, abs=0.02)  # disagreement does not attenuate further than errors do


def test_stacked_labelers_and_an_effect_within_pairs(w: World) -> None:
    labelers = [noisy(w, f"l{i}", i) for i in range(2)]
    found = run(w, labelers, labeler="l0", cluster="pair", fixed_effects=("labeler", "meta_writer"))
    texts = w.texts.sort("row_id", "preference")["meta_writer"].to_numpy().reshape(N, 2)
    dummies = np.stack([(texts == f"w{i}").astype(float) for i in range(1, 5)], axis=2)
    x = np.concatenate([np.column_stack([differences(v), dummies[:, 0] - dummies[:, 1]]) for v in labelers])
    b, se = clustered(x, np.tile(w.rewards[1, :, 0] - w.rewards[1, :, 1], 2), np.tile(np.arange(N), 2))
    part = found.tables["imprint"].filter(pl.col("model") == "post")
    assert part["estimate"].to_numpy() == pytest.approx(b[:6], abs=1e-7)
    assert part["std_error"].to_numpy() == pytest.approx(se[:6], abs=1e-7)


def test_the_published_attenuation_is_gone() -> None:
    # one feature, three labelers, 8% errors: each alone keeps 0.65 of the slope, and so does the stack
    rng = np.random.default_rng(0)
    n, rate = 10_000, 0.08
    true = rng.random((n, 2)) < 0.7
    drawn = world(n, seed=1)
    rewards = (true * 1.0 + rng.normal(size=(n, 2)) * 0.5).astype(np.float32)
    ordered = drawn.scores.sort("model", "row_id", "preference")
    both = np.tile(rewards.ravel(), 2)
    scores = ordered.with_columns(reward=pl.Series(both))
    key = drawn.labels.sort("row_id", "preference").select("row_id", "preference", "variant")
    labelers = [
        key.with_columns(labeler=pl.lit(f"l{i}"), nice=pl.Series(true.ravel() ^ (rng.random(2 * n) < rate)))
        for i in range(3)
    ]
    w = World(scores, labelers[0], drawn.texts, drawn.values, drawn.rewards)
    found = run(w, labelers, labeler="l0", targets=("nice",), fixed_effects=("labeler",)).tables["imprint"]
    alone = [run(w, [x], targets=("nice",)).tables["imprint"]["estimate"][0] for x in labelers]
    assert found["estimate"][0] == pytest.approx(np.mean(alone), abs=0.005)


def test_labelers_that_lack_a_feature_are_not_stacked(w: World) -> None:
    other = w.labels.drop(TERMS[3]).with_columns(labeler=pl.lit("short"))
    with pytest.raises(InputError, match=f"labeler 'short' has no {TERMS[3]}"):
        run(w, [w.labels, other], labeler="truth", fixed_effects=("labeler",))


def test_columns_that_will_not_do_are_named(w: World) -> None:
    there = "there are: source, response, prompt, group, meta_alone, meta_topic, meta_writer"
    with pytest.raises(InputError, match=f"no column 'meta_x'; {there}"):
        run(w, cluster="meta_x")
    with pytest.raises(InputError, match="no column 'preference'"):
        run(w, fixed_effects=("preference",))
    with pytest.raises(InputError, match=r"'meta_writer' differs within \d+ pairs, the first row_id \d+"):
        run(w, cluster="meta_writer")
    with pytest.raises(UsageError, match="cluster cannot be 'labeler': name `pair`"):
        run(w, cluster="labeler")
    with pytest.raises(UsageError, match="prompt has over 20 values"):
        run(w, cluster="pair", interactions=("last_response_is_helpful:prompt",))
    lists = World(w.scores, w.labels, w.texts.with_columns(turns=pl.lit(["a"])), w.values, w.rewards)
    with pytest.raises(InputError, match=r"column 'turns' is List\(String\)"):
        run(lists, cluster="turns")


def test_the_design_says_which_columns_vary() -> None:
    design = Design(("labeler", "a", "b"), "g", (("f", "c"), ("f", "labeler")))
    assert (design.effects, design.crossed, design.columns) == (("a", "b"), ("c",), ("a", "b", "g", "c"))
    assert design.varying({"b", "c", "g"}) == ("b", "c")
