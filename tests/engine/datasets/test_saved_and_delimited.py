"""What `datasets` saves to disk, the hub's own layout, CSV and TSV: the same texts as from JSON lines."""

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seal.engine.datasets import tables
from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.errors import InputError, SealError
from seal.engine.frames.schema import TEXTS, scan

pytestmark = pytest.mark.usefixtures("fast_disk")


def pairs(first: int, n: int) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Say {i}", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(first, first + n)
    ]


def write_arrow(path: Path, records: list[dict[str, Any]], *, batch: int = 4, indexed: bool = False) -> None:
    table = pa.Table.from_pylist(records)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (pa.ipc.new_file if indexed else pa.ipc.new_stream)(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)


def save_to_disk(folder: Path, *shards: list[dict[str, Any]], **state: Any) -> Path:
    """A folder as `Dataset.save_to_disk` leaves it."""
    names = [f"data-{i:05}-of-{len(shards):05}.arrow" for i in range(len(shards))]
    for name, records in zip(names, shards, strict=True):
        write_arrow(folder / name, records)
    said = {
        "_data_files": [{"filename": name} for name in names], "_fingerprint": "9d3b1e0f",
        "_format_columns": None, "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False,
        "_split": "train",
    }  # fmt: skip
    (folder / "state.json").write_text(json.dumps(said | state, indent=2))
    (folder / "dataset_info.json").write_text(json.dumps({"citation": "", "features": {}, "splits": {}}))
    return folder


def chosen(out: Path) -> list[str]:
    return scan(out, TEXTS).collect().filter(preference=pl.lit("chosen"))["response"].to_list()


def test_a_saved_dataset_is_read_whole_and_in_order(tmp_path: Path) -> None:
    folder = save_to_disk(tmp_path / "saved", pairs(0, 9), pairs(9, 3))
    write_arrow(folder / "cache-0f1e2d3c4b5a6978.arrow", pairs(90, 2))
    report = import_texts(folder, tmp_path / "out")
    assert dict(report.formats) == {f"data-0000{i}-of-00002.arrow": "pairs" for i in (0, 1)}
    assert chosen(tmp_path / "out") == [f"yes {i}" for i in range(12)]
    assert scan(tmp_path / "out", TEXTS).collect()["source"].unique().to_list() == ["data"]


def test_a_dict_of_splits_is_read_by_its_folders(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "saved" / "train", pairs(0, 5))
    save_to_disk(tmp_path / "saved" / "test", pairs(5, 2))
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    import_texts(tmp_path / "saved", tmp_path / "test", ImportOptions(split="test"))
    assert chosen(tmp_path / "test") == ["yes 5", "yes 6"]
    assert import_texts(tmp_path / "saved", tmp_path / "all").n_pairs == 7
    sources = scan(tmp_path / "all", TEXTS).collect()["source"].unique(maintain_order=True).to_list()
    assert sources == ["test/data", "train/data"]


def test_a_saved_folder_that_lacks_a_file_or_is_a_selection_is_refused(tmp_path: Path) -> None:
    folder = save_to_disk(tmp_path / "saved", pairs(0, 2), pairs(2, 2))
    (folder / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(
        InputError, match=r"data-00001-of-00002\.arrow is missing, though state\.json names it"
    ):
        import_texts(folder, tmp_path / "out")
    folder = save_to_disk(tmp_path / "picked", pairs(0, 2), _indices_data_files=[{"filename": "i.arrow"}])
    with pytest.raises(InputError, match=r"a selection of rows.*flatten_indices"):
        import_texts(folder, tmp_path / "out")


def test_arrow_with_an_index_of_its_batches_is_read_as_well(tmp_path: Path) -> None:
    write_arrow(tmp_path / "d.arrow", pairs(0, 9), indexed=True)
    import_texts(tmp_path / "d.arrow", tmp_path / "out")
    assert chosen(tmp_path / "out") == [f"yes {i}" for i in range(9)]


def test_malformed_rows_of_arrow_are_failures_by_row(tmp_path: Path) -> None:
    records = pairs(0, 6)
    records[4]["chosen"] = None
    records[5]["rejected"] = " "
    write_arrow(tmp_path / "d.arrow", records)
    report = import_texts(tmp_path / "d.arrow", tmp_path / "out")
    assert report.failures == {"empty_text": 1, "wrong_type": 1}
    failed = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert failed["detail"].to_list() == ["d.arrow:row 4: 'chosen' is null",
        "d.arrow:row 5: 'rejected' is empty; both responses need text"]  # fmt: skip


def test_a_row_of_arrow_that_is_too_long_is_a_failure(tmp_path: Path) -> None:
    records = pairs(0, 3)
    records[1]["chosen"] = "x" * 2_000_000
    write_arrow(tmp_path / "d.arrow", records)
    report = import_texts(tmp_path / "d.arrow", tmp_path / "out", ImportOptions(max_chars=1000))
    assert (report.n_pairs, report.failures) == (2, {"too_long": 1})


def test_rows_of_arrow_that_share_a_long_text_are_made_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_rows, made = 200, list[int]()
    text = pa.DictionaryArray.from_arrays(pa.array([0] * n_rows, pa.int32()), pa.array(["x" * 4_000_000]))
    table = pa.Table.from_pylist(pairs(0, n_rows)).drop_columns(["chosen"]).append_column("chosen", text)
    with pa.ipc.new_stream(tmp_path / "d.arrow", table.schema) as writer:
        writer.write_table(table)
    records = tables._records
    monkeypatch.setattr(tables, "_records", lambda rows: made.append(rows.num_rows) or records(rows))
    report = import_texts(tmp_path / "d.arrow", tmp_path / "out")
    assert report.failures == {"too_long": n_rows}
    assert max(made) <= (1 << 27) // 4_000_000


def test_100_flipped_arrow_files_are_an_error_or_pairs(tmp_path: Path) -> None:
    write_arrow(tmp_path / "whole.arrow", pairs(0, 20))
    whole, n_refused = (tmp_path / "whole.arrow").read_bytes(), 0
    for seed in range(100):
        draw, data = random.Random(seed), bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        (tmp_path / "in.arrow").write_bytes(data)
        try:
            report = import_texts(tmp_path / "in.arrow", tmp_path / str(seed), ImportOptions(format="pairs"))
        except SealError:
            n_refused += 1
            continue
        assert scan(tmp_path / str(seed), TEXTS).collect().height == 2 * report.n_pairs
    assert 0 < n_refused < 100


def test_the_hubs_own_layout_is_read_by_split(tmp_path: Path) -> None:
    root = tmp_path / "hub"
    (root / "data").mkdir(parents=True)
    for name, first in (("train-00000-of-00002", 0), ("train-00001-of-00002", 3), ("test-00000-of-00001", 6)):
        pq.write_table(pa.Table.from_pylist(pairs(first, 3)), root / "data" / f"{name}.parquet")
    (root / "README.md").write_text("---\nconfigs: []\n---\n")
    (root / ".gitattributes").write_text("*.parquet filter=lfs\n")
    (root / "dataset_infos.json").write_text("{}")
    import_texts(root, tmp_path / "out", ImportOptions(split="train"))
    assert chosen(tmp_path / "out") == [f"yes {i}" for i in range(6)]
    assert scan(tmp_path / "out", TEXTS).collect()["source"].unique().to_list() == ["train"]


ODD = [
    {"prompt": "Say, please", "chosen": 'a "quoted" word', "rejected": "two\nlines\r\nand a third"},
    {"prompt": "é🙂", "chosen": " padded ", "rejected": "\ttab"},
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".tsv.zst"])
def test_cells_are_texts_to_the_byte(suffix: str, tmp_path: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, ["id", "prompt", "chosen", "rejected"], dialect="excel-tab" if "t" in suffix[1] else "excel"
    )
    writer.writeheader()
    writer.writerows([{"id": i, **record} for i, record in enumerate(ODD)])
    data, path = b"\xef\xbb\xbf" + text.getvalue().encode(), tmp_path / f"d{suffix}"
    if suffix.endswith(".zst"):
        with pa.output_stream(path, compression="zstd") as file:
            file.write(data)
    else:
        path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    report = import_texts(path, tmp_path / "out", ImportOptions(meta=("id",)))
    assert dict(report.formats) == {f"d{suffix}": "pairs"}
    texts = scan(tmp_path / "out", TEXTS).collect()
    sides = [r[side] for r in ODD for side in ("chosen", "rejected")]
    assert (texts["response"].to_list(), texts["meta_id"].to_list()) == (sides, ["0", "0", "1", "1"])
    assert texts["source"].unique().to_list() == ["d"]


HEAD = b"prompt,chosen,rejected\r\n"


def test_malformed_rows_of_csv_are_failures_by_line(tmp_path: Path) -> None:
    rows = [
        b"a,b,c", b"a,b", b"a,b,c,d", b"", b'a,"b"x,c', b'a,"two\nlines",c', b"a,\xff,c", b"a,,c", b"x,y,z",
        b'"never,closed\nand,so,on',
    ]  # fmt: skip
    (tmp_path / "d.csv").write_bytes(HEAD + b"\n".join(rows))
    report = import_texts(tmp_path / "d.csv", tmp_path / "out")
    assert chosen(tmp_path / "out") == ["b", "two\nlines", "y"]
    assert report.n_records == 9
    failed = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert failed["row_id"].to_list() == [1, 2, 3, 5, 6, 8]
    assert failed["error"].to_list() == ["bad_csv"] * 3 + ["invalid_utf8", "empty_text", "bad_csv"]
    places = [detail.split(": ")[0] for detail in failed["detail"]]
    assert places == ["d.csv:3", "d.csv:4", "d.csv:6", "d.csv:9", "d.csv:10", "d.csv:13"]
    assert failed["detail"][0].endswith("the row has 2 cells, the header names 3 columns")


def test_a_row_of_csv_that_is_too_long_is_skipped_to_its_end(tmp_path: Path) -> None:
    long = b'a,"' + b"x,\n" * 1_000_000 + b'",c\n'
    (tmp_path / "d.csv").write_bytes(
        HEAD + b"a,b,c\n" + long + b"d,e,f\n" + b"g" * 3_000_000 + b",h,i\nj,k,l\n"
    )
    report = import_texts(tmp_path / "d.csv", tmp_path / "out", ImportOptions(max_chars=1000))
    assert report.failures == {"too_long": 2}
    assert chosen(tmp_path / "out") == ["b", "e", "k"]
    failed = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert [d.split(": ")[0] for d in failed["detail"]] == ["d.csv:1000003", "d.csv:1000005"]


def test_a_header_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("prompt,chosen,rejected,chosen\na,b,c,d\n")
    with pytest.raises(InputError, match="has 2 columns named 'chosen'"):
        import_texts(tmp_path / "d.csv", tmp_path / "out")


@pytest.mark.parametrize("data", [b"", HEAD, HEAD + b"\r\n\r\n"])
def test_a_csv_without_rows_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(data)
    with pytest.raises(InputError, match="holds no records"):
        import_texts(tmp_path / "d.csv", tmp_path / "out")


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv.zst", "arrow"])
def test_stopped_after_every_part_it_goes_on_to_the_same_bytes(kind: str, tmp_path: Path) -> None:
    path, records = tmp_path / f"d.{kind}", [r | {"chosen": f"{r['chosen']}\nagain"} for r in pairs(0, 14)]
    records[3]["chosen"] = ""
    if kind == "arrow":
        write_arrow(path, records)
    else:
        mark = "\t" if "t" in kind[0] else ","
        lines = [mark.join(f'"{cell}"' for cell in ("prompt", "chosen", "rejected"))]
        lines += [mark.join(f'"{cell}"' for cell in r.values()) for r in records] + [f"a{mark}b"]
        data = "\n".join(lines).encode()
        if kind.endswith("zst"):
            with pa.output_stream(path, compression="zstd") as file:
                file.write(data)
        else:
            path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)
    options = ImportOptions(part_pairs=4)
    whole = import_texts(path, tmp_path / "whole", options)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    n_stops = 0
    while True:
        try:
            import_texts(path, tmp_path / "out", options, listen=stop)
            break
        except KeyboardInterrupt:
            n_stops += 1
    assert n_stops == 4
    assert whole.n_pairs == 13
    bytes_of = [{p.name: p.read_bytes() for p in (tmp_path / o).glob("*.parquet")} for o in ("whole", "out")]
    assert bytes_of[0] == bytes_of[1]
