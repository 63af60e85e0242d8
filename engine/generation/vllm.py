"""Decoders through vLLM, in process: structured output, prefix caching, many requests at once.

vLLM lives in an environment of its own (`make setup-vllm`); on a machine without a GPU its CPU build runs.
"""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

for _variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"):
    os.environ.setdefault(_variable, "1")  # before vLLM is imported: it looks once, and would phone home
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout is for data
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")

import vllm
from vllm.sampling_params import StructuredOutputsParams
from vllm.v1.engine.exceptions import EngineDeadError

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.errors import InputError, SealError
from seal.engine.generation.chat import ChatEncoder
from seal.engine.generation.contract import Answer, Request, Stop
from seal.engine.generation.local import refuse_too_long, shares

# llguidance holds the answers of the transformers backend too, so that both write the same JSON; xgrammar
# 0.2.8 puts a space after every comma, whatever it is told.
_HELD = {"backend": "guidance", "disable_any_whitespace": True}
_STOPS: Mapping[str | None, Stop] = {"stop": "done", "length": "cut"}


class VllmGenerator:
    """Answers with vLLM (see `contract.TextGenerator`).

    Args:
        decoder: its folder.
        context: tokens that message and answer may have together; never more than the model's own.
        gpu_memory: share of the GPU's memory to use; None leaves it to vLLM.

    Raises:
        InputError: vLLM cannot load the folder.
    """

    def __init__(self, decoder: Decoder, context: int | None = None, gpu_memory: float | None = None) -> None:
        self._decoder, self._encoder = decoder, ChatEncoder(decoder)
        self.context = min(context or decoder.context, decoder.context)
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
        self._settings = {"device": "cpu" if on_cpu else "cuda", "dtype": settings["dtype"]}

    def _on_cpu(self) -> dict[str, Any]:
        """A prompt is read in one go: vLLM 0.32 sets back the seed of one read in part, which no CPU can."""
        whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(self.context, 8192)}
        return {"dtype": "float32", "enforce_eager": True, **whole}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's hashes and what runs it."""
        return {
            "backend": "vllm", **self._settings, "context": self.context, **self._encoder.facts,
            **self._decoder.facts,
        }  # fmt: skip

    def count_tokens(self, message: str) -> int:
        """Tokens of a message in its template."""
        return len(self._encoder.encode(message))

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer each request, in their order; what does not fit is not submitted, since it would raise."""
        answers: dict[int, Answer] = {}
        prompts, parameters, places = [], [], []
        for index, request in enumerate(requests):
            ids = self._encoder.encode(request.message)
            if (too_long := refuse_too_long(len(ids), request, self.context)) is not None:
                answers[index] = too_long
                continue
            prompts.append({"prompt_token_ids": ids})
            parameters.append(self._parameters(request))
            places.append(index)
        if prompts:
            for index, output in zip(places, self._run(prompts, parameters), strict=True):
                answers[index] = self._read(requests[index], output)
        return [answers[index] for index in range(len(requests))]

    def _run(self, prompts: Sequence[Any], parameters: Sequence[Any]) -> Sequence[Any]:
        try:
            outputs: Sequence[Any] = self._llm.generate(prompts, parameters, use_tqdm=False)
        except EngineDeadError:
            raise SealError(
                f"vLLM's engine died over {self._decoder.folder}; its own words stand above; the same "
                "command goes on from the last part"
            ) from None
        return outputs

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
            likely = shares([said.logprobs[0][token].logprob for token in tokens])
            best = request.choices[likely.index(max(likely))]
            return Answer(best, "done", "", likely, n_prompt, n_cached, 1)
        stop = _STOPS.get(said.finish_reason, "refused")
        detail = "" if stop != "refused" else f"vLLM ended it: {said.finish_reason}"
        return Answer(self._encoder.decode(ids), stop, detail, (), n_prompt, n_cached, len(ids))

    @lru_cache(maxsize=256)  # noqa: B019  # a generator lives as long as its run
    def _choice_ids(self, choices: tuple[str, ...]) -> list[int]:
        return self._encoder.choice_ids(choices)


@lru_cache(maxsize=256)
def _choice_parameters(token_ids: tuple[int, ...]) -> Any:
    return vllm.SamplingParams(
        temperature=0,
        max_tokens=1,
        logprob_token_ids=list(token_ids),
        logprobs=len(token_ids),
        detokenize=False,
    )
