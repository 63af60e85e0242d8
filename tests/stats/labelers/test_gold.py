"""Error rates on gold, what a sample can be used for, and how many gold pairs are needed."""

import numpy as np
import pytest

from benchmarks.label_error_worlds import difference, label, world
from seal.stats.labelers.gold import error_rows, gold_power, label_errors
from seal.stats.labelers.rectified import GoldSample, least_squares_influence, rectified
from seal.stats.regression.inference import wilson
from seal.stats.regression.influence import Influence, Scores


def test_rates_intervals_and_kappa_by_hand() -> None:
    true = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, np.nan])
    said = np.array([1, 0, 0, 0, 0, 0, 1, 1, 1, 1.0])
    found = label_errors(said, true)
    assert found.n_gold == 9
    assert found.false_positive == pytest.approx((1 / 4, *map(float, wilson(1, 4))))
    assert found.false_negative == pytest.approx((2 / 5, *map(float, wilson(2, 5))))
    agree, chance = 6 / 9, (5 * 4 + 4 * 5) / 81
    assert found.kappa == pytest.approx((agree - chance) / (1 - chance))


def test_weights_undo_how_gold_was_drawn() -> None:
    """Texts said to be yes are drawn four times as often: unweighted rates are wrong, weighted ones right."""
    rng = np.random.default_rng(0)
    true = (rng.random(60_000) < 0.3).astype(float)
    said = np.where(rng.random(60_000) < 0.1, 1 - true, true)
    pi = np.where(said == 1, 0.4, 0.1)
    drawn = rng.random(60_000) < pi
    plain = label_errors(said[drawn], true[drawn])
    found = label_errors(said[drawn], true[drawn], 1 / pi[drawn])
    assert plain.false_positive is not None
    assert plain.false_positive[0] > 0.2
    for rate in (found.false_positive, found.false_negative):
        assert rate is not None
        assert rate[1] < 0.1 < rate[2]
        assert rate[2] - rate[1] < 0.04


def test_values_beyond_yes_and_no_have_kappa_alone() -> None:
    rng = np.random.default_rng(1)
    true = rng.integers(-1, 2, 300).astype(float)
    found = label_errors(np.where(rng.random(300) < 0.2, 0.0, true), true)
    assert found.false_positive is None
    assert found.false_negative is None
    assert found.kappa is not None
    assert 0.5 < found.kappa < 1
    nothing = label_errors(np.array([np.nan]), np.array([1.0]))
    assert (nothing.n_gold, nothing.false_positive, nothing.kappa) == (0, None, None)


def test_rows_by_feature_side_and_source() -> None:
    rng = np.random.default_rng(2)
    true = (rng.random((40, 2, 2)) < 0.5).astype(float)
    said = np.where(rng.random(true.shape) < 0.2, 1 - true, true)
    sources = ["b", "a"] * 20
    rows = error_rows("model", ["f", "g"], said, true, sources=sources)
    keys = [(r["feature"], r["side"], r["source"]) for r in rows]
    sides = ("all", "chosen", "rejected")
    assert keys == [(f, s, o) for f in "fg" for s in sides for o in ("all", "a", "b")]
    row = rows[keys.index(("g", "rejected", "a"))]
    x, z = said[1::2, 1, 1], true[1::2, 1, 1]
    assert row["n_gold"] == 20
    assert row["false_positive_rate"] == pytest.approx(x[z == 0].mean())
    assert row["false_negative_rate"] == pytest.approx(1 - x[z == 1].mean())
    assert {r["labeler"] for r in rows} == {"model"}


def test_power_from_a_pilot_foretells_the_errors_of_a_larger_sample() -> None:
    n = 20_000
    rng = np.random.default_rng(4)
    x, residual, y = world(n, rng)
    d, v = difference(x), difference(label(x, residual, rng))
    bread = np.linalg.inv(v.T @ v)
    zeta = v * (y - v @ (bread @ v.T @ y))[:, None]

    def corrected(m: int) -> Influence:
        gold = rng.choice(n, m, replace=False)
        everyone = Influence(bread @ v.T @ y, bread, Scores(zeta.T @ zeta, zeta[gold]))
        fits = (least_squares_influence(z[gold], y[gold]) for z in (d, v))
        (b, phi), (c, xi) = fits
        return rectified(b, phi, c, xi, everyone, GoldSample.of(np.full(m, m / n)), d.shape[1])

    pilot = rng.choice(n, 600, replace=False)
    power = gold_power(d[pilot], v[pilot], y[pilot], n_pairs=n)
    for m in (300, 2400):
        # a standard error from 600 pairs is off by some 5% itself
        np.testing.assert_allclose(power.std_error(m).mean(), corrected(m).std_error.mean(), rtol=0.07)
    needed = power.needed(0.2)
    reached = np.isfinite(needed)
    assert reached.any()
    at = np.array([power.std_error(float(m))[j] for j, m in enumerate(needed) if reached[j]])
    assert (1.959964 * at <= 0.2).all()
    one_less = np.array([power.std_error(float(m) - 1)[j] for j, m in enumerate(needed) if reached[j]])
    assert (1.959964 * one_less > 0.2).all()
    assert np.isinf(power.needed(1e-4)).all()
    with pytest.raises(ValueError, match="above 0"):
        power.needed(0.0)
