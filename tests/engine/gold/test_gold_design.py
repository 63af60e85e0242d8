"""Strata, sizes and the draw: probabilities exact, draws uniform, estimates weighted by them unbiased."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from seal.engine.errors import UsageError
from seal.engine.gold.design import draw, proportional, with_share

ONE = np.zeros(60, np.int64)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.data())
def test_proportional_sizes(counts: list[int], data: st.DataObject) -> None:
    n_drawn = data.draw(st.integers(len(counts), sum(counts)))
    sizes = proportional(counts, n_drawn)
    assert sum(sizes) == n_drawn
    assert all(1 <= size <= n for size, n in zip(sizes, counts, strict=True))
    wanted = [n_drawn * n / sum(counts) for n in counts]
    if min(wanted) >= 1:  # nobody had to be given one: within one of the exact share
        assert all(abs(size - w) < 1 for size, w in zip(sizes, wanted, strict=True))


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.01, 0.99), st.data())
def test_sizes_with_a_share(common: int, rare: int, share: float, data: st.DataObject) -> None:
    least = (common > 0) + (rare > 0)
    if not least:
        return
    n_drawn = data.draw(st.integers(least, common + rare))
    sizes = with_share([common, rare], n_drawn, share)
    assert sum(sizes) == n_drawn
    for size, n in zip(sizes, (common, rare), strict=True):
        assert (1 if n else 0) <= size <= n
    if 1 <= round(share * n_drawn) <= min(rare, n_drawn - 1) and n_drawn - round(share * n_drawn) <= common:
        assert sizes[1] == round(share * n_drawn)


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="at most 5"):
        proportional([2, 3], 6)
    with pytest.raises(UsageError, match="at least 3"):
        proportional([2, 3, 4], 2)
    with pytest.raises(UsageError, match="at least 2"):
        with_share([2, 3], 1, 0.5)


def test_each_pair_has_its_stratum_s_probability() -> None:
    stratum = np.repeat([0, 1, 2], [10, 30, 60]).astype(np.int64)
    row_id = np.arange(100, dtype=np.int64)[::-1].copy()
    found = draw(row_id, stratum, [5, 3, 60], seed=4)
    assert list(found.row_id) == sorted(set(found.row_id))
    assert list(np.bincount(found.stratum)) == [5, 3, 60]
    of = dict(zip(row_id.tolist(), stratum.tolist(), strict=True))
    assert [of[r] for r in found.row_id.tolist()] == found.stratum.tolist()
    assert found.probability.tolist() == [
        {0: 5 / 10, 1: 3 / 30, 2: 60 / 60}[s] for s in found.stratum.tolist()
    ]


def test_neither_order_nor_other_strata_change_the_draw() -> None:
    row_id = np.arange(60, dtype=np.int64) * 17
    shuffled = np.random.default_rng(0).permutation(60)
    one = draw(row_id, ONE, [9], 3)
    assert draw(row_id[shuffled], ONE, [9], 3).row_id.tolist() == one.row_id.tolist()
    stratum = np.r_[ONE, ONE + 1]
    both = draw(np.r_[row_id, row_id + 5], stratum, [9, 4], 3)
    assert both.row_id[both.stratum == 0].tolist() == one.row_id.tolist()
    assert set(one.row_id.tolist()) < set(draw(row_id, ONE, [20], 3).row_id.tolist())
    assert draw(row_id, ONE, [9], 4).row_id.tolist() != one.row_id.tolist()


def test_pairs_are_drawn_alike() -> None:
    """1,500 seeds, 12 of 60 pairs: counts of pairs, and of two neighbours together, by chi-square.

    Of a count of n draws without replacement the variance is n p (1 - p), and the counts add up: the sum of
    squares over n p (1 - p), times (N - 1) / N, is chi-square with N - 1 degrees. The seeds are fixed, so
    the test either holds or does not; 0.999 leaves room for one draw in a thousand.
    """
    n, size, pairs = 1500, 12, np.arange(60, dtype=np.int64)
    drawn = np.zeros((n, 60))
    for seed in range(n):
        drawn[seed, draw(pairs, ONE, [size], seed).row_id] = 1
    p = size / 60
    statistic = ((drawn.sum(0) - n * p) ** 2).sum() / (n * p * (1 - p)) * 59 / 60
    assert chi2.ppf(0.001, 59) < statistic < chi2.ppf(0.999, 59)
    together = (drawn[:, :-1] * drawn[:, 1:]).mean()
    expected = size * (size - 1) / (60 * 59)
    assert abs(together - expected) < 4 * np.sqrt(expected / (n * 59))


def test_weighted_by_the_probability_the_mean_is_that_of_all() -> None:
    rng = np.random.default_rng(1)
    stratum = (rng.random(400) < 0.1).astype(np.int64)
    y = rng.normal(size=400) + 3 * stratum
    sizes = with_share(np.bincount(stratum).tolist(), 50, 0.5)
    means, plain = [], []
    for seed in range(400):
        found = draw(np.arange(400, dtype=np.int64), stratum, sizes, seed)
        means.append(np.sum(y[found.row_id] / found.probability) / 400)
        plain.append(y[found.row_id].mean())
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - y.mean()) < 4 * error
    assert abs(np.mean(plain) - y.mean()) > 40 * error  # without weights it is far off
