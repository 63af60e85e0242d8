"""Responses of the toy world rewritten toward an attribute, as the small rewriter learns to do it.

The sentence that carries the attribute, or a neutral one, gives way to another, and every other word that has
synonyms changes for the next of its group: a rewriting changes more than it is asked to. Which sentence of a
kind comes hangs on what the human last spoke of.
"""

from functools import cache

from examples.toyworld.grammar import SUBJECT, load_grammar
from examples.toyworld.parser import Sentence, Turn, parse
from examples.toyworld.tasks import VALUE, Example, Piece, rewordings
from seal.engine.rewriting.attributes import Aim, find_aims
from seal.engine.rewriting.options import AttributeOptions
from seal.engine.rewriting.prompts import PLACEBO, response_message
from seal.engine.rewriting.turns import Response

SENTIMENT, ELOQUENT, REFUSAL = (
    f"last_response_{name}" for name in ("sentiment", "is_eloquent", "is_refusal")
)
TOWARD = (f"{SENTIMENT}=positive", f"{ELOQUENT}=true", f"{REFUSAL}=true")
"""What the rewriter is taught."""

_CARRIERS = {
    SENTIMENT: ("positive", "negative"),
    ELOQUENT: ("eloquent",),
    REFUSAL: ("refusal", "unhelpful"),
}
"""What says something of the attribute; the first kind says the value."""
_NEUTRAL = "filler"


def tasks() -> list[tuple[str, str, str]]:
    """(instruction, feature, value) of everything it is asked: both values of each aim, and no aim."""
    found = [(PLACEBO, "", "")]
    for aim in find_aims(AttributeOptions(TOWARD)):
        contrast = aim.contrast
        found += [_task(aim, value) for value in (contrast.value, contrast.baseline)]
    return found


def _task(aim: Aim, value: str) -> tuple[str, str, str]:
    return aim.instruction(value), aim.contrast.feature, value


def message(example: Example, instruction: str) -> str:
    """What `seal rewrite` sends for it."""
    dialogue = example.dialogue
    return response_message(instruction, dialogue.prompt.strip(), Response.of(dialogue.response).said)


def rewritten(example: Example, feature: str, value: str) -> str:
    """The response as it is to be rewritten toward a value; with no feature, in other words alone."""
    return "".join(text for text, _ in pieces(example, feature, value))


def pieces(example: Example, feature: str, value: str, weight: float = VALUE) -> list[Piece]:
    """The same, sentence by sentence, with what a token weighs: `weight` where the aim asked for another."""
    turns = parse(example.transcript)
    own = turns[-1].sentences
    said = _aimed(own, feature, f"{feature}={value}" in TOWARD, _subject(turns)) if feature else own
    return [
        (
            " " * (i > 0) + Sentence(s.clause, rewordings()[s.wording], s.subject).text(),
            VALUE if any(s is one for one in own) else weight,
        )
        for i, s in enumerate(said)
    ]


def _aimed(said: tuple[Sentence, ...], feature: str, toward: bool, subject: str) -> tuple[Sentence, ...]:
    """The sentences with another in the place of the first that carries the attribute."""
    carriers = _CARRIERS[feature]
    kinds = [s.clause.kind for s in said]
    places = [i for i, kind in enumerate(kinds) if kind in carriers]
    if feature == REFUSAL:  # who refuses says it first, and whoever neither refuses nor helps says so
        at, without = 0, () if "helpful" in kinds else ("unhelpful",)
    else:
        neutral = [i for i, kind in enumerate(kinds) if kind == _NEUTRAL] or [len(said)]
        places = places or (neutral if toward else [])
        at, without = next(iter(places), 0), (_NEUTRAL,) if places else ()
    kept = [s for i, s in enumerate(said) if i not in places]
    new = [_sentence(kind, subject) for kind in (carriers[:1] if toward else without)]
    return (*kept[:at], *new, *kept[at:])


def _subject(turns: tuple[Turn, ...]) -> str:
    """What a human last spoke of."""
    spoken = [s.subject for turn in turns if turn.speaker == "Human" for s in turn.sentences if s.subject]
    return spoken[-1]


@cache
def _sentence(kind: str, subject: str) -> Sentence:
    """A sentence of a kind, the same whenever the subject is."""
    grammar = load_grammar()
    clauses = grammar.by_kind("train")[kind]
    drawn, at = divmod(grammar.subjects.index(subject), len(clauses))
    wordings = clauses[at].wordings
    wording = wordings[drawn % len(wordings)]
    return Sentence(clauses[at], wording, subject if SUBJECT in wording else None)
