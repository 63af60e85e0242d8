"""Where results come from: facts of every folder, throughput, and the commands that make it all again."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seal.stats.options import Options
from seal.stats.report.folders import EXTRA, Folder
from seal.stats.report.tables import Cell, Column, TableView
from seal.stats.report.text import NOTHING, count, fixed, listed, significant, visible
from seal.stats.results import Results

_TARGET = {"import": "SOURCE", "score": "TEXTS", "label": "TEXTS", "rewrite": "TEXTS"}
_MODELS = {"score": "--model", "label": "--labeler", "rewrite": "--rewriter", "similarity": "--embedder"}
_NO_FLAGS = frozenset(("sources", "pre", "post"))


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
        for k, v in _flat(results.options)
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
    labeler = results.options.get("labeler")
    targets = [visible(t) for t in results.options.get("targets", ())]
    return (
        f"Taxonomy: features of {f'the labeler {visible(labeler)}' if labeler else 'the only labeler'}. "
        f"In Eq. 1: {listed(list(entered)) or 'none'}. "
        f"Never regressed on: {listed(list(out)) or 'none'}. "
        f"Targets of the preference profile: {', then '.join(targets) or 'none'}."
    )


def total_seconds(folders: Sequence[Folder]) -> float:
    """Time of all stages together, folders that are named twice counted once."""
    return sum({f.sha256 or f.place: f.counters.get("elapsed_s", 0.0) for f in folders}.values())


def commands(results: Results, folders: Sequence[Folder]) -> list[str]:
    """Commands that make the results again, typed in the results folder; capitals stand for the unknown."""
    said = []
    for f in folders:
        if f.stage in _TARGET:
            said.append(_stage_command(f, _texts_of(f, folders)))
    return [*dict.fromkeys(said), _analyze_command(results, folders), "seal report . --out report.html"]


def _texts_of(folder: Folder, folders: Sequence[Folder]) -> str:
    """Where the texts lie that a stage read, found by their hash."""
    read = _mapping(folder.identity.get("inputs")).get("texts")
    return next((f.place for f in folders if f.sha256 and f.sha256 == read), "TEXTS")


def _stage_command(folder: Folder, texts: str) -> str:
    options = _mapping(folder.identity.get("options"))
    targets = options.get("sources") or [texts]
    words = ["seal", folder.stage, *(str(t) for t in (targets if isinstance(targets, list) else [texts]))]
    for model in _mapping(folder.identity.get("models")):
        words += [_MODELS.get(folder.stage, "--model"), f"{model}=FOLDER"]
    for name, value in options.items():
        if name not in _NO_FLAGS:
            values = value if isinstance(value, list) else [value]
            words += [w for v in values for w in _flag(name, v)]  # a stage's lists are repeated options
    return _line([*words, "--out", folder.place])


def _analyze_command(results: Results, folders: Sequence[Folder]) -> str:
    words = ["seal", "analyze"]
    for f in folders:
        if f.role != EXTRA:
            words += [f"--{f.role}", f.place]
    words += ["--pre", results.options["pre"], "--post", results.options["post"]]
    defaults = {f.name: f.default for f in dataclasses.fields(Options)}
    for name, value in results.options.items():
        default = defaults.get(name)
        if name not in _NO_FLAGS and value != (list(default) if isinstance(default, tuple) else default):
            words += _flag(name, value)
    words += ["--as-published"] if results.published else []
    return _line([*words, "--out", "."])


def _flag(name: str, value: object) -> list[str]:
    """An option as it is typed; nothing for one that was not set."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, Mapping):  # one format a source: an option only where they are all alike
        kinds = {str(v) for v in value.values()}
        return [flag, kinds.pop()] if len(kinds) == 1 else []
    if value is True:
        return [flag]
    if value is None or value is False or value == []:
        return []
    if isinstance(value, list):
        joined = [":".join(map(str, v)) if isinstance(v, list) else str(v) for v in value]
        return [flag, ",".join(joined)]
    return [flag, str(value)]


def _line(words: Sequence[str]) -> str:
    return visible(" ".join(shlex.quote(str(w)) for w in words))


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
