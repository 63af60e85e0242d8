"""What others wrote reaches the terminal without its controls: names, keys, columns, replies of a server."""

import ast
import json
import re
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from rich.live import Live

from seal.cli.main import main
from seal.cli.options import put, say
from seal.cli.pipeline.display import Board
from seal.cli.pipeline.planning import Decision
from seal.cli.tables import console, print_table
from tests.support.decoders import make_decoder
from tests.support.frames import texts, write
from tests.support.hostile_servers import misbehaving
from tests.support.kills import ROOT

BAD = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil"
SHOWN = "⟨U+001B⟩]0;owned⟨U+0007⟩⟨U+001B⟩[2J⟨U+009B⟩31m⟨U+202E⟩evil"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def ended(*words: object) -> int:
    return main([str(word) for word in words])


def quiet(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, which has no control in it."""
    told = capsys.readouterr()
    assert not CONTROLS.search(told.out + told.err)
    return told.out + told.err


def test_a_file_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"{BAD}.jsonl"
    assert ended("import", file, "--out", tmp_path / "out") == 2  # click's own error, in escapes of its own
    assert "evil.jsonl" in quiet(capsys)
    file.write_text('{"a": 1}\n')
    assert ended("import", file, "--out", tmp_path / "out") == 1
    assert SHOWN in quiet(capsys)
    file.write_text(json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"}) + "\n")
    assert ended("import", file, "--out", tmp_path / BAD) == 0
    assert ended("verify", tmp_path / BAD) == 0
    assert SHOWN in quiet(capsys)


def test_an_option_and_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("import", f"--{BAD}") == 2
    assert "evil" in quiet(capsys)
    assert ended(BAD) == 2
    assert "evil" in quiet(capsys)


def test_a_key_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({BAD: 1}) + "\n")
    assert ended("import", tmp_path / "a.jsonl", "--out", tmp_path / "out") == 1
    assert SHOWN in quiet(capsys)


def test_a_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seal.toml").write_text(f"[label]\n{json.dumps(BAD)} = 1\n")
    assert ended("--config", tmp_path / "seal.toml", "verify", tmp_path) == 2
    assert SHOWN in quiet(capsys)


def test_a_model_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"model_type": BAD, "architectures": [f"{BAD}ForSequenceClassification"], "num_labels": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    assert ended("export", tmp_path, "--out", tmp_path / "onnx") == 1
    assert SHOWN in quiet(capsys)


def test_a_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_decoder(tmp_path / "d", template=f"{{{{ raise_exception({json.dumps(BAD)}) }}}}")
    path = write(texts(["a", "a"], ["b", "c"]), tmp_path / "texts.parquet")
    how = ("--backend", "transformers", "--device", "cpu", "--out", tmp_path / "out")
    assert ended("label", path, "--labeler", folder, *how) == 1
    assert f"its chat template failed: {SHOWN}" in quiet(capsys)


def test_a_stage_on_the_board_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    with Live(console=Console(force_terminal=False)) as live:
        for shown in (Board(["labels"]), Board(["labels"], live)):
            shown.begin("labels", Decision("again", f"option max-tokens changed {BAD} -> 5"))
            shown.note("labels", BAD)
            shown.skip("labels", BAD)
            shown.quiet()
    assert quiet(capsys).count(SHOWN) >= 4


def test_models_of_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(texts(["a", "a"], ["b", "c"]), tmp_path / "texts.parquet")
    with misbehaving(lambda h, _: h.send(403, BAD.encode())) as server:
        server.models = [BAD, "tiny"]
        assert ended("label", path, "--labeler", server.url, "--out", tmp_path / "out") == 2
        assert SHOWN in quiet(capsys)
        assert ended("label", path, "--labeler", f"m={server.url}#tiny", "--out", tmp_path / "out") == 1
        assert SHOWN in quiet(capsys)


def test_labelers_and_features_in_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {"row_id": [0, 0, 1, 1], "preference": ["chosen", "rejected"] * 2, "variant": ["original"] * 4}
    for i, labeler in enumerate((f"a{BAD}", "b")):
        frame = pl.DataFrame({**keys, "labeler": [labeler] * 4, f"is_{BAD}": [True, False, i == 0, True]})
        frame.write_parquet(tmp_path / f"{i}.parquet")
    out = tmp_path / "out"
    assert ended("agreement", tmp_path / "0.parquet", tmp_path / "1.parquet", "--out", out) == 0
    assert "evil" in quiet(capsys)
    for file in out.glob("*.csv"):
        assert not CONTROLS.search(file.read_text())
    print_table(console(), BAD, pl.DataFrame({BAD: ["[red]x", BAD]}), [BAD])
    told = quiet(capsys)
    assert SHOWN in told
    assert "[red]x" in told


def test_a_line_keeps_its_ends_and_its_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    put(f"a   b\n\tc {BAD}")
    say("a\r\nb")
    told = capsys.readouterr()
    assert told.out == f"a   b\n\tc {SHOWN}\n"
    assert told.err == "a\nb\n"


def test_nothing_prints_past_what_makes_text_visible() -> None:
    """Commands print through `put`, `say` and the tables; whoever adds another way must look at its text."""
    printing = {}
    for path in sorted((ROOT / "cli").rglob("*.py")):
        calls = [
            ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)
        ]
        odd = {
            c
            for c in calls
            if c in ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write")
        }
        if odd:
            printing[path.relative_to(ROOT).as_posix()] = odd
    own = {"cli/streams.py": {"print"}}  # the system's words on a stream that is full
    assert printing == {"cli/options.py": {"click.echo"}} | own
