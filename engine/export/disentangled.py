"""DeBERTa-v2's attention as products and one reshape: no score is gathered.

A score's position terms depend on i - j alone. So for a block of h query rows they are a product with s + h
rows of a small table, in which every row is then shifted by one more column: a reshape does that (`_shear`),
where transformers picks every element by its index.

Shapes: b texts, s tokens (filled up to n blocks of h), H heads of d, D = H x d; a table of r rows.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from seal.engine.export.deberta_config import spans

# Query rows of one position product: larger, and more columns are wasted; smaller, and it is slower.
_BLOCK = 128
_FAR = 1 << 16


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


def cut(length: Any) -> Blocks:
    """Blocks of about equal size, none above 128 rows: hardly a row is added."""
    n = (length + _BLOCK - 1) // _BLOCK
    h = (length + n - 1) // n
    return Blocks(n, h, n * h - length)


def distance_table(config: Mapping[str, Any]) -> torch.Tensor:
    """Distance t = i - j -> row of the relative embeddings, for t from -T to T, beyond which nothing changes.

    In the arithmetic of transformers, rounding included. Shape (2 T + 1,).
    """
    buckets, reach = spans(config)
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


def find_places(table: torch.Tensor, blocks: Blocks) -> Distances:
    """The relative embeddings' rows for every distance in a batch of this length.

    Column u of block k, before it is sheared, is at distance k h + h - 1 - u from the block's rows.
    """
    furthest = len(table) // 2
    columns = torch.arange(blocks.n * blocks.h + blocks.h)
    distances = (torch.arange(blocks.n) * blocks.h + blocks.h - 1).unsqueeze(-1) - columns
    distances = torch.clamp(distances, -furthest, furthest)
    first = torch.clamp(-torch.arange(blocks.n * blocks.h), min=-furthest)
    return Distances(*(table[t + furthest] for t in (distances, -distances, first)))


def linear(weights: Mapping[str, torch.Tensor], name: str, scale: float = 1.0) -> nn.Linear:
    """A linear layer of the checkpoint, scaled."""
    weight, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight * scale if scale != 1 else weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias * scale, requires_grad=False)
    return layer


def norm(weights: Mapping[str, torch.Tensor], name: str, eps: float) -> nn.LayerNorm:
    layer = nn.LayerNorm(len(weights[f"{name}.weight"]), eps)
    layer.weight = nn.Parameter(weights[f"{name}.weight"], requires_grad=False)
    layer.bias = nn.Parameter(weights[f"{name}.bias"], requires_grad=False)
    return layer


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
        self.query = linear(weights, f"{name}.self.query_proj", scale)
        self.key = linear(weights, f"{name}.self.key_proj")
        value = linear(weights, f"{name}.self.value_proj")
        self.output = linear(weights, f"{name}.output.dense")
        shift = self.output.weight @ value.bias  # attention weights sum to 1: the values' bias passes through
        self.output.bias = nn.Parameter(self.output.bias + shift, requires_grad=False)
        self.value = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.value.weight = value.weight

        def table(term: str, what: str, scale: float = 1.0) -> torch.Tensor | None:
            """The relative embeddings' projection, shape (H, r, d)."""
            if relative is None or term not in terms:
                return None
            projected = linear(weights, f"{name}.self.{'pos_' * own}{what}_proj", scale)(relative)
            return projected.view(-1, self.n_heads, self.size).transpose(0, 1).contiguous()

        self.position_keys = table("c2p", "key")
        self.position_queries = table("p2c", "query", scale)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(b, s, D) -> (b, H, s, d)."""
        return x.reshape(*x.shape[:2], self.n_heads, self.size).transpose(1, 2)

    def _positions(
        self, x: torch.Tensor, table: torch.Tensor, places: torch.Tensor, blocks: Blocks
    ) -> torch.Tensor:
        """Products of every row of x (b, H, s, d) with the row of the table (H, r, d) that stands for its
        distance to every column, at places (n, s + h) -> (b, H, s, s).
        """
        n_texts, _, length, _ = x.shape
        rows = x.reshape(n_texts, self.n_heads, blocks.n, blocks.h, self.size)
        products = rows @ table[:, places].transpose(-1, -2)
        return _shear(products, blocks.h).reshape(n_texts, self.n_heads, length, length)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, places: Distances | None, blocks: Blocks
    ) -> torch.Tensor:
        """(b, s, D) and an additive mask (b, 1, 1, s) -> (b, s, D), before the residual."""
        queries, keys, values = (self._heads(of(x)) for of in (self.query, self.key, self.value))
        bias = mask
        if places is not None and self.position_queries is not None:
            back = self._positions(keys, self.position_queries, places.keys, blocks)
            bias = back.transpose(-1, -2) + bias
        if places is not None and self.position_keys is not None:
            bias = self._positions(queries, self.position_keys, places.queries, blocks) + bias
        scores = queries @ keys.transpose(-1, -2) + bias
        context = torch.softmax(scores, -1) @ values
        return self.output(context.transpose(1, 2).reshape(x.shape))

    def first(self, x: torch.Tensor, mask: torch.Tensor, places: Distances | None) -> torch.Tensor:
        """The same for the first position alone: (b, s, D) -> (b, 1, D).

        The tokens are weighted before they become values: one projection a text in place of one a token.
        """
        seen = torch.softmax(self.first_scores(x, mask, places), -1) @ x
        context = seen.unsqueeze(2) @ self.value.weight.view(self.n_heads, self.size, -1).transpose(-1, -2)
        return self.output(context.reshape(x.shape[0], 1, -1))

    def first_scores(self, x: torch.Tensor, mask: torch.Tensor, places: Distances | None) -> torch.Tensor:
        """Scores of the first position with all: (b, s, D) -> (b, H, s)."""
        query, keys = self._heads(self.query(x[:, :1])), self._heads(self.key(x))
        facing = query
        if places is not None and self.position_queries is not None:
            facing = query + self.position_queries[:, places.first]
        scores = (keys * facing).sum(-1) + mask[:, :, 0]
        if places is not None and self.position_keys is not None:
            scores = scores + (query @ self.position_keys[:, places.first].transpose(-1, -2))[:, :, 0]
        return scores
