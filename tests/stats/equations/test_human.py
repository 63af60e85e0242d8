"""Human imprint: statsmodels, influences by the derivative in every pair's weight, invariances, refusals."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.human_worlds import HUMAN, MODEL, Choices, choices
from seal.engine.frames.schema import PREFERENCE, VARIANT
from seal.stats.analysis import analyze
from seal.stats.equations import amplification
from seal.stats.equations.human import HumanInfluence, human_fit, human_influences
from seal.stats.equations.human_points import points
from seal.stats.options import AnalyzeOptions, Inference, RmScale
from seal.stats.pairs.features import find_features
from seal.stats.pairs.joins import Inputs, Pairs
from seal.stats.pairs.places import Places
from seal.stats.pairs.spool import Spool
from seal.stats.regression.separation import NoFit

Floats = NDArray[np.float64]
SCALES: tuple[RmScale, ...] = ("calibrated", "own", "choice")
NAMES = [f"f{j}" for j in range(8)]


def drawn(n: int, seed: int, k: int = 4) -> Choices:
    found = choices(n, np.random.default_rng(seed), human=HUMAN[:k], model=MODEL[:k], quality=1.0)
    found.margins[::17] = 0.0  # ties
    return found


def shares_of(m: Floats, scale: RmScale) -> tuple[Floats, float | None]:
    if scale == "choice":
        return np.where(m == 0, 0.5, (m > 0) * 1.0), None
    t = float(sm.Logit(np.ones_like(m), m[:, None]).fit(disp=0, tol=1e-13).params[0])
    t = 1.0 if scale == "own" else t
    return expit(t * m), t


@pytest.mark.parametrize("scale", SCALES)
def test_people_model_and_factor_are_logits_of_statsmodels(scale: RmScale) -> None:
    w = drawn(900, 0)
    q, t = shares_of(w.margins, scale)
    binomial = sm.families.Binomial()
    h = sm.GLM(np.ones(len(q)), w.d, family=binomial).fit(tol=1e-13).params
    r = sm.GLM(q, w.d, family=binomial).fit(tol=1e-13).params
    found = human_fit(w.d, w.margins, None, scale)
    np.testing.assert_allclose(found.estimate, [*h, *r], rtol=1e-7)
    assert found.t == (None if t is None else pytest.approx(t, rel=1e-8))


@pytest.mark.parametrize("scale", SCALES)
def test_influences_are_derivatives_in_the_weight_of_each_pair(scale: RmScale) -> None:
    """The infinitesimal jackknife; of the calibrated scale the estimation of t is in it."""
    w = drawn(60, 1, k=3)
    rng = np.random.default_rng(2)
    weight = rng.uniform(0.5, 2.0, 60)
    found = human_fit(w.d, w.margins, weight, scale, hc2=False)
    step = 1e-4
    for i in rng.choice(60, 12, replace=False):
        ends = []
        for sign in (1, -1):
            moved = weight.copy()
            moved[i] *= 1 + sign * step
            ends.append(human_fit(w.d, w.margins, moved, scale))
        for mine, name in ((found.influence, "estimate"), (found.points_influence, "points")):
            slope = (getattr(ends[0], name) - getattr(ends[1], name)) / (2 * step)
            np.testing.assert_allclose(mine[i], slope, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.influence.sum(axis=0), 0, atol=1e-9)


def test_hc2_divides_the_scores_by_what_leverage_leaves() -> None:
    w = drawn(50, 3, k=3)
    plain, wider = (human_fit(w.d, w.margins, None, "own", hc2=x) for x in (False, True))
    for part in (slice(0, 3), slice(3, 6)):
        p = expit(w.d @ plain.estimate[part])
        bread = np.linalg.inv((w.d * (p * (1 - p))[:, None]).T @ w.d)
        left = np.sqrt(1 - p * (1 - p) * np.einsum("ij,jk,ik->i", w.d, bread, w.d))
        np.testing.assert_allclose(wider.influence[:, part] * left[:, None], plain.influence[:, part])


def test_weights_of_any_scale_stand_for_repeated_pairs() -> None:
    w = drawn(80, 4, k=3)
    times = np.random.default_rng(5).integers(1, 4, 80)
    again = human_fit(np.repeat(w.d, times, axis=0), np.repeat(w.margins, times), hc2=False)
    found = human_fit(w.d, w.margins, times / 1000.0, hc2=False)
    np.testing.assert_allclose(found.estimate, again.estimate, rtol=1e-8)
    np.testing.assert_allclose(found.points, again.points, rtol=1e-8)
    np.testing.assert_allclose(found.influence, np.add.reduceat(
        again.influence, np.concatenate([[0], times.cumsum()[:-1]])), rtol=1e-6, atol=1e-10)  # fmt: skip


def test_points_are_the_mean_rise_of_a_probability() -> None:
    w, b = drawn(40, 6, k=3), np.array([0.7, -0.4, 0.2])
    by_hand = [
        np.mean([1 / (1 + np.exp(-(d @ b + b[f]))) - 1 / (1 + np.exp(-(d @ b))) for d in w.d])
        for f in range(3)
    ]
    found = points(w.d, b)
    np.testing.assert_allclose(found.mean, by_hand)
    for j, step in enumerate(1e-6 * np.eye(3)):
        slope = (points(w.d, b + step).mean - points(w.d, b - step).mean) / 2e-6
        np.testing.assert_allclose(found.jacobian[:, j], slope, rtol=1e-6)


def test_calibration_takes_the_scale_out_of_rewards() -> None:
    w = drawn(400, 7)
    once, twice = human_fit(w.d, w.margins), human_fit(w.d, 2 * w.margins)
    assert once.t is not None
    assert twice.t == pytest.approx(once.t / 2)
    np.testing.assert_allclose(twice.estimate, once.estimate, rtol=1e-8)
    np.testing.assert_allclose(twice.influence, once.influence, rtol=1e-6, atol=1e-10)
    own = [human_fit(w.d, k * w.margins, None, "own").estimate[4:] for k in (1, 2)]
    assert np.abs(own[1] - own[0]).max() > 0.1


@pytest.mark.parametrize(
    ("turn", "scale", "said"),
    [
        (lambda m: 0 * m, "own", "every pair is a tie"),
        (lambda m: 0 * m, "calibrated", "every pair is a tie"),
        (abs, "calibrated", "no margin is negative.*own"),
        (lambda m: -abs(m), "calibrated", "lower reward.*own"),
        (lambda m: -m, "calibrated", "lower reward.*own"),
    ],
)
def test_models_without_a_scale_are_refused(turn: object, scale: RmScale, said: str) -> None:
    w = drawn(300, 8)
    assert callable(turn)
    with pytest.raises(NoFit, match=said):
        human_fit(w.d, turn(w.margins), None, scale)


def test_a_feature_that_always_wins_gets_firths_estimate() -> None:
    w = drawn(400, 9, k=3)
    d = np.column_stack([w.d, np.arange(400) % 80 == 0])
    found = human_fit(d, w.margins)
    assert found.infinite == (3,)
    assert 0 < found.estimate[3] < 6
    assert np.abs(found.estimate[:3] - human_fit(w.d, w.margins).estimate[:3]).max() < 0.05


@dataclass(frozen=True)
class Frames:
    inputs: Inputs
    d: Floats
    margins: Floats
    place: NDArray[np.int64]
    given: dict[str, pl.DataFrame]


def framed(w: Choices, post: Floats, *, offset: float = 0.0, seed: int = 0) -> Frames:
    """Choices as frames: `pre` has the margins of `w`, `post` others; rewards are multiples of 1/256."""
    rng = np.random.default_rng(seed)
    n, k = w.d.shape
    chosen = w.d > 0
    other = rng.random((n, k)) < 0.5
    values = np.stack([np.where(w.d == 0, other, chosen), np.where(w.d == 0, other, ~chosen)], axis=1)
    place = rng.integers(0, n // 3, n)
    keys = {
        "row_id": np.repeat(np.arange(n), 2),
        "preference": pl.Series(["chosen", "rejected"] * n, dtype=PREFERENCE),
        "variant": pl.Series(["original"] * 2 * n, dtype=VARIANT),
    }
    labels = pl.DataFrame(
        {**keys, "labeler": "me"} | {NAMES[j]: values[:, :, j].ravel() for j in range(k)}
    ).sample(fraction=1.0, shuffle=True, seed=seed)
    base, *given = (np.round(256 * x) / 256 for x in (rng.normal(size=n), w.margins, post))
    scores = [
        pl.DataFrame({**keys, "model": m, "reward": np.stack([base + x + offset, base + offset], 1).ravel()})
        for m, x in zip(("pre", "post"), given, strict=True)
    ]
    texts = pl.DataFrame({**keys, "source": "s", "response": "r", "meta_place": np.repeat(place, 2)})
    features = find_features(labels.lazy(), targets=("f0",))
    inputs = Inputs(
        pl.concat(scores).lazy(), "pre", "post", labels.lazy(), features, texts=texts.lazy(),
        carried=("meta_place",),
    )  # fmt: skip
    with Spool(Pairs(inputs)) as rows:
        block = pl.concat(list(rows)).sort("row_id")
    m = (block["pre_chosen"] - block["pre_rejected"]).to_numpy()
    given_frames = {"scores": pl.concat(scores), "labels": labels, "texts": texts}
    both = np.stack([m, (block["post_chosen"] - block["post_rejected"]).to_numpy()])
    return Frames(inputs, w.d, both, place, given_frames)


def influences(
    f: Frames, scale: RmScale, cluster: str | None = None
) -> tuple[dict[str, HumanInfluence | NoFit], Places]:
    with Spool(Pairs(f.inputs, per_block=150)) as rows:
        places = Places.find(rows, cluster)
        return human_influences(rows, f.inputs, range(f.d.shape[1]), places, scale), places


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("cluster", [None, "meta_place"])
def test_frames_in_blocks_give_what_arrays_give(scale: RmScale, cluster: str | None) -> None:
    w = drawn(500, 10)
    f = framed(w, w.margins + np.random.default_rng(1).normal(size=500))
    found, places = influences(f, scale, cluster)
    for model, m in zip(("pre", "post"), f.margins, strict=True):
        side, arrays = found[model], human_fit(f.d, m, None, scale, hc2=False)
        assert isinstance(side, HumanInfluence)
        of = np.arange(500) if cluster is None else f.place
        for mine, estimate, psi in (
            (side.log_odds, arrays.estimate, arrays.influence),
            (side.points, arrays.points, arrays.points_influence),
        ):
            summed = np.stack([psi[of == c].sum(axis=0) for c in np.unique(of)])
            np.testing.assert_allclose(mine.estimate, estimate, rtol=1e-7)
            np.testing.assert_allclose(mine.covariance, summed.T @ summed, rtol=1e-6, atol=1e-12)
        assert not side.surplus.any()
        assert side.informative == tuple((f.d != 0).sum(axis=0))
    assert places.n_clusters == len(np.unique(of))


def test_one_model_alone_and_a_constant_on_all_rewards_change_nothing() -> None:
    w = drawn(300, 11)
    plain, shifted = framed(w, -w.margins), framed(w, -w.margins, offset=1024.0)
    found, _ = influences(plain, "own")
    moved, _ = influences(shifted, "own")
    with Spool(Pairs(plain.inputs)) as rows:
        places = Places.find(rows)
        alone = human_influences(rows, plain.inputs, range(4), places, "own", models=("post",))["post"]
    for model in ("pre", "post"):
        one, two = found[model], moved[model]
        assert isinstance(one, HumanInfluence)
        assert isinstance(two, HumanInfluence)
        np.testing.assert_allclose(two.log_odds.estimate, one.log_odds.estimate, rtol=1e-6)
    both = found["post"]
    assert isinstance(alone, HumanInfluence)
    assert isinstance(both, HumanInfluence)
    np.testing.assert_allclose(alone.log_odds.estimate, both.log_odds.estimate, rtol=1e-9)
    np.testing.assert_allclose(alone.log_odds.covariance, both.log_odds.covariance, rtol=1e-7)


def test_separated_people_have_the_errors_of_the_information() -> None:
    w = drawn(400, 12, k=4)
    w.d[:, 3] = np.arange(400) % 80 == 0
    found, _ = influences(framed(w, w.margins), "calibrated")
    side = found["pre"]
    assert isinstance(side, HumanInfluence)
    assert side.infinite == (3,)
    h = side.log_odds.estimate[:4]
    p = expit(w.d @ h)
    information = (w.d * (p * (1 - p))[:, None]).T @ w.d
    total = side.log_odds.covariance + side.surplus
    assert total[3, 3] == pytest.approx(np.linalg.inv(information)[3, 3], rel=0.02)
    assert side.log_odds.covariance[3, 3] < total[3, 3] / 3  # the sandwich alone says far too little


def table_of(
    f: Frames, scale: RmScale = "calibrated", how: Inference | None = None
) -> tuple[pl.DataFrame, list[str], pl.DataFrame]:
    with Spool(Pairs(f.inputs)) as rows:
        found = amplification.estimate_human(
            rows, f.inputs, range(f.d.shape[1]), Places.find(rows), how or Inference(), scale
        )
    tests = pl.DataFrame(
        list(found.tests), schema=["test", "group", "statistic", "p_value", "n"], orient="row"
    )
    return found.table, list(found.notes), tests


def test_a_difference_in_taste_is_found_and_a_common_factor_is_not_called_one() -> None:
    n, rng = 6000, np.random.default_rng(13)
    w = choices(n, rng, human=HUMAN[:5], model=3 * HUMAN[:5], noise=0.5)
    taste = np.array([0.0, 0.0, 1.5, 0.0, -1.5])
    f = framed(w, w.margins + w.d @ taste)
    table, notes, tests = table_of(f, "choice")
    p = dict(tests.filter(pl.col("test") == "human_proportional").select("group", "p_value").iter_rows())
    equal = dict(tests.filter(pl.col("test") == "human_equals_rm").select("group", "p_value").iter_rows())
    factor = dict(tests.filter(pl.col("test") == "human_factor").select("group", "statistic").iter_rows())
    assert max(equal.values()) < 1e-6
    assert p["pre"] > 0.01
    assert factor["pre"] > 2
    assert p["post"] < 1e-6
    said = {m: next(x for x in notes if x.startswith(f"human imprint of {m}: ")) for m in ("pre", "post")}
    assert "no difference in taste is said" in said["pre"]
    assert "a difference in taste: its prices lie for" in said["post"]
    above, below = said["post"].split(" above and ")
    assert "f2" in above
    assert "f4" in below.split(" below ")[0]
    rows = table.filter(model="post", term="f2", scale="points").row(0, named=True)
    assert rows["rm"] - rows["human"] == pytest.approx(rows["difference"])
    assert rows["conf_low"] > 0


def test_the_table_holds_intervals_of_the_influences_and_holms_families() -> None:
    w = drawn(700, 14)
    f = framed(w, w.margins + 0.3)
    table, notes, _ = table_of(f)
    assert table.columns == list(amplification.SCHEMA)
    assert table.height == 2 * 4 * 2
    found, _ = influences(f, "calibrated")
    side = found["pre"]
    assert isinstance(side, HumanInfluence)
    contrast = np.concatenate([-np.eye(4), np.eye(4)], axis=1)
    for scale, of in (("log_odds", side.log_odds), ("points", side.points)):
        mine = table.filter(model="pre", scale=scale)
        z = contrast @ of.estimate
        error = np.sqrt(np.diag(contrast @ of.covariance @ contrast.T))
        np.testing.assert_allclose(mine["difference"], z)
        np.testing.assert_allclose(mine["std_error"], error)
        np.testing.assert_allclose((mine["conf_high"] - mine["conf_low"]) / 2 / error, 1.9634, atol=1e-3)
        smallest = mine.sort("p_value").row(0, named=True)
        assert smallest["p_adjusted"] == pytest.approx(min(4 * smallest["p_value"], 1))
        half = (mine["human_high"] - mine["human_low"]).to_numpy() / 2
        np.testing.assert_allclose(half, 1.9634 * of.std_error[:4], rtol=1e-3)
    assert any("margins times" in n for n in notes)
    assert amplification.CAVEAT in notes


def test_a_refused_model_leaves_the_other_and_few_pairs_are_named() -> None:
    w = drawn(300, 15)
    w.d[:, 3] = 0.0
    w.d[:20, 3] = np.tile([1.0, -1.0], 10)
    f = framed(w, np.abs(w.margins) + 0.1)
    table, notes, tests = table_of(f)
    assert set(table["model"]) == {"pre"}
    assert set(tests["group"]) == {"pre"}
    assert any("human imprint of post: not estimated: no margin is negative" in n for n in notes)
    assert any("fewer than 30 informative pairs for f3" in n for n in notes)
    assert set(table.filter(term="f3")["n_informative"]) == {20}


def test_choices_that_are_the_models_own_leave_nothing_to_compare() -> None:
    w = drawn(300, 16)
    f = framed(replace(w, margins=np.abs(w.margins) + 0.1), np.abs(w.margins) + 0.2)
    table, notes, tests = table_of(f, "choice")
    np.testing.assert_allclose(table["difference"].to_numpy(), 0, atol=1e-9)
    assert table["p_value"].null_count() == table.height
    assert tests.height == 0
    assert any("nothing to compare" in n for n in notes)


def analyzed(f: Frames, **options: object) -> dict[str, pl.DataFrame]:
    given = AnalyzeOptions("pre", "post", targets=("f0",), **options)  # type: ignore[arg-type]
    return dict(analyze(f.given["scores"], f.given["labels"], given, texts=f.given["texts"]).tables)


def test_an_analysis_has_the_table_on_the_regressors_that_eq_1_kept() -> None:
    w = drawn(400, 17)
    f = framed(w, w.margins + np.random.default_rng(1).normal(size=400))
    labels = f.given["labels"]
    twin = labels.insert_column(4, labels["f1"].alias("a_twin"))  # left out: f1 after it is the same
    tables = analyzed(replace(f, given={**f.given, "labels": twin}))
    kept = set(tables["imprint"]["term"])
    assert set(tables["human"]["term"]) == kept
    assert len(kept) == 4
    arrays = human_fit(f.d, f.margins[0], hc2=False)
    mine = tables["human"].filter(model="pre", scale="log_odds")
    np.testing.assert_allclose(mine["human"], arrays.estimate[:4], rtol=1e-7)
    np.testing.assert_allclose(mine["rm"], arrays.estimate[4:], rtol=1e-7)
    names = set(tables["tests"].filter(group="pre")["test"])
    assert {"human_equals_rm", "human_proportional", "human_factor"} <= names


def test_scale_and_cluster_of_the_options_are_those_of_the_table() -> None:
    w = drawn(400, 18)
    f = framed(w, w.margins + np.random.default_rng(1).normal(size=400))
    tables = analyzed(f, rm_scale="own", cluster="meta_place")
    side, places = influences(f, "own", "meta_place")
    assert isinstance(side["pre"], HumanInfluence)
    z = np.concatenate([-np.eye(4), np.eye(4)], axis=1)
    errors = np.sqrt(np.diag(z @ side["pre"].log_odds.covariance @ z.T) * places.factor)
    mine = tables["human"].filter(model="pre", scale="log_odds")
    np.testing.assert_allclose(mine["std_error"], errors)
    np.testing.assert_allclose(mine["rm"], human_fit(f.d, f.margins[0], None, "own").estimate[4:], rtol=1e-7)
