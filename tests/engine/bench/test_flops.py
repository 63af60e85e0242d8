"""Counts of operations against figures worked out by hand."""

import numpy as np
import pytest

from seal.engine.bench.flops import flops

V3_LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096, "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"], "position_buckets": 256, "max_position_embeddings": 512,
}  # fmt: skip
V3_BASE = V3_LARGE | {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072}
ELECTRA_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096}


def per_token(config, length):
    return flops(config, np.array([length])) / length


@pytest.mark.parametrize(
    ("config", "linear", "position", "attention"),
    [
        (V3_LARGE, 604e6, 50.3e6, 98_304),
        (V3_BASE, 170e6, 18.9e6, 36_864),
        (ELECTRA_LARGE, 604e6, 0, 98_304),
    ],
    ids=["v3-large", "v3-base", "electra-large"],
)
@pytest.mark.parametrize("length", [1, 64, 230, 512, 2000])
def test_published_shapes(config, linear, position, attention, length):
    assert per_token(config, length) == pytest.approx(linear + position + attention * length, rel=2e-3)


def test_a_pair_of_230_tokens_each_on_v3_large():
    assert flops(V3_LARGE, np.array([230, 230])) == pytest.approx(311e9, rel=2e-3)


@pytest.mark.parametrize(
    ("change", "products"),
    [({"pos_att_type": "c2p|p2c"}, 2), ({"pos_att_type": ["c2p"]}, 1), ({"pos_att_type": []}, 0),
     ({"pos_att_type": None}, 0), ({"relative_attention": False}, 0)],
)  # fmt: skip
def test_only_the_products_that_are_there_count(change, products):
    bare = per_token(V3_LARGE | {"relative_attention": False}, 100)
    assert per_token(V3_LARGE | change, 100) - bare == pytest.approx(products * 25.17e6, rel=1e-3)


@pytest.mark.parametrize(("relative", "columns"), [(-1, 1024), (128, 256)])
def test_without_buckets_the_span_is_the_largest_distance(relative, columns):
    config = V3_LARGE | {"position_buckets": -1, "max_relative_positions": relative}
    bare = per_token(V3_LARGE | {"relative_attention": False}, 100)
    assert per_token(config, 100) - bare == pytest.approx(2 * 24 * 2 * 1024 * columns)


def test_lengths_add_up():
    lengths = np.array([5, 70, 1], dtype=np.int32)
    assert flops(V3_BASE, lengths) == sum(flops(V3_BASE, np.array([n])) for n in lengths)
    assert flops(V3_BASE, np.empty(0, int)) == 0
