"""Options declared once: default, limits and words stand together in a frozen dataclass.

The command line makes its options of these fields (`cli/options.py`), `docs/api.md` its tables, and the class
itself refuses what is not allowed. Modules that declare options import nothing heavy: `--help` is quick.
"""

import operator
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from seal.engine.errors import UsageError

_KEY = "seal.option"


@dataclass(frozen=True)
class Words:
    """What a field says beyond its type and default.

    Attributes:
        help: one or two sentences: meaning, unit, and the default where `None` stands for one.
        at_least, above, at_most, below: limits of a number.
        flag: the long option, where it is not the field's name (`--timeout` for `timeout_s`).
        formerly: long options of earlier versions, still accepted and said once.
        among: the values allowed, where they are known only when the program runs.
        metavar: what stands for the value in help texts.
        repeat: a tuple is given by repeating the option; otherwise separated by commas.
        neutral: changes no result (threads, time-outs).
        secret: stands in no record, log or error.
        check: raises `UsageError` over a value that no limit can tell.
    """

    help: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    flag: str | None = None
    formerly: tuple[str, ...] = ()
    among: tuple[str, ...] = ()
    metavar: str | None = None
    repeat: bool = False
    neutral: bool = False
    secret: bool = False
    check: Callable[[Any], object] | None = None


def option(default: Any, help: str, **words: Any) -> Any:
    """A field of an options class; `MISSING` as default makes it required. Further words as in `Words`."""
    said = Words(help, **words)
    return field(default=default, repr=not said.secret, metadata={_KEY: said})


@dataclass(frozen=True)
class Declared:
    """One option as declared.

    Attributes:
        name: of the field.
        kind: the type of one value: `int`, `float`, `bool`, `str` or `Path`.
        choices: the values allowed, where they are few.
        many: whether the field is a tuple of such values.
        required: whether it has no default.
        default: the default.
        words: what else was declared.
    """

    name: str
    kind: type
    choices: tuple[str, ...]
    many: bool
    required: bool
    default: Any
    words: Words

    @property
    def flag(self) -> str:
        """The long option, without its dashes."""
        return self.words.flag or self.name.replace("_", "-")


def declared(options: type) -> list[Declared]:
    """The options of a class in order."""
    hints = get_type_hints(options)
    known = [f for f in fields(options) if _KEY in f.metadata]
    return [_declared(f.name, hints[f.name], f.default, f.metadata[_KEY]) for f in known]


def _declared(name: str, hint: Any, default: Any, words: Words) -> Declared:
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    many = get_origin(hint) is tuple
    if many:
        hint = get_args(hint)[0]
    choices = get_args(hint) if get_origin(hint) is Literal else words.among
    return Declared(name, str if choices else hint, choices, many, default is MISSING, default, words)


@dataclass(frozen=True)
class Options:
    """Base of every options class: holds each value to what was declared.

    Raises:
        UsageError: a value is not among the choices, or outside its limits.
    """

    def __post_init__(self) -> None:
        for known in declared(type(self)):
            value = getattr(self, known.name)
            for one in () if value is None else value if known.many else (value,):
                _check(known, one)


def _check(known: Declared, value: Any) -> None:
    words = known.words
    if known.choices and value not in known.choices:
        raise UsageError(f"{known.name} cannot be {value!r}; allowed: {', '.join(known.choices)}")
    limits: tuple[tuple[float | None, str, Callable[[Any, Any], bool]], ...] = (
        (words.at_least, "at least", operator.ge), (words.above, "above", operator.gt),
        (words.at_most, "at most", operator.le), (words.below, "below", operator.lt),
    )  # fmt: skip
    for limit, said, holds in limits:
        if limit is not None and not holds(value, limit):
            raise UsageError(f"{known.name} must be {said} {limit:g}, not {value}")
    if words.check is not None:
        words.check(value)
