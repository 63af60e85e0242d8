"""Folders -> loaded models, ready to run: the backend, its encoder, and what the manifest says."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.exported import (
    TOKENIZER,
    UNBOUNDED_DEFAULT,
    WHAT,
    Kind,
    ModelSpec,
    PairTemplate,
    load_spec,
    verify_files,
)
from seal.engine.errors import InputError, UsageError
from seal.engine.pooling.batching import bucket_edges
from seal.engine.pooling.contract import Backend, EmbeddingBackend, RewardBackend
from seal.engine.pooling.options import BackendName, Device
from seal.engine.pooling.tokenizing import PairEncoder

B = TypeVar("B", bound=Backend)
B_co = TypeVar("B_co", bound=Backend, covariant=True)

_COMMANDS: dict[Kind, str] = {"reward": "seal score", "embedding": "seal similarity"}


@dataclass(frozen=True)
class Loaded(Generic[B_co]):
    """A model that can run: a reward model, or an embedder.

    Attributes:
        name: as it stands in the SCORES or SIMILARITIES frame.
        device: where it runs.
        backend: what runs it.
        encoder: what turns texts into its tokens; one object for all models whose encoding is the same.
        pad_token_id: what pads.
        identity: hashes and facts that decide what it gives, for the manifest.
        edges: the widths its batches are padded to, where it runs fast on few shapes only.
    """

    name: str
    device: Literal["cpu", "cuda", "tensorrt"]
    backend: B_co
    encoder: PairEncoder
    pad_token_id: int
    identity: Mapping[str, Any]
    edges: tuple[int, ...] = ()


LoadedModel = Loaded[RewardBackend]
LoadedEmbedder = Loaded[EmbeddingBackend]


@dataclass(frozen=True)
class _Source(Generic[B_co]):
    backend: B_co
    device: Literal["cpu", "cuda", "tensorrt"]
    tokenizer_json: str
    template: PairTemplate
    pad_token_id: int
    longest: int
    hashes: Mapping[str, Any]
    edges: tuple[int, ...] = ()


def load_models(
    folders: Mapping[str, Path],
    device: Device = "auto",
    backend: BackendName = "onnx",
    max_tokens: int | None = None,
    threads: int | None = None,
    max_batch_tokens: int = 32_768,
) -> list[LoadedModel]:
    """Load each folder and let models of the same tokenizer, template and length share one encoder.

    Args:
        folders: name -> what `seal export` wrote (onnx) or a transformers folder (torch).
        device: where to run.
        backend: which backend.
        max_tokens: longest input asked for.
        threads: batches at once on a CPU.
        max_batch_tokens: the largest batch that TensorRT's engines are built for.

    Raises:
        UsageError: no model, or a device that is not there.
        InputError: a folder cannot be used, or changed since it was exported.
    """
    sources: dict[str, _Source[RewardBackend]] = {
        name: _reward_model(folder, device, max_tokens, threads, max_batch_tokens)
        if backend == "onnx"
        else _from_checkpoint(folder, device, max_tokens)
        for name, folder in folders.items()
    }
    return _loaded(sources)


def load_embedders(
    folders: Mapping[str, Path],
    device: Device = "auto",
    max_tokens: int | None = None,
    threads: int | None = None,
) -> list[LoadedEmbedder]:
    """Load exported embedders, as `load_models` does reward models.

    Raises:
        UsageError: no embedder, or a device that is not there.
        InputError: a folder cannot be used (a reward model, say), or changed since it was exported.
    """
    sources: dict[str, _Source[EmbeddingBackend]] = {
        name: _embedder(folder, device, max_tokens, threads) for name, folder in folders.items()
    }
    return _loaded(sources)


def _loaded(sources: Mapping[str, _Source[B_co]]) -> list[Loaded[B_co]]:
    encoders: dict[tuple[str, str, int], PairEncoder] = {}
    models = []
    for name, source in sources.items():
        key = (source.tokenizer_json, source.template, source.longest)
        encoder = encoders.setdefault(key, PairEncoder(*key))
        identity = {**source.hashes, **source.backend.facts(), "max_tokens": source.longest}
        models.append(
            Loaded(name, source.device, source.backend, encoder, source.pad_token_id, identity, source.edges)
        )
    return models


def _refuse_other_kind(folder: Path, kind: Kind, wanted: Kind) -> None:
    if kind != wanted:
        raise InputError(f"{folder} is {WHAT[kind]}, not {WHAT[wanted]}; it is for {_COMMANDS[kind]}")


def _reward_model(
    folder: Path, device: Device, max_tokens: int | None, threads: int | None, max_batch_tokens: int
) -> _Source[RewardBackend]:
    from seal.engine.pooling.onnx import OnnxBackend, choose_device
    from seal.engine.pooling.tensorrt import TensorRTBackend

    spec, resolved = _opened(folder, "reward"), choose_device(device)
    if spec.precision == "int8" and resolved != "cpu":
        raise UsageError(f"{folder} is int8, which is for CPUs: take the device cpu, or export in fp16")
    if resolved != "tensorrt":
        return _source(OnnxBackend(folder, resolved, threads), resolved, folder, spec, max_tokens)
    edges = bucket_edges(spec.longest_input(max_tokens))
    backend = TensorRTBackend(folder, edges, max_batch_tokens, fp16=spec.precision == "fp16")
    return _source(backend, resolved, folder, spec, max_tokens, edges)


def _embedder(
    folder: Path, device: Device, max_tokens: int | None, threads: int | None
) -> _Source[EmbeddingBackend]:
    from seal.engine.pooling.onnx import OnnxBackend, choose_device

    spec, resolved = _opened(folder, "embedding"), choose_device(device)
    if resolved == "tensorrt":
        raise UsageError("the device tensorrt is for reward models; an embedder runs on cpu or cuda")
    return _source(OnnxBackend(folder, resolved, threads), resolved, folder, spec, max_tokens)


def _opened(folder: Path, wanted: Kind) -> ModelSpec:
    spec = load_spec(folder)
    _refuse_other_kind(folder, spec.kind, wanted)
    if changed := verify_files(folder, spec):
        raise InputError(f"{folder}: {', '.join(changed)} changed since the export; export again")
    return spec


def _source(
    backend: B,
    device: Literal["cpu", "cuda", "tensorrt"],
    folder: Path,
    spec: ModelSpec,
    max_tokens: int | None,
    edges: tuple[int, ...] = (),
) -> _Source[B]:
    return _Source(
        backend,
        device,
        (folder / TOKENIZER).read_text(encoding="utf-8"),
        spec.pair_template,
        spec.pad_token_id,
        spec.longest_input(max_tokens),
        {"files": dict(spec.files), "pair_template": spec.pair_template},
        edges,
    )


def _from_checkpoint(folder: Path, device: Device, max_tokens: int | None) -> _Source[RewardBackend]:
    from seal.engine.pooling.torch import TorchBackend, load_tokenizer, resolve_device

    checkpoint = Checkpoint.open(folder)
    _refuse_other_kind(folder, checkpoint.kind, "reward")
    tokenizer_json, pad_token_id = load_tokenizer(checkpoint)
    resolved = resolve_device(device)
    able = checkpoint.max_tokens or max(max_tokens or 0, UNBOUNDED_DEFAULT)
    tokenizer_hash = hashlib.sha256(tokenizer_json.encode()).hexdigest()
    return _Source(
        TorchBackend(checkpoint, resolved),
        resolved,
        tokenizer_json,
        "pair",
        pad_token_id,
        min(max_tokens or able, able),
        {"files": {**checkpoint.weights_sha256(), TOKENIZER: tokenizer_hash}, "pair_template": "pair"},
    )
