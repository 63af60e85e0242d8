"""Decoders through vLLM, in process: structured output, prefix caching, many requests at once.

vLLM lives in an environment of its own (`make setup-vllm`); on a machine without a GPU its CPU build runs.
"""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from io import StringIO
from typing import Any

from seal.engine.offline import stay_offline

stay_offline()  # before vLLM is imported: it looks once
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout is for data
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_HOST_IP", "127.0.0.1")  # else it asks which way 8.8.8.8 would be
# The engine runs in this process: one of its own outlives a SIGKILL of this one, and keeps its memory.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")

import vllm
from tqdm import tqdm
from vllm.sampling_params import StructuredOutputsParams
from vllm.v1.engine.exceptions import EngineDeadError

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.errors import InputError, SealError
from seal.engine.generation.contract import Answer, Request, Stop, Told
from seal.engine.generation.local import LocalGenerator, Prompt, chosen

# llguidance holds the answers of the transformers backend too, so that both write the same JSON; xgrammar
# 0.2.8 puts a space after every comma, whatever it is told.
_HELD = {"backend": "guidance", "disable_any_whitespace": True}
_STOPS: Mapping[str | None, Stop] = {"stop": "done", "length": "cut"}


class VllmGenerator(LocalGenerator):
    """Answers with vLLM (see `contract.TextGenerator`).

    Args:
        decoder: its folder.
        context: tokens that message and answer may have together; never more than the model's own.
        gpu_memory: share of the GPU's memory to use; None leaves it to vLLM.

    Raises:
        InputError: vLLM cannot load the folder.
    """

    def __init__(self, decoder: Decoder, context: int | None = None, gpu_memory: float | None = None) -> None:
        super().__init__(decoder, context)
        on_cpu = vllm.platforms.current_platform.is_cpu()
        settings: dict[str, Any] = self._on_cpu() if on_cpu else {"dtype": "auto"}
        if gpu_memory is not None:
            settings["gpu_memory_utilization"] = gpu_memory
        try:
            self._llm = vllm.LLM(
                model=str(decoder.folder), trust_remote_code=False, load_format="safetensors", seed=0,
                max_model_len=self.context, enable_prefix_caching=True, disable_log_stats=True,
                structured_outputs_config=_HELD, **settings,
            )  # fmt: skip
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"vLLM cannot load {decoder.folder}: {str(error).splitlines()[0]}") from None
        device = "cpu" if on_cpu else "cuda"
        self._settings = {"backend": "vllm", "device": device, "dtype": settings["dtype"]}

    def _on_cpu(self) -> dict[str, Any]:
        """A prompt is read in one go: vLLM 0.32 sets back the seed of one read in part, which no CPU can."""
        whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(self.context, 8192)}
        return {"dtype": "float32", "enforce_eager": True, **whole}

    def _run(self, prompts: Sequence[Prompt], told: Told) -> dict[int, Answer]:
        parameters = [self._parameters(p.request) for p in prompts]
        ids = [{"prompt_token_ids": p.ids} for p in prompts]
        try:
            outputs = self._llm.generate(ids, parameters, use_tqdm=partial(_Telling, told))
        except (EngineDeadError, RuntimeError) as error:  # of a worker; in this process, whatever befell it
            words = (str(error).splitlines() or [type(error).__name__])[0]
            raise SealError(
                f"vLLM's engine died over {self._decoder.folder}: {words}; more of its own words stand "
                "above; the same command goes on from the last part"
            ) from None
        return {p.index: self._read(p.request, out) for p, out in zip(prompts, outputs, strict=True)}

    def _parameters(self, request: Request) -> Any:
        if request.choices:
            return _choice_parameters(tuple(self._choice_ids(request.choices)))
        held = None if request.schema is None else StructuredOutputsParams(json=dict(request.schema))
        return vllm.SamplingParams(
            temperature=request.temperature, seed=request.seed, max_tokens=request.max_tokens,
            structured_outputs=held, detokenize=False,
        )  # fmt: skip

    def _read(self, request: Request, output: Any) -> Answer:
        said = output.outputs[0]
        n_prompt, n_cached = len(output.prompt_token_ids), output.num_cached_tokens or 0
        ids = [token for token in said.token_ids if token not in self._encoder.end_ids]
        if request.choices:
            tokens = self._choice_ids(request.choices)
            logits = [said.logprobs[0][token].logprob for token in tokens]
            return chosen(request.choices, logits, n_prompt, n_cached)
        stop = _STOPS.get(said.finish_reason, "refused")
        detail = "" if stop != "refused" else f"vLLM ended it: {said.finish_reason}"
        return Answer(self._encoder.decode(ids), stop, detail, (), n_prompt, n_cached, len(ids))


class _Telling(tqdm):
    """The bar that vLLM moves on with every answer: it draws nothing, and tells."""

    def __init__(self, told: Told, *arguments: Any, **settings: Any) -> None:
        self._told = told
        super().__init__(*arguments, **settings | {"file": StringIO(), "mininterval": 3600.0})

    def update(self, n: float | None = 1) -> bool | None:
        if self.iterable is None:  # else it counts requests that are put in
            self._told(int(n or 0))
        moved: bool | None = super().update(n)
        return moved


@lru_cache(maxsize=256)
def _choice_parameters(token_ids: tuple[int, ...]) -> Any:
    return vllm.SamplingParams(
        temperature=0, max_tokens=1, logprob_token_ids=list(token_ids), logprobs=len(token_ids),
        detokenize=False,
    )  # fmt: skip
