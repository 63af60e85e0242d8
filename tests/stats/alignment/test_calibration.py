"""Calibration against scikit-learn, scipy and plain loops; its interval against simulation."""

from collections.abc import Sequence
from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from seal.engine.errors import InputError
from seal.stats.alignment.calibration import ALL, SCHEMA, calibration, described
from seal.stats.alignment.reliability import BINS, Ordered, area_under_curve, factor
from seal.stats.regression.bradley_terry import Observations, maximise

Floats = NDArray[np.float64]


def margins(n: int, seed: int, slope: float = 0.6, rounded: int = 8) -> Floats:
    """Margins of a model whose choices are right with probability s(slope x margin)."""
    rng = np.random.default_rng(seed)
    size = np.abs(rng.normal(scale=1.5, size=n)).round(rounded)
    return np.where(rng.random(n) < expit(slope * size), size, -size)


WORLDS = {
    "plain": margins(700, 1),
    "ties": margins(700, 2, rounded=0),
    "against people": -margins(500, 3),
    "far out": margins(300, 4) * 1e4,
    "few": margins(7, 7),
}


def both_sides(m: Floats) -> tuple[Floats, Floats]:
    """Each pair twice, once from either side: margins, and whether the first text was chosen."""
    return np.concatenate([m, -m]), np.concatenate([np.ones(len(m)), np.zeros(len(m))])


@pytest.mark.parametrize("name", WORLDS)
def test_scikit_learn_says_the_same(name: str) -> None:
    m = WORLDS[name]
    x, y = both_sides(m)
    found = described(pl.DataFrame({"margin": m, "length": np.zeros(len(m), np.int32)}))
    scale = np.abs(m).max()
    fit = LogisticRegression(
        C=np.inf, fit_intercept=False, solver="newton-cholesky", tol=1e-13, max_iter=1000
    )
    t = fit.fit(x[:, None] / scale, y).coef_[0, 0] / scale
    assert found["t"] == pytest.approx(t, rel=1e-9)
    assert found["auc"] == pytest.approx(roc_auc_score(y, x), abs=1e-9)
    for suffix, factor_ in (("", 1.0), ("_fitted", t)):
        p = expit(factor_ * x)
        assert found[f"brier{suffix}"] == pytest.approx(brier_score_loss(y, p), abs=1e-9)
        if p.min() > 1e-15:  # below it scikit-learn clips
            assert found[f"log_loss{suffix}"] == pytest.approx(log_loss(y, p), abs=1e-9)


def test_a_far_log_loss_is_not_clipped() -> None:
    assert Ordered(np.array([-2000.0, 3.0])).reliability(1.0).log_loss == pytest.approx(
        1000 + np.log1p(np.exp(-3)) / 2
    )


@pytest.mark.parametrize("name", WORLDS)
def test_the_factor_is_that_of_the_human_imprint(name: str) -> None:
    m = WORLDS[name] / np.abs(WORLDS[name]).max()
    (fit,) = maximise(lambda: [[Observations(m[:, None], np.ones(len(m)))]], [1])
    assert factor(m) == pytest.approx(fit.estimate[0], rel=1e-9)


def plain_ece(m: Floats, t: float) -> float:
    """The definition in a loop: confidence of the text with the higher s(t m), bins by the middle rank."""
    place = rankdata(np.abs(m)) - 0.5
    total = 0.0
    for k in range(BINS):
        gap = 0.0
        for one, at in zip(m, place, strict=True):
            if int(BINS * at // len(m)) == k:
                p = expit(t * one)
                gap += (1.0 if p > 0.5 else 0.5 if p == 0.5 else 0.0) - max(p, 1 - p)
        total += abs(gap)
    return total / len(m)


@pytest.mark.parametrize("t", [1.0, 0.37, -0.8])
@pytest.mark.parametrize("name", [name for name in WORLDS if name != "far out"])
def test_the_calibration_error_is_its_definition(name: str, t: float) -> None:
    assert Ordered(WORLDS[name]).reliability(t).ece == pytest.approx(plain_ece(WORLDS[name], t), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=50), st.randoms())
def test_the_order_of_pairs_is_nothing(values: Sequence[int], random: Random) -> None:
    first = np.array(values, dtype=np.float64)
    again = list(values)
    random.shuffle(again)
    second = np.array(again, dtype=np.float64)
    assert Ordered(first).reliability(1.0, resamples=20) == Ordered(second).reliability(1.0, resamples=20)
    assert area_under_curve(first) == area_under_curve(second)
    one, other = factor(first), factor(second)
    assert one == (None if other is None else pytest.approx(other, rel=1e-9, abs=1e-12))


def plain_interval(gaps: Floats, noise: Floats) -> tuple[float, float]:
    """Of the sum of |gaps|: every k, on a fine grid, at which the sum seen is among the middle 95%."""
    seen, held = np.abs(gaps).sum(), [1.0]
    for k in np.arange(0, 3, 0.01):
        low, high = np.quantile(np.abs(k * gaps + noise).sum(axis=1), [0.025, 0.975])
        if low <= seen <= high:
            held.append(float(k))
    return min(held) * float(seen), max(held) * float(seen)


@pytest.mark.parametrize("fitted", [False, True])
def test_the_interval_is_that_of_resamples_of_pairs(fitted: bool) -> None:
    """The factor is fitted anew to each of 1,000 plain resamples."""
    m = margins(400, 12, slope=0.5)
    m = m[np.argsort(np.abs(m))]
    bins, rng, draws = (2 * np.arange(400) + 1) * BINS // 800, np.random.default_rng(5), []
    t = factor(m) if fitted else 1.0
    assert t is not None

    def gaps(rows: NDArray[np.int64], t: float) -> Floats:
        return np.bincount(bins[rows], (m[rows] > 0) - expit(t * np.abs(m[rows])), BINS) / len(m)

    for _ in range(1000):
        rows = rng.integers(0, len(m), len(m))
        again = factor(m[rows]) if fitted else 1.0
        assert again is not None
        draws.append(gaps(rows, again))
    seen = gaps(np.arange(len(m)), t)
    low, high = plain_interval(seen, np.array(draws) - seen)
    found = Ordered(m).reliability(t, fitted=fitted, resamples=4000)
    assert found.ece == pytest.approx(np.abs(seen).sum(), abs=1e-12)
    # a 0.025 quantile of 1,000 draws of SD 0.02 is known to 0.0017: three errors, and the grid
    assert found.ece_low == pytest.approx(low, abs=0.006)
    assert found.ece_high == pytest.approx(high, abs=0.006)


@pytest.mark.parametrize(("slope", "truth"), [(1.0, 0.0), (0.5, None)])
def test_the_interval_covers(slope: float, truth: float | None) -> None:
    """Of 200 worlds of 1,000 pairs at least 174 are held: 0.92 less three errors of a share of 200."""
    if truth is None:
        size = np.sort(np.abs(np.random.default_rng(0).normal(scale=1.5, size=1_500_000)))
        gap = expit(slope * size) - expit(size)
        truth = float(np.abs(gap.reshape(BINS, -1).mean(axis=1)).mean())
    held = 0
    for seed in range(200):
        found = Ordered(margins(1000, 1000 + seed, slope)).reliability(1.0, resamples=200, seed=seed)
        assert found.ece_low is not None
        assert found.ece_high is not None
        held += found.ece_low <= truth <= found.ece_high
    assert held >= 174


def test_the_interval_is_the_same_each_time_and_another_by_seed() -> None:
    ordered = Ordered(margins(200, 8))
    assert ordered.reliability(1.0) == ordered.reliability(1.0)
    assert ordered.reliability(1.0, seed=1).ece_high != ordered.reliability(1.0).ece_high


def test_lengths_against_scipy() -> None:
    rng = np.random.default_rng(3)
    m, length = margins(400, 9, rounded=1), rng.integers(-9, 10, 400)
    pairs = pl.DataFrame({"margin": m, "length": length}).with_columns(
        length=pl.when(pl.int_range(pl.len()) % 10 > 0).then("length").cast(pl.Int32)
    )
    known = np.arange(400) % 10 > 0
    found = described(pairs)
    assert found["length_spearman"] == pytest.approx(spearmanr(m[known], length[known]).statistic, abs=1e-9)
    unequal = known & (length != 0)
    same = np.sign(m[unequal]) == np.sign(length[unequal])
    assert found["longer_preferred"] == pytest.approx(same.mean(), abs=1e-12)


@pytest.mark.parametrize(
    ("values", "known", "unknown"),
    [
        ([], {"n_pairs": 0}, ["t", "auc", "log_loss", "ece", "mean_margin"]),
        ([0.0] * 4, {"auc": 0.5, "log_loss": np.log(2), "brier": 0.25, "ece": 0}, ["t", "ece_fitted"]),
        ([2.0], {"auc": 1, "brier": expit(-2) ** 2, "ece": expit(-2)}, ["t", "ece_conf_low"]),
        ([1.0, -1.0], {"auc": 0.5, "t": 0, "log_loss_fitted": np.log(2), "ece_fitted": 0}, []),
        ([1.0, 0.0, 3.0], {"auc": 8.5 / 9}, ["t", "log_loss_fitted"]),
        ([-1.0, -2.0], {"auc": 0}, ["t", "brier_fitted"]),
        ([6e38, -6e38, 6e38], {"auc": 6 / 9, "log_loss": 2e38, "brier": 1 / 3}, []),
        ([1e-310, -1e-310, 2e-310], {"log_loss": np.log(2)}, ["t", "ece_fitted"]),
    ],
)  # fmt: skip
def test_awkward_margins(values: list[float], known: dict[str, float], unknown: list[str]) -> None:
    pairs = pl.DataFrame(
        {"margin": values, "length": [1] * len(values)}, schema={"margin": pl.Float64, "length": pl.Int32}
    )
    found = described(pairs)
    assert {k: found[k] for k in known} == {
        k: pytest.approx(v, rel=1e-12, abs=1e-15) for k, v in known.items()
    }
    assert [found.get(k) for k in unknown] == [None] * len(unknown)
    assert all(np.isfinite(v) for v in found.values() if v is not None)


def frames(m: Floats) -> tuple[pl.DataFrame, pl.DataFrame]:
    """SCORES of `a` (these margins) and `b` (half of them), and TEXTS of two sources, some without one."""
    n = len(m)
    key = {
        "row_id": [*range(n), *range(n)],
        "preference": ["chosen"] * n + ["rejected"] * n,
        "variant": ["original"] * 2 * n,
    }
    scores = [
        pl.DataFrame({**key, "model": [name] * 2 * n, "reward": np.concatenate([m * k, 0 * m])})
        for name, k in (("a", 1.0), ("b", 0.5))
    ]
    source = [("x", "y", None)[i % 3] for i in key["row_id"]]
    response = [
        "w" * (i % (3 + (side == "chosen"))) for i, side in zip(key["row_id"], key["preference"], strict=True)
    ]
    texts = pl.DataFrame({**key, "source": source, "prompt": ["p"] * 2 * n, "response": response})
    return pl.concat(scores).sample(fraction=1, shuffle=True, seed=0), texts


def test_rows_by_model_and_source() -> None:
    m = WORLDS["plain"]
    scores, texts = frames(m)
    table = calibration(scores.lazy(), texts.lazy())
    assert table.schema == pl.Schema(SCHEMA)
    assert [(r["source"], r["model"]) for r in table.to_dicts()] == [
        (source, model) for source in (ALL, None, "x", "y") for model in "ab"
    ]
    length = np.array([i % 4 - i % 3 for i in range(len(m))], np.int32)
    for source, keep in (
        (ALL, slice(None)),
        ("x", slice(0, None, 3)),
        ("y", slice(1, None, 3)),
        (None, slice(2, None, 3)),
    ):
        row = table.filter(pl.col("model") == "b", pl.col("source").eq_missing(source)).row(0, named=True)
        wanted = described(pl.DataFrame({"margin": m[keep] / 2, "length": length[keep]}))
        assert {k: row[k] for k in wanted} == {k: pytest.approx(v, abs=1e-12) for k, v in wanted.items()}
    assert table.filter(source=ALL, model="b")["t"][0] == pytest.approx(
        2 * table.filter(source=ALL, model="a")["t"][0]
    )


def test_without_texts_there_are_no_sources_and_no_lengths() -> None:
    table = calibration(frames(WORLDS["plain"])[0].lazy())
    assert table["source"].to_list() == [ALL, ALL]
    assert table["length_spearman"].to_list() == table["longer_preferred"].to_list() == [None, None]


def test_pairs_without_two_finite_rewards_are_left_out() -> None:
    scores, texts = frames(WORLDS["plain"])
    ids = pl.col("row_id")
    holes = pl.when(ids == 0).then(np.nan).when(ids == 1).then(np.inf).when(ids != 2).then("reward")
    whole = calibration(scores.filter(ids > 2).lazy(), texts.lazy())
    assert calibration(scores.with_columns(reward=holes).lazy(), texts.lazy()).equals(whole)


def test_no_pair_gives_no_row() -> None:
    scores, texts = frames(WORLDS["plain"])
    assert calibration(scores.head(0).lazy(), texts.lazy()).height == 0


def test_refusals() -> None:
    scores, texts = frames(WORLDS["plain"])
    with pytest.raises(InputError, match="row_id 0 is scored twice by 'a'"):
        calibration(pl.concat([scores, scores.filter(row_id=0, model="a")]).lazy())
    with pytest.raises(InputError, match="row_id 4 has a text that stands there twice"):
        calibration(scores.lazy(), pl.concat([texts, texts.filter(row_id=4)]).lazy())
    with pytest.raises(InputError, match=r"no column 'meta_x'; there are: source, prompt, response"):
        calibration(scores.lazy(), texts.lazy(), by="meta_x")
    with pytest.raises(InputError, match="beyond 3"):
        calibration(scores.with_columns(reward=pl.col("reward") * 1e300).lazy())
