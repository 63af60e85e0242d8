"""A text put into a message so that nothing in it can look like anything outside it."""

import re

BEFORE, LAST = "| ", "> "
"""What stands before every line of the dialogue's beginning, and of its last response."""

_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")


def quoted(text: str, mark: str) -> str:
    """The text with `mark` before each line; nothing in it can open a line without."""
    return mark + _LINE_END.sub(lambda end: end.group() + mark, text.strip("\n"))


def two_parts(before: str, last: str) -> str:
    """A dialogue's beginning and its last response, each quoted under a heading of its own."""
    return (
        f"The dialogue before the last response:\n{quoted(before, BEFORE)}\n\n"
        f"The assistant's last response:\n{quoted(last, LAST)}"
    )
