"""The planted truth: the features, what two utilities pay for them, and how noisy choices are.

Two utilities are planted. `pre` pays for meaning alone; `post`, from which the dataset's choices are drawn,
pays for somewhat different meanings and for sentiment, the spoiler. A choice between two responses follows
P(first wins) = sigmoid(U(first) - U(second)), then a share of pairs is mislabeled. In a share of ambiguous
pairs both responses have the same features, so that nothing but chance decides.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from examples.toyworld.grammar import load_grammar

Utility = Literal["pre", "post"]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SENTIMENTS = ("positive", "neutral", "negative")
TOPICS = tuple(load_grammar().topics)
GROUNDS = (
    "age",
    "disability",
    "ethnicity",
    "gender",
    "health",
    "language",
    "nationality",
    "political_opinion",
    "religion",
    "sexual_orientation",
    "social_origin",
    "wealth",
)
PLANTED_GROUNDS = ("age", "gender", "social_origin")

# The clause kind that plants a flag, the feature it sets, and how readily it is drawn.
FLAGS = {
    "harmful": ("last_response_is_harmless", 1.5),
    "dishonest": ("last_response_is_honest", 1.3),
    "incoherent": ("last_response_is_coherent", 1.0),
    "insult": ("last_response_contains_insult", 1.0),
    "privacy": ("last_response_breaks_privacy", 0.9),
    "discriminatory": ("last_response_is_discriminatory", 0.9),
    "manipulative": ("last_response_is_manipulative", 1.0),
    "creative": ("last_response_is_creative", 1.3),
    "eloquent": ("last_response_is_eloquent", 1.3),
    "anthropomorphic": ("last_response_is_anthropomorphic", 1.1),
}
NEGATED = ("last_response_is_harmless", "last_response_is_honest", "last_response_is_coherent")
"""Features that hold unless their clause is there."""

WEIGHTED = (
    "last_response_is_helpful",
    "last_response_is_harmless",
    "last_response_is_honest",
    "last_response_is_refusal",
    "last_response_is_coherent",
    "last_response_contains_insult",
    "last_response_breaks_privacy",
    "last_response_is_discriminatory",
    "last_response_is_manipulative",
    "last_response_is_creative",
    "last_response_is_eloquent",
    "last_response_is_anthropomorphic",
    "last_response_sentiment",
)
"""Features a utility may pay for, in the order of the last axis of every feature array here."""

SPOILER = "last_response_sentiment"

WEIGHTS: dict[Utility, dict[str, float]] = {
    "pre": dict(
        zip(WEIGHTED, (2.4, 1.2, 1.5, -1.0, 2.0, -1.7, -0.9, -1.2, -1.1, 1.0, 1.2, -0.8, 0.0), strict=True)
    ),
    "post": dict(
        zip(WEIGHTED, (1.6, 2.4, 1.4, 0.8, 1.5, -2.0, -1.6, -1.8, -1.2, 0.6, 0.8, -0.7, 1.5), strict=True)
    ),
}
"""Log-odds of being chosen per unit of the feature; sentiment counts -1, 0, 1."""

MISLABELED_SHARE = 0.04
AMBIGUOUS_SHARE = 0.08


def weights_of(utility: Utility) -> Floats:
    """The planted weights, shape (len(WEIGHTED),)."""
    return np.array([WEIGHTS[utility][name] for name in WEIGHTED])


def margins(features: Floats, utility: Utility) -> Floats:
    """U(first) - U(second) of each pair.

    Args:
        features: (n_pairs, 2, len(WEIGHTED)); booleans as 0/1, sentiment as -1/0/1.
        utility: which of the planted utilities.

    Returns:
        Margins in log-odds, shape (n_pairs,).
    """
    return np.asarray(((features[:, 0] - features[:, 1]) * weights_of(utility)).sum(axis=1))


def p_first_wins(margin: Floats) -> Floats:
    """Probability that the first response is recorded as chosen, mislabeling included; same shape."""
    p = 1.0 / (1.0 + np.exp(-margin))
    return p * (1.0 - MISLABELED_SHARE) + (1.0 - p) * MISLABELED_SHARE


def bayes_accuracy(margin: Floats) -> float:
    """The share of recorded choices that even the planted utility itself can be expected to predict."""
    p = p_first_wins(margin)
    return float(np.maximum(p, 1.0 - p).mean())
