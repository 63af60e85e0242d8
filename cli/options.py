"""What several commands share: options, names, the terminal."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from seal.engine.errors import TooManyFailuresError, UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

out_option = click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Start afresh in a folder that something else was written to."
)
limit_option = click.option("--limit", type=click.IntRange(min=1), help="Only the first N pairs.")
max_failures_option = click.option(
    "--max-failures",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of rows that may fail before the exit code is 3.",
)


def named_path(value: str) -> tuple[str, Path]:
    """Split `[NAME=]DIR`; without a name the folder's own name is taken.

    Raises:
        UsageError: the name could leave its folder or break a file name.
    """
    name, found, path = value.partition("=")
    if not found:
        name, path = Path(value).resolve().name, value
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a name: letters, digits and . _ + - only; write NAME={path}")
    return name, Path(path)


def name_list(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Split a comma-separated option; None where it is not given."""
    if value is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def say(text: str) -> None:
    """Print a line about the work (stderr), so that stdout stays data."""
    click.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print a result for programs (stdout)."""
    click.echo(json.dumps(value, indent=2, default=str))


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
