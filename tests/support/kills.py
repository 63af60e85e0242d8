"""Running `seal` in a process of its own, and killing it."""

import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

from seal.engine.frames.folder import Log
from tests.support.places import ROOT

_RUN = "from seal.cli.main import run; run()"


def command(*arguments: object) -> list[str]:
    """A `seal` command line."""
    return [sys.executable, "-c", _RUN, *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """The environment of such a process: this checkout's packages, no SEAL_* variables, one thread each."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEAL_")}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def seal(
    *arguments: object, cwd: Path = ROOT, prefix: tuple[str, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*prefix, *command(*arguments)],
        cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def kill_after(seconds: float, *arguments: object, when: Path | None = None) -> bool:
    """Start a command, SIGKILL it so many seconds after its start, or after `when` appeared.

    Returns:
        Whether it was killed; False where it had ended before.
    """
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while when is not None and not when.exists() and process.poll() is None:
            time.sleep(0.0005)
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def parquet_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every Parquet file of a folder."""
    return {p.name: sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.parquet"))}


def logged_hashes(log: Path) -> dict[str, str]:
    """File name -> SHA-256 of everything that a commit log names."""
    return {name: facts["sha256"] for name, facts in Log.parse(log.read_bytes(), log).files.items()}
