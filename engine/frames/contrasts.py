"""Contrasts of one attribute: the value that a text is rewritten toward, and what it is held against.

Each text is rewritten away from what it is: one that has the value toward the baseline, any other toward the
value; and from there back to the other of the two. `toward:FEATURE=VALUE` is the first rewriting, made from
the text itself, and `back:FEATURE=VALUE` the second, made from that one; `placebo` is a rewriting that is to
change no attribute. A boolean's values are `true` and `false`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TOWARD, BACK, PLACEBO = "toward:", "back:", "placebo"
TRUE, FALSE = "true", "false"
_NEUTRAL = "neutral"


@dataclass(frozen=True)
class Contrast:
    """One value of a feature against another.

    Attributes:
        feature: the column of LABELS.
        value: what a text has or has not.
        baseline: what it is held against.
    """

    feature: str
    value: str
    baseline: str

    def away(self, *, has: bool) -> str:
        """The value that a text is rewritten toward: that which it has not."""
        return self.baseline if has else self.value


def toward(feature: str, value: str) -> str:
    """The variant of texts rewritten toward a value."""
    return f"{TOWARD}{feature}={value}"


def back(feature: str, value: str) -> str:
    """The variant of texts rewritten back from what was rewritten toward a value."""
    return f"{BACK}{feature}={value}"


def aimed_at(variant: str) -> tuple[str, str] | None:
    """Feature and value of a `toward:` variant; None for any other."""
    feature, equals, value = variant.removeprefix(TOWARD).partition("=")
    return (feature, value) if variant.startswith(TOWARD) and feature and equals and value else None


def baseline(values: Sequence[str]) -> str:
    """What the other values of a feature are held against: false, else neutral, else the first in order."""
    return next((v for v in (FALSE, _NEUTRAL) if v in values), values[0])
