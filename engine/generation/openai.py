"""Decoders behind any OpenAI-compatible server: `vllm serve`, llama.cpp, Ollama and the like.

Many requests are in flight at once. What may pass (a time-out, a dropped connection, 429, 5xx, a torn body)
is asked again with growing pauses, until the server has been silent for too long; what a request itself is
refused for becomes its answer.
"""

import random
import re
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import exp, inf, isfinite
from threading import Event
from typing import Any, TypeVar

import httpx

from seal.engine.errors import InputError, SealError, UsageError
from seal.engine.generation.contract import Answer, Request, Stop
from seal.engine.generation.in_flight import map_concurrently
from seal.engine.generation.options import IN_FLIGHT, PATIENCE_S, TIMEOUT_S, GeneratorOptions

_TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_FIRST_PATIENCE_S = 20.0  # a server that was never there is more likely a wrong URL than a failure
_LONGEST_PAUSE_S = 20.0
_TOP = 20  # the most alternatives that servers give for a token
_STOPS: Mapping[Any, Stop] = {"stop": "done", "length": "cut"}
_TOO_LONG = re.compile(
    r"context (length|size|window)|maximum.{0,20}(token|length)|too (long|many tokens)", re.I
)
# A server turns what spells a control token into one; a joiner inside leaves the words and breaks the spell.
_CONTROL = re.compile(r"<[|｜]|[|｜]>|<(?=/?[A-Za-z_][\w.-]{0,40}>)|\[(?=/?[A-Z_]{2,40}\])|<(?=</?SYS>>)")
_URL = re.compile(r"https?://(?:[^\s/:@\[\]?#]+|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?(?=[/#]|$)")
_JOINER = "\u2060"

Given = TypeVar("Given")


class ServerError(SealError):
    """The server cannot be used, or has failed for too long.

    Args:
        reason: in what.
        may_pass: whether it was something that asking again may mend.
    """

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


class _PassingError(Exception):
    """Something that asking again may mend."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class OpenAIGenerator:
    """Answers through a server (see `contract.TextGenerator`).

    Args:
        url: of the API's root, e.g. `http://127.0.0.1:8000/v1`; `#MODEL` at its end names one of several.
        options: how to talk.

    Raises:
        ServerError: no such server answers, within the patience.
        UsageError: it serves several models and none is named, or not the one that is.
    """

    context: int | None = None

    def __init__(self, url: str, options: GeneratorOptions | None = None) -> None:
        self._url, _, self._wanted = url.partition("#")
        self._url = self._url.rstrip("/")
        options = options or GeneratorOptions()
        key = options.api_key
        self._in_flight = options.in_flight or IN_FLIGHT
        self._patience_s = PATIENCE_S if options.patience_s is None else options.patience_s
        self._client = httpx.Client(
            timeout=options.timeout_s or TIMEOUT_S,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=self._in_flight),
            trust_env=False,  # no proxy of the environment stands between a loopback server and us
        )
        weakref.finalize(self, self._client.close)
        self._answered_s = -inf  # when the server last answered a request, on the monotonic clock

    @cached_property
    def model(self) -> str:
        """The name of the model that is asked."""
        at_most_s = min(self._patience_s, _FIRST_PATIENCE_S)
        served = map_concurrently(
            lambda _, given_up: self._patiently(self._get_models, at_most_s, given_up), [None], 1
        )[0]
        if self._wanted:
            if self._wanted not in served:
                raise UsageError(f"{self._url} serves no model {self._wanted!r}; it has: {', '.join(served)}")
            return self._wanted
        if len(served) == 1:
            return served[0]
        raise UsageError(f"{self._url} serves {', '.join(served) or 'no model'}; name one: {self._url}#MODEL")

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's name; where the server stands is no part of it."""
        return {"backend": "openai", "model": self.model}

    def count_tokens(self, message: str) -> None:
        """Only the server could tell."""

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        return map_concurrently(self._answer_one, requests, self._in_flight)

    def _answer_one(self, request: Request, given_up: Event) -> Answer:
        body, began_s = self._body(request), time.monotonic()
        try:
            answer = self._patiently(lambda: self._post(request, body), self._patience_s, given_up)
        except ServerError as error:
            if self._answered_s <= began_s or given_up.is_set() or not error.may_pass:
                raise
            # The server answers others: it is this request that it cannot bear.
            return Answer("", "refused", str(error))
        self._answered_s = time.monotonic()
        return answer

    def _patiently(self, ask: Callable[[], Given], patience_s: float, given_up: Event) -> Given:
        """Ask until it works or the patience is over, or others gave up."""
        deadline = time.monotonic() + patience_s
        pause_s = 0.25
        while True:
            try:
                return ask()
            except (_PassingError, httpx.TransportError, httpx.DecodingError) as error:
                wait_s = getattr(error, "pause_s", None) or pause_s * random.uniform(0.75, 1.25)
                reason = str(error) or type(error).__name__
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            if time.monotonic() + wait_s > deadline or given_up.wait(wait_s):
                raise ServerError(
                    f"{self._url} failed for {patience_s:g} s, last with: {reason}; when it is "
                    "back, the same command goes on from here",
                    may_pass=True,
                ) from None

    def _get_models(self) -> list[str]:
        found = self._read(self._client.get(f"{self._url}/models"))
        try:
            return [str(model["id"]) for model in found["data"]]
        except (KeyError, TypeError) as error:
            raise _PassingError(f"no list of models came back ({error!r})") from None

    def _post(self, request: Request, body: Mapping[str, Any]) -> Answer:
        response = self._client.post(f"{self._url}/chat/completions", json=body)
        if response.status_code in (400, 413, 422):
            said = " ".join(response.text.split())
            stop: Stop = "too_long" if _TOO_LONG.search(said) else "refused"
            return Answer("", stop, f"{response.status_code}: {said}")
        document = self._read(response)
        try:
            return _choice(request, document) if request.choices else _text(document)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise _PassingError(f"an answer without what it must have ({error!r})") from None

    def _read(self, response: httpx.Response) -> Any:
        if response.status_code in _TRY_AGAIN:
            after = response.headers.get("retry-after", "")
            pause_s = min(float(after), 60.0) if after.isdigit() else None
            raise _PassingError(f"status {response.status_code}", pause_s)
        if response.status_code != 200:
            said = " ".join(response.text.split())[:300]
            hint = "; the URL of an API mostly ends in /v1" if response.status_code == 404 else ""
            raise ServerError(f"{self._url} answers with status {response.status_code}: {said}{hint}")
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise _PassingError("a body that is no JSON") from None

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": broken(request.message)}],
            "max_tokens": 1 if request.choices else request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            "top_p": 1.0,  # a server may have other defaults for these two
            "repetition_penalty": 1.0,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        if request.choices:
            body |= {"logprobs": True, "top_logprobs": _TOP}
        if request.schema is not None:
            held = {"name": "answer", "strict": True, "schema": dict(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": held}
        return body


def broken(message: str) -> str:
    """The message with a joiner (U+2060) inside whatever common templates would take for a control token."""
    return _CONTROL.sub(lambda found: found.group()[0] + _JOINER + found.group()[1:], message)


def _usage(document: Mapping[str, Any]) -> tuple[int, int, int]:
    usage = document.get("usage") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return int(usage.get("prompt_tokens") or 0), int(cached), int(usage.get("completion_tokens") or 0)


def _text(document: Mapping[str, Any]) -> Answer:
    choice = document["choices"][0]
    reason = choice.get("finish_reason")
    stop = _STOPS.get(reason, "refused")
    detail = f"the server ended it: {reason}" if stop == "refused" else ""
    return Answer(_content(choice), stop, detail, (), *_usage(document))


def _content(choice: Mapping[str, Any]) -> str:
    content = choice["message"]["content"]
    if not isinstance(content, str | None):
        raise TypeError(f"the content is {type(content).__name__}")
    return content or ""


def _begins_only(token: str, choice: str, choices: Sequence[str]) -> bool:
    """Whether a token is how this choice begins, and no other."""
    opening = token.strip().casefold()
    return bool(opening) and [c for c in choices if c.casefold().startswith(opening)] == [choice]


def _choice(request: Request, document: Mapping[str, Any]) -> Answer:
    """The likeliest choice among the alternatives of the first token; none of them there is no answer."""
    choice = document["choices"][0]
    if choice.get("finish_reason") == "content_filter":
        return Answer("", "refused", "the server ended it: content_filter")
    listed = choice["logprobs"]["content"][0]["top_logprobs"]
    said = [(str(alternative["token"]), exp(alternative["logprob"])) for alternative in listed]
    found = {name: sum(p for token, p in said if token == name) for name in request.choices}
    if not any(found.values()):  # a tokenizer whose words begin with a space, or a model that writes Yes
        found = {n: sum(p for t, p in said if t.strip().casefold() == n.casefold()) for n in request.choices}
    if not any(found.values()):  # a tokenizer that has no whole token for a choice
        found = {n: sum(p for t, p in said if _begins_only(t, n, request.choices)) for n in request.choices}
    total = sum(found.values())
    if not isfinite(total):
        raise ValueError(f"a probability of {total}")
    if not total:
        return Answer(_content(choice), "done", "", (), *_usage(document))
    shares = tuple(share / total for share in found.values())
    return Answer(max(found, key=lambda name: found[name]), "done", "", shares, *_usage(document))


def check_url(url: str) -> str:
    """The URL, if it is one of a server.

    Raises:
        InputError: it is not.
    """
    found = _URL.match(url)
    if found is None or not 0 < int(found.group(1) or 1) < 1 << 16:
        raise InputError(f"{url} is no URL of a server; e.g. http://127.0.0.1:8000/v1")
    return url
