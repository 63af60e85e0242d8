"""The bar and the tables of a notebook."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import polars as pl
import pytest

from seal.engine import notebook
from seal.engine.notebook import Shown, bar, bar_html, html, in_notebook
from seal.engine.progress import Progress, describe, listener, silent

HOSTILE = "<script>alert('1')</script>"


class _Kernel:
    """IPython as a kernel has it; keeps what was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, content: str, *, display_id: bool) -> "SimpleNamespace":
        assert display_id
        self.shown.append(content)
        return SimpleNamespace(update=self.shown.append)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> _Kernel:
    kernel = _Kernel()
    package, display = ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython = lambda: SimpleNamespace(kernel=kernel)  # type: ignore[attr-defined]
    display.HTML = str  # type: ignore[attr-defined]
    display.display = kernel.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return kernel


def _progress(n_done: int, n_total: int | None = 10) -> Progress:
    return Progress("score", "texts", n_done, n_total, elapsed_s=2.0)


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_a_terminal_is_no_notebook(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("IPython")
    package.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    assert not in_notebook()
    assert listener(None) is silent


def test_without_ipython_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()


def test_who_was_given_listens(kernel: _Kernel) -> None:
    assert in_notebook()
    assert listener(silent) is silent
    assert not kernel.shown


def test_a_notebook_gets_a_bar(kernel: _Kernel) -> None:
    hear = listener(None)
    for n in range(11):
        hear(_progress(n))
    assert kernel.shown[0] == bar_html(describe(_progress(0)), 0.0)
    assert kernel.shown[-1] == bar_html(describe(_progress(10)), 1.0)
    assert len(kernel.shown) == 2  # the rest came too soon after one another


def test_a_bar_redraws_itself_after_a_while(kernel: _Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_DRAW_EVERY_S", 0.0)
    draw = bar()
    draw("one", 0.1)
    draw("two", 0.2)
    assert len(kernel.shown) == 2


@pytest.mark.parametrize("n_total", [None, 0])
def test_a_bar_of_unknown_length_has_no_value(kernel: _Kernel, n_total: int | None) -> None:
    listener(None)(_progress(0, n_total))
    assert "value=" not in kernel.shown[0]


def test_the_text_of_a_bar_is_escaped() -> None:
    assert HOSTILE not in bar_html(HOSTILE, 0.5)


def test_a_result_is_a_heading_notes_and_tables() -> None:
    frame = pl.DataFrame({HOSTILE: [HOSTILE]})
    shown = html(HOSTILE, {HOSTILE: frame, "b": pl.DataFrame({"x": [1]})}, [HOSTILE])
    assert HOSTILE not in shown
    assert shown.count("&lt;script&gt;") == 5
    assert shown.index("<h3>") < shown.index("<ul>") < shown.index("<h4>b</h4>")
    assert "<ul>" not in html("a", {})


@dataclass(frozen=True)
class _Numbers(Shown):
    n_texts: int
    rate: float
    whole: bool
    errors: Mapping[str, int]
    names: tuple[str, ...] = ()
    hidden: str = field(default="secret", repr=False)


def test_numbers_are_a_table_of_two_columns() -> None:
    shown = _Numbers(12345, 0.123456, True, {HOSTILE: 1000}, ("a", "b"))._repr_html_()
    assert "<td>n_texts</td><td>12,345</td>" in shown
    assert "<td>rate</td><td>0.1235</td>" in shown
    assert "<td>whole</td><td>True</td>" in shown
    assert "<td>names</td><td>a, b</td>" in shown
    assert "alert(&#x27;1&#x27;)&lt;/script&gt;: 1,000" in shown
    assert HOSTILE not in shown
    assert "secret" not in shown
