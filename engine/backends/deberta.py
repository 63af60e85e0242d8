"""DeBERTa-v2 as a reward model, written for speed: the same function as transformers', with less work.

What weights alone decide is folded into constants (the projections of the relative embeddings, the scale of the
scores, the bias of the values); of the last layer only the first position is computed, the only one that the head
reads; and no score is gathered. A score's position terms depend on i - j alone, so for a block of h query rows
they are a product with S + h rows of a small table, of which every row is then shifted by one more column: a
reshape does that (`_shear`), where transformers picks every element by its index.

Shapes: b texts, s tokens (filled up to n blocks of h), H heads of d, D = H x d.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

_BLOCK = 128  # query rows of one position product: more waste columns, fewer products are larger
_MASKED = -3e4  # added to the score of a key that is padding; exact zero after softmax, finite in fp16
_FAR = 1 << 16
_OPSET = 17


class Blocks(NamedTuple):
    """How s tokens are cut: n blocks of h rows, and how many rows fill up the last."""

    n: Any
    h: Any
    filling: Any


class Distances(NamedTuple):
    """Places in the table of relative embeddings, shared by all layers.

    Attributes:
        queries: for query rows in blocks against all keys, int64, shape (n, s + h).
        keys: for key rows in blocks against all queries, int64, shape (n, s + h).
        first: for the first query against all keys, int64, shape (s,).
    """

    queries: torch.Tensor
    keys: torch.Tensor
    first: torch.Tensor


def refusal(config: Mapping[str, Any]) -> str | None:
    """Why a DeBERTa-v2 configuration has no fast graph; None if it has one."""
    if config.get("model_type") != "deberta-v2":
        return f"there is no fast graph for '{config.get('model_type', 'unknown')}'"
    width, heads = config.get("hidden_size", 1536), config.get("num_attention_heads", 24)
    if config.get("attention_head_size", width // heads) * heads != width:
        return f"no fast graph with attention_head_size {config['attention_head_size']}"
    if (kernel := config.get("conv_kernel_size") or 0) > 0 and kernel % 2 == 0:
        return f"no fast graph with a convolution of even width (conv_kernel_size {kernel})"
    buckets, reach = _spans(config)
    if config.get("relative_attention") and 0 < buckets and reach - 1 <= buckets // 2:
        return f"no fast graph with position_buckets {buckets} and max_relative_positions {reach}"
    return None


def _spans(config: Mapping[str, Any]) -> tuple[int, int]:
    """Its position buckets (or -1), and the distance beyond which positions are alike."""
    reach = config.get("max_relative_positions", -1)
    return config.get("position_buckets", -1), reach if reach > 0 else config.get("max_position_embeddings", 512)


def _distance_table(config: Mapping[str, Any]) -> torch.Tensor:
    """Distance t = i - j -> row of the relative embeddings, for t from -T to T, beyond which nothing changes.

    In the arithmetic of transformers, rounding included. Shape (2 T + 1,).
    """
    buckets, reach = _spans(config)
    t = torch.arange(-_FAR, _FAR + 1)
    span = reach
    if buckets > 0:
        span, mid = buckets, buckets // 2
        near = torch.where((t < mid) & (t > -mid), torch.tensor(mid - 1), t.abs())
        far = torch.log(near / mid) / torch.log(torch.tensor((reach - 1) / mid)) * (mid - 1)
        t = torch.where(near <= mid, t.float(), (torch.ceil(far) + mid) * torch.sign(t)).long()
    rows = torch.clamp(t + span, 0, 2 * span - 1)
    changes = torch.nonzero(rows[1:] != rows[:-1])[:, 0] - _FAR
    furthest = int(changes.abs().max()) + 1
    return rows[_FAR - furthest : _FAR + furthest + 1]


def _linear(weights: Mapping[str, torch.Tensor], name: str, scale: float = 1.0) -> nn.Linear:
    """A linear layer of the checkpoint, scaled."""
    weight, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight * scale if scale != 1 else weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias * scale, requires_grad=False)
    return layer


def _norm(weights: Mapping[str, torch.Tensor], name: str, eps: float) -> nn.LayerNorm:
    norm = nn.LayerNorm(len(weights[f"{name}.weight"]), eps)
    norm.weight = nn.Parameter(weights[f"{name}.weight"], requires_grad=False)
    norm.bias = nn.Parameter(weights[f"{name}.bias"], requires_grad=False)
    return norm


def _shear(products: torch.Tensor, rows: Any) -> torch.Tensor:
    """Shift row r of each block by r columns to the left of row 0: (..., h, s + h) -> (..., h, s).

    Out of a block's elements in a line, row r takes those from r (s + h - 1) + h - 1 on.
    """
    *outer, _, width = products.shape
    line = products.reshape(*outer, -1)[..., : rows * (width - 1)]
    return line.reshape(*outer, rows, width - 1)[..., rows - 1 :]


class Attention(nn.Module):
    """Disentangled self-attention, up to and with its output projection.

    Args:
        weights: of the checkpoint.
        name: of the layer in it.
        config: of the checkpoint.
        relative: the (normalised) relative embeddings, shape (r, D); None where there are none.
    """

    def __init__(
        self, weights: Mapping[str, torch.Tensor], name: str, config: Any, relative: torch.Tensor | None
    ) -> None:
        super().__init__()
        terms = config.pos_att_type or []
        own = not getattr(config, "share_att_key", False)
        self.n_heads = config.num_attention_heads
        self.size = config.hidden_size // self.n_heads
        scale = 1 / math.sqrt(self.size * (1 + ("c2p" in terms) + ("p2c" in terms)))
        name = f"{name}.attention"
        self.query = _linear(weights, f"{name}.self.query_proj", scale)
        self.key = _linear(weights, f"{name}.self.key_proj")
        value = _linear(weights, f"{name}.self.value_proj")
        self.output = _linear(weights, f"{name}.output.dense")
        shift = self.output.weight @ value.bias  # attention weights sum to 1: the values' bias passes through
        self.output.bias = nn.Parameter(self.output.bias + shift, requires_grad=False)
        self.value = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.value.weight = value.weight
        self.position_keys: torch.Tensor | None = None
        self.position_queries: torch.Tensor | None = None
        if relative is not None and "c2p" in terms:
            layer = _linear(weights, f"{name}.self.{'pos_key' if own else 'key'}_proj")
            self.position_keys = self._heads_of_table(layer(relative))
        if relative is not None and "p2c" in terms:
            layer = _linear(weights, f"{name}.self.{'pos_query' if own else 'query'}_proj", scale)
            self.position_queries = self._heads_of_table(layer(relative))

    def _heads_of_table(self, table: torch.Tensor) -> torch.Tensor:
        """(r, D) -> (H, r, d)."""
        return table.view(-1, self.n_heads, self.size).transpose(0, 1).contiguous()

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(b, s, D) -> (b, H, s, d)."""
        return x.reshape(*x.shape[:2], self.n_heads, self.size).transpose(1, 2)

    def _positions(
        self, x: torch.Tensor, table: torch.Tensor, places: torch.Tensor, blocks: Blocks
    ) -> torch.Tensor:
        """Products of every row with the table's row of its distance to every column.

        Args:
            x: queries or keys, shape (b, H, s, d).
            table: shape (H, r, d).
            places: shape (n, s + h).
            blocks: how s is cut.

        Returns:
            Shape (b, H, s, s).
        """
        n_texts, _, length, _ = x.shape
        rows = x.reshape(n_texts, self.n_heads, blocks.n, blocks.h, self.size)
        products = rows @ table[:, places].transpose(-1, -2)
        sheared = _shear(products, blocks.h)
        return sheared.reshape(n_texts, self.n_heads, length, length)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, places: Distances | None, blocks: Blocks
    ) -> torch.Tensor:
        """(b, s, D) and an additive mask (b, 1, 1, s) -> (b, s, D), before the residual."""
        queries, keys, values = self._heads(self.query(x)), self._heads(self.key(x)), self._heads(self.value(x))
        bias = mask
        if places is not None and self.position_queries is not None:
            back = self._positions(keys, self.position_queries, places.keys, blocks)
            bias = back.transpose(-1, -2) + bias
        if places is not None and self.position_keys is not None:
            bias = self._positions(queries, self.position_keys, places.queries, blocks) + bias
        scores = queries @ keys.transpose(-1, -2) + bias
        context = torch.softmax(scores, -1) @ values
        merged: torch.Tensor = self.output(context.transpose(1, 2).reshape(x.shape))
        return merged

    def first(self, x: torch.Tensor, mask: torch.Tensor, places: Distances | None) -> torch.Tensor:
        """The same for the first position alone: (b, s, D) -> (b, 1, D)."""
        n_texts = x.shape[0]
        query, keys = self._heads(self.query(x[:, :1])), self._heads(self.key(x))
        facing = query
        if places is not None and self.position_queries is not None:
            facing = query + self.position_queries[:, places.first]
        scores = (keys * facing).sum(-1).unsqueeze(2) + mask
        if places is not None and self.position_keys is not None:
            scores = scores + query @ self.position_keys[:, places.first].transpose(-1, -2)
        seen = torch.softmax(scores, -1) @ x.unsqueeze(1)  # (b, H, 1, D): weighted first, projected afterwards
        heads = self.value.weight.view(1, self.n_heads, self.size, -1)
        context = seen @ heads.transpose(-1, -2)
        merged: torch.Tensor = self.output(context.reshape(n_texts, 1, -1))
        return merged


class Layer(nn.Module):
    """One layer: attention and feed-forward, each added and normalised."""

    def __init__(
        self, weights: Mapping[str, torch.Tensor], name: str, config: Any, relative: torch.Tensor | None, act: Any
    ) -> None:
        super().__init__()
        self.attention = Attention(weights, name, config, relative)
        self.norm = _norm(weights, f"{name}.attention.output.LayerNorm", config.layer_norm_eps)
        self.up = _linear(weights, f"{name}.intermediate.dense")
        self.down = _linear(weights, f"{name}.output.dense")
        self.last_norm = _norm(weights, f"{name}.output.LayerNorm", config.layer_norm_eps)
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
        merged: torch.Tensor = self.last_norm(self.down(self.act(self.up(x))) + x)
        return merged


class Convolution(nn.Module):
    """The convolution beside the first layer (`conv_kernel_size`)."""

    def __init__(self, weights: Mapping[str, torch.Tensor], config: Any, act: Any) -> None:
        super().__init__()
        self.weight, self.bias = weights["deberta.encoder.conv.conv.weight"], weights["deberta.encoder.conv.conv.bias"]
        self.groups = getattr(config, "conv_groups", 1)
        self.norm = _norm(weights, "deberta.encoder.conv.LayerNorm", config.layer_norm_eps)
        self.act = act

    def forward(self, embedded: torch.Tensor, x: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Embeddings and the layer's output (b, s, D), 1.0 for a real token (b, s, 1) -> (b, s, D)."""
        padding = self.weight.shape[-1] // 2
        found = functional.conv1d(embedded.transpose(1, 2), self.weight, self.bias, padding=padding, groups=self.groups)
        found = self.act(found.transpose(1, 2) * real)
        merged: torch.Tensor = self.norm(x + found[:, : x.shape[1]]) * real[:, : x.shape[1]]
        return merged


class Embeddings(nn.Module):
    """Words, and where the configuration has them positions and segments; normalised, 0 where there is padding."""

    def __init__(self, weights: Mapping[str, torch.Tensor], config: Any) -> None:
        super().__init__()
        name = "deberta.embeddings"
        self.words = weights[f"{name}.word_embeddings.weight"]
        self.positions = weights.get(f"{name}.position_embeddings.weight")
        self.segments = weights.get(f"{name}.token_type_embeddings.weight")
        self.project = _linear(weights, f"{name}.embed_proj") if f"{name}.embed_proj.weight" in weights else None
        self.norm = _norm(weights, f"{name}.LayerNorm", config.layer_norm_eps)

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
        merged: torch.Tensor = self.norm(x) * real
        return merged


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
            Layer(weights, f"deberta.encoder.layer.{i}", config, relative, layer.intermediate.intermediate_act_fn)
            for i, layer in enumerate(encoder.layer)
        )
        act = type(model.pooler).forward.__globals__["ACT2FN"]
        self.convolution = Convolution(weights, config, act[encoder.conv.conv_act]) if encoder.conv else None
        self.pooler = _linear(weights, "pooler.dense")
        self.pooler_act = act[config.pooler_hidden_act]
        self.classifier = _linear(weights, "classifier")
        self.table = _distance_table(config.to_dict()) if relative is not None else None
        self.takes_segments = config.type_vocab_size > 1

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Ids, 1 for a real token, segments, int64, shape (b, s) each -> logits (b, 1)."""
        blocks = _cut(input_ids.shape[1])
        ids, real = (functional.pad(x, (0, blocks.filling)) for x in (input_ids, attention_mask))
        segments = None if token_type_ids is None else functional.pad(token_type_ids, (0, blocks.filling))
        weight = real.to(torch.float32)
        mask = ((1 - weight) * _MASKED)[:, None, None, :]
        places = None if self.table is None else self._places(blocks)
        x = embedded = self.embeddings(ids, segments, weight.unsqueeze(-1), blocks.filling)
        for i, layer in enumerate(self.layers):
            last = i == len(self.layers) - 1
            x = layer.first(x, mask, places) if last else layer(x, mask, places, blocks)
            if i == 0 and self.convolution is not None:
                x = self.convolution(embedded, x, weight.unsqueeze(-1))
        logits: torch.Tensor = self.classifier(self.pooler_act(self.pooler(x[:, 0])))
        return logits

    def _places(self, blocks: Blocks) -> Distances:
        """The table's rows for every distance in a batch of this length."""
        furthest = len(self.table) // 2
        columns = torch.arange(blocks.n * blocks.h + blocks.h)
        distances = (torch.arange(blocks.n) * blocks.h + blocks.h - 1).unsqueeze(-1) - columns
        distances = torch.clamp(distances, -furthest, furthest)
        first = torch.clamp(-torch.arange(blocks.n * blocks.h), min=-furthest)
        return Distances(*(self.table[t + furthest] for t in (distances, -distances, first)))


def _cut(length: Any) -> Blocks:
    n = (length + _BLOCK - 1) // _BLOCK
    h = (length + n - 1) // n
    return Blocks(n, h, n * h - length)


def write_graph(model: Any, target: Path) -> None:
    """Write the fast graph of a loaded model as ONNX, dynamic in batch and length.

    Args:
        model: transformers' `DebertaV2ForSequenceClassification`, in evaluation mode, in fp32.
        target: the file to write.
    """
    with torch.no_grad():
        fast = FastDeberta(model).eval()
        names = ["input_ids", "attention_mask"] + ["token_type_ids"] * fast.takes_segments
        torch.onnx.export(
            fast,
            tuple(torch.ones(2, 9, dtype=torch.int64) for _ in names),
            str(target),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in names} | {"logits": {0: "texts"}},
            opset_version=_OPSET,
            dynamo=False,  # tracing follows lengths as plain arithmetic, and needs no onnxscript
        )
