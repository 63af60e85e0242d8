"""The true labels of a chunk as a LABELS frame, in the terms of the default taxonomy."""

import numpy as np
import polars as pl

from examples.toyworld.draws import EXTRA_KINDS, Draws, Ints
from examples.toyworld.grammar import load_grammar
from examples.toyworld.world import GROUNDS, PLANTED_GROUNDS, SENTIMENTS, TOPICS, WEIGHTED, Bools, Floats
from seal.engine.frames.schema import CHOSEN, ORIGINAL, PREFERENCE, REJECTED, USUAL_VARIANT

LABELER = "truth"
SENTIMENT = pl.Enum(SENTIMENTS)
TOPIC_LIST = pl.List(pl.Enum(TOPICS))
GROUND_LIST = pl.List(pl.Enum(GROUNDS))

FEATURE_TYPES: dict[str, pl.DataType] = {
    "assistant_is_anthropomorphic": pl.Boolean(),
    "assistant_is_coherent": pl.Boolean(),
    "human_vocabulary_quality": pl.Boolean(),
    "last_response_is_anthropomorphic": pl.Boolean(),
    "last_response_is_coherent": pl.Boolean(),
    "last_response_is_refusal": pl.Boolean(),
    "last_response_is_helpful": pl.Boolean(),
    "last_response_is_harmless": pl.Boolean(),
    "last_response_is_honest": pl.Boolean(),
    "last_response_contains_insult": pl.Boolean(),
    "last_response_is_sexually_explicit": pl.Boolean(),
    "last_response_breaks_privacy": pl.Boolean(),
    "last_response_is_discriminatory": pl.Boolean(),
    "last_response_is_manipulative": pl.Boolean(),
    "last_response_is_creative": pl.Boolean(),
    "last_response_is_eloquent": pl.Boolean(),
    "last_response_sentiment": SENTIMENT,
    "last_response_is_discriminating_against": GROUND_LIST,
    "topics": TOPIC_LIST,
}
"""All features, in the taxonomy's order. `last_response_is_sexually_explicit` is false throughout: this world
is inoffensive, and a feature that never varies has to be told apart from one without effect."""


def labels_of(draws: Draws, features: Floats, order: Ints, start: int) -> pl.DataFrame:
    """The truth about both texts of each pair.

    Args:
        draws: the chunk.
        features: (n, 2, len(WEIGHTED)), chosen first; n may be less than the chunk holds.
        order: (n, 2), which response (0 first, 1 second) is chosen and which rejected.
        start: row_id of the first pair.

    Returns:
        2 n rows sorted by key: row_id, preference, variant, labeler, then FEATURE_TYPES.
    """
    n = len(features)
    sides = {name: features[..., i].reshape(-1) for i, name in enumerate(WEIGHTED)}
    early = draws.early_extra[:n]
    anthropomorphic = sides["last_response_is_anthropomorphic"] > 0
    coherent = sides["last_response_is_coherent"] > 0
    told: dict[str, Bools] = {
        "assistant_is_anthropomorphic": anthropomorphic | _said_early(early, "anthropomorphic"),
        "assistant_is_coherent": coherent & ~_said_early(early, "incoherent"),
        "human_vocabulary_quality": np.repeat(draws.rich[:n], 2),
        "last_response_is_sexually_explicit": np.zeros(2 * n, dtype=bool),
    }
    key = pl.DataFrame(
        {
            "row_id": np.repeat(np.arange(start, start + n, dtype=np.int64), 2),
            "preference": pl.Series([CHOSEN, REJECTED] * n, dtype=PREFERENCE),
            "variant": pl.repeat(ORIGINAL, 2 * n, dtype=USUAL_VARIANT, eager=True),
            "labeler": pl.repeat(LABELER, 2 * n, eager=True),
        }
    )
    sentiment = np.array(SENTIMENTS)[1 - sides["last_response_sentiment"].astype(int)]
    ground = np.take_along_axis(draws.ground[:n], order, axis=1).reshape(-1)
    columns: dict[str, pl.Series] = {
        "last_response_sentiment": pl.Series(sentiment, dtype=SENTIMENT),
        "last_response_is_discriminating_against": _grounds(
            ground, sides["last_response_is_discriminatory"] > 0
        ),
        "topics": _topics(np.repeat(draws.subjects[:n], 2, axis=0)),
    }
    for name, kind in FEATURE_TYPES.items():
        if kind == pl.Boolean():
            columns[name] = pl.Series(told[name] if name in told else sides[name] > 0)
    return key.with_columns(columns[name].alias(name) for name in FEATURE_TYPES)


def _said_early(early_extra: Ints, kind: str) -> Bools:
    return np.repeat((early_extra == EXTRA_KINDS.index(kind)).any(axis=1), 2)


def _grounds(ground: Ints, discriminates: Bools) -> pl.Series:
    """Lists of at most one ground, from an index into PLANTED_GROUNDS."""
    values = pl.Series(np.array(PLANTED_GROUNDS)[ground], dtype=pl.Enum(GROUNDS))
    frame = pl.DataFrame({"ground": values, "holds": discriminates})
    named = pl.when("holds").then("ground")
    return frame.select(pl.concat_list(named).list.drop_nulls()).to_series()


def _topics(subjects: Ints) -> pl.Series:
    """Lists of one or two topics in the taxonomy's order, from (rows, 2) subject indices."""
    n_each = len(load_grammar().subjects) // len(TOPICS)
    topics = np.sort(subjects // n_each, axis=1)
    values = [pl.Series(np.array(TOPICS)[topics[:, i]], dtype=pl.Enum(TOPICS)) for i in (0, 1)]
    frame = pl.DataFrame({"one": values[0], "two": values[1], "differ": topics[:, 0] != topics[:, 1]})
    return frame.select(pl.concat_list("one", pl.when("differ").then("two")).list.drop_nulls()).to_series()
