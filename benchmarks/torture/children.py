"""Processes that carry out one `seal` command: forked from one that has imported all, or started anew.

What is forked starts in milliseconds, so that hundreds of kills take minutes. The process that is forked from
has run nothing but imports: no lock is held and no pool of threads is up that a fork would break.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

from benchmarks.torture import disk
from benchmarks.torture.commands import command, environment

_WARM = "benchmarks.torture.warm"
_NURSERY = get_context("forkserver")


@dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
        code: its exit code, negative where a signal ended it.
        said: what it wrote to stdout and stderr.
    """

    code: int
    said: str


class Child(Protocol):
    """A command that is being carried out."""

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code once it has ended; None where that takes longer."""

    def kill(self) -> None:
        """SIGKILL."""


def warm_up(folder: Path) -> None:
    """Have a process ready to fork from; it ends with this one.

    Args:
        folder: where the library of `disk` is kept.
    """
    before = dict(os.environ)
    threads = {"OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "ORT_DISABLE_TELEMETRY": "1"}
    try:
        os.environ.update(environment(LD_PRELOAD=str(disk.library(folder)), **threads))
        _NURSERY.set_forkserver_preload([_WARM])
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def carry_out(words: Sequence[str], cwd: str, said: str, armed: disk.Armed | None) -> None:
    """What a forked process does: a command, with its output in a file."""
    os.chdir(cwd)
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["seal", *words]
    if armed:
        disk.arm(armed)
    from seal.cli.main import run

    try:
        run()
    finally:
        if armed and armed.do == disk.Do.COUNT:
            armed.told.write_text(str(disk.changes_seen()), encoding="utf-8")


class Forked:
    """A process that was forked (`Child`)."""

    def __init__(self, words: Sequence[str], cwd: Path, said: Path, armed: disk.Armed | None) -> None:
        self._process: ForkServerProcess = _NURSERY.Process(
            target=carry_out, args=(list(words), str(cwd), str(said), armed)
        )
        self._process.start()

    def wait(self, seconds: float | None = None) -> int | None:
        """See `Child`."""
        self._process.join(seconds)
        return self._process.exitcode

    def kill(self) -> None:
        """See `Child`."""
        self._process.kill()


class Started:
    """A process of another interpreter, with all that it starts (`Child`)."""

    def __init__(self, words: Sequence[str], cwd: Path, said: Path, python: Path) -> None:
        with said.open("wb") as file:
            self._process = subprocess.Popen(
                command(*words, python=python), cwd=cwd, env=environment(), stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip

    def wait(self, seconds: float | None = None) -> int | None:
        """See `Child`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode

    def kill(self) -> None:
        """See `Child`; only the process itself: what it started must end by its own means."""
        self._process.send_signal(signal.SIGKILL)


def ended(child: Child, said: Path, seconds: float) -> End:
    """Wait for the end of a command.

    Raises:
        AssertionError: it takes longer than that; it is killed then.
    """
    code = child.wait(seconds)
    if code is None:
        child.kill()
        child.wait()
        raise AssertionError(f"it did not end within {seconds:g} s; it said: {_text(said)}")
    return End(code, _text(said))


def _text(said: Path) -> str:
    return said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
