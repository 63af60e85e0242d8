"""`import_texts` from files to the folder: sources, splits, limits, resume, identity."""

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import seal.engine.datasets.importing
from seal.engine.datasets.importing import ImportReport, import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.frames.manifest import read_manifest
from seal.engine.frames.schema import TEXTS, scan
from seal.engine.progress import Progress
from tests.support.places import HH_RLHF

pytestmark = pytest.mark.usefixtures("fast_disk")


def pair(i: int, **more: Any) -> dict[str, Any]:
    text = "\n\nHuman: Say {}\n\nAssistant: {}"
    return {"chosen": text.format(i, "yes"), "rejected": text.format(i, "no"), **more}


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write records in the way the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(r) + "\n" for r in records).encode()
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=7)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(data, mtime=0))
    elif path.suffix == ".zst":
        with pa.output_stream(path, compression="zstd") as file:
            file.write(data)
    else:
        path.write_bytes(data)
    return path


def pairs(first: int, n: int, **more: Any) -> list[dict[str, Any]]:
    return [pair(i, **more) for i in range(first, first + n)]


def texts(folder: Path) -> pl.DataFrame:
    return scan(folder, TEXTS).collect()


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*.parquet")}


@pytest.mark.skipif(
    not HH_RLHF.is_dir(), reason="needs the hh-rlhf test split in ../shared/data/hh-rlhf beside the project"
)
def test_the_real_pairs_are_imported_without_a_failure_and_to_the_byte(tmp_path: Path) -> None:
    report = import_texts([HH_RLHF], tmp_path / "out", options=ImportOptions(part_pairs=1000))
    assert report == ImportReport(
        tmp_path / "out", {"harmless-base-test.jsonl.gz": "hh"}, 2312, 2312, 2312, 0, 0, 0, {}
    )
    with gzip.open(HH_RLHF / "harmless-base-test.jsonl.gz") as file:
        records = [json.loads(line) for line in file]
    frame = texts(tmp_path / "out")
    assert frame["row_id"].to_list() == [i for i in range(2312) for _ in range(2)]
    assert frame["preference"].to_list() == ["chosen", "rejected"] * 2312
    assert set(frame["source"]) == {"harmless-base-test"}
    whole = (frame["prompt"] + frame["response"]).to_list()
    assert whole == [r[side] for r in records for side in ("chosen", "rejected")]
    assert frame["response"].str.starts_with("Assistant:").all()
    assert (frame["response"].str.strip_chars() == "Assistant:").sum() == 4
    two_prompts = frame.group_by("row_id").agg(pl.col("prompt").n_unique())
    assert two_prompts.filter(pl.col("prompt") > 1).height == 5


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".ndjson", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_every_kind_of_file_gives_the_same_texts(suffix: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in" / f"d{suffix}", pairs(0, 50))
    import_texts([source], tmp_path / "out", options=ImportOptions(part_pairs=20))
    plain = write(tmp_path / "plain" / "d.jsonl", pairs(0, 50))
    import_texts([plain], tmp_path / "same", options=ImportOptions(part_pairs=20))
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "same")
    assert [pl.read_parquet(p).height for p in sorted((tmp_path / "out").glob("part*"))] == [40, 40, 20]


def test_gzip_and_zstd_files_of_several_members_are_read_to_the_end(tmp_path: Path) -> None:
    for suffix in (".gz", ".zst"):
        one, two = (write(tmp_path / f"{i}{suffix}/d.jsonl{suffix}", pairs(i, 5)) for i in (0, 5))
        both = tmp_path / f"both.jsonl{suffix}"
        both.write_bytes(one.read_bytes() + two.read_bytes())
        assert import_texts([both], tmp_path / f"out{suffix}").n_pairs == 10


def test_sources_are_laid_end_to_end_in_sorted_order_under_names_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "in/helpful/train.jsonl.gz", pairs(0, 3))
    write(tmp_path / "in/harmless/train.jsonl", pairs(3, 3))
    write(tmp_path / "in/harmless/test.parquet", pairs(6, 3))
    write(tmp_path / "in/big/data-00001-of-00002.parquet", pairs(12, 3))
    write(tmp_path / "in/big/data-00000-of-00002.parquet", pairs(9, 3))
    write(tmp_path / "in/.cache/train.jsonl", pairs(0, 3))
    (tmp_path / "in/dataset_info.json").write_text("{}")
    last = write(tmp_path / "last.ndjson", pairs(15, 1))
    report = import_texts([tmp_path / "in", last], tmp_path / "out", options=ImportOptions(part_pairs=4))
    assert list(report.formats) == [
        "data-00000-of-00002.parquet", "data-00001-of-00002.parquet", "test.parquet", "train.jsonl",
        "train.jsonl.gz", "last.ndjson",
    ]  # fmt: skip
    frame = texts(tmp_path / "out").filter(pl.col("preference") == "chosen")
    assert frame["row_id"].to_list() == list(range(16))
    names = ["data"] * 6 + ["test"] * 3 + ["harmless/train"] * 3 + ["helpful/train"] * 3 + ["last"]
    assert frame["source"].to_list() == names
    assert frame["prompt"][0] == "\n\nHuman: Say 9\n\n"


def test_files_that_differ_in_their_suffix_alone_have_names_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "in/d.jsonl", pairs(0, 1))
    write(tmp_path / "in/d.parquet", pairs(1, 1))
    write(tmp_path / "in/d-00000-of-00001.parquet", pairs(2, 1))
    import_texts([tmp_path / "in"], tmp_path / "out")
    assert texts(tmp_path / "out")["source"].to_list()[::2] == ["d", "d.jsonl", "d.parquet"]


def test_a_parquet_file_without_any_of_the_named_columns_is_all_failures(tmp_path: Path) -> None:
    source = write(tmp_path / "d.parquet", [{"text": "a"}] * 10)
    report = import_texts([source], tmp_path / "out", options=ImportOptions(format="hh"))
    assert report.failures == {"missing_field": 10}


def test_files_of_several_formats_share_one_schema(tmp_path: Path) -> None:
    write(tmp_path / "in/a.jsonl", pairs(0, 3, score=1.5, tags=["x"]))
    webgpt = {
        "question": {"full_text": "Why?", "dataset": "eli5"}, "answer_0": "a", "answer_1": "b",
        "score_0": 1.0, "score_1": -1.0, "tokens_0": {"prefix": [1]},
    }  # fmt: skip
    write(tmp_path / "in/b.parquet", [webgpt] * 3)
    options = ImportOptions(meta=("score", "tags", "dataset"), part_pairs=2)
    report = import_texts([tmp_path / "in"], tmp_path / "out", options=options)
    assert dict(report.formats) == {"a.jsonl": "hh", "b.parquet": "webgpt"}
    frame = texts(tmp_path / "out").filter(pl.col("preference") == "rejected")
    meta = ["meta_score", "meta_tags", "meta_dataset", "meta_score_margin"]
    assert [c for c in frame.columns if c.startswith("meta_")] == meta
    assert frame.row(0)[-4:] == ("1.5", '["x"]', None, None)
    assert frame.row(5)[-4:] == (None, None, "eli5", 2.0)
    schemas = [pl.read_parquet_schema(p) for p in (tmp_path / "out").glob("part-*")]
    assert len(schemas) == 3
    assert all(s == schemas[0] for s in schemas)


def test_split_by_file_name_and_by_column(tmp_path: Path) -> None:
    write(tmp_path / "in/harmless/test.jsonl", pairs(0, 2))
    write(tmp_path / "in/train_prefs-00000-of-00001.parquet", pairs(2, 3))
    write(tmp_path / "in/latest.jsonl", pairs(5, 4))
    column = write(tmp_path / "column.jsonl", [pair(i, split=("test", "train")[i % 2]) for i in range(5)])
    got = import_texts([tmp_path / "in"], tmp_path / "1", options=ImportOptions(split="test"))
    assert (list(got.formats), got.n_pairs) == (["test.jsonl"], 2)
    got = import_texts([tmp_path / "in"], tmp_path / "2", options=ImportOptions(split="train_prefs"))
    assert got.n_pairs == 3
    got = import_texts([tmp_path / "in", column], tmp_path / "3", options=ImportOptions(split="test"))
    assert (got.n_records, got.n_pairs, got.n_other_splits) == (7, 5, 2)
    rows = texts(tmp_path / "3").filter(pl.col("preference") == "chosen")
    assert rows["row_id"].to_list() == [0, 1, 2, 4, 6]
    got = import_texts([column], tmp_path / "4", options=ImportOptions(split="train", limit=1))
    assert (got.n_records, got.n_pairs) == (2, 1)
    with pytest.raises(InputError, match="split dev: no file"):
        import_texts([tmp_path / "in"], tmp_path / "5", options=ImportOptions(split="dev"))
    with pytest.raises(InputError, match="no record has 'dev'"):
        import_texts([column], tmp_path / "6", options=ImportOptions(split="dev"))


@pytest.mark.parametrize("limit", [1, 5, 10, 11, 29, 30, 31])
def test_limit_counts_records_over_all_sources(limit: int, tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [*pairs(0, 14), {"chosen": "cut"}, *pairs(14, 5)])
    two = write(tmp_path / "two.parquet", pairs(20, 10))
    options = ImportOptions(limit=limit, part_pairs=5)
    report = import_texts([one, two], tmp_path / "out", options=options)
    assert report.n_records == report.n_pairs + report.n_failures == min(limit, 30)
    assert import_texts([one, two], tmp_path / "out", options=options) == report


def stop_after(n_parts: int) -> Any:
    def listen(progress: Progress) -> None:
        nonlocal n_parts
        n_parts -= 1
        if n_parts == 0:
            raise KeyboardInterrupt

    return listen


@pytest.mark.parametrize("limit", [None, 23])
@pytest.mark.parametrize("suffixes", [(".jsonl", ".parquet"), (".jsonl.gz", ".jsonl.zst")])
def test_stopped_after_every_part_it_goes_on_to_the_same_bytes(
    limit: int | None, suffixes: tuple[str, str], tmp_path: Path
) -> None:
    broken = [*pairs(0, 6), {"chosen": "cut"}, {}, *pairs(6, 9)]
    sources = [
        write(tmp_path / f"one{suffixes[0]}", broken), write(tmp_path / f"two{suffixes[1]}", pairs(0, 13)),
    ]  # fmt: skip
    options = ImportOptions(part_pairs=4, limit=limit, format="hh")
    whole = import_texts(sources, tmp_path / "whole", options=options)
    n_stops = 0
    while True:
        try:
            report = import_texts(sources, tmp_path / "out", options=options, listen=stop_after(1))
            break
        except KeyboardInterrupt:
            n_stops += 1
    assert n_stops == len(list((tmp_path / "out").glob("part-*"))) == -(-whole.n_records // 4)
    assert (report.n_records, report.failures) == (whole.n_records, whole.failures)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_a_finished_folder_is_not_written_again(tmp_path: Path) -> None:
    source = write(tmp_path / "d.jsonl", [*pairs(0, 10), {}])
    report = import_texts([source], tmp_path / "out")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.parquet")}
    heard: list[Progress] = []
    assert import_texts([source], tmp_path / "out", listen=heard.append) == report
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.parquet")} == before
    assert not heard
    document = read_manifest(tmp_path / "out")
    assert document is not None
    assert document["complete"] is True
    assert document["totals"] == {"n_records": 11, "n_pairs": 10, "n_ties": 0, "n_failures": 1}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (ImportOptions(limit=5), "options.limit"),
        (ImportOptions(max_chars=500), "options.max_chars"),
        (ImportOptions(part_pairs=5), "options.part_pairs"),
        (ImportOptions(meta=("extra",)), "options.meta"),
        (ImportOptions(split="d"), "options.split"),
        (ImportOptions(format="implicit"), "options.format.d.jsonl"),
        (ImportOptions(chosen="rejected", rejected="chosen"), "options.chosen"),
    ],
)
def test_other_options_are_refused_by_name(options: ImportOptions, named: str, tmp_path: Path) -> None:
    source = write(tmp_path / "d.jsonl", pairs(0, 10, extra=1))
    import_texts([source], tmp_path / "out")
    with pytest.raises(ResumeError, match=named):
        import_texts([source], tmp_path / "out", options=options)
    import_texts([source], tmp_path / "out", options=options, overwrite=True)


def test_every_option_is_part_of_the_identity(tmp_path: Path) -> None:
    import_texts([write(tmp_path / "d.jsonl", pairs(0, 1))], tmp_path / "out")
    document = read_manifest(tmp_path / "out")
    assert document is not None
    assert set(document["identity"]["options"]) == {*ImportOptions.__dataclass_fields__, "sources"}


def test_another_input_is_refused_and_a_moved_one_is_not(tmp_path: Path) -> None:
    source = write(tmp_path / "in/d.jsonl", pairs(0, 10))
    import_texts([source], tmp_path / "out")
    moved = tmp_path / "elsewhere" / "d.jsonl"
    moved.parent.mkdir()
    os.rename(source, moved)
    import_texts([moved], tmp_path / "out")
    write(moved, pairs(1, 10))
    with pytest.raises(ResumeError, match=r"inputs\.d\.jsonl"):
        import_texts([moved], tmp_path / "out")
    with pytest.raises(ResumeError, match="inputs"):
        import_texts([moved, write(tmp_path / "e.jsonl", pairs(0, 1))], tmp_path / "out")


def test_the_order_of_the_sources_is_part_of_the_identity(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", pairs(0, 1)), write(tmp_path / "b.jsonl", pairs(1, 1))
    import_texts([a, b], tmp_path / "out")
    with pytest.raises(ResumeError, match=r"options\.sources"):
        import_texts([b, a], tmp_path / "out")


def test_wrong_calls_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = write(tmp_path / "in/d.jsonl", pairs(0, 3))
    (tmp_path / "in/empty").mkdir()
    (tmp_path / "d.txt").write_text("x")
    cases: list[tuple[list[Path], Path, type[Exception], str]] = [
        ([source, source], tmp_path / "out", UsageError, "named twice"),
        ([source, tmp_path / "in"], tmp_path / "out", UsageError, "named twice"),
        ([], tmp_path / "out", UsageError, "at least one"),
        ([tmp_path / "in"], tmp_path / "in" / "out", UsageError, "lie in one another"),
        ([source], tmp_path / "in", UsageError, "lie in one another"),
        ([tmp_path / "none"], tmp_path / "out", InputError, "neither a file nor a folder"),
        ([tmp_path / "d.txt"], tmp_path / "out", InputError, "no data file"),
        ([tmp_path / "in/empty"], tmp_path / "out", InputError, "holds no data files"),
    ]
    for sources, out, error, words in cases:
        with pytest.raises(error, match=words):
            import_texts(sources, out)
    with pytest.raises(InputError, match=r"no such column as 'nope'.*chosen, rejected"):
        import_texts([source], tmp_path / "out", options=ImportOptions(meta=("nope",)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"format": "xml"}, {"limit": 0}, {"max_chars": 0}, {"part_pairs": -1}, {"split": ""}, {"meta": ("",)},
        {"meta": ("a", "a")}, {"prompt": "p"}, {"chosen": "c"}, {"prompt": "p", "rejected": "r"},
        {"chosen": "c", "rejected": "c"}, {"prompt": "", "chosen": "c", "rejected": "r"},
        {"chosen": "c", "rejected": "r", "format": "hh"},
    ],
)  # fmt: skip
def test_options_are_validated_on_construction(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ImportOptions(**options)


def test_a_report_that_does_not_add_up_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        ImportReport(tmp_path, {}, 10, 10, 7, 1, 1, 0, {"bad_json": 1})


def test_progress_counts_up_to_what_parquet_files_hold(tmp_path: Path) -> None:
    source = write(tmp_path / "d.parquet", pairs(0, 25))
    heard: list[Progress] = []
    import_texts([source], tmp_path / "out", options=ImportOptions(part_pairs=10), listen=heard.append)
    assert [(p.n_done, p.n_total) for p in heard] == [(10, 25), (20, 25), (25, 25)]
    lines = write(tmp_path / "d.jsonl", pairs(0, 5))
    import_texts([lines], tmp_path / "lines", listen=heard.append)
    assert heard[-1].n_total is None


def test_parts_of_long_texts_end_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal.engine.datasets.importing, "_PART_CHARS", 1000)
    import_texts([write(tmp_path / "d.jsonl", pairs(0, 40))], tmp_path / "out")
    sizes = [pl.read_parquet(p).height // 2 for p in sorted((tmp_path / "out").glob("part-*"))]
    assert sum(sizes) == 40
    assert max(sizes) < 20


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.text(max_size=30), st.none()), min_size=1, max_size=30), st.integers(1, 9))
def test_rows_in_are_rows_out_and_failures_for_any_text(
    tmp_path: Path, sides: list[str | None], part_pairs: int
) -> None:
    records = [{"prompt": "p", "chosen": side, "rejected": "no"} for side in sides]
    source = write(tmp_path / "d.jsonl", records)
    options = ImportOptions(format="pairs", part_pairs=part_pairs)
    report = import_texts([source], tmp_path / "out", options=options, overwrite=True)
    good = [s for s in sides if s and not s.isspace()]
    assert (report.n_pairs, report.n_failures) == (len(good), len(sides) - len(good))
    assert texts(tmp_path / "out").filter(pl.col("preference") == "chosen")["response"].to_list() == good


def test_a_line_that_is_too_long_is_not_held_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "d.jsonl").open("w") as file:
        file.write(json.dumps(pair(0)) + '\n{"chosen": "')
        for _ in range(64):
            file.write("x" * (1 << 20))
        file.write('"}\n' + json.dumps(pair(1)) + "\n")
    resource = pytest.importorskip("resource", reason="needs a POSIX system")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = import_texts([tmp_path / "d.jsonl"], tmp_path / "out", options=ImportOptions(max_chars=1000))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert report.failures == {"too_long": 1}
    assert report.n_pairs == 2
    assert sys.platform != "linux" or grown < 32 << 10, f"{grown} KiB more for a line of 64 MiB"
