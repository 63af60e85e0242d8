"""Reward models and embedders as ONNX folders, run by onnxruntime on a CPU or a CUDA GPU."""

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seal.engine.checkpoints.exported import MODEL
from seal.engine.errors import InputError, MissingExtraError, UsageError
from seal.engine.frames.manifest import usable_cores
from seal.engine.offline import silence_telemetry
from seal.engine.pooling.contract import Batch, OutOfMemoryError, one_row_each
from seal.engine.pooling.options import Device


def require(purpose: str) -> Any:
    """Onnxruntime, or the error that says which extra brings it.

    Raises:
        MissingExtraError: it is not installed.
    """
    silence_telemetry()  # read at import; the call of onnxruntime that switches it off is too late
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "cpu", purpose) from None
    onnxruntime.set_default_logger_severity(3)  # errors reach us as exceptions; the rest is noise
    return onnxruntime


def choose_device(device: Device) -> Literal["cpu", "cuda", "tensorrt"]:
    """Resolve `auto`, and refuse a device that is not there. TensorRT has to be asked for.

    Raises:
        UsageError: CUDA was asked for, but this onnxruntime does not offer it.
        MissingExtraError: no onnxruntime.
    """
    providers = require("scoring an exported model").get_available_providers()
    has_cuda = "CUDAExecutionProvider" in providers
    if device == "tensorrt":
        return "tensorrt"  # its backend knows what it needs
    if device == "cuda" and not has_cuda:
        raise UsageError(
            f"device cuda: onnxruntime offers {', '.join(providers)} here; a GPU needs the extra 'gpu' "
            "(onnxruntime-gpu in place of onnxruntime) and CUDA's libraries"
        )
    return "cuda" if device == "cuda" or (device == "auto" and has_cuda) else "cpu"


class OnnxBackend:
    """An exported model in one onnxruntime session.

    On a CPU each batch runs on one thread, as many batches at once as there are cores: no thread waits for
    another inside a product, and the result of a batch does not depend on the number of cores. On a GPU one
    batch runs at a time, its inputs and outputs bound to the device.

    Args:
        folder: what `seal export` wrote.
        device: where to run.
        threads: batches at once on a CPU; all usable cores by default.
        n_logits: of a reward model.

    Raises:
        InputError: onnxruntime refuses the model (a custom operator, a file that leaves the folder).
    """

    def __init__(
        self, folder: Path, device: Literal["cpu", "cuda"], threads: int | None = None, n_logits: int = 1
    ) -> None:
        ort = require("scoring an exported model")
        self._device, self._path, self._n_logits = device, folder / MODEL, n_logits
        self.concurrency = 1 if device == "cuda" else threads or usable_cores()
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # shapes differ from batch to batch
        cuda = ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"})
        providers = [cuda, "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
        self.provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
        try:
            self._session = ort.InferenceSession(self._path, options, providers=providers)
        except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class
            raise InputError(f"onnxruntime refuses {self._path}: {error}") from None
        if self.provider not in self._session.get_providers():
            raise UsageError(f"onnxruntime could not start {self.provider}: are CUDA's libraries installed?")
        self._refuse_saturation()
        self._inputs = [i.name for i in self._session.get_inputs()]
        if strange := [name for name in self._inputs if name not in Batch.__dataclass_fields__]:
            raise InputError(
                f"{self._path} wants {', '.join(strange)}; a reward model may want "
                f"{', '.join(Batch.__dataclass_fields__)}"
            )
        output = self._session.get_outputs()[0]
        self._output = output.name
        self.n_dimensions = output.shape[-1] if len(output.shape) == 2 else 0

    def _refuse_saturation(self) -> None:
        bits = self._session.get_modelmeta().custom_metadata_map.get(INT8)
        if bits == "8 bits" and not has_vnni():
            raise InputError(
                f"{self._path} was quantised for a CPU with VNNI, which this one lacks: its sums would "
                "saturate unnoticed; export it here"
            )

    def facts(self) -> Mapping[str, Any]:
        return {"backend": "onnx", "provider": self.provider}

    def rewards(self, batch: Batch) -> NDArray[np.float32]:
        logits = self._run(batch)
        return one_row_each(logits, batch, self._n_logits, self._path)

    def embeddings(self, batch: Batch) -> NDArray[np.float32]:
        vectors = self._run(batch)
        if np.shape(vectors) != (len(batch), self.n_dimensions):
            raise InputError(
                f"{self._path} gives {np.shape(vectors)} for {len(batch)} texts, not one embedding each"
            )
        return np.asarray(vectors, dtype=np.float32)

    def _run(self, batch: Batch) -> NDArray[np.float32]:
        feeds = {name: getattr(batch, name) for name in self._inputs}
        with running(self._path):
            if self._device == "cuda":
                return run_bound(self._session, feeds, self._output, self._device)
            return np.asarray(self._session.run([self._output], feeds)[0])


@contextmanager
def running(model: Path) -> Iterator[None]:
    """What onnxruntime raises over a batch, as an error of this program; its own share no base class."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        if any(sign in str(error) for sign in ("Failed to allocate", "bad allocation", "out of memory")):
            raise OutOfMemoryError(str(error)) from None
        raise InputError(f"onnxruntime cannot run {model}: {error}") from None


def run_bound(
    session: Any, feeds: Mapping[str, NDArray[np.int64]], output: str, device: str = "cpu"
) -> NDArray[np.float32]:
    """One output of a session, inputs and output bound to devices."""
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output(output, device)
    session.run_with_iobinding(binding)
    return np.asarray(binding.copy_outputs_to_cpu()[0])


def matrix_product(size: int, device: str) -> Callable[[], object]:
    """A product of two square matrices by onnxruntime on all cores (CPU: fp32, CUDA: fp16).

    Raises:
        MissingExtraError: no onnxruntime, or no `onnx` to write the graph with.
    """
    ort = require("measuring the peak")
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise MissingExtraError("onnx", "export", "measuring onnxruntime's peak") from None
    dtype, kind = (np.float32, TensorProto.FLOAT) if device == "cpu" else (np.float16, TensorProto.FLOAT16)
    left, right = np.random.default_rng(0).standard_normal((2, size, size)).astype(dtype)
    ends = [helper.make_tensor_value_info(name, kind, [size, size]) for name in ("a", "c")]
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [numpy_helper.from_array(right, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
    session = ort.InferenceSession(model.SerializeToString(), providers=[provider])
    if device == "cpu":
        return lambda: session.run(None, {"a": left})
    binding = session.io_binding()
    binding.bind_ortvalue_input("a", ort.OrtValue.ortvalue_from_numpy(left, device, 0))
    binding.bind_output("c", device)

    def product() -> object:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return binding

    return product


INT8 = "seal.int8"  # a graph's own note of the range its weights were quantised to
LARGE = 1_500_000_000  # bytes of weights that get a file of their own: a protobuf file ends at 2 GB


def has_vnni() -> bool:
    """Whether 8-bit products are summed without saturating: x86 with VNNI, or another architecture."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags
