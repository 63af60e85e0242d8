"""A stage and the settings -> its whole command line, and what of it changes the result."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from cli.pipeline.settings import RunSettings
from cli.pipeline.stages import Stage
from cli.settings import command_settings

_SECRET = frozenset(("api-key",))
# What does not change a result, and what the run itself sees to.
_NEUTRAL = frozenset(("out", "overwrite", "json", "threads", "in-flight", "timeout", "patience", *_SECRET))
_FROM_SETTINGS = (ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


@dataclass(frozen=True)
class Call:
    """A stage with every option decided.

    Attributes:
        stage: the stage.
        words: its command line after `seal`, the output included.
        options: every option that may change the result, by long name, as plain JSON values.
        files: name -> file or folder that it reads (`texts`, `labels 2`, `taxonomy`).
        variables: what must not stand on a command line, as environment variables.
        out: the file or folder that it writes.
    """

    stage: Stage
    words: tuple[str, ...]
    options: Mapping[str, Any]
    files: Mapping[str, Path]
    variables: Mapping[str, str]
    out: Path


def make_call(stage: Stage, command: click.Command, table: Mapping[str, Any], settings: RunSettings) -> Call:
    """Merge a stage's options: defaults < the command's table < the stage's own < variables < its words.

    Args:
        stage: the stage.
        command: its command.
        table: the command's settings, by parameter name.
        settings: of the run.

    Raises:
        UsageError: an option of the stage's own is unknown.
        click.ClickException: a value is not allowed.
    """
    long = {str(p.name): _long(p) for p in command.params}
    ignored = stage.drops | (set(long.values()) - stage.honours if stage.honours is not None else frozenset())
    given = {name: value for name, value in table.items() if long.get(name) not in ignored}
    own = command_settings(stage.own, command, settings.file, f"run: {stage.name}")
    out = settings.out / stage.name
    words = (*stage.words, "--out", str(out))
    context = command.make_context(f"seal {stage.command}", list(words), default_map={**given, **own})
    said: list[str] = []
    options: dict[str, Any] = {}
    files: dict[str, Path] = {}
    variables: dict[str, str] = {}
    for p in command.params:
        name, source = long[str(p.name)], context.get_parameter_source(str(p.name))
        value = context.params.get(str(p.name))
        if source is ParameterSource.ENVIRONMENT and name in ignored:
            value = p.get_default(context)
        elif source in _FROM_SETTINGS and name in _SECRET:
            variables[str(p.envvar)] = str(value)
        elif source in _FROM_SETTINGS:
            said += _flags(p, name, _raw(p, context))
        if isinstance(p.type, click.Path) and name != "out":
            files |= dict(_files(name, value))
        elif name not in _NEUTRAL and source is not ParameterSource.COMMANDLINE:
            options[name] = value
    plain = json.loads(json.dumps(options, default=str, sort_keys=True))
    return Call(stage, (stage.command, *words, *said), plain, files, variables, out)


def _long(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return str(parameter.name)
    return next(o for o in parameter.opts if o.startswith("--")).removeprefix("--")


def _raw(parameter: click.Parameter, context: click.Context) -> Any:
    """A value as the user wrote it, a variable before the settings file."""
    said = parameter.value_from_envvar(context)
    return said if said is not None else context.lookup_default(str(parameter.name))


def _flags(parameter: click.Parameter, name: str, value: Any) -> list[str]:
    if isinstance(parameter, click.Option) and parameter.is_flag:
        on = value if isinstance(value, bool) else str(value).lower() in ("1", "true", "t", "yes", "y", "on")
        return [f"--{name}"] if on else []
    values = value if isinstance(value, list | tuple) else [value]
    if isinstance(parameter.type, click.Path):
        values = [Path(v).absolute() for v in values]
    return [f"--{name}={v}" for v in values]


def _files(name: str, value: Any) -> Iterator[tuple[str, Path]]:
    if isinstance(value, list | tuple):
        for i, path in enumerate(value, 1):
            yield (name if len(value) == 1 else f"{name} {i}"), Path(path)
    elif value is not None:
        yield name, Path(value)
