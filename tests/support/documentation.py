"""The pages people read, as tests see them: files, sections, code blocks, and the commands they speak of."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from seal.cli.main import cli
from tests.support.places import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / ".github").rglob("*.md")])
_HEADING = re.compile(r"^#{1,6} (.+)$")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> dict[str, click.Command]:
    """Every command by its words after `seal`: `score`, `bench score`, ..."""
    found: dict[str, click.Command] = {}
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": c for inner, c in command.commands.items()}
        else:
            found[name] = command
    return found


def options(command: click.Command) -> list[click.Option]:
    """The options that help shows; former names are hidden."""
    return [p for p in command.params if isinstance(p, click.Option) and not p.hidden]


def long_names(command: click.Command) -> set[str]:
    """`--out`, `--json`, ...; former names of options are not shown."""
    return {o for p in options(command) if not p.hidden for o in p.opts if o.startswith("--")}


def section(page: Path, heading: str) -> str:
    """The text from a heading to the next one of its level or above."""
    lines, level, found = page.read_text(encoding="utf-8").splitlines(), 0, []
    in_code = False
    for line in lines:
        in_code ^= line.startswith("```")
        match = None if in_code else _HEADING.match(line)
        if match and level and line.index(" ") <= level:
            break
        if match and match.group(1) == heading:
            level = line.index(" ")
        elif level:
            found.append(line)
    assert level, f"{page.name} has no heading {heading!r}"
    return "\n".join(found)


def code_blocks(page: Path, language: str = "") -> list[str]:
    """The fenced blocks of a language; without one those that name none."""
    return [m.group(2) for m in _FENCE.finditer(page.read_text(encoding="utf-8")) if m.group(1) == language]


def prose(page: Path) -> str:
    """The text without fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def typed(page: Path) -> Iterator[str]:
    """The lines of unnamed code blocks that start with `seal` or `make`, continued lines joined."""
    for block in code_blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("seal ", "make ")):
                yield line


def table(text: str) -> list[list[str]]:
    """The rows of the first table of a text, head and rule left out."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("|"):
            lines.append(line)
        elif lines:
            break
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines[2:]]


def named(cell: str) -> list[str]:
    """What a cell sets in backticks, in order."""
    return re.findall(r"`([^`]+)`", cell)
