"""Each test that `reliability.md` names for a finding is there."""

import ast
import functools
from pathlib import Path

import pytest

from tests.support.documentation import DOCS, named, section, table
from tests.support.places import ROOT

FOUND = table(section(DOCS / "reliability.md", "What an attack found"))
NAMED = [name for row in FOUND for name in named(row[1])]


@functools.cache
def functions(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }


def test_every_finding_names_a_test() -> None:
    assert len(FOUND) > 20
    assert all(named(row[1]) for row in FOUND)


@pytest.mark.parametrize("name", NAMED)
def test_the_named_test_is_there(name: str) -> None:
    file, function = name.split("::")
    assert function in functions(ROOT / "tests" / file)
