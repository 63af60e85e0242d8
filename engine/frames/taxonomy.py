"""The features a labeler is asked about, as data: read from TOML, checked, turned into column types.

The default taxonomy is `taxonomies/default.toml`; its head says what each key means. A taxonomy is checked as
a whole when it is loaded, so that nothing can be wrong with it by the time a model is.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast, get_args

import polars as pl

from seal.engine.errors import InputError, UsageError, nearest
from seal.engine.files import parse_toml
from seal.engine.frames.schema import FAILURES, INCLUSION, LABELS, SCORES, SIMILARITIES, TEXTS, check

Kind = Literal["boolean", "enum", "list"]
Role = Literal["target", "spoiler", "none"]
Scope = Literal["last response", "whole dialogue", "human turns"]

DEFAULT = Path(__file__).parent / "taxonomies" / "default.toml"
PROBABILITY = "p_"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_RESERVED_PREFIXES = (PROBABILITY, "meta_")
_FRAMES = (TEXTS, SCORES, LABELS, SIMILARITIES, FAILURES)
_RESERVED = frozenset({INCLUSION}).union(*(frame.types for frame in _FRAMES))
_KEYS = ("name", "kind", "values", "max_items", "role", "scope", "instruction")
_REQUIRED = ("name", "kind", "scope", "instruction")
_MOST_VALUES, _LONGEST_VALUE = 100, 100


@dataclass(frozen=True)
class Feature:
    """One question and the answers it may have.

    Attributes:
        name: the column of a LABELS frame.
        kind: `boolean`; `enum`, one of `values`; `list`, up to `max_items` of them, none twice.
        scope: what is judged.
        instruction: the question.
        role: whether preferences are meant to reward it.
        values: the answers of an enum or a list, in order; empty for a boolean.
        max_items: the longest list; 0 for the other kinds.

    Raises:
        UsageError: one of these is not allowed; the text opens with the feature's name.
    """

    name: str
    kind: Kind
    scope: Scope
    instruction: str
    role: Role = "none"
    values: tuple[str, ...] = ()
    max_items: int = 0

    def __post_init__(self) -> None:
        self._check_name()
        for key, choices in (("kind", Kind), ("scope", Scope), ("role", Role)):
            _require(getattr(self, key), get_args(choices), f"feature '{self.name}': {key}")
        if not self.instruction.strip():
            raise UsageError(f"feature '{self.name}': the instruction is empty; write the question")
        self._check_values()

    @property
    def dtype(self) -> pl.DataType:
        """Its column's type."""
        if self.kind == "boolean":
            return pl.Boolean()
        values = pl.Enum(self.values)
        return values if self.kind == "enum" else pl.List(values)

    def _check_name(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"feature '{self.name}': a name is a letter, then letters, digits and _, at most 100 in all"
            )
        if self.name in _RESERVED or self.name.startswith(_RESERVED_PREFIXES):
            raise UsageError(
                f"feature '{self.name}': that name is a column of the frames already; names that begin with "
                f"{' or '.join(_RESERVED_PREFIXES)} and these are taken: {', '.join(sorted(_RESERVED))}"
            )

    def _check_values(self) -> None:
        where = f"feature '{self.name}'"
        if self.kind == "boolean":
            if self.values or self.max_items:
                raise UsageError(f"{where}: a boolean has neither values nor max_items; leave them out")
            return
        least = 2 if self.kind == "enum" else 1
        if not least <= len(self.values) <= _MOST_VALUES:
            n = len(self.values)
            raise UsageError(f"{where}: {n} values; one of kind {self.kind} has {least} to {_MOST_VALUES}")
        if twice := [v for i, v in enumerate(self.values) if v in self.values[:i]]:
            raise UsageError(f"{where}: the value {twice[0]!r} stands twice")
        for value in self.values:
            if value != value.strip() or not 1 <= len(value) <= _LONGEST_VALUE or not value.isprintable():
                raise UsageError(
                    f"{where}: the value {value[:40]!r} is empty, too long ({_LONGEST_VALUE} characters are "
                    "allowed), or has white space around it or signs that cannot be printed"
                )
        if self.kind == "enum" and self.max_items:
            raise UsageError(f"{where}: max_items belongs to a list; leave it out")
        if self.kind == "list" and not 1 <= self.max_items <= len(self.values):
            raise UsageError(f"{where}: max_items is {self.max_items}; 1 to {len(self.values)} can be")


@dataclass(frozen=True)
class Taxonomy:
    """Features in the order of their columns; no name twice.

    Attributes:
        features: at least one.
        origin: the file, for error texts.
    """

    features: tuple[Feature, ...]
    origin: str = "taxonomy"

    def __post_init__(self) -> None:
        if not self.features:
            raise UsageError(f"{self.origin}: no [[feature]]; a taxonomy has at least one")
        for i, name in enumerate(self.names):
            if name in self.names[:i]:
                raise UsageError(f"{self.origin}: feature '{name}' stands twice; rename or remove one")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return tuple(feature.name for feature in self.features)

    @property
    def types(self) -> dict[str, pl.DataType]:
        """Feature -> type of its column."""
        return {feature.name: feature.dtype for feature in self.features}

    def check_labels(
        self, labels: pl.LazyFrame, *, origin: str, among: Collection[str] | None = None
    ) -> pl.LazyFrame:
        """Check a LABELS frame against this taxonomy: its columns now, its values when it is collected.

        Text becomes enums, probabilities Float32. A value that is none of an enum's raises
        `polars.exceptions.InvalidOperationError` on collecting.

        Args:
            labels: the frame.
            origin: where it came from, for the error text.
            among: the features it must have, all of them by default; others may be missing.

        Returns:
            The key, the features that are there in the taxonomy's order, then their probabilities; not
            how likely a pair was to be drawn.

        Raises:
            InputError: a column is missing, of a wrong type, or belongs to no feature (with the nearest).
        """
        checked = check(labels, LABELS, origin=origin)
        have = checked.collect_schema()
        for name in self.names if among is None else among:
            if name not in have:
                raise InputError(f"{origin}: no column '{name}', a feature of {self.origin}")
        there = {name: dtype for name, dtype in self.types.items() if name in have}
        there |= {PROBABILITY + n: pl.Float32() for n in tuple(there) if PROBABILITY + n in have}
        for name in have:
            if name not in (*LABELS.types, INCLUSION) and name not in there:
                near = nearest(name, self.names)
                raise InputError(f"{origin}: column '{name}' is no feature of {self.origin}; {near}")
        for name, want in there.items():
            if not _fits(have[name], want):
                says = f"{have[name]}; the taxonomy says {_readable(want)}"
                raise InputError(f"{origin}: column '{name}' is {says}")
        return checked.select(*LABELS.types, *(pl.col(n).cast(t) for n, t in there.items()))


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """Read a taxonomy and check all of it.

    Args:
        path: a TOML file; None takes the default taxonomy.

    Raises:
        UsageError: it is no TOML file, or something in it is not allowed: the file, the feature, and what
            would be.
    """
    origin = "the default taxonomy" if path is None else str(path)
    path = DEFAULT if path is None else path
    try:
        document = parse_toml(path.read_bytes().decode())
    except OSError as error:
        raise UsageError(f"cannot read the taxonomy {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from None
    for key in document:
        _require(key, ("feature",), f"{origin}: the key")
    entries = document.get("feature", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{origin}: 'feature' is no list of tables; open each feature with [[feature]]")
    features = tuple(_feature(entry, f"{origin}: [[feature]] {i}") for i, entry in enumerate(entries, 1))
    return Taxonomy(features, origin)


def _feature(entry: Mapping[str, Any], where: str) -> Feature:
    name = entry.get("name")
    where = f"{where} ('{name}')" if isinstance(name, str) else where
    for key in entry:
        _require(key, _KEYS, f"{where}: the key")
    for key in _REQUIRED:
        if key not in entry:
            raise UsageError(f"{where}: no key '{key}'; every feature has {', '.join(_REQUIRED)}")
    for key in ("name", "kind", "scope", "instruction", "role"):
        if not isinstance(entry.get(key, ""), str):
            raise UsageError(f"{where}: {key} is {entry[key]!r}; text is needed")
    values = entry.get("values", [])
    if not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
        raise UsageError(f"{where}: values is {str(values)[:60]}; a list of text is needed")
    max_items = entry.get("max_items", len(values) if entry["kind"] == "list" else 0)
    if not isinstance(max_items, int) or isinstance(max_items, bool):
        raise UsageError(f"{where}: max_items is {max_items!r}; a whole number is needed")
    known = {key: entry[key] for key in ("name", "kind", "scope", "instruction", "role") if key in entry}
    try:
        return Feature(**cast(Any, known), values=tuple(values), max_items=max_items)
    except UsageError as error:
        reason = str(error).removeprefix(f"feature '{name}': ")
        raise UsageError(f"{where}: {reason}") from None


def _require(value: str, choices: Collection[str], what: str) -> None:
    if value not in choices:
        raise UsageError(f"{what} {value!r} is not known; {nearest(value, choices)}")


def _fits(have: pl.DataType, want: pl.DataType) -> bool:
    if isinstance(want, pl.List):
        return isinstance(have, pl.List) and _fits(_inner(have), _inner(want))
    if isinstance(want, pl.Enum):
        return isinstance(have, pl.String | pl.Categorical | pl.Enum) or have == pl.Null()
    return have.is_numeric() if want == pl.Float32() else have == want


def _inner(dtype: pl.List) -> pl.DataType:
    inner = dtype.inner
    return inner if isinstance(inner, pl.DataType) else inner()


def _readable(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return f"a list of {_readable(_inner(dtype))}"
    if isinstance(dtype, pl.Enum):
        return f"text, one of {', '.join(dtype.categories)}"
    return str(dtype)
