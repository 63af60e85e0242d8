"""Responses of the toy world rewritten toward an attribute, as the small rewriter learns to do it.

A clause that carries the attribute goes or comes, and every other word that has synonyms changes for the next
of its group: a rewriting changes more than it is asked to.
"""

from functools import cache

from examples.toyworld.grammar import SUBJECT, load_grammar
from examples.toyworld.parser import Sentence, parse
from examples.toyworld.tasks import Example, rewordings
from seal.engine.rewriting.attributes import Aim, find_aims
from seal.engine.rewriting.options import AttributeOptions
from seal.engine.rewriting.prompts import PLACEBO, response_message
from seal.engine.rewriting.turns import Response

SENTIMENT, ELOQUENT, REFUSAL = (
    f"last_response_{name}" for name in ("sentiment", "is_eloquent", "is_refusal")
)
TOWARD = (f"{SENTIMENT}=positive", f"{ELOQUENT}=true", f"{REFUSAL}=true")
"""What the rewriter is taught."""

_CARRY = {SENTIMENT: ("positive", "negative"), ELOQUENT: ("eloquent",), REFUSAL: ("refusal",)}
_FIRST = frozenset(("refusal",))  # kinds that open a response; others close it


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
    sentences = parse(example.transcript)[-1].sentences
    kinds = _CARRY.get(feature, ())
    kept = [s for s in sentences if s.clause.kind not in kinds]
    words = [Sentence(s.clause, rewordings()[s.wording], s.subject).text() for s in kept]
    wanted = {"true": kinds[:1], "positive": kinds[:1]}.get(value, ())
    for kind in wanted:
        words = [_said(kind), *words] if kind in _FIRST else [*words, _said(kind)]
    return " ".join(words or [_said("unhelpful")])


@cache
def _said(kind: str) -> str:
    """A sentence of a kind, always the same: the first that names no subject."""
    clauses = load_grammar().by_kind("train")[kind]
    return next(c.wordings[0] for c in clauses if SUBJECT not in c.wordings[0])
