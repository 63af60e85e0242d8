"""Which DeBERTa-v2 configurations the fast graph takes, and their position buckets."""

from collections.abc import Mapping
from typing import Any

FAMILY = "deberta-v2"


def refusal(config: Mapping[str, Any]) -> str | None:
    """Why a configuration has no fast graph; None if it has one."""
    if config.get("model_type") != FAMILY:
        return f"there is no fast graph for '{config.get('model_type', 'unknown')}'"
    kernel = _whole(config.get("conv_kernel_size"), 0)
    if kernel > 0 and kernel % 2 == 0:
        return f"there is no fast graph for a convolution of even width (conv_kernel_size {kernel})"
    width, heads = (_whole(config.get(name), 0) for name in ("hidden_size", "num_attention_heads"))
    if (size := _whole(config.get("attention_head_size"), 0)) and size * heads != width:
        return f"there is no fast graph for attention_head_size {size} x {heads} heads in a width of {width}"
    buckets, reach = spans(config)
    if config.get("relative_attention") and buckets > 0 and reach - 1 <= buckets // 2:
        return f"there is no fast graph for position_buckets {buckets} with distances to {reach}"
    return None


def spans(config: Mapping[str, Any]) -> tuple[int, int]:
    """Position buckets of a DeBERTa-v2 (-1: none), and the largest distance that it tells from others."""
    buckets, reach = (_whole(config.get(n), -1) for n in ("position_buckets", "max_relative_positions"))
    return buckets, reach if reach > 0 else _whole(config.get("max_position_embeddings"), 512)


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise
