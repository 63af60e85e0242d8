"""`docs/api.md` says what the docstrings say."""

from dataclasses import dataclass
from typing import Literal

import pytest

import seal
from docs.make_api import PAGE, options_table, page, signature
from seal.engine.options import Options, option


def test_the_page_is_what_the_docstrings_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(seal.__all__), "run `make docs`"


@pytest.mark.parametrize("name", ["score", "verify", "similarity", "import_texts"])
def test_a_function_has_its_signature_and_its_sections(name: str) -> None:
    text = page([name])
    assert f"### `seal.{name}`" in text
    assert signature(getattr(seal, name)) in text
    assert "Raises:\n\n- `" in text


def test_schemas_and_errors_have_their_chapters() -> None:
    text = page(["SCORES", "InputError"])
    assert "| `reward` | Float32 |  |" in text
    assert text.index("## Frames") < text.index("## Errors")


@dataclass(frozen=True)
class _Some(Options):
    names: tuple[str, ...] = option((), "Which; a | b.")
    how: Literal["one", "two"] = option("one", "How.")


def test_options_are_a_table_of_what_is_declared() -> None:
    table = options_table(_Some)
    assert r"| `names` | several of `str` | `()` | Which; a \| b. |" in table
    assert "| `how` | `one`, `two` | `'one'` | How. |" in table
