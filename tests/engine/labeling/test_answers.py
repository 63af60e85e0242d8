"""Answers are read as they stand or not at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.engine.frames.taxonomy import Feature, load_taxonomy
from seal.engine.generation.asking import InvalidAnswerError
from seal.engine.labeling.answers import json_schema, longest_answer, read_json
from seal.engine.labeling.protocols import JsonProtocol
from tests.support.decoders import some_features

FEATURES = some_features()
NAMES = [feature.name for feature in FEATURES]
GOOD: dict[str, Any] = {
    "last_response_is_refusal": True, "last_response_is_helpful": False,
    "last_response_sentiment": "neutral", "topics": ["technology", "people_and_self"],
}  # fmt: skip


def values_of(feature: Feature) -> st.SearchStrategy[Any]:
    if feature.kind == "boolean":
        return st.booleans()
    one = st.sampled_from(feature.values)
    return one if feature.kind == "enum" else st.lists(one, max_size=feature.max_items)


answers = st.fixed_dictionaries({feature.name: values_of(feature) for feature in load_taxonomy().features})


@given(answers, st.sampled_from([None, 2]))
def test_what_the_schema_allows_is_read_back(answer: dict[str, Any], indent: int | None) -> None:
    features = load_taxonomy().features
    ordered = {feature.name: answer[feature.name] for feature in features}
    read = read_json(json.dumps(ordered, indent=indent), features)
    assert list(read) == [feature.name for feature in features]
    for feature in features:
        said = ordered[feature.name]
        assert read[feature.name] == (list(dict.fromkeys(said)) if feature.kind == "list" else said)


def test_the_schema_of_every_kind() -> None:
    schema = json_schema(FEATURES)
    assert list(schema["properties"]) == schema["required"] == NAMES
    assert schema["additionalProperties"] is False
    assert schema["properties"]["last_response_is_refusal"] == {"type": "boolean"}
    assert schema["properties"]["last_response_sentiment"]["enum"] == ["positive", "neutral", "negative"]
    topics = schema["properties"]["topics"]
    assert (topics["type"], topics["maxItems"], len(topics["items"]["enum"])) == ("array", 3, 12)
    assert "uniqueItems" not in json.dumps(schema)


@given(answers)
def test_no_answer_is_longer_than_the_longest(answer: dict[str, Any]) -> None:
    features = load_taxonomy().features
    ordered = {feature.name: answer[feature.name] for feature in features}
    assert len(json.dumps(ordered)) <= len(longest_answer(features))


def test_the_longest_answer_repeats_the_longest_value_since_the_schema_lets_it() -> None:
    feature = Feature("a", "list", "last response", "Which?", values=("x", "long", "y"), max_items=3)
    assert longest_answer([feature]) == '{"a": ["long", "long", "long"]}'


def test_signs_beyond_ascii_may_take_a_token_a_byte() -> None:
    plain, signs = (
        Feature("a", "enum", "last response", "Which?", values=(value, "b"))
        for value in ("xxxxxxxxxx", "気気気気気気気気気気")
    )
    assert JsonProtocol([signs]).max_tokens >= JsonProtocol([plain]).max_tokens - 5 + 30


def changed(**more: Any) -> str:
    return json.dumps(GOOD | more)


def without(name: str) -> str:
    return json.dumps({key: value for key, value in GOOD.items() if key != name})


INVALID = {
    "empty": ("", "no JSON"),
    "words": ("yes", "no JSON"),
    "cut": (json.dumps(GOOD)[:-5], "no JSON"),
    "fenced": (f"```json\n{json.dumps(GOOD)}\n```", "no JSON"),
    "two objects": (json.dumps(GOOD) * 2, "no JSON"),
    "a trailing comma": (json.dumps(GOOD)[:-1] + ",}", "no JSON"),
    "a list": (json.dumps([GOOD]), "no JSON object"),
    "an empty list": ("[]", "no JSON object"),
    "text": ('"topics"', "no JSON object"),
    "null": ("null", "no JSON object"),
    "NaN": ("NaN", "no JSON object"),
    "too deep": ("[" * 100_000, "no JSON"),
    "deep inside": (changed().replace('["technology"', '[' + "[" * 100_000), "no JSON"),
    "a huge number": (changed().replace("true", "9" * 5000), "no JSON"),
    "a key missing": (without("topics"), "without the key 'topics'"),
    "an unknown key": (changed(more=1), "a key 'more' that was not asked for"),
    "another order": (json.dumps(dict(reversed(GOOD.items()))), "in another order"),
    "a key twice": (changed()[:-1] + ', "topics": []}', "one of them twice"),
    "yes for true": (changed(last_response_is_refusal="yes"), "neither true nor false"),
    "1 for true": (changed(last_response_is_refusal=1), "neither true nor false"),
    "null for false": (changed(last_response_is_refusal=None), "neither true nor false"),
    "NaN for true": (changed(last_response_is_refusal=float("nan")), "neither true nor false"),
    "another mood": (changed(last_response_sentiment="Neutral"), "none of positive, neutral, negative"),
    "a mood with a space": (changed(last_response_sentiment="neutral "), "none of positive"),
    "a list of moods": (changed(last_response_sentiment=["neutral"]), "none of positive"),
    "an object of moods": (changed(last_response_sentiment={}), "none of positive"),
    "one topic": (changed(topics="technology"), "no list of at most 3"),
    "an object of topics": (changed(topics={}), "no list of at most 3"),
    "four topics": (changed(topics=["technology"] * 4), "no list of at most 3"),
    "an unknown topic": (changed(topics=["sports"]), "something that is none of"),
    "a number among topics": (changed(topics=[1]), "something that is none of"),
    "a list among topics": (changed(topics=[[]]), "something that is none of"),
    "an object among topics": (changed(topics=[{}]), "something that is none of"),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_nothing_else_is_read_and_nothing_repaired(case: str) -> None:
    answer, reason = INVALID[case]
    with pytest.raises(InvalidAnswerError, match=reason) as caught:
        read_json(answer, FEATURES)
    assert caught.value.code == "invalid"


@given(st.text())
def test_any_other_text_is_invalid_and_no_crash(text: str) -> None:
    with pytest.raises(InvalidAnswerError):
        read_json(text, FEATURES)


def test_repeats_are_named_once_in_their_order() -> None:
    read = read_json(changed(topics=["technology", "people_and_self", "technology"]), FEATURES)
    assert read["topics"] == ["technology", "people_and_self"]
