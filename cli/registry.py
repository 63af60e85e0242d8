"""The commands by name, in the order of the pipeline; each module is imported when it is first asked for."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module

import click

from seal.engine.generation.options import GeneratorOptions
from seal.engine.options import declared

COMMANDS = (
    "init", "run", "import", "export", "score", "label", "rewrite", "similarity", "merge", "gold",
    "compare", "agreement", "analyze", "report", "verify", "bench",
)  # fmt: skip
SECRET = frozenset(f"--{known.flag}" for known in declared(GeneratorOptions) if known.words.secret)
_PREFIX, _OWN = "SEAL_", ("SEAL_CONFIG", "SEAL_PROGRESS")
_MODULES = {"import": "import_"}  # a keyword cannot name a module


def load(name: str) -> click.Command:
    """A command, its options also set by variables: SEAL_SCORE_LIMIT for `score --limit`."""
    command: click.Command = import_module(f"seal.cli.commands.{_MODULES.get(name, name)}").command
    _name_variables(command, f"{_PREFIX}{name.upper()}")
    return command


def load_all() -> dict[str, click.Command]:
    """Every command by name."""
    return {name: load(name) for name in COMMANDS}


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """A line about each variable that is named like an option's and is none."""
    asked = sorted(name for name in environment if name.startswith(_PREFIX) and name not in _OWN)
    known = {name for command in load_all().values() for name in _variables(command)} if asked else set()
    lines = []
    for name in asked:
        if name not in known:
            near = "".join(f"; did you mean {found}?" for found in get_close_matches(name, known, 1))
            lines.append(f"no option is set by the variable {name}{near}")
    return lines


def _variables(command: click.Command) -> Iterator[str]:
    yield from (str(option.envvar) for option in command.params if option.envvar)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _variables(inner)


def _name_variables(command: click.Command, prefix: str) -> None:
    for option in command.params:
        long = next((o for o in option.opts if o.startswith("--")), None)
        if long:
            option.envvar = prefix + "_" + long.removeprefix("--").replace("-", "_").upper()
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            _name_variables(inner, f"{prefix}_{name.upper()}")


def without_secrets(words: Sequence[str]) -> list[str]:
    """A command line as it was typed, secret options left out with their values."""
    kept: list[str] = []
    skip = False
    for word in words:
        name, equals, _ = word.partition("=")
        if skip or name in SECRET:
            skip = not skip and not equals
            continue
        kept.append(word)
    return kept
