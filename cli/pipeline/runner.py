"""The stages of a run, one after the other: what is done is left, what is not is started."""

import itertools
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from seal.cli.pipeline.calls import Call
from seal.cli.pipeline.child import StageEnd, run_stage
from seal.cli.pipeline.display import Board
from seal.cli.pipeline.environments import Interpreter, choose
from seal.cli.pipeline.identity import HashBook
from seal.cli.pipeline.planning import Decision, decide, waits
from seal.cli.pipeline.record import Entry, load_record, save_record
from seal.cli.pipeline.settings import RunSettings
from seal.engine.checkpoints.cached import hub_cache
from seal.engine.errors import InputError, ResumeError, SealError
from seal.engine.export.aside import clear_all_aside
from seal.engine.files import take_lock
from seal.engine.frames.folder import LOG, StageFolder

_LOCK, _HASHES, _LOGS, _ASIDE = ".lock", ".hashes.json", "logs", "set-aside"
_LOCK_PATIENCE_S = 10.0


class StageError(SealError):
    """A stage ended the run: its own line, its own exit code."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Planned:
    """A stage and what is to be done with it."""

    call: Call
    decision: Decision


def make_plan(calls: Sequence[Call], out: Path) -> list[Planned]:
    """What would be done now; nothing is started, and only hashes are written down.

    Raises:
        InputError: a file, or the record, cannot be read.
    """
    record, book = load_record(out), HashBook.open(out / _HASHES)
    planned: list[Planned] = []
    for call in calls:
        decision = _decide(call, record, book)
        undone = [p.call.stage.name for p in planned if p.decision.state != "done"]
        decision = waits(decision, [name for name in call.stage.reads if name in undone])
        planned.append(Planned(call, decision))
    if out.is_dir():
        book.save()
    return planned


def prepare(planned: Sequence[Planned], settings: RunSettings) -> dict[str, Interpreter]:
    """The interpreter of each stage that is not done, found before any work is.

    Raises:
        InputError: a dataset, a model or an interpreter is missing.
        SealError: no environment has what a stage needs.
    """
    written = {p.call.out for p in planned}
    todo = [p.call for p in planned if p.decision.state != "done"]
    for call in todo:
        for name, path in [*call.files.items(), *_model_folders(call).items()]:
            if path not in written and not path.exists():
                also = f", nor is such a name in the cache {hub_cache()}" if name.startswith("model") else ""
                raise InputError(
                    f"{call.stage.name}: {name} {path} is not there{also}, and nothing is ever fetched: "
                    f"bring it over, or correct {settings.file}"
                )
    return {
        call.stage.name: choose(call.stage.needs(call.options), settings.environments, call.stage.name)
        for call in todo
    }


def carry_out(
    planned: Sequence[Planned],
    settings: RunSettings,
    interpreters: Mapping[str, Interpreter],
    board: Board,
    *,
    overwrite: bool = False,
) -> None:
    """Run what is not done, in order.

    Args:
        planned: the plan.
        settings: of the run.
        interpreters: stage -> what runs it.
        board: shows it.
        overwrite: replace outputs that the record does not name, too.

    Raises:
        StageError: a stage failed; what was done before stays.
        ResumeError: another run holds the folder.
    """
    with _locked(settings.out) as lock:
        record, book = load_record(settings.out), HashBook.open(settings.out / _HASHES)
        run = _Run(settings.out, record, book, lock, board, overwrite)
        for call in (p.call for p in planned):
            decision = _decide(call, record, book)
            if decision.state == "done":
                board.skip(call.stage.name, decision.why)
                continue
            # An upstream stage brought something else, so that one taken for done is not.
            name = call.stage.name
            interpreter = interpreters.get(name) or choose(
                call.stage.needs(call.options), settings.environments, name
            )
            run.carry_out(call, decision, interpreter)
        book.save()


@dataclass
class _Run:
    """A run under way: its folder, its record, and who looks on."""

    out: Path
    record: dict[str, Entry]
    book: HashBook
    lock: IO[bytes]
    board: Board
    overwrite: bool

    def carry_out(self, call: Call, decision: Decision, interpreter: Interpreter) -> None:
        """Start a stage, resume it or do it again, and write down what came of it."""
        name, made = call.stage.name, make_of(call, self.book)
        entry = self.record.get(name)
        aside = _set_aside(call.out, self.out) if decision.state == "replace" else None
        if not (call.out.exists() and call.stage.knows_itself):
            self._write(name, Entry("started", made))
        listen = self.board.begin(name, decision)
        if aside is not None:
            self.board.note(name, f"what stood there was changed since: moved to {aside}")
        outcome = self._start(call, interpreter, listen)
        may_replace = decision.may_replace or self.overwrite or (entry is not None and entry.replaces)
        if outcome.kind == ResumeError.__name__ and may_replace and call.stage.knows_itself:
            self.board.note(name, "what stands there was made of something else: written over")
            self._write(name, Entry("started", made, replaces=True))
            outcome = self._start(call, interpreter, listen, "--overwrite")
        self._end(call, made, outcome)

    def _start(self, call: Call, interpreter: Interpreter, listen: Any, *more: str) -> StageEnd:
        return run_stage(
            [*call.words, *more], interpreter, self._log(call), variables=call.variables, lock=self.lock,
            listen=listen,
        )  # fmt: skip

    def _end(self, call: Call, made: Mapping[str, Any], outcome: StageEnd) -> None:
        name = call.stage.name
        if outcome.code == 0:
            output = self.book.identity(call.out, just_written=True)
            self.book.save()
            self._write(name, Entry("done", made, output))
            self.board.end(name, outcome.last, outcome.warning)
            return
        if outcome.code == 3:
            self._write(name, Entry("failures", made))
        self.board.fail(name)
        raise StageError(_describe(call, outcome, self._log(call)), max(outcome.code, 1))

    def _log(self, call: Call) -> Path:
        return self.out / _LOGS / f"{call.stage.name.replace('/', '-')}.log"

    def _write(self, name: str, entry: Entry) -> None:
        self.record[name] = entry
        save_record(self.out, self.record)


def make_of(call: Call, book: HashBook) -> dict[str, Any]:
    """What a stage would be made of now: everything that may change its result, and no path."""
    return {
        "seal": version("seal-engine"),
        "command": call.stage.command,
        "options": dict(call.options),
        "facts": dict(call.stage.facts),
        "inputs": {name: book.identity(path) for name, path in call.files.items()},
        "models": {
            name: book.identity(Path(where)) if "://" not in where else where
            for name, where in call.stage.models.items()
        },
    }


def _decide(call: Call, record: Mapping[str, Entry], book: HashBook) -> Decision:
    entry = record.get(call.stage.name)
    return decide(entry, make_of(call, book), book.identity(call.out), _rows_behind(call.out))


def _rows_behind(folder: Path) -> int | None:
    """The rows of its input that a cut stage has done, from its commit log; None where it keeps none."""
    with suppress(InputError):
        stage = StageFolder.open(folder)
        if stage is not None and (folder / LOG).is_file():
            return stage.commits[-1].last_row_id + 1 if stage.commits else 0
    return None


def _model_folders(call: Call) -> dict[str, Path]:
    return {f"model {n}": Path(w) for n, w in call.stage.models.items() if "://" not in w}


def _describe(call: Call, outcome: StageEnd, log: Path) -> str:
    name = call.stage.name
    if outcome.code == 3:
        return (
            f"{name}: {outcome.error}; to go on all the same, set max-failures under "
            f"[{call.stage.command}] and start seal run again: nothing is done twice"
        )
    if outcome.error:
        return f"{name}: {outcome.error}"
    if outcome.code < 0:
        why = " (the system does that when memory runs out)" if outcome.code == -signal.SIGKILL else ""
        return (
            f"{name} was ended by {signal.Signals(-outcome.code).name}{why}; what it printed is in {log}, "
            "and the same command goes on from there"
        )
    return f"{name} ended with exit code {outcome.code}; it printed last: {_last_line(log)} (more in {log})"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "nothing")


def _set_aside(path: Path, out: Path) -> Path | None:
    """Move an output out of the way, so that it is either whole or gone; nothing of it is deleted.

    Returns:
        Where it lies now; None where there was none.

    Raises:
        ResumeError: another process writes it.
    """
    if not path.exists():
        return None
    lock = take_lock(path / _LOCK) if (path / _LOCK).is_file() else None
    if lock is None and (path / _LOCK).is_file():
        raise ResumeError(f"{path} is being written by another process; wait for it to end")
    (out / _ASIDE).mkdir(exist_ok=True)
    numbers = (n for n in itertools.count(1) if not (out / _ASIDE / f"{path.name}-{n}").exists())
    aside = path.rename(out / _ASIDE / f"{path.name}-{next(numbers)}")
    if lock is not None:
        lock.close()
    return aside


@contextmanager
def _locked(out: Path) -> Iterator[IO[bytes]]:
    """Hold a run's folder; what a run that was killed left half-made is cleared away.

    Raises:
        ResumeError: another run, or a stage of one that was killed, holds it.
    """
    out.mkdir(parents=True, exist_ok=True)
    until_s = time.monotonic() + _LOCK_PATIENCE_S  # the stage of a killed run ends in a moment
    while (lock := take_lock(out / _LOCK)) is None:
        if time.monotonic() > until_s:
            raise ResumeError(f"another seal run works in {out}; wait for it to end")
        time.sleep(0.05)
    with lock:
        clear_all_aside(out / "models")
        yield lock
