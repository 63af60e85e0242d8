"""Folders -> loaded models, ready to run: the backend, its encoder, and what the manifest says."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from engine.backends.base import Backend, EmbeddingBackend, RewardBackend
from engine.checkpoint import Checkpoint
from engine.encoding import PairEncoder
from engine.errors import InputError, UsageError
from engine.spec import TOKENIZER, UNBOUNDED_DEFAULT, WHAT, Kind, PairTemplate, load_spec, verify_files

if TYPE_CHECKING:
    from engine.backends.onnx import OnnxBackend

Device = Literal["auto", "cpu", "cuda"]
BackendName = Literal["onnx", "torch"]
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
    """

    name: str
    device: Literal["cpu", "cuda"]
    backend: B_co
    encoder: PairEncoder
    pad_token_id: int
    identity: Mapping[str, Any]


LoadedModel = Loaded[RewardBackend]
LoadedEmbedder = Loaded[EmbeddingBackend]


@dataclass(frozen=True)
class _Source(Generic[B_co]):
    backend: B_co
    device: Literal["cpu", "cuda"]
    tokenizer_json: str
    template: PairTemplate
    pad_token_id: int
    longest: int
    hashes: Mapping[str, Any]


def load_models(
    folders: Mapping[str, Path],
    device: Device = "auto",
    backend: BackendName = "onnx",
    max_tokens: int | None = None,
    threads: int | None = None,
) -> list[LoadedModel]:
    """Load each folder and let models of the same tokenizer, template and length share one encoder.

    Args:
        folders: name -> what `seal export` wrote (onnx) or a transformers folder (torch).
        device: where to run.
        backend: which backend.
        max_tokens: longest input asked for.
        threads: batches at once on a CPU.

    Raises:
        UsageError: no model, or a device that is not there.
        InputError: a folder cannot be used, or changed since it was exported.
    """
    if not folders:
        raise UsageError("no model: name at least one with --model [NAME=]DIR")
    sources: dict[str, _Source[RewardBackend]] = {
        name: _from_export(folder, "reward", device, max_tokens, threads)
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
    if not folders:
        raise UsageError("no embedder: name at least one with --embedder [NAME=]DIR")
    sources: dict[str, _Source[EmbeddingBackend]] = {
        name: _from_export(folder, "embedding", device, max_tokens, threads)
        for name, folder in folders.items()
    }
    return _loaded(sources)


def _loaded(sources: Mapping[str, _Source[B_co]]) -> list[Loaded[B_co]]:
    encoders: dict[tuple[str, str, int], PairEncoder] = {}
    models = []
    for name, source in sources.items():
        key = (source.tokenizer_json, source.template, source.longest)
        encoder = encoders.setdefault(key, PairEncoder(*key))
        identity = {**source.hashes, **source.backend.facts(), "max_tokens": source.longest}
        models.append(Loaded(name, source.device, source.backend, encoder, source.pad_token_id, identity))
    return models


def _refuse_other_kind(folder: Path, kind: Kind, wanted: Kind) -> None:
    if kind != wanted:
        raise InputError(f"{folder} is {WHAT[kind]}, not {WHAT[wanted]}; it is for {_COMMANDS[kind]}")


def _from_export(
    folder: Path, wanted: Kind, device: Device, max_tokens: int | None, threads: int | None
) -> "_Source[OnnxBackend]":
    from engine.backends.onnx import OnnxBackend, choose_device

    spec = load_spec(folder)
    _refuse_other_kind(folder, spec.kind, wanted)
    if changed := verify_files(folder, spec):
        raise InputError(f"{folder}: {', '.join(changed)} changed since the export; export again")
    resolved = choose_device(device)
    return _Source(
        OnnxBackend(folder, resolved, threads),
        resolved,
        (folder / TOKENIZER).read_text(encoding="utf-8"),
        spec.pair_template,
        spec.pad_token_id,
        spec.longest_input(max_tokens),
        {"files": dict(spec.files), "pair_template": spec.pair_template},
    )


def _from_checkpoint(folder: Path, device: Device, max_tokens: int | None) -> _Source[RewardBackend]:
    from engine.backends.torch import TorchBackend, load_tokenizer, resolve_device

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
