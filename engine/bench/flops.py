"""Floating-point operations of an encoder, counted from its configuration.

Nominal: what the textbook forward pass takes per real token (linear layers, attention products, and for
DeBERTa the content-to-position and position-to-content products against all buckets). Work that a graph
skips counts as done, padding does not.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def flops(config: Mapping[str, Any], lengths: NDArray[np.integer]) -> float:
    """Nominal floating-point operations of scoring texts of these lengths.

    Args:
        config: a transformers configuration with `hidden_size`, `num_hidden_layers`, `intermediate_size`.
        lengths: real tokens of each text, shape (n,).

    Returns:
        Operations, a multiplication and an addition counted as two. DeBERTa-v3-large: 604M + 50.3M + 98,304 S
        a token in a text of S tokens.
    """
    width, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    linear = 2 * layers * (4 * width**2 + 2 * width * int(config["intermediate_size"]))
    position = 0
    if config.get("relative_attention"):
        terms = config.get("pos_att_type") or []
        terms = terms.split("|") if isinstance(terms, str) else terms
        buckets = config.get("position_buckets", -1)
        span = buckets if buckets > 0 else config.get("max_relative_positions", -1)
        span = span if span > 0 else int(config["max_position_embeddings"])
        position = 2 * layers * len([t for t in terms if t in ("c2p", "p2c")]) * width * 2 * int(span)
    s = lengths.astype(np.float64)
    return float((s * (linear + position) + 4.0 * layers * width * s**2).sum())
