"""Tiny checkpoints of every family: exported with parity to torch, or refused by name."""

# ruff: noqa: E501 - the tables of families are easier to read with a line a family

import json
import os
import pickle
import shutil
from contextlib import suppress

import numpy as np
import onnx
import polars as pl
import pytest
import torch
from onnx import TensorProto, helper

from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.exported import load_spec
from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.export import exporting as module
from seal.engine.export import precision
from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.export.parity import describe, measure_parity
from seal.engine.files import file_sha256
from seal.engine.pooling import onnx as onnx_backend
from seal.engine.pooling.loading import load_models
from seal.engine.pooling.onnx import OnnxBackend
from seal.engine.pooling.tokenizing import PairEncoder
from seal.engine.pooling.torch import TorchBackend, load_tokenizer
from seal.engine.scoring.options import ScoreOptions
from seal.engine.scoring.scoring import score
from seal.engine.verify import verify
from tests.support.frames import random_texts, sentence, write
from tests.support.tiny import DEBERTA, FEW_LENGTHS, edit_config, make_checkpoint

V1 = {
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "position_biased_input": False,
    "max_position_embeddings": 64,
    "num_attention_heads": 2,
}
ROBERTA = {"kind": "roberta", "max_position_embeddings": 514}
DECODER = {"num_key_value_heads": 2, "max_position_embeddings": 700}
EXPORTED = {
    "deberta-v3": ("deberta-v2", DEBERTA),
    "deberta-v3, no buckets": ("deberta-v2", DEBERTA | {"position_buckets": -1}),
    "deberta-v3, largest distance": ("deberta-v2", DEBERTA | {"position_buckets": -1, "max_relative_positions": 20}),
    "deberta-v3, own position keys": ("deberta-v2", DEBERTA | {"share_att_key": False}),
    "deberta-v2, convolution of 3": ("deberta-v2", DEBERTA | {"conv_kernel_size": 3, "conv_act": "gelu"}),
    "deberta-v2, convolution of 5": ("deberta-v2", DEBERTA | {"conv_kernel_size": 5}),
    "deberta-v3, c2p": ("deberta-v2", DEBERTA | {"pos_att_type": ["c2p"]}),
    "deberta-v3, p2c": ("deberta-v2", DEBERTA | {"pos_att_type": ["p2c"]}),
    "deberta-v3, terms as text": ("deberta-v2", DEBERTA | {"pos_att_type": "c2p|p2c"}),
    "deberta-v3, no term": ("deberta-v2", DEBERTA | {"pos_att_type": []}),
    "deberta-v3, no norm of positions": ("deberta-v2", DEBERTA | {"norm_rel_ebd": "none"}),
    "deberta-v3, positions added": (
        "deberta-v2", DEBERTA | {"position_biased_input": True, "max_position_embeddings": 512}
    ),
    "deberta-v3, no relative positions": (
        "deberta-v2", DEBERTA | {"relative_attention": False, "position_biased_input": True}
    ),
    "deberta-v3, two segments": ("deberta-v2", DEBERTA | {"type_vocab_size": 2}),
    "deberta-v3, narrow embeddings": ("deberta-v2", DEBERTA | {"embedding_size": 16}),
    "deberta-v1": ("deberta", V1),
    "deberta-v1, largest distance": ("deberta", V1 | {"max_relative_positions": 20, "type_vocab_size": 2}),
    "deberta-v1, c2p": ("deberta", V1 | {"pos_att_type": ["c2p"]}),
    "deberta-v1, talking heads": ("deberta", V1 | {"talking_head": True}),
    "deberta-v1, positions added": ("deberta", {"num_attention_heads": 2}),
    "electra": ("electra", {"embedding_size": 16}),
    "bert": ("bert", {}),
    "bert, relative keys": ("bert", {"position_embedding_type": "relative_key_query"}),
    "roberta": ("roberta", ROBERTA),
    "roberta, padding 0": ("roberta", {"max_position_embeddings": 65, "type_vocab_size": 1}),
    "xlm-roberta": ("xlm-roberta", ROBERTA),
    "camembert": ("camembert", ROBERTA),
    "data2vec-text": ("data2vec-text", ROBERTA),
    "distilbert": ("distilbert", {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}),
    "albert": ("albert", {"embedding_size": 16}),
    "mpnet": ("mpnet", ROBERTA),
    "modernbert": ("modernbert", {"max_position_embeddings": 700, "local_attention": 16}),
    "modernbert, mean of all tokens": (
        "modernbert", {"max_position_embeddings": 700, "local_attention": 16, "classifier_pooling": "mean"}
    ),
    "megatron-bert": ("megatron-bert", {}),
    "mobilebert": (
        "mobilebert",
        {"embedding_size": 32, "intra_bottleneck_size": 32, "num_feedforward_networks": 1, "true_hidden_size": 32},
    ),
    "squeezebert": ("squeezebert", {"embedding_size": 32}),
    "ibert": ("ibert", ROBERTA),
    "esm": ("esm", {"max_position_embeddings": 514, "position_embedding_type": "absolute"}),
    "roformer": ("roformer", {"embedding_size": 16}),
    "rembert": ("rembert", {"input_embedding_size": 16, "output_embedding_size": 16}),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4}),
    "qwen2": ("qwen2", DECODER),
    "qwen3": ("qwen3", DECODER | {"head_dim": 8}),
    "llama": ("llama", DECODER),
    "mistral": ("mistral", DECODER),
    "gemma": ("gemma", DECODER | {"head_dim": 8}),
    "gemma2": ("gemma2", DECODER | {"head_dim": 8}),
    "phi": ("phi", DECODER | {"num_key_value_heads": 4}),
    "phi3": ("phi3", DECODER),
    "smollm3": ("smollm3", DECODER),
    "opt": ("opt", {"ffn_dim": 64, "max_position_embeddings": 700, "word_embed_proj_dim": 32}),
    "gpt_neox": ("gpt_neox", {"max_position_embeddings": 700}),
    "bloom": ("bloom", {"n_head": 4, "n_layer": 2}),
}  # fmt: skip
REFUSED = {
    "convbert": ({"embedding_size": 16}, r"\(convbert\) does not give torch's rewards.*\(padded batch\)"),
    "nystromformer": ({}, r"\(nystromformer\) does not give torch's rewards.*\(padded batch\)"),
    "big_bird": ({"max_position_embeddings": 1024}, r"\(big_bird\) does not give torch's rewards"),
    "flaubert": ({"emb_dim": 32, "n_heads": 4, "n_layers": 2}, r"\(flaubert\) does not give torch's rewards"),
    "xlm": ({"emb_dim": 32, "n_heads": 4, "n_layers": 2}, r"\(xlm\) does not give torch's rewards"),
    "longformer": ({"attention_window": 16}, "'longformer' cannot be exported: its graph wants global_attention_mask"),
    "roberta": ({}, r"\(roberta\) does not give torch's rewards"),  # has two segments; optimum's graph takes one
    "xlnet": ({"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}, "optimum exports no 'xlnet' sequence"),
    "ernie": ({}, "optimum exports no 'ernie' sequence classifier"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _few_lengths(monkeypatch):
    monkeypatch.setattr(module, "PARITY_LENGTHS", FEW_LENGTHS)


def made(tmp_path, family, settings):
    return make_checkpoint(tmp_path / "checkpoint", family, seed=7, **settings)


def every_length(limit):
    """Pairs of texts from one word to beyond the longest case of the export's own report."""
    rng = np.random.default_rng(11)
    n_words = [1, 2, 3, 9, 40, 150, 260, 460]
    prompts = ["\n\nHuman: " + sentence(rng, n) + "\n\nAssistant:" for n in n_words]
    return prompts, [" " + sentence(rng, max(1, n // 3)) for n in n_words]


@pytest.mark.parametrize(
    ("name", "graph"),
    [(n, None) for n in EXPORTED] + [(n, "reference") for n in EXPORTED if EXPORTED[n][0] == "deberta-v2"],
)
def test_an_exported_family_gives_torchs_rewards_at_every_length_and_padded(tmp_path, name, graph):
    folder = made(tmp_path, *EXPORTED[name])
    report = export(folder, tmp_path / "onnx", ExportOptions(graph=graph))
    assert report.spec.graph == (graph or ("fast" if EXPORTED[name][0] == "deberta-v2" else "reference"))
    assert report.parity.max_abs_diff < 1e-4
    assert report.spec.architecture == EXPORTED[name][0]
    limit = report.spec.max_tokens
    longest = max(case["longest"] for case in report.parity.cases)
    assert longest == (limit or FEW_LENGTHS[-1])
    assert limit is not None or longest > 512
    checkpoint = Checkpoint.open(folder)
    tokenizer_json, pad_token_id = load_tokenizer(checkpoint)
    reference, graph = TorchBackend(checkpoint), OnnxBackend(report.folder, "cpu", threads=1)
    for template in ("pair", "concat"):
        texts = PairEncoder(tokenizer_json, template, limit or 4096).encode(*every_length(limit))
        alone = [reference.rewards(texts.batch(np.array([i]), pad_token_id)) for i in range(8)]
        alone = np.concatenate(alone)
        assert alone.std() > 0.3, "rewards that are nearly alike would show no difference"
        padded = graph.rewards(texts.batch(np.arange(8), pad_token_id))
        assert np.abs(padded - alone).max() < 1e-4
        assert limit is not None or texts.lengths.max() > 600


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_would_be_wrong_is_refused_by_name(tmp_path, family):
    settings, reason = REFUSED[family]
    folder = made(tmp_path, family, settings)
    with pytest.raises(InputError, match=reason):
        export(folder, tmp_path / "onnx", ExportOptions())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint"]


@pytest.mark.parametrize("template", ["pair", "concat"])
@pytest.mark.parametrize(
    "name", ["deberta-v3", "deberta-v3, two segments", "electra", "roberta", "distilbert"]
)
def test_scored_texts_have_torchs_rewards_under_both_templates(tmp_path, name, template):
    family, settings = EXPORTED[name]
    folder = made(
        tmp_path, family, settings | ({} if family == "deberta-v2" else {"max_position_embeddings": 66})
    )
    export(folder, tmp_path / "onnx", ExportOptions(pair_template=template))
    frame = random_texts(12, longest=50)
    texts = write(frame, tmp_path / "texts.parquet")
    score(texts, {"m": tmp_path / "onnx"}, tmp_path / "scores", ScoreOptions(max_batch_tokens=200))
    scores = pl.read_parquet(tmp_path / "scores/part-00000.parquet")
    checkpoint = Checkpoint.open(folder)
    tokenizer_json, pad_token_id = load_tokenizer(checkpoint)
    reference = TorchBackend(checkpoint)
    encoded = PairEncoder(tokenizer_json, template, checkpoint.max_tokens or 4096).encode(
        frame["prompt"].to_list(), frame["response"].to_list()
    )
    alone = [reference.rewards(encoded.batch(np.array([i]), pad_token_id))[0] for i in range(24)]
    assert np.abs(scores["reward"].to_numpy() - alone).max() < 1e-4
    assert scores["reward"].std() > 0.3
    assert scores["n_tokens"].to_list() == encoded.lengths.tolist()
    assert scores["truncated"].to_list() == encoded.truncated.tolist()
    assert scores["truncated"].any() == (checkpoint.max_tokens is not None)


def test_the_folder_says_what_it_was_made_of(tmp_path, checkpoints):
    report = export(checkpoints["pre"], tmp_path / "onnx", ExportOptions())
    spec = load_spec(tmp_path / "onnx")
    assert spec == report.spec.__class__(**{**vars(report.spec), "files": spec.files})
    assert sorted(spec.files) == ["config.json", "model.onnx", "tokenizer.json"]
    assert spec.weights_sha256 == {"model.safetensors": file_sha256(checkpoints["pre"] / "model.safetensors")}
    assert (spec.precision, spec.graph, spec.max_tokens, spec.pad_token_id) == ("fp32", "fast", None, 0)
    assert {"torch", "transformers", "onnxruntime", "optimum-onnx"} <= spec.versions.keys()
    assert spec.parity["tolerance"] == 1e-4
    assert verify(tmp_path / "onnx").changed == []
    assert "600 tokens" in describe(report.parity)
    assert "padded batch" in describe(report.parity)
    assert not list(tmp_path.glob(".export-*"))


def test_parity_texts_have_the_lengths_they_are_named_after(tmp_path):
    folder = made(tmp_path, "roberta", ROBERTA)
    report = export(folder, tmp_path / "onnx", ExportOptions())
    named = [case for case in report.parity.cases if case["case"] != "padded batch"]
    assert [f"{case['longest']} tokens" for case in named] == [case["case"] for case in named]
    assert [case["longest"] for case in named] == [5, 17, 130, 512]


def test_exporting_again_leaves_what_stands(tmp_path, checkpoints):
    export(checkpoints["pre"], tmp_path / "onnx", ExportOptions())
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "onnx").iterdir()}
    report = export(checkpoints["pre"], tmp_path / "onnx", ExportOptions())
    assert report.notes == ["exported before; nothing to do"]
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "onnx").iterdir()} == before


def test_another_export_in_the_folder_is_refused_and_replaced_only_when_told(tmp_path, checkpoints):
    export(checkpoints["pre"], tmp_path / "onnx", ExportOptions())
    others = [
        ("post", ExportOptions(), "weights_sha256.model.safetensors: .* there, .* now"),
        ("pre", ExportOptions(pair_template="concat"), 'pair_template: "pair" there, "concat" now'),
    ]
    for model, options, difference in others:
        said = rf"holds another export \({difference}\); choose another folder, or overwrite"
        with pytest.raises(ResumeError, match=said):
            export(checkpoints[model], tmp_path / "onnx", options)
    report = export(checkpoints["post"], tmp_path / "onnx", ExportOptions(), overwrite=True)
    assert report.spec.weights_sha256 == load_spec(tmp_path / "onnx").weights_sha256
    assert verify(tmp_path / "onnx").changed == []


def test_the_same_weights_with_another_tokenizer_or_configuration_are_another_export(tmp_path, checkpoints):
    folder = shutil.copytree(checkpoints["short"], tmp_path / "m")
    export(folder, tmp_path / "onnx", ExportOptions())
    original = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(original.replace('"lowercase": false', '"lowercase": true'))
    with pytest.raises(ResumeError, match="holds another export"):
        export(folder, tmp_path / "onnx", ExportOptions())
    (folder / "tokenizer.json").write_text(original)
    edit_config(folder, layer_norm_eps=1e-3)
    with pytest.raises(ResumeError, match="holds another export"):
        export(folder, tmp_path / "onnx", ExportOptions())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_never_replaced(tmp_path, checkpoints, overwrite):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx/thesis.txt").write_text("years of work")
    with pytest.raises(ResumeError, match="is not empty and holds no export; choose another folder"):
        export(checkpoints["pre"], tmp_path / "onnx", ExportOptions(), overwrite=overwrite)
    assert (tmp_path / "onnx/thesis.txt").read_text() == "years of work"


# Wrong graphs


def wrong_graph(change):
    write_graph = module._write_graph

    def write_it_wrong(checkpoint, graph, target, aside, precision):
        write_graph(checkpoint, graph, target, aside, precision)
        model = onnx.load(target)
        change(model)
        onnx.save(model, target)

    return write_it_wrong


def _shift(model):
    head = next(t for t in model.graph.initializer if "classifier.bias" in t.name)
    head.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(head) + 1e-3, head.name))


def _not_a_number(model):
    head = next(t for t in model.graph.initializer if "classifier.bias" in t.name)
    head.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(head) * np.nan, head.name))


@pytest.mark.parametrize("change", [_shift, _not_a_number])
def test_a_graph_with_wrong_rewards_is_refused_and_nothing_is_written(
    tmp_path, checkpoints, monkeypatch, change
):
    monkeypatch.setattr(module, "_write_graph", wrong_graph(change))
    with pytest.raises(
        InputError, match=r"does not give torch's rewards: largest difference.*nothing was written"
    ):
        export(checkpoints["short"], tmp_path / "onnx", ExportOptions())
    assert list(tmp_path.iterdir()) == []


def test_a_looser_tolerance_may_be_asked_for(tmp_path, checkpoints, monkeypatch):
    monkeypatch.setattr(module, "_write_graph", wrong_graph(_shift))
    report = export(checkpoints["short"], tmp_path / "onnx", ExportOptions(tolerance=1e-2))
    assert 5e-4 < report.parity.max_abs_diff < 2e-3


class _OnlyRightAt17:
    concurrency = 1

    def __init__(self, reference):
        self._reference = reference

    def rewards(self, batch):
        return self._reference.rewards(batch) + np.float32(0.01 * (batch.width != 17))


def test_a_graph_right_at_one_length_only_does_not_pass(checkpoints):
    checkpoint = Checkpoint.open(checkpoints["short"])
    reference = TorchBackend(checkpoint)
    tokenizer_json, pad = load_tokenizer(checkpoint)
    wrong = _OnlyRightAt17(reference)
    parity = measure_parity(
        reference.rewards, wrong.rewards, tokenizer_json, "pair", 64, pad, 1e-4, FEW_LENGTHS
    )
    assert not parity.passed
    assert {c["case"] for c in parity.cases if c["diff"] < 1e-4} == {"17 tokens"}


# Half precision


def test_fp16_is_close_says_how_close_and_scores_on_a_cpu(tmp_path, checkpoints, exported):
    report = export(checkpoints["pre"], tmp_path / "half", ExportOptions(precision="fp16"))
    assert 1e-6 < report.parity.max_abs_diff < 2e-2
    assert report.spec.precision == "fp16"
    assert report.parity.tolerance == 2e-2
    types = {t.data_type for t in onnx.load(tmp_path / "half/model.onnx").graph.initializer}
    assert TensorProto.FLOAT16 in types
    texts = write(random_texts(10), tmp_path / "texts.parquet")
    models = {"full": exported["pre"], "half": tmp_path / "half"}
    score(texts, models, tmp_path / "scores")
    rewards = pl.read_parquet(tmp_path / "scores/part-00000.parquet").pivot(
        "model", index=["row_id", "preference"], values="reward"
    )
    off = (rewards["full"] - rewards["half"]).abs()
    assert off.max() < 2e-2
    assert off.max() > 0
    half = rewards["half"].to_numpy()
    assert (half.astype(np.float16) != half).mean() > 0.9, (
        "the head is in fp32: rewards lie on no grid of fp16"
    )


def test_a_large_model_in_fp16_has_its_weights_in_a_file_beside_it(tmp_path, checkpoints, monkeypatch):
    whole = export(checkpoints["pre"], tmp_path / "whole", ExportOptions(precision="fp16"))
    monkeypatch.setattr(precision, "LARGE", 1000)
    large = export(checkpoints["pre"], tmp_path / "large", ExportOptions(precision="fp16"))
    assert (tmp_path / "large/model.onnx_data").stat().st_size > 10_000
    assert large.parity.max_abs_diff == whole.parity.max_abs_diff
    assert "model.onnx_data" in load_spec(tmp_path / "large").files


# Integers


@pytest.fixture
def int8(tmp_path, checkpoints):
    return export(checkpoints["pre"], tmp_path / "int8", ExportOptions(precision="int8", tolerance=1.0))


@pytest.mark.parametrize("vnni", [True, False])
def test_int8_says_how_far_off_it_is_and_scores(tmp_path, checkpoints, exported, monkeypatch, vnni):
    saturates = vnni and not precision.has_vnni()  # 8 bits on a processor that lacks VNNI
    for owner in (precision, onnx_backend):
        monkeypatch.setattr(owner, "has_vnni", lambda: vnni)
    options = ExportOptions(precision="int8", tolerance=10.0 if saturates else 1.0)
    report = export(checkpoints["pre"], tmp_path / "int8", options)
    assert 1e-4 < report.parity.max_abs_diff < options.tolerance
    assert load_spec(tmp_path / "int8").parity["flipped_pairs"] == report.parity.flipped_pairs
    assert "pairs flipped" in describe(report.parity)
    weights = [
        t
        for t in onnx.load(tmp_path / "int8/model.onnx").graph.initializer
        if t.data_type == TensorProto.INT8
    ]
    largest = max(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max() for t in weights if t.dims)
    assert largest <= (127 if vnni else 64)
    assert largest > (64 if vnni else 32)
    texts = write(random_texts(10), tmp_path / "texts.parquet")
    score(texts, {"full": exported["pre"], "int8": tmp_path / "int8"}, tmp_path / "scores")
    rewards = pl.read_parquet(tmp_path / "scores/part-00000.parquet").pivot(
        "model", index=["row_id", "preference"], values="reward"
    )
    assert 0 < (rewards["full"] - rewards["int8"]).abs().max() < options.tolerance


def test_int8_is_held_to_a_tolerance_like_every_precision(tmp_path, checkpoints):
    with pytest.raises(
        InputError, match=r"does not give torch's rewards: .*allowed 1e-06; nothing was written"
    ):
        export(checkpoints["pre"], tmp_path / "int8", ExportOptions(precision="int8", tolerance=1e-6))
    assert ExportOptions(precision="int8").allowed("reward") == 0.1


def test_int8_made_for_vnni_is_refused_where_sums_would_saturate(int8, monkeypatch):
    model = onnx.load(int8.folder / "model.onnx")
    onnx.helper.set_model_props(model, {"seal.int8": "8 bits"})
    onnx.save(model, int8.folder / "model.onnx")
    monkeypatch.setattr(onnx_backend, "has_vnni", lambda: False)
    with pytest.raises(InputError, match="quantised for a CPU with VNNI, which this one lacks"):
        onnx_backend.OnnxBackend(int8.folder, "cpu")
    monkeypatch.setattr(onnx_backend, "has_vnni", lambda: True)
    onnx_backend.OnnxBackend(int8.folder, "cpu")


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_int8_on_a_gpu_is_refused_by_name(int8, monkeypatch, device):
    monkeypatch.setattr(onnx_backend, "choose_device", lambda _: device)
    with pytest.raises(
        UsageError, match="int8 is int8, which is for CPUs: take the device cpu, or export in fp16"
    ):
        load_models({"m": int8.folder}, device)


def test_a_graph_without_weights_to_quantise_is_refused_by_name(tmp_path):
    one = [onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    out = [onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])]
    graph = onnx.helper.make_graph([node], "plain", one, out)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), tmp_path / "a.onnx"
    )
    with pytest.raises(InputError, match="precision int8: the graph has no product with weights"):
        precision.quantize(tmp_path / "a.onnx", tmp_path / "b.onnx")


def test_a_family_without_a_fast_graph_gets_the_reference_and_is_told(tmp_path, checkpoints):
    report = export(checkpoints["short"], tmp_path / "onnx", ExportOptions(graph="fast"))
    assert report.spec.graph == "reference"
    assert report.notes == ["there is no fast graph for 'bert'; the reference graph was exported"]


# Folders that are refused


@pytest.fixture
def checkpoint(tmp_path, checkpoints):
    return shutil.copytree(checkpoints["short"], tmp_path / "m")


def refused(folder, tmp_path, reason, **options):
    with pytest.raises(InputError, match=reason) as caught:
        export(folder, tmp_path / "onnx", ExportOptions(**options))
    assert not (tmp_path / "onnx").exists()
    assert not list(tmp_path.glob(".export-*"))
    return str(caught.value)


def test_a_name_that_is_no_folder(tmp_path):
    refused(
        tmp_path / "org/model", tmp_path, "is not a folder here, and nothing is ever fetched: download it on"
    )


def test_no_configuration(checkpoint, tmp_path):
    (checkpoint / "config.json").unlink()
    refused(checkpoint, tmp_path, r"holds no config\.json: is it a model folder\?")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00"])
def test_a_configuration_that_is_no_json_object(checkpoint, tmp_path, text):
    (checkpoint / "config.json").write_text(text)
    refused(checkpoint, tmp_path, r"config\.json (cannot be read|is not a JSON object)")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_remote_code(checkpoint, tmp_path, file):
    edit_config(checkpoint, file, auto_map={"AutoConfig": "evil.Evil"})
    (checkpoint / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    refused(checkpoint, tmp_path, r"asks for its own Python code \('auto_map'")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id2label": {"0": "bad", "1": "good"}}, "transformers cannot load .*size mismatch"),
        ({"id2label": None}, "transformers cannot load .*size mismatch"),
        (
            {"id2label": {"1": "good"}},
            "config.json: id2label is .*; a name for each logit 0, 1, ... is needed",
        ),
        ({"num_labels": "many"}, "num_labels is 'many'; a whole number is needed"),
        ({"architectures": ["BertForMaskedLM"]}, "is a BertForMaskedLM, not a sequence classifier"),
        ({"model_type": "unheard-of"}, "transformers cannot load"),
        ({"model_type": None}, "transformers cannot load|no tokenizer can be read"),
        ({"hidden_size": 48}, "transformers cannot load"),
        ({"hidden_size": "wide"}, "transformers cannot load"),
        ({"hidden_act": "unheard-of"}, "transformers cannot load"),
    ],
)
def test_a_configuration_that_does_not_fit(checkpoint, tmp_path, changes, reason):
    edit_config(checkpoint, **changes)
    refused(checkpoint, tmp_path, reason)


def test_missing_head_weights(checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    weights = load_file(checkpoint / "model.safetensors")
    kept = {k: v for k, v in weights.items() if "classifier" not in k}
    save_file(kept, checkpoint / "model.safetensors", metadata={"format": "pt"})
    refused(
        checkpoint, tmp_path, r"lacks the weights classifier\.bias, classifier\.weight: transformers would"
    )


@pytest.mark.parametrize("data", [b"", b"garbage" * 99, b"\xff" * 8])
def test_damaged_weights(checkpoint, tmp_path, data):
    (checkpoint / "model.safetensors").write_bytes(data)
    refused(checkpoint, tmp_path, "is no safetensors file")


def test_cut_weights(checkpoint, tmp_path):
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(checkpoint, tmp_path, "transformers cannot load")


def test_no_weights(checkpoint, tmp_path):
    (checkpoint / "model.safetensors").unlink()
    refused(checkpoint, tmp_path, r"holds no \*\.safetensors weights")


def test_no_tokenizer(checkpoint, tmp_path):
    for path in checkpoint.glob("*token*"):
        path.unlink()
    refused(checkpoint, tmp_path, "no tokenizer can be read from|has no fast tokenizer")


@pytest.mark.parametrize("text", ["", "{}", '{"model": 3}'])
def test_a_damaged_tokenizer(checkpoint, tmp_path, text):
    (checkpoint / "tokenizer.json").write_text(text)
    refused(checkpoint, tmp_path, "no tokenizer can be read from")


def test_a_tokenizer_without_padding(checkpoint, tmp_path):
    edit_config(checkpoint, "tokenizer_config.json", pad_token=None)
    (checkpoint / "special_tokens_map.json").unlink()
    refused(checkpoint, tmp_path, "has no padding token")


# Pickled weights


def pickled(checkpoint):
    from safetensors.torch import load_file

    torch.save(load_file(checkpoint / "model.safetensors"), checkpoint / "pytorch_model.bin")
    (checkpoint / "model.safetensors").unlink()
    return checkpoint


def test_pickled_weights_are_refused_unless_converted(checkpoint, tmp_path, checkpoints):
    hint = r"holds pickled weights only \(pytorch_model\.bin\).*set convert"
    refused(pickled(checkpoint), tmp_path, hint)
    report = export(checkpoint, tmp_path / "onnx", ExportOptions(convert=True))
    assert report.parity.passed
    again = export(checkpoints["short"], tmp_path / "direct", ExportOptions())
    assert again.parity == report.parity
    assert not (checkpoint / "model.safetensors").exists(), "the user's folder stays as it is"


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", ["torch", "pickle", "inside"])
def test_a_malicious_pickle_does_not_run(checkpoint, tmp_path, protocol):
    (checkpoint / "model.safetensors").unlink()
    evil = Malicious(tmp_path / "ran")
    path = checkpoint / "pytorch_model.bin"
    if protocol == "pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        torch.save({"classifier.weight": evil} if protocol == "inside" else evil, path)
    refused(checkpoint, tmp_path, "is not plain tensors, and is not loaded", convert=True)
    assert not (tmp_path / "ran").exists()
    with suppress(RuntimeError):
        torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists(), "the trap is a real one"


@pytest.mark.parametrize(
    "content", [torch.zeros(3), {"state_dict": {"x": torch.zeros(3)}}, [torch.zeros(3)], {"x": 3}]
)
def test_pickles_of_another_form_are_refused(checkpoint, tmp_path, content):
    (checkpoint / "model.safetensors").unlink()
    torch.save(content, checkpoint / "pytorch_model.bin")
    refused(checkpoint, tmp_path, "is not plain tensors", convert=True)


def test_nothing_to_convert(checkpoint, tmp_path):
    refused(checkpoint, tmp_path, r"holds no pytorch_model\*\.bin to convert", convert=True)


# Exported folders that were changed


@pytest.fixture
def onnx_folder(tmp_path, exported):
    return shutil.copytree(exported["short"], tmp_path / "onnx")


def scoring_refuses(folder, tmp_path, reason):
    texts = write(random_texts(2), tmp_path / "texts.parquet")
    with pytest.raises(InputError, match=reason):
        score(texts, {"m": folder}, tmp_path / "scores")


def reseal(folder):
    """Write the hashes again, as somebody would who changed the folder on purpose."""
    spec = load_spec(folder)
    spec.save(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_changed_file(onnx_folder, tmp_path, name):
    with (onnx_folder / name).open("ab") as file:
        file.write(b" ")
    scoring_refuses(onnx_folder, tmp_path, f"{name} changed since the export; export again")


def test_a_missing_file(onnx_folder, tmp_path):
    (onnx_folder / "model.onnx").unlink()
    scoring_refuses(onnx_folder, tmp_path, r"model\.onnx changed since the export")


def test_garbage_under_a_right_hash(onnx_folder, tmp_path):
    (onnx_folder / "model.onnx").write_bytes(b"garbage")
    reseal(onnx_folder)
    scoring_refuses(onnx_folder, tmp_path, r"onnxruntime refuses .*model\.onnx")


@pytest.mark.parametrize("place", ["../outside", "absolute", "../../outside", "link"])
def test_weights_that_lie_outside_the_folder(onnx_folder, tmp_path, place):
    path = onnx_folder / "model.onnx"
    model = onnx.load(path)
    outside = tmp_path / "outside"
    outside.write_bytes(b"\0" * 10_000_000)
    if place == "absolute":
        place = str(outside)
    elif place == "link":
        (onnx_folder / "link").symlink_to(outside)
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    n_bytes = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in [("location", place), ("offset", "0"), ("length", str(n_bytes))]:
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    reseal(onnx_folder)
    scoring_refuses(onnx_folder, tmp_path, r"model\.onnx")


def test_an_operator_of_another_library(onnx_folder, tmp_path):
    path = onnx_folder / "model.onnx"
    model = onnx.load(path)
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [f"{o}_before" if o == output else o for o in node.output]
    model.graph.node.append(helper.make_node("Payload", [f"{output}_before"], [output], domain="evil.ops"))
    model.opset_import.append(helper.make_opsetid("evil.ops", 1))
    path.write_bytes(model.SerializeToString())
    reseal(onnx_folder)
    scoring_refuses(onnx_folder, tmp_path, r"onnxruntime refuses .*evil\.ops")


def test_an_input_that_no_text_has(onnx_folder, tmp_path):
    path = onnx_folder / "model.onnx"
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("position_ids", TensorProto.INT64, ["b", "s"]))
    path.write_bytes(model.SerializeToString())
    reseal(onnx_folder)
    scoring_refuses(onnx_folder, tmp_path, r"wants position_ids; a reward model may want input_ids")


def test_more_than_one_logit(onnx_folder, tmp_path):
    path = onnx_folder / "model.onnx"
    model = onnx.load(path)
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [f"{o}_before" if o == output else o for o in node.output]
    twice = helper.make_node("Concat", [f"{output}_before"] * 2, [output], axis=1)
    model.graph.node.append(twice)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    path.write_bytes(model.SerializeToString())
    reseal(onnx_folder)
    scoring_refuses(onnx_folder, tmp_path, r"gives \(\d+, 2\) for \d+ texts, not one logit each")


@pytest.mark.parametrize(
    "changes",
    [
        {"pair_template": "three"},
        {"max_tokens": "many"},
        {"max_tokens": -1},
        {"pad_token_id": None},
        {"files": {}},
        {"files": [1]},
        {"precision": "fp1"},
    ],
)
def test_a_specification_that_seal_export_never_writes(onnx_folder, tmp_path, changes):
    path = onnx_folder / "seal.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    scoring_refuses(onnx_folder, tmp_path, r"seal\.json is not what seal export writes.*; export again")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null"])
def test_a_specification_that_is_none(onnx_folder, tmp_path, text):
    (onnx_folder / "seal.json").write_text(text)
    scoring_refuses(onnx_folder, tmp_path, r"seal\.json is not what seal export writes")


def test_a_folder_that_was_not_exported(tmp_path, checkpoints):
    scoring_refuses(checkpoints["pre"], tmp_path, r"holds no seal\.json; export it first: seal export")
