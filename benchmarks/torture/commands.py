"""Running `seal` in a process of its own, killing it, and what such a run left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from seal.engine.frames.folder import Log

ROOT = Path(__file__).parents[2]
_RUN = "from seal.cli.main import run; run()"


def command(*arguments: object, python: Path | str = sys.executable) -> list[str]:
    """A `seal` command line."""
    return [str(python), "-c", _RUN, *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """The environment of such a process: this checkout's packages, no SEAL_* variables, one thread each."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEAL_")}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def seal(
    *arguments: object, cwd: Path = ROOT, prefix: tuple[str, ...] = (), timeout_s: float = 120, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*prefix, *command(*arguments)],
        cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


def kill_after(seconds: float, *arguments: object, when: Path | Callable[[], bool] | None = None) -> bool:
    """Start a command, SIGKILL it so many seconds after its start, or after `when`.

    Args:
        seconds: to wait at last.
        arguments: of the command.
        when: a path that is to appear, or what says that it is time.

    Returns:
        Whether it was killed; False where it had ended before.
    """
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    is_time = when.exists if isinstance(when, Path) else when
    try:
        while is_time is not None and not is_time() and process.poll() is None:
            time.sleep(0.0005)
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def parquet_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every Parquet file of a folder."""
    return {p.name: sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.parquet"))}


def whole_lines(log: Path) -> bytes:
    """A commit log without a line that a kill cut; nothing where there is no log."""
    data = log.read_bytes() if log.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def logged_hashes(log: Path) -> dict[str, str]:
    """File name -> SHA-256 of everything that the whole lines of a commit log name."""
    return {name: facts["sha256"] for name, facts in Log.parse(whole_lines(log), log).files.items()}


def json_lines(log: Path) -> list[dict[str, object]]:
    """The whole lines of a log."""
    return [json.loads(line) for line in whole_lines(log).splitlines()]
