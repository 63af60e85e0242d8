"""Lengths and a token budget -> batches. Pure.

A padded batch costs its longest text times its size, so texts of like length go together and what is bounded
is that product. The longest come first: if memory is going to run out, it does so at once.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plan:
    """Batches over n texts.

    Attributes:
        batches: arrays of positions into the texts; every position is in exactly one.
        n_tokens: real tokens in all.
        n_slots: tokens computed, padding included.
    """

    batches: list[NDArray[np.intp]]
    n_tokens: int
    n_slots: int


def plan_batches(lengths: NDArray[np.integer], max_batch_tokens: int) -> Plan:
    """Group texts so that longest x count stays within a budget.

    Args:
        lengths: tokens of each text, shape (n,), all positive.
        max_batch_tokens: the budget; a text longer than that makes a batch of its own.

    Returns:
        Batches from longest to shortest. The same lengths always give the same plan.
    """
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    batches: list[NDArray[np.intp]] = []
    start = n_slots = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        batch = order[start : start + max(1, max_batch_tokens // longest)]
        batches.append(batch)
        n_slots += longest * len(batch)
        start += len(batch)
    return Plan(batches, int(lengths.sum(dtype=np.int64)), n_slots)


def bucket_edges(longest: int) -> tuple[int, ...]:
    """Widths that batches are padded to where few shapes matter: two to an octave, from 32 to a longest text.

    A text is padded by half at most, and a model that takes 4,096 tokens gets 15 widths.
    """
    edges = sorted({step << k for k in range(longest.bit_length()) for step in (32, 48)})
    return (*(e for e in edges if e < longest), longest)


def bucket_of(length: int, edges: Sequence[int]) -> int:
    """The narrowest width that holds a text."""
    return edges[bisect_left(edges, length)]


def plan_buckets(lengths: NDArray[np.integer], max_batch_tokens: int, edges: Sequence[int]) -> Plan:
    """Group texts so that every batch has one of few widths, and no more texts than that width allows.

    Args:
        lengths: tokens of each text, shape (n,), all positive, none above the last edge.
        max_batch_tokens: width x texts of a batch, at most; a width beyond it takes one text at a time.
        edges: widths, ascending.

    Returns:
        Batches from the widest to the narrowest; their slots count each text at its batch's width.
    """
    widths = np.asarray(edges)[np.searchsorted(edges, lengths)]
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    batches = []
    for width in sorted(set(widths.tolist()), reverse=True):
        rows = order[widths[order] == width]
        size = max(1, max_batch_tokens // width)
        batches += [rows[i : i + size] for i in range(0, len(rows), size)]
    return Plan(batches, int(lengths.sum(dtype=np.int64)), int(widths.sum()))
