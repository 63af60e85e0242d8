"""Messages become the same tokens whatever runs the model, and never a control token."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.errors import InputError, UsageError
from seal.engine.generation.chat import PLAIN_TAIL, ChatEncoder
from seal.engine.generation.contract import Request
from seal.engine.generation.openai import broken
from seal.engine.generation.transformers import TransformersGenerator
from tests.support.decoders import CONTROL, byte_bpe, make_decoder, save_tokenizer

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 64}


def encoder(folder: Path, template: str | None = None, **settings: object) -> ChatEncoder:
    """The encoder of a folder with a tokenizer; without a template that of a base model."""
    save_tokenizer(folder, template=template, **settings)
    return ChatEncoder(Decoder(folder, CONFIG))


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> ChatEncoder:
    return encoder(
        tmp_path_factory.mktemp("chat"), "<|user|>{{ messages[0]['content'] }}<|end|><|assistant|>"
    )


@given(
    st.lists(st.sampled_from([*CONTROL, "<|", "|>", "[", "PAD]", "a", " ", "\n", "é", "\x00"]), max_size=9)
)
def test_a_message_holds_no_control_token_whatever_it_spells(chat: ChatEncoder, pieces: list[str]) -> None:
    message = "".join(pieces)
    ids = chat.encode(message)
    user, assistant, end = (chat._fast.token_to_id(token) for token in CONTROL[1:])
    assert (ids[0], ids[-2:]) == (user, [end, assistant])
    assert not {chat._fast.token_to_id(token) for token in CONTROL} & set(ids[1:-2])
    assert chat.decode(ids[1:-2]) == message


def test_a_vocabulary_that_knows_its_control_tokens_by_itself_is_not_believed(tmp_path: Path) -> None:
    described = json.loads(byte_bpe())
    described["model"]["ignore_merges"] = True
    described["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"String": " "},
        "behavior": "Removed",
        "invert": False,
    }
    save_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(described))
    assert Tokenizer.from_str(json.dumps(described)).encode("a <|end|> b", add_special_tokens=False).ids
    chat = ChatEncoder(Decoder(tmp_path, CONFIG))
    ids = chat.encode("a <|end|> b")
    assert ids.count(chat._fast.token_to_id("<|end|>")) == 1  # the template's


def test_tokens_written_like_control_tokens_are_words_too(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(byte_bpe())
    tokenizer.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    save_tokenizer(tmp_path)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    chat = ChatEncoder(Decoder(tmp_path, CONFIG))
    taken = chat._fast.token_to_id("<think>")
    assert taken in chat._fast.encode("now <think> it over").ids
    assert taken not in chat.encode("now <think> it over")


def test_a_base_model_answers_on_a_fresh_line(tmp_path: Path) -> None:
    base = encoder(tmp_path, None)
    assert not base.has_template
    assert base.facts == {"before_message": "", "after_message": PLAIN_TAIL}
    assert base.decode(base.encode("hello")) == "hello" + PLAIN_TAIL


def test_thinking_is_switched_off_where_a_template_knows_the_word(tmp_path: Path) -> None:
    template = (
        "<|user|>{{ messages[0]['content'] }}<|assistant|>"
        "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
    )
    assert encoder(tmp_path, template).facts["after_message"] == "<|assistant|><think>\n\n</think>\n\n"


def test_a_template_that_strips_or_names_its_parts_is_taken(tmp_path: Path) -> None:
    template = (
        "{{ '<|user|>' + messages[0]['content'] | trim }}"
        "{% if add_generation_prompt %}<|end|><|assistant|>{% endif %}"
    )
    chat = encoder(tmp_path, template)
    assert chat.facts == {"before_message": "<|user|>", "after_message": "<|end|><|assistant|>"}


def test_a_template_that_names_the_day_names_the_same_on_every_day(tmp_path: Path) -> None:
    template = "Today: {{ strftime_now('%d %b %Y') }}<|user|>{{ messages[0]['content'] }}<|assistant|>"
    assert encoder(tmp_path, template).facts["before_message"] == "Today: 26 Jul 2024<|user|>"


UNUSABLE = {
    "hides": "<|user|>hello<|assistant|>",
    "shows it twice": "{{ messages[0]['content'] }}{{ messages[0]['content'] }}",
    "escapes it": "{{ messages[0]['content'] | tojson }}",
    "raises": "{{ raise_exception('no') }}",
    "divides by zero": "{{ 1 / 0 }}",
    "is none": "{% if %}",
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_template_that_cannot_be_used_is_refused(tmp_path: Path, case: str) -> None:
    with pytest.raises(InputError, match="its chat template"):
        encoder(tmp_path, UNUSABLE[case])


def test_a_template_cannot_reach_the_machine(tmp_path: Path) -> None:
    attack = "{{ messages.__class__.__mro__[1].__subclasses__() }}{{ messages[0]['content'] }}"
    with pytest.raises(InputError, match="its chat template failed"):
        encoder(tmp_path, attack)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 3}', "\x00" * 100])
def test_a_broken_tokenizer_is_one_error(tmp_path: Path, text: str) -> None:
    save_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(InputError, match="its tokenizer cannot be loaded"):
        ChatEncoder(Decoder(tmp_path, CONFIG))


def test_a_choice_is_known_by_its_first_token(chat: ChatEncoder) -> None:
    ids = chat.choice_ids(("yes", "no", "A"))
    assert [chat.decode([i]) for i in ids] == ["yes", "no", "A"]
    (longer, _) = chat.choice_ids(("perhaps so", "yes"))
    assert "perhaps so".startswith(chat.decode([longer]))
    for twins in (("yes", "yes"), ("perhaps so", "perhaps not")):
        with pytest.raises(UsageError, match="begin with the same token"):
            chat.choice_ids(twins)


def test_ids_come_from_tokenizer_json_where_autotokenizer_disagrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers 5 rebuilds some tokenizers; here another one is put into its place altogether."""
    import transformers

    folder = make_decoder(tmp_path / "tiny", context=512)
    good = TransformersGenerator(Decoder.open(folder), "cpu")
    described = json.loads(byte_bpe())
    vocab = described["model"]["vocab"]
    letters = [token for token in vocab if len(token) == 1]
    described["model"]["vocab"] |= dict(
        zip(letters, [vocab[t] for t in [*letters[1:], letters[0]]], strict=True)
    )
    other = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(described)), eos_token="<|end|>"
    )
    other.chat_template = good._encoder.tokenizer.chat_template
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: other)
    odd = TransformersGenerator(Decoder.open(folder), "cpu")
    assert other.encode("a") != good._encoder._fast.encode("a").ids
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
              "additionalProperties": False}  # fmt: skip
    requests = [Request("say it", 20, schema), Request("say it", 9), Request("say", choices=("yes", "no"))]
    assert odd._encoder.encode("say it") == good._encoder.encode("say it")
    assert odd.answer(requests) == good.answer(requests)
    json.loads(odd.answer(requests)[0].text)


SPELLS = (
    "<|im_start|>", "<|eot_id|>", "<｜User｜>", "<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>",
    "<start_of_turn>", "<end_of_turn>", "<think>", "</think>", "[PAD]", "[TOOL_CALLS]", "<bos>",
)  # fmt: skip


@pytest.mark.parametrize("spell", SPELLS)
def test_for_a_server_a_spelled_control_token_is_broken_up_and_its_words_stay(spell: str) -> None:
    message = f"hi {spell} you {spell}{spell}"
    sent = broken(message)
    assert spell not in sent
    assert sent.replace("\u2060", "") == message


@given(st.text(alphabet="ab <>\n|[]{}"))
def test_nothing_else_of_a_message_is_touched(message: str) -> None:
    assert broken(message).replace("\u2060", "") == message
