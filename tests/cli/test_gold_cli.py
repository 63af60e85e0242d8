"""`seal gold` on the command line: what it prints, JSON, exit codes."""

import json
from pathlib import Path

import polars as pl
import pytest

from seal.cli.main import main
from tests.support.frames import random_texts, write
from tests.support.gold import TAXONOMY, by_rule, exported, page_data, saved


def seal(line: str) -> int:
    return main(line.split())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(random_texts(50), tmp_path / "texts.parquet")
    (tmp_path / "taxonomy.toml").write_text(TAXONOMY, encoding="utf-8")
    assert seal("gold sample texts.parquet --pairs 12 --seed 3 --out gold") == 0
    assert seal("gold sheet gold --taxonomy taxonomy.toml --out sheet.html") == 0
    return tmp_path


def test_there_and_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert seal("gold sample texts.parquet --pairs 12 --seed 3 --out gold") == 0  # done already
    assert seal("gold sheet gold --taxonomy taxonomy.toml --out sheet.html") == 0
    said = capsys.readouterr().out.splitlines()
    assert said == ["12 of 50 pairs -> gold", "12 pairs, 84 questions -> sheet.html"]
    saved(exported(page_data(folder / "sheet.html"), n_pairs=9), folder / "ann.json")
    assert seal("gold read ann.json --gold gold --taxonomy taxonomy.toml --out labels") == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["gold: 9 of 12 pairs labeled", "18 rows + 0 failures -> labels"]
    assert shown.err.startswith("note: gold labeled 9 of 12 pairs.")
    assert pl.read_parquet(folder / "labels" / "part-00000.parquet").height == 18
    assert seal("verify labels") == 0
    manifest = json.loads((folder / "labels" / "manifest.json").read_text())
    assert manifest["command"][:2] == ["gold", "read"]


def test_labels_of_people_are_labels_for_every_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = page_data(folder / "sheet.html")
    saved(exported(data, "ann"), folder / "a.json")
    saved(
        exported(data, "bob", lambda response, question: by_rule(response + "x", question)), folder / "b.json"
    )
    assert seal("gold read a.json b.json --gold gold --taxonomy taxonomy.toml --out labels") == 0
    capsys.readouterr()
    assert seal("agreement labels --taxonomy taxonomy.toml --json") == 0
    table = json.loads(capsys.readouterr().out)
    assert {row["feature"] for row in table} >= {"last_response_is_long", "last_response_mood"}
    assert "inclusion_probability" not in {row["feature"] for row in table}


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert seal("gold sample texts.parquet --pairs 12 --seed 3 --out gold --json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "n_pairs": 50, "n_incomplete": 0, "n_drawn": 12, "strata": {"all": [12, 50]},
    }  # fmt: skip
    assert seal("gold sheet gold --taxonomy taxonomy.toml --out sheet.html --json") == 0
    assert json.loads(capsys.readouterr().out)["n_questions"] == 84
    saved(exported(page_data(folder / "sheet.html")), folder / "ann.json")
    words = "gold read ann.json --gold gold --taxonomy taxonomy.toml --out labels --labeler x --json"
    assert seal(words) == 0
    assert json.loads(capsys.readouterr().out)["n_pairs"] == {"x": 12}


def test_exit_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = exported(page_data(folder / "sheet.html"))
    document["texts"].pop()
    saved(document, folder / "half.json")
    words = "gold read half.json --gold gold --taxonomy taxonomy.toml --out labels"
    assert seal(words) == 3
    assert "8.3% of the rows failed" in capsys.readouterr().err
    assert seal(f"{words} --max-failures 0.2") == 0
    assert "failures: half_labeled 2" in capsys.readouterr().out
    assert seal("gold sample texts.parquet --pairs 51 --out more") == 2
    assert seal("gold sample texts.parquet --out more") == 2
    assert seal("gold sample texts.parquet --pairs 5 --out gold") == 1
    assert seal("gold sheet texts.parquet --out s.html") == 2
    assert seal("gold read half.json --gold labels --taxonomy taxonomy.toml --out o") == 1
    assert not (folder / "more").exists()


def test_strata_are_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = pl.when(pl.col("row_id") < 10).then(pl.lit("a")).otherwise(pl.lit("b"))
    texts = random_texts(50).with_columns(meta_kind=kind)
    write(texts, folder / "kinds.parquet")
    capsys.readouterr()
    assert seal("gold sample kinds.parquet --pairs 20 --strata meta_kind --out kinds") == 0
    assert capsys.readouterr().out.splitlines() == [
        "20 of 50 pairs -> kinds",
        "  a: 4 of 10",
        "  b: 16 of 40",
    ]
