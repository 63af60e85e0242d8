"""How a stage tells what it is doing, without knowing who listens."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock

from seal.engine.notebook import bar, in_notebook


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
        n_answers: answers of a decoder in this run; a unit may need several, and comes with its last one.
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
    n_answers: int = 0


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A listener that does nothing."""


def listener(listen: Listener | None) -> Listener:
    """Who hears of a stage: the one given, else a bar in a notebook, else nobody."""
    if listen is not None:
        return listen
    if not in_notebook():
        return silent
    draw = bar()

    def hear(progress: Progress) -> None:
        n_total = progress.n_total
        draw(describe(progress), progress.n_done / n_total if n_total else None)

    return hear


def describe(progress: Progress) -> str:
    """One line: done, rate, answers, tokens/s, padding share, failures, time left."""
    p = progress
    of = "" if p.n_total is None else f" of {p.n_total:,}"
    words = [f"{p.stage}: {p.n_done:,}{of} {p.unit}"]
    rate = (p.n_done - p.n_before) / p.elapsed_s if p.elapsed_s else 0.0
    if rate:
        words.append(f"{rate:,.0f} {p.unit}/s" if rate >= 10 else f"{rate:.2f} {p.unit}/s")
    if p.n_answers:
        words.append(f"{p.n_answers:,} answers")
    if p.n_tokens and p.elapsed_s:
        words.append(f"{p.n_tokens / p.elapsed_s:,.0f} tokens/s")
        words.append(f"padding {1 - p.n_tokens / p.n_slots:.1%}")
    if p.n_failures:
        words.append(f"{p.n_failures:,} failed")
    if rate and p.n_total is not None and p.n_done < p.n_total:
        words.append(f"{timedelta(seconds=round((p.n_total - p.n_done) / rate))} left")
    return " · ".join(words)


class Recalling:
    """A listener that passes on what it hears, and says it again after an interlude.

    Args:
        listen: whom it tells.
    """

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self._last = progress
        self._listen(progress)

    @contextmanager
    def interlude(self) -> Iterator[Listener]:
        """A listener for some other work of the stage; what was heard last stands again behind it."""
        yield self._listen
        if self._last is not None:
            self._listen(self._last)


class Meter:
    """Counts tokens over the threads of a run and tells a listener.

    Args:
        listen: told after every batch.
        stage: the command.
        n_total: texts to do in all, None where it is not known.
        n_before: texts done by earlier runs.
        passes: how often each text is run (once a model); progress counts a text when its last pass is done.
    """

    def __init__(self, listen: Listener, stage: str, n_total: int | None, n_before: int, passes: int) -> None:
        self._listen = listen
        self._stage, self._n_total, self._n_before, self._passes = stage, n_total, n_before, passes
        self._lock = Lock()
        self._began_s = self._lap_s = time.perf_counter()
        self._lap = {"n_tokens": 0, "n_slots": 0, "n_halved": 0}
        self._n_runs = self._n_tokens = self._n_slots = self._n_answers = 0

    def batch(self, n_texts: int, n_tokens: int, n_slots: int) -> None:
        """A batch is done: its texts (identical ones counted), real tokens, and tokens with padding."""
        with self._lock:
            self._n_runs += n_texts
            self._n_tokens += n_tokens
            self._n_slots += n_slots
            self._lap["n_tokens"] += n_tokens
            self._lap["n_slots"] += n_slots
            self._listen(self._snapshot())

    def answered(self, n: int) -> None:
        """A decoder gave so many more answers; what they make up is told by `batch`."""
        with self._lock:
            self._n_answers += n
            self._listen(self._snapshot())

    def count(self, **numbers: int) -> None:
        """Whatever else a stage counts, by name; summed up in the lap."""
        with self._lock:
            for name, number in numbers.items():
                self._lap[name] = self._lap.get(name, 0) + number

    def lap(self) -> dict[str, float]:
        """What was counted since the last lap, with its seconds."""
        with self._lock:
            now = time.perf_counter()
            counted: dict[str, float] = {**self._lap, "elapsed_s": now - self._lap_s}
            self._lap_s = now
            self._lap = dict.fromkeys(self._lap, 0)
        return counted

    def _snapshot(self) -> Progress:
        n_done, elapsed_s = self._n_before + self._n_runs // self._passes, time.perf_counter() - self._began_s
        return Progress(
            self._stage, "texts", n_done, self._n_total, self._n_before, elapsed_s=elapsed_s,
            n_tokens=self._n_tokens, n_slots=self._n_slots, n_answers=self._n_answers,
        )  # fmt: skip
