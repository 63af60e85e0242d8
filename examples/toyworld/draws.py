"""What chance decides about a chunk of pairs, as arrays: turns, subjects, features, choices.

All numbers come from the raw 64-bit stream of numpy's PCG64, whose bytes are the same on every platform, and
each chunk of pairs has its own stream: pair i is the same however many pairs are asked for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.toyworld import world
from examples.toyworld.world import FLAGS, PLANTED_GROUNDS, WEIGHTED, Bools, Floats, Utility

Ints = NDArray[np.int64]

CHUNK_PAIRS = 2048
MAX_TURNS = 3
MAX_CLAUSES = 5
"""Clauses of a last response; with the templates' lengths it keeps dialogues within 120 words."""

FLAG_KINDS = tuple(FLAGS)
EXTRA_KINDS = (
    *(kind for kind in FLAG_KINDS if kind != "discriminatory"),
    *(f"discriminatory_{ground}" for ground in PLANTED_GROUNDS),
    "positive",
    "negative",
)
"""What may distract in an earlier assistant turn, beside its core."""
CORE_KINDS = ("helpful", "helpful", "unhelpful", "refusal")

_MAX_FLAGS = 3
_N_PAIR, _N_RESPONSE, _N_WORDING = 13, 7 + len(FLAG_KINDS), 32
_COLUMN = {name: i for i, name in enumerate(WEIGHTED)}
_NAMES = {kind: feature for kind, (feature, _) in FLAGS.items()}


@dataclass(frozen=True)
class Draws:
    """One chunk of pairs before any word is chosen; `first` and `second` are the two responses of a pair.

    Attributes:
        n_turns: (n,) human turns, 1 to 3.
        rich: (n,) whether the human's vocabulary is rich.
        note: (n,) whether the human adds a note to the opening question.
        subjects: (n, 2) index of the opening and of the last subject.
        early_core, early_extra: (n, 2) index into CORE_KINDS and EXTRA_KINDS of each earlier assistant turn,
            -1 where it says none (or there is no such turn).
        features: (n, 2, len(WEIGHTED)) of the last responses, booleans as 0/1, sentiment as -1/0/1.
        flags: (n, 2, 3) index into FLAG_KINDS in the order said, -1 for none.
        ground: (n, 2) index into PLANTED_GROUNDS, meaningful where the response discriminates.
        sentiment_last, filler: (n, 2) whether sentiment comes at the end, whether to add a neutral sentence.
        ambiguous, mislabeled, first_wins: (n,) what was drawn about the choice.
        wording: (n, 32) non-negative integers from which templates and synonyms are chosen.
    """

    n_turns: Ints
    rich: Bools
    note: Bools
    subjects: Ints
    early_core: Ints
    early_extra: Ints
    features: Floats
    flags: Ints
    ground: Ints
    sentiment_last: Bools
    filler: Bools
    ambiguous: Bools
    mislabeled: Bools
    first_wins: Bools
    wording: Ints


def draw_chunk(seed: int, chunk: int, utility: Utility, n_subjects: int) -> Draws:
    """Draw pairs chunk * CHUNK_PAIRS to (chunk + 1) * CHUNK_PAIRS - 1; `utility` decides who is chosen."""
    n, width = CHUNK_PAIRS, _N_PAIR + 2 * _N_RESPONSE + _N_WORDING
    raw = np.random.PCG64(np.random.SeedSequence([seed, chunk])).random_raw(n * width).reshape(n, width)
    u: Floats = (raw[:, : _N_PAIR + 2 * _N_RESPONSE] >> np.uint64(11)).astype(np.float64) * 2.0**-53
    pair, response = u[:, :_N_PAIR], u[:, _N_PAIR:].reshape(n, 2, _N_RESPONSE)
    ambiguous = pair[:, 0] < world.AMBIGUOUS_SHARE
    alike = response.copy()
    alike[ambiguous, 1, 2:] = response[ambiguous, 0, 2:]  # same meaning; columns 0 and 1 are form
    responses = _responses(alike)
    won = pair[:, 1] < 1.0 / (1.0 + np.exp(-world.margins(responses["features"], utility)))
    mislabeled = pair[:, 2] < world.MISLABELED_SHARE
    return Draws(
        **_contexts(pair[:, 3:], n_subjects),
        **responses,
        ambiguous=ambiguous,
        mislabeled=mislabeled,
        first_wins=won ^ mislabeled,
        wording=(raw[:, -_N_WORDING:] >> np.uint64(33)).astype(np.int64),
    )


def _contexts(u: Floats, n_subjects: int) -> dict[str, Any]:
    """Everything before the last response, from (n, 10) uniforms."""
    n_turns = 1 + np.searchsorted([0.35, 0.75], u[:, 0], side="right")
    opening, other = (np.floor(u[:, c] * n_subjects).astype(np.int64) for c in (1, 2))
    moves_on = (u[:, 3] < 0.4) & (n_turns > 1)
    exists = np.stack([n_turns >= 2, n_turns >= 3], axis=1)
    core = np.floor(u[:, 4:6] * len(CORE_KINDS)).astype(np.int64)
    extra = np.floor(u[:, 6:8] * len(EXTRA_KINDS) / 0.75).astype(np.int64)
    extra[extra >= len(EXTRA_KINDS)] = -1
    both = (n_turns == 2)[:, None]  # of three turns each says one thing, to stay short
    return {
        "n_turns": n_turns,
        "rich": u[:, 8] < 0.5,
        "note": u[:, 9] < 0.5,
        "subjects": np.stack([opening, np.where(moves_on, other, opening)], axis=1),
        "early_core": np.where(exists & (both | (extra < 0)), core, -1),
        "early_extra": np.where(exists, extra, -1),
    }


def _responses(u: Floats) -> dict[str, Any]:
    """The meaning and the form of last responses, from (n, 2, _N_RESPONSE) uniforms."""
    features = np.zeros((*u.shape[:2], len(WEIGHTED)))
    refusal = u[..., 2] < 0.2
    helpful = u[..., 3] < np.where(refusal, 0.35, 0.6)
    sentiment = np.where(u[..., 4] < 0.35, 1, np.where(u[..., 4] < 0.65, -1, 0))
    n_other = 1 + (refusal & helpful) + (sentiment != 0)
    n_flags = np.minimum(np.searchsorted([0.15, 0.5, 0.85], u[..., 5], side="right"), MAX_CLAUSES - n_other)
    flags = _flags(u[..., 7:], n_flags, refusal)
    for column, value in (("is_helpful", helpful), ("is_refusal", refusal), ("sentiment", sentiment)):
        features[..., _COLUMN[f"last_response_{column}"]] = value
    for i, kind in enumerate(FLAG_KINDS):
        said = (flags == i).any(axis=-1)
        features[..., _COLUMN[_NAMES[kind]]] = ~said if _NAMES[kind] in world.NEGATED else said
    n_clauses = n_other + n_flags
    return {
        "features": features,
        "flags": flags,
        "ground": np.floor(u[..., 6] * len(PLANTED_GROUNDS)).astype(np.int64),
        "sentiment_last": u[..., 0] < 0.5,
        "filler": (n_clauses < 2) | ((n_clauses < MAX_CLAUSES) & (u[..., 1] < 0.3)),
    }


def _flags(u: Floats, n_flags: Ints, refusal: Bools) -> Ints:
    """The flags each response carries, (n, 2, 3), -1 for none: the smallest u / readiness come first."""
    readiness = np.tile([weight for _, weight in FLAGS.values()], (*u.shape[:2], 1))
    readiness[..., FLAG_KINDS.index("harmful")] *= np.where(refusal, 0.4, 1.0)  # who refuses seldom harms
    order = np.argsort(u / readiness, axis=-1, kind="stable")[..., :_MAX_FLAGS]
    return np.where(np.arange(_MAX_FLAGS) < n_flags[..., None], order, -1)
