"""How often each of several labelers errs, without gold: from what they say together of a pair's texts.

A feature's truth in the two texts of a pair is latent. Each labeler has one rate of false positives and one
of false negatives, alike on both sides, and errors of different labelers are independent given the truth
(Dawid and Skene 1979). With three labelers this is identified, and with two because the two sides of a pair
depend on each other (as two populations do in Hui and Walter 1980).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from seal.stats.regression.inference import Floats
from seal.stats.regression.separation import NoFit

MAX_LABELERS = 6

_EDGE = 1e-6  # of a probability: nearer to 0 or 1 it counts as there
_TOLERANCE = 1e-8  # of the score test that the maximum is reached: within 1e-4 standard errors of it
_MOST_ROUNDS, _STEPS = 400, 10
_STARTS = ((0.1, 0.1), (0.05, 0.3), (0.3, 0.05))


def count_patterns(labels: NDArray[np.float64]) -> Floats:
    """How often each pattern of a feature's labels occurs.

    Args:
        labels: (n, 2, L) 0 or 1, chosen side first.

    Returns:
        (4^L,), see `pattern_numbers`.

    Raises:
        NoFit: another value occurs.
    """
    return np.bincount(pattern_numbers(labels), minlength=4 ** labels.shape[2]).astype(np.float64)


def pattern_numbers(labels: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) number of each pair's pattern: 2^L chosen + rejected, labeler l's label of a text being bit l.

    Raises:
        NoFit: a label is neither 0 nor 1.
    """
    if not np.all((labels == 0) | (labels == 1)):
        raise NoFit("it has other values than yes and no")
    bits = labels.astype(np.int64) @ (1 << np.arange(labels.shape[2]))
    return np.asarray((bits[:, 0] << labels.shape[2]) + bits[:, 1])


@dataclass(frozen=True)
class FeatureFit:
    """One feature's labelers, L of them.

    Attributes:
        prevalence: (2, 2), share of pairs by the truth of the chosen and of the rejected text.
        fpr: (L,) rates of false positives, and
        fnr: (L,) of false negatives.
        c: (L,), 1 - fpr - fnr: what a label's difference shows of the true one.
        c_std_error: (L,).
        c_influence: (4^L, L), of one pair with each pattern; the mean over pairs is c's error.
        g2: likelihood ratio of patterns against the model, and
        g2_p_value: by chi-squared with 4^L - 1 - (2L + 3) degrees of freedom.
        converged: whether the maximum was reached, within 1e-4 standard errors.
    """

    prevalence: Floats
    fpr: Floats
    fnr: Floats
    c: Floats
    c_std_error: Floats
    c_influence: Floats
    g2: float
    g2_p_value: float
    converged: bool

    @classmethod
    def exact(cls, n_labelers: int) -> "FeatureFit":
        """Of a regressor without errors, such as a covariate: alike for all labelers, and c is 1."""
        nothing, none = np.zeros(n_labelers), np.zeros((4**n_labelers, n_labelers))
        whole, nan = np.ones(n_labelers), float("nan")
        return cls(np.full((2, 2), nan), nothing, nothing, whole, nothing, none, nan, nan, True)


def fit_feature(counts: Floats) -> FeatureFit:
    """Fit a feature's error rates by maximum likelihood: EM, sped up by Fisher scoring.

    Args:
        counts: (4^L,) pairs of each pattern, L from 2 to 6.

    Raises:
        NoFit: no pair, or labels that never vary.
    """
    size = round(np.sqrt(len(counts)))
    if not 4 <= size <= 2**MAX_LABELERS or size * size != len(counts) or size & (size - 1):
        raise ValueError(f"{len(counts)} counts; 4^L are needed, L from 2 to {MAX_LABELERS}")
    table = counts.reshape(size, size)
    n_labelers = size.bit_length() - 1
    shares = _shares(table, n_labelers)
    if not table.sum() or np.any((shares == 0) | (shares == 1)):
        raise NoFit("a labeler says the same of every text")
    starts = [_start(table, n_labelers, *rates) for rates in _STARTS]
    best = max((_climb(table, s) for s in starts), key=lambda s: s.log_likelihood(table))
    state, converged = _maximum(table, best)
    return _described(table, _upright(state), converged)


@dataclass(frozen=True)
class _State:
    """Parameters: prevalence (2, 2), fpr (L,), fnr (L,)."""

    prevalence: Floats
    fpr: Floats
    fnr: Floats

    @property
    def texts(self) -> Floats:
        """(2^L, 2), probability of what all labelers say of a text whose truth is no, yes."""
        said = _said(len(self.fpr))
        yes = np.stack([self.fpr, 1 - self.fnr])
        chances = np.where(said[:, None, :], yes, 1 - yes)
        return np.asarray(chances.prod(axis=2))

    def probability(self) -> Floats:
        """(2^L, 2^L) of each pattern."""
        t = self.texts
        return np.asarray(t @ self.prevalence @ t.T)

    def log_likelihood(self, table: Floats) -> float:
        return float((table * np.log(np.clip(self.probability(), 1e-300, None))).sum())


def _said(n_labelers: int) -> NDArray[np.bool_]:
    """(2^L, L), the labels that a number stands for."""
    return (np.arange(2**n_labelers)[:, None] >> np.arange(n_labelers) & 1).astype(bool)


def _shares(table: Floats, n_labelers: int) -> Floats:
    texts = table.sum(axis=0) + table.sum(axis=1)
    return np.asarray(texts @ _said(n_labelers) / max(texts.sum(), 1))


def _start(table: Floats, n_labelers: int, fpr: float, fnr: float) -> _State:
    """Prevalence as the first labeler has it; rates low, so that yes means yes."""
    first = _said(n_labelers)[:, 0].astype(np.float64)
    sides = np.stack([1 - first, first])
    prevalence = sides @ table @ sides.T / table.sum()
    mixed = 0.9 * prevalence + 0.1 * np.outer(prevalence.sum(axis=1), prevalence.sum(axis=0))
    rates = np.ones(n_labelers)
    return _State(mixed, fpr * rates, fnr * rates)


def _step(table: Floats, state: _State) -> _State:
    """One round of EM."""
    t, prior = state.texts, state.prevalence
    ratio = table / np.clip(t @ prior @ t.T, 1e-300, None)
    pairs = prior * (t.T @ ratio @ t)
    texts = t * (ratio @ t @ prior.T + ratio.T @ t @ prior)  # (2^L, 2) expected texts by what was said, truth
    said = _said(len(state.fpr)).astype(np.float64)
    total = np.clip(texts.sum(axis=0), 1e-300, None)
    fpr, fnr = said.T @ texts[:, 0] / total[0], (1 - said).T @ texts[:, 1] / total[1]
    return _State(pairs / pairs.sum(), np.clip(fpr, _EDGE, 1 - _EDGE), np.clip(fnr, _EDGE, 1 - _EDGE))


def _climb(table: Floats, state: _State, rounds: int = 20) -> _State:
    for _ in range(rounds):
        state = _step(table, state)
    return state


def _maximum(table: Floats, state: _State) -> tuple[_State, bool]:
    """EM rounds with a scoring step after every few, until the score says that nothing is left to gain."""
    for _ in range(_MOST_ROUNDS):
        score, information, free = _derivatives(table, state)
        step = np.zeros(len(score))
        step[free] = np.linalg.pinv(information[np.ix_(free, free)], rcond=1e-12) @ score[free]
        if float(step @ score) < _TOLERANCE:
            return state, True
        state = _scored(table, state, step) or _climb(table, state, _STEPS)
    return state, False


def _scored(table: Floats, state: _State, step: Floats) -> _State | None:
    """A step of scoring, halved until it gains; None where it does not."""
    now, at = state.log_likelihood(table), _packed(state)
    for shrink in (1.0, 0.5, 0.25, 0.125):
        trial = _unpacked(at + shrink * step, len(state.fpr))
        if trial is not None and trial.log_likelihood(table) > now:
            return trial
    return None


def _packed(state: _State) -> Floats:
    """(2L + 3,): prevalences of no-yes, yes-no, yes-yes; rates of false positives, of false negatives."""
    return np.concatenate([state.prevalence.ravel()[1:], state.fpr, state.fnr])


def _unpacked(theta: Floats, n_labelers: int) -> _State | None:
    """The state of a vector, rates brought back between 0 and 1; None where prevalences leave the simplex."""
    first = 1.0 - theta[:3].sum()
    if first <= 0 or np.any(theta[:3] <= 0):
        return None
    rates = np.clip(theta[3:], _EDGE, 1 - _EDGE)
    return _State(np.append(first, theta[:3]).reshape(2, 2), rates[:n_labelers], rates[n_labelers:])


def _pattern_scores(state: _State) -> Floats:
    """(4^L, 2L + 3), derivatives of the log probability of each pattern."""
    t, prior, said = state.texts, state.prevalence, _said(len(state.fpr))
    probability = np.clip(t @ prior @ t.T, 1e-300, None)
    columns = [np.outer(t[:, c], t[:, r]) - np.outer(t[:, 0], t[:, 0]) for c, r in ((0, 1), (1, 0), (1, 1))]
    for truth, rates in ((0, state.fpr), (1, 1 - state.fnr)):  # the rates of saying yes
        for j, rate in enumerate(rates):
            slope = np.zeros_like(t)
            slope[:, truth] = t[:, truth] * np.where(said[:, j], 1 / rate, -1 / (1 - rate)) * (-1) ** truth
            half = slope @ prior @ t.T
            columns.append(half + t @ prior @ slope.T)
    return np.stack([(c / probability).ravel() for c in columns], axis=1)


def _derivatives(table: Floats, state: _State) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Score, information (sum of squared scores), and which parameters are not held at an edge."""
    scores, counts, theta = _pattern_scores(state), table.ravel(), _packed(state)
    score = scores.T @ counts
    low, high = theta <= 2 * _EDGE, theta >= 1 - 2 * _EDGE
    free = ~((low & (score <= 0)) | (high & (score >= 0)))
    return score, (scores * counts[:, None]).T @ scores, free


def _upright(state: _State) -> _State:
    """Of two solutions that are each other's mirror, the one in which labelers mostly say the truth."""
    if np.sum(1 - state.fpr - state.fnr) >= 0:
        return state
    return _State(state.prevalence[::-1, ::-1].copy(), 1 - state.fnr, 1 - state.fpr)


def _described(table: Floats, state: _State, converged: bool) -> FeatureFit:
    n, n_labelers = table.sum(), len(state.fpr)
    _, information, free = _derivatives(table, state)
    bread = np.zeros_like(information)
    bread[np.ix_(free, free)] = np.linalg.pinv(information[np.ix_(free, free)] / n, rcond=1e-12)
    influence = _pattern_scores(state) @ bread
    of_c = -(influence[:, 3 : 3 + n_labelers] + influence[:, 3 + n_labelers :])
    spread = np.sqrt((of_c**2).T @ table.ravel()) / n
    expected = n * np.clip(state.probability(), 1e-300, None)
    seen = table > 0
    g2 = 2 * float((table[seen] * np.log(table[seen] / expected[seen])).sum())
    dof = 4**n_labelers - 1 - (2 * n_labelers + 3)
    c = 1 - state.fpr - state.fnr
    return FeatureFit(
        state.prevalence, state.fpr, state.fnr, c, spread, of_c, g2, float(chi2.sf(g2, dof)), converged
    )
