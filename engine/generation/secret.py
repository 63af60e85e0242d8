"""The API key, kept out of whatever a server says: as it is, spread over white space, or encoded."""

import re
from base64 import b64encode
from collections.abc import Iterator

REPLACED = "[the API key]"
_SHORT, _LONG = 8, 16
# What may stand between two of its characters: white space (also as an escape), controls, what is invisible.
_BETWEEN = r"(?:[\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2060-\u2064\ufeff]|\\{1,16}[nrt]){0,8}"


class Secret:
    """Knows the key and finds it in the text of others. It is looked for as it stands and in base64, hex,
    percent, JSON and HTML escapes, in either case of letters.

    Args:
        key: the key; None or empty where there is none.
    """

    def __init__(self, key: str | None) -> None:
        self._pattern = re.compile("|".join(_forms(key)), re.IGNORECASE) if key and key.strip() else None
        self._may_be_a_word = not key or len(key) < (_SHORT if any(c.isdigit() for c in key) else _LONG)
        self.n_longest = 48 * len(key or "")
        """Characters that it takes at most, in any form; a text that was cut may end in some of them."""

    def without(self, text: str) -> str:
        """The text with the key replaced by `REPLACED`, whatever form it has."""
        return text if self._pattern is None else self._pattern.sub(REPLACED, text)

    def in_answer(self, text: str) -> bool:
        """Whether an answer holds the key. One that may be a word (`EMPTY`, `not-needed`) is not looked for:
        one of under 16 characters without a digit, or under 8.
        """
        if self._pattern is None or self._may_be_a_word:
            return False
        return self._pattern.search(text) is not None


def _forms(key: str) -> Iterator[str]:
    yield _spread(key)
    if len(key) < _SHORT:
        return
    for before in range(3):  # behind other bytes, as in base64 of `Bearer KEY`, a key has one of three forms
        whole = b64encode(b"\0" * before + key.encode()).decode().rstrip("=")
        ends_alone = (len(key) + before) % 3 == 0  # else its last character hangs on what follows, too
        yield _spread(whole[(0, 2, 3)[before] : None if ends_alone else -1])
    yield _spread(key.encode().hex())


def _spread(text: str) -> str:
    return _BETWEEN.join(_character(c) for c in text if not c.isspace())


def _character(character: str) -> str:
    """A character as it stands, or escaped for a URL, JSON, Python or HTML."""
    code = ord(character)
    plain = re.escape(character)
    plain += {"+": "|-", "/": "|_"}.get(character, "")  # base64 for URLs
    escaped = rf"%(?:25){{0,3}}{code:02x}|\\{{1,16}}(?:u00|x){code:02x}|&\#(?:0?{code}|x0?{code:x});"
    return rf"(?:\\{{0,16}}(?:{plain})|{escaped})"
