"""A stage and the settings -> its whole command line, and what of it changes the result."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from seal.cli.options import DeclaredOption
from seal.cli.pipeline.settings import RunSettings
from seal.cli.pipeline.stages import Stage
from seal.cli.registry import SECRET
from seal.cli.settings import command_settings
from seal.engine.errors import InputError, UsageError
from seal.engine.frames.shards import SHARD
from seal.engine.generation.addresses import check_url
from seal.engine.generation.loading import is_url

_OF_THE_RUN = frozenset(("out", "overwrite", "json"))  # what the run itself sees to
_TRUE = ("1", "true", "t", "yes", "y", "on")
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
        UsageError: an option of the stage's own is unknown, a value is not allowed, a server on another
            machine is to be asked and that was not allowed, or only a shard of the stage is asked for.
        InputError: what should be the URL of a server is none.
    """
    long = {str(p.name): _long(p) for p in command.params}
    own = command_settings(stage.own, command, settings.file, f"run: {stage.name}")
    ignored = stage.drops | (set(long.values()) - stage.honours if stage.honours is not None else frozenset())
    ignored -= {long[name] for name in own}
    given = {name: value for name, value in table.items() if long.get(name) not in ignored}
    out = settings.out / stage.name
    words = (*stage.words, "--out", str(out))
    context = _parse(stage, command, words, {**given, **own})
    _check_servers(stage, context.params)
    _refuse_shard(stage, context.params)
    # What the run itself says, its inputs first of all, is never among what is left out.
    taken = [p for p in command.params if long[str(p.name)] not in ignored or _is_given(p, context)]
    return Call(
        stage,
        (stage.command, *words, *_said(taken, context)),
        _options(taken, context),
        dict(_files(taken, context)),
        {str(p.envvar): str(context.params[str(p.name)]) for p in taken if _is_secret(p, context)},
        out,
    )


def _check_servers(stage: Stage, params: Mapping[str, Any]) -> None:
    """Refuse a server that its stage would refuse, before anything is done."""
    for where in stage.models.values():
        if is_url(where):
            allowed, has_key = bool(params.get("allow_remote")), bool(params.get("api_key"))
            try:
                check_url(where, allow_remote=allowed, has_key=has_key)
            except (InputError, UsageError) as error:
                raise type(error)(f"{stage.name}: {error}") from None


def _refuse_shard(stage: Stage, params: Mapping[str, Any]) -> None:
    """What reads a stage's folder in a run takes it for the whole."""
    if params.get(SHARD) is not None:
        raise UsageError(f"{stage.name} ([{stage.command}]): a run does whole stages; leave out {SHARD}")


def _parse(
    stage: Stage, command: click.Command, words: Sequence[str], settings: Mapping[str, Any]
) -> click.Context:
    try:
        return command.make_context(f"seal {stage.command}", list(words), default_map=dict(settings))
    except click.ClickException as error:
        raise UsageError(f"{stage.name} ([{stage.command}]): {error.format_message()}") from None


def _long(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return str(parameter.name)
    return next(o for o in parameter.opts if o.startswith("--")).removeprefix("--")


def _is_given(parameter: click.Parameter, context: click.Context) -> bool:
    return context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE


def _is_set(parameter: click.Parameter, context: click.Context) -> bool:
    """Whether the settings or a variable say it; what the run says stands on the command line already."""
    return context.get_parameter_source(str(parameter.name)) in _FROM_SETTINGS


def _is_secret(parameter: click.Parameter, context: click.Context) -> bool:
    return f"--{_long(parameter)}" in SECRET and _is_set(parameter, context)


def _said(parameters: Sequence[click.Parameter], context: click.Context) -> Iterator[str]:
    """What settings and variables say, as flags; a variable before the settings file."""
    for p in parameters:
        if _is_set(p, context) and not _is_secret(p, context):
            said = p.value_from_envvar(context)
            yield from _flags(p, said if said is not None else context.lookup_default(str(p.name)))


def _flags(parameter: click.Parameter, value: Any) -> list[str]:
    name = _long(parameter)
    if isinstance(parameter, click.Option) and parameter.is_flag:
        on = value if isinstance(value, bool) else str(value).lower() in _TRUE
        return [f"--{name}"] if on else []
    values = value if isinstance(value, list | tuple) else [value]
    if isinstance(parameter.type, click.Path):
        values = [Path(v).absolute() for v in values]
    return [f"--{name}={v}" for v in values]


def _is_neutral(parameter: click.Parameter) -> bool:
    """Whether it changes no result."""
    declared = isinstance(parameter, DeclaredOption) and parameter.words.neutral
    return declared or _long(parameter) in _OF_THE_RUN


def _options(parameters: Sequence[click.Parameter], context: click.Context) -> dict[str, Any]:
    """What may change the result, as plain JSON values; paths are inputs, the run's own words its facts."""
    options = {
        _long(p): context.params.get(str(p.name))
        for p in parameters
        if not isinstance(p.type, click.Path) and not _is_neutral(p) and not _is_given(p, context)
    }
    plain: dict[str, Any] = json.loads(json.dumps(options, default=str, sort_keys=True))
    return plain


def _files(parameters: Sequence[click.Parameter], context: click.Context) -> Iterator[tuple[str, Path]]:
    for p in parameters:
        name, value = _long(p), context.params.get(str(p.name))
        if not isinstance(p.type, click.Path) or name == "out" or value is None:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        for i, path in enumerate(values, 1):
            yield (name if len(values) == 1 else f"{name} {i}"), Path(path)
