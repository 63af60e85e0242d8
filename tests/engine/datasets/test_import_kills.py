"""SIGKILL at random moments of an import, each followed by the same command: the same bytes in the end."""

import gzip
import json
import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seal.engine.frames.folder import LOG
from seal.engine.frames.manifest import read_manifest
from tests.support.kills import kill_after, logged_hashes, parquet_hashes, seal, whole_lines

N_PAIRS = 12_000
PART_PAIRS = 500


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


def run(sources: list[str], out: Path, *, n_logged: int | None = None, delay_s: float = 0.0) -> bool:
    """Start the command; True if it finished, False if it was killed.

    Args:
        sources, out: what it reads and writes.
        n_logged: lines of the log (parts, earlier runs' included) to wait for; None never kills.
        delay_s: what to wait then, so that the kill falls anywhere in the next parts.
    """
    arguments = ("import", *sources, "--out", out, "--part-rows", PART_PAIRS, "--max-failures", 1)
    if n_logged is None:
        done = seal(*arguments)
        assert done.returncode == 0, done.stderr
        return True
    return not kill_after(delay_s, *arguments, when=lambda: whole_lines(out / LOG).count(b"\n") >= n_logged)


def check_nothing_torn(out: Path, whole: dict[str, str]) -> int:
    """Everything the log names is there and is what an undisturbed run writes; returns the parts logged."""
    logged, found = logged_hashes(out / LOG), parquet_hashes(out)
    assert {name: found.get(name) for name in logged} == logged
    assert all(digest == whole[name] for name, digest in logged.items() if name in whole)
    return sum(name.startswith("part-") for name in logged)


def kill_and_finish(tmp_path: Path, n_kills: int, seed: int) -> int:
    """Run an import to its end through `n_kills` kills, over as many folders as that takes."""
    rng = random.Random(seed)
    sources = make_sources(tmp_path / "in")
    assert run(sources, tmp_path / "whole")
    whole = parquet_hashes(tmp_path / "whole")
    assert len(whole) == N_PAIRS // PART_PAIRS + 1
    n_killed = n_mid_way = n_folders = 0
    while n_killed < n_kills:
        out, n_parts, finished = tmp_path / f"out{n_folders}", 0, False
        while not finished:
            ahead = rng.randint(0, 5)
            delay_s = rng.uniform(0, 0.03 if ahead else 1.0)  # with none ahead it falls into the start
            finished = run(sources, out, n_logged=n_parts + ahead, delay_s=delay_s)
            n_killed += not finished
            done = check_nothing_torn(out, whole)
            assert done >= n_parts, "a part that was logged is gone"
            n_parts = done
            n_mid_way += not finished and 0 < done < len(whole) - 1
        assert parquet_hashes(out) == whole
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
