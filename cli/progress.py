"""Progress on stderr: one line that redraws itself on a terminal, plain lines every few seconds elsewhere.

A stage of `seal run` draws nothing: it tells the run, which has one display for all."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

from seal.cli.events import is_stage, tell
from seal.cli.options import is_terminal, say
from seal.engine.progress import Listener, Progress

_PLAIN_EVERY_S = 10.0
_TELL_EVERY_S = 0.2


def describe(progress: Progress) -> str:
    """One line: done, rate, tokens/s, padding share, failures, time left."""
    p = progress
    words = [
        f"{p.stage}: {p.n_done:,}" + (f" of {p.n_total:,}" if p.n_total is not None else "") + f" {p.unit}"
    ]
    rate = (p.n_done - p.n_before) / p.elapsed_s if p.elapsed_s else 0.0
    if rate:
        words.append(f"{rate:,.0f} {p.unit}/s" if rate >= 10 else f"{rate:.2f} {p.unit}/s")
    if p.n_tokens and p.elapsed_s:
        words.append(f"{p.n_tokens / p.elapsed_s:,.0f} tokens/s")
        words.append(f"padding {1 - p.n_tokens / p.n_slots:.1%}")
    if p.n_failures:
        words.append(f"{p.n_failures:,} failed")
    if rate and p.n_total is not None and p.n_done < p.n_total:
        words.append(f"{timedelta(seconds=round((p.n_total - p.n_done) / rate))} left")
    return " · ".join(words)


@contextmanager
def display() -> Iterator[Listener]:
    """A listener for a stage; what it last heard is left on the screen as a plain line."""
    last: list[Progress] = []
    if is_stage():
        yield _told(last)
    elif not is_terminal():
        yield _plain(last)
    else:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(stderr=True), transient=True, refresh_per_second=5) as live:

            def draw(progress: Progress) -> None:
                last[:] = [progress]
                live.update(Text(describe(progress)))

            yield draw
    if last:
        tell(progress=asdict(last[0]))
        say(describe(last[0]))


def _told(last: list[Progress]) -> Listener:
    """For a stage of a run, which draws for all of them."""
    told_at = 0.0

    def hear(progress: Progress) -> None:
        nonlocal told_at
        last[:] = [progress]
        if time.monotonic() - told_at >= _TELL_EVERY_S:
            told_at = time.monotonic()
            tell(progress=asdict(progress))

    return hear


def _plain(last: list[Progress]) -> Listener:
    said_at = time.monotonic()

    def hear(progress: Progress) -> None:
        nonlocal said_at
        last[:] = [progress]
        if time.monotonic() - said_at >= _PLAIN_EVERY_S:
            said_at = time.monotonic()
            say(describe(progress))

    return hear
