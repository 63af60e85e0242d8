"""One contract, every backend."""

import numpy as np
import pytest
import torch

from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.errors import InputError, UsageError
from seal.engine.pooling.contract import OutOfMemoryError
from seal.engine.pooling.onnx import OnnxBackend, choose_device
from seal.engine.pooling.tokenizing import PairEncoder
from seal.engine.pooling.torch import TorchBackend, load_model, load_tokenizer, resolve_device
from tests.support.frames import random_texts

MODELS = ["pre", "short"]
BACKENDS = ["onnx", "torch"]


def make(kind, name, checkpoints, exported):
    if kind == "onnx":
        return OnnxBackend(exported[name], "cpu", threads=2)
    return TorchBackend(Checkpoint.open(checkpoints[name]))


@pytest.fixture(scope="module", params=[(b, m) for b in BACKENDS for m in MODELS], ids="-".join)
def case(request, checkpoints, exported):
    kind, name = request.param
    checkpoint = Checkpoint.open(checkpoints[name])
    tokenizer_json, pad = load_tokenizer(checkpoint)
    frame = random_texts(20, seed=5)
    encoder = PairEncoder(tokenizer_json, "pair", checkpoint.max_tokens or 4096)
    texts = encoder.encode(frame["prompt"].to_list(), frame["response"].to_list())
    return make(kind, name, checkpoints, exported), texts, load_model(checkpoint), pad


def alone(backend, texts, rows, pad):
    return np.concatenate([backend.rewards(texts.batch(np.array([i]), pad)) for i in rows])


def test_one_float32_logit_a_text(case):
    backend, texts, _, pad = case
    for n in (1, 2, 7, 40):
        rewards = backend.rewards(texts.batch(np.arange(n), pad))
        assert rewards.shape == (n,)
        assert rewards.dtype == np.float32


def test_parity_with_torch_on_the_text_alone(case):
    backend, texts, model, _ = case
    rewards = backend.rewards(texts.batch(np.arange(40), case[3]))
    for i, reward in enumerate(rewards):
        ids = torch.from_numpy(texts.ids[texts.offsets[i] : texts.offsets[i + 1]].astype(np.int64))
        inputs = {"input_ids": ids[None]}
        if model.config.type_vocab_size:
            segments = texts.segments[texts.offsets[i] : texts.offsets[i + 1]].astype(np.int64)
            inputs["token_type_ids"] = torch.from_numpy(segments)[None]
        with torch.inference_mode():
            assert abs(model(**inputs).logits.item() - reward) < 1e-4
    assert rewards.std() > 0.3


def test_padded_as_alone(case):
    backend, texts, _, pad = case
    padded = backend.rewards(texts.batch(np.arange(40), pad))
    assert np.abs(padded - alone(backend, texts, range(40), pad)).max() < 1e-5


def test_order_is_kept(case):
    backend, texts, _, pad = case
    order = np.random.default_rng(0).permutation(40)
    straight = backend.rewards(texts.batch(np.arange(40), pad))
    assert np.abs(backend.rewards(texts.batch(order, pad)) - straight[order]).max() < 1e-5


def test_what_pads_does_not_matter(case):
    backend, texts, _, pad = case
    one, other = (backend.rewards(texts.batch(np.arange(10), p)) for p in (pad, 17))
    assert np.abs(one - other).max() < 1e-5


def test_the_same_batch_twice_is_the_same_to_the_bit(case):
    backend, texts, _, pad = case
    batch = texts.batch(np.arange(20), pad)
    assert np.array_equal(backend.rewards(batch), backend.rewards(batch))


def test_facts_are_plain_json_values(case):
    assert set(case[0].facts()) == {"backend", "provider"}
    assert all(isinstance(v, str) for v in case[0].facts().values())


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_text_beyond_the_models_positions_is_one_clear_error(kind, checkpoints, exported):
    backend = make(kind, "short", checkpoints, exported)
    checkpoint = Checkpoint.open(checkpoints["short"])
    tokenizer_json, pad = load_tokenizer(checkpoint)
    texts = PairEncoder(tokenizer_json, "pair", 4096).encode(["the of " * 90], ["to"])
    with pytest.raises(InputError, match="cannot run"):
        backend.rewards(texts.batch(np.array([0]), pad))


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_text_beyond_512_tokens_where_positions_are_relative(kind, checkpoints, exported):
    backend = make(kind, "pre", checkpoints, exported)
    reference = TorchBackend(Checkpoint.open(checkpoints["pre"]))
    tokenizer_json, pad = load_tokenizer(Checkpoint.open(checkpoints["pre"]))
    texts = PairEncoder(tokenizer_json, "pair", 4096).encode(["the of " * 450, "a"], ["to", "b"])
    assert texts.lengths[0] > 900
    got = backend.rewards(texts.batch(np.arange(2), pad))
    assert np.abs(got - alone(reference, texts, range(2), pad)).max() < 1e-4


@pytest.mark.parametrize(
    "text", ["Failed to allocate memory for requested buffer", "bad allocation", "out of memory"]
)
def test_onnxruntime_without_memory(exported, monkeypatch, text):
    backend = OnnxBackend(exported["pre"], "cpu")

    class Full:
        def run(self, *_):
            raise RuntimeError(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {text} of size 9")

    monkeypatch.setattr(backend, "_session", Full())
    with pytest.raises(OutOfMemoryError, match=text):
        backend.rewards(_batch())


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")]
)
def test_torch_without_memory(checkpoints, monkeypatch, error):
    backend = TorchBackend(Checkpoint.open(checkpoints["pre"]))

    def fail(**_):
        raise error

    monkeypatch.setattr(backend, "_model", fail)
    with pytest.raises(OutOfMemoryError):
        backend.rewards(_batch())


def _batch():
    from seal.engine.pooling.contract import Batch

    return Batch(*(np.ones((1, 3), np.int64) for _ in range(3)))


def test_cuda_where_there_is_none():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU; without one the refusal can be seen")
    with pytest.raises(
        UsageError, match=r"device cuda: onnxruntime offers .*CPUExecutionProvider here; a GPU needs"
    ):
        choose_device("cuda")
    with pytest.raises(UsageError, match=r"device cuda: torch sees no CUDA device here"):
        resolve_device("cuda")
    assert choose_device("auto") == resolve_device("auto") == "cpu"
