"""Hash again what a folder's own records name, and hold the records against what they say of themselves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seal.engine.checkpoints.exported import SPEC, changed_files, is_changed, load_spec
from seal.engine.errors import InputError
from seal.engine.files import file_sha256, unsealed
from seal.engine.frames.folder import LOG, StageFolder
from seal.engine.frames.manifest import KEYS, LOG_SHA256, MANIFEST, read_manifest
from seal.engine.notebook import Shown


@dataclass(frozen=True)
class Verification(Shown):
    """What was found.

    Attributes:
        n_files: files named by the folder's records.
        changed: those that are missing or whose bytes differ, records that are not as they were written, and
            parts that no record names.
    """

    n_files: int
    changed: list[str]


def verify(folder: str | Path) -> Verification:
    """Compare every file that the commit log (or `seal.json`) names with its hash, and look for parts beside.

    The records are held against hashes too: `manifest.json` holds the log's and its own, `seal.json` its
    own. Of what an earlier version wrote, which has none, only the layout is held.

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
        records = list(_changed_records(folder, stage))
    elif (folder / SPEC).is_file():
        hashes = dict(load_spec(folder).files)
        records = [SPEC] * is_changed(folder)
    else:
        raise InputError(f"{folder} holds neither a commit log nor {SPEC}: nothing says what it should be")
    changed = changed_files(folder, hashes)
    unnamed = sorted(p.name for p in folder.glob("*.parquet") if p.name not in hashes)
    return Verification(len(hashes), records + changed + unnamed)


def _changed_records(folder: Path, stage: StageFolder) -> Iterator[str]:
    if unsealed((folder / MANIFEST).read_bytes(), KEYS):
        yield MANIFEST
    log = (folder / LOG).read_bytes()
    laid_out = all(line == json.dumps(json.loads(line), sort_keys=True).encode() for line in log.splitlines())
    known = stage.manifest.get(LOG_SHA256, file_sha256(folder / LOG))
    if not laid_out or known != file_sha256(folder / LOG) or not log.endswith(b"}\n"):
        yield LOG
