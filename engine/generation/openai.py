"""Decoders behind any OpenAI-compatible server: `vllm serve`, llama.cpp, Ollama and the like.

Many requests are in flight at once. What may pass (a time-out, a dropped connection, 429, 5xx, a torn body)
is asked again with growing pauses, until the server has been silent for too long; what a request itself is
refused for becomes its answer. Nothing that a server says is trusted: time, length and every number have
bounds, and its text leaves this module without the API key.
"""

import json
import random
import re
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import inf
from threading import Event, Lock
from typing import Any, TypeVar

from seal.engine.errors import SealError, UsageError
from seal.engine.generation.addresses import check_url
from seal.engine.generation.completions import read_choice, read_text
from seal.engine.generation.contract import Answer, Request, Stop, Told, untold
from seal.engine.generation.exchange import Connections, ExchangeError, Reply
from seal.engine.generation.in_flight import map_concurrently
from seal.engine.generation.options import IN_FLIGHT, PATIENCE_S, TIMEOUT_S, GeneratorOptions
from seal.engine.generation.secret import Secret
from seal.engine.visible import KEPT, bounded, visible

_TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_FIRST_PATIENCE_S = 20.0  # a server that was never there is more likely a wrong URL than a failure
_LONGEST_PAUSE_S = 20.0
_SECONDS = re.compile(r"[0-9]{1,9}")
_TOP = 20  # the most alternatives that servers give for a token
_ANSWER_BYTES, _BYTES_A_TOKEN, _MODELS_BYTES = 1 << 19, 64, 1 << 21  # the longest bodies that are read
_NAME, _N_NAMES, _IN_ERRORS = 512, 20, 300  # characters of a model's name, names and characters in an error
_TOO_LONG = re.compile(
    r"context (length|size|window)|maximum.{0,20}(token|length)|too (long|many tokens)", re.I
)
# A server turns what spells a control token into one; a joiner inside leaves the words and breaks the spell.
_CONTROL = re.compile(r"<[|｜]|[|｜]>|<(?=/?[A-Za-z_][\w.-]{0,40}>)|\[(?=/?[A-Z_]{2,40}\])|<(?=</?SYS>>)")
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
        InputError: the URL is none of a server.
        ServerError: no such server answers, within the patience.
        UsageError: it serves several models and none is named, or not the one that is; or it stands on
            another machine, which the options do not allow.
    """

    context: int | None = None

    def __init__(self, url: str, options: GeneratorOptions | None = None) -> None:
        options = options or GeneratorOptions()
        key = options.api_key
        check_url(url, allow_remote=options.allow_remote, has_key=bool(key))
        self._url, _, self._wanted = url.partition("#")
        self._url = self._url.rstrip("/")
        self._secret, self._parsing = Secret(key), Lock()
        self._in_flight = options.in_flight or IN_FLIGHT
        self._patience_s = PATIENCE_S if options.patience_s is None else options.patience_s
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._server = Connections(self._url, headers, self._in_flight, options.timeout_s or TIMEOUT_S)
        weakref.finalize(self, self._server.close)
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
                raise UsageError(f"{self._url} serves no model {self._wanted!r}; it has: {_listed(served)}")
            return self._wanted
        if len(served) == 1:
            return served[0]
        raise UsageError(f"{self._url} serves {_listed(served) or 'no model'}; name one: {self._url}#MODEL")

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's name; where the server stands is no part of it."""
        return {"backend": "openai", "model": self.model}

    def count_tokens(self, message: str) -> None:
        """Only the server could tell."""

    def answer(self, requests: Sequence[Request], told: Told = untold) -> list[Answer]:
        return map_concurrently(self._answer_one, requests, self._in_flight, told)

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
            except (_PassingError, ExchangeError) as error:
                wait_s = getattr(error, "pause_s", None) or pause_s * random.uniform(0.75, 1.25)
                reason = self._told(str(error), _IN_ERRORS)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            if time.monotonic() + wait_s > deadline or given_up.wait(wait_s):
                raise ServerError(
                    f"{self._url} failed for {patience_s:g} s, last with: {reason}; when it is "
                    "back, the same command goes on from here",
                    may_pass=True,
                ) from None

    def _get_models(self) -> list[str]:
        reply = self._server.ask("/models", _MODELS_BYTES, within_s=_FIRST_PATIENCE_S)
        self._check(reply)
        with self._parsing:
            found = self._parsed(reply)
            try:
                return [self._secret.without(_name(model)) for model in found["data"]]
            except (KeyError, TypeError, ValueError) as error:
                raise _PassingError(f"no list of models came back ({error!r})") from None

    def _post(self, request: Request, body: bytes) -> Answer:
        most_bytes = _ANSWER_BYTES + _BYTES_A_TOKEN * request.max_tokens
        reply = self._server.ask("/chat/completions", most_bytes, body)
        if reply.status in (400, 413, 422):
            said = self._told(self._text(reply))
            stop: Stop = "too_long" if _TOO_LONG.search(said) else "refused"
            return Answer("", stop, f"{reply.status}: {said}")
        self._check(reply)
        if not reply.whole:
            return Answer("", "refused", f"the server sent more than {most_bytes:,} bytes for one answer")
        with self._parsing:  # one document at a time, however many have come: they take more room than bytes
            answer = self._answer(request, self._parsed(reply))
        if self._secret.in_answer(answer.text):
            return Answer("", "refused", "the server put the API key into its answer, which is not kept")
        return answer

    def _answer(self, request: Request, document: Any) -> Answer:
        try:
            answer = read_choice(request, document) if request.choices else read_text(document)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise _PassingError(f"an answer without what it must have ({error!r})") from None
        return answer if answer.stop == "done" else replace(answer, detail=self._told(answer.detail))

    def _check(self, reply: Reply) -> None:
        """Refuse any status but 200."""
        if reply.status in _TRY_AGAIN:
            after = reply.headers.get("retry-after", "")
            raise _PassingError(
                f"status {reply.status}", min(float(after), 60.0) if _SECONDS.fullmatch(after) else None
            )
        if reply.status == 200:
            return
        to = self._told(reply.headers.get("location", ""), _IN_ERRORS)
        hint = (
            "; the URL of an API mostly ends in /v1" if reply.status == 404
            else f"; it points to {to}, and no redirect is followed: give the URL that it ends at" if to
            else ""
        )  # fmt: skip
        said = self._told(self._text(reply), _IN_ERRORS)
        raise ServerError(f"{self._url} answers with status {reply.status}: {said}{hint}")

    def _parsed(self, reply: Reply) -> Any:
        if not reply.whole:
            raise _PassingError(f"a body of more than {len(reply.body):,} bytes")
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError):
            raise _PassingError("a body that is no JSON") from None

    def _text(self, reply: Reply) -> str:
        text = " ".join(reply.body.decode("utf-8", "replace").split())
        # What was cut may end within the key, which nobody would find then.
        return text if reply.whole else text[: -self._secret.n_longest or None]

    def _told(self, text: str, most: int = KEPT) -> str:
        """What the server said, for people: on one line, bounded, nothing invisible, without the key."""
        return bounded(visible(self._secret.without(" ".join(text.split()))), most)

    def _body(self, request: Request) -> bytes:
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
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _name(model: Mapping[str, Any]) -> str:
    name = model["id"]
    if not isinstance(name, str) or not 0 < len(name) <= _NAME:
        raise ValueError(f"a model's id must be a text of 1 to {_NAME} characters")
    return name


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _N_NAMES:,} more" if len(names) > _N_NAMES else ""
    return ", ".join(names[:_N_NAMES]) + more


def broken(message: str) -> str:
    """The message with a joiner (U+2060) inside whatever common templates would take for a control token."""
    return _CONTROL.sub(lambda found: found.group()[0] + _JOINER + found.group()[1:], message)
