"""The settings file: one TOML table a command, its keys the command's long options; and [run]."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from seal.cli.command_settings import command_settings, known
from seal.cli.pipeline.settings import TABLE, RunSettings, check_keys, parse_run
from seal.engine.errors import UsageError


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
    tables = _read(path)
    settings: dict[str, dict[str, Any]] = {}
    for table, values in tables.items():
        if not isinstance(values, dict):
            raise UsageError(f"{path}: '{table}' stands outside a table; write it under [COMMAND]")
        if table == TABLE:
            check_keys(values, path)  # the rest is read where it is used
            continue
        known(table, [*commands, TABLE], f"{path}: no command takes a table [{table}]")
        settings[table] = command_settings(values, commands[table], path, table)
    return settings


def load_run(path: Path) -> RunSettings:
    """Read the table [run] of a settings file.

    Raises:
        UsageError: the file is no TOML, has no such table, or the table asks for what cannot be.
    """
    table = _read(path).get(TABLE)
    if not isinstance(table, dict):
        raise UsageError(
            f"{path} has no table [{TABLE}], which says what to run; seal init writes an example"
        )
    return parse_run(table, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from None
