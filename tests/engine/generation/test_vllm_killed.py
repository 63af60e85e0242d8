"""`seal label` on vLLM, killed: its engine ends with it, and the same command goes on to the same bytes."""

import os
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from seal.engine.frames.schema import TEXTS
from tests.support.kills import command, environment, parquet_hashes
from tests.support.places import ROOT

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed here; run `make test-vllm`"),
]
_LONGEST_S = 600


def texts(path: Path, n_pairs: int = 6) -> Path:
    """Short pairs, no two alike."""
    n = 2 * n_pairs
    frame = {
        "row_id": [i // 2 for i in range(n)], "preference": ["chosen", "rejected"] * n_pairs,
        "variant": ["original"] * n, "source": ["made"] * n,
        "prompt": ["\n\nHuman: Hello.\n\nAssistant:"] * n,
        "response": [f" Hello to you and to {i} more." for i in range(n)],
    }  # fmt: skip
    pl.DataFrame(frame, schema=TEXTS.types).write_parquet(path)
    return path


def start(path: Path, out: Path) -> "subprocess.Popen[bytes]":
    labeler = f"toy={ROOT / 'examples/toyworld/models/labeler'}"
    words = ("label", path, "--labeler", labeler, "--out", out, "--part-pairs", 1, "--backend", "vllm")
    return subprocess.Popen(command(*words), env=environment(), cwd=ROOT, start_new_session=True)


def of_session(leader: int) -> list[int]:
    """Processes of a session that are alive."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(folder.name))
    return found


def test_killed_it_leaves_no_engine_and_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    path = texts(tmp_path / "texts.parquet")
    killed = start(path, tmp_path / "killed")
    while not (tmp_path / "killed/part-00001.parquet").exists():
        assert killed.poll() is None
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    until_s = time.monotonic() + 30
    while (left := of_session(killed.pid)) and time.monotonic() < until_s:
        time.sleep(0.1)
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert not left, "its engine outlived it"
    assert start(path, tmp_path / "killed").wait(_LONGEST_S) == 0
    assert start(path, tmp_path / "whole").wait(_LONGEST_S) == 0
    assert parquet_hashes(tmp_path / "killed") == parquet_hashes(tmp_path / "whole")
