"""Records of several responses to one prompt -> a record for each two of them that were compared.

Such a record has `prompt`, `chosen`, `rejected` (the texts), `tie`, and of either side what is known of it
(`score_chosen`, `model_rejected`, ...), over the columns of the record it comes from. A malformed response
takes only its own comparisons with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product
from typing import Any

from seal.engine.datasets.fields import Record, get, need, number, text
from seal.engine.datasets.transcripts import ASSISTANT, Malformed, Pair, Tie, kind

MOST = 100  # responses of a record; so many are 4,950 comparisons
_SCORES = ("overall_score", "fine-grained_score")
Compared = Record | Malformed


@dataclass(frozen=True)
class _Response:
    """One response.

    Attributes:
        text: what was answered.
        place: where it stands in its record, for reasons.
        worth: of two responses the one with more is better, with as much they are tied.
        facts: what is carried of it.
    """

    text: str
    place: str
    worth: float
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class _Refused:
    """A response that is none."""

    place: str
    why: Malformed


_Read = _Response | _Refused


def parse_compared(record: Record) -> Pair:
    """One record of this module -> its pair."""
    prompt, chosen, rejected = (text(record, name) for name in ("prompt", "chosen", "rejected"))
    return (Tie if record.get("tie") else Pair)(prompt, chosen, prompt, rejected)


def unroll_completions(record: Record) -> Iterator[Compared]:
    """UltraFeedback: every two completions, ordered by their score."""
    prompt, completions = text(record, "instruction"), _listed(record, "completions", at_least=2)
    overall, fine = ([get(c, name) is not None for c in completions] for name in _SCORES)
    score = _SCORES[1] if all(fine) and not all(overall) else _SCORES[0]

    def read(completion: Any, place: str) -> _Response:
        one = {"completions": completion}
        answer, rated = text(one, "completions", "response"), number(one, "completions", score)
        return _Response(answer, place, rated, {"score": rated, "model": get(completion, "model")})

    yield from _each_two(record, prompt, _read(completions, "completions", read))


def unroll_answers(record: Record) -> Iterator[Compared]:
    """Nectar: every two answers, ordered by their rank, of which 1 is the best."""
    (prompt, opening), answers = _opened(text(record, "prompt")), _listed(record, "answers", at_least=2)

    def read(answer: Any, place: str) -> _Response:
        one = {"answers": answer}
        said, rank = text(one, "answers", "answer"), number(one, "answers", "rank")
        if not said or said.isspace():
            raise Malformed("empty_text", "'answers.answer' is empty")
        return _Response(opening + said, place, -rank, {"rank": rank, "model": get(answer, "model")})

    yield from _each_two(record, prompt, _read(answers, "answers", read))


def unroll_best_of(record: Record) -> Iterator[Compared]:
    """RewardBench 2: every chosen response against every rejected one; several chosen ones are tied."""
    prompt = text(record, "prompt")
    chosen, rejected = (_listed(record, side, at_least=1) for side in ("chosen", "rejected"))
    _refuse_many(len(chosen) + len(rejected))
    better = _read(chosen, "chosen", partial(_plain, worth=1))
    worse = _read(rejected, "rejected", partial(_plain, worth=0))
    for one, other in (*product(better, worse), *combinations(better, 2)):
        yield _compared(record, prompt, one, other)


def _plain(response: Any, place: str, worth: float) -> _Response:
    if not isinstance(response, str):
        raise Malformed("wrong_type", f"it is {kind(response)}; a string is needed")
    return _Response(response, place, worth, {})


def _listed(record: Record, name: str, *, at_least: int) -> Sequence[Any]:
    found = need(record, name)
    if not isinstance(found, list):
        raise Malformed("wrong_type", f"'{name}' is {kind(found)}; a list is needed")
    if len(found) < at_least:
        raise Malformed("too_few", f"'{name}' has {len(found)} entries; at least {at_least} are needed")
    _refuse_many(len(found))
    return found


def _refuse_many(n_responses: int) -> None:
    if n_responses > MOST:
        raise Malformed("too_many", f"{n_responses:,} responses to one prompt; at most {MOST} are read")


def _opened(prompt: str) -> tuple[str, str]:
    """A prompt, and what opens the response: a transcript that ends in `Assistant:` is cut before it."""
    cut = prompt.rfind(ASSISTANT)
    if cut < 0 or prompt[cut + len(ASSISTANT) :].strip():
        return prompt, ""
    cut = prompt.index("A", cut)
    return prompt[:cut], prompt[cut:]


def _read(responses: Sequence[Any], name: str, read: Callable[[Any, str], _Response]) -> list[_Read]:
    found: list[_Read] = []
    for at, response in enumerate(responses, start=1):
        place = f"{name} {at}"
        try:
            known = read(response, place)
            if not known.text or known.text.isspace():
                raise Malformed("empty_text", "it is empty")
            found.append(known)
        except Malformed as malformed:
            found.append(_Refused(place, malformed))
    return found


def _each_two(record: Record, prompt: str, responses: Sequence[_Read]) -> Iterator[Compared]:
    for one, other in combinations(responses, 2):
        yield _compared(record, prompt, one, other)


def _compared(record: Record, prompt: str, one: _Read, other: _Read) -> Compared:
    if isinstance(one, _Refused):
        return Malformed(one.why.code, f"{one.place} (against {other.place}): {one.why.reason}")
    if isinstance(other, _Refused):
        return Malformed(other.why.code, f"{other.place} (against {one.place}): {other.why.reason}")
    chosen, rejected = (one, other) if one.worth >= other.worth else (other, one)
    facts = {f"{name}_chosen": value for name, value in chosen.facts.items()}
    facts |= {f"{name}_rejected": value for name, value in rejected.facts.items()}
    return {
        **record, "prompt": prompt, "chosen": chosen.text, "rejected": rejected.text,
        "tie": one.worth == other.worth, **facts,
    }  # fmt: skip
