"""A command whose streams are closed or full does its work; what it could not print is told once."""

import subprocess
import sys
from pathlib import Path

import pytest

from seal.engine.verify import verify

PAIRS = Path(__file__).parents[1] / "data" / "earlier" / "pairs.jsonl"


def run(out: Path, redirected: str, *more: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "seal.cli.main", "import", str(PAIRS), "--out", str(out), *more]
    shell = ["bash", "-c", f'"$@" {redirected}', "bash", *words]
    return subprocess.run(shell, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("redirected", ["", "2>&-", "2>/dev/full", ">&-", "<&-", "<&- >&- 2>&-"])
def test_the_work_is_done_whoever_listens(redirected: str, tmp_path: Path) -> None:
    done = run(tmp_path / "out", redirected, "--max-failures", "1")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr + done.stdout
    assert verify(tmp_path / "out").changed == []


def test_what_cannot_be_printed_is_one_line_and_the_work_is_kept(tmp_path: Path) -> None:
    done = run(tmp_path / "out", ">/dev/full", "--json", "--max-failures", "1")
    assert done.returncode == 1
    lost = "seal: cannot print: No space left on device; what was written to files is kept"
    assert [line for line in done.stderr.splitlines() if "space" in line] == [lost]
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert verify(tmp_path / "out").changed == []
