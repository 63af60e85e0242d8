"""Hashing again what a folder's records name; identities and what differs between them."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from benchmarks.statistics_worlds import world
from seal.engine.errors import InputError, ResumeError
from seal.engine.frames.folder import content_hash
from seal.engine.frames.manifest import Manifest, differences, read_manifest
from seal.engine.frames.schema import FAILURES
from seal.engine.frames.sink import Sink
from seal.engine.verify import verify
from seal.stats.analysis import analyze
from seal.stats.options import AnalyzeOptions
from tests.support.kills import logged_hashes

ROWS = pl.DataFrame({"row_id": [0, 1, 2], "reward": [0.5, -1.0, 2.0]})
FAILED = pl.DataFrame(
    [(1, "chosen", "original", "score", "not_finite", "the reward is no number")],
    schema=FAILURES.types,
    orient="row",
)


@pytest.fixture
def folder(tmp_path):
    with Sink(tmp_path / "f", Manifest("score", {"a": 1})) as sink:
        sink.commit(ROWS, FAILURES.empty(), last_row_id=2)
        sink.commit(ROWS.with_columns(pl.col("row_id") + 3), FAILED, last_row_id=5)
        sink.finish()
    return tmp_path / "f"


@pytest.fixture
def results(tmp_path):
    w = world(300, seed=1)
    options = AnalyzeOptions("pre", "post")
    found = analyze(w.scores, w.labels, options, out=tmp_path / "r", figures=True, as_published=True)
    return found.folder


def test_an_untouched_folder(folder):
    report = verify(folder)
    assert (report.n_files, report.changed) == (3, [])


def test_every_flipped_byte_is_found(folder):
    for name in ("part-00000.parquet", "part-00001.parquet", "failures.parquet"):
        whole = (folder / name).read_bytes()
        for place in {0, 4, len(whole) // 3, len(whole) // 2, len(whole) - 1}:
            data = bytearray(whole)
            data[place] ^= 1
            (folder / name).write_bytes(bytes(data))
            assert verify(folder).changed == [name]
        (folder / name).write_bytes(whole)
    assert verify(folder).changed == []


def found_in(folder, name):
    """Of 25 bytes flipped over a file, those that are told."""
    whole, n_found = (folder / name).read_bytes(), 0
    for i in range(25):
        data = bytearray(whole)
        data[i * (len(whole) - 1) // 24] ^= 1 << (i % 7)
        (folder / name).write_bytes(bytes(data))
        try:
            n_found += name in verify(folder).changed
        except InputError:
            n_found += 1
    (folder / name).write_bytes(whole)
    return n_found


@pytest.mark.parametrize("name", ["manifest.json", "log.jsonl"])
def test_every_flipped_byte_of_a_record_is_found(folder, name):
    assert found_in(folder, name) == 25
    assert verify(folder).changed == []


def test_every_flipped_byte_of_an_exported_models_record_is_found(exported, tmp_path):
    folder = shutil.copytree(exported["pre"], tmp_path / "m")
    assert found_in(folder, "seal.json") == 25


def test_a_record_cannot_lose_its_hash_unnoticed(folder):
    path = folder / "manifest.json"
    for key in ("self_sha256", "log_sha256"):
        whole = path.read_bytes()
        path.write_bytes(whole.replace(key.encode(), key.replace("sha", "shb").encode()))
        assert "manifest.json" in verify(folder).changed
        path.write_bytes(whole)
    log = folder / "log.jsonl"
    log.write_text(log.read_text().replace('"n_failures": 0', '"n_failures": 7'))
    assert verify(folder).changed == ["log.jsonl"]
    with (
        pytest.raises(ResumeError, match="not what it was when the stage finished"),
        Sink(folder, Manifest("score", {"a": 1})),
    ):
        pass


def test_a_flip_that_makes_a_folder_look_unfinished_is_told_as_a_flip(folder):
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"complete": true', b'"comqlete": true'))
    assert verify(folder).changed == ["manifest.json"]


def test_a_flip_in_any_file_of_an_analysis_is_found(results):
    report = verify(results)
    assert report.changed == []
    files = sorted(p.relative_to(results).as_posix() for p in results.rglob("*") if p.is_file())
    assert report.n_files == len(files) - 1
    assert {"imprint.csv", "figures/figure3_coefficients.svg", "as_published/imprint.csv"} <= set(files)
    for name in files:
        assert found_in(results, name) == 25, name
    (results / "mine.txt").write_text("a user's own")
    assert verify(results).changed == []
    (results / "imprint.csv").unlink()
    assert verify(results).changed == ["imprint.csv"]


def test_an_analysis_that_cannot_be_verified_says_why(results, tmp_path):
    path = results / "results.json"
    whole = path.read_bytes()
    path.write_bytes(b'{"format": 1, "unfinished": ["imprint.csv"]}')
    with pytest.raises(InputError, match="was being written when that was stopped: run seal analyze again"):
        verify(results)
    for damaged in (whole[:-10], b"17", b'{"files": 3}'):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"results\.json is damaged"):
            verify(results)
    with pytest.raises(InputError, match="written by an earlier version, which kept no hashes"):
        verify(Path(__file__).parents[1] / "data" / "earlier" / "results")


@pytest.mark.parametrize("name", ["texts", "labels"])
def test_folders_of_an_earlier_version_still_verify(name):
    report = verify(Path(__file__).parents[1] / "data" / "earlier" / name)
    assert report.n_files > 1
    assert report.changed == []


def test_missing_cut_and_swapped_files_are_found(folder):
    first, second = folder / "part-00000.parquet", folder / "part-00001.parquet"
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    assert verify(folder).changed == [first.name, second.name]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    assert verify(folder).changed == [first.name, second.name]


def test_a_part_that_no_record_names_is_found(folder):
    shutil.copy(folder / "part-00000.parquet", folder / "part-00002.parquet")
    assert verify(folder).changed == ["part-00002.parquet"]


def test_an_unfinished_folder_is_refused(tmp_path):
    with Sink(tmp_path / "f", Manifest("score")) as sink:
        sink.commit(ROWS, FAILURES.empty(), last_row_id=2)
    with pytest.raises(InputError, match="is not finished: run the command that writes it again"):
        verify(tmp_path / "f")


@pytest.mark.parametrize("line", ['{"part": 0', "[]", '{"files": 3}', '{"files": {"x": {}}}', "\udcff", "3"])
def test_a_damaged_log_is_one_clear_error(folder, line):
    with (folder / "log.jsonl").open("ab") as log:
        log.write(line.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"log\.jsonl is damaged"):
        verify(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"identity": 3}', '{"identity": {}}', '{"identity": {"options": ["a"]}}']
)
def test_a_damaged_manifest_is_one_clear_error(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json is not a manifest of this program"):
        verify(folder)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds neither a commit log nor seal\.json nor"):
        verify(tmp_path)
    with pytest.raises(InputError, match="holds neither a commit log"):
        verify(tmp_path / "nowhere")


def test_an_exported_model(exported, tmp_path):
    folder = shutil.copytree(exported["pre"], tmp_path / "m")
    assert verify(folder).changed == []
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"x")
    (folder / "config.json").unlink()
    assert sorted(verify(folder).changed) == ["config.json", "model.onnx"]


def test_a_manifest_holds_identity_versions_and_machine(folder):
    document = read_manifest(folder)
    assert document["identity"] == Manifest("score", {"a": 1}).identity
    assert document["complete"] is True
    assert {"python", "polars"} <= document["versions"].keys()
    assert document["machine"]["cores"] >= 1


def test_differences_are_named_with_both_values():
    before = Manifest("score", {"limit": None, "part_pairs": 7}, {"texts": "a" * 64}, {"m": {"files": {}}})
    now = Manifest(
        "score", {"limit": 3, "part_pairs": 7}, {"texts": "b" * 64}, {"m": {"files": {}}, "n": {"x": 1}}
    )
    assert differences(before.identity, now.identity) == [
        f'inputs.texts: "{"a" * 11}…{"a" * 7}" there, "{"b" * 11}…{"b" * 7}" now',
        "models.n.x: nothing there, 1 now",
        "options.limit: null there, 3 now",
    ]
    assert differences(now.identity, now.identity) == []


def test_content_does_not_depend_on_the_place(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert content_hash(copy) == content_hash(folder)
    manifest = json.loads((copy / "manifest.json").read_text()) | {"written": "another day"}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert content_hash(copy) == content_hash(folder)


def test_a_folder_without_a_log_is_its_files(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    ROWS.write_parquet(folder / "a.parquet")
    before = content_hash(folder)
    ROWS.write_parquet(folder / "b.parquet")
    assert content_hash(folder) != before
    (folder / "manifest.json").write_text("[]")  # another program's
    content_hash(folder)


def test_what_the_log_names_when_finished(folder):
    assert sorted(logged_hashes(folder / "log.jsonl")) == [
        "failures.parquet", "part-00000.parquet", "part-00001.parquet",
    ]  # fmt: skip
