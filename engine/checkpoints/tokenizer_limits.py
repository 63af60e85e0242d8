"""A tokenizer that makes a text many times longer would end the process: it is refused before it is used."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from seal.engine.errors import InputError
from seal.engine.files import parse_json

MOST_GROWTH = 100
"""How many times longer the replacements of a normalizer, one after the other, may make a text."""


def check_tokenizer(tokenizer_json: str, origin: str) -> None:
    """Refuse a `tokenizer.json` whose normalizer blows texts up.

    Raises:
        InputError: it does, or that is no tokenizer.
    """
    try:
        document = parse_json(tokenizer_json)
    except ValueError as error:
        raise InputError(f"{origin} cannot be read: {error}") from None
    parts = document if isinstance(document, Mapping) else {}
    growth = 1
    for step in (*_steps(parts.get("normalizer")), *_steps(parts.get("pre_tokenizer"))):
        growth *= _growth(step)
    if growth > MOST_GROWTH:
        raise InputError(
            f"{origin}: its normalizer can make a text {growth:,} times longer, allowed are {MOST_GROWTH}; "
            "take the model from where it was published"
        )


def _steps(part: Any) -> Iterator[Mapping[str, Any]]:
    """The steps of a normalizer, those of a sequence one by one."""
    left = [part]
    while left:
        step = left.pop()
        if isinstance(step, Mapping):
            yield step
            for name in ("normalizers", "pretokenizers"):
                inner = step.get(name)
                left += inner if isinstance(inner, list) else []


def _growth(step: Mapping[str, Any]) -> int:
    """How many times longer one step can make a text of one character or more."""
    if step.get("type") == "Prepend":
        return 1 + len(str(step.get("prepend", "")))
    if step.get("type") != "Replace":
        return 1
    pattern, content = step.get("pattern"), str(step.get("content", ""))
    found = pattern if isinstance(pattern, Mapping) else {}
    if "String" in found:
        return max(1, -(-len(content) // max(1, len(str(found["String"])))))
    try:
        takes_nothing = re.fullmatch(str(found.get("Regex", "")), "") is not None
    except re.error:  # the Rust side knows more than Python
        takes_nothing = False
    return max(1, len(content)) + takes_nothing * bool(content)
