"""Real servers on loopback that misbehave on purpose: without an end, measure or discretion."""

import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[["Handler", str], None]
"""(handler, the message) -> what is sent."""


class Handler(BaseHTTPRequestHandler):
    """Lists the models of its server and answers a completion by its server's `reply`."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.listing is not None:
            self.server.listing(self, "")
        else:
            self.send(200, {"data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.close_connection = True
        with suppress(ConnectionError):
            self.server.reply(self, body["messages"][0]["content"])

    def send(self, status: int, body: Any, **headers: str) -> None:
        """Send a whole body; of what is no bytes its JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.begin(status, **{"Content-Length": str(len(data)), **headers})
        self.wfile.write(data)

    def begin(self, status: int, **headers: str) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def drip(self, piece: bytes = b" ", every_s: float = 0.1, for_s: float = 8.0) -> None:
        """Send a piece now and then."""
        until_s = time.monotonic() + for_s
        while time.monotonic() < until_s and not self.server.over.wait(every_s):
            self.wfile.write(piece)
            self.wfile.flush()

    def flood(self, n_bytes: int, piece: bytes = b"0" * (1 << 20)) -> None:
        """Send many bytes."""
        for _ in range(n_bytes // len(piece)):
            self.wfile.write(piece)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """What misbehaves, and what it was asked for."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, reply: Reply) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.listing = reply, None
        self.models = ["tiny"]
        self.asked: list[str] = []
        self.over = threading.Event()

    listing: Reply | None

    @property
    def url(self) -> str:
        """Of the API's root."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that had enough."""


@contextmanager
def misbehaving(reply: Reply) -> Iterator[Server]:
    """Run a server in a thread."""
    with Server(reply) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def saying(content: Any = "fine", **more: Any) -> dict[str, Any]:
    """The body of a completion."""
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return {"choices": [choice], **more}


N_FLOOD = 200 << 20


def bomb(n_bytes: int = N_FLOOD) -> bytes:
    """Zeros, packed."""
    packer = zlib.compressobj(1, wbits=31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(n_bytes >> 20)) + packer.flush()


def _huge_answer(handler: Handler) -> None:
    head, tail = json.dumps(saying("|")).encode().split(b"|")
    n = N_FLOOD >> 20 << 20
    handler.begin(200, Content_Length=str(len(head) + n + len(tail)))
    handler.wfile.write(head)
    handler.flood(n)
    handler.wfile.write(tail)


def _bomb(handler: Handler) -> None:
    packed = bomb()
    handler.send(200, packed, Content_Encoding="gzip")


FLOODS: dict[str, Callable[[Handler], None]] = {
    "an endless body": lambda h: (h.begin(200), h.flood(N_FLOOD))[1],
    "a packed body": _bomb,
    "a huge error": lambda h: (h.begin(400), h.flood(N_FLOOD))[1],
    "a huge answer": _huge_answer,
}
"""Answers of 200 MB, each another way."""
DRIPS: dict[str, Callable[[Handler], None]] = {
    "a body": lambda h: (h.begin(200, Content_Length="1000000"), h.drip())[1],
    "an error": lambda h: (h.begin(400, Content_Length="1000000"), h.drip())[1],
    "a head": lambda h: (h.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: "), h.drip(b"x"))[1],
    "promises": lambda h: h.drip(b"HTTP/1.1 102 Processing\r\n\r\n"),
}
"""Answers that come a few bytes at a time for 8 s."""
