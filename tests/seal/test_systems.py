"""Linux and macOS: nothing that only Linux has is needed. Windows: one line."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import seal
from examples.toyworld.generate import Options, write
from seal.cli.main import main
from seal.engine.errors import UsageError
from tests.support.kills import environment
from tests.support.kills import seal as run_seal
from tests.support.places import ROOT

REFUSED = "seal runs on Linux and macOS; on Windows use WSL"
LINUX_ONLY = {
    "os": {
        "sched_getaffinity", "sched_setaffinity", "sched_setscheduler", "sched_getscheduler", "memfd_create",
        "eventfd", "pidfd_open", "splice", "copy_file_range", "posix_fadvise", "posix_fallocate", "fdatasync",
        "getrandom", "getxattr", "setxattr", "listxattr", "removexattr", "O_TMPFILE", "O_PATH", "O_DIRECT",
        "O_NOATIME", "O_RSYNC", "unshare", "setns", "getresuid", "setresuid", "pipe2", "SCHED_BATCH",
    },
    "signal": {"sigtimedwait", "sigwaitinfo", "pidfd_send_signal", "SIGPWR", "SIGRTMIN", "SIGRTMAX"},
    "select": {"epoll"},
    "time": {"pthread_getcpuclockid", "CLOCK_BOOTTIME", "CLOCK_TAI"},
}  # fmt: skip
"""What Python's documents say that Linux has and macOS has not."""
NOT_EVERYWHERE = {"fcntl", "resource", "termios", "pwd", "grp", "msvcrt", "winreg", "ctypes", "spwd", "epoll"}
"""Modules that a system may lack."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ("seal", "engine", "stats", "cli"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_what_only_linux_has_is_used_in_one_place_that_can_do_without() -> None:
    used = [
        (name, f"{node.value.id}.{node.attr}")
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in LINUX_ONLY.get(node.value.id, ())
    ]
    assert set(used) == {("engine/frames/manifest.py", "os.sched_getaffinity")}


def test_no_module_needs_another_that_a_system_may_lack() -> None:
    imported = [
        (name, alias)
        for name, tree in sources()
        for node in ast.walk(tree)
        for alias in (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if alias.partition(".")[0] in NOT_EVERYWHERE
    ]
    assert imported == []


@pytest.fixture
def like_macos(tmp_path: Path) -> str:
    """A PYTHONPATH with which every Python lacks what only Linux has, /proc also."""
    hidden = tmp_path / "like_macos"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(f"""
import os, select, signal, sys, time

for module, names in {LINUX_ONLY!r}.items():
    for name in names:
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)

def refuse(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])

sys.addaudithook(refuse)
""")
    return f"{hidden}:{ROOT}"


def test_a_whole_run_without_what_only_linux_has(
    like_macos: str, exported: dict[str, Path], tmp_path: Path
) -> None:
    probe = (
        "import os; print(hasattr(os, 'sched_getaffinity'), os.path.exists('/proc')); open('/proc/cpuinfo')"
    )
    told = subprocess.run(
        [sys.executable, "-c", probe], env=environment() | {"PYTHONPATH": like_macos}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (told.stdout, told.stderr.splitlines()[-1].partition(":")[0]) == (
        "False True\n",
        "FileNotFoundError",
    )
    write(Options(60, 5), tmp_path / "world")
    (tmp_path / "seal.toml").write_text(f"""
[run]
sources = "world/pairs.jsonl"
pre = "pre={exported["pre"]}"
post = "post={exported["post"]}"
labelers = ["computed"]
labels = "world/truth.parquet"
[analyze]
exclude = "assistant_is_anthropomorphic,assistant_is_coherent"
""")
    done = run_seal("run", "seal.toml", cwd=tmp_path, PYTHONPATH=like_macos)
    assert done.returncode == 0, done.stderr
    assert pl.read_csv(tmp_path / "out/results/alignment.csv").height > 1
    verified = run_seal("verify", "out/scores/pre", cwd=tmp_path, PYTHONPATH=like_macos)
    assert verified.returncode == 0, verified.stderr
    again = run_seal("run", "seal.toml", cwd=tmp_path, PYTHONPATH=like_macos)
    assert "texts: done before: same inputs, same options" in again.stderr


@pytest.mark.parametrize("words", [["--help"], ["import", "a.jsonl", "--out", "out"], []])
def test_windows_is_refused_in_one_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(words) == 2
    assert capfd.readouterr() == ("", f"seal: {REFUSED}\n")


def test_windows_is_refused_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match=REFUSED):
        _ = seal.__getattr__("score")


WINDOWS = f"""
import os, runpy, signal, sys, click.testing, importlib.metadata, difflib, json, subprocess, tempfile, tomllib
for name in {sorted(NOT_EVERYWHERE - {"ctypes", "msvcrt", "winreg"})}:
    sys.modules[name] = None  # an import of it fails
for name in ["fork", "getpgid", "killpg", "O_NOFOLLOW", "O_CLOEXEC"]:
    delattr(os, name)
del signal.SIGKILL
sys.platform = "win32"
sys.argv = ["seal", "score", "texts"]
from seal.cli.main import run
run()
"""


def test_it_gets_as_far_as_that_line_without_what_windows_lacks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS], env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"seal: {REFUSED}\n")
