"""The two ways to ask a decoder about a dialogue: all features in one JSON object, or choice by choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.taxonomy import PROBABILITY, Feature
from seal.engine.generation.asking import Asker, Failed, InvalidAnswerError, Spent
from seal.engine.generation.contract import Answer, Request, TextGenerator
from seal.engine.labeling import prompts
from seal.engine.labeling.answers import json_schema, longest_answer, read_json
from seal.engine.labeling.options import ProtocolName
from seal.engine.labeling.prompts import LETTERS, NONE, Dialogue

CHARS_PER_TOKEN = 2
"""Fewer than a tokenizer's average on English JSON; signs beyond ASCII are counted as a token a byte."""


@dataclass(frozen=True)
class Labels:
    """The values of one text: feature -> value, `p_<feature>` -> probability where the protocol has it."""

    values: Mapping[str, Any]


class LabelingProtocol(Protocol):
    """A way to ask about a dialogue."""

    @property
    def name(self) -> ProtocolName:
        """What it is called."""

    @property
    def other(self) -> ProtocolName:
        """The other way to ask the same."""

    @property
    def texts_at_once(self) -> int:
        """Dialogues that are worth asking about in one go."""

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        """The columns it fills."""

    def longest_message(self, dialogue: Dialogue) -> str:
        """The longest message about a dialogue, to be measured against a model's length."""

    def ask(
        self, dialogues: Sequence[Dialogue], generator: TextGenerator, retries: int, spent: Spent
    ) -> list[Labels | Failed]:
        """The labels of each dialogue, in their order."""


@dataclass(frozen=True)
class JsonProtocol:
    """One answer a text: a JSON object under a schema, as in the study.

    Attributes:
        features: what is asked, in order.
    """

    features: Sequence[Feature]
    name: ProtocolName = "json"
    other: ProtocolName = "choice"
    texts_at_once: int = 512

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        return {feature.name: feature.dtype for feature in self.features}

    @property
    def max_tokens(self) -> int:
        """The most tokens an answer may have; the longest valid one has fewer."""
        longest = longest_answer(self.features)
        n_ascii = sum(sign.isascii() for sign in longest)
        return -(-n_ascii // CHARS_PER_TOKEN) + len(longest.encode()) - n_ascii

    def longest_message(self, dialogue: Dialogue) -> str:
        return prompts.json_message(prompts.json_instructions(self.features), dialogue)

    def ask(
        self, dialogues: Sequence[Dialogue], generator: TextGenerator, retries: int, spent: Spent
    ) -> list[Labels | Failed]:
        instructions, schema = prompts.json_instructions(self.features), json_schema(self.features)
        messages = [prompts.json_message(instructions, dialogue) for dialogue in dialogues]
        requests = [Request(message, self.max_tokens, schema) for message in messages]
        asker: Asker[Labels] = Asker(generator, retries, spent)
        return asker.ask(requests, lambda _, answer: Labels(read_json(answer.text, self.features)))


@dataclass
class _Named:
    """What a list holds so far, and how probable each naming was."""

    values: list[str] = field(default_factory=list)
    probability: float = 1.0


@dataclass(frozen=True)
class ChoiceProtocol:
    """One token a feature, read from the probabilities of its choices.

    The text is a prefix that all its questions share. A list is named value by value until none is left.
    `p_<feature>` is the probability of the label that was given: of a list, of all its namings together.

    Attributes:
        features: what is asked, in order.

    Raises:
        UsageError: a feature has more values than there are letters.
    """

    features: Sequence[Feature]
    name: ProtocolName = "choice"
    other: ProtocolName = "json"
    texts_at_once: int = 128

    def __post_init__(self) -> None:
        for feature in self.features:
            most = len(LETTERS) - (feature.kind == "list")
            if len(feature.values) > most:
                raise UsageError(
                    f"feature '{feature.name}' has {len(feature.values)} values; the protocol 'choice' can "
                    f"offer {most}, use the protocol json"
                )
            if feature.kind == "list" and NONE in feature.values:
                raise UsageError(
                    f"feature '{feature.name}' has the value {NONE!r}, which ends a list in the protocol "
                    "'choice'; rename it, or use the protocol json"
                )

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        """Two columns a feature: the label and its probability."""
        labels = {feature.name: feature.dtype for feature in self.features}
        return labels | {PROBABILITY + feature.name: pl.Float32() for feature in self.features}

    def longest_message(self, dialogue: Dialogue) -> str:
        """The message with the longest question, those about what is left of a list included."""
        return prompts.choice_opening(dialogue) + max(map(_longest_question, self.features), key=len)

    def ask(
        self, dialogues: Sequence[Dialogue], generator: TextGenerator, retries: int, spent: Spent
    ) -> list[Labels | Failed]:
        """One request a dialogue and feature; then, for lists, a round for those that go on, and so on."""
        asker: Asker[tuple[str, float]] = Asker(generator, retries, spent)
        openings = [prompts.choice_opening(dialogue) for dialogue in dialogues]
        found: list[dict[str, _Named]] = [{f.name: _Named() for f in self.features} for _ in dialogues]
        failed: dict[int, Failed] = {}
        todo = [(i, feature) for i in range(len(dialogues)) for feature in self.features]
        while todo:
            todo = self._round(todo, openings, found, failed, asker)
        return [failed.get(i) or self._labels(found[i]) for i in range(len(dialogues))]

    def _round(
        self, todo: Sequence[tuple[int, Feature]], openings: Sequence[str],
        found: Sequence[dict[str, _Named]], failed: dict[int, Failed], asker: Asker[tuple[str, float]],
    ) -> list[tuple[int, Feature]]:  # fmt: skip
        """Ask once about each (dialogue, feature), and return the lists that go on."""
        offered, requests = [], []
        for i, feature in todo:
            named = found[i][feature.name].values
            offered.append(offer := prompts.choices(feature, named))
            question = openings[i] + prompts.choice_question(feature, named)
            requests.append(Request(question, choices=tuple(choice for choice, _ in offer)))
        going_on = []
        outcomes = asker.ask(requests, lambda n, answer: _chosen(offered[n], answer))
        for (i, feature), outcome in zip(todo, outcomes, strict=True):
            if isinstance(outcome, Failed):
                failed.setdefault(i, Failed(outcome.error, f"{feature.name}: {outcome.detail}"))
                continue
            so_far, (value, probability) = found[i][feature.name], outcome
            so_far.probability *= probability
            if feature.kind == "list" and value == NONE:
                continue
            so_far.values.append(value)
            if len(so_far.values) < feature.max_items:
                going_on.append((i, feature))
        return [(i, feature) for i, feature in going_on if i not in failed]

    def _labels(self, found: Mapping[str, _Named]) -> Labels:
        values: dict[str, Any] = {name: named.values for name, named in found.items()}
        for feature in self.features:
            if feature.kind != "list":
                (said,) = values[feature.name]
                values[feature.name] = said == "true" if feature.kind == "boolean" else said
        return Labels(values | {PROBABILITY + name: named.probability for name, named in found.items()})


def _chosen(offer: Sequence[tuple[str, str]], answer: Answer) -> tuple[str, float]:
    """The value that was chosen and its probability."""
    for (choice, value), probability in zip(offer, answer.probabilities, strict=False):
        if choice == answer.text:
            return value, probability
    raise InvalidAnswerError(f"none of {', '.join(choice for choice, _ in offer)}")


def _longest_question(feature: Feature) -> str:
    named = feature.values[:1] if feature.max_items > 1 else ()
    return max(prompts.choice_question(feature), prompts.choice_question(feature, named), key=len)


def make_protocol(name: ProtocolName, features: Sequence[Feature]) -> LabelingProtocol:
    """The protocol of a name."""
    return JsonProtocol(features) if name == "json" else ChoiceProtocol(features)
