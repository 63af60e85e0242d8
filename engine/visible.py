"""Text of others as a reader sees it: what shows nothing of itself stands as its code point."""

import re
import unicodedata
from collections.abc import Iterator

KEPT = 2000
"""Characters of an answer or a refusal that a failure row keeps."""

# Joiners shape emoji and several scripts and cannot reorder text: they stay as they are.
_HARMLESS = frozenset("\n\t\u200c\u200d")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_PLAIN = re.compile(r"[\n\t -~]*\Z")


def is_hidden(character: str) -> bool:
    """Whether a character is a control, a direction mark or another one that shows nothing of itself."""
    return character not in _HARMLESS and unicodedata.category(character) in _HIDDEN


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Split text into runs: (False, as it stands) and (True, the code point of a hidden character).

    >>> list(pieces("a\\u202eb"))
    [(False, 'a'), (True, 'U+202E'), (False, 'b')]
    """
    text = text.replace("\r\n", "\n")
    if _PLAIN.match(text):  # nearly all text
        if text:
            yield False, text
        return
    run: list[str] = []
    for character in text:
        if is_hidden(character):
            if run:
                yield False, "".join(run)
                run = []
            yield True, f"U+{ord(character):04X}"
        else:
            run.append(character)
    if run:
        yield False, "".join(run)


def shown(text: str) -> str:
    """The text with hidden characters as `⟨U+202E⟩`; line ends, tabs and spaces stay."""
    return "".join(f"⟨{piece}⟩" if hidden else piece for hidden, piece in pieces(text))


def visible(value: object) -> str:
    """A name or a reason on one line, hidden characters as `⟨U+202E⟩`."""
    return " ".join(shown(str(value)).split())


def bounded(text: str, most: int = KEPT) -> str:
    """At most so many characters of a text, its whole length named where that is less than all.

    >>> bounded("abcdef", 4)
    'abcd… (6 characters in all)'
    """
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters in all)"
