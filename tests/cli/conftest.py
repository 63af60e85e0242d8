"""What tests of commands share: a folder of their own, and a command to call there."""

import os
from pathlib import Path

import pytest

from tests.support.command_line import Seal, caller


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
