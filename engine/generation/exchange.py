"""HTTP exchanges with a server that nobody vouches for: each ends in time and is no longer than it may be.

No proxy, certificate or password of the environment has a part in them, and no redirect is followed.
"""

import threading
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import httpcore

_PIECE = 1 << 16


class ExchangeError(Exception):
    """No whole answer came back: a time-out, a dropped connection, a body that cannot be unpacked."""


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        status: the code.
        headers: names in lower case.
        body: unpacked; the first bytes where it was longer than allowed.
        whole: whether it was not.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


class Connections:
    """Connections to one server.

    Args:
        url: what the paths are put behind.
        headers: sent with each request.
        most: connections at once.
        timeout_s: the time of one exchange, from connecting to the last byte.
    """

    def __init__(self, url: str, headers: Mapping[str, str], most: int, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s
        # Uninvited packing is unpacked all the same, within bounds.
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        self._clock = _Clock()
        self._pool = httpcore.ConnectionPool(
            max_connections=most, network_backend=_Backend(self._clock), keepalive_expiry=5.0
        )

    def close(self) -> None:
        """Close what is open."""
        self._pool.close()

    def ask(
        self, path: str, most_bytes: int, content: bytes | None = None, *, within_s: float = inf
    ) -> Reply:
        """GET a path, or POST JSON to it.

        Args:
            path: behind the URL.
            most_bytes: of the body, unpacked; of an error's no more than 64 KiB are read either.
            content: the JSON to post.
            within_s: the time of this exchange, where it is less than that of all.

        Raises:
            ExchangeError: nothing whole came back in time.
        """
        method = "GET" if content is None else "POST"
        headers = [*self._headers.items(), *([("Content-Type", "application/json")] if content else [])]
        timeout_s = min(self._timeout_s, within_s)
        self._clock.until_s = time.monotonic() + timeout_s
        try:
            with self._pool.stream(method, self._url + path, headers=headers, content=content) as response:
                return _read(response, most_bytes)
        except (httpcore.TimeoutException, httpcore.ConnectionNotAvailable):
            raise ExchangeError(f"no whole answer within {timeout_s:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, zlib.error) as error:
            raise ExchangeError(str(error) or type(error).__name__) from None


def _read(response: httpcore.Response, most_bytes: int) -> Reply:
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers}
    most = most_bytes if response.status == 200 else min(most_bytes, _PIECE)
    unpack = _unpacking(headers.get("content-encoding", "identity").strip().lower())
    body = bytearray()
    for piece in response.iter_stream():
        body += piece if unpack is None else unpack.decompress(piece, most + 1 - len(body))
        if len(body) > most:
            return Reply(response.status, headers, bytes(body[:most]), whole=False)
    return Reply(response.status, headers, bytes(body), whole=True)


def _unpacking(encoding: str) -> Any:
    """What unpacks a body piece by piece; None where it is not packed."""
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(wbits=47)
    raise ExchangeError(f"a body packed as {encoding!r}, which was not asked for")


class _Clock(threading.local):
    """When the exchange of the thread at hand must be over, on the monotonic clock. One thread does one."""

    until_s = inf

    def left(self, error: type[httpcore.TimeoutException]) -> float:
        left_s = self.until_s - time.monotonic()
        if left_s <= 0:
            raise error("out of time")
        return left_s


class _Stream(httpcore.NetworkStream):
    """A connection on which every wait ends with the exchange, so that dripping gains no time."""

    def __init__(self, inner: httpcore.NetworkStream, clock: _Clock) -> None:
        self._inner, self._clock = inner, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        socket = self._inner.get_extra_info("socket")
        try:
            while buffer:
                socket.settimeout(self._clock.left(httpcore.WriteTimeout))
                buffer = buffer[socket.send(buffer[:_PIECE]) :]
        except TimeoutError:
            raise httpcore.WriteTimeout("out of time") from None
        except OSError as error:
            raise httpcore.WriteError(str(error)) from None

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left_s = self._clock.left(httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left_s), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens such connections."""

    def __init__(self, clock: _Clock) -> None:
        self._inner, self._clock = httpcore.SyncBackend(), clock

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        left_s = self._clock.left(httpcore.ConnectTimeout)
        return _Stream(
            self._inner.connect_tcp(host, port, left_s, local_address, socket_options), self._clock
        )

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)
