"""The sink: atomic parts, a log that names only what happened, one writer, one identity."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EIO, ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from seal.engine.errors import InputError, ResumeError, SealError
from seal.engine.frames.folder import LOG
from seal.engine.frames.gathered import FAILED
from seal.engine.frames.manifest import MANIFEST, Manifest, read_manifest
from seal.engine.frames.schema import FAILURES, as_stored, parquet_files
from seal.engine.frames.sink import Sink
from tests.support.kills import logged_hashes

pytestmark = pytest.mark.usefixtures("fast_disk")

RUN = Manifest("test", {"limit": 3, "nested": {"a": 1}}, {"input": "abc"}, {"m": {"sha256": "1"}})
N_PARTS = 4


def rows(part: int) -> pl.DataFrame:
    return pl.DataFrame({"row_id": [10 * part, 10 * part + 1], "text": [f"a{part}", f"b{part}"]})


def failures(part: int) -> pl.DataFrame:
    """Every other part has one."""
    if part % 2:
        return FAILURES.empty()
    values = [(10 * part + 2, None, None, "test", "bad", f"part {part}")]
    return pl.DataFrame(values, schema=FAILURES.types, orient="row")


def write(folder: Path, *, n_parts: int = N_PARTS, finish: bool = True, **options: Any) -> Sink:
    """A stage in small: goes on from wherever the folder is."""
    with Sink(folder, RUN, **options) as sink:
        for part in range(sink.cursor.get("next", 0), n_parts) if not sink.finished else ():
            sink.commit(
                rows(part),
                failures(part),
                last_row_id=10 * part + 2,
                cursor={"next": part + 1},
                counters={"tokens": 5},
            )
        if finish:
            sink.finish(n_rows=sink.n_rows)
    return sink


def parquet(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.parquet"))}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    write(tmp_path / "whole")
    return parquet(tmp_path / "whole")


def check_log(folder: Path) -> None:
    """Every line of the log is whole, and every file it names is there with its hash."""
    if not (folder / LOG).exists():
        return
    data = (folder / LOG).read_bytes()
    assert data.endswith(b"\n") or not data
    for name, digest in logged_hashes(folder / LOG).items():
        assert sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_a_finished_folder_holds_what_was_committed(tmp_path: Path) -> None:
    sink = write(tmp_path / "out")
    assert (sink.n_rows, sink.n_failures, sink.last_row_id) == (8, 2, 32)
    assert sink.total("tokens") == 20
    assert sink.cursor == {"next": 4}
    assert [p.name for p in parquet_files(tmp_path / "out")] == [f"part-{i:05}.parquet" for i in range(4)]
    gathered = pl.read_parquet(tmp_path / "out" / FAILED)
    assert gathered.schema == as_stored(FAILURES.empty()).schema
    assert gathered["row_id"].to_list() == [2, 22]
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {*parquet(tmp_path / "out"), FAILED, LOG, MANIFEST, ".lock"}
    document = read_manifest(tmp_path / "out")
    assert document is not None
    assert (document["complete"], document["totals"]) == (True, {"n_rows": 8})
    check_log(tmp_path / "out")


def test_no_failures_is_an_empty_file_of_failures(tmp_path: Path) -> None:
    with Sink(tmp_path / "out", RUN) as sink:
        sink.commit(rows(0), FAILURES.empty(), last_row_id=1)
        sink.finish()
    assert pl.read_parquet(tmp_path / "out" / FAILED).schema == as_stored(FAILURES.empty()).schema


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, whole: dict[str, bytes]) -> None:
    write(tmp_path / "again")
    assert parquet(tmp_path / "again") == whole


@pytest.mark.parametrize("n_parts", range(N_PARTS + 1))
def test_what_is_logged_is_not_done_again(n_parts: int, tmp_path: Path, whole: dict[str, bytes]) -> None:
    write(tmp_path / "out", n_parts=n_parts, finish=False)
    with pytest.raises(InputError, match="not finished"):
        parquet_files(tmp_path / "out")
    times = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("part-*")}
    assert len(times) == n_parts
    write(tmp_path / "out")
    assert parquet(tmp_path / "out") == whole
    assert {n: (tmp_path / "out" / n).stat().st_mtime_ns for n in times} == times


def test_finishing_twice_changes_nothing(tmp_path: Path, whole: dict[str, bytes]) -> None:
    write(tmp_path / "out")
    log = (tmp_path / "out" / LOG).read_bytes()
    sink = write(tmp_path / "out")
    sink.finish(n_rows=sink.n_rows)
    assert sink.finished
    assert parquet(tmp_path / "out") == whole
    assert (tmp_path / "out" / LOG).read_bytes() == log


def test_killed_between_the_last_log_line_and_the_manifest(tmp_path: Path, whole: dict[str, bytes]) -> None:
    write(tmp_path / "out")
    document = read_manifest(tmp_path / "out")
    assert document is not None
    (tmp_path / "out" / MANIFEST).write_text(json.dumps(document | {"complete": False}))
    (tmp_path / "out" / "failures-00000.parquet").write_bytes(b"left over")
    write(tmp_path / "out")
    assert parquet(tmp_path / "out") == whole
    assert len(parquet_files(tmp_path / "out")) == N_PARTS


@pytest.mark.parametrize("cut", [1, 30, -1])
def test_a_torn_log_line_did_not_happen(cut: int, tmp_path: Path, whole: dict[str, bytes]) -> None:
    write(tmp_path / "out", n_parts=3, finish=False)
    log = tmp_path / "out" / LOG
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]) + lines[2][:cut])
    with Sink(tmp_path / "out", RUN) as sink:
        assert len(sink.commits) == 2
        assert not (tmp_path / "out" / "part-00002.parquet").exists()
    check_log(tmp_path / "out")
    write(tmp_path / "out")
    assert parquet(tmp_path / "out") == whole


def test_what_the_log_does_not_name_is_removed(tmp_path: Path, whole: dict[str, bytes]) -> None:
    write(tmp_path / "out", n_parts=2, finish=False)
    for name in ("part-00002.parquet", ".part-00002.parquet.tmp", "failures-00002.parquet", FAILED):
        (tmp_path / "out" / name).write_bytes(b"half a file")
    write(tmp_path / "out", n_parts=2, finish=False)
    assert set(parquet(tmp_path / "out")) == {
        "part-00000.parquet", "part-00001.parquet", "failures-00000.parquet",
    }  # fmt: skip
    write(tmp_path / "out")
    assert parquet(tmp_path / "out") == whole


@pytest.mark.parametrize("damage", ["gone", "shorter"])
def test_a_part_that_the_log_names_must_be_there(damage: str, tmp_path: Path) -> None:
    write(tmp_path / "out", n_parts=2, finish=False)
    part = tmp_path / "out" / "part-00001.parquet"
    if damage == "gone":
        part.unlink()
    else:
        part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ResumeError, match=r"part-00001.parquet is missing or of another size"):
        write(tmp_path / "out")
    write(tmp_path / "out", overwrite=True)


def test_a_damaged_log_is_refused_and_overwrite_is_the_way_out(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    write(tmp_path / "out", n_parts=2, finish=False)
    (tmp_path / "out" / LOG).write_bytes(b"{}\n" + (tmp_path / "out" / LOG).read_bytes())
    with pytest.raises(ResumeError, match="is damaged"):
        write(tmp_path / "out")
    write(tmp_path / "out", overwrite=True)
    assert parquet(tmp_path / "out") == whole


def test_the_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path, whole: dict[str, bytes]) -> None:
    with Sink(tmp_path / "out", RUN) as sink:
        sink.commit(rows(0), failures(0), last_row_id=2, cursor={"next": 1})
        for overwrite in (False, True):
            with pytest.raises(ResumeError, match="being written by another process"):
                write(tmp_path / "out", overwrite=overwrite)
    write(tmp_path / "out")
    assert parquet(tmp_path / "out") == whole


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", "part-00000.parquet", "log.jsonl", "failures.parquet"])
def test_a_foreign_folder_is_refused_and_left_alone(name: str, overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(ResumeError, match=f"is not empty .{re.escape(name)}"):
        write(tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / name).read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("text", ['{"name": "web app"}', "{", "[]", '{"identity": 3}'])
def test_a_manifest_of_another_program_is_refused(text: str, overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text(text)
    (tmp_path / "out" / "part-00000.parquet").write_text("mine")
    with pytest.raises(InputError, match="is not a manifest of this program"):
        write(tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "mine"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Manifest("other", RUN.options, RUN.inputs, RUN.models), 'stage: "test" there, "other" now'),
        (
            Manifest("test", {"limit": 3, "nested": {"a": 2}}, RUN.inputs, RUN.models),
            "nested.a: 1 there, 2 now",
        ),
        (Manifest("test", {"limit": 3}, RUN.inputs, RUN.models), "options.nested.a: 1 there, nothing now"),
        (Manifest("test", RUN.options, {"input": "x"}, RUN.models), 'inputs.input: "abc" there, "x" now'),
        (Manifest("test", RUN.options, RUN.inputs, {}), "models.m.sha256"),
    ],
)
def test_another_run_is_refused_and_the_difference_named(other: Manifest, words: str, tmp_path: Path) -> None:
    write(tmp_path / "out")
    before = parquet(tmp_path / "out")
    with pytest.raises(ResumeError) as caught, Sink(tmp_path / "out", other):
        pass
    assert words in str(caught.value)
    assert parquet(tmp_path / "out") == before
    with Sink(tmp_path / "out", other, overwrite=True) as sink:
        assert not sink.commits
        assert not parquet(tmp_path / "out")


class Killed(BaseException):
    """What SIGKILL would be, if it could be caught."""


@pytest.mark.parametrize("n", range(8))
def test_overwriting_cut_short_never_leaves_what_looks_finished(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out")
    other = Manifest("test", {"limit": 4})
    left = n
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(Killed), Sink(tmp_path / "out", other, overwrite=True):
        raise Killed
    monkeypatch.undo()
    if read_manifest(tmp_path / "out") is not None:
        with pytest.raises(InputError, match="not finished"):
            parquet_files(tmp_path / "out")
    write(tmp_path / "out", overwrite=True)
    assert len(parquet_files(tmp_path / "out")) == N_PARTS


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SealError, match="cannot write"):
        write(tmp_path / "file" / "out")


_CALLS = {"fsync": (os, "fsync"), "replace": (os, "replace"), "open": (Path, "open"), "os.open": (os, "open")}


@contextmanager
def failing(call: str, n: int, errno: int) -> Iterator[list[int]]:
    """The n-th call (from 0) and all later ones fail, as on a disk that is full and stays so."""
    owner, name = _CALLS[call]
    real, calls = getattr(owner, name), [0]

    def fail(*args: Any, **more: Any) -> Any:
        writing = name != "open" or owner is os or any(m in str(args[1:2]) for m in "wa")
        calls[0] += writing
        if writing and calls[0] > n:
            raise OSError(errno, os.strerror(errno))
        return real(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, fail)
        yield calls


@pytest.mark.parametrize(
    ("call", "errno"),
    [("fsync", ENOSPC), ("fsync", EIO), ("replace", EIO), ("open", ENOSPC), ("os.open", EACCES)],
)
def test_a_disk_that_fails_at_the_nth_write_for_every_n(
    call: str, errno: int, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    with failing(call, 10**9, errno) as calls:
        write(tmp_path / "count")
    assert calls[0] >= 7
    for n in range(calls[0]):
        out = tmp_path / f"out{n}"
        with failing(call, n, errno), pytest.raises(SealError, match="cannot write") as caught:
            write(out)
        assert os.strerror(errno) in str(caught.value)
        check_log(out)
        write(out)
        assert parquet(out) == whole, f"the {n}-th {call}"
        check_log(out)


class Torn:
    """A file of which a write puts down only half before the disk is full."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> "Torn":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> int:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        raise OSError(ENOSPC, os.strerror(ENOSPC))


@pytest.mark.parametrize("truncates", [True, False])
def test_a_write_that_stops_half_way_for_every_write(
    truncates: bool, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, truncate = Path.open, os.truncate

    def no_truncate(*args: Any) -> None:
        raise OSError(EIO, os.strerror(EIO))

    n_failed = 0
    for n in range(100):
        left = n

        def tear(path: Path, mode: str = "r", *args: Any, **more: Any) -> Any:
            nonlocal left
            file = real(path, mode, *args, **more)
            if mode not in ("wb", "ab"):
                return file
            left -= 1
            return Torn(file) if left < 0 else file

        out = tmp_path / f"out{n}"
        monkeypatch.setattr(Path, "open", tear)
        monkeypatch.setattr(os, "truncate", truncate if truncates else no_truncate)
        try:
            write(out)
            break
        except SealError:
            n_failed += 1
        finally:
            monkeypatch.undo()
        write(out)
        assert parquet(out) == whole, f"the {n}-th write"
        check_log(out)
    assert n_failed >= 2 + 2 * N_PARTS


@pytest.mark.parametrize("n_bytes", [0, 100, 400, 700, 900, 1100, 1300, 1600])
def test_a_file_that_may_not_grow(n_bytes: int, tmp_path: Path, whole: dict[str, bytes]) -> None:
    """The limit holds for every write, those of the Parquet libraries included."""
    resource = pytest.importorskip("resource", reason="needs a POSIX system")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        with pytest.raises(SealError, match=r"cannot write .*File too large"):
            write(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check_log(tmp_path / "out")
    write(tmp_path / "out")
    assert parquet(tmp_path / "out") == whole
