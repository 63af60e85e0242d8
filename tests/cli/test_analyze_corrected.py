"""`seal analyze` with gold labels, as a user types it."""

from pathlib import Path

import polars as pl
import pytest

from seal.cli.main import main
from tests.support.gold_world import gold_world


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gold")
    w = gold_world(1500, 200, seed=2)
    for name, frame in (("scores", w.scores), ("labels", w.labels), ("people", w.gold)):
        frame.write_parquet(root / f"{name}.parquet")
    return root


def analyze(folder: Path, *more: str, people: bool = True) -> int:
    labels = ["--labels", str(folder / "labels.parquet")]
    labels += ["--labels", str(folder / "people.parquet"), "--gold", "people"] if people else []
    scores = ["--scores", str(folder / "scores.parquet"), "--pre", "pre", "--post", "post"]
    return main(["analyze", *scores, *labels, *more])


def test_the_corrected_imprint_is_printed_and_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(folder, "--out", str(tmp_path / "out")) == 0
    said = capsys.readouterr()
    assert "Feature imprint corrected for label errors" in said.out
    assert "naive estimate" in said.out
    assert "note: corrected for label errors of model (rectified) by 200 gold pairs of people" in said.err
    table = pl.read_csv(tmp_path / "out" / "imprint_corrected.csv")
    assert table["n_gold"].unique().to_list() == [200]
    assert (tmp_path / "out" / "label_errors.csv").exists()


def test_what_was_asked_for_by_name_and_cannot_be_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert analyze(folder, *out, "--correct", "rectified", people=False) == 2
    assert "correct rectified: no gold labels" in capsys.readouterr().err
    assert analyze(folder, *out, people=False) == 0
    assert "note: not corrected for label errors; attenuated or worse" in capsys.readouterr().err
    assert not (tmp_path / "out" / "imprint_corrected.csv").exists()
