"""What tests of commands share: a folder of their own, and a command to call there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.generation.transformers import TransformersGenerator
from tests.support.command_line import Seal, caller
from tests.support.decoders import make_decoder
from tests.support.servers import Brain, Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model is a tiny decoder of random weights."""
    folder = make_decoder(tmp_path_factory.mktemp("labeler") / "tiny", context=1024)
    with serving(Brain(TransformersGenerator(Decoder.open(folder), "cpu"))) as server:
        yield server


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file and no variables of the person who runs the tests."""
    for name in [n for n in os.environ if n.startswith("SEAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def seal(capsys: pytest.CaptureFixture[str], elsewhere: None) -> Seal:
    """A command, called in a folder of its own."""
    return caller(capsys)
