"""What several commands share: options made of options classes, the terminal."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.engine.errors import TooManyFailuresError
from seal.engine.options import Declared, Options, Words, declared
from seal.engine.visible import shown

if TYPE_CHECKING:
    from seal.engine.frames.stage import StageReport

Command = Callable[..., Any]

PATH = click.Path(path_type=Path)
out_option = click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Start afresh in a folder that something else was written to."
)
max_failures_option = click.option(
    "--max-failures", type=click.FloatRange(0, 1), default=0.01, show_default=True,
    help="Share of rows that may fail before the exit code is 3.",
)  # fmt: skip


def stage_options(*kinds: tuple[type[Options], str]) -> Callable[[Command], Command]:
    """What every stage has: a folder to write, its own options, `--max-failures`, `--overwrite`, `--json`."""

    def decorate(command: Command) -> Command:
        own = [options_of(kind, name) for kind, name in kinds]
        adds: list[Any] = [out_option, *own, max_failures_option, overwrite_option, json_option]
        for add in reversed(adds):
            command = add(command)
        return command

    return decorate


def options_of(kind: type[Options], name: str = "options") -> Callable[[Command], Command]:
    """Give a command the options that a class declares; it gets them as one object.

    Args:
        kind: the class.
        name: of the command's parameter for the object.
    """
    known = declared(kind)

    def decorate(command: Command) -> Command:
        @wraps(command)
        def inner(**given: Any) -> Any:
            values = {k.name: _value(k, given) for k in known}
            return command(**given, **{name: kind(**values)})

        decorated: Command = inner
        for k in reversed(known):
            decorated = click.option(
                f"--{k.flag}", k.name, cls=DeclaredOption, words=k.words, **_settings(k)
            )(decorated)
            for old in k.words.formerly:
                decorated = click.option(
                    f"--{old}", _former(old), type=_kind(k), hidden=True, help=f"As --{k.flag}."
                )(decorated)
        return decorated

    return decorate


class DeclaredOption(click.Option):
    """A click option that remembers what was declared of it."""

    def __init__(self, names: list[str], *, words: Words, **settings: Any) -> None:
        super().__init__(names, **settings)
        self.words = words


def _former(old: str) -> str:
    return f"formerly_{old.replace('-', '_')}"


def _value(known: Declared, given: dict[str, Any]) -> Any:
    """What was given for an option, under its own name or a former one."""
    value = given.pop(known.name)
    for old in known.words.formerly:
        former = given.pop(_former(old))
        if former is not None:
            say(f"--{old} is called --{known.flag} now")
            value = former
    return value


def _settings(known: Declared) -> dict[str, Any]:
    """What click needs to know of an option."""
    words = known.words
    if known.kind is bool:
        return {"help": words.help, "is_flag": True, "default": known.default}
    plural = known.many and not words.repeat
    settings: dict[str, Any] = {"help": words.help, "metavar": words.metavar, "required": known.required}
    if not known.required:
        joined = plural and known.default is not None
        settings["default"] = ",".join(known.default) if joined else known.default
        settings["show_default"] = known.default not in (None, ())
    if plural:
        return settings | {"callback": name_list}
    return settings | {"type": _kind(known), "multiple": known.many}


def _kind(known: Declared) -> "click.ParamType[Any]":
    words = known.words
    if known.choices:
        return click.Choice(known.choices)
    if known.kind is Path:
        return PATH
    low = words.at_least if words.above is None else words.above
    high = words.at_most if words.below is None else words.below
    if known.kind is float:
        return click.FloatRange(low, high, min_open=words.above is not None, max_open=words.below is not None)
    if known.kind is int:
        return click.IntRange(None if low is None else int(low), None if high is None else int(high))
    return click.STRING


def name_list(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Split a comma-separated option; None where it is not given."""
    if value is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def put(text: str) -> None:
    """Print lines of a result (stdout); no text of others in them reaches the terminal's controls."""
    click.echo(shown(text))


def say(text: str) -> None:
    """Print a line about the work (stderr), so that stdout stays data; controls as in `put`."""
    click.echo(shown(text), err=True)


def say_halved(n_halved: int) -> None:
    """Say that batches did not fit."""
    if n_halved:
        say(f"{n_halved} batches did not fit into memory and were halved; lower --max-batch-tokens")


def texts_a_second(report: "StageReport") -> float:
    """Over all runs of a stage; 0 where no time was measured."""
    return report.n_texts / report.elapsed_s if report.elapsed_s else 0.0


def print_json(value: Any) -> None:
    """Print a result for programs (stdout); a dataclass by its fields."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    put(json.dumps(plain, indent=2, default=str))


def is_terminal() -> bool:
    """Whether progress may redraw itself."""
    return sys.stderr.isatty()


def refuse_too_many(failed_share: float, allowed: float, out: Path) -> None:
    """End with exit code 3 where a finished stage failed on more rows than the user allows.

    Raises:
        TooManyFailuresError: it did.
    """
    if failed_share > allowed:
        raise TooManyFailuresError(
            f"{failed_share:.1%} of the rows failed, more than --max-failures {allowed:.1%} allows; "
            f"the reasons are in {out / 'failures.parquet'}"
        )
