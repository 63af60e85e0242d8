"""Model folders and settings made to harm: each is one line, and nothing large is made for them."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from seal.cli.settings import read_tables
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.decoder import Decoder
from seal.engine.errors import InputError, SealError, UsageError
from seal.engine.frames.manifest import read_manifest
from seal.engine.frames.taxonomy import load_taxonomy
from seal.engine.generation.chat import ChatEncoder
from seal.engine.pooling.tokenizing import PairEncoder
from tests.support.decoders import byte_bpe, make_decoder, save_tokenizer
from tests.support.tiny import edit_config, make_checkpoint

DEEP = "[" * 3000 + "]" * 3000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {"reward": make_checkpoint(root / "reward", "bert"), "decoder": make_decoder(root / "decoder")}


@pytest.mark.parametrize(
    ("kind", "changes", "numbers"),
    [
        ("reward", {"vocab_size": 2**40}, "vocab_size 1,099,511,627,776, .* no dimension above "),
        ("reward", {"num_hidden_layers": 10**7}, "num_hidden_layers 10,000,000, .* no more tensors than "),
        ("decoder", {"hidden_size": 10**6}, "hidden_size 1,000,000, .* no dimension above 1,"),
        ("decoder", {"head_dim": 10**9}, "head_dim 1,000,000,000, .* no dimension above 1,"),
        ("decoder", {"hidden_size": 1024}, "vocab_size times width 1,.* no more numbers than "),
    ],
)
def test_sizes_that_the_weights_do_not_have_are_refused_with_both_numbers(
    kind: str, changes: dict[str, int], numbers: str, made: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(made[kind], tmp_path / "m")
    opened: Any = Decoder if kind == "decoder" else Checkpoint
    opened.open(folder)
    edit_config(folder, **changes)
    with pytest.raises(InputError, match=f"config.json asks for {numbers}"):
        opened.open(folder)


@pytest.mark.parametrize("header", [b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x05\0\0\0\0\0\0\0{", b""])
def test_weights_without_a_header_are_refused(header: bytes, made: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(made["reward"], tmp_path / "m")
    (folder / "model.safetensors").write_bytes(header)
    with pytest.raises(InputError, match=r"model\.safetensors is no safetensors file"):
        Checkpoint.open(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"architectures": 5}, {"architectures": [5]}, {"id2label": [1]}, {"text_config": 3},
        {"max_position_embeddings": "many"}, {"pad_token_id": [0]}, {"model_type": {}}, {"num_labels": "1"},
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_one_line(
    changes: dict[str, Any], made: dict[str, Path], tmp_path: Path
) -> None:
    (name,) = changes
    for kind, opened in (("reward", Checkpoint), ("decoder", Decoder)):
        folder = shutil.copytree(made[kind], tmp_path / kind)
        edit_config(folder, **changes)
        with pytest.raises(InputError, match=rf"config\.json: {name} is .* is needed"):
            opened.open(folder)


def test_what_is_nested_3000_deep_is_one_line(made: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(made["reward"], tmp_path / "m")
    for name in ("config.json", "tokenizer_config.json", "modules.json"):
        before = (folder / name).read_bytes() if (folder / name).exists() else b"[]"
        (folder / name).write_text(f'{{"a": {DEEP}}}')
        with pytest.raises(InputError, match=f"{name} cannot be read: .*nested deeper than 100"):
            Checkpoint.open(folder)
        (folder / name).write_bytes(before)
    (tmp_path / "t.toml").write_text(f"a = {DEEP}")
    for read in (load_taxonomy, read_tables):
        with pytest.raises(UsageError, match=r"t\.toml is not a TOML file: .*nested deeper than 100"):
            read(tmp_path / "t.toml")
    (tmp_path / "manifest.json").write_text(DEEP)
    with pytest.raises(InputError, match="nested deeper than 100"):
        read_manifest(tmp_path)


LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
MACRO = "{% macro m(n) %}{% for i in range(9) %}{% if n %}{{ m(n - 1) }}{% endif %}{% endfor %}{% endmacro %}"


@pytest.mark.parametrize("harm", [LOOPS, MACRO + "{{ m(20) }}"])
def test_a_template_that_never_ends_is_refused_at_once(harm: str, tmp_path: Path) -> None:
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 64}
    template = "{{ messages[0]['content'] }}"
    save_tokenizer(tmp_path, template=template)
    ChatEncoder(Decoder(tmp_path, config))
    save_tokenizer(tmp_path, template=harm + template)
    began = time.process_time()
    with pytest.raises(InputError, match="chat template failed: it takes more than 100,000 steps"):
        ChatEncoder(Decoder(tmp_path, config))
    assert time.process_time() - began < 2


def blown(*steps: dict[str, Any]) -> str:
    return json.dumps(json.loads(byte_bpe()) | {"normalizer": {"type": "Sequence", "normalizers": steps}})


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


@pytest.mark.parametrize(
    "steps",
    [
        [replace({"String": "e"}, "e" * 100_000)],
        [replace({"String": "e"}, "ee")] * 30,
        [replace({"Regex": "x*"}, "y")] * 8,
        [{"type": "Prepend", "prepend": "y" * 1000}],
    ],
)
def test_a_tokenizer_that_blows_texts_up_is_refused(steps: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"normalizer can make a text [\d,]+ times longer, allowed are 100"):
        PairEncoder(blown(*steps), "pair", 100)
    save_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text(blown(*steps))
    with pytest.raises(InputError, match="times longer, allowed are 100"):
        ChatEncoder(Decoder(tmp_path, {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}))


def test_usual_normalizers_are_taken() -> None:
    steps = [
        {"type": "NFC"}, {"type": "Prepend", "prepend": "▁"}, replace({"String": " "}, "▁"),
        replace({"Regex": " {2,}"}, " "), replace({"String": "``"}, '"'), {"type": "Lowercase"},
    ]  # fmt: skip
    assert PairEncoder(blown(*steps), "pair", 100).encode(["a"], ["b"]).lengths.tolist() != [0]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_flipped_model_files_are_an_error_of_one_line(
    name: str, made: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(made["reward"], tmp_path / "m")
    whole = (folder / name).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        data = bytearray(whole)
        data[place] ^= 1 << (place % 7)
        (folder / name).write_bytes(bytes(data))
        try:
            checkpoint = Checkpoint.open(folder)
            assert checkpoint.max_tokens is None or checkpoint.max_tokens < 10**9
            PairEncoder((folder / "tokenizer.json").read_bytes().decode(errors="replace"), "pair", 100)
        except SealError as error:
            assert str(error)  # noqa: PT017 - which error it is does not matter
