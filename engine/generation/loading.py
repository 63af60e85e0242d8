"""A folder or a URL -> a decoder that answers."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from seal.engine.generation.contract import TextGenerator
    from seal.engine.generation.openai import ServerOptions

GeneratorName = Literal["vllm", "openai", "transformers"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class GeneratorOptions:
    """What runs a decoder.

    Attributes:
        backend: `vllm` or `transformers` for a folder, `openai` for a URL; None takes openai for a URL, and
            for a folder vLLM where it is installed, else transformers.
        device: of transformers; vLLM runs where it was built for.
        context: tokens that message and answer may have together; None takes the model's own limit.
        gpu_memory: share of the GPU's memory for vLLM.
        server: how to talk to a server.
    """

    backend: GeneratorName | None = None
    device: Device = "auto"
    context: int | None = None
    gpu_memory: float | None = None
    server: "ServerOptions | None" = field(default=None, repr=False)


def is_url(where: str) -> bool:
    """Whether it names a server rather than a folder."""
    return "://" in where


def open_generator(where: str, options: GeneratorOptions | None = None) -> "TextGenerator":
    """Load a local decoder, or reach a server.

    Args:
        where: a model folder, or the URL of a server's API (`#MODEL` at its end names one of its models).
        options: what runs it.

    Raises:
        UsageError: the backend does not fit, or an option that it would not honour.
        InputError: the folder cannot be used.
        MissingExtraError: the backend is not installed in this environment.
    """
    options = options or GeneratorOptions()
    backend = options.backend or _default_backend(where)
    _refuse_unused(where, backend, options)
    if backend == "openai":
        from seal.engine.generation.openai import OpenAIGenerator, check_url

        return OpenAIGenerator(check_url(where), options.server)
    decoder = Decoder.open(Path(where))
    return _vllm(decoder, options) if backend == "vllm" else _transformers(decoder, options)


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


def _default_backend(where: str) -> GeneratorName:
    return "openai" if is_url(where) else available_backends()[0]


def _refuse_unused(where: str, backend: GeneratorName, options: GeneratorOptions) -> None:
    if is_url(where) != (backend == "openai"):
        raise UsageError(
            f"--backend {backend} takes {'a URL' if backend == 'openai' else 'a model folder'}; {where} is "
            f"{'a URL' if is_url(where) else 'none'}"
        )
    unused = {
        "--device": options.device != "auto" and backend != "transformers",
        "--context": options.context is not None and backend == "openai",
        "--gpu-memory": options.gpu_memory is not None and backend != "vllm",
        "--in-flight, --timeout, --patience, --api-key": options.server is not None and backend != "openai",
    }
    for option, given in unused.items():
        if given:
            raise UsageError(f"--backend {backend} does not take {option}")


def _vllm(decoder: Decoder, options: GeneratorOptions) -> "TextGenerator":
    try:
        from seal.engine.generation.vllm import VllmGenerator
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "vllm", "vllm", "--backend vllm") from None
    return VllmGenerator(decoder, options.context, options.gpu_memory)


def _transformers(decoder: Decoder, options: GeneratorOptions) -> "TextGenerator":
    try:
        from seal.engine.generation.transformers import TransformersGenerator
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "transformers", "export", "--backend transformers") from None
    return TransformersGenerator(decoder, options.device, options.context)
