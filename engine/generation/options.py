"""What runs a decoder: a local folder through vLLM or transformers, or a server."""

from dataclasses import dataclass
from typing import Literal

from seal.engine.errors import UsageError
from seal.engine.options import Options, option

GeneratorName = Literal["vllm", "openai", "transformers"]
IN_FLIGHT, TIMEOUT_S, PATIENCE_S = 64, 300.0, 600.0


@dataclass(frozen=True)
class GeneratorOptions(Options):
    """What runs a decoder. An option that the backend does not honour is refused."""

    backend: GeneratorName | None = option(
        None, "What runs a model. Default: openai for a URL; for a folder vLLM where it is installed, else "
        "transformers.",
    )  # fmt: skip
    device: Literal["auto", "cpu", "cuda"] | None = option(
        None, "Of the transformers backend. Default: auto, which takes CUDA where there is one."
    )
    context: int | None = option(
        None, "Tokens that message and answer may have together. Default: the model's own limit.", at_least=1,
    )  # fmt: skip
    gpu_memory: float | None = option(
        None, "Share of the GPU's memory for vLLM. Default: vLLM's own.", above=0, at_most=1
    )
    in_flight: int | None = option(
        None, f"Requests to a server at once. Default: {IN_FLIGHT}.", at_least=1, neutral=True
    )
    timeout_s: float | None = option(
        None, f"How long a server may take for a whole answer. Default: {TIMEOUT_S:g}.", above=0,
        flag="timeout", metavar="SECONDS", neutral=True,
    )  # fmt: skip
    patience_s: float | None = option(
        None, "How long to go on asking a server that fails; at most 20 s before its first answer. Default: "
        f"{PATIENCE_S:g}.", at_least=0, flag="patience", metavar="SECONDS", neutral=True,
    )  # fmt: skip
    api_key: str | None = option(
        None, "Sent to a server as a bearer token; written nowhere.", neutral=True, secret=True
    )
    allow_remote: bool = option(
        False, "The server may stand on another machine, which the texts then go to. Without it only this "
        "machine's are asked (localhost, 127.0.0.1, ::1); a key goes to others over https only.",
        neutral=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise UsageError("the API key holds signs that no header can carry; was it copied whole?")


OF_SERVERS = ("in_flight", "timeout_s", "patience_s", "api_key", "allow_remote")
OF_FOLDERS = ("backend", "device", "context", "gpu_memory")
