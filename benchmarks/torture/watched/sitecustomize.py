"""What every Python of a watched command does first (`../network.py` puts this folder on its path).

It stays for a while after its work where it imported what runs models, for telemetry is sent late; and where
nothing better watches, it tells of its sockets.
"""

import atexit
import os
import sys
import time
from typing import Any

RUNS_MODELS = {"onnxruntime", "torch", "transformers", "vllm"}


def linger() -> None:
    if RUNS_MODELS & sys.modules.keys():
        time.sleep(float(os.environ.get("WATCHED_LINGER_S", "0")))


def tell(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        if arguments[1] is not None:
            _write_address(arguments[0].family.name.removeprefix("AF_"), arguments[1])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        name = arguments[0] or ""
        _write("NAME", 0, name.decode(errors="replace") if isinstance(name, bytes) else str(name))


def _write_address(family: str, address: Any) -> None:
    if family in ("INET", "INET6"):
        name, port = address[:2]
        _write("NAME" if name.strip("0123456789.:%abcdefABCDEF") else family, port, name)
    else:
        _write(family, 0, repr(address))


def _write(family: str, port: int, address: str) -> None:
    line = f"{family} {port} {address}\n"
    handle = os.open(os.environ["WATCHED_LOG"], os.O_WRONLY | os.O_APPEND)
    os.write(handle, line.encode(errors="replace"))
    os.close(handle)


atexit.register(linger)
if os.environ.get("WATCHED_BY") == "audit":
    sys.addaudithook(tell)
