"""Where results come from: facts of every folder, throughput, and the commands that made it all."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from seal.stats.report.folders import Folder
from seal.stats.report.tables import Cell, Column, TableView
from seal.stats.report.text import NOTHING, count, fixed, listed, significant, visible
from seal.stats.results import Results

_ORDER = ("import", "export", "score", "label", "rewrite", "similarity")
_WRITERS = {
    "texts": "import", "scores": "score", "labels": "label", "rewritten": "rewrite",
    "rewritten-scores": "score", "rewritten-labels": "label", "similarities": "similarity",
}  # fmt: skip
_UNKNOWN = "no command is on record; it was made by an earlier version, by another program or from Python"


def inputs_table(folders: Sequence[Folder]) -> TableView:
    """Every input with what it holds, and whether it was found."""
    rows = tuple(
        (
            Cell(f.role, "text"), Cell(visible(f.place), "name"), Cell(f.stage or NOTHING, "text"),
            Cell(visible(f.problem) if f.problem else "found, unchanged", "text"),
            Cell(visible(f.sha256) or NOTHING, "code"),
        )
        for f in folders
    )  # fmt: skip
    columns = tuple(map(Column, ("role", "place, from the results folder", "stage", "state", "SHA-256")))
    note = "The hash names the content, wherever it lies."
    return TableView("provenance-inputs", "Inputs of the analysis", note, columns, rows, len(rows))


def throughput_table(folders: Sequence[Folder]) -> TableView:
    """How long each stage took and how fast it was, over all its runs."""
    columns = (
        Column("stage"), Column("folder"), Column("finished"), Column("rows", True), Column("failed", True),
        Column("seconds", True), Column("texts/s", True), Column("tokens/s", True), Column("processor"),
        Column("cores", True),
    )  # fmt: skip
    rows = []
    for f in folders:
        if not f.manifest:
            continue
        counters, machine = f.counters, _mapping(f.manifest.get("machine"))
        seconds = counters.get("elapsed_s")
        n_texts = counters.get("n_texts") or (counters.get("n_rows") if f.stage == "import" else None)
        rows.append(
            (
                Cell(visible(f.stage), "text"), Cell(visible(f.place), "name"),
                Cell(visible(f.manifest.get("written", NOTHING)), "text"), _count(counters.get("n_rows")),
                _count(counters.get("n_failures", sum(x.n_rows for x in f.failures))),
                Cell(NOTHING if seconds is None else significant(seconds)),
                _speed(n_texts, seconds), _speed(counters.get("n_tokens"), seconds),
                Cell(visible(machine.get("cpu", NOTHING)), "text"), _count(machine.get("cores")),
            )
        )  # fmt: skip
    return TableView(
        "stages-throughput", "Stages", "Seconds of all runs together, interrupted ones included.",
        columns, tuple(rows), len(rows),
    )  # fmt: skip


def failures_table(folders: Sequence[Folder]) -> TableView:
    """Rows that failed, by stage and reason."""
    rows = tuple(
        (
            Cell(visible(f.stage or f.role), "text"), Cell(visible(f.place), "name"),
            Cell(visible(x.error), "text"), Cell(count(x.n_rows)),
            Cell(NOTHING if x.row_id is None else visible(x.row_id)), Cell(_short(x.detail), "text"),
        )
        for f in folders for x in f.failures
    )  # fmt: skip
    columns = (
        Column("stage"), Column("folder"), Column("reason"), Column("rows", True),
        Column("for instance", True), Column("its detail"),
    )  # fmt: skip
    note = "All of them are in failures.parquet of the stage's folder."
    return TableView("stages-failures", "Failures by stage and reason", note, columns, rows, len(rows))


def models_table(folders: Sequence[Folder]) -> TableView:
    """Every model with its hashes and facts, as the stages recorded them."""
    rows = [
        (
            Cell(visible(model), "name"), Cell(visible(f.stage), "text"), Cell(visible(key), "text"),
            Cell(_short(value), "code" if _is_hash(value) else "text"),
        )
        for f in folders
        for model, facts in sorted(_mapping(f.identity.get("models")).items())
        for key, value in _flat(facts)
    ]  # fmt: skip
    unique = tuple(dict.fromkeys(rows))
    columns = tuple(map(Column, ("model", "stage", "fact", "value")))
    return TableView("provenance-models", "Models", "Files by SHA-256.", columns, unique, len(unique))


def settings_table(results: Results, folders: Sequence[Folder]) -> TableView:
    """Options of the analysis and of every stage, and the inputs of the stages."""
    rows = [
        (Cell("analyze", "text"), Cell(visible(k), "text"), Cell(_short(v), "text"))
        for k, v in _flat(results.settings)
    ]
    for f in folders:
        for part in ("options", "inputs"):
            rows += [
                (Cell(visible(f"{f.stage}, {f.place}"), "name"), Cell(visible(k), "text"),
                 Cell(_short(v), "code" if _is_hash(v) else "text"))
                for k, v in _flat(f.identity.get(part))
            ]  # fmt: skip
    columns = tuple(map(Column, ("stage", "option or input", "value")))
    return TableView(
        "provenance-settings", "Options", "As they were resolved, defaults included.", columns, tuple(rows),
        len(rows),
    )  # fmt: skip


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
    rows = tuple(
        (Cell(visible(p), "text"), Cell(visible(v), "text"),
         Cell("all" if stages == every else visible("; ".join(stages)), "text"))
        for (p, v), stages in sorted(found.items())
    )  # fmt: skip
    columns = tuple(map(Column, ("package", "version", "stages")))
    return TableView("provenance-versions", "Versions", "", columns, rows, len(rows))


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
    stage = folder.stage or _WRITERS.get(folder.role, "")
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


def _count(value: object) -> Cell:
    return Cell(count(int(value)) if isinstance(value, int | float) else NOTHING)


def _speed(n: float | None, seconds: float | None) -> Cell:
    return Cell(fixed(n / seconds, 0) if n and seconds else NOTHING)
