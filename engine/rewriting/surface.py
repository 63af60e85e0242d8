"""Perturbations of letters, marks and white space: every word stays, and what it says.

Each takes a response and a seeded generator and gives the perturbed response, or None where it does not
apply. Of the generator only `random()` is asked, whose numbers no version of Python changes. Code and
addresses on the web stay as they are where a change would break them.
"""

import re
from random import Random

WRAPPED = 60
"""Columns of a wrapped line."""
SPACE_RATE, TYPO_RATE, HOMOGLYPH_RATE = 0.2, 0.1, 0.1
"""Share of the spaces, of the words of four letters or more, and of the letters that have a double."""

_KEPT = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|(?:https?://|www\.)\S+", re.DOTALL)
_LETTER = r"[A-Za-zÀ-ÖØ-öø-ɏΆΈ-ώЀ-ҁҊ-ԯ]"  # of scripts in which a slip of the keys is read over
_WORD = re.compile(rf"\b{_LETTER}{{4,}}+\b")
_SPACE = re.compile(r" (?<=\S )(?=\S)")
DOUBLES = dict(zip("aceopxyijsABCEHIJKMOPSTXYZ", "асеорхуіјѕАВСЕНІЈКМОРЅТХҮΖ", strict=True))
"""Latin letters and the Cyrillic and Greek ones that look the same."""
_DOUBLED = re.compile(f"[{''.join(DOUBLES)}]")
_QUOTES = re.compile("[\"']")
_CURLY = re.compile("[“”„‟‘’‚‛]")
STRAIGHT = {"“": '"', "”": '"', "„": '"', "‟": '"', "‘": "'", "’": "'", "‚": "'", "‛": "'"}
_OPENS_AFTER = frozenset("([{<-–—/\"'“‘")


def drawn(places: list[int], rate: float, generator: Random) -> list[int]:
    """A share of some places in order, at least one of them; none of none."""
    if not places:
        return []
    wanted = max(1, round(rate * len(places)))
    found: set[int] = set()
    while len(found) < wanted:
        found.add(int(generator.random() * len(places)))
    return [places[i] for i in sorted(found)]


def _found(pattern: re.Pattern[str], text: str) -> list[int]:
    """Where something stands that is neither in code nor in an address."""
    if "`" not in text and "://" not in text and "www." not in text:
        return [m.start() for m in pattern.finditer(text)]
    places, last = [], 0
    for start, end in (*(m.span() for m in _KEPT.finditer(text)), (len(text), len(text))):
        places += [m.start() for m in pattern.finditer(text, last, start)]
        last = end
    return places


def _replaced(text: str, changes: list[tuple[int, int, str]]) -> str | None:
    """A text with some spans written anew; None where there are none."""
    parts, last = [], 0
    for start, end, new in changes:
        parts += [text[last:start], new]
        last = end
    return "".join([*parts, text[last:]]) if changes else None


def extra_white_space(text: str, generator: Random) -> str | None:
    """Some of the single spaces between words become two or three."""
    chosen = drawn(_found(_SPACE, text), SPACE_RATE, generator)
    return _replaced(text, [(i, i, " " if generator.random() < 0.5 else "  ") for i in chosen])


def line_wrapping(text: str, _: Random) -> str | None:
    """Lines longer than WRAPPED columns are broken at a single space, outside of fenced code."""
    pieces, lines = text.split("```"), []
    for number, piece in enumerate(pieces):
        lines.append("\n".join(map(_wrapped, piece.split("\n"))) if number % 2 == 0 else piece)
    wrapped = "```".join(lines)
    return wrapped if wrapped != text else None


def _wrapped(line: str) -> str:
    parts, start = [], 0
    while len(line) - start > WRAPPED:
        cut = line.rfind(" ", start + 1, start + WRAPPED + 1)
        cut = line.find(" ", start + WRAPPED) if cut < 0 else cut
        if cut < 0:
            break
        if line[cut - 1 : cut + 2].count(" ") > 1 or cut + 1 == len(line):  # two spaces end a line for good
            return line
        parts.append(line[start:cut])
        start = cut + 1
    return "\n".join([*parts, line[start:]])


def _slips(text: str, generator: Random) -> list[tuple[int, str]]:
    """Some of the longer words, and where they stand."""
    starts = drawn(_found(_WORD, text), TYPO_RATE, generator)
    return [(i, found.group()) for i in starts if (found := _WORD.match(text, i))]


def typo_swap(text: str, generator: Random) -> str | None:
    """In some words two inner letters that stand side by side and differ change places."""
    changes = []
    for start, word in _slips(text, generator):
        n = len(word) - 3
        first = int(generator.random() * n)
        for i in (1 + (first + k) % n for k in range(n)):
            if word[i] != word[i + 1]:
                changes.append((start + i, start + i + 2, word[i + 1] + word[i]))
                break
    return _replaced(text, changes)


def typo_drop(text: str, generator: Random) -> str | None:
    """In some words one inner letter is missing."""
    changes = []
    for start, word in _slips(text, generator):
        i = start + 1 + int(generator.random() * (len(word) - 2))
        changes.append((i, i + 1, ""))
    return _replaced(text, changes)


def typo_double(text: str, generator: Random) -> str | None:
    """In some words one inner letter stands twice."""
    changes = []
    for start, word in _slips(text, generator):
        i = start + 1 + int(generator.random() * (len(word) - 2))
        changes.append((i, i, text[i]))
    return _replaced(text, changes)


def homoglyphs(text: str, generator: Random) -> str | None:
    """Some Latin letters become letters of other scripts that look the same."""
    places = drawn(_found(_DOUBLED, text), HOMOGLYPH_RATE, generator)
    return _replaced(text, [(i, i + 1, DOUBLES[text[i]]) for i in places])


def first_letter_case(text: str, _: Random) -> str | None:
    """The first letter that has two cases changes its case."""
    for i, letter in enumerate(text):
        other = letter.swapcase()
        if other != letter and len(other) == 1 and other.swapcase() == letter:
            return f"{text[:i]}{other}{text[i + 1 :]}"
    return None


def quotes_curly(text: str, _: Random) -> str | None:
    """Straight quotes and apostrophes become curly ones."""
    changes = []
    for i in _found(_QUOTES, text):
        opens = i == 0 or text[i - 1].isspace() or text[i - 1] in _OPENS_AFTER
        pair = "“”" if text[i] == '"' else "‘’"
        changes.append((i, i + 1, pair[0] if opens else pair[1]))
    return _replaced(text, changes)


def quotes_straight(text: str, _: Random) -> str | None:
    """Curly quotes and apostrophes become straight ones."""
    straight = _CURLY.sub(lambda m: STRAIGHT[m.group()], text)
    return straight if straight != text else None
