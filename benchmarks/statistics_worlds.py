"""Simulated worlds with planted coefficients: labels, two reward models, and their rewritings.

Rewards are r(t) = alpha_i + sum beta t(f) + premium [chosen] + noise; everything is drawn from one seed.
"""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.frames.schema import PREFERENCE, VARIANT

BOOLEANS = {
    "last_response_is_harmless": 0.85,
    "last_response_is_helpful": 0.7,
    "last_response_is_coherent": 0.8,
    "last_response_is_eloquent": 0.3,
    "last_response_is_refusal": 0.1,
}
SENTIMENT = "last_response_sentiment"
TERMS = (*BOOLEANS, SENTIMENT)
BETA_PRE = (0.3, 0.5, 0.2, 0.8, -0.2, 0.1)
BETA_POST = (1.2, 0.9, -0.1, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class World:
    """Frames of one world.

    Attributes:
        scores, labels, texts: as the schema has them, all of variant `variant`.
        values: (n, 2, 6) the labels as numbers, chosen side first, columns as in TERMS.
        rewards: (2, n, 2) pre and post.
    """

    scores: pl.DataFrame
    labels: pl.DataFrame
    texts: pl.DataFrame
    values: NDArray[np.float64]
    rewards: NDArray[np.float64]
    truth: dict[str, tuple[float, ...]] = field(default_factory=lambda: {"pre": BETA_PRE, "post": BETA_POST})


def world(
    n: int,
    *,
    seed: int = 0,
    premium: float = 0.0,
    heteroskedastic: bool = True,
    shuffle: bool = True,
    variant: str = "original",
    n_sources: int = 3,
) -> World:
    """Draw a world of n pairs; with `heteroskedastic` the noise grows with the features."""
    rng = np.random.default_rng(seed)
    values = drawn_values(rng, n)
    alpha = rng.normal(size=(n, 1))
    rewards = np.empty((2, n, 2))
    for m, beta in enumerate((BETA_PRE, BETA_POST)):
        scale = 0.6 + (0.5 * values[:, :, 0] + 0.4 * values[:, :, 3] if heteroskedastic else 0.4)
        rewards[m] = alpha + values @ np.array(beta) + scale * rng.normal(size=(n, 2))
        rewards[m, :, 0] += premium
    rewards = rewards.astype(np.float32).astype(np.float64)
    scores, labels, texts = frames(values, rewards, variant=variant, n_sources=n_sources)
    if shuffle:
        scores, labels, texts = (
            f.sample(fraction=1.0, shuffle=True, seed=seed) for f in (scores, labels, texts)
        )
    return World(scores, labels, texts, values, rewards)


def drawn_values(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Labels of n pairs as numbers, (n, 2, 6)."""
    prevalence = np.array(list(BOOLEANS.values()))
    booleans = rng.random((n, 2, len(prevalence))) < prevalence
    sentiment = rng.choice([-1, 0, 1], size=(n, 2, 1), p=[0.2, 0.5, 0.3])
    return np.concatenate([booleans.astype(np.float64), sentiment.astype(np.float64)], axis=2)


def frames(
    values: NDArray[np.float64],
    rewards: NDArray[np.float64],
    *,
    variant: str = "original",
    n_sources: int = 3,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """SCORES, LABELS and TEXTS of arrays shaped as in `World`."""
    n = len(values)
    row_id = np.repeat(np.arange(n, dtype=np.int64), 2)
    key = {
        "row_id": row_id,
        "preference": pl.Series(["chosen", "rejected"] * n, dtype=PREFERENCE),
        "variant": pl.repeat(variant, 2 * n, dtype=VARIANT, eager=True),
    }
    flat = values.reshape(2 * n, -1)
    names = pl.Series(flat[:, -1].astype(np.int8)).replace_strict(
        {-1: "negative", 0: "neutral", 1: "positive"},
        return_dtype=pl.Enum(["positive", "neutral", "negative"]),
    )
    labels = pl.DataFrame(
        key | {"labeler": pl.repeat("truth", 2 * n, eager=True)}
        | {f: flat[:, j] > 0 for j, f in enumerate(BOOLEANS)} | {SENTIMENT: names}
    )  # fmt: skip
    scores = pl.concat(
        pl.DataFrame(
            key | {"model": pl.repeat(m, 2 * n, eager=True), "reward": rewards[i].ravel().astype(np.float32),
                   "n_tokens": pl.repeat(9, 2 * n, dtype=pl.Int32, eager=True),
                   "truncated": pl.repeat(False, 2 * n, eager=True)}
        )
        for i, m in enumerate(("pre", "post"))
    )  # fmt: skip
    words = np.random.default_rng(1).integers(1, 9, 2 * n)
    texts = pl.DataFrame(
        key | {"source": [f"source{i % n_sources}" for i in row_id],
               "prompt": pl.repeat("Hi?", 2 * n, eager=True), "response": ["word " * w for w in words]}
    )  # fmt: skip
    return scores, labels, texts
