"""What a labeler may answer: the JSON schema of the `json` protocol, and reading an answer against it.

An answer is taken as it stands or not at all; nothing is repaired.
"""

import json
from collections.abc import Sequence
from typing import Any

from seal.engine.frames.taxonomy import Feature
from seal.engine.generation.asking import InvalidAnswerError


class _Object:
    """An object of an answer as its pairs, so that their order and repeats can be seen."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def json_schema(features: Sequence[Feature]) -> dict[str, Any]:
    """The JSON schema of an answer: every key required, in this order, nothing else.

    Lists are bounded by `maxItems`; `uniqueItems` is left out, which constrained decoders do not know.
    """
    return {
        "type": "object",
        "properties": {feature.name: _property(feature) for feature in features},
        "required": [feature.name for feature in features],
        "additionalProperties": False,
    }


def longest_answer(features: Sequence[Feature]) -> str:
    """The longest answer the schema allows, in compact form: what bounds the tokens of one."""
    return json.dumps({f.name: _longest(f) for f in features}, ensure_ascii=False)


def read_json(answer: str, features: Sequence[Feature]) -> dict[str, Any]:
    """The values of an answer: booleans, text, and lists without repeats in the order they were named.

    Raises:
        InvalidAnswerError: it is no JSON, or not as the schema says (keys and their order included).
    """
    try:
        value = json.loads(answer, object_pairs_hook=_Object)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswerError(f"no JSON: {error}") from None
    if not isinstance(value, _Object):
        raise InvalidAnswerError("no JSON object")
    names = [name for name, _ in value.pairs]
    wanted = [feature.name for feature in features]
    if names != wanted:
        raise InvalidAnswerError(_wrong_keys(names, wanted))
    return {f.name: _value(f, given) for f, (_, given) in zip(features, value.pairs, strict=True)}


def _property(feature: Feature) -> dict[str, Any]:
    if feature.kind == "boolean":
        return {"type": "boolean"}
    values = {"type": "string", "enum": list(feature.values)}
    if feature.kind == "enum":
        return values
    return {"type": "array", "items": values, "maxItems": feature.max_items}


def _longest(feature: Feature) -> Any:
    if feature.kind == "boolean":
        return False
    longest = max(feature.values, key=lambda value: len(value.encode()))
    return longest if feature.kind == "enum" else [longest] * feature.max_items  # the schema allows repeats


def _wrong_keys(names: list[str], wanted: list[str]) -> str:
    if missing := [name for name in wanted if name not in names]:
        return f"without the key {missing[0]!r}"
    if unknown := [name for name in names if name not in wanted]:
        return f"with a key {unknown[0]!r} that was not asked for"
    return "with its keys in another order, or one of them twice"


def _value(feature: Feature, given: Any) -> Any:
    if feature.kind == "boolean":
        if not isinstance(given, bool):
            raise InvalidAnswerError(f"{feature.name} is neither true nor false")
        return given
    is_list, known = feature.kind == "list", ", ".join(feature.values)
    if is_list and (not isinstance(given, list) or len(given) > feature.max_items):
        raise InvalidAnswerError(f"{feature.name} is no list of at most {feature.max_items} values")
    if not all(isinstance(item, str) and item in feature.values for item in (given if is_list else [given])):
        what = "holds something that is none of" if is_list else "is none of"
        raise InvalidAnswerError(f"{feature.name} {what} {known}")
    return list(dict.fromkeys(given)) if is_list else given
