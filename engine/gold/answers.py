"""What people answered on a page: a file of JSON, taken as it stands or not at all."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal.engine.errors import InputError
from seal.engine.frames.taxonomy import Feature
from seal.engine.gold.blind import FORMAT, VERSION

_KEYS = ("format", "version", "sheet", "labeler", "features", "half_labeled", "texts")
_SHOWN = 60


@dataclass(frozen=True)
class Answers:
    """One file.

    Attributes:
        path: where it is.
        sheet: the hash of the page.
        labeler: the name that was typed.
        features: what was asked, in order.
        half_labeled: pairs of which not every question was answered, by their names on the page.
        texts: a text's name on the page and its answers by feature, unchecked, in the file's order.
    """

    path: Path
    sheet: str
    labeler: str
    features: tuple[str, ...]
    half_labeled: tuple[str, ...]
    texts: tuple[tuple[str, dict[str, Any]], ...]


def read_answers(path: Path) -> Answers:
    """Read a file that a page exported.

    Raises:
        InputError: it cannot be read, or is no such file; the text says what is wrong.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{path} is no file of answers; export one from a page of seal gold sheet")
    if found.get("version") != VERSION:
        raise InputError(f"{path}: version {found.get('version')!r} of answers; this program reads {VERSION}")
    if missing := [key for key in _KEYS if key not in found]:
        raise InputError(f"{path}: no {', '.join(missing)}; export it again")
    for key in ("sheet", "labeler"):
        if not isinstance(found[key], str) or not found[key].strip():
            raise InputError(f"{path}: {key} is {_short(found[key])}; text is needed")
    for key in ("features", "half_labeled"):
        if not _is_list_of(found[key], str):
            raise InputError(f"{path}: {key} is {_short(found[key])}; a list of text is needed")
    texts = tuple(_text(path, text) for text in _list(path, found["texts"]))
    features, half = tuple(found["features"]), tuple(found["half_labeled"])
    return Answers(path, found["sheet"], found["labeler"].strip(), features, half, texts)


def wrong(feature: Feature, value: Any) -> str | None:
    """Why a value is no answer to a question; None where it is one."""
    if feature.kind == "boolean":
        return (
            None if isinstance(value, bool) else f"{feature.name} is {_short(value)}: neither true nor false"
        )
    if feature.kind == "enum":
        is_known = isinstance(value, str) and value in feature.values
        return None if is_known else f"{feature.name} is {_short(value)}: none of {', '.join(feature.values)}"
    if not _is_list_of(value, str) or len(value) > feature.max_items or len(set(value)) < len(value):
        return f"{feature.name} is {_short(value)}: no list of at most {feature.max_items} different values"
    unknown = [one for one in value if one not in feature.values]
    return (
        f"{feature.name} holds {_short(unknown[0])}: none of {', '.join(feature.values)}" if unknown else None
    )


def _text(path: Path, text: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(text, dict) and isinstance(text.get("id"), str) and isinstance(text.get("answers"), dict):
        return text["id"], text["answers"]
    raise InputError(f"{path}: {_short(text)} among the texts; each has an id and its answers")


def _list(path: Path, value: Any) -> Sequence[Any]:
    if isinstance(value, list):
        return value
    raise InputError(f"{path}: texts is {_short(value)}; a list is needed")


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
