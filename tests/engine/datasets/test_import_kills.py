"""SIGKILL at random moments of an import, each followed by the same command: the same bytes in the end."""

import gzip
import json
import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seal.engine.frames.folder import LOG
from seal.engine.frames.manifest import read_manifest
from tests.support.kills import logged_hashes
from tests.support.places import ROOT

N_PAIRS = 12_000
PART_PAIRS = 500
COMMAND = "import sys; from seal.cli.main import main; sys.exit(main(sys.argv[1:]))"


def make_sources(folder: Path) -> list[str]:
    """Three files of different kinds with malformed records among them."""
    folder.mkdir()
    text = "\n\nHuman: Say {}\n\nAssistant: {}"
    records = [
        {"chosen": text.format(i, "yes " * (i % 50)), "rejected": text.format(i, "no")}
        for i in range(N_PAIRS)
    ]
    lines = [json.dumps(r) if i % 97 else json.dumps(r)[:-9] for i, r in enumerate(records)]
    third = N_PAIRS // 3
    (folder / "a.jsonl").write_text("\n".join(lines[:third]))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(lines[third : 2 * third]).encode()))
    pq.write_table(pa.Table.from_pylist(records[2 * third :]), folder / "c.parquet", row_group_size=1100)
    return [str(folder / name) for name in ("a.jsonl", "b.jsonl.gz", "c.parquet")]


def run(sources: list[str], out: Path, *, kill_after: int | None = None, delay_s: float = 0.0) -> bool:
    """Start the command; True if it finished, False if it was killed.

    Args:
        sources, out: what it reads and writes.
        kill_after: lines of the log (parts, earlier runs' included) to wait for; None never kills.
        delay_s: what to wait then, so that the kill falls anywhere in the next parts.
    """
    arguments = ["import", *sources, "--out", str(out), "--part-rows", str(PART_PAIRS), "--max-failures", "1"]
    command = [sys.executable, "-c", COMMAND, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while kill_after is not None and process.poll() is None:
            if n_logged(out) >= kill_after:
                time.sleep(delay_s)
                process.kill()
                break
            time.sleep(0.0005)
        _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode == 0


def n_logged(out: Path) -> int:
    return (out / LOG).read_bytes().count(b"\n") if (out / LOG).exists() else 0


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.parquet"))}


def check_nothing_torn(out: Path, whole: dict[str, str]) -> int:
    """Everything the log names is there and is what an undisturbed run writes; returns the parts logged."""
    if not (out / LOG).exists():
        return 0
    data = (out / LOG).read_bytes()
    (out / "seen").write_bytes(data[: data.rfind(b"\n") + 1])
    logged = logged_hashes(out / "seen")
    (out / "seen").unlink()
    for name, digest in logged.items():
        assert sha256((out / name).read_bytes()).hexdigest() == digest
        assert name not in whole or digest == whole[name]
    return sum(name.startswith("part-") for name in logged)


def kill_and_finish(tmp_path: Path, n_kills: int, seed: int) -> int:
    """Run an import to its end through `n_kills` kills, over as many folders as that takes."""
    rng = random.Random(seed)
    sources = make_sources(tmp_path / "in")
    assert run(sources, tmp_path / "whole")
    whole = hashes(tmp_path / "whole")
    assert len(whole) == N_PAIRS // PART_PAIRS + 1
    n_killed = n_mid_way = n_folders = 0
    while n_killed < n_kills:
        out, n_parts, finished = tmp_path / f"out{n_folders}", 0, False
        while not finished:
            ahead = rng.randint(0, 5)
            delay_s = rng.uniform(0, 0.03 if ahead else 1.0)  # with none ahead it falls into the start
            finished = run(sources, out, kill_after=n_parts + ahead, delay_s=delay_s)
            n_killed += not finished
            done = check_nothing_torn(out, whole)
            assert done >= n_parts, "a part that was logged is gone"
            n_parts = done
            n_mid_way += not finished and 0 < done < len(whole) - 1
        assert hashes(out) == whole
        document = read_manifest(out)
        assert document is not None
        assert document["complete"] is True
        n_folders += 1
    assert n_mid_way >= n_kills // 4, "the kills missed the writing"
    rows = pl.scan_parquet(tmp_path / "out0" / "part-*.parquet").select("row_id").collect()["row_id"]
    failed = pl.read_parquet(tmp_path / "out0" / "failures.parquet")["row_id"]
    assert sorted([*rows.to_list()[::2], *failed.to_list()]) == list(range(N_PAIRS))
    return n_killed


def test_killed_a_few_times_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    assert kill_and_finish(tmp_path, n_kills=4, seed=1) >= 4


@pytest.mark.slow
def test_killed_50_times_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    assert kill_and_finish(tmp_path, n_kills=50, seed=2) >= 50
