"""Models through torch and transformers: the reference every other backend is held against."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.errors import InputError, MissingExtraError, UsageError
from seal.engine.offline import silence_telemetry
from seal.engine.pooling.contract import Batch, OutOfMemoryError, one_row_each

_CLASSIFIER = "AutoModelForSequenceClassification"


def _packages(purpose: str) -> tuple[Any, Any]:
    silence_telemetry()
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError(str(error.name), "export", purpose) from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return torch, transformers


def load_model(checkpoint: Checkpoint) -> Any:
    """The module of a checkpoint: fp32, in evaluation mode, eager attention, on the CPU.

    Of an embedder that is its transformer, without what pools; weights of a pooler, which nothing reads, may
    be missing.

    Raises:
        InputError: transformers cannot build it, or weights are missing.
    """
    is_embedder = checkpoint.kind == "embedding"
    model, missing = _load(checkpoint, "AutoModel" if is_embedder else _CLASSIFIER)
    missing = [key for key in missing if not (is_embedder and key.startswith("pooler."))]
    if missing:
        raise InputError(
            f"{checkpoint.folder} lacks the weights {', '.join(sorted(missing)[:3])}: "
            "transformers would fill them at random"
        )
    return model


def load_classifier(checkpoint: Checkpoint, **settings: Any) -> tuple[Any, list[str]]:
    """A checkpoint as a sequence classifier, and names of the weights that it lacks or has in another shape.

    Args:
        checkpoint: the model.
        settings: of its configuration that differ, e.g. `num_labels`.

    Raises:
        InputError: transformers cannot build it.
    """
    return _load(checkpoint, _CLASSIFIER, ignore_mismatched_sizes=True, **settings)


def _load(checkpoint: Checkpoint, auto: str, **settings: Any) -> tuple[Any, list[str]]:
    torch, transformers = _packages("loading a model from safetensors")
    try:
        model, loading = getattr(transformers, auto).from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **settings,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - what a damaged folder makes of transformers has no common type
        reason = " ".join(str(error).split())
        raise InputError(f"transformers cannot load {checkpoint.folder}: {reason}") from None
    others = (key if isinstance(key, str) else key[0] for key in loading["mismatched_keys"])
    return model.eval(), [*loading["missing_keys"], *others]


def load_tokenizer(checkpoint: Checkpoint) -> tuple[str, int]:
    """The checkpoint's fast tokenizer as the text of a `tokenizer.json`, and the id that pads.

    Raises:
        InputError: it has none, and none can be made from its files.
    """
    _, transformers = _packages("reading a tokenizer")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False, use_fast=True
        )
    except Exception as error:  # noqa: BLE001 - see load_model; the Rust side raises a bare Exception, too
        raise InputError(f"no tokenizer can be read from {checkpoint.folder}: {error}") from None
    if not tokenizer.is_fast:
        raise InputError(f"{checkpoint.folder} has no fast tokenizer (tokenizer.json)")
    if tokenizer.pad_token_id is None:
        raise InputError(f"the tokenizer of {checkpoint.folder} has no padding token")
    return tokenizer.backend_tokenizer.to_str(), int(tokenizer.pad_token_id)


def resolve_device(device: Literal["auto", "cpu", "cuda", "tensorrt"]) -> Literal["cpu", "cuda"]:
    """Resolve `auto`, and refuse a GPU that torch does not see.

    Raises:
        UsageError: CUDA was asked for and there is none.
    """
    torch, _ = _packages("the torch backend")
    if device == "tensorrt":
        raise UsageError("the device tensorrt runs exported models; the backend torch takes cpu or cuda")
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise UsageError("device cuda: torch sees no CUDA device here")
    return "cuda" if device == "cuda" or (device == "auto" and has_cuda) else "cpu"


def takes_segments(model: Any) -> bool:
    """Whether a transformers module knows more than one segment."""
    return (getattr(model.config, "type_vocab_size", 0) or 0) > 1


def run_module(model: Any, batch: Batch, device: str, *, segments: bool) -> Any:
    """What a transformers module makes of a batch, with segments or without; its own type of output.

    Raises:
        OutOfMemoryError: the batch does not fit; a smaller one may.
        InputError: the module cannot take it.
    """
    torch, _ = _packages("the torch backend")
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if segments:
        inputs["token_type_ids"] = batch.token_type_ids
    try:
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(a).to(device) for name, a in inputs.items()})
    except (torch.OutOfMemoryError, RuntimeError, IndexError) as error:
        if "memory" in str(error) or "allocate" in str(error):
            raise OutOfMemoryError(str(error)) from None
        raise InputError(f"torch cannot run the model on {batch.width} tokens: {error}") from None


class TorchBackend:
    """A reward model run by torch in fp32, one batch at a time on all threads of a CPU (or on a CUDA GPU).

    Args:
        checkpoint: the model.
        device: `cpu` or `cuda`.
    """

    concurrency = 1

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self._device = device
        self._model = load_model(checkpoint).to(device)
        self._segments = takes_segments(self._model)
        self._folder, self._n_logits = checkpoint.folder, len(checkpoint.heads.names)

    def facts(self) -> Mapping[str, Any]:
        return {"backend": "torch", "provider": self._device}

    def rewards(self, batch: Batch) -> NDArray[np.float32]:
        logits = run_module(self._model, batch, self._device, segments=self._segments).logits
        return one_row_each(logits.float().cpu().numpy(), batch, self._n_logits, self._folder)


def convert_pickles(folder: Path, out: Path) -> None:
    """Read `pytorch_model*.bin` with `weights_only`; write safetensors and the checkpoint's other files.

    Args:
        folder: the checkpoint.
        out: an existing, empty folder.

    Raises:
        InputError: a file is not plain tensors.
    """
    torch, _ = _packages("converting pickled weights")
    from pickle import UnpicklingError

    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    for path in sorted(folder.glob("pytorch_model*.bin")):
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            tensors |= {str(name): tensor.contiguous().clone() for name, tensor in state.items()}
        except (UnpicklingError, RuntimeError, AttributeError, EOFError) as error:
            raise InputError(f"{path} is not plain tensors, and is not loaded: {error}") from None
    if not tensors:
        raise InputError(f"{folder} holds no pytorch_model*.bin to convert")
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    for path in folder.iterdir():
        if path.is_file() and path.suffix in {".json", ".txt", ".model"} and "index" not in path.name:
            (out / path.name).write_bytes(path.read_bytes())


def matrix_product(size: int, device: str) -> Callable[[], object]:
    """A product of two square matrices (CPU: fp32, GPU: fp16), ended when the call returns."""
    torch, _ = _packages("measuring the peak")
    dtype = torch.float32 if device == "cpu" else torch.float16
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def product() -> object:
        result = left @ right
        if device != "cpu":
            torch.cuda.synchronize()
        return result

    return product
