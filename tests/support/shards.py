"""What a merged folder must share with the folder of an undivided run: all but times."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seal.engine.frames.manifest import read_manifest
from seal.engine.merge import MergeReport, merge
from seal.engine.verify import verify
from tests.support.kills import json_lines, parquet_hashes

Call = Callable[[Path, str | None], object]
"""A stage, given the folder to write and the shard; without one it does all."""


def divided(call: Call, folder: Path, n: int) -> list[Path]:
    """The folders of all shards."""
    shards = [folder / f"shard-{i}" for i in range(1, n + 1)]
    for i, shard in enumerate(shards, 1):
        call(shard, f"{i}/{n}")
    return shards


def merges(call: Call, folder: Path, n: int) -> MergeReport:
    """Run a stage undivided and in so many shards, merge these, and compare the two folders."""
    whole, merged = folder / "whole", folder / "merged"
    call(whole, None)
    shards = divided(call, folder, n)
    report = merge(list(reversed(shards)), merged)
    assert report.n_shards == n
    assert_same(whole, merged)
    before = state(merged)
    call(merged, None)
    assert state(merged) == before, "the undivided run did something in the merged folder"
    return report


def assert_same(whole: Path, merged: Path) -> None:
    """Hold every file of two folders against each other."""
    assert parquet_hashes(merged) == parquet_hashes(whole)
    names = {p.name for p in whole.iterdir()}
    assert {p.name for p in merged.iterdir()} == names
    for name in names - {"log.jsonl", "manifest.json"}:
        assert (merged / name).read_bytes() == (whole / name).read_bytes(), name
    assert log(merged) == log(whole)
    assert manifest(merged) == manifest(whole)
    assert verify(merged).changed == []


def log(folder: Path) -> list[Any]:
    """The lines of a log without seconds."""
    lines = [json.dumps(line, sort_keys=True) for line in json_lines(folder / "log.jsonl")]
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        entry.get("counters", {}).pop("elapsed_s", None)
    return entries


def manifest(folder: Path) -> dict[str, Any]:
    """A manifest without times and the folder's own name; its keys stay in order."""
    document = read_manifest(folder)
    assert document is not None
    for name in ("written", "log_sha256", "self_sha256"):
        document.pop(name)
    document["totals"].pop("elapsed_s")
    if "command" in document:
        document["command"] = [word.replace(str(folder), "OUT") for word in document["command"]]
    return {"in order": json.dumps(document), **document}


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What lies there and when it was written; of the manifest, which says when it was looked at, nothing."""
    return {
        p.name: (p.read_bytes(), p.stat().st_mtime_ns if p.suffix == ".parquet" else 0)
        for p in folder.iterdir()
        if p.name != "manifest.json"
    }
