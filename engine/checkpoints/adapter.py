"""A LoRA adapter as peft writes it: what it may hold, and what it asks of its base.

    adapter_config.json         the base, the rank, the scale
    adapter_model.safetensors   two small matrices a layer, and modules that were trained whole

Only JSON and headers are read here. What would change the merged weights and is not known is refused by name.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal.engine.checkpoints.cached import local_model, not_here
from seal.engine.checkpoints.sentence_transformers import read_json
from seal.engine.errors import InputError
from seal.engine.files import file_sha256

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_MERGED = (
    "peft_type", "base_model_name_or_path", "revision", "r", "lora_alpha", "use_rslora", "fan_in_fan_out",
    "rank_pattern", "alpha_pattern", "modules_to_save", "bias", "init_lora_weights", "task_type",
)  # fmt: skip
_HARMLESS = (  # says how it was trained, or which modules have matrices, which the weights say themselves
    "auto_mapping", "inference_mode", "peft_version", "lora_dropout", "target_modules", "exclude_modules",
    "layers_to_transform", "layers_pattern", "megatron_core", "runtime_config",
)  # fmt: skip
_NEW_MATRICES = (True, False, None, "gaussian", "eva", "orthogonal")  # other ways to begin change the base


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter that may be merged.

    Attributes:
        folder: where it lies.
        base: the folder of the model that it was trained on.
        config: its `adapter_config.json`.
    """

    folder: Path
    base: Path
    config: Mapping[str, Any]

    @property
    def transposed(self) -> bool:
        """Whether the base keeps its matrices the other way round (GPT-2)."""
        return bool(self.config.get("fan_in_fan_out"))

    def scale(self, module: str, rank: int) -> float:
        """What a module's product of two matrices is multiplied by: alpha / r, or alpha / sqrt(r)."""
        patterns = self.config.get("alpha_pattern") or {}
        found = (alpha for key, alpha in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", module))
        alpha = float(next(found, self.config.get("lora_alpha", 8)))
        return alpha / math.sqrt(rank) if self.config.get("use_rslora") else alpha / rank

    def sources_sha256(self) -> dict[str, str]:
        """Hash of every file that the merged model is made of: `adapter/...` and `base/...`."""
        both = {"adapter": self.folder, "base": self.base}
        return {f"{role}/{p.name}": file_sha256(p) for role, folder in both.items() for p in _files(folder)}


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    weights = [path for path in folder.glob("*.safetensors") if path.name != WEIGHTS]
    return (folder / CONFIG).is_file() and not weights


def how_to_merge(folder: Path, loader: str) -> str:
    """What to do about an adapter that is not merged here.

    Args:
        folder: of the adapter.
        loader: what loads it in peft, e.g. `AutoPeftModelForCausalLM`.
    """
    return (
        f"merge it where peft is: model = peft.{loader}.from_pretrained('{folder}').merge_and_unload(); "
        "model.save_pretrained('FOLDER'), and copy the tokenizer's files there"
    )


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder, with its base at hand.

    Raises:
        InputError: it is no LoRA, asks for what cannot be merged here, has no safetensors, or its base is
            not on this machine; each with what to do.
    """
    config = read_json(folder / CONFIG)
    loader = "AutoPeftModelForSequenceClassification"
    if reason := _refusal(folder, config):
        raise InputError(f"{folder / CONFIG}: {reason}; {how_to_merge(folder, loader)}")
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(base, str) or not base:
        raise InputError(f"{folder / CONFIG} names no base (base_model_name_or_path); write its folder there")
    place = local_model(f"{base}@{revision}" if isinstance(revision, str) and revision else base)
    place = place if place.is_dir() else local_model(base)
    if not place.is_dir():
        raise InputError(f"the base of {folder}: {not_here(base)}, or write where it is into {CONFIG}")
    return Adapter(folder, place, config)


def _refusal(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Why an adapter cannot be merged here; None if it can."""
    if (kind := config.get("peft_type")) != "LORA":
        return f"the adapter is of the kind {kind!r}; only LORA is merged here"
    if unknown := [k for k, v in config.items() if v and k not in (*_MERGED, *_HARMLESS)]:
        return f"it sets {', '.join(unknown[:3])}, which is not merged here"
    if (bias := config.get("bias", "none")) != "none":
        return f"it has trained biases (bias {bias!r}), which are not merged here"
    if not any((begun := config.get("init_lora_weights")) is known for known in _NEW_MATRICES[:3]) and (
        begun not in _NEW_MATRICES[3:]
    ):
        return f"its init_lora_weights {begun!r} changed the base as well"
    if wrong := [name for name, fits in _TYPES.items() if not fits(config.get(name))]:
        return f"{wrong[0]} is {config.get(wrong[0])!r}"
    if not (folder / WEIGHTS).is_file():
        return f"its weights are not {WEIGHTS}; pickled ones are not read"
    return None


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and math.isfinite(value))


def _is_pattern(value: Any) -> bool:
    try:
        return all(re.compile(key) and _is_number(number) for key, number in (value or {}).items())
    except (re.error, AttributeError, TypeError):
        return False


_TYPES = {"lora_alpha": _is_number, "alpha_pattern": _is_pattern}


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.iterdir()) if p.suffix in (".json", ".safetensors") and p.is_file())
