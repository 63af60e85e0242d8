"""Records of no known format, whose columns are named: strings, message lists, whole conversations."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from seal.cli.main import main
from seal.engine.datasets.importing import import_texts
from seal.engine.datasets.options import ImportOptions
from seal.engine.errors import InputError
from seal.engine.frames.schema import TEXTS, scan

pytestmark = pytest.mark.usefixtures("fast_disk")

USER, GOOD, BAD = (
    {"role": role, "content": said}
    for role, said in (("user", "Why?"), ("assistant", "a"), ("assistant", "b"))
)
RENDERED = ("\n\nHuman: Why?\n\n", ["Assistant: a", "Assistant: b"])
NAMED = ImportOptions(prompt="question", chosen="good", rejected="bad")
WITHOUT = ImportOptions(chosen="good", rejected="bad")


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


@pytest.mark.parametrize(
    ("record", "options", "expected"),
    [
        ({"question": "Why?", "good": "a", "bad": "b"}, NAMED, ("Why?", ["a", "b"])),
        ({"question": [USER], "good": [GOOD], "bad": [BAD]}, NAMED, RENDERED),
        ({"question": [USER], "good": "a", "bad": "b"}, NAMED, RENDERED),
        ({"question": "Why?", "good": [GOOD], "bad": [BAD]}, NAMED, RENDERED),
        ({"good": [USER, GOOD], "bad": [USER, BAD]}, WITHOUT, RENDERED),
        (
            {"good": "\n\nHuman: Why?\n\nAssistant: a", "bad": "\n\nHuman: Why?\n\nAssistant: b"}, WITHOUT,
            RENDERED,
        ),
    ],
)  # fmt: skip
def test_the_named_columns_are_read(
    record: dict[str, Any], options: ImportOptions, expected: tuple[str, list[str]], tmp_path: Path
) -> None:
    report = import_texts(write(tmp_path / "d.jsonl", record | {"note": 1}), tmp_path / "out", options)
    assert report.formats == {"d.jsonl": "columns"}
    texts = scan(tmp_path / "out", TEXTS).collect()
    assert texts["prompt"].to_list() == [expected[0]] * 2
    assert texts["response"].to_list() == expected[1]


def test_malformed_records_are_failures_that_name_the_column(tmp_path: Path) -> None:
    good = {"question": "Why?", "good": "a", "bad": "b"}
    changes: list[dict[str, Any]] = [{}, {"good": None}, {"bad": 3}, {"question": 3}, {"good": ""}]
    source = write(tmp_path / "d.jsonl", *(good | change for change in changes))
    report = import_texts(source, tmp_path / "out", NAMED)
    assert report.n_pairs == 1
    failed = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert failed["detail"].to_list() == [
        "d.jsonl:2: 'good' is null",
        "d.jsonl:3: 'bad' is a number; a string or a list of messages is needed",
        "d.jsonl:4: 'question' is a number; a string is needed",
        "d.jsonl:5: 'chosen' is empty; both responses need text",
    ]


def test_strings_without_a_prompt_have_to_be_transcripts(tmp_path: Path) -> None:
    source = write(tmp_path / "d.jsonl", {"good": "The sky is blue.", "bad": "The sky is green."})
    assert import_texts(source, tmp_path / "out", WITHOUT).failures == {"no_assistant_turn": 1}


def test_a_column_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    source = write(tmp_path / "d.jsonl", {"good": "a", "bad": "b"})
    with pytest.raises(
        InputError, match="no such column as 'question' in the first 100 records; here are bad, g"
    ):
        import_texts(source, tmp_path / "out", NAMED)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d.csv").write_text("question,good,bad\nWhy?,a,b\nHow?,c,\n")
    words = ["import", str(tmp_path / "d.csv"), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error == (
        f"seal: {tmp_path / 'd.csv'} is of no known format: its columns are question, good, bad; the options "
        "prompt, chosen and rejected name its columns, format its format\n"
    )
    assert main([*words, "--prompt", "question", "--chosen", "good"]) == 2
    assert "chosen and rejected together" in capsys.readouterr().err
    named = ["--prompt", "question", "--chosen", "good", "--rejected", "bad", "--max-failures", "0.5"]
    assert main([*words, *named]) == 0
    assert scan(tmp_path / "out", TEXTS).collect()["response"].to_list() == ["a", "b"]
