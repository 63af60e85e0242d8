"""A stage in a process of its own: its memory ends with it, its progress comes over a pipe.

It never outlives the run, whatever ends that.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from seal.cli.events import VARIABLE
from seal.cli.pipeline.environments import Interpreter
from seal.engine.progress import Listener, Progress

_GRACE_S = 20.0


@dataclass(frozen=True)
class StageEnd:
    """How a stage ended.

    Attributes:
        code: its exit code; negative where a signal ended it.
        error: its own one line, None where it has none.
        kind: the type of the error.
        last: the last progress heard of.
        warning: what the user must know of its result.
    """

    code: int
    error: str | None = None
    kind: str = ""
    last: Progress | None = None
    warning: str = ""


def run_stage(
    words: Sequence[str],
    interpreter: Interpreter,
    log: Path,
    *,
    variables: Mapping[str, str],
    lock: IO[bytes],
    listen: Listener,
) -> StageEnd:
    """Run one command to its end.

    Args:
        words: the command line after `seal`.
        interpreter: what runs it.
        log: where its stdout and stderr go.
        variables: further environment variables (what must not stand on a command line).
        lock: the run's lock; the stage holds it too, so that no other run starts before both are gone.
        listen: told of its progress.

    Raises:
        KeyboardInterrupt: the user stopped the run; the stage has ended by then.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as events:
        try:
            process = _start(words, interpreter, log, writer, variables, lock)
        finally:
            os.close(writer)
        with _ended_with_us(process):
            told = _listen(events, listen)
            code = process.wait()
    return StageEnd(code, told.get("error"), told.get("kind", ""), told.get("last"), told.get("warning", ""))


def _start(
    words: Sequence[str], interpreter: Interpreter, log: Path, writer: int, variables: Mapping[str, str],
    lock: IO[bytes],
) -> "subprocess.Popen[bytes]":  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEAL_")}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        # Every option is decided: the stage reads no settings file, and no variables but these.
        return subprocess.Popen(
            [str(interpreter.python), "-P", "-m", "seal.cli.main", "--config", os.devnull, *words],
            stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT,
            pass_fds=(writer, lock.fileno()), start_new_session=True,
            env=kept | dict(interpreter.variables) | dict(variables) | {VARIABLE: str(writer)},
        )  # fmt: skip


def _listen(events: IO[bytes], listen: Listener) -> dict[str, Any]:
    """Follow the stage until it ends; what it said of its end, and its last progress."""
    told: dict[str, Any] = {}
    for line in events:
        with suppress(ValueError, TypeError):  # a line cut by the stage's death
            event = json.loads(line)
            if "progress" in event:
                told["last"] = Progress(**event["progress"])
                listen(told["last"])
            else:
                told |= event
    return told


@contextmanager
def _ended_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    except BaseException:
        # The stage has a session of its own, so that the keyboard stops only the run, which passes it on.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    finally:
        if process.stdin:
            process.stdin.close()
