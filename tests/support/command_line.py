"""`seal` called in this process, as its user types it."""

from collections.abc import Callable

import pytest

from seal.cli.main import main

Seal = Callable[..., tuple[int, str, str]]
"""Words of a command -> exit code, stdout, stderr."""


def caller(capsys: pytest.CaptureFixture[str], *, one_line: bool = False) -> Seal:
    """Call a command; with `one_line` all white space on stderr is one space."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        said = capsys.readouterr()
        return code, said.out, " ".join(said.err.split()) if one_line else said.err

    return call
