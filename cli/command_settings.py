"""One command's table of the settings file: its keys are the command's long options."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from seal.engine.errors import UsageError


def command_settings(
    values: Mapping[str, Any], command: click.Command, path: Path, table: str
) -> dict[str, Any]:
    """The settings of one command: parameter name -> value, relative paths taken from the file's folder.

    Raises:
        UsageError: a key is none of its long options.
    """
    parameters = {
        opt.removeprefix("--"): p
        for p in command.params
        for opt in ([str(p.name)] if isinstance(p, click.Argument) else p.opts)
        if isinstance(p, click.Argument) or opt.startswith("--")
    }
    inner = command.commands if isinstance(command, click.Group) else {}
    settings: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        known(name, (*parameters, *inner), f"{path}: [{table}] has no setting '{key}'")
        if name in parameters:
            settings[str(parameters[name].name)] = _placed(value, parameters[name], path.parent)
        elif isinstance(value, dict):
            settings[name] = command_settings(value, inner[name], path, f"{table}.{name}")
        else:
            raise UsageError(f"{path}: '{name}' of [{table}] is a command; write a table [{table}.{name}]")
    return settings


def _placed(value: Any, parameter: click.Parameter, folder: Path) -> Any:
    if not isinstance(parameter.type, click.Path):
        return value
    if isinstance(value, list):
        return [_placed(one, parameter, folder) for one in value]
    return str(folder / value) if isinstance(value, str) else value


def known(name: str, names: Iterable[str], problem: str) -> None:
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        raise UsageError(
            f"{problem}; {f'did you mean {near[0]!r}?' if near else 'known: ' + ', '.join(sorted(names))}"
        )
