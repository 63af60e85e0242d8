"""`seal analyze`, then `seal report`, as a user types them: one file, every mistake one line."""

import json
from pathlib import Path

import polars as pl
import pytest

from benchmarks.statistics_worlds import world
from seal.cli.main import main
from tests.support.pages import parse


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, scores and labels of a world, analysed into `results`."""
    root = tmp_path_factory.mktemp("world")
    w = world(500, seed=3)
    for name, table in {"texts": w.texts, "scores": w.scores, "labels": w.labels}.items():
        (root / name).mkdir()
        table.write_parquet(root / name / "part-00000.parquet")
    where = [x for n in ("texts", "scores", "labels") for x in (f"--{n}", str(root / n))]
    assert main(["analyze", *where, "--pre", "pre", "--post", "post", "--out", str(root / "results")]) == 0
    return root


def test_results_say_where_their_inputs_are(folder: Path) -> None:
    inputs = json.loads((folder / "results" / "results.json").read_text(encoding="utf-8"))["inputs"]
    assert [(x["role"], x["path"]) for x in inputs] == [
        ("texts", "../texts"), ("scores", "../scores"), ("labels", "../labels"),
    ]  # fmt: skip
    assert all(len(x["sha256"]) == 64 for x in inputs)


def test_a_report_with_everything(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "report.html"
    command = ["report", str(folder / "results"), "--out", str(out), "--title", "A <title>", "--pairs", "3"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "missing:" not in said.err
    assert str(out) in said.err
    assert said.out == ""
    page = parse(out.read_text(encoding="utf-8"))
    assert page.find("h1")[0].text == "A <title>"
    assert len(page.find("details", class_="pair")) == 3
    assert list(out.parent.iterdir()) == [out]


def test_truth_and_another_analysis_beside(folder: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("model,term,planted\npre,last_response_is_helpful,0.5\n", encoding="utf-8")
    out = tmp_path / "r.html"
    beside = ["--truth", str(truth), "--beside", str(folder / "results"), "--beside-name", "true labels"]
    assert main(["report", str(folder / "results"), "--out", str(out), *beside]) == 0
    (section,) = parse(out.read_text(encoding="utf-8")).find("section", id="beside")
    assert "1 of 1 intervals hold the planted value" not in section.text  # one pair makes no sentence
    assert "18 of 18 intervals hold the estimate of true labels" in section.text
    assert "Beside the planted truth" in section.text


def test_what_is_missing_is_said_and_no_failure(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    content = (folder / "results" / "results.json").read_bytes()
    (tmp_path / "results" / "results.json").write_bytes(content)
    command = ["report", str(tmp_path / "results"), "--out", str(tmp_path / "r.html")]
    assert main(command) == 0
    assert "missing: scores (../scores): is not there" in capsys.readouterr().err
    found = [x for n in ("texts", "scores", "labels") for x in ("--stage", str(folder / n))]
    assert main([*command, *found]) == 0
    assert "missing:" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (["{folder}/nowhere", "--out", "{tmp}/r.html"], 1, "results.json cannot be read"),
        (["{folder}/results"], 2, "--out"),
        (["{folder}/results", "--out", "{tmp}/r.html", "--beside-name", "x"], 2, "give both"),
        (["{folder}/results", "--out", "{tmp}/r.html", "--truth", "{tmp}/no.csv"], 1, "no.csv"),
        (
            ["{folder}/results", "--out", "{tmp}/r.html", "--beside", "{tmp}"],
            1,
            "results.json cannot be read",
        ),
        (["{folder}/results", "--out", "{tmp}/r.html", "--pairs", "-1"], 2, "--pairs"),
        (["{folder}/results", "--out", "{folder}/results/results.json/r.html"], 1, "cannot write"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, text: str
) -> None:
    assert main(["report", *(m.format(folder=folder, tmp=tmp_path) for m in more)]) == code
    said = capsys.readouterr()
    assert text in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "r.html").exists()


def test_the_record_moves_with_the_folders(folder: Path, tmp_path: Path) -> None:
    for name in ("texts", "scores", "labels", "results"):
        (tmp_path / name).mkdir()
        for file in (folder / name).iterdir():
            if file.is_file():
                (tmp_path / name / file.name).write_bytes(file.read_bytes())
    for root in (folder, tmp_path):
        assert main(["report", str(root / "results"), "--out", str(root / "same.html")]) == 0
    assert (folder / "same.html").read_bytes() == (tmp_path / "same.html").read_bytes()


def test_scores_in_one_file(folder: Path, tmp_path: Path) -> None:
    pl.read_parquet(folder / "scores" / "part-00000.parquet").write_parquet(tmp_path / "s.parquet")
    where = ["--scores", str(tmp_path / "s.parquet"), "--labels", str(folder / "labels")]
    names = ["--pre", "pre", "--post", "post", "--out", str(tmp_path / "results")]
    assert main(["analyze", *where, *names]) == 0
    assert main(["report", str(tmp_path / "results"), "--out", str(tmp_path / "r.html")]) == 0
    assert "shown by number only" in (tmp_path / "r.html").read_text(encoding="utf-8")
