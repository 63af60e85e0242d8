"""Progress on stderr: one line that redraws itself on a terminal, plain lines every few seconds elsewhere.

A stage of `seal run` draws nothing: it tells the run, which has one display for all."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from seal.cli.events import is_stage, tell
from seal.cli.options import is_terminal, say
from seal.engine.progress import Listener, Progress, describe
from seal.engine.visible import visible

_PLAIN_EVERY_S = 10.0
_TELL_EVERY_S = 0.2


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
                live.update(Text(visible(describe(progress))))

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
