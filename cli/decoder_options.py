"""Options of the commands that ask a decoder (`label`, `rewrite`), and what they make of them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from seal.cli.options import named_path

if TYPE_CHECKING:
    from seal.engine.generation.loading import GeneratorOptions

Command = TypeVar("Command", bound=Callable[..., Any])
_SERVER = ("in_flight", "timeout", "patience", "api_key")
_NAMED_URL = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9._+-]*)=)?([A-Za-z]+://.*)")

_OPTIONS = (
    click.option(
        "--backend", type=click.Choice(["vllm", "openai", "transformers"]),
        help="What runs a model. Default: openai for a URL; for a folder vLLM where it is installed, else "
        "transformers.",
    ),
    click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]),
        help="Of the transformers backend. Default: auto, which takes CUDA where there is one.",
    ),
    click.option(
        "--context", type=click.IntRange(min=1),
        help="Tokens that message and answer may have together. Default: the model's own limit.",
    ),
    click.option(
        "--gpu-memory", type=click.FloatRange(0, 1, min_open=True),
        help="Share of the GPU's memory for vLLM. Default: vLLM's own.",
    ),
    click.option(
        "--in-flight", type=click.IntRange(min=1), help="Requests to a server at once. Default: 64."
    ),
    click.option(
        "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
        help="How long a server may take for an answer. Default: 300.",
    ),
    click.option(
        "--patience", type=click.FloatRange(min=0), metavar="SECONDS",
        help="How long to go on asking a server that fails; at most 20 s before its first answer. "
        "Default: 600.",
    ),
    click.option("--api-key", help="Sent to a server as a bearer token; written nowhere."),
)  # fmt: skip


def generator_options(command: Command) -> Command:
    """Add the options that say what runs a decoder; the command gets them as keywords."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_generator_options(given: dict[str, Any]) -> "GeneratorOptions":
    """What the options said, as one object; server options only where one was given."""
    from seal.engine.generation.loading import GeneratorOptions
    from seal.engine.generation.openai import ServerOptions

    names = {"timeout": "timeout_s", "patience": "patience_s"}
    said = {names.get(name, name): given[name] for name in _SERVER if given[name] is not None}
    return GeneratorOptions(
        backend=given["backend"], device=given["device"] or "auto", context=given["context"],
        gpu_memory=given["gpu_memory"], server=ServerOptions(**said) if said else None,
    )  # fmt: skip


def is_url(value: str) -> bool:
    """Whether `[NAME=]DIR|URL` names a server."""
    return _NAMED_URL.fullmatch(value) is not None


def named_model(value: str) -> tuple[str | None, str]:
    """Split `[NAME=]DIR|URL`; a folder's own name where none is given, None for a URL without one.

    Raises:
        UsageError: the name could leave its folder or break a file name.
    """
    if (found := _NAMED_URL.fullmatch(value)) is not None:
        return found.group(1), found.group(2)
    name, path = named_path(value)
    return name, str(path)


def served_name(model: str) -> str:
    """A labeler's name from the name a server has for its model (which may be a path)."""
    return re.sub(r"[^A-Za-z0-9._+-]", "-", Path(model).name).lstrip("._+-") or "server"
