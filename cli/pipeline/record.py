"""`run.json`: what each stage of a run was last made of, and what came out."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from seal.engine.errors import InputError
from seal.engine.files import parse_json, write_atomic

RECORD = "run.json"
FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One stage.

    Attributes:
        state: `done`; `started`, and then cut; `failures`, finished with more failed rows than allowed.
        made: what it was made of: version, command, options, inputs by hash.
        output: hash of what came out; None unless done.
        replaces: whether what stood there before it started may be written over.
    """

    state: Literal["started", "failures", "done"]
    made: Mapping[str, Any]
    output: str | None = None
    replaces: bool = False


def load_record(folder: Path) -> dict[str, Entry]:
    """Stage -> entry; empty where there is no record.

    Raises:
        InputError: the record is not one of this program.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        return {name: Entry(**entry) for name, entry in document["stages"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a record of this program ({error}); remove it: stages that stand are asked again"
        ) from None


def save_record(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Write it, whole or not at all."""
    stages = {name: asdict(entry) for name, entry in entries.items()}
    write_atomic(folder / RECORD, json.dumps({"format": FORMAT, "stages": stages}, indent=1).encode())
