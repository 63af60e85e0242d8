"""Intervals, tests and multiplicity against statsmodels and closed forms."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.outliers_influence import variance_inflation_factor
from statsmodels.stats.proportion import proportion_confint

from seal.engine.errors import UsageError
from seal.stats.regression import collinearity
from seal.stats.regression.inference import (
    adjust,
    coefficient,
    inverse,
    mcnemar_exact,
    pivot_rank,
    wald,
    wilson,
)


@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_statsmodels(k: int, n: int, level: float) -> None:
    k = min(k, n)
    low, high = wilson(k, n, level)
    expected = proportion_confint(k, n, alpha=1 - level, method="wilson")
    assert (float(low), float(high)) == pytest.approx(expected, abs=1e-12)
    assert k or float(low) == 0.0  # and not 3e-18
    assert k < n or float(high) == 1.0


@pytest.mark.parametrize(
    ("ours", "theirs"), [("holm", "holm"), ("bonferroni", "bonferroni"), ("bh", "fdr_bh")]
)
@settings(max_examples=15, deadline=None)  # statsmodels takes 0.1 s for one
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_statsmodels(ours: str, theirs: str, p: list[float]) -> None:
    assert adjust(p, ours) == pytest.approx(multipletests(p, method=theirs)[1].tolist(), abs=1e-12)


def test_untestable_hypotheses_do_not_count() -> None:
    assert adjust([0.01, None, 0.04], "bonferroni") == [0.02, None, 0.08]
    assert adjust([None], "holm") == [None]


@pytest.mark.parametrize(("b", "c"), [(170, 121), (0, 5), (7, 7), (1, 0), (0, 0)])
def test_mcnemar_is_statsmodels(b: int, c: int) -> None:
    expected = mcnemar([[0, b], [c, 0]], exact=True).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == (min(b, c), pytest.approx(expected, abs=1e-14))


def test_wald_counts_repeated_restrictions_once() -> None:
    covariance = np.array([[1.0, 0.2], [0.2, 2.0]])
    estimate = np.array([1.0, -1.0])
    plain = wald(estimate, covariance)
    assert plain[0] == pytest.approx(float(estimate @ np.linalg.solve(covariance, estimate)))
    twice = np.vstack([np.eye(2), np.eye(2)])
    repeated = wald(twice @ estimate, twice @ covariance @ twice.T)
    assert repeated[2] == 2
    assert repeated[0] == pytest.approx(plain[0], rel=1e-8)


def test_no_standard_error_gives_nulls() -> None:
    for bad in (0.0, float("nan")):
        row = coefficient(1.5, bad, 10, 0.95)
        assert row["estimate"] == 1.5
        assert [row[k] for k in row if k != "estimate"] == [None] * 5


def test_inverse_does_not_mind_units() -> None:
    x = np.random.default_rng(0).normal(size=(200, 4)) * [1, 1e6, 1e-6, 1e3]
    gram = x.T @ x
    scale = np.sqrt(np.diag(gram))
    product = (inverse(gram) @ gram) * scale[:, None] / scale
    assert product == pytest.approx(np.eye(4), abs=1e-12)
    with pytest.raises(np.linalg.LinAlgError):
        inverse(np.zeros((2, 2)))


def test_vifs_are_statsmodels() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 4))
    x[:, 3] = x[:, 0] + 0.8 * rng.normal(size=500)
    raw = [v.vif for v in collinearity.select(x.T @ x, "abcd", threshold=100)]
    others = [sm.OLS(x[:, j], np.delete(x, j, axis=1)).fit() for j in range(4)]
    assert raw == pytest.approx([f.uncentered_tss / f.ssr for f in others])
    with_one = np.column_stack([np.ones(500), x + 5])
    centred = x - x.mean(axis=0)
    got = [v.vif for v in collinearity.select(centred.T @ centred, "abcd", threshold=100)]
    assert got == pytest.approx([variance_inflation_factor(with_one, j) for j in range(1, 5)])


def test_the_largest_vif_goes_first_and_reasons_are_given() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 500))
    x = np.column_stack([a, b, a + b + 0.1 * rng.normal(size=500), a, np.zeros(500), 2 * a - b])
    verdicts = collinearity.select(x.T @ x, list("abcdef"))
    assert [v.kept for v in verdicts] == [False, False, True, False, False, True]
    assert verdicts[3].vif is not None
    assert verdicts[3].vif > 5
    assert verdicts[0].reason == "an exact linear combination of d"
    assert verdicts[1].reason == "an exact linear combination of d, f"
    assert verdicts[4].reason == "never varies"
    assert pivot_rank(x.T @ x) == [0, 1, 2]


def test_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="allowed: holm, bonferroni, bh"):
        adjust([0.5], "sidak")  # type: ignore[arg-type]
