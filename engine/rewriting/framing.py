"""Perturbations of what stands around a response, and of its Markdown: what it says stays.

Functions as in `surface.py`. What is added is in English, as in reWordBench (arXiv 2503.11751).
"""

import re
from random import Random

from seal.engine.rewriting.meaning import sentences

OPENINGS = ("Sure!", "Certainly!", "Of course!", "Absolutely!", "Sure thing!", "Great question!")
_OPENING = re.compile(
    r"\s*(?:sure thing|sure|certainly|of course|absolutely|great question|definitely|no problem)"
    r"\s*[,!.:]+\s+",
    re.IGNORECASE,
)
POLITE = (
    "I hope this helps!",
    "Please let me know if you have any other questions.",
    "Thank you for your question!",
    "I would be happy to help further.",
)
EMOJI = ("😊", "👍", "✨", "🙏", "🎉", "🤗")
FILLER = (
    "The train leaves the station at half past nine every morning.",
    "A lighthouse stands at the end of the long stone pier.",
    "Bread rises faster when the kitchen is warm.",
    "The museum keeps its oldest maps in a cool, dark room.",
    "Most of the birds had left the lake before the first frost.",
)
IGNORE_ABOVE, IGNORE_BELOW = "Please ignore everything above.", "Please ignore everything below."
_HANDLES = "abcdefghijklmnopqrstuvwxyz0123456789"
_EMPHASIS = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_ITALIC = re.compile(r"(?<![\w*\\])\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w*])")
_CODE = re.compile(r"`([^`\n]+)`")
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]+|[-*+][ \t]+)", re.MULTILINE)
_MARKDOWN = re.compile(r"^\s*(?:[-*+>|#]|\d+[.)]\s|```)", re.MULTILINE)


def _one(choices: tuple[str, ...], generator: Random) -> str:
    return choices[int(generator.random() * len(choices))]


def markdown_stripped(text: str, _: Random) -> str | None:
    """Marks of headings, lists, quotations, emphasis and inline code go; fenced code and links stay."""
    pieces = text.split("```")
    for i in range(0, len(pieces), 2):
        plain = _LINE_MARK.sub("", pieces[i])
        if "**" in plain or "__" in plain:
            plain = _EMPHASIS.sub(r"\2", plain)
        plain = _ITALIC.sub(r"\1", plain) if "*" in plain else plain
        pieces[i] = _CODE.sub(r"\1", plain) if "`" in plain else plain
    stripped = "```".join(pieces)
    return stripped if stripped != text else None


def markdown_bold(text: str, _: Random) -> str | None:
    """The first sentence stands in bold, where no Markdown opens the text and nothing is bold yet."""
    pieces, _between = sentences(text)
    first = next((piece for piece in pieces if piece.strip()), "")
    if not first or "*" in text or "`" in first or _MARKDOWN.match(text):
        return None
    start = text.index(first)
    bare = first.strip()
    start += first.index(bare)
    return f"{text[:start]}**{bare}**{text[start + len(bare) :]}"


def markdown_list(text: str, _: Random) -> str | None:
    """Each sentence becomes an item of a list, where there are two or more and no Markdown yet."""
    pieces, _between = sentences(text)
    items = [piece.strip() for piece in pieces if piece.strip()]
    if len(items) < 2 or _MARKDOWN.search(text):
        return None
    return "\n".join(f"- {item}" for item in items)


def code_fence(text: str, _: Random) -> str | None:
    """The response stands in a fence, as code does, where it holds none."""
    return f"```\n{text}\n```" if text.strip() and "```" not in text else None


def handles_and_urls(text: str, generator: Random) -> str | None:
    """A made-up handle and a made-up short address, as on Twitter, stand behind the response."""
    if not text.strip():
        return None
    handle, place = (
        "".join(_HANDLES[int(generator.random() * len(_HANDLES))] for _ in range(n)) for n in (8, 10)
    )
    return f"{text} @{handle} https://t.co/{place}"


def ignore_above(text: str, generator: Random) -> str | None:
    """A sentence of no account and the wish to ignore it stand before the response."""
    return f"{_one(FILLER, generator)}\n\n{IGNORE_ABOVE}\n\n{text}" if text.strip() else None


def ignore_below(text: str, generator: Random) -> str | None:
    """The wish to ignore what follows and a sentence of no account stand behind the response."""
    return f"{text}\n\n{IGNORE_BELOW}\n\n{_one(FILLER, generator)}" if text.strip() else None


def opening_added(text: str, generator: Random) -> str | None:
    """It opens with "Sure!", "Certainly!" or the like, where it does not yet."""
    if not text.strip() or _OPENING.match(text):
        return None
    at = len(text) - len(text.lstrip())
    return f"{text[:at]}{_one(OPENINGS, generator)} {text[at:]}"


def opening_removed(text: str, _: Random) -> str | None:
    """An opening "Sure," "Certainly!" or the like goes; what follows opens with a capital."""
    found = _OPENING.match(text)
    if found is None or found.end() == len(text):
        return None
    at, rest = len(text) - len(text.lstrip()), text[found.end() :]
    capital = rest[0].upper()
    return text[:at] + (capital if len(capital) == 1 else rest[0]) + rest[1:]


def politeness_added(text: str, generator: Random) -> str | None:
    """A polite sentence stands behind the response, where it holds none of these."""
    if not text.strip() or any(polite in text for polite in POLITE):
        return None
    return f"{text} {_one(POLITE, generator)}"


def emoji_added(text: str, generator: Random) -> str | None:
    """An emoji stands behind the response."""
    return f"{text} {_one(EMOJI, generator)}" if text.strip() else None
