"""DeBERTa-v2 as a reward model, written for speed: the same function as transformers', with less work.

What weights alone decide is folded into constants (the projections of the relative embeddings, the scale of
the scores, the bias of the values), of the last layer only the first position is computed, the only one that
the head reads, and no score is gathered (`disentangled.py`).

Shapes: b texts, s tokens (filled up to n blocks of h), D = the model's width.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.activations import ACT2FN

from seal.engine.export import disentangled
from seal.engine.export.disentangled import Attention, Blocks, Distances, linear, norm
from seal.engine.export.onnx_graph import trace
from seal.engine.pooling.onnx import LARGE

_MASKED = -3e4  # added to the score of a key that is padding; exact zero after softmax, finite in fp16
_OPSET = 17


class Layer(nn.Module):
    """One layer: attention and feed-forward, each added and normalised."""

    def __init__(
        self, weights: Mapping[str, torch.Tensor], name: str, config: Any, relative: torch.Tensor | None,
        act: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = Attention(weights, name, config, relative)
        self.norm = norm(weights, f"{name}.attention.output.LayerNorm", config.layer_norm_eps)
        self.up = linear(weights, f"{name}.intermediate.dense")
        self.down = linear(weights, f"{name}.output.dense")
        self.last_norm = norm(weights, f"{name}.output.LayerNorm", config.layer_norm_eps)
        self.act = act

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, places: Distances | None, blocks: Blocks
    ) -> torch.Tensor:
        """(b, s, D) -> (b, s, D)."""
        return self._rest(x, self.attention(x, mask, places, blocks))

    def first(self, x: torch.Tensor, mask: torch.Tensor, places: Distances | None) -> torch.Tensor:
        """(b, s, D) -> (b, 1, D), the first position."""
        return self._rest(x[:, :1], self.attention.first(x, mask, places))

    def _rest(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        x = self.norm(attended + x)
        return self.last_norm(self.down(self.act(self.up(x))) + x)


class Convolution(nn.Module):
    """The convolution beside the first layer (`conv_kernel_size`)."""

    def __init__(self, weights: Mapping[str, torch.Tensor], config: Any, act: Any) -> None:
        super().__init__()
        name = "deberta.encoder.conv"
        self.weight, self.bias = (weights[f"{name}.conv.{part}"] for part in ("weight", "bias"))
        self.groups = getattr(config, "conv_groups", 1)
        self.norm = norm(weights, f"{name}.LayerNorm", config.layer_norm_eps)
        self.act = act

    def forward(self, embedded: torch.Tensor, x: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Embeddings and the layer's output (b, s, D), 1.0 for a real token (b, s, 1) -> (b, s, D)."""
        padding = self.weight.shape[-1] // 2
        found = functional.conv1d(
            embedded.transpose(1, 2), self.weight, self.bias, padding=padding, groups=self.groups
        )
        found = self.act(found.transpose(1, 2) * real)
        return self.norm(x + found[:, : x.shape[1]]) * real[:, : x.shape[1]]


class Embeddings(nn.Module):
    """Words, with positions and segments where the configuration has them; normalised, 0 for padding."""

    def __init__(self, weights: Mapping[str, torch.Tensor], config: Any) -> None:
        super().__init__()
        name = "deberta.embeddings"
        self.words = weights[f"{name}.word_embeddings.weight"]
        self.positions = weights.get(f"{name}.position_embeddings.weight")
        self.segments = weights.get(f"{name}.token_type_embeddings.weight")
        projects = f"{name}.embed_proj.weight" in weights
        self.project = linear(weights, f"{name}.embed_proj") if projects else None
        self.norm = norm(weights, f"{name}.LayerNorm", config.layer_norm_eps)

    def forward(
        self, ids: torch.Tensor, segments: torch.Tensor | None, real: torch.Tensor, filling: Any
    ) -> torch.Tensor:
        """Ids (b, s), segments (b, s), 1.0 for a real token (b, s, 1) -> (b, s, D)."""
        x = functional.embedding(ids, self.words)
        if self.positions is not None:  # of the real length: a text too long is an error, not a guess
            x = x + functional.pad(self.positions[: ids.shape[1] - filling], (0, 0, 0, filling))
        if self.segments is not None:
            x = x + (self.segments[0] if segments is None else functional.embedding(segments, self.segments))
        if self.project is not None:
            x = self.project(x)
        return self.norm(x) * real


class FastDeberta(nn.Module):
    """A reward model of transformers' `DebertaV2ForSequenceClassification`.

    Args:
        model: that model, in evaluation mode, in fp32; its weights are taken over.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        config, weights = model.config, model.state_dict()
        encoder = model.deberta.encoder
        relative = encoder.get_rel_embedding() if encoder.relative_attention else None
        self.embeddings = Embeddings(weights, config)
        self.layers = nn.ModuleList(
            Layer(weights, f"deberta.encoder.layer.{i}", config, relative, act)
            for i, act in enumerate(layer.intermediate.intermediate_act_fn for layer in encoder.layer)
        )
        self.convolution = (
            Convolution(weights, config, ACT2FN[encoder.conv.conv_act]) if encoder.conv else None
        )
        self.pooler = linear(weights, "pooler.dense")
        self.pooler_act = ACT2FN[config.pooler_hidden_act]
        self.classifier = linear(weights, "classifier")
        self.table = disentangled.distance_table(config.to_dict()) if relative is not None else None
        self.takes_segments = config.type_vocab_size > 1

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Ids, 1 for a real token, segments, int64, shape (b, s) each -> logits (b, 1)."""
        blocks = disentangled.cut(input_ids.shape[1])
        ids, real = (functional.pad(x, (0, blocks.filling)) for x in (input_ids, attention_mask))
        segments = None if token_type_ids is None else functional.pad(token_type_ids, (0, blocks.filling))
        weight = real.to(torch.float32)
        mask = ((1 - weight) * _MASKED)[:, None, None, :]
        places = None if self.table is None else disentangled.find_places(self.table, blocks)
        x = embedded = self.embeddings(ids, segments, weight.unsqueeze(-1), blocks.filling)
        for i, layer in enumerate(self.layers):
            last = i == len(self.layers) - 1
            x = layer.first(x, mask, places) if last else layer(x, mask, places, blocks)
            if i == 0 and self.convolution is not None:
                x = self.convolution(embedded, x, weight.unsqueeze(-1))
        return self.classifier(self.pooler_act(self.pooler(x[:, 0])))


def write_graph(model: Any, target: Path) -> None:
    """Write the fast graph of a loaded model as ONNX, dynamic in batch and length.

    Args:
        model: transformers' `DebertaV2ForSequenceClassification`, in evaluation mode, in fp32.
        target: the file to write.
    """
    with torch.no_grad():
        fast = FastDeberta(model).eval()
    large = sum(weight.nbytes for weight in model.parameters()) > LARGE
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * fast.takes_segments
    examples = {name: torch.ones(2, 9, dtype=torch.int64) for name in names}
    with tempfile.TemporaryDirectory(prefix="traced-", dir=target.parent) as aside:
        traced = Path(aside) / target.name if large else target
        trace(fast, examples, "logits", _OPSET, traced)
        if large:  # the tracer leaves one file a weight
            import onnx

            onnx.save(onnx.load(traced), target, save_as_external_data=True, location=f"{target.name}_data")
