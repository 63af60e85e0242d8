"""Hash again what a folder's own records name."""

from dataclasses import dataclass
from pathlib import Path

from seal.engine.checkpoints.exported import SPEC, changed_files, load_spec
from seal.engine.errors import InputError
from seal.engine.frames.folder import LOG, StageFolder
from seal.engine.frames.manifest import read_manifest
from seal.engine.notebook import Shown


@dataclass(frozen=True)
class Verification(Shown):
    """What was found.

    Attributes:
        n_files: files named by the folder's records.
        changed: those that are missing or whose bytes differ, and parts that no record names.
    """

    n_files: int
    changed: list[str]


def verify(folder: str | Path) -> Verification:
    """Compare every file that the commit log (or `seal.json`) names with its hash, and look for parts beside.

    Raises:
        InputError: the folder was not written by this program, or was never finished.
    """
    folder = Path(folder)
    is_stage = (folder / LOG).is_file() and read_manifest(folder) is not None  # a damaged one raises
    stage = StageFolder.open(folder) if is_stage else None
    if stage is not None:
        hashes = stage.hashes
        if not stage.complete:
            raise InputError(f"{folder} is not finished: run the command that writes it again")
    elif (folder / SPEC).is_file():
        hashes = dict(load_spec(folder).files)
    else:
        raise InputError(f"{folder} holds neither a commit log nor {SPEC}: nothing says what it should be")
    changed = changed_files(folder, hashes)
    unnamed = sorted(p.name for p in folder.glob("*.parquet") if p.name not in hashes)
    return Verification(len(hashes), changed + unnamed)
