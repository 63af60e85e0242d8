"""Labelers that err at stated rates, from the true labels of a world.

    python -m examples.toyworld.erring demo/data --seed 7

reads `truth.parquet` and `draws.parquet` and writes three LABELS frames beside them, of one labeler each:
`erring` and `second`, whose errors are drawn for each text and feature by itself, and `differential`, whose
errors are as many but lean on what decides the choice beyond the true features. What cannot be told from the
rates alone: an error of `differential` is likelier upwards in the text that was chosen against the odds.

The rate of a feature's rarer value is stated (`ERRING`, `SECOND`); that of the other value follows, so that
as many labels are wrongly true as wrongly false, and a feature stays as frequent as it is.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import norm, rankdata

from examples.toyworld import world
from examples.toyworld.draws import CHUNK_PAIRS, Ints
from examples.toyworld.labels import SENTIMENT
from examples.toyworld.world import SPOILER, WEIGHTED, Floats

FLAGS = tuple(name for name in WEIGHTED if name != SPOILER)
"""The features that are true or false and that a utility pays for. Only these and the sentiment err; lists,
and what is the same in both texts of a pair, are labeled as they are."""

PREVALENCE = dict(
    zip(FLAGS, (0.549, 0.820, 0.823, 0.200, 0.868, 0.132, 0.118, 0.118, 0.131, 0.178, 0.177, 0.146),
        strict=True)
)  # fmt: skip
"""Share of texts in which each holds, over 120,000 texts."""

SENTIMENTS = {"positive": 0.350, "neutral": 0.348, "negative": 0.302}


@dataclass(frozen=True)
class Rates:
    """How a labeler errs.

    Attributes:
        rarer: feature -> share of texts with its rarer value (true or false) that are labeled otherwise.
        sentiment: share of positive, and of negative texts labeled neutral; as many neutral ones go there.
        stream: which random numbers; labelers of different streams err independently of each other.
    """

    rarer: Mapping[str, float]
    sentiment: float
    stream: int

    def of(self, feature: str) -> tuple[float, float]:
        """(false positive, false negative) rate of a feature of `FLAGS`."""
        p, rate = PREVALENCE[feature], self.rarer[feature]
        return (rate * p / (1 - p), rate) if p < 0.5 else (rate, rate * (1 - p) / p)

    @property
    def of_neutral(self) -> tuple[float, float]:
        """Share of the neutral texts labeled positive, and negative."""
        up, down = (self.sentiment * SENTIMENTS[s] / SENTIMENTS["neutral"] for s in ("positive", "negative"))
        return up, down


def _stated(*rates: float) -> dict[str, float]:
    return dict(zip(FLAGS, rates, strict=True))


ERRING = Rates(
    _stated(0.08, 0.12, 0.20, 0.05, 0.15, 0.06, 0.10, 0.15, 0.20, 0.18, 0.14, 0.12), sentiment=0.10, stream=1
)
SECOND = Rates(
    _stated(0.12, 0.08, 0.10, 0.10, 0.06, 0.15, 0.02, 0.12, 0.08, 0.10, 0.20, 0.16), sentiment=0.06, stream=2
)
STRENGTH = 0.4
"""Correlation of what draws an error of `differential` with the residual of the choice."""


def erring(
    truth: pl.DataFrame, rates: Rates, labeler: str, seed: int, *, residual: Floats | None = None,
    strength: float = 0.0,
) -> pl.DataFrame:  # fmt: skip
    """A labeler's view of the true labels.

    Args:
        truth: the labels of both texts of each pair, sorted by key, as `generate` writes them.
        rates: how often it errs.
        labeler: its name.
        seed: with a pair's row_id it decides every error, whatever else is in `truth`.
        residual: (n_pairs, 2) what the errors lean on, chosen first; only its ranks count, and with them a
            pair's errors depend on the other pairs. None: on nothing.
        strength: correlation of an error's draw with the residual's normal score, 0 to 1.

    Returns:
        A LABELS frame with the rows and columns of `truth`.
    """
    row_id = truth["row_id"].to_numpy()[0::2]
    u = _uniforms(row_id, seed, rates.stream)
    if residual is not None:
        leaning = norm.ppf(rankdata(residual).reshape(residual.shape) / (residual.size + 1))[..., None]
        u = norm.cdf(np.sqrt(1 - strength**2) * norm.ppf(u) + strength * leaning)
    u = u.reshape(len(truth), -1)
    labels = {name: _flag(truth[name], *rates.of(name), u[:, i]) for i, name in enumerate(FLAGS)}
    labels[SPOILER] = _sentiment(truth[SPOILER], rates, u[:, -1])
    return truth.with_columns(pl.lit(labeler).alias("labeler"), *(s.alias(n) for n, s in labels.items()))


def choice_residual(draws: pl.DataFrame) -> Floats:
    """How much each text was chosen beyond what its true features make likely.

    The recorded choice less its probability, 1 - p for the chosen text and p - 1 for the rejected one.

    Args:
        draws: as `generate` writes them.

    Returns:
        Shape (n_pairs, 2), chosen first; of mean 0 given the features of the two texts.
    """
    surprise = 1.0 - world.p_first_wins(draws["margin_post"].to_numpy())
    return np.stack([surprise, -surprise], axis=1)


def write_labelers(folder: Path, seed: int) -> None:
    """Write `erring.parquet`, `second.parquet` and `differential.parquet` beside a world's truth."""
    truth, draws = (pl.read_parquet(folder / f"{name}.parquet") for name in ("truth", "draws"))
    residual = choice_residual(draws)
    frames = {
        "erring": erring(truth, ERRING, "erring", seed),
        "second": erring(truth, SECOND, "second", seed),
        "differential": erring(
            truth, ERRING, "differential", seed, residual=residual, strength=STRENGTH
        ),
    }  # fmt: skip
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet", compression="zstd")


def _uniforms(row_id: Ints, seed: int, stream: int) -> Floats:
    """Numbers above 0 and below 1, (pairs, 2, features): each pair's own, by its row_id and the seed."""
    width = 2 * (len(FLAGS) + 1)
    out = np.empty((len(row_id), width))
    for chunk in np.unique(row_id // CHUNK_PAIRS):
        bits = np.random.PCG64(np.random.SeedSequence([seed, stream, int(chunk)]))
        raw = bits.random_raw(CHUNK_PAIRS * width).reshape(CHUNK_PAIRS, width)
        here = row_id // CHUNK_PAIRS == chunk
        out[here] = ((raw[row_id[here] % CHUNK_PAIRS] >> np.uint64(12)).astype(float) + 0.5) * 2.0**-52
    return out.reshape(len(row_id), 2, -1)


def _flag(truth: pl.Series, false_positive: float, false_negative: float, u: Floats) -> pl.Series:
    return pl.Series(np.where(truth.to_numpy(), u > false_negative, u > 1 - false_positive))


def _sentiment(truth: pl.Series, rates: Rates, u: Floats) -> pl.Series:
    """Each value moved at most to its neighbour; a high u moves up, a low one down."""
    is_positive, is_negative = (truth == "positive").to_numpy(), (truth == "negative").to_numpy()
    up, down = rates.of_neutral
    rises = u > 1 - np.where(is_negative, rates.sentiment, up)
    falls = u < np.where(is_positive, rates.sentiment, down)
    value = is_positive.astype(int) - is_negative + (rises & ~is_positive) - (falls & ~is_negative)
    return pl.Series(np.array(world.SENTIMENTS)[1 - value], dtype=SENTIMENT)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write labelers that err at stated rates beside a truth.")
    parser.add_argument("world", type=Path, help="folder that examples.toyworld.generate wrote")
    parser.add_argument("--seed", type=int, required=True, help="the same seed gives the same errors")
    args = parser.parse_args()
    write_labelers(args.world, args.seed)
    print(f"erring, second and differential in {args.world}")


if __name__ == "__main__":
    main()
