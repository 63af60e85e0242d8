"""A LoRA adapter and its base -> one model folder: W + s B A, in fp32, with what was trained whole put in.

The base is loaded as a sequence classifier by transformers itself, so that its weights bear the names that
the adapter knows them by, whatever kind of model the base was saved as.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from seal.engine.checkpoints.adapter import CONFIG, WEIGHTS, Adapter
from seal.engine.checkpoints.merged import Merged
from seal.engine.errors import InputError
from seal.engine.pooling.torch import load_classifier

_PREFIX = "base_model.model."
_HEADS = ("score.weight", "classifier.weight", "classifier.out_proj.weight")
_SAVED = ".modules_to_save"
_SETTINGS = (".json", ".txt", ".model", ".jinja")
_PAIRS = {".lora_A": ".lora_B", ".lora_embedding_A": ".lora_embedding_B"}


def merge(adapter: Adapter, out: Path) -> Merged:
    """Write the folder that a reward model's adapter and its base make together.

    Args:
        adapter: what is merged.
        out: the folder to make; the tokenizer in it is the adapter's own where it has one.

    Returns:
        The merged model, ready to be exported.

    Raises:
        InputError: the base cannot be loaded, or the adapter's weights do not belong to it.
    """
    try:
        tensors = load_file(adapter.folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{adapter.folder / WEIGHTS} cannot be read: {error}") from None
    given = {_plain(name): tensor for name, tensor in tensors.items()}
    whole = {n: t for n, t in given.items() if ".lora_" not in n}
    model, missing = load_classifier(Merged.of(adapter), **_labels(whole))
    state = model.state_dict()
    if lacking := sorted(set(missing) - whole.keys()):
        raise InputError(
            f"neither {adapter.folder} nor its base {adapter.base} has the weights {', '.join(lacking[:3])}: "
            "is it the adapter of a reward model?"
        )
    changes = whole | _products(adapter, {n: t for n, t in given.items() if ".lora_" in n}, state)
    for name, tensor in changes.items():
        if name not in state or state[name].shape != tensor.shape:
            there = tuple(state[name].shape) if name in state else "nothing"
            raise InputError(
                f"{adapter.folder} does not belong to {adapter.base}: {name} is {tuple(tensor.shape)} in the "
                f"adapter, {there} in the base"
            )
        state[name].copy_(tensor)
    model.save_pretrained(out, safe_serialization=True)
    _copy_settings(adapter, out)
    return replace(Merged.open(out), adapter=adapter)


def _plain(name: str) -> str:
    """A tensor's name as the base has it: `...query.lora_A`, `classifier.weight`."""
    name = name.removeprefix(_PREFIX).replace(_SAVED, "").replace(".default", "")
    return name.removesuffix(".weight") if ".lora_" in name else name


def _labels(whole: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """How many logits the head that was trained whole has; nothing where it was not."""
    head = next((whole[name] for name in _HEADS if name in whole), None)
    return {} if head is None else {"num_labels": len(head)}


def _products(
    adapter: Adapter, matrices: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Name of a base's weight -> what it becomes: W + s B A."""
    found, used = {}, set()
    for name, a in matrices.items():
        kind = next((k for k in _PAIRS if name.endswith(k)), None)
        if kind is None:
            continue
        module = name.removesuffix(kind)
        b, weight = matrices.get(module + _PAIRS[kind]), state.get(f"{module}.weight")
        if b is None or a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1]:
            raise InputError(f"{adapter.folder / WEIGHTS}: {name} and its counterpart are no two matrices")
        product = b.float() @ a.float() * adapter.scale(module, len(a))
        turned = product.T if adapter.transposed or kind != ".lora_A" else product
        used |= {name, module + _PAIRS[kind]}
        fits = weight is not None and weight.shape == turned.shape
        found[f"{module}.weight"] = weight + turned if fits else turned
    if left := sorted(matrices.keys() - used):
        raise InputError(f"{adapter.folder / WEIGHTS} holds {', '.join(left[:3])}, which is not merged here")
    return found


def _copy_settings(adapter: Adapter, out: Path) -> None:
    """What belongs to the tokenizer: the base's files, and over them the adapter's own."""
    for folder in (adapter.base, adapter.folder):
        for path in folder.iterdir():
            unwanted = path.name in ("config.json", CONFIG) or path.name.endswith(".index.json")
            if path.is_file() and path.suffix in _SETTINGS and not unwanted:
                shutil.copyfile(path, out / path.name)
