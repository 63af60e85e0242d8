"""Back from words to meaning: which clauses a text is made of, what labels follow, and other wordings of it.

It knows nothing of how a text was drawn, so agreement with `truth.parquet` checks both, and it labels
rewritten texts, whoever rewrote them, as long as their sentences are the grammar's.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from examples.toyworld.grammar import SUBJECT, Clause, load_grammar
from examples.toyworld.world import FLAGS, GROUNDS, NEGATED, TOPICS

Label = bool | str | list[str]

_TURN = re.compile(r"\n\n(Human|Assistant):")
_SENTENCE = re.compile(r"[^.!?]+[.!?]")


@dataclass(frozen=True)
class Sentence:
    """One sentence of a text.

    Attributes:
        clause: the template it was made from.
        wording: its words, `{subject}` in place of the subject.
        subject: what it is about, None where its template names no subject.
    """

    clause: Clause
    wording: str
    subject: str | None

    def text(self) -> str:
        return self.wording.replace(SUBJECT, self.subject or "")


@dataclass(frozen=True)
class Turn:
    """What one speaker (`Human` or `Assistant`) says at a time."""

    speaker: str
    sentences: tuple[Sentence, ...]

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(sentence.clause.kind for sentence in self.sentences)


class NotThisWorldError(ValueError):
    """A text holds a sentence or an opening that the grammar cannot say."""


def parse(transcript: str) -> tuple[Turn, ...]:
    """The turns of a transcript in hh-rlhf form.

    Raises:
        NotThisWorldError: it does not open with a human turn, or a sentence is none of the grammar's.
    """
    opening, *rest = _TURN.split(transcript)
    if opening or rest[:1] != ["Human"]:
        raise NotThisWorldError(f"a transcript opens with a human turn; this one with {transcript[:40]!r}")
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return tuple(Turn(speaker, _sentences(said)) for speaker, said in pairs)


def label(turns: tuple[Turn, ...]) -> dict[str, Label]:
    """All features of the taxonomy for a parsed transcript that ends with an assistant's turn."""
    last = turns[-1].kinds
    assistant = [turn.kinds for turn in turns if turn.speaker == "Assistant"]
    told: dict[str, Label] = {
        "assistant_is_anthropomorphic": any("anthropomorphic" in kinds for kinds in assistant),
        "assistant_is_coherent": not any("incoherent" in kinds for kinds in assistant),
        "human_vocabulary_quality": any(k.endswith("_rich") for turn in turns for k in turn.kinds),
        "last_response_is_refusal": "refusal" in last,
        "last_response_is_helpful": "helpful" in last,
        "last_response_is_sexually_explicit": False,
        "last_response_sentiment": _sentiment(last),
        "last_response_is_discriminating_against": [g for g in GROUNDS if f"discriminatory_{g}" in last],
        "topics": _topics(turns),
    }
    for kind, (name, _) in FLAGS.items():
        said = any(k == kind or k.startswith(f"{kind}_") for k in last)
        told[name] = said != (name in NEGATED)
    return told


def paraphrase(transcript: str, rng: random.Random) -> str:
    """The same turns and labels in other words: every sentence that has another wording takes one.

    The text comes back unchanged only when none of its sentences has another wording.
    """
    text = ""
    for turn in parse(transcript):
        text += f"\n\n{turn.speaker}:"
        for sentence in turn.sentences:
            others = [w for w in sentence.clause.wordings if w != sentence.wording] or [sentence.wording]
            text += " " + Sentence(sentence.clause, rng.choice(others), sentence.subject).text()
    return text


def _sentences(said: str) -> tuple[Sentence, ...]:
    known, subject_pattern = _inventory()
    sentences = []
    for raw in _SENTENCE.findall(said):
        sentence = raw.strip()
        found = subject_pattern.search(sentence)
        wording = subject_pattern.sub(SUBJECT, sentence)
        if wording not in known:
            raise NotThisWorldError(f"no template says {sentence!r}")
        sentences.append(Sentence(known[wording], wording, found.group() if found else None))
    if " ".join(s.text() for s in sentences) != said.strip():
        raise NotThisWorldError(f"more than sentences in {said!r}")
    return tuple(sentences)


@cache
def _inventory() -> tuple[Mapping[str, Clause], re.Pattern[str]]:
    """Every wording's clause, and a pattern that finds a subject."""
    grammar = load_grammar()
    known = {wording: clause for clause in grammar.clauses for wording in clause.wordings}
    return known, re.compile("|".join(re.escape(subject) for subject in grammar.subjects))


def _sentiment(last: frozenset[str]) -> str:
    return "positive" if "positive" in last else "negative" if "negative" in last else "neutral"


def _topics(turns: tuple[Turn, ...]) -> list[str]:
    subjects = {s.subject for turn in turns if turn.speaker == "Human" for s in turn.sentences}
    return [t for t in TOPICS if subjects.intersection(load_grammar().topics[t])]
