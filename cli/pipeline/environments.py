"""Which interpreter runs a stage: the one of the environment that has what it needs."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seal.cli.pipeline.stages import Need
from seal.engine.errors import InputError, SealError

_ROOT = Path(__file__).parents[3]
_PROBE = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
try:
    found = version("seal-engine")
except PackageNotFoundError:
    found = None
seal = find_spec("seal")
names = sys.argv[1:]
print(json.dumps({"python": list(sys.version_info[:2]), "version": found, "seal": seal and seal.origin,
                  "has": [name for name in names if find_spec(name)]}))
"""
_BASE = ("click", "polars", "pyarrow", "numpy", "tokenizers", "rich", "httpcore")
_PACKAGES = ("onnxruntime", "torch", "transformers", "onnx", "vllm")


@dataclass(frozen=True)
class Interpreter:
    """What runs a stage.

    Attributes:
        python: the executable.
        has: packages that it can import, of those any stage needs.
        variables: what must be added to its environment so that it finds this program.
    """

    python: Path
    has: frozenset[str]
    variables: Mapping[str, str] = field(default_factory=dict)


Probe = Callable[[Path, str | None], Interpreter]


def choose(
    needs: Sequence[Need], environments: Mapping[str, Path], stage: str, probe: Probe | None = None
) -> Interpreter:
    """The interpreter for a stage; an environment named in the settings goes before this one.

    Args:
        needs: the environments that would do, the best first.
        environments: extra -> interpreter, as the settings say.
        stage: its name, for the error.
        probe: looks into an interpreter.

    Raises:
        InputError: an interpreter is missing or cannot run this program.
        SealError: nowhere is what it needs.
    """
    probe = probe or probe_once
    here = probe(Path(sys.executable), None)
    if not needs:
        return here
    for need in needs:
        named = next((extra for extra in need.extras if extra in environments), None)
        found = probe(environments[named], named) if named else here
        if set(need.packages) <= found.has:
            return found
        if named:
            missing = next(name for name in need.packages if name not in found.has)
            raise SealError(
                f"{stage} needs the package '{missing}', which {found.python} ([run.environments] {named}) "
                f"does not have: {found.python} -m pip install 'seal-engine[{named}]'"
            )
    extras = [need.extras[0] for need in needs]
    raise SealError(
        f"{stage} needs the extra {' or '.join(repr(e) for e in extras)}: pip install "
        f"'seal-engine[{extras[0]}]' here, or name the interpreter that has it in the settings: "
        f'[run.environments] {extras[0]} = ".venv-{extras[0]}/bin/python"'
    )


@cache
def probe_once(python: Path, named: str | None) -> Interpreter:
    """Start an interpreter and ask what it has; this one is looked into without that.

    Raises:
        InputError: it is not there, does not start, or cannot run this version of this program.
    """
    if named is None:
        return Interpreter(python, frozenset(n for n in _PACKAGES if find_spec(n)), _path_for(_here(python)))
    where = f"{python} ([run.environments] {named})"
    if not python.is_file() or not os.access(python, os.X_OK):
        raise InputError(
            f"{where} is no interpreter: make that environment and install 'seal-engine[{named}]' into it, "
            "or correct the path"
        )
    facts = _ask(python, where)
    lacking = [name for name in _BASE if name not in facts["has"]]
    if facts["python"] < [3, 11] or lacking:
        reason = f"no {lacking[0]}" if lacking else "Python 3.11 or later is needed"
        raise InputError(
            f"{where} cannot run seal ({reason}): {python} -m pip install 'seal-engine[{named}]'"
        )
    variables = _path_for(facts["seal"])
    here, there = version("seal-engine"), facts["version"]
    if not variables and there != here:
        raise InputError(
            f"{where} has {f'seal-engine {there}' if there else 'no seal-engine'}, and {here} runs here: "
            f"{python} -m pip install 'seal-engine[{named}]=={here}'"
        )
    return Interpreter(python, frozenset(facts["has"]), variables)


def _here(python: Path) -> str | None:
    """Where this interpreter would find `seal` by itself, as a stage is started."""
    found: str | None = _ask(python, str(python))["seal"]
    return found


def _path_for(origin: str | None) -> dict[str, str]:
    """PYTHONPATH for an interpreter that would not find these very packages.

    Only ever a checkout is put there: a site-packages folder would bring along all that is installed here.
    """
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    is_this = origin is not None and Path(origin).resolve().parents[1] == _ROOT.resolve()
    if is_this or _ROOT.resolve() in installed:
        return {}
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(_ROOT), *([before] if before else [])])}


def _ask(python: Path, where: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [str(python), "-P", "-c", _PROBE, *_BASE, *_PACKAGES],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise InputError(f"{where} does not start as a Python interpreter: {error!r}") from None
    return facts
