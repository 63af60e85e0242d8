"""Hash again what a folder's own records name, and hold the records against what they say of themselves."""

from dataclasses import dataclass
from pathlib import Path

from seal.engine.checkpoints.exported import SPEC, changed_files, is_changed, load_spec
from seal.engine.errors import InputError
from seal.engine.files import SEALED, parse_json, unsealed
from seal.engine.frames.folder import LOG, RESULTS, StageFolder
from seal.engine.frames.manifest import MANIFEST, read_manifest
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
    """Compare every file that a folder's records name with its hash, and look for parts beside.

    The record of a stage is its commit log, of a model `seal.json`, of an analysis `results.json`.

    The records are held against hashes too: `manifest.json` holds the log's and its own, `seal.json` and
    `results.json` their own. Of stages and models of an earlier version, which have none, only the layout is
    held.

    Raises:
        InputError: the folder was not written by this program, or was never finished.
    """
    folder = Path(folder)
    is_stage = (folder / LOG).is_file() and read_manifest(folder) is not None  # a damaged one raises
    stage = StageFolder.open(folder) if is_stage else None
    if stage is not None:
        hashes = stage.hashes
        records = list(stage.changed_records())
        if not stage.complete and MANIFEST not in records:
            raise InputError(f"{folder} is not finished: run the command that writes it again")
    elif (folder / SPEC).is_file():
        hashes = dict(load_spec(folder).files)
        records = [SPEC] * is_changed(folder)
    elif (folder / RESULTS).is_file():
        hashes, records = _results(folder)
    else:
        raise InputError(
            f"{folder} holds neither a commit log nor {SPEC} nor {RESULTS}: nothing says what it should be"
        )
    changed = changed_files(folder, hashes)
    unnamed = sorted(p.name for p in folder.glob("*.parquet") if p.name not in hashes)
    return Verification(len(hashes), records + changed + unnamed)


def _results(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The files of an analysis with their hashes, and its record where that is not as it was written."""
    data = (folder / RESULTS).read_bytes()
    try:
        document = dict(parse_json(data))
        if "unfinished" in document:
            raise InputError(f"{folder} was being written when that was stopped: run seal analyze again")
        if SEALED not in document and "files" not in document:
            raise InputError(
                f"{folder} was written by an earlier version, which kept no hashes: run seal analyze again"
            )
        hashes = {str(name): str(known) for name, known in document["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{folder / RESULTS} is damaged: {error}") from None
    return hashes, [RESULTS] * unsealed(data, known=())
