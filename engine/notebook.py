"""What a notebook shows: progress as a bar, results as tables. All text is escaped.

IPython is never imported where it is not running already, and no widgets are needed.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

_DRAW_EVERY_S = 0.2

Draw = Callable[[str, float | None], None]


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; a terminal, with or without IPython, is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


def bar() -> Draw:
    """A progress bar below the running cell, which redraws itself in place.

    Returns:
        What draws it, given a line of text and the share that is done (None where it cannot be known). At
        most five drawings a second reach the page; the first and a full bar always do.
    """
    from IPython.display import HTML, display

    handle: Any = None
    drawn_at = 0.0

    def draw(text: str, share: float | None) -> None:
        nonlocal handle, drawn_at
        now = time.monotonic()
        if handle is not None and now - drawn_at < _DRAW_EVERY_S and share != 1:
            return
        drawn_at, shown = now, HTML(bar_html(text, share))
        if handle is None:
            handle = display(shown, display_id=True)
        else:
            handle.update(shown)

    return draw


def bar_html(text: str, share: float | None) -> str:
    """One drawing of the bar; it moves without an end where the share is not known."""
    value = "" if share is None else f' value="{share:.4f}"'
    return f'<div><progress max="1"{value}></progress> {escape(text)}</div>'


def html(title: str, tables: Mapping[str, "pl.DataFrame"], notes: Sequence[str] = ()) -> str:
    """A result as a notebook shows it.

    Args:
        title: the heading.
        tables: name -> frame, each drawn by polars itself, which shortens long ones.
        notes: what a reader must know, one line each.
    """
    parts = [f"<h3>{escape(title)}</h3>"]
    if notes:
        parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    for name, frame in tables.items():
        parts.append(f"<h4>{escape(name)}</h4>{frame._repr_html_()}")
    return "\n".join(parts)


class Shown:
    """Base of a dataclass of numbers: a notebook shows it as a table of its fields and their values."""

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><td>{escape(f.name)}</td><td>{escape(_value(getattr(self, f.name)))}</td></tr>"
            for f in fields(self)  # type: ignore[arg-type]  # whoever inherits is a dataclass
            if f.repr
        ]
        return f"<table><caption>{escape(type(self).__name__)}</caption>{''.join(rows)}</table>"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_value(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return str(value)
