"""Folders -> loaded models, ready to run: the backend, its encoder, and what the manifest says."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from seal.engine.checkpoints import exported
from seal.engine.checkpoints.cached import origin_of
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.exported import TOKENIZER, UNBOUNDED_DEFAULT, WHAT, Kind, PairTemplate
from seal.engine.checkpoints.heads import Heads
from seal.engine.errors import InputError, UsageError
from seal.engine.pooling.batching import bucket_edges
from seal.engine.pooling.contract import Backend, EmbeddingBackend, RewardBackend
from seal.engine.pooling.options import BackendName, Device
from seal.engine.pooling.tokenizing import PairEncoder

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
        heads: the logits of a reward model.
        edges: the widths its batches are padded to, where it runs fast on few shapes only.
    """

    name: str
    device: Literal["cpu", "cuda", "tensorrt"]
    backend: B_co
    encoder: PairEncoder
    pad_token_id: int
    identity: Mapping[str, Any]
    edges: tuple[int, ...] = ()
    heads: Heads = field(default_factory=Heads)


LoadedModel = Loaded[RewardBackend]
LoadedEmbedder = Loaded[EmbeddingBackend]
MakeEncoder = Callable[[str, PairTemplate, int], PairEncoder]


def load_models(
    folders: Mapping[str, Path], device: Device = "auto", backend: BackendName = "onnx",
    max_tokens: int | None = None, threads: int | None = None, max_batch_tokens: int = 32_768,
) -> list[LoadedModel]:  # fmt: skip
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
    encoder = cache(PairEncoder)
    return [
        _exported(name, folder, "reward", device, max_tokens, threads, encoder, max_batch_tokens)
        if backend == "onnx"
        else _from_checkpoint(name, folder, device, max_tokens, encoder)
        for name, folder in folders.items()
    ]


def load_embedders(
    folders: Mapping[str, Path], device: Device = "auto", max_tokens: int | None = None,
    threads: int | None = None,
) -> list[LoadedEmbedder]:  # fmt: skip
    """Load exported embedders, as `load_models` does reward models.

    Raises:
        UsageError: no embedder, or a device that is not there.
        InputError: a folder cannot be used (a reward model, say), or changed since it was exported.
    """
    encoder = cache(PairEncoder)
    return [
        _exported(name, folder, "embedding", device, max_tokens, threads, encoder)
        for name, folder in folders.items()
    ]


def _refuse_other_kind(folder: Path, kind: Kind, wanted: Kind) -> None:
    if kind != wanted:
        raise InputError(f"{folder} is {WHAT[kind]}, not {WHAT[wanted]}; it is for {_COMMANDS[kind]}")


def _exported(
    name: str, folder: Path, wanted: Kind, device: Device, max_tokens: int | None, threads: int | None,
    make_encoder: MakeEncoder, max_batch_tokens: int = 0,
) -> Loaded[Any]:  # fmt: skip
    from seal.engine.pooling.onnx import OnnxBackend, choose_device
    from seal.engine.pooling.tensorrt import TensorRTBackend

    spec = exported.load_spec(folder)
    _refuse_other_kind(folder, spec.kind, wanted)
    if changed := exported.verify_files(folder, spec):
        raise InputError(f"{folder}: {', '.join(changed)} changed since the export; export again")
    resolved, longest, edges = choose_device(device), spec.longest_input(max_tokens), tuple[int, ...]()
    if resolved == "tensorrt" and wanted == "embedding":
        raise UsageError("the device tensorrt is for reward models; an embedder runs on cpu or cuda")
    if resolved != "cpu" and spec.precision == "int8":
        raise UsageError(f"{folder} is int8, which is for CPUs: take the device cpu, or export in fp16")
    backend: Backend
    n = len(spec.logits.names)
    if resolved == "tensorrt":
        edges = bucket_edges(longest)
        backend = TensorRTBackend(folder, edges, max_batch_tokens, fp16=spec.precision == "fp16", n_logits=n)
    else:
        backend = OnnxBackend(folder, resolved, threads, n)
    encoder = make_encoder((folder / TOKENIZER).read_text(encoding="utf-8"), spec.pair_template, longest)
    facts = {"files": dict(spec.files), "pair_template": spec.pair_template, **backend.facts()}
    identity = {**facts, "max_tokens": longest, **_origin(origin_of(folder) or spec.origin)}
    return Loaded(name, resolved, backend, encoder, spec.pad_token_id, identity, edges, spec.logits)


def _from_checkpoint(
    name: str, folder: Path, device: Device, max_tokens: int | None, make_encoder: MakeEncoder
) -> LoadedModel:
    from seal.engine.pooling.torch import TorchBackend, load_tokenizer, resolve_device

    checkpoint = Checkpoint.open(folder)
    _refuse_other_kind(folder, checkpoint.kind, "reward")
    tokenizer_json, pad_token_id = load_tokenizer(checkpoint)
    resolved = resolve_device(device)
    able = checkpoint.max_tokens or max(max_tokens or 0, UNBOUNDED_DEFAULT)
    longest = min(max_tokens or able, able)
    backend = TorchBackend(checkpoint, resolved)
    files = checkpoint.weights_sha256() | {TOKENIZER: hashlib.sha256(tokenizer_json.encode()).hexdigest()}
    identity = {"files": files, "pair_template": "pair", **backend.facts(), "max_tokens": longest}
    identity |= _origin(checkpoint.origin)
    encoder = make_encoder(tokenizer_json, "pair", longest)
    return Loaded(name, resolved, backend, encoder, pad_token_id, identity, heads=checkpoint.heads)


def _origin(stated: str) -> dict[str, str]:
    """Which commit of the Hugging Face cache a model is; what came from elsewhere says nothing of it."""
    return {"origin": stated} if stated else {}
