"""Files made to harm: what grows in memory, what no calendar holds, columns of one name, flipped bytes."""

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.errors import InputError, SealError
from seal.engine.frames.schema import TEXTS, scan

pytestmark = pytest.mark.usefixtures("fast_disk")

MEASURE = """
import resource, sys
from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.errors import InputError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sources = sys.argv[3:]
options = ImportOptions(max_chars=int(sys.argv[2]))
import_texts(sources[0], sys.argv[1] + "/first", options)
before = peak()
try:
    report = import_texts(sources[1], sys.argv[1] + "/out", options)
    print(peak() - before, report.n_pairs, report.n_failures)
except InputError as error:
    print(peak() - before, error)
"""


def measured(tmp_path: Path, hostile: Path, max_chars: int) -> tuple[float, str]:
    """MiB that an import takes above one of a harmless file, and what came of it."""
    harmless = tmp_path / f"harmless{''.join(hostile.suffixes)}"
    if hostile.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([good(i) for i in range(300)]), harmless)
    else:
        harmless.write_bytes(
            gzip.compress(b"".join(json.dumps(good(i)).encode() + b"\n" for i in range(300)))
        )
    words = [sys.executable, "-c", MEASURE, str(tmp_path), str(max_chars), str(harmless), str(hostile)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    kib, came = done.stdout.strip().split(" ", 1)
    return int(kib) / 1024, came


def good(i: int) -> dict[str, Any]:
    return {"prompt": f"Say {i}", "chosen": f"yes {i}", "rejected": f"no {i}"}


@pytest.mark.parametrize("unit", ["[],", '{"a":1},'])
def test_lines_of_many_small_values_take_no_memory(unit: str, tmp_path: Path) -> None:
    record = json.dumps(good(0))[:-1] + ', "more": [' + unit * (5_500_000 // len(unit)) + "0]}\n"
    path = tmp_path / "hostile.jsonl.gz"
    path.write_bytes(gzip.compress(record.encode() * 5 + json.dumps(good(1)).encode() + b"\n", 1))
    grown, came = measured(tmp_path, path, 100_000)
    assert came == "1 5"
    assert grown < 100  # of one line, read and cut; with the values it held it was 500 and more


def test_first_records_of_long_texts_are_not_kept(tmp_path: Path) -> None:
    line = json.dumps(good(0) | {"more": "x" * 5_500_000}).encode() + b"\n"
    path = tmp_path / "hostile.jsonl.gz"
    path.write_bytes(gzip.compress(line * 20, 1))
    grown, came = measured(tmp_path, path, 100_000)
    assert came == "20 0"
    assert grown < 70  # 20 of them are 110


def bomb(path: Path, name: str, n_bytes: int, n_rows: int) -> Path:
    """A small file whose rows all refer to one long text."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * n_rows, pa.int32()), pa.array(["x" * n_bytes]))
    table = pa.Table.from_pylist([good(i) for i in range(n_rows)])
    table = table.drop_columns([name]) if name in table.column_names else table
    table = table.append_column(name, text)
    pq.write_table(table, path, compression="zstd", use_dictionary=[name], dictionary_pagesize_limit=1 << 30)
    return path


def test_a_column_that_nobody_needs_is_not_read(tmp_path: Path) -> None:
    path = bomb(tmp_path / "hostile.parquet", "note", 4_000_000, 200)
    assert path.stat().st_size < 30_000
    grown, came = measured(tmp_path, path, 1_000_000)
    assert came == "200 0"
    assert grown < 50


def test_a_long_text_that_every_row_refers_to_is_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    path = bomb(tmp_path / "hostile.parquet", "chosen", 8_000_000, 100)
    grown, came = measured(tmp_path, path, 1_000_000)
    assert came == "0 100"
    assert grown < 400  # all rows at a time are 800, and as much again in Python


def test_rows_too_long_on_average_are_refused_with_both_sizes(tmp_path: Path) -> None:
    rows = [good(i) | {"chosen": "x" * 2_000_000} for i in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet", use_dictionary=False)
    with pytest.raises(
        InputError, match=r"a row of the column 'chosen' takes 2,000,\d+ bytes, allowed are 1,0"
    ):
        import_texts(tmp_path / "d.parquet", tmp_path / "out", ImportOptions(max_chars=100))


ODD = {
    "date32": pa.array([2_000_000_000, 3, 4], pa.date32()),
    "date64": pa.array([86_400_000 * 10**9, 3, 4], pa.int64()).cast(pa.date64(), safe=False),
    "timestamp": pa.array([2**62, 3, 4], pa.timestamp("us")),
    "duration": pa.array([2**62, 3, 4], pa.duration("s")),
    "zone": pa.array([1, 2, 3], pa.timestamp("us", tz="Mars/Phobos")),
    "offset": pa.array([1, 2, 3], pa.timestamp("us", tz="+99:99")),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_no_calendar_holds_harms_neither_the_file_nor_its_other_rows(kind: str, tmp_path: Path) -> None:
    table = pa.Table.from_pylist([good(i) for i in range(3)]).append_column("when", ODD[kind])
    pq.write_table(table, tmp_path / "d.parquet")
    report = import_texts(tmp_path / "d.parquet", tmp_path / "unused")
    assert (report.n_pairs, report.n_failures) == (3, 0)
    report = import_texts(tmp_path / "d.parquet", tmp_path / "carried", ImportOptions(meta=("when",)))
    assert report.n_pairs + report.n_failures == 3
    assert report.n_pairs == (0 if kind in ("zone", "offset") else 2)
    assert set(report.failures) == {"bad_value"}
    failures = (pq.read_table(tmp_path / "carried" / "failures.parquet"))["detail"].to_pylist()
    assert failures[0].startswith("d.parquet:row 0: 'when' (")
    assert "bring the file over again" not in failures[0]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    columns = [["p"], ["good"], ["bad"], ["worse"]]
    table = pa.table([pa.array(c) for c in columns], names=["prompt", "chosen", "rejected", "chosen"])
    pq.write_table(table, tmp_path / "d.parquet")
    with pytest.raises(InputError, match="has 2 columns named 'chosen', and nothing says which is meant"):
        import_texts(tmp_path / "d.parquet", tmp_path / "out")
    table = table.rename_columns(["note", "prompt", "rejected", "note"])
    pq.write_table(table.append_column("chosen", pa.array(["good"])), tmp_path / "d.parquet")
    assert import_texts(tmp_path / "d.parquet", tmp_path / "out").n_pairs == 1


def test_objects_with_two_keys_of_one_name_fail_their_row(tmp_path: Path) -> None:
    twice = pa.StructArray.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    table = pa.Table.from_pylist([good(0)]).drop_columns(["prompt"]).append_column("prompt", twice)
    pq.write_table(table, tmp_path / "d.parquet")
    report = import_texts(tmp_path / "d.parquet", tmp_path / "out", ImportOptions(format="pairs"))
    assert report.n_pairs == 0
    assert report.n_failures == 1


def flipped(data: bytes, seed: int) -> bytes:
    """A file with a few of its bytes changed, most of them in its footer."""
    draw, changed = random.Random(seed), bytearray(data)
    for _ in range(draw.randint(1, 3)):
        low = max(0, len(changed) - 2500) if draw.random() < 0.8 else 0
        changed[draw.randrange(low, len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def test_300_flipped_parquet_files_are_an_error_or_pairs(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([good(i) | {"context": [{"role": "user", "n": i}]} for i in range(20)])
    pq.write_table(table.append_column("when", pa.array([0] * 20, pa.date32())), tmp_path / "whole.parquet")
    whole, path = (tmp_path / "whole.parquet").read_bytes(), tmp_path / "in.parquet"
    for seed in range(300):
        path.write_bytes(flipped(whole, seed))
        try:
            report = import_texts(path, tmp_path / f"out{seed}", ImportOptions(format="pairs"))
            texts = scan(tmp_path / f"out{seed}", TEXTS).collect()
        except SealError:
            continue
        assert texts.height == 2 * report.n_pairs
