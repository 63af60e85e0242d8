"""Reward models as ONNX folders, run by onnxruntime's TensorRT provider: an engine for each width of batch.

TensorRT is fastest on shapes it was built for, and building takes minutes. So texts are padded to one of few
widths (`batching.bucket_edges`), each width has an engine of its own, and engines are kept in a
folder beside the model. onnxruntime runs only the first of several optimisation profiles in one engine, so
each width gets a session; it is started when the first batch of that width comes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal.engine.checkpoints.exported import ENGINES, MODEL
from seal.engine.errors import UsageError
from seal.engine.pooling.batching import bucket_of
from seal.engine.pooling.contract import Batch, one_row_each
from seal.engine.pooling.onnx import require, run_bound, running

PROVIDER = "TensorrtExecutionProvider"
Providers = list[str | tuple[str, dict[str, str]]]


def profile(inputs: Sequence[str], n_texts: int, width: int) -> str:
    """One shape of all inputs in the notation of the provider: `input_ids:8x128,attention_mask:8x128`."""
    return ",".join(f"{name}:{n_texts}x{width}" for name in inputs)


def provider_options(
    inputs: Sequence[str], width: int, max_batch_tokens: int, cache: Path, *, fp16: bool
) -> dict[str, str]:
    """Options of the TensorRT provider for batches of one width.

    Args:
        inputs: names of the graph's inputs.
        width: tokens of every batch.
        max_batch_tokens: width x texts, at most.
        cache: where engines and timings are kept; a width has a folder of its own in it.
        fp16: whether the graph is in fp16.
    """
    most = max(1, max_batch_tokens // width)
    return {
        "trt_fp16_enable": str(int(fp16)),
        "trt_profile_min_shapes": profile(inputs, 1, width),
        "trt_profile_opt_shapes": profile(inputs, most, width),
        "trt_profile_max_shapes": profile(inputs, most, width),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache / f"width-{width}"),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        "trt_builder_optimization_level": "3",
        "trt_layer_norm_fp32_fallback": "1",  # the square in a layer norm overflows fp16
    }


def pad(batch: Batch, width: int) -> Batch:
    """The batch with empty tokens on the right, up to a width."""
    more = ((0, 0), (0, width - batch.width))
    return Batch(*(np.pad(a, more) for a in (batch.input_ids, batch.attention_mask, batch.token_type_ids)))


class TensorRTBackend:
    """An exported model with an engine for each width, on one GPU, one batch at a time.

    Args:
        folder: what `seal export` wrote.
        edges: widths of batches, ascending.
        max_batch_tokens: width x texts of a batch, at most: engines are built for so many texts.
        fp16: whether the graph is in fp16.
        providers: for options of a width, the providers of its session; only tests choose others.
        needs: the provider that has to be among them.
        n_logits: of the model.

    Raises:
        UsageError: this onnxruntime has no TensorRT.
    """

    concurrency = 1

    def __init__(
        self, folder: Path, edges: Sequence[int], max_batch_tokens: int, *, fp16: bool,
        providers: Callable[[dict[str, str]], Providers] = lambda o: [(PROVIDER, o), "CUDAExecutionProvider"],
        needs: str = PROVIDER, n_logits: int = 1,
    ) -> None:  # fmt: skip
        offered = require("scoring an exported model").get_available_providers()
        if needs not in offered:
            raise UsageError(
                f"device tensorrt: onnxruntime offers {', '.join(offered)} here; it needs onnxruntime-gpu "
                "and TensorRT's libraries"
            )
        self._path, self._edges = folder / MODEL, tuple(edges)
        self._budget, self._fp16 = max_batch_tokens, fp16
        self._providers, self._needs, self._n_logits = providers, needs, n_logits
        self._sessions: dict[int, Any] = {}

    @cached_property
    def _inputs(self) -> list[str]:
        """Names of the graph's inputs, read without building an engine."""
        ort = require("scoring an exported model")
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(self._path, options, providers=["CPUExecutionProvider"])
        return [i.name for i in session.get_inputs()]

    def facts(self) -> Mapping[str, Any]:
        return {"backend": "onnx", "provider": self._needs}

    def rewards(self, batch: Batch) -> NDArray[np.float32]:
        width = bucket_of(batch.width, self._edges)
        filled = pad(batch, width)
        with running(self._path):
            if width not in self._sessions:
                self._sessions[width] = self._start(width)
            session = self._sessions[width]
            feeds = {name: getattr(filled, name) for name in self._inputs}
            logits = run_bound(session, feeds, session.get_outputs()[0].name)
        return one_row_each(logits, batch, self._n_logits, self._path)

    def _start(self, width: int) -> Any:
        ort = require("scoring an exported model")
        cache = self._path.parent / ENGINES
        (cache / f"width-{width}").mkdir(parents=True, exist_ok=True)
        options = provider_options(self._inputs, width, self._budget, cache, fp16=self._fp16)
        session = ort.InferenceSession(self._path, ort.SessionOptions(), providers=self._providers(options))
        if self._needs not in session.get_providers():
            raise UsageError(
                f"onnxruntime could not start {self._needs}: are TensorRT's libraries installed?"
            )
        return session
