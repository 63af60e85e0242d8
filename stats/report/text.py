"""Text and numbers as a reader sees them: nothing invisible, nothing longer than it must be."""

import math
from collections.abc import Sequence

from seal.engine.visible import is_hidden as is_hidden
from seal.engine.visible import pieces as pieces
from seal.engine.visible import visible as visible

NOTHING = "–"
_MINUS = "\N{MINUS SIGN}"


def cut(text: str, most: int, *, keep_end: bool = False) -> tuple[str, int]:
    """At most so many characters of a text, from its start or its end, and how many are left out."""
    if len(text) <= most:
        return text, 0
    return (text[-most:] if keep_end else text[:most]), len(text) - most


def shortened(names: Sequence[str], most: int) -> dict[str, str]:
    """Name -> at most `most` characters of it, no two alike, for places where a figure has no more room."""
    short: dict[str, str] = {}
    for name in dict.fromkeys(names):
        half = (most - 1) // 2
        candidate = name if len(name) <= most else f"{name[:half]}…{name[-half:]}"
        number = 2
        while candidate in short.values():
            tail = f" ({number})"
            candidate = f"{name[: most - len(tail) - 1]}…{tail}"
            number += 1
        short[name] = candidate
    return short


def words(name: str) -> str:
    """A feature's name as a sentence says it: `last_response_is_helpful` -> `helpful`."""
    text = name.removeprefix("last_response_").removeprefix("is_").replace("_is_", " is ").replace("_", " ")
    return visible(text).strip() or visible(name)


def fixed(value: float, decimals: int, *, sign: bool = False) -> str:
    """A number with so many decimals, grouped by commas, with a true minus sign.

    >>> fixed(1234.5, 1)
    '1,234.5'
    """
    text = f"{value:+,.{decimals}f}" if sign else f"{value:,.{decimals}f}"
    if not any(c in "123456789" for c in text):  # no minus zero
        text = text.lstrip("+-")
    return text.replace("-", _MINUS)


def count(value: int) -> str:
    """A whole number, grouped by commas."""
    return f"{value:,}".replace("-", _MINUS)


def significant(value: float, digits: int = 3) -> str:
    """So many significant digits, without an exponent where that stays short."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    power = math.floor(math.log10(abs(value)))
    if power < -4 or power >= 7:
        mantissa = fixed(value / 10.0**power, max(digits - 1, 0))
        return f"{mantissa}e{power}".replace("-", _MINUS)
    return fixed(value, max(digits - 1 - power, 0))


def p_value(value: float) -> str:
    """A p-value with three decimals; below, that it is below."""
    return "<0.001" if value < 0.001 else fixed(value, 3)


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage."""
    return f"{fixed(100 * share, decimals)}%"


def decimals_for(errors: Sequence[float]) -> int:
    """Decimals that show two digits of the middle standard error: no more is known of the estimates."""
    known = sorted(e for e in errors if e > 0 and math.isfinite(e))
    if not known:
        return 3
    return min(max(1 - math.floor(math.log10(known[len(known) // 2])), 0), 6)


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
