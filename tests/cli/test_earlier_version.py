"""Folders that version 0.1.0 wrote are read, gone on with, or refused by name; never misread.

`tests/data/earlier` was written by that version: `seal import --part-rows 20`, `seal label --labeler computed
--part-rows 20`, `seal analyze`. Its manifests say `part_rows`, which is called `part_pairs` now, and none of
its records holds a command.
"""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

import seal
from seal.engine.frames.folder import StageFolder
from tests.support.kills import parquet_hashes
from tests.support.kills import seal as run_seal
from tests.support.places import DATA

FEATURES = "n_words,n_exclamations,n_questions"
IMPORT = ("import", "pairs.jsonl", "--out", "texts", "--max-failures", 1)
LABEL = ("label", "texts", "--labeler", "computed", "--out", "labels", "--features", FEATURES)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    shutil.copytree(DATA / "earlier", tmp_path / "earlier")
    return tmp_path / "earlier"


def cut(folder: Path) -> None:
    """What a kill would have left: one part is logged, the next is there but not logged."""
    log = folder / "log.jsonl"
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    for part in sorted(folder.glob("part-*.parquet"))[2:]:
        part.unlink()


@pytest.mark.parametrize("option", ["--part-pairs", "--part-rows"])
@pytest.mark.parametrize(("command", "folder"), [(IMPORT, "texts"), (LABEL, "labels")])
def test_a_finished_folder_stands(
    earlier: Path, command: tuple[object, ...], folder: str, option: str
) -> None:
    before = parquet_hashes(earlier / folder)
    done = run_seal(*command, option, 20, cwd=earlier)
    assert done.returncode == 0, done.stderr
    assert parquet_hashes(earlier / folder) == before


@pytest.mark.parametrize(("command", "folder"), [(IMPORT, "texts"), (LABEL, "labels")])
def test_a_folder_that_was_cut_is_gone_on_with(
    earlier: Path, command: tuple[object, ...], folder: str
) -> None:
    before = parquet_hashes(earlier / folder)
    cut(earlier / folder)
    done = run_seal(*command, "--part-pairs", 20, cwd=earlier)
    assert done.returncode == 0, done.stderr
    assert parquet_hashes(earlier / folder) == before
    again = StageFolder.open(earlier / folder)
    assert again is not None
    assert again.command == (*map(str, command), "--part-pairs", "20")


def test_another_size_of_parts_is_refused_by_name(earlier: Path) -> None:
    done = run_seal(*LABEL, "--part-pairs", 7, cwd=earlier)
    assert done.returncode == 1
    assert "options.part_pairs: 20 there, 7 now" in done.stderr


def test_its_records_are_read(earlier: Path) -> None:
    for folder in ("texts", "labels"):
        assert seal.verify(earlier / folder).changed == []
    found = StageFolder.open(earlier / "texts")
    assert found is not None
    assert found.identity["options"]["part_pairs"] == 20
    assert found.command is None


def test_its_results_become_a_report(earlier: Path) -> None:
    report = seal.report(earlier / "results", earlier / "report.html")
    page = report.path.read_text(encoding="utf-8")
    assert "part_rows" not in page
    assert report.missing == ()


def test_it_is_analyzed_as_that_version_did(earlier: Path) -> None:
    """Counts, shares and coefficients are that version's; errors on few pairs and units of `_std` are not."""
    new = seal.analyze(
        earlier / "scores.parquet",
        [earlier / "labels", earlier / "people.parquet"],
        seal.AnalyzeOptions(
            "pre", "post", labeler="people", covariates=("n_words", "n_exclamations"), theta_origin="raw"
        ),
        texts=earlier / "texts",
    )
    old = json.loads((earlier / "results/results.json").read_text(encoding="utf-8"))["tables"]
    found = {name: json.loads(json.dumps(frame.to_dicts())) for name, frame in new.tables.items()}
    assert set(old) < set(found)
    for name in set(old) - {"imprint", "imprint_chosen", "shift", "tests"}:
        assert found[name] == old[name], name
    for name in ("imprint", "imprint_chosen", "shift"):
        key = [c for c in ("model", "outcome", "preference", "term") if c in old[name][0]]
        estimates = {tuple(r[c] for c in key): r["estimate"] for r in found[name]}
        for row in old[name]:
            assert estimates[tuple(row[c] for c in key)] == pytest.approx(row["estimate"], rel=1e-9), name
    assert isinstance(new.tables["imprint"], pl.DataFrame)
