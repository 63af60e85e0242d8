"""Whether a rewriting may stand for its source: pure checks, each with a code of its own, in this order.

    empty           no text
    marks           the marks of the quotation came back
    no_human_turn   it does not open with a turn (a preamble, most often)
    turns_changed   another sequence of speakers: a turn more, one less, two swapped
    empty_turn      a turn lost its text
    identical       the same text, white space aside
    length_changed  the text, or one of its turns, became too short or too long
    other_language  other letters than the source's, or hardly a word of it

What these cannot see is a change of meaning: labels and similarities of the rewritten texts are for that.

Another language is told by two things. Letters: by how much the scripts of the rewriting's letters exceed
their shares in the source. Words: how many of a turn's stand anywhere in the source. Words like "the" and
"you" recur in an honest rewriting (a third to two thirds of its words in tests/data/rewritings.json), while
of a translation hardly more than names do (a sixth at most there). Short turns, and scripts that put no
spaces between words, are judged by their letters alone. Two close languages in one script (Danish and
Norwegian) cannot be told apart, and of a language that says with endings what others say with words, an
honest rewriting may be refused.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from seal.engine.generation.quoting import BEFORE, LAST
from seal.engine.rewriting.turns import Response, Transcript, Turn, opened, turns_of

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_ONE_SCRIPT = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "HANGUL": "CJK"}
_UNSPACED = frozenset({"CJK", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"})
_MARK, _LAST_MARK = BEFORE.strip(), LAST.strip()


@dataclass(frozen=True)
class Bounds:
    """How far a rewriting may go.

    Attributes:
        min_length, max_length: characters of a turn or of the whole over those of the source, both with
            `slack` added, so that a short turn may become another short turn.
        slack: characters.
        max_foreign: share of letters that are of other scripts than the source's.
        min_known: share of words that stand in the source, judged where there are `min_words` or more.
        min_words: words.
    """

    min_length: float = 0.5
    max_length: float = 2.0
    slack: int = 40
    max_foreign: float = 0.2
    min_known: float = 0.25
    min_words: int = 12


class Refusal(NamedTuple):
    """Why a rewriting is not accepted."""

    code: str
    reason: str


def refusal(source: Transcript, rewriting: str, bounds: Bounds) -> Refusal | None:
    """The first check that a rewriting fails; None where it is accepted.

    Args:
        source: what was to be rewritten.
        rewriting: the answer as it came; white space around it is of no account.
        bounds: how far it may go.
    """
    text = rewriting.strip()
    turns = turns_of(text)
    for code, check in CHECKS.items():
        reason = check(source, text, turns, bounds)
        if reason is not None:
            return Refusal(code, reason)
    return None


def response_refusal(source: Response, rewriting: str, bounds: Bounds) -> Refusal | None:
    """The first check that the rewriting of a response alone fails; None where it is accepted.

    Args:
        source: what was to be rewritten.
        rewriting: the answer as it came, with or without the word that opens the response.
        bounds: how far it may go.
    """
    marked = _more_marked(source.said, rewriting, _LAST_MARK)
    if marked is not None:
        return Refusal("marks", marked)
    return refusal(source.transcript, opened(rewriting) if rewriting.strip() else "", bounds)


def _empty(source: Transcript, text: str, turns: tuple[Turn, ...], bounds: Bounds) -> str | None:
    return None if text else "no text came back"


def _marks(source: Transcript, text: str, turns: tuple[Turn, ...], bounds: Bounds) -> str | None:
    return _more_marked(source.transcript, text, _MARK)


def _more_marked(before: str, after: str, mark: str) -> str | None:
    n_before, n_after = (sum(line.startswith(mark) for line in t.splitlines()) for t in (before, after))
    return f"{n_after} lines open with the mark of the quotation" if n_after > n_before else None


def _no_human_turn(source: Transcript, text: str, turns: tuple[Turn, ...], bounds: Bounds) -> str | None:
    return None if turns else f"it opens with {text[:40]!r}, not with '{source.turns[0].speaker}:'"


def _turns_changed(source: Transcript, text: str, turns: tuple[Turn, ...], bounds: Bounds) -> str | None:
    before, after = ([turn.speaker for turn in t] for t in (source.turns, turns))
    return None if before == after else f"the speakers were {_listed(before)} and became {_listed(after)}"


def _empty_turn(source: Transcript, text: str, turns: tuple[Turn, ...], bounds: Bounds) -> str | None:
    for number, (before, after) in enumerate(zip(source.turns, turns, strict=True), 1):
        if before.said and not after.said:
            return f"turn {number} ({after.speaker}) has lost its text"
    return None


def _identical(source: Transcript, text: str, turns: tuple[Turn, ...], bounds: Bounds) -> str | None:
    return "it is the same text" if text.split() == source.transcript.split() else None


def _length_changed(source: Transcript, text: str, turns: tuple[Turn, ...], bounds: Bounds) -> str | None:
    parts = [("it", source.transcript, text)] + [
        (f"turn {number}", before.said, after.said)
        for number, (before, after) in enumerate(zip(source.turns, turns, strict=True), 1)
    ]
    for name, before, after in parts:
        ratio = (len(after) + bounds.slack) / (len(before) + bounds.slack)
        if not bounds.min_length <= ratio <= bounds.max_length:
            return f"{name} had {len(before)} characters and has {len(after)}"
    return None


def _other_language(source: Transcript, text: str, turns: tuple[Turn, ...], bounds: Bounds) -> str | None:
    share = foreign_share(source.transcript, text)
    if share > bounds.max_foreign:
        return f"{share:.0%} of its letters are of other scripts than the source's"
    if main_script(source.transcript) in _UNSPACED:
        return None
    vocabulary = frozenset(words(source.transcript))
    for number, turn in enumerate(turns, 1):
        known = known_share(turn.said, vocabulary)
        if len(words(turn.said)) >= bounds.min_words and known < bounds.min_known:
            return f"of the words of turn {number}, {known:.0%} stand in the source"
    return None


CHECKS: dict[str, Callable[[Transcript, str, tuple[Turn, ...], Bounds], str | None]] = {
    "empty": _empty,
    "marks": _marks,
    "no_human_turn": _no_human_turn,
    "turns_changed": _turns_changed,
    "empty_turn": _empty_turn,
    "identical": _identical,
    "length_changed": _length_changed,
    "other_language": _other_language,
}
"""Code -> check, which returns a reason for people; each may rely on those before it."""


def words(text: str) -> list[str]:
    """The words of a text, folded, without numbers."""
    return _WORD.findall(text.casefold())


def known_share(text: str, vocabulary: frozenset[str]) -> float:
    """Share of a text's words that stand in a vocabulary; 1 of a text without words."""
    found = words(text)
    return sum(word in vocabulary for word in found) / len(found) if found else 1.0


def foreign_share(source: str, text: str) -> float:
    """Share of the text's letters by which its scripts exceed their shares in the source, 0 to 1."""
    before, after = _scripts(source), _scripts(text)
    n_before, n_after = max(1, before.total()), max(1, after.total())
    return sum(max(0.0, n / n_after - before[script] / n_before) for script, n in after.items())


def main_script(text: str) -> str:
    """The script of most letters, empty without letters; those of East Asia count as one."""
    return max(_scripts(text).items(), key=lambda item: item[1], default=("", 0))[0]


def _scripts(text: str) -> Counter[str]:
    return Counter(_script(letter) for letter in text if letter.isalpha())


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "unnamed").partition(" ")[0]
    return _ONE_SCRIPT.get(name, name)


def _listed(speakers: list[str]) -> str:
    shown = ", ".join(speakers[:8])
    return f"{shown} and {len(speakers) - 8} more" if len(speakers) > 8 else shown
