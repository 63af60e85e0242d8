"""LoRA adapters merged into their base: the rewards of both run side by side, or a refusal by name."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.decoder import Decoder
from seal.engine.checkpoints.exported import load_spec
from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.export import exporting
from seal.engine.export.exporting import export
from seal.engine.export.options import ExportOptions
from seal.engine.scoring.scoring import score
from tests.support.caches import FIRST, cache_model
from tests.support.frames import random_texts, write
from tests.support.tiny import FEW_LENGTHS, make_checkpoint

MERGE = ExportOptions(merge=True)
BERT = {"max_position_embeddings": 64}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4}
QUERIES = [f"bert.encoder.layer.{i}.attention.self.query" for i in (0, 1)]
DENSE = "bert.encoder.layer.1.output.dense"
WORDS = "bert.embeddings.word_embeddings"


@pytest.fixture(autouse=True)
def _few_lengths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(exporting, "PARITY_LENGTHS", FEW_LENGTHS)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def classifier(folder: Path) -> Any:
    return transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()


def make_adapter(
    folder: Path, base: Path, modules: dict[str, int], *, heads: int = 1, saved: str = "", **config: Any
) -> Path:
    """Write a random adapter as peft does: a rank a module, and the head trained whole."""
    torch.manual_seed(3)
    model, tensors = classifier(base), {}
    for module, r in modules.items():
        weight = model.get_submodule(module).weight
        n_out, n_in = weight.T.shape if config.get("fan_in_fan_out") else weight.shape
        kind, end = ("lora_embedding", "") if module == WORDS else ("lora", ".weight")
        n_out, n_in = (n_in, n_out) if module == WORDS else (n_out, n_in)
        tensors[f"base_model.model.{module}.{kind}_A{end}"] = torch.randn(r, n_in) * 0.2
        tensors[f"base_model.model.{module}.{kind}_B{end}"] = torch.randn(n_out, r) * 0.2
    name = "score" if hasattr(model, "score") else "classifier"
    tensors[f"base_model.model.{name}{saved}.weight"] = torch.randn(heads, 32)
    if name == "classifier":
        tensors[f"base_model.model.{name}{saved}.bias"] = torch.randn(heads)
    settings = {
        "peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": str(base), "r": 4,
        "lora_alpha": 8, "lora_dropout": 0.1, "bias": "none", "modules_to_save": [name], "use_rslora": False,
        "target_modules": ["query"], "use_dora": False, "loftq_config": {}, "megatron_core": "megatron.core",
        "inference_mode": True, "init_lora_weights": True, "rank_pattern": {}, "alpha_pattern": {},
    } | config  # fmt: skip
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def side_by_side(adapter: Path, base: Path, scale: Callable[[str, int], float]) -> Any:
    """The base with the adapter's matrices run beside its own, as peft does before any merging."""
    tensors = {
        n.removeprefix("base_model.model."): t
        for n, t in load_file(adapter / "adapter_model.safetensors").items()
    }
    heads = next(len(t) for n, t in tensors.items() if n.startswith(("classifier", "score")))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=heads, ignore_mismatched_sizes=True
    ).eval()
    with torch.no_grad():
        for name, tensor in tensors.items():
            if "lora" not in name:
                model.get_parameter(name.replace(".modules_to_save", "")).copy_(tensor)
    for name, a in tensors.items():
        module, _, kind = name.partition(".lora_")
        if kind == "A.weight":
            b, s = tensors[f"{module}.lora_B.weight"], scale(module, len(a))
            model.get_submodule(module).register_forward_hook(
                lambda _, given, out, a=a, b=b, s=s: out + s * (given[0] @ a.T) @ b.T
            )
        elif kind == "embedding_A":
            b, s = tensors[f"{module}.lora_embedding_B"], scale(module, len(a))
            model.get_submodule(module).register_forward_hook(
                lambda _, given, out, a=a, b=b, s=s: out + s * a.T[given[0]] @ b.T
            )
    return model


def bare(base: Path) -> Path:
    """The same base without a head, under names of its own, as a pretrained encoder is published."""
    folder = base.with_name("bare")
    shutil.copytree(base, folder)
    classifier(base).base_model.save_pretrained(folder)
    return folder


CASES: dict[str, tuple[str, dict[str, Any], dict[str, int], dict[str, Any], Callable[[str, int], float]]] = {
    "attention": ("bert", BERT, dict.fromkeys(QUERIES, 4), {}, lambda _, r: 8 / r),
    "rank-stabilised": (
        "bert", BERT, {QUERIES[0]: 4, DENSE: 4}, {"use_rslora": True}, lambda _, r: 8 / math.sqrt(r)
    ),
    "ranks and alphas of their own": (
        "bert", BERT, {QUERIES[0]: 4, DENSE: 2, WORDS: 3},
        {"rank_pattern": {"output.dense": 2}, "alpha_pattern": {"output.dense": 16}},
        lambda module, r: (16 if module == DENSE else 8) / r,
    ),
    "the other way round": (
        "gpt2", GPT2, {"transformer.h.0.attn.c_attn": 4}, {"fan_in_fan_out": True}, lambda _, r: 8 / r
    ),
    "several heads": ("bert", BERT, {QUERIES[1]: 4}, {"heads": 3}, lambda _, r: 8 / r),
    "saved under a longer name": (
        "bert", BERT, {QUERIES[1]: 4}, {"saved": ".modules_to_save"}, lambda _, r: 8 / r
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_merged_adapter_gives_the_rewards_of_both_side_by_side(name: str, tmp_path: Path) -> None:
    family, settings, modules, config, scale = CASES[name]
    base = make_checkpoint(tmp_path / "base", family, seed=4, **settings)
    made_on = bare(base) if name == "attention" else base
    adapter = make_adapter(tmp_path / "adapter", base, modules, **config)
    edited = json.loads((adapter / "adapter_config.json").read_text()) | {
        "base_model_name_or_path": str(made_on)
    }
    (adapter / "adapter_config.json").write_text(json.dumps(edited))
    report = export(adapter, tmp_path / "onnx", MERGE)
    assert report.parity.max_abs_diff < 1e-4
    path = write(random_texts(8, seed=3, longest=8), tmp_path / "texts.parquet")
    done = score(path, {"rm": report.folder}, tmp_path / "scores")
    rows = pl.read_parquet(tmp_path / "scores" / "part-00000.parquet")
    assert not rows["truncated"].any()
    model, tokenizer = side_by_side(adapter, base, scale), transformers.AutoTokenizer.from_pretrained(base)
    plain = classifier(base)
    expected, without = [], []
    for texts in pl.read_parquet(path).sort("row_id", "preference")["prompt", "response"].rows():
        inputs = tokenizer(*texts, return_tensors="pt")
        if family == "gpt2":
            inputs.pop("token_type_ids")
        with torch.inference_mode():
            expected.append(model(**inputs).logits[0].numpy())
            without.append(plain(**inputs).logits[0].numpy())
    found = np.stack(
        [rows.filter(pl.col("model") == m).sort("row_id", "preference")["reward"] for m in done.models], 1
    )
    assert np.abs(np.stack(without)[:, 0] - np.stack(expected)[:, 0]).max() > 0.3, (
        "the adapter changes hardly anything"
    )
    assert np.abs(found - np.stack(expected)).max() < 1e-4


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "base", "bert", seed=4, **BERT)


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    return make_adapter(tmp_path / "adapter", base, {QUERIES[0]: 4})


def edit(adapter: Path, **changes: Any) -> None:
    path = adapter / "adapter_config.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


def refused(adapter: Path, tmp_path: Path, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        export(adapter, tmp_path / "onnx", MERGE)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "onnx").exists()
    assert not list(tmp_path.glob(".export-*"))


TWO_LINES = r"merge it where peft is: model = peft\.AutoPeftModelForSequenceClassification\.from_pretrained"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "IA3"}, f"of the kind 'IA3'; only LORA is merged here; {TWO_LINES}"),
        ({"peft_type": ...}, "of the kind None"),
        ({"use_dora": True}, f"it sets use_dora, which is not merged here; {TWO_LINES}"),
        ({"layer_replication": [[0, 2]]}, "it sets layer_replication, which is not"),
        ({"from_tomorrow": 1}, "it sets from_tomorrow, which is not"),
        ({"bias": "all"}, r"trained biases \(bias 'all'\)"),
        ({"init_lora_weights": "pissa"}, "its init_lora_weights 'pissa' changed the base as well"),
        ({"init_lora_weights": 1}, "its init_lora_weights 1 changed"),
        ({"lora_alpha": "8"}, "lora_alpha is '8'"),
        ({"alpha_pattern": {"(": 8}}, "alpha_pattern is"),
        ({"alpha_pattern": [8]}, "alpha_pattern is"),
        ({"base_model_name_or_path": ...}, r"names no base \(base_model_name_or_path\)"),
        ({"base_model_name_or_path": 5}, "names no base"),
        (
            {"base_model_name_or_path": "org/base"},
            "the base of .*: model 'org/base' is not a folder here, and not in",
        ),
    ],
)
def test_what_is_not_merged_here_is_refused_with_what_does(
    changes: dict[str, Any], said: str, adapter: Path, tmp_path: Path
) -> None:
    edit(adapter, **changes)
    refused(adapter, tmp_path, said)


def change(adapter: Path, how: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(adapter / "adapter_model.safetensors")
    how(tensors)
    save_file(tensors, adapter / "adapter_model.safetensors")


A = f"base_model.model.{QUERIES[0]}.lora_A.weight"
B = A.replace("lora_A", "lora_B")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda t: t.pop(B), "lora_A and its counterpart are no two matrices"),
        (lambda t: t.pop(A), r"lora_B, which is not merged here"),
        (lambda t: t.update({A: torch.zeros(3, 32)}), "are no two matrices"),
        (lambda t: t.update({A: torch.zeros(4, 48)}), r"query.weight is \(32, 48\) in the adapter, "),
        (lambda t: t.update({A.replace("query", "other"): t.pop(A), B.replace("query", "other"): t.pop(B)}),
         r"other.weight is \(32, 32\) in the adapter, nothing in the base"),
        (lambda t: t.update({A.replace("lora_A", "lora_magnitude_vector"): torch.ones(4)}), "vector, which"),
    ],
)  # fmt: skip
def test_matrices_that_do_not_belong_to_the_base_are_refused(
    how: Callable[[dict[str, torch.Tensor]], Any], said: str, adapter: Path, tmp_path: Path
) -> None:
    change(adapter, how)
    refused(adapter, tmp_path, said)


def test_a_head_that_nobody_has_is_missed(base: Path, adapter: Path, tmp_path: Path) -> None:
    edit(adapter, base_model_name_or_path=str(bare(base)))
    change(adapter, lambda t: [t.pop(n) for n in list(t) if "classifier" in n])
    refused(
        adapter, tmp_path, r"has the weights classifier\.bias, classifier\.weight: is it the adapter of a"
    )


def test_pickled_or_torn_weights_are_refused(adapter: Path, tmp_path: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    refused(adapter, tmp_path, r"adapter_model\.safetensors cannot be read")
    file.rename(adapter / "adapter_model.bin")
    refused(adapter, tmp_path, r"its weights are not adapter_model\.safetensors; pickled ones are not read")


def test_a_whole_model_is_not_merged(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no adapter; leave merge out"):
        export(base, tmp_path / "onnx", MERGE)


def test_an_adapter_is_no_model_anywhere_else(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"is an adapter, not a whole model; set merge \(--merge\) to export it"
    ):
        export(adapter, tmp_path / "onnx")
    with pytest.raises(InputError, match=r"set merge \(--merge\)"):
        Checkpoint.open(adapter)
    with pytest.raises(InputError, match=r"merge it where peft is: model = peft\.AutoPeftModelForCausalLM"):
        Decoder.open(adapter)


def test_a_merged_export_is_known_by_what_it_is_made_of(base: Path, adapter: Path, tmp_path: Path) -> None:
    cache_model(tmp_path / "hub", "org/base", base)
    edit(adapter, base_model_name_or_path="org/base", revision="main")
    cached = cache_model(tmp_path / "hub", "org/lora", adapter)
    spec = export("org/lora", tmp_path / "onnx", MERGE).spec
    assert spec.origin == f"org/lora@{FIRST} + org/base@{FIRST}"
    assert {"adapter/adapter_model.safetensors", "base/model.safetensors"} <= spec.weights_sha256.keys()
    assert load_spec(tmp_path / "onnx").label == "LABEL_0"
    assert export(str(cached), tmp_path / "onnx", MERGE).notes == ["exported before; nothing to do"]
    edit(adapter, revision=None, base_model_name_or_path=str(base), lora_alpha=16)
    with pytest.raises(ResumeError, match=r"holds another export \(origin: .*org/lora.* there"):
        export(adapter, tmp_path / "onnx", MERGE)
