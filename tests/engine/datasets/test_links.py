"""Sources that are links, as the Hugging Face cache lays them out, and names that are not UTF-8."""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.sources import find_sources
from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import FAILURES, TEXTS, scan
from seal.engine.verify import verify

pytestmark = pytest.mark.usefixtures("fast_disk")


def records(first: int, n: int) -> bytes:
    text = "\n\nHuman: Say {}\n\nAssistant: {}"
    pairs = [{side: text.format(i, side) for side in ("chosen", "rejected")} for i in range(first, first + n)]
    return "".join(json.dumps(pair) + "\n" for pair in pairs).encode()


def cached(root: Path, n_files: int = 3) -> Path:
    """A snapshot of the Hugging Face cache: links to blobs whose names are hashes."""
    snapshot = root / "datasets--a--b" / "snapshots" / "abc"
    (snapshot / "data").mkdir(parents=True)
    blobs = root / "datasets--a--b" / "blobs"
    blobs.mkdir()
    for i in range(n_files):
        (blobs / f"{i:064x}").write_bytes(records(10 * i, 3))
        (snapshot / "data" / f"train-{i}-of-{n_files}.jsonl").symlink_to(f"../../../blobs/{i:064x}")
    return snapshot


def test_a_snapshot_of_links_is_read_under_the_names_of_the_links(tmp_path: Path) -> None:
    report = import_texts(cached(tmp_path), tmp_path / "out")
    assert (report.n_pairs, report.n_failures) == (9, 0)
    assert list(report.formats) == [f"train-{i}-of-3.jsonl" for i in range(3)]
    assert scan(tmp_path / "out", TEXTS).collect()["source"].unique().to_list() == ["train"]


@pytest.mark.parametrize("target", ["../../../blobs/gone", "train-1-of-3.jsonl"])
def test_a_link_to_nothing_is_one_failed_row_and_the_rest_is_read(target: str, tmp_path: Path) -> None:
    link = cached(tmp_path) / "data" / "train-1-of-3.jsonl"
    link.unlink()
    link.symlink_to(target)
    report = import_texts(link.parents[1], tmp_path / "out")
    assert (report.n_pairs, report.failures) == (6, {"broken_link": 1})
    (row,) = pl.read_parquet(tmp_path / "out" / "failures.parquet").to_dicts()
    assert row["row_id"] == 3
    assert row["detail"].startswith("train-1-of-3.jsonl:")
    assert target in row["detail"]
    assert scan(tmp_path / "out", TEXTS).collect()["row_id"].unique().sort().to_list() == [0, 1, 2, 4, 5, 6]
    assert list(FAILURES.types) == list(row)


def test_links_to_nothing_alone_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").symlink_to("gone")
    with pytest.raises(InputError, match=r"a\.jsonl is a link to gone, where no file is"):
        import_texts(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match=r"a\.jsonl is a link to gone, where no file is"):
        import_texts(tmp_path / "in" / "a.jsonl", tmp_path / "out")


def test_a_linked_folder_is_read_once_and_a_circle_ends(tmp_path: Path) -> None:
    for name in ("in", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere" / "more.jsonl").write_bytes(records(0, 2))
    (tmp_path / "in" / "own.jsonl").write_bytes(records(5, 2))
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    for name in ("a", "b"):
        (tmp_path / "in" / name).symlink_to(".")
        (tmp_path / "elsewhere" / name).symlink_to(".")
    names = [source.label for source in find_sources([tmp_path / "in"])]
    assert names == ["more.jsonl", "own.jsonl"]


def test_two_links_to_one_file_are_named_both(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(records(0, 1))
    (tmp_path / "b.jsonl").symlink_to("a.jsonl")
    with pytest.raises(UsageError, match=r"a\.jsonl is named twice \(also as .*b\.jsonl\)"):
        find_sources([tmp_path])


def test_a_name_that_is_not_utf8_is_written_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / os.fsdecode(b"caf\xe9.jsonl")
    path.write_bytes(records(0, 2) + b"broken\n")
    report = import_texts(tmp_path / "in", tmp_path / "out")
    assert (report.n_pairs, report.failures) == (2, {"bad_json": 1})
    assert list(report.formats) == ["caf\\xe9.jsonl"]
    assert scan(tmp_path / "out", TEXTS).collect()["source"].unique().to_list() == ["caf\\xe9"]
    parquet = path.with_suffix(".parquet")
    pl.read_ndjson(records(0, 2)).write_parquet(tmp_path / "x.parquet")
    os.rename(tmp_path / "x.parquet", parquet)
    path.unlink()
    assert import_texts(parquet, tmp_path / "from parquet").n_pairs == 2
    assert verify(tmp_path / "from parquet").changed == []
