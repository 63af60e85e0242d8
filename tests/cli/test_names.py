"""Names of models, labelers, rewriters and embedders cannot leave their folder, nor break a terminal."""

import json
from pathlib import Path

import pytest

from seal.cli.main import main

BAD = (
    "..", ".", "../x", "a/../../x", "/tmp/x", "a/b", "a\\b", "..\\x", "~", "~root", "-x", "--out", "a b",
    "a\tb", "a\nb", "a\x1b[2J", "a\u202eb", "a\u2215b", "\uff0e\uff0e", ".hidden", "", "a:b", "a*b", "a?b",
    "a|b", "a<b", 'a"b', "$HOME", "`id`", "%2e%2e", "a%b", "a,b", "a;b", "a\x7fb", "\u00e4", "a\udcffb",
)  # fmt: skip
"""What no name may be: ways out of a folder, options, controls, twins of signs, what shells read."""
ASKED = {
    "score": ("score", "texts", "--model"),
    "label": ("label", "texts", "--labeler"),
    "rewrite": ("rewrite", "texts", "--rewriter"),
    "similarity": ("similarity", "texts", "texts", "--embedder"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "inner" / "own"
    (work / "model").mkdir(parents=True)
    (work / "texts").mkdir()
    (work / "pairs.jsonl").write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    monkeypatch.chdir(work)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("command", ASKED)
def test_a_name_that_is_none_is_refused_and_nothing_written(
    command: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = files(here)
    for name in BAD:
        assert main([*ASKED[command], f"{name}=model", "--out", "out"]) in (1, 2), name
        said = capfd.readouterr().err
        assert "Traceback" not in said
        assert "\x1b" not in said
        assert files(here) == before, name


@pytest.mark.parametrize("key", ["pre", "post", "labelers", "rewriter", "embedder"])
def test_so_is_one_of_a_run(key: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    named = {"pre": "pre=model", "post": "post=model", "labelers": "computed"}
    for name in BAD:
        if "\udcff" in name:
            continue  # no TOML file can hold it
        text = {**named, key: f"{name}=model"}
        lines = [f"{k} = {_quoted([v] if k == 'labelers' else v)}" for k, v in text.items()]
        Path("seal.toml").write_text(
            "\n".join(["[run]", 'sources = "pairs.jsonl"', *lines]), encoding="utf-8"
        )
        before = files(here)
        assert main(["run"]) in (1, 2), name
        said = capfd.readouterr().err
        assert "Traceback" not in said
        assert files(here) - before <= {"inner/own/out"}, name
        assert not any("out/" in path for path in files(here)), name


def _quoted(value: object) -> str:
    return json.dumps(value)
