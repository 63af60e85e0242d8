"""Few widths for few engines: the plan, the options of TensorRT, and its backend on CPU sessions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.engine.checkpoints.exported import TOKENIZER, load_spec
from seal.engine.errors import UsageError
from seal.engine.pooling.batching import bucket_edges, bucket_of, plan_buckets
from seal.engine.pooling.loading import load_models
from seal.engine.pooling.onnx import OnnxBackend
from seal.engine.pooling.tensorrt import TensorRTBackend, provider_options
from seal.engine.pooling.tokenizing import PairEncoder
from tests.support.frames import random_texts

longest = st.integers(8, 5000)
budgets = st.integers(1, 40_000)


@st.composite
def texts(draw):
    """A model's longest input, and lengths within it."""
    most = draw(longest)
    return most, np.array(draw(st.lists(st.integers(1, most), max_size=60)), dtype=np.int64)


@given(longest)
def test_edges_ascend_to_the_longest_and_are_few(most):
    edges = bucket_edges(most)
    assert list(edges) == sorted(set(edges))
    assert edges[-1] == most
    assert len(edges) <= 2 * most.bit_length()


@given(longest)
def test_a_text_is_padded_by_half_at_most(most):
    edges = bucket_edges(most)
    for length in range(32, most + 1):
        assert length <= bucket_of(length, edges) <= 1.5 * length + 1


@given(texts(), budgets)
def test_every_row_is_in_exactly_one_batch(given_texts, budget):
    most, lengths = given_texts
    plan = plan_buckets(lengths, budget, bucket_edges(most))
    found = np.concatenate([np.empty(0, np.intp), *plan.batches])
    assert sorted(found) == list(range(len(lengths)))
    assert plan.n_tokens == lengths.sum()


@given(texts(), budgets)
def test_a_batch_has_one_width_and_fits_its_engine(given_texts, budget):
    most, lengths = given_texts
    edges = bucket_edges(most)
    plan = plan_buckets(lengths, budget, edges)
    slots, shapes = 0, set()
    for rows in plan.batches:
        widths = {bucket_of(int(n), edges) for n in lengths[rows]}
        assert len(widths) == 1
        width = widths.pop()
        assert len(rows) <= max(1, budget // width)
        slots += width * len(rows)
        shapes.add((len(rows), width))
    assert slots == plan.n_slots
    assert len(shapes) <= 2 * len(edges)  # full batches of each width, and one that is not


@given(texts(), budgets)
def test_the_widest_come_first(given_texts, budget):
    most, lengths = given_texts
    edges = bucket_edges(most)
    widths = [
        bucket_of(int(lengths[rows[0]]), edges) for rows in plan_buckets(lengths, budget, edges).batches
    ]
    assert widths == sorted(widths, reverse=True)


def test_the_options_of_a_width():
    options = provider_options(["input_ids", "attention_mask"], 128, 1024, Path("model/tensorrt"), fp16=True)
    assert options["trt_profile_min_shapes"] == "input_ids:1x128,attention_mask:1x128"
    assert options["trt_profile_opt_shapes"] == "input_ids:8x128,attention_mask:8x128"
    assert options["trt_profile_max_shapes"] == options["trt_profile_opt_shapes"]
    assert options["trt_engine_cache_path"] == str(Path("model/tensorrt/width-128"))
    assert options["trt_fp16_enable"] == "1"
    assert all(isinstance(value, str) for value in options.values())


@given(st.integers(1, 5000), budgets)
def test_an_engine_is_built_for_as_many_texts_as_the_plan_puts_in_a_batch(width, budget):
    options = provider_options(["ids"], width, budget, Path(), fp16=False)
    assert options["trt_profile_max_shapes"] == f"ids:{max(1, budget // width)}x{width}"
    assert options["trt_fp16_enable"] == "0"


def on_cpu(folder, edges, budget=512):
    """The backend with CPU sessions in place of TensorRT's."""
    return TensorRTBackend(
        folder, edges, budget, fp16=False, needs="CPUExecutionProvider",
        providers=lambda _: ["CPUExecutionProvider"],
    )  # fmt: skip


@pytest.mark.parametrize("name", ["pre", "short"])
def test_padded_to_a_width_the_rewards_are_those_of_the_onnx_backend(exported, name, tmp_path):
    import shutil

    folder = shutil.copytree(exported[name], tmp_path / name)
    spec = load_spec(folder)
    longest = spec.longest_input(300)
    frame = random_texts(20, longest=200)
    encoder = PairEncoder((folder / TOKENIZER).read_text(), spec.pair_template, longest)
    encoded = encoder.encode(frame["prompt"].to_list(), frame["response"].to_list())
    edges = bucket_edges(longest)
    backend, plain = on_cpu(folder, edges), OnnxBackend(folder, "cpu")
    plan = plan_buckets(encoded.lengths, 512, edges)
    for rows in plan.batches:
        batch = encoded.batch(rows, spec.pad_token_id)
        np.testing.assert_allclose(backend.rewards(batch), plain.rewards(batch), atol=1e-5)
    widths = {bucket_of(int(n), edges) for n in encoded.lengths}
    assert {p.name for p in (folder / "tensorrt").iterdir()} == {f"width-{w}" for w in widths}


def test_where_there_is_no_tensorrt_it_is_said(exported):
    with pytest.raises(UsageError, match=r"device tensorrt: onnxruntime offers .* it needs onnxruntime-gpu"):
        load_models({"m": exported["pre"]}, "tensorrt")


def test_torch_has_no_tensorrt(checkpoints):
    with pytest.raises(UsageError, match="device tensorrt runs exported models"):
        load_models({"m": checkpoints["pre"]}, "tensorrt", "torch")
