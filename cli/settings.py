"""The settings file: one TOML table a command, its keys the command's long options; and [run]."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from seal.engine.errors import UsageError, nearest
from seal.engine.files import parse_toml

KINDS = ("rewrite",)
"""Commands that a run may do in several ways: a table [COMMAND.NAME] each, over what [COMMAND] says."""

Check = Callable[[Mapping[str, Any], Path], None]


def load_settings(
    path: Path, commands: Mapping[str, click.Command], others: Mapping[str, Check]
) -> dict[str, dict[str, Any]]:
    """Read a settings file as click's `default_map`.

    Args:
        path: a TOML file; one that does not exist gives no settings.
        commands: the commands a table may be named after.
        others: tables that are read elsewhere, and what refuses keys they do not have.

    Raises:
        UsageError: the file is no TOML, or has a table or key nothing is named after (with the nearest).
    """
    if not path.exists():
        return {}
    tables = read_tables(path)
    settings: dict[str, dict[str, Any]] = {}
    for table, values in tables.items():
        if not isinstance(values, dict):
            raise UsageError(f"{path}: '{table}' stands outside a table; write it under [COMMAND]")
        if table in others:
            others[table](values, path)
            continue
        known = (*commands, *others)
        _known(table, known, known, f"{path}: no command takes a table [{table}]")
        kinds = kinds_of(tables, table)
        for kind, own in kinds.items():
            command_settings(own, commands[table], path, f"{table}.{kind}")
        shared = {key: value for key, value in values.items() if key not in kinds}
        settings[table] = command_settings(shared, commands[table], path, table)
    return settings


def kinds_of(tables: Mapping[str, Any], command: str) -> dict[str, dict[str, Any]]:
    """The tables [COMMAND.NAME] of a command that a run may do in several ways, by name."""
    values = tables.get(command)
    if command not in KINDS or not isinstance(values, dict):
        return {}
    return {name: own for name, own in values.items() if isinstance(own, dict)}


def read_tables(path: Path) -> dict[str, Any]:
    """The tables of a settings file.

    Raises:
        UsageError: it is no TOML.
    """
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from None


def command_settings(
    values: Mapping[str, Any], command: click.Command, path: Path, table: str
) -> dict[str, Any]:
    """The settings of one command: parameter name -> value, relative paths taken from the file's folder.

    Raises:
        UsageError: a key is none of its long options, or a value none that could be typed.
    """
    parameters = {
        opt.removeprefix("--"): p
        for p in command.params
        for opt in ([str(p.name)] if isinstance(p, click.Argument) else p.opts)
        if isinstance(p, click.Argument) or opt.startswith("--")
    }
    inner = command.commands if isinstance(command, click.Group) else {}
    shown = [name for name, p in parameters.items() if not getattr(p, "hidden", False)]
    settings: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        _known(
            name,
            parameters.keys() | inner.keys(),
            (*shown, *inner),
            f"{path}: [{table}] has no setting '{key}'",
        )
        if name in parameters:
            _refuse_odd(value, parameters[name], f"{path}: '{key}' of [{table}]")
            settings[str(parameters[name].name)] = _placed(value, parameters[name], path.parent)
        elif isinstance(value, dict):
            settings[name] = command_settings(value, inner[name], path, f"{table}.{name}")
        else:
            raise UsageError(f"{path}: '{name}' of [{table}] is a command; write a table [{table}.{name}]")
    return settings


def _refuse_odd(value: Any, parameter: click.Parameter, what: str) -> None:
    """What nobody could type: a list, a date, an infinite integer; click lets Python's exceptions through."""
    several = getattr(parameter, "multiple", False) or parameter.nargs != 1
    for one in value if several and isinstance(value, list) else [value]:
        if isinstance(one, list | dict):
            raise UsageError(f"{what} must be one value{' or a list of values' if several else ''}")
        try:
            parameter.type.convert(one, parameter, None)
        except click.ClickException:
            pass  # said when the command is called, in its own words
        except (TypeError, ValueError, OverflowError, AttributeError):
            raise UsageError(f"{what} is {str(one)!r}, which is no {parameter.type.name}") from None


def _placed(value: Any, parameter: click.Parameter, folder: Path) -> Any:
    if not isinstance(parameter.type, click.Path):
        return value
    if isinstance(value, list):
        return [_placed(one, parameter, folder) for one in value]
    return str(folder / value) if isinstance(value, str) else value


def _known(name: str, taken: Collection[str], shown: Iterable[str], problem: str) -> None:
    if name not in taken:
        raise UsageError(f"{problem}; {nearest(name, shown)}")
