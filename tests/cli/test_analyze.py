"""`seal analyze` as a user types it: files in, tables and files out, every mistake one line."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.statistics_worlds import frames, world
from seal.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world in the folders that the other stages write, failures beside parts."""
    root = tmp_path_factory.mktemp("world")
    w = world(1200, seed=3)
    rng = np.random.default_rng(0)
    values = w.values[:500].copy()
    values[:, :, 2:5] = np.where(rng.random((500, 2, 3)) < 0.2, 1 - values[:, :, 2:5], values[:, :, 2:5])
    again = frames(values, w.rewards[:, :500] + rng.normal(size=(2, 500, 2)), variant="rewritten")
    noisy = w.labels.with_columns(labeler=pl.lit("=noisy"))
    words = w.labels.select(
        "row_id", "preference", "variant", labeler=pl.lit("computed"), n_words=pl.int_range(pl.len())
    )
    tables = {
        "scores": w.scores, "labels": w.labels, "texts": w.texts, "noisy": noisy, "computed": words,
        "rscores": again[0], "rlabels": again[1], "rtexts": again[2],
    }  # fmt: skip
    for name, table in tables.items():
        (root / name).mkdir()
        half = table.height // 2
        table[:half].write_parquet(root / name / "part-00000.parquet")
        table[half:].write_parquet(root / name / "part-00001.parquet")
        pl.DataFrame({"stage": ["x"], "error": ["y"]}).write_parquet(root / name / "failures.parquet")
    return root


def analyze(folder: Path, out: Path, *more: str, labels: Sequence[str] = ("labels",)) -> int:
    where = [x for name in labels for x in ("--labels", str(folder / name))]
    texts = ["--texts", str(folder / "texts"), "--scores", str(folder / "scores")]
    return main(["analyze", *texts, *where, "--pre", "pre", "--post", "post", "--out", str(out), *more])


def test_tables_for_people_files_for_programs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten = [x for n in ("texts", "scores", "labels") for x in (
        f"--rewritten-{n}" if n != "texts" else "--rewritten", str(folder / f"r{n}"))]  # fmt: skip
    assert analyze(folder, tmp_path / "out", *rewritten, "--figures", "--as-published") == 0
    said = capsys.readouterr()
    for title in (
        "Alignment",
        "Regimes",
        "Feature imprint (Eq. 1)",
        "Reward shift",
        "resistance",
        "robustness",
    ):
        assert title in said.out
    assert "last_response_is_harmless" in said.out
    assert "ruler: longer" in said.out
    assert "note: robustness: 500 pairs were rewritten" in said.err
    names = {p.name for p in (tmp_path / "out").iterdir()}
    expected = (
        "alignment regimes profile imprint imprint_chosen shift resistance robustness vif labelers tests"
    )
    assert {f"{n}.csv" for n in expected.split()} | {"results.json", "figures", "as_published"} <= names
    assert len(list((tmp_path / "out" / "figures").iterdir())) == 8
    assert (tmp_path / "out" / "as_published" / "robustness.csv").exists()


def test_json_on_stdout_is_the_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert analyze(folder, tmp_path, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    hashes = written.keys() - printed.keys()
    assert hashes == {"files", "self_sha256"}
    assert printed == {key: value for key, value in written.items() if key not in hashes}
    assert printed["options"]["targets"] == ["last_response_is_harmless", "last_response_is_helpful"]
    assert len(printed["tables"]["imprint"]) == 18


def test_options_reach_the_estimates(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--covariates", "n_words", "--sentiment", "categories", "--ties", "drop", "--theta", "unsigned",
        "--adjust", "bh", "--level", "0.9", "--profile", "pareto", "--targets", "last_response_is_helpful",
        "--max-vif", "50", "--labeler", "truth", "--json",
    ]  # fmt: skip
    assert analyze(folder, tmp_path, *options, labels=("labels", "noisy", "computed")) == 0
    found = json.loads(capsys.readouterr().out)
    terms = {r["term"] for r in found["tables"]["imprint"]}
    assert {"n_words", "last_response_sentiment=positive", "last_response_sentiment=negative"} <= terms
    assert min(r["theta_from"] for r in found["tables"]["theta_histogram"]) >= 0
    assert {"truth", "=noisy"} == {
        r[k] for r in found["tables"]["labelers"] for k in ("labeler_a", "labeler_b")
    }
    assert "'=noisy" in (tmp_path / "labelers.csv").read_text(encoding="utf-8")
    assert found["options"]["adjust"] == "bh"


def test_wider_designs_from_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crossed = ["--interactions", "last_response_is_helpful:source", "--fixed-effects", "source", "--json"]
    assert analyze(folder, tmp_path, *crossed) == 0
    terms = [r["term"] for r in json.loads(capsys.readouterr().out)["tables"]["imprint"]]
    assert "last_response_is_helpful:source=source1" in terms
    assert analyze(folder, tmp_path, "--cluster", "source", "--json") == 0
    assert any("clustered by source" in n for n in json.loads(capsys.readouterr().out)["notes"])


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (["--pre", "nobody"], 2, "no scores of 'nobody'; there are: post, pre"),
        (["--pre", "post"], 2, "same model"),
        (["--labeler", "x"], 2, "no labeler 'x'"),
        (["--targets", "last_response_is_kind"], 1, "choose targets with --targets"),
        (["--covariates", "n_words"], 1, "no labels hold the numeric features n_words"),
        (["--level", "95"], 2, "95.0 is not in the range 0<x<1"),
        (["--max-vif", "0.5"], 2, "0.5 is not in the range x>1"),
        (["--interactions", "helpful"], 2, "is not FEATURE:COLUMN"),
        (["--fixed-effects", "row_id"], 2, "always in Eq. 1"),
        (["--cluster", "meta_x"], 1, "no column 'meta_x'"),
        (["--gold", "gpt"], 1, "no labeler 'gpt' to take as gold"),
        (["--rewritten-scores", "{folder}/rscores"], 2, "both the scores and the labels"),
        (["--rewritten", "{folder}/rtexts"], 2, "rewritten comes with"),
        (["--similarities", "{folder}/rtexts"], 1, "no column 'embedder'"),
        (["--labels", "{folder}/texts"], 1, "no column 'labeler'"),
        (["--labels", "{folder}/labels"], 1, "stands in two of the labels"),
        (["--scores", "{folder}/scores"], 1, "twice"),
        (["--scores", "{folder}/nowhere"], 1, "nowhere is neither a Parquet file nor a folder"),
        (["--as-published", "--targets", "last_response_is_helpful"], 2, "as-published needs two targets"),
        (["--ties", "maybe"], 2, "maybe"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, text: str
) -> None:
    assert analyze(folder, tmp_path, *(m.format(folder=folder) for m in more)) == code
    said = capsys.readouterr()
    assert text in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_several_labelers_need_a_choice(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(folder, tmp_path, labels=("labels", "noisy")) == 2
    assert "several labelers (truth, =noisy); choose one with labeler" in capsys.readouterr().err


def test_help_is_quick() -> None:
    code = "import sys; from seal.cli.main import main; sys.exit(main(['analyze', '--help']))"
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - start)
    assert "--fixed-effects" in done.stdout
    assert best < 1.5  # half a second on a machine of its own; tests share theirs
