"""The API key of a server stands in no file, log, error or event, whatever the server says."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from seal.cli.main import main
from tests.engine.generation.test_secret import FORMS, KEY
from tests.support.frames import texts, write
from tests.support.hostile_servers import Handler, misbehaving, saying

WAYS = {
    "an error": lambda h, said: h.send(400, {"error": {"message": said}}),
    "an error as it is": lambda h, said: h.send(422, f"<p>{said}</p>".encode()),
    "an answer": lambda h, said: h.send(200, saying(f"your key: {said}")),
    "a reason": lambda h, said: h.send(
        200, {"choices": [{"message": {"content": ""}, "finish_reason": f"key {said}"}]}
    ),
    "a long error": lambda h, said: h.send(400, (" " * 65_000 + said + " " * 65_000).encode()),
}
LEAST = 9
"""So many characters of the key in a row are a leak."""


def label(path: Path, out: Path, url: str, *more: str) -> int:
    given = ("label", path, "--labeler", f"m={url}", "--out", out, "--retries", 0, "--patience", 0, *more)
    return main([str(word) for word in (*given, "--api-key", KEY, "--max-failures", 1)])


def heard(handler: Handler) -> str:
    """The key as the server got it."""
    return handler.headers["Authorization"].removeprefix("Bearer ")


def leaks(text: str) -> list[str]:
    """What of the key, or of a form of it, stands in a text."""
    plain = re.sub(r"\\[nrt]|[\s\\\x00-\x1f\u2060]|U\+[0-9A-F]{4}|[⟨⟩]", "", text)
    found = []
    for name, form in FORMS.items():
        whole = re.sub(r"\\[nrt]|[\s\\\x00-\x1f\u2060]|Bearer", "", form(KEY))
        if name == "base64 of the header":
            whole = whole[10:]  # before is the word Bearer
        pieces = (whole[i : i + LEAST] for i in range(len(whole) - LEAST + 1))
        found += [f"{name}: {piece}" for piece in pieces if piece in plain]
    return found


@pytest.mark.parametrize("way", WAYS)
def test_no_form_of_the_key_reaches_a_file(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = list(FORMS)
    dialogue = [f"form:{i}:" for i in range(len(names))]
    path = write(texts(["a"] * len(names), dialogue), tmp_path / "texts.parquet")

    def reply(handler: Handler, message: str) -> None:
        form = FORMS[names[int(re.search(r"form:(\d+):", message).group(1))]]  # type: ignore[union-attr]
        WAYS[way](handler, form(heard(handler)))

    with misbehaving(reply) as server:
        assert label(path, tmp_path / "out", server.url) == 0
    told = capsys.readouterr()
    assert leaks(told.out + told.err) == []
    failed = pl.read_parquet(tmp_path / "out/failures.parquet")
    assert failed.height == len(names)
    for detail in failed["detail"]:
        assert leaks(detail) == [], detail
    for file in tmp_path.joinpath("out").rglob("*"):
        if file.suffix not in (".parquet", "") and file.is_file():
            assert leaks(file.read_text()) == [], file


@pytest.mark.parametrize("status", [401, 403, 500])
def test_no_form_of_the_key_reaches_the_terminal_or_an_event(
    status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(texts(["a", "a"], ["b", "c"]), tmp_path / "texts.parquet")
    events: list[dict[str, Any]] = []
    monkeypatch.setattr("seal.cli.main.tell", lambda **event: events.append(event))

    def reply(handler: Handler, _: str) -> None:
        forms = " | ".join(form(heard(handler)) for form in FORMS.values())
        handler.send(status, f"\x1b]0;owned\x07 {forms}".encode())

    with misbehaving(reply) as server:
        assert label(path, tmp_path / "out", server.url) == 1
    err = capsys.readouterr().err
    assert f"status {status}" in err
    assert leaks(err + json.dumps(events)) == []
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", err)
    assert len(events) == 1


@pytest.mark.parametrize("line", ["HTTP/1.1 {}", "{}", "HTTP/1.1 200 OK\r\n{}\r\n\r\n"])
def test_a_torn_head_with_the_key_is_told_without_it(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(texts(["a", "a"], ["b", "c"]), tmp_path / "texts.parquet")
    with misbehaving(lambda h, _: h.wfile.write(line.format(heard(h)).encode() + b"\r\n\r\n")) as server:
        assert label(path, tmp_path / "out", server.url) == 1
    err = capsys.readouterr().err
    assert "failed for 0 s" in err
    assert leaks(err) == []


def test_a_model_named_like_the_key_is_listed_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(texts(["a", "a"], ["b", "c"]), tmp_path / "texts.parquet")
    with misbehaving(lambda *_: None) as server:
        server.models = [KEY, f"x{KEY}", "\x1b[2Jtiny"]
        assert label(path, tmp_path / "out", server.url) == 2
    err = capsys.readouterr().err
    assert "⟨U+001B⟩[2Jtiny" in err
    assert leaks(err) == []
