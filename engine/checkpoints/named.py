"""`[NAME=]MODEL`: how a model is named, wherever one is asked for; a folder, or a name in the cache."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from seal.engine.checkpoints.cached import local_model, own_name
from seal.engine.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
Models = Mapping[str, str | Path] | Sequence[str | Path] | str | Path
"""Models as they are given: name -> MODEL, or `[NAME=]MODEL`, one or several; a MODEL is a folder, or
`org/name[@revision]` in the local Hugging Face cache."""


def named_path(value: str) -> tuple[str, Path]:
    """Split `[NAME=]MODEL`; without a name the folder's own name is taken, or that of the repository.

    Raises:
        UsageError: the name could leave its folder or break a file name.
        InputError: the cache has the model, but not so (see `cached.local_model`).
    """
    name, found, path = value.partition("=")
    if not found:
        name, path = own_name(value), value
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a name: letters, digits and . _ + - only; write NAME={path}")
    return name, local_model(path)


def named_paths(models: Models) -> dict[str, Path]:
    """Name -> folder of some models.

    Raises:
        UsageError: there is none, or two have the same name.
        InputError: see `named_path`.
    """
    if isinstance(models, Mapping):
        pairs = [named_path(f"{name}={path}") for name, path in models.items()]
    else:
        values = [models] if isinstance(models, str | Path) else models
        pairs = [named_path(str(value)) for value in values]
    if not pairs:
        raise UsageError("no model is named; at least one is needed: [NAME=]MODEL")
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UsageError("two models have the same name; write NAME=DIR")
    return found
