"""Folders -> loaded reward models, ready to score: the backend, its encoder, and what the manifest says."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.backends.base import RewardBackend
from engine.batching import bucket_edges
from engine.checkpoint import Checkpoint
from engine.encoding import PairEncoder
from engine.errors import InputError, UsageError
from engine.spec import TOKENIZER, UNBOUNDED_DEFAULT, PairTemplate, load_spec, verify_files

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
BackendName = Literal["onnx", "torch"]


@dataclass(frozen=True)
class LoadedModel:
    """A reward model that can score.

    Attributes:
        name: as it stands in the SCORES frame.
        device: where it runs.
        backend: what runs it.
        encoder: what turns texts into its tokens; one object for all models whose encoding is the same.
        pad_token_id: what pads.
        identity: hashes and facts that decide its rewards, for the manifest.
        edges: the widths its batches are padded to, where it runs fast on few shapes only.
    """

    name: str
    device: Literal["cpu", "cuda", "tensorrt"]
    backend: RewardBackend
    encoder: PairEncoder
    pad_token_id: int
    identity: Mapping[str, Any]
    edges: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Source:
    backend: RewardBackend
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
    if not folders:
        raise UsageError("no model: name at least one with --model [NAME=]DIR")
    encoders: dict[tuple[str, str, int], PairEncoder] = {}
    models = []
    for name, folder in folders.items():
        if backend == "onnx":
            source = _from_export(folder, device, max_tokens, threads, max_batch_tokens)
        else:
            source = _from_checkpoint(folder, device, max_tokens)
        key = (source.tokenizer_json, source.template, source.longest)
        encoder = encoders.setdefault(key, PairEncoder(*key))
        identity = {**source.hashes, **source.backend.facts(), "max_tokens": source.longest}
        models.append(
            LoadedModel(
                name, source.device, source.backend, encoder, source.pad_token_id, identity, source.edges
            )
        )
    return models


def _from_export(
    folder: Path, device: Device, max_tokens: int | None, threads: int | None, max_batch_tokens: int
) -> _Source:
    from engine.backends.onnx import OnnxBackend, choose_device
    from engine.backends.tensorrt import TensorRTBackend

    spec = load_spec(folder)
    if changed := verify_files(folder, spec):
        raise InputError(f"{folder}: {', '.join(changed)} changed since the export; export again")
    resolved = choose_device(device)
    if spec.precision == "int8" and resolved != "cpu":
        raise UsageError(f"{folder} is int8, which is for CPUs: --device cpu, or export it in fp16")
    edges: tuple[int, ...] = ()
    backend: RewardBackend
    if resolved == "tensorrt":
        edges = bucket_edges(spec.longest_input(max_tokens))
        backend = TensorRTBackend(folder, edges, max_batch_tokens, fp16=spec.precision == "fp16")
    else:
        backend = OnnxBackend(folder, resolved, threads)
    return _Source(
        backend,
        resolved,
        (folder / TOKENIZER).read_text(encoding="utf-8"),
        spec.pair_template,
        spec.pad_token_id,
        spec.longest_input(max_tokens),
        {"files": dict(spec.files), "pair_template": spec.pair_template},
        edges,
    )


def _from_checkpoint(folder: Path, device: Device, max_tokens: int | None) -> _Source:
    from engine.backends.torch import TorchBackend, load_tokenizer, resolve_device

    checkpoint = Checkpoint.open(folder)
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
