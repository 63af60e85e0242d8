"""Malformed records; every kind of them is tried by the campaign `malformed` (tests/benchmarks)."""

import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.torture.malformed import GOOD, KINDS
from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.errors import InputError
from seal.engine.frames.schema import TEXTS, scan

pytestmark = pytest.mark.usefixtures("fast_disk")

N_ROWS = 40
MALFORMED_AT = (0, 7, 8, 23, 39)


def test_there_are_25_kinds_and_more() -> None:
    assert len(KINDS) >= 25


@pytest.mark.parametrize("kind", ["null", "a number", "invalid UTF-8"])
def test_malformed_rows_of_a_parquet_file(kind: str, tmp_path: Path) -> None:
    rows = [GOOD["hh"](i) for i in range(N_ROWS)]
    chosen = [r["chosen"].encode() for r in rows]
    for i in MALFORMED_AT:
        chosen[i] = {"null": None, "a number": b"17", "invalid UTF-8": b"\n\nAssistant: \xff"}[kind]
    table = pa.table(
        {
            # a cast would check the bytes; a damaged file has not been checked by anybody
            "chosen": pa.Array.from_buffers(pa.string(), N_ROWS, pa.array(chosen, pa.binary()).buffers()),
            "rejected": [r["rejected"] for r in rows],
        }
    )
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=9)
    report = import_texts([tmp_path / "data.parquet"], tmp_path / "out", options=ImportOptions(part_pairs=16))
    code = {"null": "wrong_type", "a number": "no_assistant_turn", "invalid UTF-8": "invalid_utf8"}[kind]
    assert report.failures == {code: len(MALFORMED_AT)}
    assert report.n_pairs + report.n_failures == report.n_records == N_ROWS
    failures = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert [d.split(": ")[0] for d in failures["detail"]] == [f"data.parquet:row {i}" for i in MALFORMED_AT]


def test_blank_lines_are_no_records_but_count_as_lines(tmp_path: Path) -> None:
    good = json.dumps(GOOD["hh"](0)).encode()
    (tmp_path / "d.jsonl").write_bytes(b"\xef\xbb\xbf" + good + b"\r\n\n  \r\n" + good + b"\n{\n\n" + good)
    report = import_texts([tmp_path / "d.jsonl"], tmp_path / "out")
    assert (report.n_records, report.n_pairs) == (4, 3)
    failures = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert failures["row_id"].to_list() == [2]
    assert failures["detail"][0].startswith("d.jsonl:5: ")


@pytest.mark.parametrize("response", ["Assistant:", "Assistant: \x00 nul", "Assistant: 🙂 é \u2028 x"])
def test_odd_but_legal_texts_are_kept_to_the_byte(response: str, tmp_path: Path) -> None:
    text = "\n\nHuman: Say it\n\n" + response
    (tmp_path / "d.jsonl").write_text(json.dumps({"chosen": text, "rejected": text}))
    assert import_texts([tmp_path / "d.jsonl"], tmp_path / "out").n_failures == 0
    texts = scan(tmp_path / "out", TEXTS).collect()
    assert texts["response"].to_list() == [response] * 2
    assert (texts["prompt"] + texts["response"]).to_list() == [text] * 2


def write_gz(path: Path, n: int) -> bytes:
    data = gzip.compress(b"".join(json.dumps(GOOD["hh"](i)).encode() + b"\n" for i in range(n)), mtime=0)
    path.write_bytes(data)
    return data


def unreadable(kind: str, path: Path) -> Path:
    """A source that no record can be asked of, or not to its end."""
    source = path / {"zst": "d.jsonl.zst", "pq": "d.parquet"}.get(kind.split()[0], "d.jsonl.gz")
    data = write_gz(path / "d.jsonl.gz", 20_000)
    if kind == "gz cut":
        source.write_bytes(data[: len(data) // 2])
    elif kind == "gz flipped":
        source.write_bytes(data[: len(data) // 2] + b"\x00" * 50 + data[len(data) // 2 + 50 :])
    elif kind == "gz that is none":
        source.write_bytes(b"not gzip at all")
    elif kind == "zst cut":
        with pa.output_stream(source, compression="zstd") as file:
            file.write(gzip.decompress(data))
        source.write_bytes(source.read_bytes()[:-1000])
    elif kind == "zst that is none":
        source.write_bytes(b"not zstd at all")
    elif kind == "pq cut":
        pq.write_table(pa.table({"chosen": ["a"], "rejected": ["b"]}), source)
        source.write_bytes(source.read_bytes()[:-3])
    elif kind == "pq that is none":
        source.write_bytes(b"not parquet at all")
    return source


@pytest.mark.parametrize(
    "kind",
    [
        "gz cut", "gz flipped", "gz that is none", "zst cut", "zst that is none", "pq cut", "pq that is none",
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_clear_error_and_what_was_read_stays(kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    source = unreadable(kind, tmp_path / "in")
    options = ImportOptions(part_pairs=1000)
    with pytest.raises(InputError, match="cannot be read") as caught:
        import_texts([source], tmp_path / "out", options=options)
    assert str(source) in str(caught.value)
    assert "\n" not in str(caught.value)
    if " after line " in str(caught.value):
        n = int(str(caught.value).split(" after line ")[1].split(":")[0])
        assert len(list((tmp_path / "out").glob("part-*"))) == n // 1000 > 0
        if kind == "gz flipped":
            return  # gzip tells only at its end that what it gave was wrong
        limited = ImportOptions(part_pairs=1000, limit=n)
        assert import_texts([source], tmp_path / "limited", options=limited).n_pairs == n


@pytest.mark.parametrize("data", [b"", b"\n \n\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_without_records_is_refused(data: bytes, compressed: bool, tmp_path: Path) -> None:
    source = tmp_path / ("d.jsonl.gz" if compressed else "d.jsonl")
    source.write_bytes(gzip.compress(data) if compressed else data)
    with pytest.raises(InputError, match="holds no records"):
        import_texts([source], tmp_path / "out")


def test_an_unknown_format_is_one_short_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"text": "a", "label": 1}\n' * 3)
    with pytest.raises(InputError) as caught:
        import_texts([tmp_path / "d.jsonl"], tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path / 'd.jsonl'} is of no known format: its columns are text, label; the options prompt, "
        "chosen and rejected name its columns, format its format"
    )
    (tmp_path / "d.jsonl").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"none of its first 2 records can be read \(line 1: no JSON"):
        import_texts([tmp_path / "d.jsonl"], tmp_path / "out")


@pytest.mark.parametrize("text", ['[{"chosen": "a"}]', "[\n  {\n", "  [ \n"])
def test_one_json_list_is_refused_with_the_way_out(text: str, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(InputError, match=r"one JSON list.*jq -c"):
        import_texts([tmp_path / "d.json"], tmp_path / "out")


def test_a_carried_column_that_is_no_text_fails_its_row(tmp_path: Path) -> None:
    rows = [GOOD["hh"](i) | {"note": note} for i, note in enumerate(("fine", "\udc00", None, 1e400))]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = import_texts([tmp_path / "d.jsonl"], tmp_path / "out", options=ImportOptions(meta=("note",)))
    assert report.failures == {"lone_surrogate": 1}
    carried = scan(tmp_path / "out", TEXTS).collect()["meta_note"].to_list()
    assert carried == ["fine", "fine", None, None, "Infinity", "Infinity"]


def test_a_named_format_is_not_doubted(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"text": "a"}\n' * 200 + json.dumps(GOOD["hh"](1)) + "\n")
    report = import_texts([tmp_path / "d.jsonl"], tmp_path / "out", options=ImportOptions(format="hh"))
    assert report.failures == {"missing_field": 200}
    assert report.n_pairs == 1
