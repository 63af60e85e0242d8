"""What the toy labeler learns from: the project's own messages about generated dialogues, with true answers.

Three tasks: the `json` protocol, the `choice` protocol, and rewriting. Messages are split
where examples share their opening, so that it need be computed only once.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.random import Generator

from examples.toyworld.dialogues import ASSISTANT
from examples.toyworld.draws import CHUNK_PAIRS
from examples.toyworld.generate import Options, generate
from examples.toyworld.grammar import load_grammar
from examples.toyworld.parser import Sentence, parse
from seal.engine.frames.taxonomy import Feature, Taxonomy
from seal.engine.labeling.prompts import (
    NO,
    NONE,
    YES,
    Dialogue,
    choice_opening,
    choice_question,
    choices,
    json_instructions,
    json_message,
)
from seal.engine.rewriting.prompts import MILD_REWRITING, rewriting_message

VALUE, SYNTAX = 1.0, 0.1
"""What a token of an answer weighs: one that says something new, and one that follows from the others."""

Piece = tuple[str, float]
"""A stretch of an answer and the weight of its tokens in the loss."""


@dataclass(frozen=True)
class Example:
    """One text with its true labels.

    Attributes:
        transcript: in hh-rlhf form.
        labels: feature -> value.
    """

    transcript: str
    labels: dict[str, Any]

    @property
    def dialogue(self) -> Dialogue:
        """Cut as `seal import` cuts it."""
        cut = self.transcript.rindex(ASSISTANT) + len("\n\n")
        return Dialogue(self.transcript[:cut], self.transcript[cut:])

    @property
    def n_words(self) -> int:
        return len(self.transcript.split())


def examples(seed: int, start: int = 0) -> Iterator[Example]:
    """Texts of generated pairs without end, one of each pair."""
    rng = np.random.default_rng(seed)
    while True:
        for chunk in generate(Options(40 * CHUNK_PAIRS, seed + start)):
            labels = chunk.labels.drop("row_id", "preference", "variant", "labeler").to_dicts()
            for i, pair in enumerate(chunk.texts):
                side = int(rng.integers(2))
                yield Example(pair[side], labels[2 * i + side])
        start += 1


def json_task(taxonomy: Taxonomy, rng: Generator, whole: bool) -> tuple[str, tuple[Feature, ...]]:
    """Instructions of the `json` protocol: all as they are sent, or of some features, shortened."""
    if whole:
        return json_instructions(taxonomy.features), taxonomy.features
    n = int(rng.integers(4, len(taxonomy.features) + 1))
    picked = sorted(rng.choice(len(taxonomy.features), n, replace=False).tolist())
    features = tuple(taxonomy.features[i] for i in picked)
    n_words = int(rng.integers(1, 6))
    short = tuple(
        replace(f, instruction=" ".join(f.instruction.split()[:n_words]), values=f.values) for f in features
    )
    return json_instructions(short), features


def json_tail(instructions: str, example: Example) -> str:
    """What follows the instructions in a message."""
    return json_message(instructions, example.dialogue)[len(instructions) :]


def json_answer(features: Sequence[Feature], labels: dict[str, Any]) -> list[Piece]:
    """The compact JSON answer."""
    pieces: list[Piece] = []
    for i, feature in enumerate(features):
        pieces.append((("," if i else "{") + f'"{feature.name}":', SYNTAX))
        pieces.append((json.dumps(labels[feature.name], separators=(",", ":")), VALUE))
    return [*pieces, ("}", SYNTAX)]


def opening(example: Example) -> str:
    """What opens every `choice` message about a text."""
    return choice_opening(example.dialogue)


def question(feature: Feature, labels: dict[str, Any], rng: Generator) -> tuple[str, list[Piece]]:
    """A question of the `choice` protocol and its answer; of a list at some point of naming it."""
    value = labels[feature.name]
    if feature.kind == "boolean":
        return choice_question(feature), [(YES if value else NO, VALUE)]
    if feature.kind == "enum":
        return choice_question(feature), [(_letter(feature, value), VALUE)]
    n_named = int(rng.integers(0, min(len(value), feature.max_items - 1) + 1))
    following = value[n_named] if n_named < len(value) else NONE
    answer = _letter(feature, following, value[:n_named])
    return choice_question(feature, value[:n_named]), [(answer, VALUE)]


def rewriting(example: Example) -> tuple[str, list[Piece]]:
    """A message that asks for a rewriting, and the transcript with every synonym changed for the next one."""
    return rewriting_message(MILD_REWRITING, example.transcript), [
        (reworded(example.transcript).strip("\n"), VALUE)
    ]


def reworded(transcript: str) -> str:
    """The transcript with every word that has synonyms replaced by the next of its group."""
    text = ""
    for turn in parse(transcript):
        text += f"\n\n{turn.speaker}:"
        for sentence in turn.sentences:
            text += " " + Sentence(sentence.clause, rewordings()[sentence.wording], sentence.subject).text()
    return text


@cache
def rewordings() -> dict[str, str]:
    """Wording -> wording with every group's word changed for the next."""
    grammar = load_grammar()
    pairs = {}
    for clause in grammar.clauses:
        sizes = [len(grammar.groups[name.lower()]) for name in clause.groups]
        indices = list(product(*map(range, sizes)))
        place = {index: i for i, index in enumerate(indices)}
        for index, wording in zip(indices, clause.wordings, strict=True):
            following = tuple((i + 1) % n for i, n in zip(index, sizes, strict=True))
            pairs[wording] = clause.wordings[place[following]]
    return pairs


def _letter(feature: Feature, value: str, named: Sequence[str] = ()) -> str:
    return next(letter for letter, stands_for in choices(feature, named) if stands_for == value)
