"""The fast graph of DeBERTa-v2: transformers' rewards for every variant that it takes, the others by name."""

import sys
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.errors import InputError
from seal.engine.export import deberta, disentangled
from seal.engine.export import exporting as module
from seal.engine.export.deberta_config import refusal
from seal.engine.export.exporting import export
from seal.engine.export.graphs import choose_graph, write_graph
from seal.engine.export.options import ExportOptions
from seal.engine.pooling.contract import Batch
from seal.engine.pooling.torch import TorchBackend
from tests.support.tiny import make_checkpoint

V3 = {
    "relative_attention": True,
    "position_buckets": 16,
    "max_position_embeddings": 64,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
    "num_attention_heads": 2,
}
ABSOLUTE = {"position_biased_input": True, "max_position_embeddings": 600}
VARIANTS = {
    "v3": {},
    "buckets of the true width": {"position_buckets": 256, "max_position_embeddings": 512},
    "an odd number of buckets": {"position_buckets": 15},
    "no buckets": {"position_buckets": -1},
    "no buckets, largest distance": {"position_buckets": -1, "max_relative_positions": 20},
    "buckets, largest distance": {"max_relative_positions": 40},
    "own position keys": {"share_att_key": False},
    "own position keys, c2p": {"share_att_key": False, "pos_att_type": ["c2p"]},
    "own position keys, p2c": {"share_att_key": False, "pos_att_type": ["p2c"]},
    "c2p": {"pos_att_type": ["c2p"]},
    "p2c": {"pos_att_type": ["p2c"]},
    "terms as text": {"pos_att_type": "c2p|p2c"},
    "no term": {"pos_att_type": []},
    "no norm of positions": {"norm_rel_ebd": "none"},
    "no relative positions": {"relative_attention": False} | ABSOLUTE,
    "positions added": ABSOLUTE,
    "convolution of 3": {"conv_kernel_size": 3, "conv_act": "gelu"},
    "convolution of 5, in groups": {"conv_kernel_size": 5, "conv_groups": 2},
    "convolution beside the only layer": {"conv_kernel_size": 3, "num_hidden_layers": 1},
    "one layer": {"num_hidden_layers": 1},
    "two segments": {"type_vocab_size": 2},
    "one segment": {"type_vocab_size": 1},
    "narrow embeddings": {"embedding_size": 16},
    "other activations": {"hidden_act": "gelu_new", "pooler_hidden_act": "tanh"},
    "pooler's own settings": {"hidden_act": "relu", "pooler_hidden_size": 32, "legacy": False},
}
REFUSED = {
    "conv_kernel_size 4": {"conv_kernel_size": 4},
    "attention_head_size 8 x 2 heads": {"attention_head_size": 8},
    "position_buckets 256 with distances to 64": {"position_buckets": 256},
}
LENGTHS = (3, 4, 17, 127, 128, 129, 130, 257, 511, 513)
LONGEST = 1500


class Graphs:
    """A checkpoint, its fast graph in onnxruntime, and transformers' own rewards."""

    def __init__(self, folder, settings):
        self.checkpoint = Checkpoint.open(
            make_checkpoint(folder / "m", "deberta-v2", seed=7, **V3 | settings)
        )
        write_graph(self.checkpoint, "fast", folder / "fast.onnx")
        self.graph = onnx.load(folder / "fast.onnx").graph
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(folder / "fast.onnx", options)
        self.reference = TorchBackend(self.checkpoint)

    def fast(self, batch):
        feeds = {i.name: getattr(batch, i.name) for i in self.session.get_inputs()}
        return self.session.run(None, feeds)[0][:, 0]

    def alone(self, batch):
        """Torch's reward of each text without the padding beside it."""
        lengths = batch.attention_mask.sum(1)
        each = [Batch(*(x[i : i + 1, :n] for x in vars(batch).values())) for i, n in enumerate(lengths)]
        return np.concatenate([self.reference.rewards(b) for b in each])


def random_batch(lengths, seed=0):
    """Texts of these lengths, padded to the longest; segments and ids at random."""
    rng, width = np.random.default_rng(seed), max(lengths)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int64)
    ids = rng.integers(5, 200, mask.shape) * mask
    return Batch(ids, mask, rng.integers(0, 2, mask.shape) * mask)


@pytest.fixture
def v3(tmp_path):
    return Graphs(tmp_path, {})


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_torchs_rewards_at_every_length_and_padded(tmp_path, name):
    graphs = Graphs(tmp_path, VARIANTS[name])
    assert refusal(graphs.checkpoint.config) is None
    longest = graphs.checkpoint.max_tokens or LONGEST
    batches = [random_batch([n, max(2, n // 2), 2], seed=n) for n in LENGTHS if n <= longest]
    batches.append(random_batch([longest], seed=1))
    expected = [graphs.alone(batch) for batch in batches]
    off = [np.abs(graphs.fast(b) - want).max() for b, want in zip(batches, expected, strict=True)]
    assert max(off) < 1e-4
    assert np.concatenate(expected).std() > 0.3, "rewards that are nearly alike would show no difference"
    assert not {"If", "Loop", "Scan"} & {node.op_type for node in graphs.graph.node}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_variant_without_a_fast_graph_is_named_and_gets_the_reference(reason):
    config = {"model_type": "deberta-v2", "hidden_size": 32} | V3 | REFUSED[reason]
    assert reason in refusal(config)
    for asked in (None, "fast"):
        graph, notes = choose_graph(asked, config)
        assert graph == "reference"
        assert len(notes) == 1
        assert reason in notes[0]
        assert notes[0].endswith("; the reference graph was exported")


@pytest.mark.parametrize("family", ["deberta", "bert", "electra"])
def test_another_family_gets_the_reference_and_a_note_only_if_fast_was_asked_for(family):
    assert choose_graph(None, {"model_type": family}) == ("reference", [])
    note = f"there is no fast graph for '{family}'; the reference graph was exported"
    assert choose_graph("fast", {"model_type": family}) == ("reference", [note])


@pytest.mark.parametrize("value", [None, "wide", [1], {}])
@pytest.mark.parametrize(
    "name", ["hidden_size", "position_buckets", "conv_kernel_size", "max_position_embeddings"]
)
def test_a_configuration_that_makes_no_sense_is_left_to_transformers(name, value):
    assert refusal({"model_type": "deberta-v2", **V3, name: value}) is None


@pytest.mark.parametrize(
    ("buckets", "reach"), [(256, 512), (16, 64), (15, 64), (8, 6), (32, 4000), (2, 100), (-1, 20), (-1, 512)]
)
def test_distances_fall_into_transformers_buckets(buckets, reach):
    from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

    table = disentangled.distance_table({"position_buckets": buckets, "max_relative_positions": reach})
    n = 3000
    line = torch.zeros(1, n, 1)
    distances = torch.arange(n)[:, None] - torch.arange(n)[None, :]
    found = build_relative_position(line, line, buckets, reach)[0]
    span = buckets if buckets > 0 else reach
    wanted = torch.clamp(found + span, 0, 2 * span - 1)
    half = len(table) // 2
    assert torch.equal(table[torch.clamp(distances, -half, half) + half], wanted)


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_shearing_shifts_each_row_by_one_more_column(rows):
    length = 9
    products = torch.randn(2, 3, rows, length + rows)
    found = disentangled._shear(products, rows)
    assert found.shape == (2, 3, rows, length)
    for r in range(rows):
        first = rows - 1 - r
        assert torch.equal(found[..., r, :], products[..., r, first : first + length])


@pytest.mark.parametrize("length", [1, 2, 127, 128, 129, 255, 256, 257, 1000, 4096])
def test_blocks_cover_a_text_and_add_hardly_a_row(length):
    n, h, filling = disentangled.cut(length)
    assert n * h == length + filling
    assert h <= 128
    assert 0 <= filling < n


def test_a_reward_does_not_depend_on_the_batch(v3):
    lengths = [140, 139, 60, 9, 3]
    batch = random_batch(lengths)
    together = v3.fast(batch)
    for i, n in enumerate(lengths):
        alone = Batch(*(x[i : i + 1, :n] for x in vars(batch).values()))
        assert v3.fast(alone) == pytest.approx(together[i : i + 1], abs=1e-5)
    order = np.array([3, 1, 4, 0, 2])
    shuffled = Batch(*(x[order] for x in vars(batch).values()))
    assert np.abs(v3.fast(shuffled) - together[order]).max() < 1e-5


def test_what_padding_holds_does_not_matter(v3):
    batch = random_batch([50, 20])
    other = Batch(
        np.where(batch.attention_mask, batch.input_ids, 77), batch.attention_mask, batch.token_type_ids
    )
    assert np.array_equal(v3.fast(batch), v3.fast(other))


def test_a_text_beyond_the_positions_is_an_error_and_no_guess(tmp_path):
    graphs = Graphs(tmp_path, ABSOLUTE)
    for n in (601, 602, 700):
        with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.Fail):
            graphs.fast(random_batch([n]))


def test_no_score_is_gathered_and_no_index_has_the_shape_of_the_scores(v3):
    operators = Counter(node.op_type for node in v3.graph.node)
    assert not {"GatherElements", "GatherND", "ScatterND", "Tile"} & operators.keys()
    assert operators["Softmax"] == 2
    assert operators["Erf"] == 3, "the feed-forward of each layer, and the head"


def test_a_graph_beyond_a_protobuf_file_lies_in_two(tmp_path, monkeypatch, v3):
    monkeypatch.setattr(deberta, "LARGE", 1)
    folder = tmp_path / "large"
    folder.mkdir()
    write_graph(v3.checkpoint, "fast", folder / "raw.onnx")
    assert sorted(p.name for p in folder.iterdir()) == ["raw.onnx", "raw.onnx_data"]
    session = onnxruntime.InferenceSession(folder / "raw.onnx")
    batch = random_batch([30])
    feeds = {i.name: getattr(batch, i.name) for i in session.get_inputs()}
    assert np.array_equal(session.run(None, feeds)[0][:, 0], v3.fast(batch))


def test_a_fast_export_needs_no_optimum_and_is_the_default(tmp_path, checkpoints, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "optimum"] + [
        "optimum",
        "optimum.exporters.onnx",
    ]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(module, "PARITY_LENGTHS", (5, 130))
    for asked in (None, "fast"):
        report = export(checkpoints["pre"], tmp_path / f"onnx-{asked}", ExportOptions(graph=asked))
        assert report.spec.graph == "fast"
        assert report.notes == []
        assert report.parity.max_abs_diff < 1e-4


def test_the_reference_stays_to_be_had_and_is_another_export(tmp_path, checkpoints, monkeypatch):
    monkeypatch.setattr(module, "PARITY_LENGTHS", (5, 130))
    report = export(checkpoints["pre"], tmp_path / "onnx", ExportOptions(graph="reference"))
    assert report.spec.graph == "reference"
    assert report.notes == []
    operators = {node.op_type for node in onnx.load(tmp_path / "onnx/model.onnx").graph.node}
    assert "GatherElements" in operators


def test_a_model_that_cannot_be_traced_is_refused(tmp_path, v3, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no tracing today")

    monkeypatch.setattr(torch.onnx, "export", broken)
    with pytest.raises(InputError, match="no fast graph of this 'deberta-v2': no tracing today"):
        write_graph(v3.checkpoint, "fast", tmp_path / "again.onnx")
