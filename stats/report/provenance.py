"""Where results come from: facts of every folder, throughput, and the commands that made it all."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from seal.stats.report.folders import ROLES, Folder
from seal.stats.report.tables import Cell, TableView, derived, numbers
from seal.stats.report.text import NOTHING, count, fixed, listed, significant, visible
from seal.stats.results import Results

_ORDER = ("import", "export", "score", "label", "rewrite", "similarity")
_WRITERS = {role: stage for stage, role in ROLES.items()}
_UNKNOWN = "no command is on record; it was made by an earlier version, by another program or from Python"


def inputs_table(folders: Sequence[Folder]) -> TableView:
    """Every input with what it holds, and whether it was found."""
    columns = [("role", "text"), ("place, from the results folder", "name"), ("stage", "text"),
               ("state", "text"), ("SHA-256", "code")]  # fmt: skip
    rows = [
        (f.role, f.place, f.stage or None, f.problem or "found, unchanged", f.sha256 or None) for f in folders
    ]
    note = "The hash names the content, wherever it lies."
    return derived("provenance-inputs", "Inputs of the analysis", note, columns, rows)


def throughput_table(folders: Sequence[Folder]) -> TableView:
    """How long each stage took and how fast it was, over all its runs."""
    columns = [("stage", "text"), ("folder", "name"), ("finished", "text")]
    columns += numbers("rows", "failed", "seconds", "texts/s", "tokens/s")
    columns += [("processor", "text"), ("cores", "number")]
    rows = []
    for f in folders:
        if not f.manifest:
            continue
        counters, machine = f.counters, _mapping(f.manifest.get("machine"))
        seconds = counters.get("elapsed_s")
        n_texts = counters.get("n_texts") or (counters.get("n_rows") if f.stage == "import" else None)
        n_failed = counters.get("n_failures", sum(x.n_rows for x in f.failures))
        rows.append(
            (f.stage, f.place, f.manifest.get("written"), _count(counters.get("n_rows")), _count(n_failed),
             None if seconds is None else significant(seconds), _speed(n_texts, seconds),
             _speed(counters.get("n_tokens"), seconds), machine.get("cpu"), _count(machine.get("cores")))
        )  # fmt: skip
    note = "Seconds of all runs together, interrupted ones included."
    return derived("stages-throughput", "Stages", note, columns, rows)


def failures_table(folders: Sequence[Folder]) -> TableView:
    """Rows that failed, by stage and reason."""
    columns = [("stage", "text"), ("folder", "name"), ("reason", "text"), *numbers("rows", "for instance"),
               ("its detail", "text")]  # fmt: skip
    rows = [
        (f.stage or f.role, f.place, x.error, count(x.n_rows), x.row_id, _short(x.detail))
        for f in folders
        for x in f.failures
    ]
    note = "All of them are in failures.parquet of the stage's folder."
    return derived("stages-failures", "Failures by stage and reason", note, columns, rows)


def models_table(folders: Sequence[Folder]) -> TableView:
    """Every model with its hashes and facts, as the stages recorded them."""
    columns = [("model", "name"), ("stage", "text"), ("fact", "text"), ("value", "text")]
    rows = dict.fromkeys(
        (str(model), f.stage, key, _fact(value))
        for f in folders
        for model, facts in sorted(_mapping(f.identity.get("models")).items())
        for key, value in _flat(facts)
    )
    return derived("provenance-models", "Models", "Files by SHA-256.", columns, rows)


def settings_table(results: Results, folders: Sequence[Folder]) -> TableView:
    """Options of the analysis and of every stage, and the inputs of the stages."""
    columns = [("stage", "name"), ("option or input", "text"), ("value", "text")]
    rows: list[Sequence[object]] = [
        (Cell("analyze", "text"), k, _short(v)) for k, v in _flat(results.settings)
    ]
    for f in folders:
        for part in ("options", "inputs"):
            rows += [(f"{f.stage}, {f.place}", k, _fact(v)) for k, v in _flat(f.identity.get(part))]
    note = "As they were resolved, defaults included."
    return derived("provenance-settings", "Options", note, columns, rows)


def versions_table(results: Results, folders: Sequence[Folder]) -> TableView:
    """Versions of every package, and where stages ran on different ones."""
    ran = {"analyze": results.versions} | {
        f"{f.stage}, {f.place}": _mapping(f.manifest.get("versions")) for f in folders if f.manifest
    }
    found: dict[tuple[str, str], list[str]] = {}
    for stage, versions in ran.items():
        for package, version in versions.items():
            found.setdefault((str(package), str(version)), []).append(stage)
    every = [stage for stage, versions in ran.items() if versions]
    columns = [("package", "text"), ("version", "text"), ("stages", "text")]
    rows = [
        (p, v, "all" if stages == every else "; ".join(stages)) for (p, v), stages in sorted(found.items())
    ]
    return derived("provenance-versions", "Versions", "", columns, rows)


def taxonomy(results: Results) -> str:
    """Whose features were regressed on, and which of them."""
    vif = results.tables.get("vif")
    rows = vif.to_dicts() if vif is not None else []
    entered = dict.fromkeys(visible(r["term"]) for r in rows if r["kept"] and r["equation"] == "imprint")
    out = dict.fromkeys(visible(r["term"]) for r in rows if not r["kept"] and r["equation"] == "all")
    labeler = results.settings.get("labeler")
    targets = [visible(t) for t in results.settings.get("targets", ())]
    return (
        f"Taxonomy: features of {f'the labeler {visible(labeler)}' if labeler else 'the only labeler'}. "
        f"In Eq. 1: {listed(list(entered)) or 'none'}. "
        f"Never regressed on: {listed(list(out)) or 'none'}. "
        f"Targets of the preference profile: {', then '.join(targets) or 'none'}."
    )


def total_seconds(folders: Sequence[Folder]) -> float:
    """Time of all stages together, folders that are named twice counted once."""
    return sum({f.sha256 or f.place: f.counters.get("elapsed_s", 0.0) for f in folders}.values())


def commands(results: Results, folders: Sequence[Folder], folder: Path | None) -> list[tuple[str, str]]:
    """The commands that made the results, in the order of the pipeline, as they were typed.

    Args:
        results: what the analysis found.
        folders: what it read, and folders named beside.
        folder: where the results lie, None where they lie nowhere; absolute paths beside it are shortened.

    Returns:
        (command, what is said in its place where none is on record); one of the two is empty.
    """
    homes = _homes(results, folder)
    said: list[tuple[str, str]] = []
    for f in sorted(folders, key=_place_in_order):
        words = f.stage_folder.command if f.stage_folder else None
        if words is not None:
            said.append((_line(words, homes), ""))
        else:
            said.append(("", f"{visible(f.stage or f.role)}, {visible(f.place)}: {_UNKNOWN}"))
    own = ("", f"analyze: {_UNKNOWN}") if results.command is None else (_line(results.command, homes), "")
    return list(dict.fromkeys([*said, own]))


def _place_in_order(folder: Folder) -> int:
    role = folder.role if folder.role in _WRITERS else folder.role.removeprefix("rewritten-")
    stage = folder.stage or _WRITERS.get(role, "")
    return _ORDER.index(stage) if stage in _ORDER else len(_ORDER)


def _homes(results: Results, folder: Path | None) -> list[str]:
    """Where commands were probably typed: two folders above the results, as written and as they lie now.

    A path below is shown from there, so that a report does not carry the paths of a machine.
    """
    words = list(results.command or ())
    places = [w for before, w in pairwise(words) if before == "--out"]
    places += [w.removeprefix("--out=") for w in words if w.startswith("--out=")]
    places += [] if folder is None else [str(folder.resolve())]
    homes = [Path(p).parent.parent for p in places if Path(p).is_absolute()]
    return list(dict.fromkeys(f"{home.as_posix()}/" for home in homes if home != home.parent))


def _line(words: Sequence[str], homes: Sequence[str]) -> str:
    shown = (_from_home(w, homes) for w in words)
    return visible(" ".join(["seal", *(shlex.quote(w) for w in shown)]))


def _from_home(word: str, homes: Sequence[str]) -> str:
    """A path, or `NAME=PATH`, as seen from where it was typed."""
    name, equals, path = ("", "", word) if word.startswith("/") else word.partition("=")
    home = next((h for h in homes if path.startswith(h)), "")
    return f"{name}{equals}{path.removeprefix(home)}"


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested facts as dotted names and plain values."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _short(value: object) -> str:
    if isinstance(value, list):
        value = ", ".join(":".join(map(str, v)) if isinstance(v, list) else str(v) for v in value)
    text = visible(NOTHING if value is None else value) or NOTHING
    return text if len(text) <= 300 else f"{text[:299]}…"


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value)


def _fact(value: object) -> Cell:
    return Cell(_short(value), "code" if _is_hash(value) else "text")


def _count(value: object) -> str | None:
    return count(int(value)) if isinstance(value, int | float) else None


def _speed(n: float | None, seconds: float | None) -> str | None:
    return fixed(n / seconds, 0) if n and seconds else None
