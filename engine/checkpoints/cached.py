"""`org/name[@revision]`: a model that the local Hugging Face cache holds. The network is never asked.

    HUB/models--org--name/refs/main         the commit that a branch or tag stands for
                          snapshots/COMMIT/ its files, links to blobs/ (or files)

HUB is `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `~/.cache/huggingface/hub`, as huggingface_hub has it.
What a name stands for is a folder like any other. Its path says which commit it is, so that a model is
known by the same origin whether its name or its path was given.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from seal.engine.errors import InputError
from seal.engine.files import parse_json, walk_files

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_NAME = re.compile(rf"({_PART})/({_PART})(?:@(.+))?")
_REPOSITORY = re.compile(rf"models--({_PART}?)--({_PART})")
_COMMIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MAIN = "main"
_SETTINGS = ("config.json", "modules.json", "seal.json", "adapter_config.json")
_INDEX = "*.index.json"
_WEIGHTS = (".safetensors", ".bin", ".onnx", ".pt", ".pth", ".ckpt", ".pkl")
_MOST_SHOWN = 5
_FETCH = "download it on a connected machine and copy the whole folder over"


class CachedName(NamedTuple):
    """`org/name[@revision]` in its parts.

    Attributes:
        organisation: `org`.
        name: `name`.
        revision: a branch, a tag or a commit; None for `main`.
    """

    organisation: str
    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, value: str) -> "CachedName | None":
        """Split a value; None where it is no such name."""
        found = _NAME.fullmatch(value)
        return None if found is None or ".." in value.partition("@")[0] else cls(*found.groups())

    @property
    def repository(self) -> str:
        """`org/name`."""
        return f"{self.organisation}/{self.name}"


def hub_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Where huggingface_hub keeps models on this machine."""
    if stated := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return _expanded(stated)
    if stated := environment.get("HF_HOME"):
        return _expanded(stated) / "hub"
    return _expanded(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hub"


def local_model(value: str | Path) -> Path:
    """The folder that a MODEL stands for: itself where it is one, else what the cache has by that name.

    A value that is neither is returned as it is; whoever opens it says so (`not_here`).

    Raises:
        InputError: the cache has the name but not the revision, or only a part of its files.
    """
    return Path(value) if os.path.exists(value) else cached_model(str(value)) or Path(value)


def cached_model(value: str) -> Path | None:
    """The folder of `org/name[@revision]`; None where it is no such name, or not in the cache.

    Raises:
        InputError: see `local_model`.
    """
    if (asked := CachedName.parse(value)) is None:
        return None
    repository = hub_cache() / f"models--{asked.organisation}--{asked.name}"
    return _snapshot(repository, asked) if os.path.isdir(repository) else None


def origin_of(folder: Path) -> str:
    """`org/name@COMMIT` of a folder that lies in a cache, by its path; empty for any other."""
    commit, snapshots, repository = (*reversed(folder.absolute().parts), "", "", "")[:3]
    found = _REPOSITORY.fullmatch(repository)
    return f"{found[1]}/{found[2]}@{commit}" if found and snapshots == "snapshots" else ""


def own_name(value: str | Path) -> str:
    """What a model is called where its user names it not: after its repository, or its folder."""
    named = CachedName.parse(origin_of(Path(value)))
    if named is None and not os.path.exists(value):
        named = CachedName.parse(str(value))
    return named.name if named else Path(value).resolve().name


def not_here(value: str | Path) -> str:
    """The start of an error about a model that is nowhere: which places were looked at, and what to do."""
    if CachedName.parse(str(value)) is None:
        return f"model '{value}' is not a folder here, and nothing is ever fetched: {_FETCH}"
    return (
        f"model '{value}' is not a folder here, and not in the Hugging Face cache {hub_cache()} "
        f"(HF_HUB_CACHE or HF_HOME name another); nothing is ever fetched: {_FETCH}"
    )


def _expanded(stated: str) -> Path:
    return Path(os.path.expandvars(stated)).expanduser().absolute()


def _snapshot(repository: Path, asked: CachedName) -> Path:
    """The folder of a revision.

    Raises:
        InputError: there is no such revision, or files of it are missing.
    """
    revision = asked.revision or _MAIN
    folder = repository / "snapshots" / (_commit(repository, revision) or revision)
    if folder.parent.name != "snapshots" or not _COMMIT.fullmatch(folder.name) or not os.path.isdir(folder):
        raise InputError(
            f"model '{asked.repository}' is in the cache {repository.parent}, but not its revision "
            f"{revision!r}; there are: {_listed(_revisions(repository)) or 'none'}"
        )
    if missing := list(_missing(folder)):
        raise InputError(
            f"model '{asked.repository}' is in the cache only in part: {folder} lacks {_listed(missing)}; "
            "download it again on a connected machine"
        )
    return folder


def _commit(repository: Path, revision: str) -> str | None:
    """The commit that a branch or tag stands for; None where there is no such."""
    parts = revision.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        return None
    try:
        said = repository.joinpath("refs", *parts).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return said if _COMMIT.fullmatch(said) else None


def _revisions(repository: Path) -> list[str]:
    """Branches and tags, then the commits that none of them stands for."""
    refs = repository / "refs"
    named = {
        path.relative_to(refs).as_posix(): path for path in walk_files(refs, without=lambda _: False)
    } if refs.is_dir() else {}  # fmt: skip
    commits = {name: _commit(repository, name) for name in named}
    folders = repository / "snapshots"
    there = sorted(p.name for p in folders.iterdir() if p.is_dir()) if folders.is_dir() else []
    kept = [name for name, commit in sorted(commits.items()) if commit in there]
    return [*kept, *(c for c in there if c not in commits.values())]


def _missing(folder: Path) -> Iterator[str]:
    """Files that a snapshot names and does not hold."""
    found = list(walk_files(folder, without=lambda _: False))
    yield from (p.relative_to(folder).as_posix() for p in found if not p.exists())
    if not any((folder / name).is_symlink() or (folder / name).is_file() for name in _SETTINGS):
        yield _SETTINGS[0]
    elif not any(p.name.endswith(_WEIGHTS) for p in found):
        yield "its weights"
    for index in sorted(folder.rglob(_INDEX)):
        yield from (name for name in _shards(index) if not os.path.lexists(index.parent / name))


def _shards(index: Path) -> list[str]:
    """The files that an index of weights names; what cannot be read is told by who loads it."""
    try:
        document = parse_json(index.read_text(encoding="utf-8"))
        return sorted({str(name) for name in document["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more
