"""Perturbations of single words of English: the same words, written otherwise.

Functions as in `surface.py`. What could mean two things stays: "he'd", "one", "it is." at an end.
"""

import re
from random import Random

from seal.engine.rewriting.spelling import AMERICAN, BRITISH

_APOSTROPHE = "['’]"
_NOT = {
    "can't": "cannot", "won't": "will not", "shan't": "shall not",
    **{f"{word}n't": f"{word} not" for word in (
        "do", "does", "did", "is", "are", "was", "were", "has", "have", "had", "could", "would", "should",
        "must", "need", "might",
    )},
}  # fmt: skip
_IS = ("it", "that", "what", "there", "here", "he", "she", "who", "where", "how")
FULL = {
    **_NOT, "i'm": "i am", "let's": "let us",
    **{f"{who}'re": f"{who} are" for who in ("you", "we", "they")},
    **{f"{who}'ve": f"{who} have" for who in ("i", "you", "we", "they")},
    **{f"{who}'ll": f"{who} will" for who in ("i", "you", "we", "they", "he", "she", "it", "that", "there")},
    **{f"{who}'s": f"{who} is" for who in _IS},
}  # fmt: skip
"""Contraction -> full form, in small letters."""
_SHORT = {
    full: short for short, full in FULL.items() if short not in ("let's", "needn't", "mightn't", "shan't")
}
_CONTRACTION = re.compile(r"\b[A-Za-z]++['’](?:t|m|s|re|ve|ll)(?![\w'’])")
_HAS = re.compile(r" (?:been|got|had|become|gone|done|taken|made|not been)\b")
_FULL_FORM = re.compile(
    r"\b(?:[Cc]annot|[A-Za-z]++ (?:not|(?:am|is|are|have|will)(?! not\b)(?= (?!(?:and|or|but|if)\b)[a-z])))"
    r"(?![\w'’-])"
)

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBERS = (*_ONES, *(f"{ten}-{_ONES[i]}" if i else ten for ten in _TENS for i in range(10)), "one hundred")
"""The words of 0 to 100."""
_NUMERALS = {word: str(i) for i, word in enumerate(NUMBERS) if word != "one"}
_NUMERAL = re.compile(r"(?<=[a-z,;:] )(?:0|[1-9]\d?|100)(?= [a-z]|[.,;!?](?=\s|\Z))")
_NUMBER = re.compile(
    rf"(?<![\w'’-])(?:one hundred|(?:{'|'.join(_TENS)})(?:-(?:{'|'.join(_ONES[1:10])}))?"
    rf"|{'|'.join(sorted((w for w in _ONES if w != 'one'), key=len, reverse=True))})"
    r"(?![\w'’-])(?! (?:hundred|thousand|million|billion|and)\b)",
    re.IGNORECASE,
)
_NUMBERED = frozenset(_NUMERALS) | {"hundred"}
_SMALL = re.compile(r"[a-z]++")
_ENGLISH = re.compile(
    r"\b(?:the|of|and|to|is|are|was|you|that|in|it|for|with|this|have|your|by)\b", re.IGNORECASE
)
_WORD = re.compile(r"\b[A-Za-z]{4,}+(?![\w@/])")


def _like(word: str, model: str) -> str:
    """A word in the letters' case of another: all capitals, a capital first, or as it is."""
    if model.isupper() and sum(map(str.isalpha, model)) > 2:
        return word.upper()
    return word[0].upper() + word[1:] if model[0].isupper() else word


def _inside(found: re.Match[str]) -> bool:
    """Whether what was found goes on to the left: after an apostrophe, a hyphen, or in an address."""
    return found.start() > 0 and found.string[found.start() - 1] in "'’-@/.#"


def _expanded(found: re.Match[str]) -> str:
    short = found.group().replace("’", "'")
    full = FULL.get(short.lower())
    if full is None or _inside(found):
        return found.group()
    if full.endswith(" is") and _HAS.match(found.string, found.end()):
        full = f"{full[:-2]}has"
    if short[0] == "I" and full.startswith("i "):
        return f"I{full[1:]}"
    return _like(full, short)


def contractions_expanded(text: str, _: Random) -> str | None:
    """Contractions are written out: "don't" becomes "do not"."""
    if "'" not in text and "’" not in text:
        return None
    expanded = _CONTRACTION.sub(_expanded, text)
    return expanded if expanded != text else None


def _contracted(found: re.Match[str]) -> str:
    short = _SHORT.get(found.group().lower())
    if short is None or _inside(found):
        return found.group()
    return f"I{short[1:]}" if found.group().startswith("I ") else _like(short, found.group())


def contractions_made(text: str, _: Random) -> str | None:
    """Full forms are contracted: "do not" becomes "don't"."""
    contracted = _FULL_FORM.sub(_contracted, text)
    return contracted if contracted != text else None


def numerals_to_words(text: str, _: Random) -> str | None:
    """Whole numbers of 0 to 100 behind a word, a list's numbers not among them, are written out."""
    if not _NUMERAL.search(text) or not _ENGLISH.search(text):
        return None
    return _NUMERAL.sub(lambda m: NUMBERS[int(m.group())], text)


def words_to_numerals(text: str, _: Random) -> str | None:
    """The words of 0 to 100 become numerals; "one" alone, which is a pronoun too, stays."""
    if _NUMBERED.isdisjoint(_SMALL.findall(text.lower())):
        return None
    written = _NUMBER.sub(lambda m: _NUMERALS[m.group().lower()], text)
    return written if written != text else None


def _spelled(text: str, table: dict[str, str]) -> str | None:
    if table.keys().isdisjoint(_SMALL.findall(text.lower())):
        return None

    def respelled(found: re.Match[str]) -> str:
        other = table.get(found.group().lower())
        return found.group() if other is None or _inside(found) else _like(other, found.group())

    spelled = _WORD.sub(respelled, text)
    return spelled if spelled != text else None


def british_spelling(text: str, _: Random) -> str | None:
    """American spellings become British: "color" becomes "colour"."""
    return _spelled(text, BRITISH)


def american_spelling(text: str, _: Random) -> str | None:
    """British spellings become American: "colour" becomes "color"."""
    return _spelled(text, AMERICAN)
