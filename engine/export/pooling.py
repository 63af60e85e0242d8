"""An embedder's head: token vectors -> the vector of a text, as sentence-transformers computes it.

Written once as a torch module. The reference runs it behind transformers' model; the export traces it and
sets it behind the transformer's graph, so that what comes out of onnxruntime is the embedding itself.

Shapes: b texts, s tokens, D = the transformer's width, d = the embedding's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.sentence_transformers import Dense, Embedder
from seal.engine.errors import InputError
from seal.engine.export.onnx_graph import trace
from seal.engine.pooling.contract import Batch
from seal.engine.pooling.torch import load_model, run_module, takes_segments

VECTORS = "last_hidden_state"  # what the transformer's graph calls its token vectors


class Head(nn.Module):
    """Pooling and what follows it.

    Args:
        embedder: what it consists of; the weights of its Dense layers are read.

    Raises:
        InputError: weights are missing, or of another shape.
    """

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.pooling = embedder.pooling
        self.layers = nn.Sequential(*(_layer(embedder.root, layer) for layer in embedder.layers))

    def forward(self, vectors: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Token vectors (b, s, D), 1 for a real token (b, s) -> (b, d)."""
        weight = attention_mask.unsqueeze(-1).to(vectors.dtype)
        pooled = torch.cat([_pool(mode, vectors, weight) for mode in self.pooling], dim=-1)
        return self.layers(pooled)


class _Normalize(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, d) -> (b, d), of length 1."""
        return functional.normalize(x, p=2.0, dim=1)


def _pool(mode: str, vectors: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Token vectors (b, s, D), 1.0 for a real token (b, s, 1) -> (b, D)."""
    if mode == "cls":  # texts are padded on the right
        return vectors[:, 0]
    if mode == "max":
        return vectors.masked_fill(weight == 0, float("-inf")).amax(dim=1)
    count = weight.sum(dim=1)
    if mode == "lasttoken":
        places = torch.arange(vectors.shape[1], device=vectors.device, dtype=vectors.dtype).unsqueeze(-1)
        return (vectors * (places == count.unsqueeze(1) - 1).to(vectors.dtype)).sum(dim=1)
    total = (vectors * weight).sum(dim=1)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)


def _layer(root: Path, layer: Dense | str) -> nn.Module:
    from safetensors.torch import load_file

    if not isinstance(layer, Dense):
        return _Normalize()
    linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias)
    weights: dict[str, torch.Tensor] = {}
    try:
        for path in sorted((root / layer.folder).glob("*.safetensors")):
            weights |= load_file(path)
        linear.load_state_dict({n.removeprefix("linear."): w.float() for n, w in weights.items()})
    except Exception as error:  # noqa: BLE001 - what a damaged file raises has no common type
        raise InputError(f"{root / layer.folder} holds no weights of its Dense layer: {error}") from None
    return nn.Sequential(linear, getattr(nn, layer.activation)())


class TorchEmbedder:
    """An embedder run by torch in fp32, one batch at a time: the reference.

    Args:
        checkpoint: the embedder.
    """

    concurrency = 1

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._model = load_model(checkpoint)
        self._head = load_head(checkpoint)
        self._segments = takes_segments(self._model)
        self.n_dimensions = width_after(self._head, self._model.config.hidden_size)

    def facts(self) -> Mapping[str, Any]:
        return {"backend": "torch", "provider": "cpu"}

    def embeddings(self, batch: Batch) -> NDArray[np.float32]:
        vectors = run_module(self._model, batch, "cpu", segments=self._segments).last_hidden_state
        with torch.inference_mode():
            found = self._head(vectors.float(), torch.from_numpy(batch.attention_mask))
        return np.asarray(found.numpy(), dtype=np.float32)


def load_head(checkpoint: Checkpoint) -> Head:
    """The head of an embedder, ready to run."""
    assert checkpoint.embedder is not None
    head = Head(checkpoint.embedder)
    head.eval()
    return head


def width_after(head: Head, width: int) -> int:
    """Numbers of an embedding of token vectors of a width.

    Raises:
        InputError: a Dense layer does not take what the pooling gives.
    """
    try:
        with torch.inference_mode():
            return int(head(torch.ones(1, 1, width), torch.ones(1, 1, dtype=torch.int64)).shape[-1])
    except RuntimeError as error:
        raise InputError(f"the embedder's layers do not fit each other: {error}") from None


def write_head(checkpoint: Checkpoint, width: int, opset: int, target: Path) -> None:
    """Write an embedder's head as ONNX: token vectors of a width and the attention mask -> `embeddings`."""
    head = load_head(checkpoint)
    width_after(head, width)
    examples = {VECTORS: torch.ones(2, 9, width), "attention_mask": torch.ones(2, 9, dtype=torch.int64)}
    trace(head, examples, "embeddings", opset, target)
