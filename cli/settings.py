"""The settings file: one TOML table a command, its keys the command's long options."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from engine.errors import UsageError


def load_settings(path: Path, commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """Read a settings file as click's `default_map`.

    Args:
        path: a TOML file; one that does not exist gives no settings.
        commands: the commands a table may be named after.

    Raises:
        UsageError: the file is no TOML, or has a table or key nothing is named after (with the nearest).
    """
    if not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from None
    settings: dict[str, dict[str, Any]] = {}
    for table, values in tables.items():
        if not isinstance(values, dict):
            raise UsageError(f"{path}: '{table}' stands outside a table; write it under [COMMAND]")
        _known(table, commands, f"{path}: no command takes a table [{table}]")
        settings[table] = _one_command(values, commands[table], path, table)
    return settings


def _one_command(values: Mapping[str, Any], command: click.Command, path: Path, table: str) -> dict[str, Any]:
    parameters = {
        opt.removeprefix("--"): str(p.name)
        for p in command.params
        for opt in ([str(p.name)] if isinstance(p, click.Argument) else p.opts)
        if isinstance(p, click.Argument) or opt.startswith("--")
    }
    inner = command.commands if isinstance(command, click.Group) else {}
    settings: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        _known(name, (*parameters, *inner), f"{path}: [{table}] has no setting '{key}'")
        if name in parameters:
            settings[parameters[name]] = value
        elif isinstance(value, dict):
            settings[name] = _one_command(value, inner[name], path, f"{table}.{name}")
        else:
            raise UsageError(f"{path}: '{name}' of [{table}] is a command; write a table [{table}.{name}]")
    return settings


def _known(name: str, names: Iterable[str], problem: str) -> None:
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        raise UsageError(
            f"{problem}; {f'did you mean {near[0]!r}?' if near else 'known: ' + ', '.join(sorted(names))}"
        )
