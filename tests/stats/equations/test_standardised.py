"""Models compared in SDs of their own margins: the delta method by hand, scale, origin, and coverage."""

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

from benchmarks.statistics_worlds import BETA_POST, BETA_PRE, TERMS, World, frames, world
from seal.stats.equations.imprint import feature_imprint
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.options import TARGETS, AnalyzeOptions, Inference
from seal.stats.pairs.features import find_features
from seal.stats.pairs.joins import Inputs
from seal.stats.results import Results

Floats = NDArray[np.float64]


def imprint(w: World, *, chosen_side: bool = False, **how: object) -> pl.DataFrame:
    inputs = Inputs(
        w.scores.lazy(), "pre", "post", w.labels.lazy(), find_features(w.labels.lazy(), targets=TARGETS)
    )
    return feature_imprint(inputs, Inference(**how), chosen_side=chosen_side)[0].table  # type: ignore[arg-type]


def analysis(w: World, **options: object) -> Results:
    given = Frames(w.scores.lazy(), (w.labels.lazy(),), w.texts.lazy())
    published = bool(options.pop("as_published", False))
    return estimate(given, AnalyzeOptions("pre", "post", **options), as_published=published)  # type: ignore[arg-type]


def given_rewards(w: World, rewards: Floats) -> World:
    scores, labels, texts = frames(w.values, rewards)
    return World(scores, labels, texts, w.values, rewards)


def psi(x: Floats, margins: Floats) -> tuple[Floats, Floats, Floats]:
    """Estimate in SDs, influences with the SD's part, and without it: (k,), (n, k), (n, k)."""
    b = np.linalg.lstsq(x, margins, rcond=None)[0]
    n, s = len(x), margins.std()
    own = (x * (margins - x @ b)[:, None]) @ np.linalg.inv(x.T @ x) / s
    u = ((margins - margins.mean()) ** 2 - s**2) / (2 * s * n)
    return b / s, own - np.outer(u, b / s**2), own


@pytest.fixture(scope="module")
def w() -> World:
    return world(5000, seed=4, shuffle=False, premium=0.2)


@pytest.mark.parametrize("chosen_side", [False, True])
def test_contrasts_are_in_sds_with_the_error_of_the_sds(w: World, chosen_side: bool) -> None:
    table = imprint(w, chosen_side=chosen_side)
    d = w.values[:, 0] - w.values[:, 1]
    x = np.column_stack([np.ones(len(d)), d]) if chosen_side else d
    margins = w.rewards[:, :, 0] - w.rewards[:, :, 1]
    (b0, psi0, _), (b1, psi1, _) = psi(x, margins[0]), psi(x, margins[1])
    for model, b, influence in (("pre", b0, psi0), ("post", b1, psi1), ("post-pre", b1 - b0, psi1 - psi0)):
        part = table.filter(pl.col("model") == model)
        error = np.sqrt((influence**2).sum(axis=0))
        np.testing.assert_allclose(part["estimate_std"], b, atol=1e-10)
        np.testing.assert_allclose(part["std_error_std"], error, rtol=1e-7)
        from scipy.stats import t

        np.testing.assert_allclose(part["p_value_std"], 2 * t.sf(np.abs(b / error), 4999), rtol=1e-5)
        half = t.isf(0.025, 4999) * error
        np.testing.assert_allclose(part["conf_low_std"], b - half, atol=1e-9)
        np.testing.assert_allclose(part["conf_high_std"], b + half, atol=1e-9)


def test_a_family_of_its_own_is_adjusted(w: World) -> None:
    table = imprint(w, adjust="bonferroni", chosen_side=True)
    assert table.filter(term="chosen")["p_adjusted_std"].to_list() == [None] * 3
    others = table.filter(pl.col("term") != "chosen")
    assert others["p_adjusted_std"].to_list() == pytest.approx([min(1, 6 * p) for p in others["p_value_std"]])


def test_twice_the_rewards_are_no_difference(w: World) -> None:
    doubled = given_rewards(w, np.stack([w.rewards[0], 2 * w.rewards[0]]))
    results = analysis(doubled)
    for name in ("imprint", "imprint_chosen"):
        part = results.tables[name].filter(model="post-pre")
        assert part.filter(pl.col("p_adjusted") < 0.01).height >= 3  # in reward units it seems one
        for column in ("estimate_std", "conf_low_std", "conf_high_std"):
            assert part[column].to_list() == pytest.approx([0] * part.height, abs=1e-9)
        assert part["p_value_std"].to_list() == [1.0] * part.height
        assert set(part["p_adjusted_std"]) <= {1.0, None}
    shift = results.tables["shift"].filter(outcome="standardised_margin_change")
    assert shift["estimate"].to_list() == pytest.approx([0] * 13, abs=1e-9)


def test_thrice_the_rewards_are_no_difference_whatever_rounding_leaves(w: World) -> None:
    thrice = given_rewards(w, np.stack([w.rewards[0], 3 * w.rewards[0]]))
    writers = thrice.texts.with_columns(
        meta_writer=(pl.col("row_id") * 7 + (pl.col("preference") == "chosen")) % 3,
        meta_group=pl.col("row_id") // 3,
    )
    thrice = World(thrice.scores, thrice.labels, writers, w.values, thrice.rewards)
    for asked in (
        {}, {"cluster": "meta_group"}, {"interactions": ("last_response_is_refusal:source",)},
        {"fixed_effects": ("meta_writer",)},
    ):  # fmt: skip
        tables = analysis(thrice, **asked).tables
        part = tables["imprint"].filter(model="post-pre")
        assert part["p_value_std"].to_list() == [1.0] * part.height, asked
        shift = tables["shift"].filter(outcome="standardised_margin_change")
        assert shift["p_value"].to_list() == [1.0] * 13, asked


def test_units_of_either_model_do_not_matter(w: World) -> None:
    other = given_rewards(w, np.stack([w.rewards[0] / 4, w.rewards[1] * 8 + 3]))
    mine, theirs = imprint(w), imprint(other)
    for column in (c for c in mine.columns if c.endswith("_std")):
        np.testing.assert_allclose(mine[column], theirs[column], rtol=1e-3, atol=1e-6)  # float32 rewards


def test_margins_that_never_vary_have_no_scale(w: World) -> None:
    flat = w.rewards.copy()
    flat[1] = 1.5
    results = analysis(given_rewards(w, flat))
    table = results.tables["imprint"]
    assert table.filter(pl.col("model") != "pre")["estimate_std"].null_count() == 12
    same = imprint(w).filter(model="pre")
    for column in (c for c in table.columns if c.endswith("_std")):  # the other model has its scale
        assert table.filter(model="pre")[column].to_list() == same[column].to_list()
    part = results.tables["shift"].filter(outcome="standardised_margin_change")
    assert part["estimate"].null_count() == 13


def test_the_standardised_shift_has_the_error_of_the_sds(w: World) -> None:
    part = analysis(w).tables["shift"].filter(outcome="standardised_margin_change")
    x = np.column_stack([np.ones(5000), w.values[:, 0], w.values[:, 1]])
    margins = w.rewards[:, :, 0] - w.rewards[:, :, 1]
    (b0, full0, own0), (b1, full1, own1) = psi(x, margins[0]), psi(x, margins[1])
    np.testing.assert_allclose(part["estimate"], b1 - b0, atol=1e-9)
    full, own = (np.sqrt((p**2).sum(axis=0) * 5000 / (5000 - 13)) for p in (full1 - full0, own1 - own0))
    np.testing.assert_allclose(part["std_error"], full, rtol=1e-7)
    assert np.max(np.abs(full / own - 1)) > 0.005  # else the SDs' error would not be seen here


def test_a_constant_added_to_one_model_changes_nothing(w: World) -> None:
    moved = given_rewards(w, w.rewards + np.array([0.0, 5.0])[:, None, None])
    same, other = analysis(w), analysis(moved)
    for name in ("imprint", "shift", "resistance", "tests", "regimes"):
        mine, theirs = same.tables[name], other.tables[name]
        for column in (c for c, kind in mine.schema.items() if kind == pl.Float64()):
            np.testing.assert_allclose(
                mine[column].to_numpy(), theirs[column].to_numpy(), rtol=2e-3, atol=1e-4, err_msg=name
            )
    raw = [
        analysis(x, theta_origin="raw").tables["shift"].filter(outcome="theta")["estimate"].to_numpy()
        for x in (w, moved)
    ]
    assert np.max(np.abs(raw[0] - raw[1])) > 5  # degrees


def test_the_origin_is_told_and_the_study_keeps_its_own(w: World) -> None:
    centred, raw = (analysis(w, theta_origin=o, as_published=True) for o in ("centred", "raw"))
    said = [n for n in centred.notes if "rewards less each model's mean" in n]
    mean = w.rewards.mean(axis=(1, 2))
    assert len(said) == 1
    assert f"pre {mean[0]:.4g}, post {mean[1]:.4g}" in said[0]
    assert not [n for n in raw.notes if "rewards less each model's mean" in n]
    for name, table in centred.published.items():
        assert_frame_equal(table, raw.published[name], rel_tol=1e-9)
    theta = [x.tables["shift"].filter(outcome="theta")["estimate"].to_numpy() for x in (centred, raw)]
    assert np.max(np.abs(theta[0] - theta[1])) > 1


@pytest.mark.slow
def test_intervals_of_the_contrast_hold_the_truth() -> None:
    # the truth: planted coefficients over the SDs of a large draw; 200 worlds x 6 terms, so 0.95 +- 0.02
    big = world(400_000, seed=999, shuffle=False)
    sd = (big.rewards[:, :, 0] - big.rewards[:, :, 1]).std(axis=1)
    truth = np.array(BETA_POST) / sd[1] - np.array(BETA_PRE) / sd[0]
    held = []
    for seed in range(200):
        part = imprint(world(400, seed=seed, shuffle=False)).filter(model="post-pre")
        assert part["term"].to_list() == list(TERMS)
        held.append((part["conf_low_std"].to_numpy() <= truth) & (truth <= part["conf_high_std"].to_numpy()))
    assert 0.93 <= np.mean(held) <= 0.97


def test_designs_of_their_own_take_the_sds_as_known(w: World) -> None:
    d, margins = w.values[:, 0] - w.values[:, 1], w.rewards[:, :, 0] - w.rewards[:, :, 1]
    s = margins.std(axis=1)
    found = analysis(w, interactions=("last_response_is_refusal:source",))
    by_source = [d[:, 4] * (np.arange(5000) % 3 == i) for i in range(3)]
    x = np.column_stack([d[:, :4], *by_source, d[:, 5]])
    bread = np.linalg.inv(x.T @ x)
    for model, y in (("pre", margins[0] / s[0]), ("post-pre", margins[1] / s[1] - margins[0] / s[0])):
        b = bread @ x.T @ y
        error = np.sqrt((((x * (y - x @ b)[:, None]) @ bread) ** 2).sum(axis=0))
        part = found.tables["imprint"].filter(model=model)
        np.testing.assert_allclose(part["estimate_std"], b, atol=1e-9)
        np.testing.assert_allclose(part["std_error_std"], error, rtol=1e-8)
    assert any("taken as known" in note for note in found.notes)
    writers = w.texts.with_columns(
        meta_writer=(pl.col("row_id") * 7 + (pl.col("preference") == "chosen")) % 3
    )
    varying = World(w.scores, w.labels, writers, w.values, w.rewards)
    table = analysis(varying, fixed_effects=("meta_writer",)).tables["imprint"]
    pre, change = table.filter(model="pre"), table.filter(model="post-pre")
    np.testing.assert_allclose(pre["std_error_std"], pre["std_error"].to_numpy() / s[0], rtol=1e-6)
    post = table.filter(model="post")["estimate"].to_numpy() / s[1]
    np.testing.assert_allclose(change["estimate_std"], post - pre["estimate"].to_numpy() / s[0], atol=1e-7)
    assert change["std_error_std"].null_count() == change["p_adjusted_std"].null_count() == 0
