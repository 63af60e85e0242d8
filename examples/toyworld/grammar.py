"""The language of the toy world: `grammar.toml` loaded, checked and expanded into all it can say."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

Templates = Literal["train", "heldout", "all"]

SUBJECT = "{subject}"
_GROUP = re.compile(r"\[(\w+)\]")
_GRAMMAR_PATH = Path(__file__).with_name("grammar.toml")


@dataclass(frozen=True)
class Clause:
    """One template and its wordings.

    Attributes:
        kind: what the sentence means, a table of `grammar.toml` (`helpful`, `insult`, ...).
        template: the text with `[group]` and `{subject}` in it; identifies the clause.
        heldout: never drawn by `--templates train`.
        wordings: every choice of synonyms, `{subject}` still in place; all mean the same.
    """

    kind: str
    template: str
    heldout: bool
    wordings: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The synonym groups of the template in order; `wordings` counts through them, the last fastest."""
        return tuple(name.lower() for name in _GROUP.findall(self.template))


@dataclass(frozen=True)
class Grammar:
    """Everything the toy world can say.

    Attributes:
        groups: synonym group -> its words.
        topics: topic -> its subjects.
        clauses: all clauses, in file order.
    """

    groups: Mapping[str, tuple[str, ...]]
    topics: Mapping[str, tuple[str, ...]]
    clauses: tuple[Clause, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        """All subjects, topic by topic: subject i belongs to topic i // (subjects a topic)."""
        return tuple(subject for subjects in self.topics.values() for subject in subjects)

    def by_kind(self, templates: Templates) -> dict[str, tuple[Clause, ...]]:
        """The clauses that may be drawn, by kind."""
        drawn: dict[str, list[Clause]] = {}
        for clause in self.clauses:
            if templates == "all" or clause.heldout == (templates == "heldout"):
                drawn.setdefault(clause.kind, []).append(clause)
        return {kind: tuple(clauses) for kind, clauses in drawn.items()}


@cache
def load_grammar() -> Grammar:
    """The toy world's grammar.

    Raises:
        ValueError: two clauses share a sentence, so that a text could not be read back, or a template names
            an unknown group.
    """
    data = tomllib.loads(_GRAMMAR_PATH.read_text(encoding="utf-8"))
    groups = {name: tuple(words) for name, words in data["groups"].items()}
    topics = {name: tuple(subjects) for name, subjects in data["topics"].items()}
    clauses = tuple(_clauses(data["clauses"], groups))
    sentences = [wording for clause in clauses for wording in clause.wordings]
    if len(set(sentences)) != len(sentences):
        raise ValueError(f"{_GRAMMAR_PATH.name}: two clauses share a sentence")
    return Grammar(groups, topics, clauses)


def _clauses(
    tables: Mapping[str, Mapping[str, list[str]]], groups: Mapping[str, tuple[str, ...]]
) -> Iterator[Clause]:
    for kind, table in tables.items():
        for part in ("train", "heldout"):
            for template in table[part]:
                yield Clause(kind, template, part == "heldout", tuple(_wordings(template, groups)))


def _wordings(template: str, groups: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    pieces = _GROUP.split(template)  # text, group, text, group, ..., text
    choices = []
    for name in pieces[1::2]:
        if name.lower() not in groups:
            raise ValueError(f"{_GRAMMAR_PATH.name}: no group '{name}', named in {template!r}")
        words = groups[name.lower()]
        choices.append(words if name.islower() else tuple(w[0].upper() + w[1:] for w in words))
    for words in product(*choices):
        slots = [word for pair in zip(pieces[::2], (*words, ""), strict=True) for word in pair]
        yield "".join(slots)
