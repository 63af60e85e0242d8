"""Where a stage writes: atomic Parquet parts, a commit log, resume.

    part-00000.parquet ...   rows, each part a range of row_id
    failures.parquet         rows that failed, with the reason (failures-00000.parquet ... while running)
    ties.parquet             of an import that met any: pairs of which neither text is preferred, likewise
    ...                      what a stage writes beside its parts once all are there
    log.jsonl                one line a part, with the hash of its files
    manifest.json            what made the folder (manifest.py)

A part is written aside, synced, renamed, and only then named in the log: what the log does not name did not
happen, and is removed when the folder is opened again. Part boundaries depend on the input alone, so a run
that was killed anywhere and started again ends in the same bytes.
"""

import io
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import polars as pl

from seal.engine.errors import InputError, ResumeError, SealError
from seal.engine.files import copy_atomic, file_sha256, sealed, take_lock, write_atomic
from seal.engine.frames.folder import LOG, Commit, Log
from seal.engine.frames.gathered import GATHERED, gather, is_gathered
from seal.engine.frames.manifest import LOG_SHA256, MANIFEST, Manifest, differences, read_manifest
from seal.engine.frames.schema import FAILURES, as_stored

_LOCK = ".lock"
_OURS = re.compile(
    rf"part-\d{{5,}}\.parquet|({'|'.join(GATHERED)})(-\d{{5,}})?\.parquet|log\.jsonl|manifest\.json"
)
_ASIDE = re.compile(rf"\.({_OURS.pattern}|sorted(-\d+)?|originals|rewritten)\.tmp")


class Sink:
    """The one writer of a folder; use it in a `with` statement.

    Args:
        folder: made if it is missing.
        manifest: the identity of this run.
        overwrite: remove what another run of this program left there.
        beside: names of files that the stage itself writes into the folder; removed with the rest.

    Raises:
        ResumeError: another writer holds the folder, it was made by something else, or it is damaged.
        SealError: it cannot be written.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, *, overwrite: bool = False, beside: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.log = Log()
        self._overwrite = overwrite
        self._beside = beside
        self._afresh = False  # whether what stood here was this program's, and is gone
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            if self._overwrite and read_manifest(self.folder) is not None:  # else nothing here is ours
                self._start_afresh()
            self._open()
        except BaseException as error:  # whatever it is, the folder must not stay locked
            self.__exit__(None, None, None)
            if isinstance(error, OSError):
                raise SealError(f"cannot write {self.folder}: {error.strerror or error}") from None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock:
            self._lock.close()  # releases the lock
            self._lock = None

    @property
    def finished(self) -> bool:
        """Whether the stage has ended here before."""
        return self.log.finished is not None

    @property
    def commits(self) -> tuple[Commit, ...]:
        """The parts that are done."""
        return self.log.commits

    @property
    def parts(self) -> list[Path]:
        """The files of rows that are done, in order."""
        names = (name for commit in self.commits for name in commit.files)
        return [self.folder / name for name in names if name.startswith("part-")]

    @property
    def last_row_id(self) -> int:
        """The highest row_id that is done; -1 at the start."""
        return self.commits[-1].last_row_id if self.commits else -1

    @property
    def cursor(self) -> Mapping[str, Any]:
        """What the stage left to go on from; empty at the start."""
        return self.commits[-1].cursor if self.commits else {}

    def total(self, counter: str) -> float:
        """A counter summed over every part, those of earlier runs included."""
        return self.log.total(counter)

    @property
    def n_rows(self) -> int:
        """Rows written so far."""
        return sum(commit.n_rows for commit in self.commits)

    @property
    def n_failures(self) -> int:
        """Rows failed so far."""
        return sum(commit.n_failures for commit in self.commits)

    def commit(
        self, rows: pl.DataFrame, failures: pl.DataFrame, *, last_row_id: int,
        cursor: Mapping[str, Any] | None = None, counters: Mapping[str, float] | None = None,
        ties: pl.DataFrame | None = None,
    ) -> Commit:  # fmt: skip
        """Write one part and its failures, then log it.

        Args:
            rows: the part, sorted by its key.
            failures: a FAILURES frame, maybe empty.
            last_row_id: the highest row_id read for this part, failed ones included.
            cursor: where the stage would go on.
            counters: what this part adds to the sums.
            ties: pairs of which neither text is preferred; they are no rows of the part.

        Raises:
            SealError: the disk is full or the folder cannot be written; nothing logged is lost.
        """
        number = len(self.commits)
        frames = {f"part-{number:05}.parquet": rows}
        if failures.height:
            frames[f"failures-{number:05}.parquet"] = failures.select(*FAILURES.types)
        if ties is not None and ties.height:
            frames[f"ties-{number:05}.parquet"] = ties
        with self._writing():
            files = {
                name: write_atomic(self.folder / name, _parquet(frame)) for name, frame in frames.items()
            }
            entry = Commit(
                number, rows.height, failures.height, last_row_id, files, cursor or {}, counters or {}
            )
            return self._logged(entry)

    def take_over(self, part: Commit, source: Path, failures: pl.DataFrame) -> None:
        """Log a part that another folder of this program logged, its bytes and counters as they are there.

        Args:
            part: as it is logged there; here it gets the next number.
            source: the folder.
            failures: of this part, which a finished folder holds among those of all.

        Raises:
            InputError: the part there is not what its log says.
            SealError: as for `commit`.
        """
        number, files = len(self.commits), {}
        with self._writing():
            for name, facts in part.files.items():
                mine = f"{name.partition('-')[0]}-{number:05}.parquet"
                if name.startswith("failures-"):
                    write_atomic(self.folder / mine, _parquet(failures))
                elif copy_atomic(source / name, self.folder / mine) != facts["sha256"]:
                    raise InputError(f"{source / name} is not what its log says; bring it back")
                files[mine] = facts
            self._logged(replace(part, part=number, files=files))

    def finish(self, files: Mapping[str, bytes] | None = None, /, **totals: Any) -> None:
        """Gather failures and ties into one file each and mark the folder complete. Safe to call again.

        Args:
            files: what the stage writes beside its parts, among the names `beside`; in a folder that was
                finished before, they take the place of what it wrote then.
            totals: figures of the whole run for the manifest (rows, failures, seconds).
        """
        with self._writing():
            if not self.finished:
                named = gather(self.folder, self._gathered()) | self._write_beside(files or {})
                self._append({"finished": True, "files": named})
                self.log = Log(self.commits, named)
            elif files:
                self._replace_beside(files)
            log = {LOG_SHA256: file_sha256(self.folder / LOG)}
            self._write_manifest(complete=True, totals=totals, **log)
            for name in self._gathered():
                (self.folder / name).unlink(missing_ok=True)

    def _write_beside(self, files: Mapping[str, bytes]) -> dict[str, Mapping[str, Any]]:
        return {name: write_atomic(self.folder / name, data) for name, data in files.items()}

    def _replace_beside(self, files: Mapping[str, bytes]) -> None:
        """The log never names what is being replaced: it is written without, then with it."""
        self._write_manifest(complete=False)  # which named the log as it was
        kept = {name: facts for name, facts in (self.log.finished or {}).items() if name not in files}
        self._end_log_with(kept)
        self._end_log_with(kept | self._write_beside(files))

    def _end_log_with(self, named: Mapping[str, Mapping[str, Any]]) -> None:
        lines = (self.folder / LOG).read_bytes().splitlines(keepends=True)[: len(self.commits)]
        end = json.dumps({"finished": True, "files": named}, sort_keys=True).encode() + b"\n"
        write_atomic(self.folder / LOG, b"".join(lines) + end)
        self.log = Log(self.commits, named)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A disk that fails is told in one line."""
        try:
            yield
        except OSError as error:
            raise SealError(
                f"cannot write {self.folder}: {error.strerror or error}; "
                f"{len(self.commits)} parts are safe, the same command goes on from there"
            ) from None

    def _logged(self, entry: Commit) -> Commit:
        self._append(asdict(entry))
        self.log = Log((*self.commits, entry))
        return entry

    def _take_lock(self) -> None:
        self._lock = take_lock(self.folder / _LOCK)
        if self._lock is None:
            raise ResumeError(f"{self.folder} is being written by another process; wait for it to end")

    def _open(self) -> None:
        document = read_manifest(self.folder)
        if document is None:
            self._refuse_foreign()
            self._write_manifest(complete=False)
            return
        if found := differences(document["identity"], self.manifest.identity):
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            raise ResumeError(
                f"{self.folder} was made by another run: {'; '.join(found[:3])}{more}. "
                "Choose another folder, or overwrite to start afresh"
            )
        if (known := document.get(LOG_SHA256)) and known != file_sha256(self.folder / LOG):
            raise ResumeError(
                f"{self.folder / LOG} is not what it was when the stage finished; bring it back, or overwrite"
            )
        self._read_log()
        self._remove_unlogged()

    def _refuse_foreign(self) -> None:
        """What somebody else put here is never taken for a part, and never joined without a word."""
        names = sorted(path.name for path in self.folder.iterdir())
        leftovers = {_LOCK, f".{MANIFEST}.tmp"}
        strange = [n for n in names if n not in leftovers and (_OURS.fullmatch(n) or not self._afresh)]
        if strange:
            raise ResumeError(
                f"{self.folder} is not empty ({', '.join(strange[:3])}) and holds no {MANIFEST} of this "
                "program; choose another folder"
            )

    def _read_log(self) -> None:
        path = self.folder / LOG
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:  # killed while it wrote this line: the part did not happen
            os.truncate(path, len(whole))
        try:
            self.log = Log.parse(whole, path)
        except InputError as error:
            raise ResumeError(f"{error}; overwrite starts afresh") from None
        for name, facts in self.log.files.items():
            file = self.folder / name
            if name in self._beside and not file.exists():
                continue  # the stage makes it again
            if not file.is_file() or file.stat().st_size != facts["bytes"]:
                raise ResumeError(
                    f"{file} is missing or of another size than the log says; bring it back, or overwrite"
                )

    def _remove_unlogged(self) -> None:
        """Remove what was being written when this program was killed: files of the next part, by name."""
        number, logged = f"{len(self.commits):05}", self.log.files.keys()
        coming = {f"part-{number}.parquet"}
        coming |= {name for kind in GATHERED for name in (f"{kind}-{number}.parquet", f"{kind}.parquet")}
        aside = {f".{name}.tmp" for name in self._beside}
        left = (set(self._gathered()) if self.finished else coming) - logged
        for path in self.folder.iterdir():
            if path.name in left | aside or _ASIDE.fullmatch(path.name):
                path.unlink()

    def _gathered(self) -> list[str]:
        """The files that the log names part by part, and that become one a kind at the end."""
        return [name for commit in self.commits for name in commit.files if is_gathered(name)]

    def _start_afresh(self) -> None:
        # Cut short, this must leave a folder of the old identity that nobody takes for finished: with the
        # new identity the old log would be believed, with `complete` the parts left be taken for all.
        document = read_manifest(self.folder) or {}
        write_atomic(self.folder / MANIFEST, sealed(document | {"complete": False}))
        # The log goes first, so that it never names what is gone; the manifest last: cut short, the folder
        # must look unfinished, not foreign. What bears no name of this program's stays.
        names = [path.name for path in self.folder.iterdir()]
        ours = [n for n in names if _OURS.fullmatch(n) or _ASIDE.fullmatch(n) or n in self._beside]
        for name in sorted(ours, key=lambda n: (n == MANIFEST) - (n == LOG)):
            (self.folder / name).unlink()
        self._afresh = True

    def _append(self, entry: Mapping[str, Any]) -> None:
        path = self.folder / LOG
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as file:
                file.write(json.dumps(entry, sort_keys=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):  # a torn line is dropped at the next start as well
                os.truncate(path, size)
            raise

    def _write_manifest(self, **more: Any) -> None:
        document = self.manifest.document(written=time.strftime("%Y-%m-%dT%H:%M:%S%z"), **more)
        write_atomic(self.folder / MANIFEST, sealed(document))


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    as_stored(frame).write_parquet(buffer, compression="zstd", compression_level=3, statistics=True)
    return buffer.getvalue()
