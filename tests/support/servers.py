"""A real server on loopback that speaks as much of OpenAI's API as the engine asks for, and can misbehave."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import torch

from seal.engine.generation.contract import Answer, Request
from seal.engine.generation.local import Prompt
from seal.engine.generation.transformers import TransformersGenerator

Fault = Callable[["Handler", dict[str, Any]], None]
Plan = Callable[[str, int], str | None]
"""(message, how often it was asked) -> name of a fault in `FAULTS`, None for a good answer."""


class Brain:
    """What answers: a decoder through the transformers backend, every answer remembered."""

    def __init__(self, generator: TransformersGenerator) -> None:
        self._generator, self._lock = generator, threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}

    def reply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a completion, or `{"too_long": ...}`."""
        key = json.dumps(body, sort_keys=True)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._reply(body)
            return self._known[key]

    def _reply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        message = body["messages"][0]["content"]
        if body.get("logprobs"):
            return self._alternatives(message, body["top_logprobs"])
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        request = Request(
            message, body["max_tokens"], schema, temperature=body["temperature"], seed=body["seed"]
        )
        answer = self._generator.answer([request])[0]
        return {"too_long": answer.detail} if answer.stop == "too_long" else completion(answer)

    def _alternatives(self, message: str, n: int) -> dict[str, Any]:
        encoder = self._generator._encoder
        prompt = Prompt(0, Request(message), encoder.encode(message))
        if len(prompt.ids) + 1 > self._generator.context:
            return {"too_long": f"{len(prompt.ids)} tokens"}
        with torch.inference_mode():
            row = self._generator._prefill([prompt]).last()[0][0].astype(np.float64)
        logprobs = row - row.max() - np.log(np.exp(row - row.max()).sum())
        top = [
            {"token": encoder.decode([i]), "logprob": float(logprobs[i])} for i in np.argsort(-logprobs)[:n]
        ]
        made = completion(Answer(top[0]["token"], "cut", n_prompt=len(prompt.ids), n_generated=1))
        made["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return made


def completion(answer: Answer) -> dict[str, Any]:
    """The body of a chat completion."""
    reason = {"done": "stop", "cut": "length"}[answer.stop]
    choice = {"message": {"role": "assistant", "content": answer.text}, "finish_reason": reason}
    usage = {"prompt_tokens": answer.n_prompt, "completion_tokens": answer.n_generated}
    return {"choices": [choice], "usage": usage}


class Handler(BaseHTTPRequestHandler):
    """Answers `/v1/models` and `/v1/chat/completions`."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.send(
            200,
            {"data": [{"id": name} for name in self.server.models or ()]}
            if self.server.models is not None
            else {},
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.watched():
            fault = self.server.fault(body)
            if fault is not None:
                FAULTS[fault](self, body)
                return
            reply = self.server.brain.reply(body)
            if "too_long" in reply:
                text = f"This model's maximum context length is exceeded: {reply['too_long']}"
                self.send(400, {"error": {"message": text}})
            else:
                self.send(200, reply)

    def send(
        self, status: int, value: Any, *, headers: Mapping[str, str] | None = None, shown: float = 1.0
    ) -> None:
        """Send a JSON body, or a leading share of the bytes that were announced."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data[: int(len(data) * shown)])
        if shown < 1:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """The server: a brain, a plan of faults, and what was seen."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, brain: Brain, plan: Plan | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.brain, self.plan = brain, plan
        self.models = ["tiny"]
        self.asked: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.faults: Counter[str] = Counter()
        self.n_now = self.n_most = 0
        self.released = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Of the API's root."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def fault(self, body: dict[str, Any]) -> str | None:
        """The planned fault of this request."""
        message = body["messages"][0]["content"]
        with self._lock:
            self.bodies.append(body)
            self.asked[message] += 1
            times = self.asked[message]
        fault = self.plan(message, times) if self.plan else None
        with self._lock:
            self.faults.update([fault] if fault is not None else [])
        return fault

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count the requests that are here at the same time."""
        with self._lock:
            self.n_now += 1
            self.n_most = max(self.n_most, self.n_now)
        try:
            yield
        finally:
            with self._lock:
                self.n_now -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left, or a connection that was dropped on purpose."""


def _hang(handler: Handler, body: dict[str, Any]) -> None:
    handler.server.released.wait(20)
    handler.close_connection = True


def _drop(handler: Handler, body: dict[str, Any]) -> None:
    handler.close_connection = True


def _cut(handler: Handler, body: dict[str, Any]) -> None:
    reply = json.loads(json.dumps(handler.server.brain.reply(body)))
    choice = reply["choices"][0]
    choice["message"]["content"] = choice["message"]["content"][:20]
    choice["finish_reason"] = "length"
    handler.send(200, reply)


def _said(text: str, reason: str = "stop") -> Fault:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
    return lambda handler, body: handler.send(200, {"choices": [choice]})


FAULTS: dict[str, Fault] = {
    "hangs": _hang,
    "drops": _drop,
    "tears a body": lambda h, body: h.send(200, h.server.brain.reply(body), shown=0.5),
    "429 with Retry-After": lambda h, _: h.send(429, {"error": "busy"}, headers={"Retry-After": "1"}),
    "500": lambda h, _: h.send(500, {"error": "no"}),
    "502 in HTML": lambda h, _: h.send(502, b"<html>Bad Gateway</html>"),
    "torn JSON": lambda h, body: h.send(200, json.dumps(h.server.brain.reply(body)).encode()[:-9]),
    "no JSON": lambda h, _: h.send(200, b"<html>hello</html>"),
    "deep JSON": lambda h, _: h.send(200, b"[" * 200_000),
    "no fields": lambda h, _: h.send(200, {}),
    "no choices": lambda h, _: h.send(200, {"choices": []}),
    "content of another type": lambda h, _: h.send(
        200, {"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}
    ),
    "usage of another type": lambda h, body: h.send(
        200, {**h.server.brain.reply(body), "usage": {"prompt_tokens": "many"}}
    ),
    "cuts": _cut,
    "invalid labels": _said('{"last_response_is_refusal": "perhaps"}'),
    "content_filter": _said("", "content_filter"),
    "a lone surrogate": _said("\ud800{"),
    "unusable": lambda h, _: h.send(401, {"error": "who are you?"}),
}
PASSING = tuple(name for name in FAULTS if name not in ("content_filter", "a lone surrogate", "unusable"))
"""Faults that asking again mends."""


@contextmanager
def serving(brain: Brain, plan: Plan | None = None, port: int = 0) -> Iterator[Server]:
    """Run a server in a thread."""
    server = Server(brain, plan, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something another thread or process does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
