"""A folder or a URL -> a decoder that answers."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from seal.engine.checkpoints.cached import local_model
from seal.engine.checkpoints.decoder import Decoder
from seal.engine.checkpoints.named import NAME, named_path
from seal.engine.errors import MissingExtraError, UsageError
from seal.engine.generation.options import OF_SERVERS, GeneratorName, GeneratorOptions
from seal.engine.options import declared

if TYPE_CHECKING:
    from seal.engine.generation.contract import TextGenerator

_NAMED_URL = re.compile(rf"(?:({NAME.pattern})=)?([A-Za-z]+://.*)")


def named_model(value: str) -> tuple[str | None, str]:
    """Split `[NAME=]MODEL|URL`; a folder's own name where none is given, None for a URL without one.

    Raises:
        UsageError: the name could leave its folder or break a file name.
    """
    if (found := _NAMED_URL.fullmatch(value)) is not None:
        return found.group(1), found.group(2)
    name, path = named_path(value)
    return name, str(path)


def served_name(generator: "TextGenerator") -> str:
    """A decoder's name from the name a server has for its model (which may be a path)."""
    model = Path(str(generator.identity["model"])).name
    return re.sub(r"[^A-Za-z0-9._+-]", "-", model).lstrip("._+-") or "server"


def is_url(where: str) -> bool:
    """Whether it names a server rather than a folder."""
    return "://" in where


def open_generator(where: str, options: GeneratorOptions | None = None) -> "TextGenerator":
    """Load a local decoder, or reach a server.

    Args:
        where: a model folder, a name in the Hugging Face cache, or the URL of a server's API (`#MODEL` at
            its end names one of its models).
        options: what runs it.

    Raises:
        UsageError: the backend does not fit, an option that it would not honour, or a server on another
            machine that the options do not allow.
        InputError: the folder cannot be used, or the URL is none of a server.
        MissingExtraError: the backend is not installed in this environment.
    """
    options = options or GeneratorOptions()
    backend = options.backend or ("openai" if is_url(where) else available_backends()[0])
    _refuse_unused(where, backend, options)
    if backend == "openai":
        from seal.engine.generation.openai import OpenAIGenerator

        return OpenAIGenerator(where, options)
    decoder = Decoder.open(local_model(where))
    try:
        if backend == "vllm":
            from seal.engine.generation.vllm import VllmGenerator
        else:
            from seal.engine.generation.transformers import TransformersGenerator
    except ModuleNotFoundError as error:
        extra = "vllm" if backend == "vllm" else "export"
        raise MissingExtraError(error.name or backend, extra, f"the backend {backend}") from None
    if backend == "vllm":
        return VllmGenerator(decoder, options.context, options.gpu_memory)
    return TransformersGenerator(decoder, options.device or "auto", options.context)


def available_backends() -> tuple[GeneratorName, ...]:
    """The backends for folders that this environment has, the fastest first.

    Raises:
        MissingExtraError: there is none.
    """
    needs: dict[GeneratorName, tuple[str, ...]] = {"vllm": ("vllm",), "transformers": ("torch", "llguidance")}
    found = tuple(name for name, packages in needs.items() if all(map(find_spec, packages)))
    if not found:
        raise MissingExtraError("vllm", "vllm", "asking a local model")
    return found


def _refuse_unused(where: str, backend: GeneratorName, options: GeneratorOptions) -> None:
    if is_url(where) != (backend == "openai"):
        raise UsageError(
            f"the backend {backend} takes {'a URL' if backend == 'openai' else 'a model folder'}; {where} is "
            f"{'a URL' if is_url(where) else 'none'}"
        )
    of_folders = ("gpu_memory", "context") if backend == "vllm" else ("device", "context")
    honoured = OF_SERVERS if backend == "openai" else of_folders
    for known in declared(GeneratorOptions):
        given = getattr(options, known.name) != known.default and known.name != "backend"
        if given and known.name not in honoured:
            raise UsageError(f"the backend {backend} does not take the option {known.flag}")
