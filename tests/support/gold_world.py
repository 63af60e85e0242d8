"""A small world whose labeler errs and of whose pairs some have gold labels."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

from seal.engine.frames.schema import PREFERENCE, VARIANT

FEATURES = (
    "last_response_is_harmless", "last_response_is_helpful", "last_response_is_terse",
    "last_response_is_warm", "last_response_is_wry",
)  # fmt: skip
PREVALENCE = np.array([0.6, 0.4, 0.7, 0.25, 0.5])
BETA = {"pre": np.array([0.4, 0.8, -0.5, 0.9, 0.0]), "post": np.array([1.2, 0.6, -0.3, 1.0, 0.5])}
TASTE = np.array([0.9, 0.5, 0.0, 0.7, -0.4])
FALSE_NEGATIVE = np.array([0.12, 0.2, 0.08, 0.2, 0.15])
ODDS = np.minimum(1, PREVALENCE / (1 - PREVALENCE))  # false positives a false negative


@dataclass(frozen=True)
class GoldWorld:
    """Frames, and what they were made of.

    Attributes:
        scores, labels, gold: SCORES, the labeler's LABELS (`model`), gold LABELS (`people`).
        truth, said: (n, 2, 5) labels as numbers.
        rewards: (2, n, 2), as the scores hold them.
        picked: row_id of the gold pairs, ascending.
        probability: (m,) of inclusion.
    """

    scores: pl.DataFrame
    labels: pl.DataFrame
    gold: pl.DataFrame
    truth: NDArray[np.float64]
    said: NDArray[np.float64]
    rewards: NDArray[np.float64]
    picked: NDArray[np.int64]
    probability: NDArray[np.float64]


def gold_world(
    n: int = 4000, m: int = 300, *, seed: int = 0, differential: float = 0.0, stratified: bool = False
) -> GoldWorld:
    """Draw n pairs, m of them gold; `differential` ties errors to the reward's residual.

    With `stratified`, half of the gold pairs come from the fourth of the pairs whose labels differ most.
    """
    rng = np.random.default_rng(seed)
    common = 0.6 * rng.normal(size=(n, 1, 5)) + 0.8 * rng.normal(size=(n, 2, 5))
    common += 0.5 * rng.normal(size=(n, 2, 1))
    truth = (common > norm.isf(PREVALENCE) * np.sqrt(1.25)).astype(np.float64)
    residual = rng.normal(size=(n, 2))
    rewards = np.stack(
        [
            truth @ BETA["pre"] + residual,
            truth @ BETA["post"] + 0.7 * residual + 0.5 * rng.normal(size=(n, 2)),
        ]
    )
    rewards = rewards.astype(np.float32).astype(np.float64)
    taste = truth @ TASTE + 0.5 * residual + rng.logistic(size=(n, 2))
    turned = taste[:, 0] < taste[:, 1]  # people choose by what they like
    for sides in (truth, residual, rewards[0], rewards[1]):
        sides[turned] = sides[turned][:, ::-1]
    own = np.sqrt(1 - differential**2) * rng.normal(size=truth.shape) + differential * residual[..., None]
    u = norm.cdf(own)
    said = np.where(truth == 1, u > FALSE_NEGATIVE, u > 1 - FALSE_NEGATIVE * ODDS).astype(np.float64)
    probability = np.full(n, m / n)
    if stratified:
        differing = np.abs(said[:, 0] - said[:, 1]).sum(axis=1) + rng.random(n)
        often = differing >= np.quantile(differing, 0.75)
        probability = np.where(often, (m / 2) / often.sum(), (m / 2) / (~often).sum())
        parts = [rng.choice(np.flatnonzero(part), m // 2, replace=False) for part in (often, ~often)]
        picked = np.sort(np.concatenate(parts))
    else:
        picked = np.sort(rng.choice(n, m, replace=False))
    everyone = np.arange(n)
    gold = labels_of("people", truth[picked], picked).with_columns(
        inclusion_probability=pl.Series(np.repeat(probability[picked], 2))
    )
    labels = labels_of("model", said, everyone)
    return GoldWorld(scores_of(rewards), labels, gold, truth, said, rewards, picked, probability[picked])


def labeled_again(w: GoldWorld, name: str, *, seed: int) -> pl.DataFrame:
    """LABELS of another labeler, whose errors are its own."""
    rng = np.random.default_rng(seed)
    wrong = np.where(w.truth == 1, 0.8 * FALSE_NEGATIVE, 0.8 * FALSE_NEGATIVE * ODDS)
    said = np.abs(w.truth - (rng.random(w.truth.shape) < wrong))
    return labels_of(name, said, np.arange(len(said)))


def key(row_id: NDArray[np.int64]) -> dict[str, pl.Series]:
    """Key columns of both texts of some pairs, chosen first."""
    n = len(row_id)
    return {
        "row_id": pl.Series(np.repeat(row_id, 2)),
        "preference": pl.Series(["chosen", "rejected"] * n, dtype=PREFERENCE),
        "variant": pl.Series(["original"] * (2 * n), dtype=VARIANT),
    }


def labels_of(labeler: str, values: NDArray[np.float64], row_id: NDArray[np.int64]) -> pl.DataFrame:
    """LABELS from values (n, 2, 5)."""
    flat = values.reshape(2 * len(values), -1) > 0
    columns = {f: pl.Series(flat[:, j]) for j, f in enumerate(FEATURES)}
    return pl.DataFrame(key(row_id) | {"labeler": pl.Series([labeler] * len(flat))} | columns)


def scores_of(rewards: NDArray[np.float64]) -> pl.DataFrame:
    """SCORES of `pre` and `post` from rewards (2, n, 2)."""
    n = rewards.shape[1]
    return pl.concat(
        pl.DataFrame(
            key(np.arange(n)) | {"model": pl.Series([m] * (2 * n)), "reward": pl.Series(rewards[i].ravel())}
        ).with_columns(pl.col("reward").cast(pl.Float32))
        for i, m in enumerate(("pre", "post"))
    )  # fmt: skip
