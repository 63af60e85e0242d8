"""Windows of whole pairs, whatever the files are like."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.engine.errors import InputError
from seal.engine.frames import reader as reading
from seal.engine.frames.reader import count_texts, in_order, windows
from seal.engine.frames.schema import SCORES, TEXT_KEY, TEXTS, parquet_files, scan
from tests.support.frames import random_texts, write

TEXT_COLUMNS = [*TEXT_KEY, "prompt", "response"]


def read(path, tmp_path, n_pairs=4, **options):
    return list(windows(in_order(path, tmp_path / "sorted.tmp"), n_pairs, **options))


def test_every_row_once_in_windows_of_whole_pairs(tmp_path):
    frame = random_texts(10)
    got = read(write(frame, tmp_path / "t.parquet"), tmp_path)
    assert [w["row_id"].n_unique() for w in got] == [4, 4, 2]
    assert pl.concat(got).equals(frame.select(TEXT_COLUMNS))
    assert not (tmp_path / "sorted.tmp").exists()


@given(
    copies=st.lists(st.integers(1, 4), min_size=1, max_size=30),
    n_pairs=st.integers(1, 9),
    chunk=st.integers(1, 11),
    gap=st.integers(1, 3),
    group=st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_windows_do_not_depend_on_chunks_or_row_groups(tmp_path_factory, copies, n_pairs, chunk, gap, group):
    keys = [(p, v) for p in ("chosen", "rejected") for v in ("original", "rewritten")]
    rows = [(i * gap, *keys[k]) for i, n in enumerate(copies) for k in range(n)]
    frame = pl.DataFrame(
        [(*row, "s", f"p{i}", "r") for i, row in enumerate(rows)], schema=TEXTS.types, orient="row"
    )
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    frame.write_parquet(path, row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_ROWS_AT_ONCE", chunk)
        got = list(windows([path], n_pairs))
    assert pl.concat(got).equals(frame.select(TEXT_COLUMNS))
    assert [w["row_id"].n_unique() for w in got[:-1]] == [n_pairs] * (len(got) - 1)
    assert pl.concat(got)["row_id"].n_unique() == len(copies) == sum(w["row_id"].n_unique() for w in got)


def test_unsorted_texts_are_sorted_aside(tmp_path):
    frame = random_texts(50)
    path = write(frame.sample(fraction=1, shuffle=True, seed=3), tmp_path / "t.parquet")
    got = pl.concat(read(path, tmp_path))
    assert got.equals(frame.select(TEXT_COLUMNS))
    assert (tmp_path / "sorted.tmp").exists()


def test_sides_in_any_order_within_a_pair(tmp_path):
    frame = random_texts(5)
    path = write(frame.sort("row_id", "preference", descending=[False, True]), tmp_path / "t.parquet")
    assert pl.concat(read(path, tmp_path)).equals(frame.select(TEXT_COLUMNS))


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_key_that_occurs_twice_is_refused(tmp_path, shuffled):
    frame = random_texts(9)
    frame = pl.concat([frame, frame[7:8]]).sort("row_id")
    if shuffled:
        frame = frame.sample(fraction=1, shuffle=True, seed=1)
    with pytest.raises(
        InputError, match=r"row_id 3, preference rejected, variant original\) occurs more than"
    ):
        read(write(frame, tmp_path / "t.parquet"), tmp_path)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["rejected", "chosen"])])
def test_keys_as_strings_categories_or_another_enum(tmp_path, dtype):
    frame = random_texts(6)
    path = write(frame.with_columns(pl.col("preference").cast(pl.String).cast(dtype)), tmp_path / "t.parquet")
    got = pl.concat(read(path, tmp_path))
    assert got.equals(frame.select(TEXT_COLUMNS))
    assert got.schema["preference"] == TEXTS.types["preference"]


@pytest.mark.parametrize("dtype", [pl.Int32, pl.UInt64, pl.Int8])
def test_any_whole_number_is_a_row_id(tmp_path, dtype):
    frame = random_texts(6)
    path = write(frame.with_columns(pl.col("row_id").cast(dtype)), tmp_path / "t.parquet")
    assert pl.concat(read(path, tmp_path)).equals(frame.select(TEXT_COLUMNS))


@pytest.mark.parametrize("after", [-1, 0, 3, 8, 9, 50])
@pytest.mark.parametrize("limit", [None, 0, 1, 4, 6, 100])
def test_after_and_limit(tmp_path, after, limit):
    path = tmp_path / "t.parquet"
    random_texts(10).write_parquet(path, row_group_size=4)
    got = read(path, tmp_path, after=after, limit=limit)
    ids = sorted({i for w in got for i in w["row_id"]})
    assert ids == list(range(after + 1, 10))[:limit]


def test_parts_of_a_folder_are_read_in_order(tmp_path):
    frame, folder = random_texts(30), tmp_path / "texts"
    folder.mkdir()
    write(frame[:21], folder / "part-00000.parquet")  # ends in the middle of a pair
    write(frame[21:21], folder / "part-00001.parquet")
    write(frame[21:], folder / "part-00002.parquet")
    write(frame, folder / "failures.parquet")
    assert pl.concat(read(folder, tmp_path, 7)).equals(frame.select(TEXT_COLUMNS))
    assert count_texts(folder) == 60


def test_several_files_of_overlapping_rows_are_sorted(tmp_path):
    frame, folder = random_texts(30), tmp_path / "texts"
    folder.mkdir()
    write(frame[1::2], folder / "a.parquet")
    write(frame[::2], folder / "b.parquet")
    assert pl.concat(read(folder, tmp_path, 7)).equals(frame.select(TEXT_COLUMNS))


def test_files_without_statistics(tmp_path):
    frame = random_texts(10)
    frame.write_parquet(tmp_path / "t.parquet", statistics=False, row_group_size=3)
    assert pl.concat(read(tmp_path / "t.parquet", tmp_path, after=4)).equals(frame[10:].select(TEXT_COLUMNS))


def test_what_was_read_is_not_kept(tmp_path, monkeypatch):
    """40 row groups, some 20 MB: at most a few of them may be held at a time."""
    n, path = 20_000, tmp_path / "t.parquet"
    noise = np.random.default_rng(0).bytes(400 * n).hex()
    rows = [noise[i * 800 : (i + 1) * 800] for i in range(n)]
    random_texts(n // 2).with_columns(prompt=pl.Series(rows)).write_parquet(path, row_group_size=500)
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", 500)
    before, peak = pa.total_allocated_bytes(), 0
    for _ in windows([path], 100):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert path.stat().st_size > 8_000_000
    assert peak < 3_000_000


def test_no_texts_at_all(tmp_path):
    assert read(write(random_texts(0), tmp_path / "t.parquet"), tmp_path) == []


@pytest.mark.parametrize("column", TEXT_KEY)
def test_a_null_in_a_key_is_refused(tmp_path, column):
    frame = random_texts(4).with_columns(pl.when(pl.arange(8) != 5).then(pl.col(column)).alias(column))
    with pytest.raises(InputError, match=f"a {column} is null"):
        read(write(frame, tmp_path / "t.parquet"), tmp_path)


def test_a_negative_row_id_is_refused_and_not_left_out(tmp_path):
    frame = random_texts(4).with_columns(pl.col("row_id") - 1)
    with pytest.raises(InputError, match="a row_id is negative"):
        read(write(frame, tmp_path / "t.parquet"), tmp_path)


def test_an_unknown_preference_is_refused_by_name(tmp_path):
    frame = random_texts(4).with_columns(preference=pl.lit("better"))
    with pytest.raises(InputError, match=r"t\.parquet.*better"):
        read(write(frame, tmp_path / "t.parquet"), tmp_path)


@pytest.mark.parametrize("column", TEXT_COLUMNS)
def test_a_missing_column_is_refused_by_name(tmp_path, column):
    with pytest.raises(InputError, match=f"no column '{column}'; a TEXTS frame has"):
        read(write(random_texts(4).drop(column), tmp_path / "t.parquet"), tmp_path)


def test_a_column_of_another_type_is_refused_by_name(tmp_path):
    frame = random_texts(4).with_columns(prompt=pl.lit(np.pi))
    with pytest.raises(InputError, match="column 'prompt' is Float64, a TEXTS frame needs String"):
        read(write(frame, tmp_path / "t.parquet"), tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"row_id,prompt\n1,a\n", b"PAR1" + b"\0" * 99 + b"PAR1"])
@pytest.mark.parametrize("call", [count_texts, lambda path: in_order(path, path.with_name("aside"))])
def test_a_file_that_is_no_parquet_is_one_clear_error(tmp_path, content, call):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet cannot be read"):
        call(path)


def test_files_that_do_not_agree_are_one_clear_error(tmp_path):
    write(random_texts(3), tmp_path / "a.parquet")
    write(random_texts(3).drop("response"), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"cannot be sorted into .*response"):
        read(tmp_path, tmp_path)


def test_damage_in_the_middle_of_a_file_is_one_clear_error(tmp_path):
    path = write(random_texts(300), tmp_path / "t.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 2] = b"\xff" * (len(data) // 2 - len(data) // 4)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"t\.parquet cannot be read"):
        read(path, tmp_path)


def test_a_folder_that_is_being_written_is_refused(tmp_path):
    write(random_texts(3), tmp_path / "part-00000.parquet")
    (tmp_path / "manifest.json").write_text('{"complete": false}')
    with pytest.raises(InputError, match="is not finished: run the command that writes it again"):
        read(tmp_path, tmp_path)


@pytest.mark.parametrize("foreign", ["[]", "{", "null", '{"files": 3}', "\ufeff{}"])
def test_a_manifest_of_another_program_is_not_looked_at(tmp_path, foreign):
    write(random_texts(3), tmp_path / "t.parquet")
    (tmp_path / "manifest.json").write_text(foreign)
    assert count_texts(tmp_path) == 6


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="neither a Parquet file nor a folder"):
        count_texts(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no Parquet files"):
        count_texts(tmp_path)


def test_a_folder_in_which_everything_failed_says_so(tmp_path):
    pl.DataFrame({"row_id": [0]}).write_parquet(tmp_path / "failures.parquet")
    with pytest.raises(InputError, match=r"holds no rows: all failed"):
        parquet_files(tmp_path)


def test_what_polars_panics_over_is_one_clear_error(tmp_path):
    kinds = pa.dictionary(pa.uint8(), pa.string())
    side = pa.field("preference", kinds, metadata={"_PL_ENUM_VALUES2": "6;chosen87rejected"})  # 87 of 8
    sides = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.uint8()), ["chosen", "rejected"])
    table = pa.table([[0, 0], sides], schema=pa.schema([pa.field("row_id", pa.int64()), side]))
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t\.parquet cannot be read: "):
        scan(tmp_path / "t.parquet", SCORES)
