"""SIGKILL at random moments of an import, each followed by the same command: the same bytes in the end."""

import gzip
import json
import random
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.manifest import LOG, logged_hashes, read_manifest

N_PAIRS = 12_000
PART_ROWS = 500
COMMAND = "import sys; from cli.main import main; sys.exit(main(sys.argv[1:]))"


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


def run_for(sources: list[str], out: Path, seconds: float | None) -> bool:
    """Start the command; True if it finished, False if it was killed after these seconds."""
    arguments = ["import", *sources, "--out", str(out), "--part-rows", str(PART_ROWS), "--max-failures", "1"]
    try:
        done = subprocess.run(  # on a timeout it sends SIGKILL
            [sys.executable, "-c", COMMAND, *arguments],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return False
    assert done.returncode == 0, done.stderr.decode()
    return True


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
    began = time.monotonic()
    assert run_for(sources, tmp_path / "whole", None)
    whole_s, whole = time.monotonic() - began, hashes(tmp_path / "whole")
    assert len(whole) == N_PAIRS // PART_ROWS + 1
    n_killed = n_folders = 0
    while n_killed < n_kills:
        out, n_parts = tmp_path / f"out{n_folders}", 0
        while not run_for(sources, out, rng.uniform(0.3 * whole_s, whole_s)):
            n_killed += 1
            done = check_nothing_torn(out, whole)
            assert done >= n_parts, "a part that was logged is gone"
            n_parts = done
        assert hashes(out) == whole
        document = read_manifest(out)
        assert document is not None
        assert document["complete"] is True
        n_folders += 1
    rows = pl.scan_parquet(tmp_path / "out0" / "part-*.parquet").select("row_id").collect()["row_id"]
    failed = pl.read_parquet(tmp_path / "out0" / "failures.parquet")["row_id"]
    assert sorted([*rows.to_list()[::2], *failed.to_list()]) == list(range(N_PAIRS))
    return n_killed


def test_killed_a_few_times_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    assert kill_and_finish(tmp_path, n_kills=4, seed=1) >= 4


@pytest.mark.slow
def test_killed_50_times_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    assert kill_and_finish(tmp_path, n_kills=50, seed=2) >= 50
