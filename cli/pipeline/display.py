"""One display for all stages of a run: a list that redraws itself on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from seal.cli.options import is_terminal, say
from seal.cli.pipeline.planning import Decision
from seal.cli.progress import PlainLines
from seal.engine.progress import Listener, Progress, describe
from seal.engine.visible import visible

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_STYLES = {"·": "dim", "✓": "green", "▸": "bold", "✗": "red"}


class Board:
    """What every stage is at.

    Args:
        names: the stages, in order.
        live: redraws the list; None prints lines.
    """

    def __init__(self, names: Sequence[str], live: "Live | None" = None) -> None:
        self._rows = dict.fromkeys(names, ("·", ""))
        self._live = live
        self._lines: PlainLines | None = None
        self._began_s = 0.0

    def skip(self, name: str, why: str) -> None:
        """A stage that stands already."""
        self._show(name, "✓", f"done before: {why}")

    def begin(self, name: str, decision: Decision) -> Listener:
        """A stage starts; what is returned is to hear of its progress."""
        self._began_s = time.monotonic()
        word = {"run": "runs", "resume": "goes on", "again": "runs again", "replace": "is made anew"}
        self._show(name, "▸", f"{word.get(decision.state, 'runs')}: {decision.why}")

        if self._live:
            return lambda progress: self._show(name, "▸", _tail(progress))
        self.quiet()
        self._lines = PlainLines(lambda text: self._show(name, "▸", text), _tail)
        return self._lines.__enter__()

    def quiet(self) -> None:
        """Say no more of the stage under way than what is said here."""
        if self._lines is not None:
            self._lines.stop()
            self._lines = None

    def note(self, name: str, text: str) -> None:
        """What the user must know of a stage under way."""
        self._show(name, "▸", text)

    def end(self, name: str, last: Progress | None, warning: str = "") -> None:
        """The stage is done; a warning is what the user must know of its result."""
        self.quiet()
        took = f"{time.monotonic() - self._began_s:,.1f} s"
        said = [f"WARNING: {warning}" if warning else "", _tail(last) if last else "", took]
        self._show(name, "✓", " · ".join(filter(None, said)))

    def fail(self, name: str) -> None:
        """The stage failed, and the run with it."""
        self.quiet()
        if self._live:
            self._show(name, "✗", "failed")

    def table(self) -> "Table":
        """The list as it stands."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for name, (sign, text) in self._rows.items():
            style = _STYLES[sign]
            table.add_row(Text(sign, style=style), Text(name, style=style), Text(text, overflow="ellipsis"))
        return table

    def _show(self, name: str, sign: str, text: str) -> None:
        self._rows[name] = (sign, visible(text))
        if self._live:
            self._live.update(self.table())
        else:
            say(f"{name}: {self._rows[name][1]}")


def _tail(progress: Progress) -> str:
    """Progress without the stage's name, which stands before it already."""
    return describe(replace(progress, stage="")).removeprefix(": ")


@contextmanager
def board(names: Sequence[str]) -> Iterator[Board]:
    """A board for some stages; on a terminal the list stays when the run ends."""
    if not is_terminal():
        shown = Board(names)
        try:
            yield shown
        finally:
            shown.quiet()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=5) as live:
        shown = Board(names, live)
        live.update(shown.table())
        yield shown
