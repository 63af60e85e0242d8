"""Asking again what was cut or invalid, and the two protocols, with answers written here."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from seal.engine.errors import UsageError
from seal.engine.frames.taxonomy import Feature
from seal.engine.generation.asking import Asker, Failed, InvalidAnswerError, Spent
from seal.engine.generation.contract import Answer, Request
from seal.engine.labeling.prompts import NONE, Dialogue
from seal.engine.labeling.protocols import ChoiceProtocol, JsonProtocol, Labels
from tests.support.decoders import some_features


class Scripted:
    """A generator that says what stands in its script: message -> its answers, the last one for good."""

    identity: Mapping[str, Any] = {"backend": "scripted"}
    context = None

    def __init__(self, script: Mapping[str, Sequence[Answer]]) -> None:
        self.script = {message: list(answers) for message, answers in script.items()}
        self.asked: list[Request] = []

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        self.asked += requests
        return [
            answers.pop(0) if len(answers := self.script[r.message]) > 1 else answers[0] for r in requests
        ]

    def count_tokens(self, message: str) -> int:
        return len(message)


def number(_: int, answer: Answer) -> int:
    if not answer.text.isdigit():
        raise InvalidAnswerError("no number")
    return int(answer.text)


def ask(script: Mapping[str, Sequence[Answer]], retries: int = 2) -> tuple[list[Any], Scripted, Spent]:
    generator, spent = Scripted(script), Spent()
    requests = [Request(message, 10, temperature=0.7, seed=5) for message in script]
    return Asker[int](generator, retries, spent).ask(requests, number), generator, spent


def test_only_what_is_cut_or_invalid_is_asked_again_with_the_next_seed() -> None:
    outcomes, generator, spent = ask(
        {
            "good": [Answer("1", n_prompt=3, n_cached=1, n_generated=1)],
            "invalid once": [Answer("x", n_prompt=3), Answer("2", n_prompt=3)],
            "cut twice": [Answer("3", "cut"), Answer("3", "cut"), Answer("3")],
        }
    )
    assert outcomes == [1, 2, 3]
    assert [(r.message, r.seed, r.temperature) for r in generator.asked] == [
        ("good", 5, 0.7), ("invalid once", 5, 0.7), ("cut twice", 5, 0.7),
        ("invalid once", 6, 0.7), ("cut twice", 6, 0.7), ("cut twice", 7, 0.7),
    ]  # fmt: skip
    assert (spent.n_requests, spent.n_retries) == (6, 3)
    assert (spent.n_prompt_tokens, spent.n_cached_tokens, spent.n_generated_tokens) == (9, 1, 1)


def test_a_failure_keeps_its_code_and_the_raw_answer_as_far_as_2000_characters() -> None:
    long = "no number at all " * 1000
    kept = f"{long[:2000]}… (17,000 characters in all)"
    outcomes, generator, _ = ask(
        {
            "cut": [Answer("12", "cut", n_generated=7)],
            "invalid": [Answer(long)],
            "empty": [Answer("")],
            "long": [Answer("", "too_long", "900 tokens")],
            "refused": [Answer("", "refused", "400: no")],
            "refused at length": [Answer(long, "refused", long)],
            "surrogate": [Answer("\ud800")],
        }
    )
    assert outcomes == [
        Failed("cut", "cut after 7 tokens; the answer: 12"),
        Failed("invalid", f"no number; the answer: {kept}"),
        Failed("invalid", "no number; the answer was empty"),
        Failed("too_long", "900 tokens"),
        Failed("refused", "400: no"),
        Failed("refused", f"{kept}; the answer: {kept}"),
        Failed("invalid", "no number; the answer: \\ud800"),
    ]
    asked = [request.message for request in generator.asked]
    assert [asked.count(m) for m in ("cut", "invalid", "long", "refused")] == [3, 3, 1, 1]


def test_without_retries_each_is_asked_once() -> None:
    outcomes, generator, spent = ask({"a": [Answer("x"), Answer("1")]}, retries=0)
    assert isinstance(outcomes[0], Failed)
    assert (len(generator.asked), spent.n_retries) == (1, 0)


class Chooser:
    """A generator that chooses, for every question, what stands beside its first words in `likes`."""

    identity: Mapping[str, Any] = {}
    context = None

    def __init__(self, likes: Mapping[str, Sequence[str]]) -> None:
        self.likes = {name: list(values) for name, values in likes.items()}
        self.offers: list[tuple[str, ...]] = []

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Answer:
        self.offers.append(request.choices)
        name = next(n for n in self.likes if n in request.message)
        said = self.likes[name].pop(0)
        line = next((x for x in request.message.splitlines() if x.endswith(f" {said}") and x[1] == " "), "")
        text = line[:1] or said
        return Answer(text, probabilities=tuple(0.8 if c == text else 0.1 for c in request.choices))

    def count_tokens(self, message: str) -> int:
        return len(message)


def made(name: str, kind: Any, values: Sequence[str] = (), max_items: int = 0) -> Feature:
    return Feature(name, kind, "last response", f"about {name}?", values=tuple(values), max_items=max_items)


def test_a_list_is_named_value_by_value_until_none_is_left() -> None:
    features = [made("Grounds", "list", ("age", "wealth", "health"), 3), made("Kind", "boolean")]
    chooser = Chooser({"Grounds": ["wealth", "age", NONE], "Kind": ["no"]})
    labels = ChoiceProtocol(features).ask([Dialogue("p", "r")], chooser, 0, Spent())[0]
    assert isinstance(labels, Labels)
    assert labels.values["Grounds"] == ["wealth", "age"]
    assert labels.values["p_Grounds"] == pytest.approx(0.8**3)
    assert (labels.values["Kind"], labels.values["p_Kind"]) == (False, 0.8)
    assert chooser.offers == [("A", "B", "C", "D"), ("yes", "no"), ("A", "C", "D"), ("C", "D")]


def test_a_full_list_is_not_asked_about_again() -> None:
    chooser = Chooser({"Grounds": ["age", "wealth"]})
    features = [made("Grounds", "list", ("age", "wealth", "health"), 2)]
    labels = ChoiceProtocol(features).ask([Dialogue("p", "r")], chooser, 0, Spent())[0]
    assert isinstance(labels, Labels)
    assert labels.values["Grounds"] == ["age", "wealth"]


def test_an_enum_may_have_the_value_that_ends_lists_and_a_list_may_not() -> None:
    chooser = Chooser({"Mood": [NONE]})
    labels = ChoiceProtocol([made("Mood", "enum", ("good", NONE))]).ask(
        [Dialogue("p", "r")], chooser, 0, Spent()
    )[0]
    assert isinstance(labels, Labels)
    assert labels.values["Mood"] == NONE
    with pytest.raises(UsageError, match="ends a list"):
        ChoiceProtocol([made("Grounds", "list", ("age", NONE), 1)])


def test_more_values_than_letters_are_refused() -> None:
    values = [f"v{i}" for i in range(27)]
    with pytest.raises(UsageError, match="can offer 26"):
        ChoiceProtocol([made("Mood", "enum", values)])
    with pytest.raises(UsageError, match="can offer 25"):
        ChoiceProtocol([made("Grounds", "list", values[:26], 1)])
    assert JsonProtocol([made("Mood", "enum", values)]).max_tokens > 0


def test_one_question_that_fails_fails_its_dialogue_alone() -> None:
    feature = made("Kind", "boolean")
    protocol = ChoiceProtocol([feature])
    good, bad = Dialogue("p", "good"), Dialogue("p", "bad")
    yes = Answer("yes", probabilities=(0.9, 0.1))
    generator = Scripted(
        {protocol.longest_message(good): [yes], protocol.longest_message(bad): [Answer("hm")]}
    )
    outcomes = protocol.ask([good, bad, replace(good)], generator, 1, Spent())
    assert outcomes[0] == outcomes[2] == Labels({"Kind": True, "p_Kind": 0.9})
    assert outcomes[1] == Failed("invalid", "Kind: none of yes, no; the answer: hm")


def test_the_longest_message_is_no_shorter_than_any_that_is_sent() -> None:
    protocol = ChoiceProtocol(some_features())
    dialogue = Dialogue("p", "r")
    sent: list[str] = []

    class Recording(Chooser):
        def answer(self, requests: Sequence[Request]) -> list[Answer]:
            sent.extend(request.message for request in requests)
            return [
                Answer(r.choices[0], probabilities=(1.0, *[0.0] * (len(r.choices) - 1))) for r in requests
            ]

    protocol.ask([dialogue], Recording({}), 0, Spent())
    assert len(sent) > len(protocol.features)
    assert len(protocol.longest_message(dialogue)) == max(map(len, sent))
