"""What made a folder: the stage, its resolved options, its inputs and models by hash, and the versions.

The *identity* of a run is everything that changes its result. A folder can only be resumed by a run of the
same identity; the first difference is named otherwise.
"""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from seal.engine.errors import InputError
from seal.engine.files import parse_json

MANIFEST = "manifest.json"
LOG_SHA256 = "log_sha256"
"""The key of the commit log's hash, once the stage has finished."""
KEYS = ("identity", "command", "versions", "machine", "written", "complete", "totals", LOG_SHA256)
FORMAT = 1
_COMMAND: ContextVar[tuple[str, ...] | None] = ContextVar("command", default=None)
_ADDED: Mapping[str, Mapping[str, Any]] = {"import": {"prompt": None, "chosen": None, "rejected": None}}
"""Options that a stage got later, with the value that stands for what it did before."""
_PACKAGES = (
    "seal-engine", "polars", "pyarrow", "numpy", "tokenizers", "onnxruntime", "onnxruntime-gpu", "torch",
    "transformers", "optimum-onnx", "onnx", "vllm",
)  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """The identity of a run.

    Attributes:
        stage: the command, e.g. `score`.
        options: every option that changes the result, by its long name.
        inputs: name -> content hash of what is read (see `folder.content_hash`).
        models: name -> hash and facts of each model used.
        maker: what else a manifest of another process says of who made the rows (versions, machine), where
            they are only put together here; no part of the identity.
    """

    stage: str
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Any] = field(default_factory=dict)
    maker: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """The identity as plain JSON values."""
        own = {name: value for name, value in asdict(self).items() if name != "maker"}
        plain: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **own}))
        return plain

    def document(self, **more: Any) -> dict[str, Any]:
        """The whole of `manifest.json`: identity, versions, machine, and what the caller adds."""
        command = {"command": current_command()} if current_command() else {}
        maker = {"versions": versions(), "machine": machine(), **self.maker}
        return {"identity": self.identity, **command, **maker, **more}


@contextmanager
def recorded_command(words: Sequence[str]) -> Iterator[None]:
    """Let what is written meanwhile say which command made it: its words after `seal`, without secrets."""
    token = _COMMAND.set(tuple(words))
    try:
        yield
    finally:
        _COMMAND.reset(token)


def current_command() -> tuple[str, ...] | None:
    """The command that is being carried out; None where a function was called from Python."""
    return _COMMAND.get()


def _upgraded(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity in today's words: what an earlier version wrote is recognised, not refused."""
    options = dict(identity["options"])
    if "part_rows" in options:
        options["part_pairs"] = options.pop("part_rows")
    options = {**_ADDED.get(identity["stage"], {}), **options}
    return {**identity, "options": options}


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], where: tuple[str, str] = ("there", "now")
) -> list[str]:
    """What differs between two identities, one line each: `options.max_tokens: 512 there, 256 now`."""
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        f"{key}: {_show(old, key)} {where[0]}, {_show(new, key)} {where[1]}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, ...) != new.get(key, ...)
    ]


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _show(flat: Mapping[str, Any], key: str) -> str:
    if key not in flat:
        return "nothing"
    text = json.dumps(flat[key])
    return text if len(text) <= 60 else text[:12] + "…" + text[-8:]


def versions() -> dict[str, str]:
    """Versions of Python and of every installed package that can change a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def usable_cores() -> int:
    """Cores that this process may run on; where the system does not say (macOS), those of the machine."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """The processor, its usable cores and the system."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), cpu)
    except OSError:
        pass
    return {"cpu": cpu, "cores": usable_cores(), "system": platform.platform()}


class ForeignManifestError(InputError):
    """A `manifest.json` that another program wrote."""


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder, None where there is none.

    Raises:
        InputError: it is there but cannot be read, or another program's (`ForeignManifestError`).
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a manifest of this program: {error}") from None
    try:
        document["identity"] = _upgraded(document["identity"])
        document["identity"]["stage"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ForeignManifestError(f"{path} is not a manifest of this program: {error}") from None
    return dict(document)
