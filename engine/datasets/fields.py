"""Values of a record by the path of their columns, each of the type that is needed or `Malformed`."""

import math
from collections.abc import Mapping
from typing import Any

from seal.engine.datasets.transcripts import Malformed, kind

Record = Mapping[str, Any]


def get(record: Any, *path: str) -> Any:
    """The value at a path of columns, None where it breaks off."""
    for name in path:
        if not isinstance(record, dict):
            return None
        record = record.get(name)
    return record


def need(record: Record, *path: str) -> Any:
    """The value at a path.

    Raises:
        Malformed: `missing_field`, or `wrong_type` of a null.
    """
    value = get(record, *path)
    if value is None:
        column, inside = ".".join(path), get(record, *path[:-1])
        if isinstance(inside, dict) and path[-1] in inside:
            raise Malformed("wrong_type", f"'{column}' is null")
        here = ", ".join(map(str, record)) or "none"
        raise Malformed("missing_field", f"no '{column}'; here are {here}"[:300])
    return value


def text(record: Record, *path: str) -> str:
    """The string at a path.

    Raises:
        Malformed: `missing_field` or `wrong_type`.
    """
    value = record.get(path[0]) if len(path) == 1 else get(record, *path)  # the common case first
    if not isinstance(value, str):
        value = need(record, *path)
        raise Malformed("wrong_type", f"'{'.'.join(path)}' is {kind(value)}; a string is needed")
    return value


def number(record: Record, *path: str) -> float:
    """The finite number at a path.

    Raises:
        Malformed: `missing_field`, `wrong_type` or `bad_preference`.
    """
    value = need(record, *path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed("wrong_type", f"'{'.'.join(path)}' is {kind(value)}; a number is needed")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise Malformed("bad_preference", f"'{'.'.join(path)}' is {found}; a finite number is needed")
    return found
