"""The body of a chat completion -> an `Answer`; whatever it must have is checked, numbers first of all."""

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from seal.engine.errors import UsageError
from seal.engine.generation.contract import Answer, Request, Stop

_STOPS: Mapping[Any, Stop] = {"stop": "done", "length": "cut"}
_MOST_TOKENS = 1 << 31  # of one request; sums of them fit into what counts them
_ABOVE_ONE = 0.01  # servers round: a log-probability may be this much above 0


def read_text(document: Mapping[str, Any]) -> Answer:
    """The answer in words.

    Raises:
        KeyError, IndexError, TypeError, AttributeError, ValueError: the body has not what it must have.
    """
    choice = document["choices"][0]
    reason = choice.get("finish_reason")
    stop = _STOPS.get(reason, "refused")
    detail = f"the server ended it: {reason}" if stop == "refused" else ""
    return Answer(_content(choice), stop, detail, (), *_usage(document))


def read_choice(request: Request, document: Mapping[str, Any]) -> Answer:
    """The likeliest choice among the alternatives of the first token; none of them there is no answer.

    Raises:
        UsageError: the server answers, but gives no log-probabilities at all.
        KeyError, IndexError, TypeError, AttributeError, ValueError: the body has not what it must have.
    """
    choice = document["choices"][0]
    if choice.get("finish_reason") == "content_filter":
        return Answer("", "refused", "the server ended it: content_filter")
    if _content(choice) and choice.get("logprobs") is None:  # asking again would change nothing
        raise UsageError("the server gives no log-probabilities, which choices are read from; ask by json")
    listed = choice["logprobs"]["content"][0]["top_logprobs"]
    said = [(_token(alternative["token"]), _probability(alternative["logprob"])) for alternative in listed]
    found = {name: sum(p for token, p in said if token == name) for name in request.choices}
    if not any(found.values()):  # a tokenizer whose words begin with a space, or a model that writes Yes
        found = {n: sum(p for t, p in said if t.strip().casefold() == n.casefold()) for n in request.choices}
    if not any(found.values()):  # a tokenizer that has no whole token for a choice
        found = {n: sum(p for t, p in said if _begins_only(t, n, request.choices)) for n in request.choices}
    total = sum(found.values())
    if not total:
        return Answer(_content(choice), "done", "", (), *_usage(document))
    shares = tuple(share / total for share in found.values())
    return Answer(max(found, key=lambda name: found[name]), "done", "", shares, *_usage(document))


def _token(token: Any) -> str:
    if not isinstance(token, str):
        raise TypeError(f"a token is {type(token).__name__}")
    return token


def _begins_only(token: str, choice: str, choices: Sequence[str]) -> bool:
    """Whether a token is how this choice begins, and no other."""
    opening = token.strip().casefold()
    return bool(opening) and [c for c in choices if c.casefold().startswith(opening)] == [choice]


def _content(choice: Mapping[str, Any]) -> str:
    content = choice["message"]["content"]
    if not isinstance(content, str | None):
        raise TypeError(f"the content is {type(content).__name__}")
    return content or ""


def _usage(document: Mapping[str, Any]) -> tuple[int, int, int]:
    usage = document.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    return (
        _n_tokens(usage, "prompt_tokens"),
        _n_tokens(details, "cached_tokens"),
        _n_tokens(usage, "completion_tokens"),
    )


def _n_tokens(usage: Mapping[str, Any], name: str) -> int:
    """A count of tokens, 0 where the server does not tell it."""
    value = usage.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {type(value).__name__}, not a number")
    if not 0 <= value < _MOST_TOKENS or value != int(value):  # NaN is not between
        raise ValueError(f"{name} is no whole number from 0 to {_MOST_TOKENS - 1:,}")
    return int(value)


def _probability(logprob: Any) -> float:
    if isinstance(logprob, bool) or not isinstance(logprob, int | float):
        raise TypeError(f"a log-probability is {type(logprob).__name__}, not a number")
    if not logprob <= _ABOVE_ONE:  # NaN neither
        raise ValueError("a log-probability is above 0, or no number")
    return exp(max(logprob, -1e6))
