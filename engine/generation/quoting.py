"""A text put into a message so that nothing in it can look like anything outside it."""

import re

BEFORE, LAST = "| ", "> "
"""What stands before every line of the dialogue's beginning, and of its last response."""

_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")


def quoted(text: str, mark: str) -> str:
    """The text with `mark` before each line; nothing in it can open a line without."""
    return mark + _LINE_END.sub(lambda end: end.group() + mark, text.strip("\n"))
