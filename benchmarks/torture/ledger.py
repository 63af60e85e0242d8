"""What is done already: one line a case, synced, so that a campaign that was stopped goes on."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Line:
    """A case that was tried.

    Attributes:
        campaign, case: their names.
        commit: of the code that was tried.
        elapsed_s: how long it took.
        found: what it found; empty where it was broken.
        broken: how the promise was broken; empty where it held.
    """

    campaign: str
    case: str
    commit: str
    elapsed_s: float
    found: Mapping[str, Any]
    broken: str = ""


class Ledger:
    """The lines of a file, the later of two of one case in force. A line cut by a kill did not happen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = {(line.campaign, line.case): line for line in _read(path)}

    def held(self, campaign: str, case: str) -> bool:
        """Whether the case was tried, and held."""
        line = self._lines.get((campaign, case))
        return line is not None and not line.broken

    def of(self, campaign: str, cases: Sequence[str]) -> list[Line]:
        """The lines of these cases, in their order; those not tried are left out."""
        return [self._lines[campaign, case] for case in cases if (campaign, case) in self._lines]

    def add(self, line: Line) -> None:
        """Write a line down."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(json.dumps(vars(line)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._lines[line.campaign, line.case] = line


def _read(path: Path) -> Iterator[Line]:
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        os.truncate(path, len(whole))
    for line in whole.splitlines():
        yield Line(**json.loads(line))
