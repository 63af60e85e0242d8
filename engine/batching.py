"""Lengths and a token budget -> batches. Pure.

A padded batch costs its longest text times its size, so texts of like length go together and what is bounded
is that product. The longest come first: if memory is going to run out, it does so at once.
"""

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
