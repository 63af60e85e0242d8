"""Every command and option stands in the guide, and what the guide speaks of exists."""

import os
import re
import shlex

import click
import pytest

from seal.cli.main import cli
from seal.engine.rewriting.perturbations import PERTURBATIONS
from tests.support.documentation import (
    DOCS,
    PAGES,
    code_blocks,
    commands,
    long_names,
    named,
    options,
    prose,
    section,
    table,
    typed,
)

GUIDE = DOCS / "guide.md"
SHARED = "Options that several commands share"
COMMANDS = commands()


def documented(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_in_its_section(name: str) -> None:
    own = section(GUIDE, f"seal {name}")
    named = documented(own)
    if "#options-of-commands-that-ask-a-decoder" in own:
        named |= documented(section(GUIDE, "Options of commands that ask a decoder"))
    expected = long_names(COMMANDS[name])
    assert not expected - named, f"`seal {name}`: not in {GUIDE.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_section_names_only_options_there_are(name: str) -> None:
    every = {o for command in COMMANDS.values() for o in long_names(command)} | {"--config", "--version"}
    first_cells = [line.split(" |")[0] for line in section(GUIDE, f"seal {name}").splitlines()]
    own = documented("\n".join(c for c in first_cells if c.startswith("| `--")))
    assert own <= long_names(COMMANDS[name])
    words = documented(section(GUIDE, f"seal {name}"))
    assert words <= every


def test_shared_options_stand_in_their_section() -> None:
    expected = {"--out", "--overwrite", "--part-pairs", "--limit", "--max-failures", "--json", "--config"}
    assert expected <= documented(section(GUIDE, SHARED))
    assert {o for p in cli.params for o in p.opts if o.startswith("--")} <= documented(section(GUIDE, SHARED))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    assert COMMANDS[name].help
    for option in options(COMMANDS[name]):
        assert (option.help or "").strip().endswith("."), f"seal {name} {option.opts[0]}"


LINES = sorted({(page.name, line) for page in PAGES for line in typed(page) if line.startswith("seal ")})


@pytest.mark.parametrize(("page", "line"), LINES)
def test_every_command_line_parses(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [v for v in os.environ if v.startswith("SEAL_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(click.Path, "convert", lambda self, value, *_: value)  # the paths are examples
    words = shlex.split(line, comments=True)[1:]
    assert words, f"{page}: {line}"
    name = " ".join(words[:2]) if words[0] in ("bench", "gold") else words[0]
    assert name in COMMANDS, f"{page}: no command {name!r}"
    COMMANDS[name].make_context(f"seal {name}", words[len(name.split()) :])


def test_command_lines_were_found() -> None:
    assert {line.split()[1] for _, line in LINES} == {name.split()[0] for name in COMMANDS}


INLINE = sorted(
    {
        (page.name, " ".join(code.split()))
        for page in PAGES
        for code in re.findall(r"`(seal [^`]+)`", prose(page))
    }
)


@pytest.mark.parametrize(("page", "code"), INLINE)
def test_every_command_named_in_a_sentence_exists(page: str, code: str) -> None:
    words = code.split()[1:]
    if words[0].startswith("-") or words[0] == "COMMAND":
        assert documented(words[0]) <= {"--config", "--version", "--help"}
        return
    names = [n for n in COMMANDS if n.split() == words[: len(n.split())]]
    assert names or words in (["bench"], ["gold"]), f"{page}: `{code}` names no command"
    known = {o for n in names for o in long_names(COMMANDS[n])} | {"--help"}
    assert documented(code) <= known, f"{page}: `{code}`"


def test_the_lines_from_python_are_the_example() -> None:
    example = DOCS / "examples" / "toyworld_in_12_lines.py"
    text = GUIDE.read_text(encoding="utf-8")
    shown = text.split("<!-- toyworld_in_12_lines.py -->")[1].split("<!-- end -->")[0]
    assert shown.strip() == f"```python\n{example.read_text(encoding='utf-8').strip()}\n```"


def test_python_of_the_pages_compiles() -> None:
    blocks = [(page, b) for page in PAGES for b in code_blocks(page, "python")]
    assert blocks
    for page, block in blocks:
        compile(block, str(page), "exec")


def test_a_context_is_not_a_run() -> None:
    """`make_context` parses and calls nothing: a missing argument is still an error."""
    with pytest.raises(click.UsageError):
        COMMANDS["score"].make_context("seal score", ["texts/"])


def test_every_perturbation_stands_in_the_guide_as_the_help_says_it() -> None:
    text = section(GUIDE, "Perturbations without a model")
    rows = [row for start in ("These keep", "These change") for row in table(text.split(start)[1])]
    told = [(named(row[0])[0], row[1], row[2]) for row in rows]
    assert told == [(p.name, p.says, p.promise) for p in PERTURBATIONS]
    assert all(p.says in (COMMANDS["rewrite"].epilog or "") for p in PERTURBATIONS)
