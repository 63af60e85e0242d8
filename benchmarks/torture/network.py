"""Whom a command, and all that it starts, talks to: seen from outside, by the best means there is.

strace sees every system call. Where it is not there or not allowed, a library that is loaded before all
others (`watched/calls.c`) sees what goes through libc, name look-ups by their names. Where no compiler is
either, a hook of Python's (`watched/sitecustomize.py`) sees Python's own sockets and no others.
"""

import ipaddress
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

Means = Literal["strace", "preload", "audit"]

MEANS: tuple[Means, ...] = ("strace", "preload", "audit")
"""The best first."""
HERE = ("loopback", "unix socket", "netlink")
"""What never leaves the machine."""
CALLS = "connect,sendto,sendmsg,sendmmsg"
WATCHED = Path(__file__).with_name("watched")
_CALL = re.compile(rf"^\d+ +(?:{CALLS.replace(',', '|')})\(")
_ADDRESS = re.compile(r"\{sa_family=AF_(\w+)(?:, ([^}]*))?\}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PORT = re.compile(r"port=htons\((\d+)\)")


@dataclass(frozen=True)
class Watched:
    """A command that has ended.

    Attributes:
        by: what watched it.
        code: its exit code.
        said: its stdout and stderr.
        destinations: whom it sent to, or asked to be connected with -> how often.
    """

    by: Means
    code: int
    said: str
    destinations: Mapping[str, int]

    @property
    def elsewhere(self) -> list[str]:
        """Destinations that are not on this machine, and name look-ups wherever they go."""
        return sorted(set(self.destinations) - set(HERE))


def means_here() -> list[Means]:
    """What can watch on this machine, the best first; `audit` always can."""
    return [means for means in MEANS if means == "audit" or (_straced() if means == "strace" else _builds())]


def watch(
    words: Sequence[str | Path], log: Path, *, by: Means, cwd: Path, environment: Mapping[str, str],
    linger_s: float = 0, timeout_s: float = 600,
) -> Watched:  # fmt: skip
    """Run a command to its end and see whom it talks to.

    Args:
        words: the command line.
        log: a file to work with.
        by: what watches.
        cwd: where it runs.
        environment: all of its variables.
        linger_s: how long each Python that imported what runs models stays after its work, for telemetry is
            sent late.
        timeout_s: when it is given up.

    Raises:
        subprocess.TimeoutExpired: it did not end.
    """
    log.unlink(missing_ok=True)
    log.touch()
    path = os.pathsep.join([str(WATCHED), *filter(None, [environment.get("PYTHONPATH")])])
    more = {"PYTHONPATH": path, "WATCHED_LINGER_S": str(linger_s)}
    prefix: list[str] = []
    if by == "strace":
        prefix = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "64", "-e", f"trace={CALLS}", "-o", str(log)]
    else:
        more |= {"WATCHED_LOG": str(log), "WATCHED_BY": by}
        more |= {"LD_PRELOAD": f"{_library().name}/calls.so"} if by == "preload" else {}
    done = subprocess.run(
        [*prefix, *map(str, words)], cwd=cwd, env={**environment, **more}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, check=False,
    )  # fmt: skip
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (traced if by == "strace" else told)(lines)
    return Watched(by, done.returncode, done.stdout.decode(errors="replace"), Counter(found))


def traced(lines: Sequence[str]) -> Iterator[str]:
    """The destinations in what strace wrote; a send on a connected socket names none, its connection did."""
    for line in filter(_CALL.match, lines):
        if "hosts\\0" in line:
            yield "look-up by nscd"
        for family, rest in _ADDRESS.findall(line):
            quoted, port = _QUOTED.search(rest), _PORT.search(rest)
            yield destination(family, quoted[1] if quoted else "", int(port[1]) if port else 0)


def told(lines: Sequence[str]) -> Iterator[str]:
    """The destinations in what the library or the hook wrote: family, port, address or name."""
    for line in lines:
        family, port, address = line.split(" ", 2)
        if family != "NAME":
            yield destination(family, address, int(port))
        elif address not in ("", "localhost") and not _is_number(address):
            yield f"look-up of {address}"


def destination(family: str, address: str, port: int) -> str:
    """How a destination is called: one of `HERE`, or what it is."""
    if family == "UNIX":
        resolver = "io.systemd.Resolve" in address
        return f"look-up by {address}" if resolver else "unix socket"
    if family == "NETLINK":
        return "netlink"
    if family not in ("INET", "INET6"):
        return f"AF_{family} {address}".strip()
    if port == 53:
        return f"name server {address}"
    found = ipaddress.ip_address(address)
    inner = getattr(found, "ipv4_mapped", None) or found
    return "loopback" if inner.is_loopback else f"{address} port {port}"


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


@cache
def _straced() -> bool:
    """Whether strace is there and allowed to look."""
    words = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={CALLS}", "true"]
    return shutil.which("strace") is not None and not subprocess.run(words, capture_output=True).returncode


@cache
def _library() -> TemporaryDirectory[str]:
    """A folder with the library of `calls.c`, which goes when this process ends.

    Raises:
        OSError: there is no compiler.
        subprocess.CalledProcessError: it builds no such library.
    """
    folder = TemporaryDirectory(prefix="calls-")
    words = [
        "cc",
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        f"{folder.name}/calls.so",
        str(WATCHED / "calls.c"),
        "-ldl",
    ]
    subprocess.run(words, check=True, capture_output=True)
    return folder


def _builds() -> bool:
    try:
        return sys.platform == "linux" and bool(_library())
    except (OSError, subprocess.CalledProcessError):
        return False
