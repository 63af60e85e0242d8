"""Error rates and coefficients from several labelers without gold, against plain transcriptions and truth."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.label_error_worlds import BETA, K, difference, label, rates, world
from seal.stats.labelers.error_rates import FeatureFit, count_patterns, fit_feature, pattern_numbers
from seal.stats.labelers.latent import LatentMoments, fit_features, judge, latent
from seal.stats.regression.separation import NoFit

Floats = NDArray[np.float64]


def log_probability(theta: Floats, n_labelers: int) -> Floats:
    """Of every pattern, by loops: theta is (no-yes, yes-no, yes-yes), false positives, false negatives."""
    prior = {(0, 1): theta[0], (1, 0): theta[1], (1, 1): theta[2], (0, 0): 1 - sum(theta[:3])}
    out = np.zeros(4**n_labelers)
    for pattern in range(len(out)):
        texts = divmod(pattern, 2**n_labelers)
        for truth in product((0, 1), repeat=2):
            p = prior[truth]
            for side in (0, 1):
                for j in range(n_labelers):
                    said = texts[side] >> j & 1
                    yes = 1 - theta[3 + n_labelers + j] if truth[side] else theta[3 + j]
                    p *= yes if said else 1 - yes
            out[pattern] += p
    return np.log(out)


def counts_of(theta: Floats, n_labelers: int, n: int, seed: int) -> Floats:
    p = np.exp(log_probability(theta, n_labelers))
    return np.random.default_rng(seed).multinomial(n, p / p.sum()).astype(float)


THETA = {
    2: np.array([0.15, 0.2, 0.35, 0.1, 0.15, 0.12, 0.08]),
    3: np.array([0.15, 0.2, 0.35, 0.1, 0.15, 0.05, 0.12, 0.08, 0.2]),
}


def packed(fit: FeatureFit) -> Floats:
    return np.concatenate([fit.prevalence.ravel()[1:], fit.fpr, fit.fnr])


@pytest.mark.parametrize("n_labelers", [2, 3])
def test_the_fit_is_the_maximum_another_optimiser_finds(n_labelers: int) -> None:
    counts = counts_of(THETA[n_labelers], n_labelers, 20_000, 1)
    fit = fit_feature(counts)
    assert fit.converged
    found = minimize(
        lambda t: -counts @ log_probability(t, n_labelers) / counts.sum(), THETA[n_labelers],
        bounds=[(1e-4, 0.9)] * len(THETA[n_labelers]), options={"ftol": 1e-14, "gtol": 1e-8},
    )  # fmt: skip
    np.testing.assert_allclose(packed(fit), found.x, atol=2e-4)
    assert counts @ log_probability(packed(fit), n_labelers) >= -found.fun * counts.sum() - 1e-6
    expected = counts.sum() * np.exp(log_probability(packed(fit), n_labelers))
    seen = counts > 0
    assert fit.g2 == pytest.approx(2 * (counts[seen] * np.log(counts[seen] / expected[seen])).sum(), abs=1e-6)


@pytest.mark.parametrize("n_labelers", [2, 3])
def test_influences_of_patterns_are_information_inverse_times_score(n_labelers: int) -> None:
    counts = counts_of(THETA[n_labelers], n_labelers, 20_000, 2)
    fit = fit_feature(counts)
    theta, h = packed(fit), 1e-6
    scores = np.stack(
        [
            (log_probability(theta + h * e, n_labelers) - log_probability(theta - h * e, n_labelers))
            / (2 * h)
            for e in np.eye(len(theta))
        ],
        axis=1,
    )
    information = scores.T @ (scores * counts[:, None]) / counts.sum()
    influence = scores @ np.linalg.inv(information)
    of_c = -(influence[:, 3 : 3 + n_labelers] + influence[:, 3 + n_labelers :])
    np.testing.assert_allclose(fit.c_influence, of_c, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(counts @ fit.c_influence / counts.sum(), 0.0, atol=1e-6)  # at the maximum
    error = np.sqrt((counts[:, None] * of_c**2).sum(axis=0)) / counts.sum()
    np.testing.assert_allclose(fit.c_std_error, error, rtol=1e-4)
    np.testing.assert_allclose(fit.c, 1 - fit.fpr - fit.fnr)


def test_errors_of_c_are_those_of_repeated_draws() -> None:
    fits = [fit_feature(counts_of(THETA[3], 3, 5000, seed)) for seed in range(100)]
    c = np.array([f.c for f in fits])
    error = np.array([f.c_std_error for f in fits]).mean(axis=0)
    np.testing.assert_allclose(c.std(axis=0), error, rtol=0.25)  # an SD from 100 draws is off by 7%
    np.testing.assert_allclose(c.mean(axis=0), 1 - THETA[3][3:6] - THETA[3][6:], atol=0.01)
    low = np.mean([f.g2_p_value < 0.05 for f in fits])
    assert 0.0 <= low <= 0.12  # nominal 0.05


def test_a_rate_of_zero_ends_at_the_edge_and_is_no_error() -> None:
    theta = THETA[3].copy()
    theta[3] = 0.0
    fit = fit_feature(counts_of(theta, 3, 10_000, 3))
    assert fit.converged
    assert fit.fpr[0] < 0.01
    assert np.isfinite(fit.c_influence).all()


def test_patterns_are_numbered_by_bits_and_other_values_refused() -> None:
    labels = np.zeros((3, 2, 2))
    labels[1, 0, 1] = labels[2, 1, 0] = 1  # the chosen text, second labeler; the rejected, first labeler
    assert pattern_numbers(labels).tolist() == [0, 8, 1]
    assert count_patterns(labels)[[0, 1, 8]].tolist() == [1, 1, 1]
    labels[0, 0, 0] = -1
    with pytest.raises(NoFit, match="other values"):
        count_patterns(labels)
    with pytest.raises(NoFit, match="same of every text"):
        fit_feature(np.eye(16)[0] * 50)
    with pytest.raises(ValueError, match="4\\^L"):
        fit_feature(np.ones(8))


def drawn(n: int, n_labelers: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Labels (n, 2, K, L), their differences (L, n, K), and y."""
    rng = np.random.default_rng(seed)
    x, residual, y = world(n, rng)
    labels = [label(x, residual, rng, scale=s) for s in (1.0, 0.8, 1.2)[:n_labelers]]
    return np.stack(labels, axis=3), np.stack([difference(w) for w in labels]), y


@pytest.mark.parametrize("n_labelers", [2, 3])
def test_coefficients_and_influences_are_the_specification_pair_by_pair(n_labelers: int) -> None:
    labels, v, y = drawn(4000, n_labelers, 4)
    columns = [0, 1, 4]
    labels, v = labels[:, :, columns], v[:, :, columns]
    patterns = np.stack([pattern_numbers(labels[:, :, k]) for k in range(3)], axis=1)
    fits = [fit_feature(count_patterns(labels[:, :, k])) for k in range(3)]
    half = [LatentMoments.of(v[:, part], y[part]) for part in (slice(0, 1500), slice(1500, None))]
    found = latent(half[0] + half[1], fits)
    c = np.stack([f.c for f in fits], axis=1)

    def beta(c: Floats) -> Floats:
        u = v / c[:, None, :]
        pairs = [(i, j) for i in range(n_labelers) for j in range(n_labelers) if i != j]
        a = sum(u[i].T @ u[j] for i, j in pairs) / len(pairs) / len(y)
        return np.linalg.solve(a, sum(part.T @ y for part in u) / n_labelers / len(y))

    np.testing.assert_allclose(found.estimate, beta(c), atol=1e-10)
    np.testing.assert_allclose(found.bread, np.linalg.inv(np.linalg.inv(found.bread)), atol=1e-8)
    numeric = np.zeros((n_labelers, 3, 3))
    for i, k in product(range(n_labelers), range(3)):
        moved = np.zeros_like(c)
        moved[i, k] = 1e-6
        numeric[i, k] = (beta(c + moved) - beta(c - moved)) / 2e-6
    np.testing.assert_allclose(found.by_scale, numeric, atol=1e-6)
    psi, b = found.psi(v, y, patterns), found.estimate
    u = v / c[:, None, :]
    for i in (0, 7, 3999):
        moment = np.mean([u[m, i] * y[i] for m in range(n_labelers)], axis=0) - np.mean(
            [u[m, i] * (u[o, i] @ b) for m, o in product(range(n_labelers), repeat=2) if m != o], axis=0
        )
        row = found.bread @ moment
        for m, k in product(range(n_labelers), range(3)):
            row = row + numeric[m, k] * fits[k].c_influence[patterns[i, k], m]
        np.testing.assert_allclose(psi[i], row / len(y), atol=1e-8)
    np.testing.assert_allclose(psi.sum(axis=0), 0.0, atol=1e-6)


def test_planted_coefficients_come_back_where_one_labeler_attenuates_them() -> None:
    labels, v, y = drawn(20_000, 3, 5)
    patterns = np.stack([pattern_numbers(labels[:, :, k]) for k in range(K)], axis=1)
    fits = fit_features([count_patterns(labels[:, :, k]) for k in range(K)])
    kept = [f for f in fits if not isinstance(f, str)]
    assert judge(fits).reason is None
    assert len(judge(fits).kept) == K
    found = latent(LatentMoments.of(v, y), kept)
    error = np.sqrt((found.psi(v, y, patterns) ** 2).sum(axis=0))
    z = (found.estimate - BETA) / error
    assert np.abs(z).max() < 4
    naive = np.linalg.lstsq(v[0], y)[0]
    assert np.sqrt(np.mean((found.estimate - BETA) ** 2)) < 0.5 * np.sqrt(np.mean((naive - BETA) ** 2))
    positive, negative = rates()
    np.testing.assert_allclose([f.c[0] for f in kept], 1 - positive - negative, atol=0.05)


def test_a_regressor_without_errors_enters_as_it_is() -> None:
    labels, v, y = drawn(3000, 2, 6)
    length = np.random.default_rng(7).normal(size=3000)
    both = np.concatenate([v[:, :, :1], np.broadcast_to(length, (2, 3000))[:, :, None]], axis=2)
    fits = [fit_feature(count_patterns(labels[:, :, 0])), FeatureFit.exact(2)]
    found = latent(LatentMoments.of(both, y + 0.7 * length), fits)
    assert found.estimate[1] == pytest.approx(0.7, abs=0.15)
    patterns = np.stack([pattern_numbers(labels[:, :, 0]), np.zeros(3000, np.int64)], axis=1)
    error = np.sqrt((found.psi(both, y, patterns) ** 2).sum(axis=0))
    assert 0.02 < error[1] < 0.1


def test_features_are_refused_or_flagged_with_the_reason() -> None:
    good = fit_feature(counts_of(THETA[3], 3, 20_000, 8))
    weak = THETA[3].copy()
    weak[3:] = 0.4
    fits = fit_features([
        counts_of(THETA[3], 3, 20_000, 8), counts_of(THETA[3], 3, 25, 9), counts_of(weak, 3, 200_000, 10),
        np.eye(64)[0], "it has other values than yes and no",
    ])  # fmt: skip
    verdict = judge(fits)
    assert verdict.kept == (0,)
    assert "too uncertain" in verdict.refused[1]
    assert "too little" in verdict.refused[2]
    assert "same of every text" in verdict.refused[3]
    assert verdict.refused[4] == "it has other values than yes and no"
    assert verdict.reason is None
    assert judge([good]).flags == {}
    assert "no feature" in str(judge(fits[3:]).reason)


def test_pairs_that_are_hard_for_all_labelers_are_seen_where_there_are_three() -> None:
    """Three labelers' labels of a text fit two classes; that both sides of a pair are hard does not."""
    rng = np.random.default_rng(11)
    truth = rng.random((20_000, 2, 1)) < 0.4
    rate = np.where(rng.random((20_000, 1, 1)) < 0.5, 0.35, 0.02)
    bad = fit_feature(count_patterns((truth ^ (rng.random((20_000, 2, 3)) < rate)).astype(float)))
    good = fit_feature(counts_of(THETA[3], 3, 20_000, 8))
    assert bad.g2_p_value < 0.01
    assert "independently" in judge([bad, *[good] * 9]).flags[0]
    assert judge([bad, *[good] * 9]).reason is None
    assert "2 of 3" in str(judge([bad, bad, good]).reason)


def test_too_little_in_common_to_identify_coefficients_is_refused() -> None:
    rng = np.random.default_rng(12)
    v = np.stack([rng.integers(-1, 2, (50, 1)), np.zeros((50, 1))]).astype(float)
    with pytest.raises(NoFit, match="do not identify"):
        latent(LatentMoments.of(v, np.ones(50)), [FeatureFit.exact(2)])
