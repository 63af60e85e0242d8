"""The header of safetensors files, and whether a configuration asks for more than the weights hold.

Only headers are read. What a configuration asks for is allocated before weights fill it, so one that was
damaged, or made to harm, would take all memory there is.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seal.engine.errors import InputError
from seal.engine.files import parse_json

_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "embedding_size", "d_model", "dim", "hidden_dim",
    "type_vocab_size", "position_buckets", "max_relative_positions", "num_attention_heads", "head_dim",
    "n_embd", "n_inner",
)  # fmt: skip
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTHS = ("embedding_size", "hidden_size", "d_model", "dim", "n_embd")
_MOST_HEADER_BYTES = 100_000_000  # what safetensors itself allows


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of a safetensors file.

    Raises:
        InputError: it is none.
    """
    try:
        with path.open("rb") as file:
            n_bytes = int.from_bytes(file.read(8), "little")
            if n_bytes > min(_MOST_HEADER_BYTES, path.stat().st_size):
                raise ValueError(f"its header would take {n_bytes:,} bytes")
            header = parse_json(file.read(n_bytes))
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        header.pop("__metadata__", None)
        return {name: tuple(map(int, facts["shape"])) for name, facts in header.items()}
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path} is no safetensors file: {error}; bring it over again") from None


def check_sizes(folder: Path, config: Mapping[str, Any]) -> None:
    """Hold the sizes that a configuration names against the shapes of the weights.

    Args:
        folder: holds *.safetensors.
        config: its `config.json`.

    Raises:
        InputError: a size is larger than any dimension of any tensor, there are more layers than tensors, or
            the embeddings would be larger than all weights; each with both numbers.
    """
    if "quantization_config" in config:  # packed weights have shapes of their own
        return
    tensors = {name: shape for path in folder.glob("*.safetensors") for name, shape in shapes(path).items()}
    largest = max((n for shape in tensors.values() for n in shape), default=0)
    n_weights = sum(math.prod(shape) for shape in tensors.values())
    inner = config.get("text_config")
    for sizes in (config, inner) if isinstance(inner, Mapping) else (config,):
        for name in _SIZES:
            _refuse_above(folder, name, _size(sizes, name), largest, "no dimension above")
        for name in _LAYERS:
            _refuse_above(folder, name, _size(sizes, name), len(tensors), "no more tensors than")
        width = next((n for n in (_size(sizes, name) for name in _WIDTHS) if n), 0)
        table = _size(sizes, "vocab_size") * width
        _refuse_above(folder, "vocab_size times width", table, n_weights, "no more numbers than")


def _size(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    return value if isinstance(value, int) else 0


def _refuse_above(folder: Path, name: str, asked: int, held: int, what: str) -> None:
    if asked > held:
        raise InputError(
            f"{folder}: config.json asks for {name} {asked:,}, but its safetensors hold {what} {held:,}: "
            "they do not belong together, bring both over again"
        )
