"""`[NAME=]DIR`: how a model is named, wherever one is asked for."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from seal.engine.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
Models = Mapping[str, str | Path] | Sequence[str | Path] | str | Path
"""Models as they are given: name -> folder, or `[NAME=]DIR`, one or several."""


def named_path(value: str) -> tuple[str, Path]:
    """Split `[NAME=]DIR`; without a name the folder's own name is taken.

    Raises:
        UsageError: the name could leave its folder or break a file name.
    """
    name, found, path = value.partition("=")
    if not found:
        name, path = Path(value).resolve().name, value
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a name: letters, digits and . _ + - only; write NAME={path}")
    return name, Path(path)


def named_paths(models: Models) -> dict[str, Path]:
    """Name -> folder of some models.

    Raises:
        UsageError: there is none, or two have the same name.
    """
    if isinstance(models, Mapping):
        pairs = [named_path(f"{name}={path}") for name, path in models.items()]
    else:
        values = [models] if isinstance(models, str | Path) else models
        pairs = [named_path(str(value)) for value in values]
    if not pairs:
        raise UsageError("no model is named; at least one is needed: [NAME=]DIR")
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UsageError("two models have the same name; write NAME=DIR")
    return found
