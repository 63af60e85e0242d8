"""How a stage tells what it is doing, without knowing who listens."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A snapshot of a running stage. Counts are of this output folder, earlier runs included.

    Attributes:
        stage: the command.
        unit: what is counted, in the plural: `pairs`, `texts`.
        n_done: units finished (failed ones included).
        n_total: units in all, None where it cannot be known (a compressed file).
        n_before: units that earlier runs had finished, not part of the rate.
        n_failures: units failed.
        elapsed_s: seconds since this run began.
        n_tokens: real tokens computed in this run.
        n_slots: tokens computed in this run with padding.
    """

    stage: str
    unit: str
    n_done: int
    n_total: int | None
    n_before: int = 0
    n_failures: int = 0
    elapsed_s: float = 0.0
    n_tokens: int = 0
    n_slots: int = 0


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A listener that does nothing."""
