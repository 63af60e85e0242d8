"""Shards of one run -> the folder that an undivided run would have written.

    shard 1   part 0   part 3   part 6          parts as they are, in the order of their windows
    shard 2   part 1   part 4          ->       failures of each part, gathered as ever
    shard 3   part 2   part 5                   log and manifest of the whole

A part is copied aside, synced, renamed and logged like one that a stage makes. So a merging that was killed
goes on behind the last part, and shards are only read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice, pairwise, repeat, zip_longest
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.files import file_sha256
from seal.engine.frames.folder import Commit, StageFolder
from seal.engine.frames.gathered import FAILED
from seal.engine.frames.manifest import Manifest, differences, recorded_command
from seal.engine.frames.reader import keep_apart
from seal.engine.frames.schema import readable
from seal.engine.frames.shards import SHARD, Shard
from seal.engine.frames.sink import Sink
from seal.engine.frames.stage import Beside, StageReport
from seal.engine.labeling.labeling import STAGE as LABEL
from seal.engine.labeling.shards import merged_health
from seal.engine.progress import Listener, Meter, listener

_BESIDE: Mapping[str, Callable[[Sequence[Path]], Beside]] = {LABEL: merged_health}
"""Stages that write more than parts: what makes that of all shards together."""
_MANY = 5  # named in an error


@dataclass(frozen=True)
class MergeReport(StageReport):
    """What was put together, and what it took the shards.

    Attributes:
        n_shards: folders read.
    """

    n_shards: int = 0


@dataclass(frozen=True)
class _Given:
    """A shard's folder and which one it is."""

    shard: Shard
    folder: StageFolder

    @classmethod
    def open(cls, path: Path) -> "_Given":
        """Read what a folder says of itself.

        Raises:
            InputError: it is no shard's.
        """
        folder = StageFolder.open(path) if path.is_dir() else None
        said = folder.identity["options"].get(SHARD) if folder is not None else None
        if folder is None or said is None:
            raise InputError(f"{path} is no shard: no command with shard I/N wrote it")
        return cls(Shard.parse(said), folder)

    @property
    def whole(self) -> dict[str, Any]:
        """The identity of the undivided run."""
        options = {name: v for name, v in self.folder.identity["options"].items() if name != SHARD}
        return {**self.folder.identity, "options": options}

    def __str__(self) -> str:
        return f"{self.folder.path} (shard {self.shard})"


def merge(
    shards: str | Path | Sequence[str | Path], out: str | Path, *, overwrite: bool = False,
    listen: Listener | None = None,
) -> MergeReport:  # fmt: skip
    """Put the shards of one run together into the folder that an undivided run would have written.

    Parts, failures and log are those of the undivided run, byte for byte; only times and the machine are the
    shards' own. The same run without `shard` finds the folder finished. A merging that was killed is gone on
    with by the same call. Shards are only read.

    Args:
        shards: the folders of all N shards of one run of score, label, rewrite, perturb or similarity, in any
            order.
        out: the folder to write, beside the shards.
        overwrite: start afresh in a folder that another run wrote.
        listen: told of the progress, part by part; by default a bar in a notebook, else nothing.

    Raises:
        InputError: a shard is missing, doubled, not finished, damaged, or of another run or division.
        ResumeError: `out` was made by something else, or another process writes it.
        UsageError: no shard is named, or `out` and a shard lie in each other.
        SealError: `out` cannot be written.
    """
    out, paths = Path(out), [Path(p) for p in ([shards] if isinstance(shards, str | Path) else shards)]
    for path in paths:
        keep_apart(path, out, "the shard")
    folders = _all_shards(paths)
    manifest, words = _undivided(folders[0]), _command(folders[0].folder.command or (), out)
    make = _BESIDE.get(manifest.stage)
    beside = make([given.folder.path for given in folders]) if make else Beside()
    with recorded_command(words), Sink(out, manifest, overwrite=overwrite, beside=beside.names) as sink:
        if not sink.finished:
            _take_over(sink, folders, listener(listen))
        files, facts = beside.make(sink)
        sink.finish(files, **(_totals(folders) | dict(facts)))
        return replace(MergeReport.of(sink), n_shards=len(folders))


def _all_shards(paths: Sequence[Path]) -> list[_Given]:
    """The shards in their order.

    Raises:
        InputError: they are not all shards of one run, each once and finished; every one that is wrong is
            named.
        UsageError: there are none.
    """
    if not paths:
        raise UsageError("name the folders of all shards")
    found = sorted((_Given.open(path) for path in paths), key=lambda given: given.shard.number)
    for check in (_foreign, _doubled, _missing, _unfinished, _damaged):
        if problems := list(check(found)):
            raise InputError("; ".join(problems))
    return found


def _foreign(found: Sequence[_Given]) -> Iterator[str]:
    first = found[0]
    for given in found[1:]:
        if given.shard.of != first.shard.of:
            yield f"{first} and {given} are of another number of shards"
        elif differ := differences(first.whole, given.whole, ("in the first", "in the second")):
            yield f"{first} and {given} are of another run: {'; '.join(differ[:3])}"


def _doubled(found: Sequence[_Given]) -> Iterator[str]:
    for a, b in pairwise(found):
        if a.shard == b.shard:
            yield f"{a.folder.path} and {b.folder.path} are both shard {a.shard}"


def _missing(found: Sequence[_Given]) -> Iterator[str]:
    there, of = {given.shard.number for given in found}, found[0].shard.of
    if n := of - len(there):
        gone = islice((Shard(i, of) for i in range(1, of + 1) if i not in there), _MANY)
        more = f" and {n - _MANY} more" if n > _MANY else ""
        yield f"missing: shard {', '.join(map(str, gone))}{more}; name the folders of all {of}"


def _unfinished(found: Sequence[_Given]) -> Iterator[str]:
    if names := [str(given) for given in found if not given.folder.complete]:
        yield f"not finished: {', '.join(names)}; run the command of each again, it goes on from there"


def _damaged(found: Sequence[_Given]) -> Iterator[str]:
    for given in found:
        folder = given.folder
        changed = list(folder.changed_records())
        if not changed and file_sha256(folder.path / FAILED) != folder.hashes[FAILED]:
            changed = [FAILED]
        if changed:
            yield f"{given}: changed since it was written: {', '.join(changed)}; bring it back, or overwrite"


def _undivided(given: _Given) -> Manifest:
    whole, made = given.whole, given.folder.manifest
    maker = {name: made[name] for name in ("versions", "machine")}
    return Manifest(whole["stage"], whole["options"], whole["inputs"], whole["models"], maker)


def _command(words: Iterable[str], out: Path) -> list[str]:
    """A shard's command line as it would have been typed for the whole."""
    kept, coming = list[str](), iter(words)
    for word in coming:
        name, equals, _ = word.partition("=")
        if name not in ("--out", f"--{SHARD}"):
            kept.append(word)
            continue
        if not equals:
            next(coming, None)
        kept += ["--out", str(out)] if name == "--out" else []
    return kept


def _take_over(sink: Sink, folders: Sequence[_Given], listen: Listener) -> None:
    """Copy every part that is not there yet."""
    n_total = sum(int(given.folder.log.total("n_texts")) for given in folders)
    meter = Meter(listen, "merge", n_total, int(sink.total("n_texts")), 1)
    for folder, part, place in islice(_parts(folders), len(sink.commits), None):
        with readable(folder / FAILED):
            failures = pl.scan_parquet(folder / FAILED).slice(place, part.n_failures).collect()
        sink.take_over(part, folder, failures)
        meter.batch(int(part.counters.get("n_texts", 0)), 0, 0)


def _parts(folders: Sequence[_Given]) -> Iterator[tuple[Path, Commit, int]]:
    """Every part in the order of windows: its shard, its log entry, and where its failures begin there."""
    columns = []
    for given in folders:
        commits = given.folder.commits
        places = accumulate((commit.n_failures for commit in commits), initial=0)
        columns.append(zip(repeat(given.folder.path), commits, places, strict=False))
    for row in zip_longest(*columns):
        yield from filter(None, row)


def _totals(folders: Sequence[_Given]) -> dict[str, Any]:
    """The figures of the whole run: sums of the shards' own; counts by name the largest first, as ever."""
    sums: dict[str, Any] = {}
    for given in folders:
        for name, value in given.folder.manifest["totals"].items():
            sums[name] = _sum(sums[name], value) if name in sums else value
    return sums


def _sum(a: Any, b: Any) -> Any:
    if not isinstance(a, Mapping):
        return a + b
    counts = {name: a.get(name, 0) + b.get(name, 0) for name in {*a, *b}}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
