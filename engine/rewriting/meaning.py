"""Perturbations that change what a response says, on purpose: what must lower its reward.

Functions as in `surface.py`. A response that answers another prompt is no function of one text; the stage
(`perturbing.py`) draws it.
"""

import re
from random import Random

_END = re.compile(r"([.!?…][\"'”’)\]]?)[ \t]++(?=\S)|()\n\s*+|([。！？])(?=.)")
_LISTED = re.compile(r"(?:\A|\n)\d{1,2}\Z")
_AUXILIARY = re.compile(
    r"(?<=[^\W_] )(?:is|are|was|were|can|could|will|would|should|must|may|might)"
    r"(?= [a-z])(?! (?:not|never|it|he|she|they|you|we|this|that|there)\b)"
)


def sentences(text: str) -> tuple[list[str], list[str]]:
    """The sentences of a text and what stands between them, one less; laid out in turn they are the text."""
    pieces, between, last = [], [], 0
    for mark in _END.finditer(text):
        end = mark.end(mark.lastindex or 0)
        if text[end - 1] == "." and _LISTED.search(text, max(0, end - 4), end - 1):
            continue  # a number that opens an item of a list
        pieces.append(text[last:end])
        between.append(text[end : mark.end()])
        last = mark.end()
    return [*pieces, text[last:]], between


def sentences_shuffled(text: str, generator: Random) -> str | None:
    """The sentences stand in another order; what is between them stays."""
    pieces, between = sentences(text)
    places = [i for i, piece in enumerate(pieces) if piece]
    if len({pieces[i] for i in places}) < 2:
        return None
    order = sorted(places, key=lambda _: generator.random())
    if all(pieces[a] == pieces[b] for a, b in zip(places, order, strict=True)):
        order = [*places[1:], places[0]]
    said = list(pieces)
    for a, b in zip(places, order, strict=True):
        said[a] = pieces[b]
    return "".join(part for both in zip(said, [*between, ""], strict=True) for part in both)


def last_sentence_cut(text: str, _: Random) -> str | None:
    """The last sentence is missing, where there are two or more."""
    pieces, between = sentences(text)
    while len(pieces) > 1 and not pieces[-1].strip():
        pieces.pop()
        between.pop()
    if len(pieces) < 2:
        return None
    kept = "".join(part for both in zip(pieces[:-1], [*between[:-1], ""], strict=True) for part in both)
    return kept if kept.strip() else None


def repeated_twice(text: str, _: Random) -> str | None:
    """The response stands twice."""
    return f"{text}\n\n{text}" if text.strip() else None


def negation_inserted(text: str, _: Random) -> str | None:
    """Behind the first "is", "can", "will", "should" or the like stands "not"."""
    found = _AUXILIARY.search(text)
    return None if found is None else f"{text[: found.end()]} not{text[found.end() :]}"
