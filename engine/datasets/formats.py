"""The formats of preference datasets as one table: what a record looks like, and how it becomes a pair.

Explicit prompts and responses stay as they stand; conversations are cut as `transcripts.py` says. To add
a format is to add an entry of `FORMATS`, with a parser where none of those here will do.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from seal.engine.datasets.fields import Record, get, need, number, text
from seal.engine.datasets.ranked import parse_compared, unroll_answers, unroll_best_of, unroll_completions
from seal.engine.datasets.transcripts import (
    ASSISTANT,
    Malformed,
    Pair,
    Tie,
    cut_messages,
    cut_transcript,
    kind,
)  # fmt: skip

MetaType = type[str] | type[float] | type[int]
_SIDES = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class Meta:
    """A column carried through as `meta_<name>`: the same value on both texts of a pair, null where it is
    missing or of another type.

    Attributes:
        name: without the prefix.
        read: finds the value in a record.
        type: `str` (other values are carried as JSON), `float` or `int`.
    """

    name: str
    read: Callable[[Record], Any]
    type: MetaType = str


@dataclass(frozen=True)
class Format:
    """One shape of record.

    Attributes:
        name: as `format` takes it.
        holds: its columns in words, for help and errors.
        columns: the top-level columns `parse` and `meta` read.
        matches: whether a record looks like it; malformed values may still fail in `parse`.
        parse: record (where there is `unroll`, one of its records) -> pair, a `Tie` where neither wins.
        meta: what is carried beyond the texts.
        unroll: of a format whose records hold several responses: record -> a record for each two of them that
            were compared, or why these two are no pair. At least one.
    """

    name: str
    holds: str
    columns: tuple[str, ...]
    matches: Callable[[Record], bool]
    parse: Callable[[Record], Pair]
    meta: tuple[Meta, ...] = ()
    unroll: Callable[[Record], Iterable[Record | Malformed]] | None = None


def _ordered(prompt: str, first: str, second: str, lead: float = 1) -> Pair:
    """The pair of two responses: the first is preferred where its lead is above 0, neither where it is 0."""
    if lead == 0:
        return Tie(prompt, first, prompt, second)
    chosen, rejected = (first, second) if lead > 0 else (second, first)
    return Pair(prompt, chosen, prompt, rejected)


def _parse_hh(record: Record) -> Pair:
    chosen, rejected = text(record, "chosen"), text(record, "rejected")
    return Pair(*cut_transcript(chosen, "chosen"), *cut_transcript(rejected, "rejected"))


def _parse_pairs(record: Record) -> Pair:
    prompt, chosen, rejected = (text(record, side) for side in _SIDES)
    return _ordered(prompt, chosen, rejected)


def _parse_messages(record: Record) -> Pair:
    prompt, chosen, rejected = record.get("prompt"), need(record, "chosen"), need(record, "rejected")
    return Pair(*cut_messages(prompt, chosen, "chosen"), *cut_messages(prompt, rejected, "rejected"))


def _parse_webgpt(record: Record) -> Pair:
    score_0, score_1 = number(record, "score_0"), number(record, "score_1")
    question = text(record, "question", "full_text")
    answer_0, answer_1 = text(record, "answer_0"), text(record, "answer_1")
    return _ordered(question, answer_0, answer_1, (score_0 > score_1) - (score_0 < score_1))


def _parse_summarize(record: Record) -> Pair:
    summaries = need(record, "summaries")
    if not isinstance(summaries, list) or len(summaries) != 2:
        found = f"{len(summaries)} entries" if isinstance(summaries, list) else kind(summaries)
        raise Malformed("wrong_type", f"'summaries' is {found}; a list of two is needed")
    first, second = (text({"summaries": s}, "summaries", "text") for s in summaries)
    choice = number(record, "choice")
    if choice not in (0, 1):
        raise Malformed("bad_preference", f"'choice' is {choice:g}; 0 or 1 is needed")
    return _ordered(_summarize_prompt(record), first, second, 1 if choice == 0 else -1)


def _summarize_prompt(record: Record) -> str:
    """The query the summaries were written for: a Reddit post (TL;DR) or a news article (CNN/DM)."""
    if get(record, "info", "post") is None and get(record, "info", "article") is not None:
        return f"Article:\n{text(record, 'info', 'article')}\n\nTL;DR:"
    post = text(record, "info", "post")
    heads = {"SUBREDDIT: r/": get(record, "info", "subreddit"), "TITLE: ": get(record, "info", "title")}
    lines = [f"{head}{value}" for head, value in heads.items() if isinstance(value, str)]
    return "\n\n".join([*lines, f"POST: {post}", "TL;DR:"])


def _parse_helpsteer3(record: Record) -> Pair:
    context, preference = need(record, "context"), number(record, "overall_preference")
    if preference not in (-3, -2, -1, 0, 1, 2, 3):
        raise Malformed("bad_preference", f"'overall_preference' is {preference:g}; -3 to 3 is needed")
    prompt, first = cut_messages(context, text(record, "response1"), "response1")
    _, second = cut_messages(context, text(record, "response2"), "response2")
    return _ordered(prompt, first, second, -preference)


def _parse_implicit(record: Record) -> Pair:
    chosen, rejected = text(record, "chosen"), text(record, "rejected")
    shared = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    if shared is None:
        raise Malformed(
            "no_preference", "one text opens with the whole of the other; no prompt can be cut off"
        )
    cut = max(chosen.rfind(space, 0, shared) for space in " \n\t") + 1
    return Pair(chosen[:cut], chosen[cut:], rejected[:cut], rejected[cut:])


def _strings(*columns: str) -> Callable[[Record], bool]:
    return lambda record: all(isinstance(record.get(c), str) for c in columns)


def _has(*columns: str) -> Callable[[Record], bool]:
    return lambda record: all(c in record for c in columns)


def _is_hh(record: Record) -> bool:
    sides = [record.get("chosen"), record.get("rejected")]
    return record.get("prompt") is None and any(isinstance(s, str) and ASSISTANT in s for s in sides)


def _is_messages(record: Record) -> bool:
    lists = any(isinstance(record.get(side), list) for side in _SIDES)
    return lists and _has("chosen", "rejected")(record)


def column(name: str, *, type: MetaType = str, inside: str = "") -> Meta:
    """A column carried as it stands, or one inside an object."""
    path = (inside, name) if inside else (name,)
    return Meta(name, lambda record: get(record, *path), type)


def _carried(*names: str, type: MetaType = str, inside: str = "") -> tuple[Meta, ...]:
    return tuple(column(name, type=type, inside=inside) for name in names)


def _score_margin(record: Record) -> float:
    return abs(number(record, "score_0") - number(record, "score_1"))


def _is_best_of(record: Record) -> bool:
    sides = [record.get(side) for side in ("chosen", "rejected")]
    texts = all(isinstance(s, list) and all(isinstance(t, str) for t in s) for s in sides)
    return texts and any(sides) and _strings("prompt")(record)


def _lists(name: str) -> Callable[[Record], bool]:
    return lambda record: isinstance(record.get(name), list)


def _of_sides(*names: str, type: MetaType = str) -> tuple[Meta, ...]:
    return _carried(*(f"{name}_{side}" for name in names for side in ("chosen", "rejected")), type=type)


_REWARDBENCH = ("subset", "chosen_model", "rejected_model")

# In the order of detection: the more columns a format asks for, the earlier it is tried.
FORMATS: Mapping[str, Format] = {
    f.name: f
    for f in (
        Format(
            "rewardbench",
            "prompt, chosen, rejected, chosen_model, rejected_model, subset",
            (*_SIDES, *_REWARDBENCH), lambda r: _has(*_REWARDBENCH)(r) and _strings(*_SIDES)(r),
            _parse_pairs, _carried(*_REWARDBENCH),
        ),
        Format(
            "ultrafeedback",
            "prompt, chosen and rejected as message lists, score_chosen, score_rejected",
            (*_SIDES, "prompt_id", "score_chosen", "score_rejected"),
            lambda r: _is_messages(r) and _has("score_chosen", "score_rejected")(r), _parse_messages,
            _carried("prompt_id") + _carried("score_chosen", "score_rejected", type=float),
        ),
        Format(
            "rewardbench2", "prompt, chosen and rejected as lists of strings, maybe a subset",
            (*_SIDES, "subset"), _is_best_of, parse_compared, _carried("subset"), unroll_best_of,
        ),
        Format(
            "ultrafeedback-completions",
            "instruction, completions[].response, completions[].overall_score or fine-grained_score",
            ("instruction", "completions", "source"),
            lambda r: _strings("instruction")(r) and _lists("completions")(r), parse_compared,
            (*_carried("source"), *_of_sides("score", type=float), *_of_sides("model")), unroll_completions,
        ),
        Format(
            "nectar", "prompt, answers[].answer, answers[].rank",
            ("prompt", "answers"), lambda r: _strings("prompt")(r) and _lists("answers")(r), parse_compared,
            (*_of_sides("rank", type=float), *_of_sides("model")), unroll_answers,
        ),
        Format(
            "helpsteer3", "context, response1, response2, overall_preference",
            ("context", "response1", "response2", "overall_preference", "domain", "language"),
            _has("context", "response1", "response2", "overall_preference"), _parse_helpsteer3,
            _carried("overall_preference", type=int) + _carried("domain", "language"),
        ),
        Format(
            "webgpt", "question.full_text, answer_0, answer_1, score_0, score_1",
            ("question", "answer_0", "answer_1", "score_0", "score_1"),
            _has("question", "answer_0", "answer_1", "score_0", "score_1"), _parse_webgpt,
            (Meta("score_margin", _score_margin, float), *_carried("dataset", inside="question")),
        ),
        Format(
            "summarize", "info.post or info.article, summaries[].text, choice",
            ("info", "summaries", "choice", "worker", "batch", "extra"), _has("info", "summaries", "choice"),
            _parse_summarize, (
                *_carried("subreddit", inside="info"), *_carried("worker", "batch"),
                *_carried("confidence", type=int, inside="extra"),
            ),
        ),
        Format(
            "messages",
            "chosen and rejected as message lists (role, content), maybe a prompt as string or list",
            _SIDES, _is_messages, _parse_messages,
        ),
        Format("pairs", "prompt, chosen, rejected as strings", _SIDES, _strings(*_SIDES), _parse_pairs),
        Format("hh", "chosen and rejected as transcripts with '\\n\\nAssistant:'", _SIDES, _is_hh, _parse_hh),
        # Named only: the first cannot be told from `pairs`, the second could be a damaged `hh`.
        Format(
            "synthetic-instruct", "prompt, chosen, rejected as strings", _SIDES, lambda r: False, _parse_pairs
        ),
        Format(
            "implicit",
            "chosen and rejected as strings that open with the prompt, cut at the last space they share",
            _SIDES, lambda r: False, _parse_implicit,
        ),
    )
}  # fmt: skip


def of_columns(prompt: str | None, chosen: str, rejected: str) -> Format:
    """The format of records whose columns somebody named.

    Args:
        prompt: holds a string or a list of messages; None where the responses are whole conversations.
        chosen, rejected: hold strings, without a prompt transcripts, or lists of messages.
    """
    sides = (chosen, rejected)

    def parse(record: Record) -> Pair:
        before = None if prompt is None else need(record, prompt)
        first, second = (need(record, side) for side in sides)
        if isinstance(first, str) and isinstance(second, str):
            if prompt is None:
                return Pair(*cut_transcript(first, chosen), *cut_transcript(second, rejected))
            if not isinstance(before, list):
                return _ordered(text(record, prompt), first, second)
        return Pair(*cut_messages(before, first, chosen), *cut_messages(before, second, rejected))

    named = sides if prompt is None else (prompt, *sides)
    return Format("columns", ", ".join(named), named, _has(*named), parse)


def shape(record: Record) -> str:
    """The first format of the table that a record has the shape of; empty where it has none's."""
    return next((name for name, known in FORMATS.items() if known.matches(record)), "")


def favourite(votes: Mapping[str, int]) -> Format | None:
    """The format that most records have the shape of, the earlier in the table winning a tie.

    Args:
        votes: what `shape` says -> of how many records.
    """
    best = max(FORMATS, key=lambda name: votes.get(name, 0))
    return FORMATS[best] if votes.get(best) else None


def detect(records: Iterable[Record]) -> Format | None:
    """The format that most of these records have the shape of."""
    return favourite(Counter(map(shape, records)))
