"""Progress on stderr: one line that redraws itself on a terminal, plain lines every few seconds elsewhere.

A stage of `seal run` draws nothing: it tells the run, which has one display for all."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from threading import Event, Thread

from seal.cli.events import is_stage, tell
from seal.cli.options import is_terminal, say
from seal.engine.progress import Listener, Progress, describe
from seal.engine.visible import visible

_PLAIN_EVERY_S, _ALIVE_EVERY_S, _LOOK_EVERY_S = 9.0, 60.0, 0.5
_TELL_EVERY_S = 0.2


@contextmanager
def display() -> Iterator[Listener]:
    """A listener for a stage; what it last heard is left on the screen as a plain line."""
    last: list[Progress] = []
    if is_stage():
        yield _told(last)
    elif not is_terminal():
        with PlainLines(say) as lines:
            yield lines
        last[:] = filter(None, [lines.last])
    else:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        heard_at = time.monotonic()

        def hear(progress: Progress) -> None:
            nonlocal heard_at
            last[:], heard_at = [progress], time.monotonic()

        def drawn() -> Text:
            waited_s = time.monotonic() - heard_at
            still = [_still(waited_s)] if waited_s >= _ALIVE_EVERY_S else []
            return Text(visible(" · ".join([*map(describe, last), *still])))

        console = Console(stderr=True)
        with Live(console=console, transient=True, refresh_per_second=5, get_renderable=drawn):
            yield hear
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


@dataclass
class PlainLines:
    """Lines about work under way: every ten seconds where something moved, every minute where nothing did.

    Use it in a `with` statement, or call `stop`: lines come from a thread of their own, because a decoder
    may be silent for longer than people wait.

    Attributes:
        say: prints a line.
        words: what is said of a progress.
        last: what was heard last.
    """

    say: Callable[[str], None]
    words: Callable[[Progress], str] = describe
    last: Progress | None = None
    _moved: bool = False
    _over: Event = field(default_factory=Event)

    def __enter__(self) -> "PlainLines":
        self._said_at = time.monotonic()
        self._thread = Thread(target=self._lines, name="plain-lines", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __call__(self, progress: Progress) -> None:
        """Hear of a progress (see `Listener`)."""
        self.last, self._moved = progress, True

    def stop(self) -> None:
        """Say nothing any more."""
        self._over.set()
        self._thread.join()

    def _lines(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            waited_s = time.monotonic() - self._said_at
            if self._moved and waited_s >= _PLAIN_EVERY_S:
                self._moved = False
                self._line(self.words(self.last) if self.last else "")
            elif waited_s >= _ALIVE_EVERY_S:
                said = [self.words(self.last)] if self.last else []
                self._line(" · ".join([*said, _still(waited_s)]))

    def _line(self, text: str) -> None:
        self._said_at = time.monotonic()
        self.say(text)


def _still(waited_s: float) -> str:
    return f"still at work, nothing new for {waited_s:.0f} s"
