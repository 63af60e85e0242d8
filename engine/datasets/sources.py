"""Paths -> the data files they stand for, each under a name of its own.

A file may be a link, as in the Hugging Face cache, whose blobs have no suffix: it is named as the link is. A
link to nothing is a source too, so that what is missing shows.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seal.engine.errors import InputError, UsageError
from seal.engine.files import parse_json, walk_files

_NAME = re.compile(r"(?P<stem>.+?)\.(?:(?:jsonl|json|ndjson|csv|tsv)(?:\.gz|\.zst)?|parquet|arrow)")
_DELIMITED = re.compile(r"\.[ct]sv(\.gz|\.zst)?$")
_SHARD = re.compile(r"-\d+-of-\d+$")
_SUFFIXES = ".jsonl, .json, .ndjson, .csv or .tsv (also with .gz or .zst), .parquet and .arrow"
_STATE = "state.json"  # what `datasets.save_to_disk` says of a folder
_NOT_DATA = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json", _STATE, "manifest.json"}
_CACHED = re.compile(r"cache-[0-9a-f]+\.arrow")  # what `datasets` keeps of a function's results


@dataclass(frozen=True)
class Source:
    """One data file.

    Attributes:
        path: where it lies.
        label: the shortest tail of the path that no other file shares; names it in failures and manifests.
        name: the `source` of its rows: the label without extensions and shard number.
        by_column: whether `split` selects by the records' `split` column here, not by file name.
        broken: why it is no file that could be read (a link to nothing); empty where it is one.
    """

    path: Path
    label: str
    name: str
    by_column: bool = False
    broken: str = ""

    @property
    def is_table(self) -> bool:
        """Whether its columns are read one by one."""
        return self.path.suffix in (".parquet", ".arrow")

    @property
    def is_arrow(self) -> bool:
        return self.path.suffix == ".arrow"

    @property
    def is_delimited(self) -> bool:
        """Whether it is CSV or TSV."""
        return bool(_DELIMITED.search(self.path.name))

    @property
    def stem(self) -> str:
        """Its name without extensions."""
        return _stem(self.path)

    @property
    def unit(self) -> str:
        """What the numbers of its records count."""
        return "row" if self.is_table else "line"


def find_sources(paths: Sequence[Path], split: str | None = None) -> list[Source]:
    """The data files of these files and folders, folders in sorted order, each under a name of its own.

    Args:
        paths: files, or folders that are searched to the bottom.
        split: keep the files whose name (in a folder: whose path below it) holds this word; where a path has
            none, its files are kept and their `split` column decides.

    Raises:
        InputError: nothing is there but links to nothing, or a file has a suffix that is not read.
        UsageError: a file is named twice.
    """
    found: list[tuple[Path, bool]] = []
    for path in paths:
        files = _data_files(path)
        named = [f for f in files if split and _holds_word(f, path, split)]
        found += [(f, bool(split) and not named) for f in named or files]
    _refuse_twice([path for path, _ in found])
    files = [_named(path) for path, _ in found]
    broken = [_broken(path) for path, _ in found]
    if all(broken):
        raise InputError(f"{broken[0]}; bring the file over again, or leave the link out")
    return [
        Source(path, label, name, by_column, why)
        for (path, by_column), label, name, why in zip(
            found, _tails(files), _names(files), broken, strict=True
        )
    ]


def _named(path: Path) -> Path:
    """Where a file lies by its own name: of a link that of the link; a name that is not UTF-8 written out."""
    place = os.path.join(os.path.realpath(path.parent), path.name)
    return Path(os.fsencode(place).decode(errors="backslashreplace"))


def _broken(path: Path) -> str:
    if path.is_file():
        return ""
    return f"{path} is a link to {os.readlink(path)}, where no file is"


def _refuse_twice(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        first = seen.setdefault(os.path.realpath(path), path)
        if first is not path and path.is_file():
            also = f" (also as {path})" if str(path) != str(first) else ""
            raise UsageError(f"{first} is named twice{also}; name each file once")


def _names(files: Sequence[Path]) -> list[str]:
    """The tails without extensions; the shards of a file share a name, other files never do."""
    stems = [file.with_name(_SHARD.sub("", _stem(file))) for file in files]
    counts, both = Counter(stems), zip(files, stems, strict=True)
    stems = [f if counts[stem] > 1 and not _SHARD.search(_stem(f)) else stem for f, stem in both]
    distinct = list(dict.fromkeys(stems))
    names = dict(zip(distinct, _tails(distinct), strict=True))
    return [names[stem] for stem in stems]


def _data_files(path: Path) -> list[Path]:
    if path.is_file() or (path.is_symlink() and not path.is_dir()):
        if not _NAME.fullmatch(path.name):
            raise InputError(f"{path} is no data file: {_SUFFIXES} are read")
        return [path]
    if not path.is_dir():
        raise InputError(f"{path} is neither a file nor a folder")
    seen = walk_files(path, without=lambda inner: inner.name.startswith("."))
    files = [f for f in seen if _NAME.fullmatch(f.name) and f.name not in _NOT_DATA]
    files = _without_leftovers(files)
    if not files:
        raise InputError(f"{path} holds no data files: {_SUFFIXES} are read")
    return files


def _without_leftovers(files: Sequence[Path]) -> list[Path]:
    """The same files; of folders that `datasets` saved only those that belong to the dataset."""
    named = {folder: _saved(folder) for folder in {file.parent for file in files}}
    for folder, names in named.items():
        if absent := sorted((names or set()) - {f.name for f in files if f.parent == folder}):
            raise InputError(
                f"{folder / absent[0]} is missing, though {_STATE} names it; bring it over again"
            )
    return [
        f for f in files
        if (f.name in names if (names := named[f.parent]) is not None else not _CACHED.fullmatch(f.name))
    ]  # fmt: skip


def _saved(folder: Path) -> set[str] | None:
    """The data files of a folder that `datasets.save_to_disk` wrote; None of any other.

    Raises:
        InputError: the dataset is a selection of rows that was not written out.
    """
    try:
        state = parse_json((folder / _STATE).read_bytes())
        names = {str(file["filename"]) for file in state["_data_files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise InputError(
            f"{folder} holds a selection of rows beside the rows themselves; save it again after "
            "flatten_indices()"
        )
    return names


def _holds_word(file: Path, root: Path, word: str) -> bool:
    name = file.name if file == root else file.relative_to(root).as_posix()
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", name) is not None


def _stem(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    assert match
    return match["stem"]


def _tails(paths: Sequence[Path]) -> list[str]:
    """For each path the shortest tail that no other has, the folders above it added as needed."""
    tails = [path.name for path in paths]
    for depth in range(2, max((len(p.parts) for p in paths), default=0) + 1):
        counts = Counter(tails)
        if len(counts) == len(paths):
            break
        tails = [
            "/".join(p.parts[-depth:]).replace("//", "/") if counts[t] > 1 else t
            for p, t in zip(paths, tails, strict=True)
        ]
    return tails
