"""Token ids against transformers' own tokenizer, and what is done with texts that are too long."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.engine.errors import InputError
from seal.engine.pooling.tokenizing import Deduplicated, EncodedTexts, PairEncoder
from tests.support.tiny import fast_tokenizer

ODD = [
    ("", ""),
    ("only a prompt", ""),
    ("", "only a response"),
    (" \n\t ", "\u3000"),
    ("the \x00 nul", "\x00"),
    ("é e\u0301 \u202eright to left\u202c", "family: \U0001f468\u200d\U0001f469\u200d\U0001f467"),
    ("a\ufeffb\u00adc", "\uffff\U0010ffff"),
    ("[SEP] [CLS] </s>", "[PAD][PAD] <pad> [MASK]"),
    ("x" * 500, "word " * 300),
    ("中文 mixed with the words", "ไทย हिन्दी"),
]
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
KINDS = {kind: fast_tokenizer(kind) for kind in ("bert", "roberta")}

SPECIAL = {i for tokenizer in KINDS.values() for i in tokenizer.all_special_ids}


def encoder(kind="bert", template="pair", max_tokens=10_000):
    return PairEncoder(KINDS[kind].backend_tokenizer.to_str(), template, max_tokens)


def rows(encoded):
    pairs = zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    return [(encoded.ids[a:b].tolist(), encoded.segments[a:b].tolist()) for a, b in pairs]


def theirs(kind, *texts, **options):
    """Through a list of one: given a bare "" for the second, transformers sees a single text."""
    got = KINDS[kind](*([t] for t in texts), return_token_type_ids=True, **options)
    return got["input_ids"][0], got["token_type_ids"][0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("prompt", "response"), ODD)
def test_pairs_are_what_transformers_makes_of_them(kind, prompt, response):
    encoded = encoder(kind).encode([prompt], [response])
    assert rows(encoded) == [theirs(kind, prompt, response)]
    assert not encoded.truncated.any()


@pytest.mark.parametrize("kind", KINDS)
@given(prompt=any_text, response=any_text)
@settings(max_examples=50, deadline=None)
def test_so_are_random_pairs_and_joined_texts(kind, prompt, response):
    assert rows(encoder(kind).encode([prompt], [response])) == [theirs(kind, prompt, response)]
    assert rows(encoder(kind, "concat").encode([prompt], [response])) == [theirs(kind, prompt + response)]


@pytest.mark.parametrize("kind", KINDS)
@given(prompt=any_text, response=any_text, max_tokens=st.integers(5, 60))
@settings(max_examples=50, deadline=None)
def test_a_long_prompt_is_cut_from_the_left_as_transformers_cuts_it(kind, prompt, response, max_tokens):
    tokenizer = KINDS[kind]
    n_response = len(tokenizer(response, add_special_tokens=False)["input_ids"])
    n_prompt = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    room = max_tokens - tokenizer.num_special_tokens_to_add(pair=True)
    encoded = encoder(kind, max_tokens=max_tokens).encode([prompt], [response])
    assert encoded.truncated[0] == (n_prompt + n_response > room)
    assert encoded.lengths[0] == min(max_tokens, n_prompt + n_response + max_tokens - room)
    if n_response < room:
        tokenizer.truncation_side = "left"
        want = theirs(kind, prompt, response, truncation="only_first", max_length=max_tokens)
        assert rows(encoded) == [want]
    else:  # the response alone fills the room: it is cut from the right, and nothing of the prompt is left
        want = tokenizer(response, add_special_tokens=False)["input_ids"][:room]
        kept = rows(encoded)[0][0]
        assert [i for i in kept if i not in SPECIAL] == [i for i in want if i not in SPECIAL]


@pytest.mark.parametrize("kind", KINDS)
def test_a_joined_text_loses_its_beginning(kind):
    prompt, response = "the of to and in is you that", " it he was"
    encoded = encoder(kind, "concat", 7).encode([prompt], [response])
    KINDS[kind].truncation_side = "left"
    assert rows(encoded) == [theirs(kind, prompt + response, truncation=True, max_length=7)]
    assert encoded.truncated.tolist() == [True]


def test_segments_survive_a_cut():
    encoded = encoder(max_tokens=9).encode(["the of to and in is"], ["you that it"])
    assert rows(encoded)[0][1] == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_a_text_of_exactly_the_limit_is_whole():
    prompt, response = "the of to", "you that it"
    encoded = encoder(max_tokens=9).encode([prompt, "and " + prompt], [response, response])
    assert encoded.lengths.tolist() == [9, 9]
    assert encoded.truncated.tolist() == [False, True]
    assert rows(encoded)[0] == rows(encoded)[1]


def test_an_absurdly_long_text_is_cut_in_reasonable_time():
    encoded = encoder(max_tokens=64).encode(["word " * 200_000, "a"], ["fine", "b"])
    assert encoded.lengths.tolist() == [64, 5]


def test_the_order_of_the_texts_is_kept():
    prompts = [f"{i} of" for i in range(300)]
    encoded = encoder().encode(prompts, ["the"] * 300)
    assert rows(encoded) == [theirs("bert", p, "the") for p in prompts]


def test_padding_stands_on_the_right_and_is_masked():
    encoded = encoder().encode(["the of to and", "the"], ["a", "a"])
    batch = encoded.batch(np.array([1, 0]), 77)
    assert batch.input_ids[0].tolist()[-3:] == [77, 77, 77]
    assert batch.attention_mask.tolist() == [[1] * 5 + [0] * 3, [1] * 8]
    assert batch.token_type_ids[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert (batch.width, len(batch)) == (8, 2)
    assert batch.input_ids.dtype == batch.attention_mask.dtype == batch.token_type_ids.dtype == np.int64


@given(st.lists(st.tuples(any_text, any_text), min_size=1, max_size=12), st.randoms())
@settings(max_examples=30, deadline=None)
def test_a_batch_holds_each_text_as_it_was_encoded(pairs, random):
    encoded = encoder().encode([p for p, _ in pairs], [r for _, r in pairs])
    chosen = np.array(random.sample(range(len(pairs)), random.randint(1, len(pairs))))
    batch = encoded.batch(chosen, 0)
    for row, mask, segments, i in zip(
        batch.input_ids, batch.attention_mask, batch.token_type_ids, chosen, strict=True
    ):
        n = int(mask.sum())
        assert mask[:n].all()
        assert (row[:n].tolist(), segments[:n].tolist()) == rows(encoded)[i]
        assert not row[n:].any()


def test_parts_laid_end_to_end():
    parts = [encoder().encode([p], ["x"]) for p in ("the", "of to", "")]
    joined = EncodedTexts.joined(parts)
    assert rows(joined) == [rows(p)[0] for p in parts]


def test_nothing_to_encode():
    encoded = encoder().encode([], [])
    assert encoded.lengths.tolist() == [] == encoded.ids.tolist()


def test_a_limit_without_room_for_text_is_refused():
    with pytest.raises(InputError, match="leaves no room beside 3 special tokens"):
        encoder(max_tokens=3)
    assert encoder(max_tokens=4).encode(["the of"], ["to a"]).lengths.tolist() == [4]


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"model": {"type": "Nothing"}})])
def test_what_is_no_tokenizer_is_refused(text):
    with pytest.raises(InputError, match=r"tokenizer\.json cannot be read"):
        PairEncoder(text, "pair", 10)


def test_padding_and_truncation_of_the_tokenizer_file_do_not_count():
    tokenizer = fast_tokenizer().backend_tokenizer
    tokenizer.enable_padding(length=50, direction="left")
    tokenizer.enable_truncation(4)
    encoded = PairEncoder(tokenizer.to_str(), "pair", 100).encode(["the of to"], ["and in"])
    assert rows(encoded) == [theirs("bert", "the of to", "and in")]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"))))
def test_identical_texts_are_found(pairs):
    found = Deduplicated.of([p for p, _ in pairs], [r for _, r in pairs])
    distinct = [pairs[i] for i in found.first]
    assert len(set(distinct)) == len(distinct) == len(set(pairs))
    assert [distinct[i] for i in found.index] == pairs
    assert found.copies.tolist() == [pairs.count(p) for p in distinct]


def test_a_different_cut_between_prompt_and_response_is_a_different_text():
    assert len(Deduplicated.of(["ab", "a"], ["c", "bc"]).first) == 2
