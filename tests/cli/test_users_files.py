"""What a user put beside results is never deleted, overwritten or read as results."""

import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

import seal
from seal.engine.errors import InputError, ResumeError
from seal.engine.files import take_lock
from tests.support.kills import parquet_hashes
from tests.support.kills import seal as run_seal
from tests.support.places import DATA

MINE = "years of work"
FEATURES = "n_words,n_exclamations,n_questions"
LABEL = ("label", "texts", "--labeler", "computed", "--out", "labels", "--features", FEATURES,
         "--part-pairs", 20)  # fmt: skip
STRAYS = (
    "part-00000-edited.parquet",
    "failures-review.parquet",
    ".scratch.tmp",
    "notes.txt",
    "part-7.parquet",
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Texts, labels and results that this program wrote."""
    shutil.copytree(DATA / "earlier", tmp_path / "work")
    return tmp_path / "work"


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(MINE)


def left(folder: Path, *names: str) -> bool:
    return all((folder / name).read_text() == MINE for name in names)


def test_a_finished_stage_run_again_leaves_what_it_did_not_write(work: Path) -> None:
    put(work / "labels", *STRAYS)
    done = run_seal(*LABEL, cwd=work)
    assert done.returncode == 0, done.stderr
    assert left(work / "labels", *STRAYS)


def test_so_does_one_that_starts_afresh(work: Path) -> None:
    put(work / "labels", *STRAYS)
    done = run_seal(*LABEL, "--limit", 3, "--overwrite", cwd=work)
    assert done.returncode == 0, done.stderr
    assert left(work / "labels", *STRAYS)


def test_a_file_with_the_name_of_a_part_is_not_written_over(work: Path) -> None:
    (work / "new").mkdir()
    put(work / "new", "part-00000.parquet")
    done = run_seal(*LABEL[:4], "--out", "new", cwd=work)
    assert (done.returncode, "is not empty (part-00000.parquet)" in done.stderr) == (1, True)
    assert left(work / "new", "part-00000.parquet")


def test_a_folder_of_temporary_files_is_not_taken_over(work: Path) -> None:
    (work / "new").mkdir()
    put(work / "new", ".thesis.tmp")
    done = run_seal(*LABEL[:4], "--out", "new", cwd=work)
    assert (done.returncode, ".thesis.tmp" in done.stderr) == (1, True)
    assert left(work / "new", ".thesis.tmp")


def test_an_edited_copy_of_a_part_is_not_read_as_one(work: Path) -> None:
    before = seal.compare(work / "scores.parquet", texts=work / "texts").tables["alignment"]
    part = pl.read_parquet(work / "texts/part-00000.parquet")
    part.with_columns(source=pl.lit("edited")).write_parquet(work / "texts/part-00000-edited.parquet")
    after = seal.compare(work / "scores.parquet", texts=work / "texts").tables["alignment"]
    assert after.equals(before)


def test_a_lock_that_is_a_link_empties_no_file(work: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text(MINE)
    (work / "labels/.lock").symlink_to(tmp_path / "precious")
    done = run_seal(*LABEL, cwd=work)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (tmp_path / "precious").read_text() == MINE


def test_a_lock_is_held_once_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(MINE)
    held = take_lock(tmp_path / "lock")
    assert held is not None
    assert take_lock(tmp_path / "lock") is None
    held.close()
    again = take_lock(tmp_path / "lock")
    assert again is not None
    again.close()
    assert (tmp_path / "lock").read_text() == MINE


def analyze(work: Path, out: str) -> seal.Results:
    return seal.analyze(
        work / "scores.parquet", work / "people.parquet", seal.AnalyzeOptions("pre", "post"), out=work / out
    )


def test_an_analysis_takes_away_only_tables_that_one_wrote(work: Path) -> None:
    put(work / "results", "robustness.csv", "flips.csv", "paper.csv")
    analyze(work, "results")
    assert left(work / "results", "robustness.csv", "flips.csv", "paper.csv")


@pytest.mark.parametrize("name", ["results.json", "imprint.csv"])
def test_an_analysis_writes_over_nothing_that_none_wrote(work: Path, name: str) -> None:
    (work / "mine").mkdir()
    put(work / "mine", name)
    with pytest.raises(ResumeError, match=f"holds {name}, which no analysis wrote"):
        analyze(work, "mine")
    assert left(work / "mine", name)
    assert len(list((work / "mine").iterdir())) == 1


def test_an_analysis_that_was_killed_is_none_and_is_done_again(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seal.stats import results

    analyze(work, "whole")

    n_left, write_csv = 3, results.write_csv

    def killed(frame: pl.DataFrame, path: Path) -> Path:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise KeyboardInterrupt
        return write_csv(frame, path)

    monkeypatch.setattr(results, "write_csv", killed)
    with pytest.raises(KeyboardInterrupt):
        analyze(work, "fresh")
    monkeypatch.undo()
    with pytest.raises(InputError, match="was being written when that was stopped"):
        seal.report(work / "fresh")
    analyze(work, "fresh")
    assert {p.name for p in (work / "whole").iterdir()} == {p.name for p in (work / "fresh").iterdir()}


def test_a_report_replaces_reports_alone(work: Path) -> None:
    put(work, "precious.jsonl")
    with pytest.raises(ResumeError, match=r"precious\.jsonl is there and no report"):
        seal.report(work / "results", work / "precious.jsonl")
    assert left(work, "precious.jsonl")
    first = seal.report(work / "results", work / "report.html").html
    assert seal.report(work / "results", work / "report.html").html == first


def test_an_export_removes_an_export_alone(
    exported: dict[str, Path], checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(exported["pre"], tmp_path / "onnx")
    put(folder, "notes.txt")
    with pytest.raises(ResumeError, match=r"holds notes\.txt, which no export wrote"):
        seal.export(checkpoints["short"], folder, overwrite=True)
    assert left(folder, "notes.txt")
    assert seal.verify(folder).changed == []
    (folder / "notes.txt").unlink()
    (folder / "tuning.json").write_text("{}")
    seal.export(checkpoints["short"], folder, overwrite=True)
    assert not (folder / "tuning.json").exists()
    assert seal.verify(folder).changed == []


SETTINGS = """\
[run]
texts = "texts"
pre = "pre={pre}"
post = "post={post}"
labelers = ["computed"]
labels = ["people.parquet"]
[analyze]
labeler = "people"
"""


def test_a_run_leaves_strays_and_moves_what_was_edited_aside(work: Path, exported: dict[str, Path]) -> None:
    (work / "seal.toml").write_text(SETTINGS.format(pre=exported["pre"], post=exported["post"]))
    assert run_seal("run", "seal.toml", cwd=work).returncode == 0
    before = parquet_hashes(work / "out/scores/pre")
    put(work / "out/scores/pre", "notes.txt")
    put(work / "out/results", "thoughts.md")
    plan = json.loads(run_seal("run", "seal.toml", "--plan", "--json", cwd=work).stdout)
    assert {stage["state"] for stage in plan["stages"]} == {"done"}
    part = work / "out/scores/pre/part-00000.parquet"
    edited = part.read_bytes() + b"x"
    part.write_bytes(edited)
    done = run_seal("run", "seal.toml", cwd=work)
    assert done.returncode == 0, done.stderr
    assert parquet_hashes(work / "out/scores/pre") == before
    aside = work / "out/set-aside/pre-1"
    assert f"moved to {aside}" in done.stderr
    assert left(aside, "notes.txt")
    assert left(work / "out/results", "thoughts.md")
    assert (aside / "part-00000.parquet").read_bytes() == edited


def test_where_the_system_does_not_say_which_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    from seal.engine.frames.manifest import machine, usable_cores

    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == os.cpu_count()
    assert machine()["cores"] == os.cpu_count()


def test_onnxruntime_is_imported_with_its_telemetry_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from seal.engine.pooling.onnx import require

    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    require("a test")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
