"""`seal import` as a user meets it: the table, the exit codes, one line an error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seal.cli import registry
from seal.cli.commands.import_ import command
from seal.cli.main import main
from seal.engine.datasets.options import ImportOptions

GOOD = {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """98 pairs, a line that is no JSON and one without a side."""
    lines = [json.dumps(GOOD)] * 98 + ["{", '{"chosen": "a"}']
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    return tmp_path / "d.jsonl"


def test_the_table_and_the_exit_code(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(source), "--out", str(tmp_path / "out")]) == 3
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert rows == [
        ["pairs", "in", "100"], ["pairs", "out", "98"], ["ties", "0"], ["failed", "2"], ["bad_json", "1"],
        ["missing_field", "1"],
    ]  # fmt: skip
    assert "import: 100 pairs" in err
    last = err.splitlines()[-1]
    assert last.startswith("seal: 2.0% of the rows failed")
    assert "failures.parquet" in last
    again = ["import", str(source), "--out", str(tmp_path / "out"), "--max-failures", "0.02"]
    assert main(again) == 0


def test_json_is_data_on_stdout(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["import", str(source), "--out", str(tmp_path / "out"), "--limit", "98", "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {
        "out": str(tmp_path / "out"), "formats": {"d.jsonl": "hh"}, "n_records": 98,
        "n_compared": 98, "n_pairs": 98, "n_ties": 0, "n_failures": 0, "n_other_splits": 0, "failures": {},
    }  # fmt: skip


def test_settings_come_from_the_file_the_environment_and_the_flags(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "COMMANDS", ("import",))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seal.toml").write_text("[import]\nlimit = 7\nmeta = ['chosen']\n")
    base = ["import", str(source), "--json", "--out"]
    assert main([*base, "from_file"]) == 0
    assert json.loads(capsys.readouterr().out)["n_pairs"] == 7
    monkeypatch.setenv("SEAL_IMPORT_LIMIT", "5")
    assert main([*base, "from_environment"]) == 0
    assert json.loads(capsys.readouterr().out)["n_pairs"] == 5
    assert main([*base, "from_flag", "--limit", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["n_pairs"] == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.jsonl", "--out", "o"], 2, "does not exist"),
        (["d.jsonl"], 2, "--out"),
        (["--out", "o"], 2, "SRC"),
        (["d.jsonl", "--out", "o", "--format", "xml"], 2, "'xml' is not one of 'auto'"),
        (["d.jsonl", "--out", "o", "--limit", "0"], 2, "--limit"),
        (["d.jsonl", "d.jsonl", "--out", "o"], 2, "named twice"),
        (["d.jsonl", "--out", "o", "--split", "dev"], 1, "no file"),
        (["d.jsonl", "--out", "o", "--meta", "nope"], 1, "no such column"),
        (["other.jsonl", "--out", "o"], 1, "no known format"),
        (["empty.jsonl", "--out", "o"], 1, "holds no records"),
        (["d.jsonl", "--out", "taken"], 1, "is not empty"),
        (["d.jsonl", "--out", "other.jsonl"], 2, "is a file"),
    ],
)
def test_a_mistake_is_a_line_and_an_exit_code(
    arguments: list[str],
    code: int,
    words: str,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(source.parent)
    Path("other.jsonl").write_text('{"a": 1}\n')
    Path("empty.jsonl").write_text("")
    Path("taken").mkdir()
    Path("taken/notes.txt").write_text("mine")
    assert main(["import", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    if code == 1:
        assert err.startswith("seal: ")
        assert err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; run as another user")
def test_a_read_only_folder_is_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert main(["import", str(source), "--out", str(tmp_path / "locked" / "out")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_second_writer_and_another_run_are_told_apart(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="needs a POSIX system")
    base = ["import", str(source), "--out", str(tmp_path / "out"), "--max-failures", "1"]
    assert main(base) == 0
    assert main([*base, "--max-chars", "5000"]) == 1
    assert "options.max_chars: 1000000 there, 5000 now" in capsys.readouterr().err
    with (tmp_path / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(base) == 1
    assert "being written by another process" in capsys.readouterr().err
    assert main([*base, "--max-chars", "5000", "--overwrite"]) == 0


def test_the_defaults_are_those_of_the_function() -> None:
    defaults = {p.name: p.default for p in command.params}
    options = ImportOptions()
    for name in ("format", "max_chars", "part_pairs"):
        assert defaults[name] == getattr(options, name)


def test_help_needs_no_polars() -> None:
    call = "main(['import', '-h'])"
    code = f"import sys; from seal.cli.main import main; {call}; sys.exit('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "helpsteer3" in done.stdout
