"""The result files of an analysis: one CSV a table, and `results.json` with all of them."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import InputError, ResumeError
from seal.engine.files import file_sha256, parse_json, sealed, write_atomic
from seal.engine.frames.folder import RESULTS
from seal.engine.notebook import html
from seal.stats.alignment.suspects import SUSPECTS, write_suspects
from seal.stats.csv_files import write_csv
from seal.stats.options import AnalyzeOptions

FILES = (
    "alignment", "calibration", "regimes", "profile", "human", "imprint", "imprint_chosen", "shift",
    "resistance", "robustness", "robustness_given_aligned", "robustness_became_aligned", "rewriting",
    "rewriting_targets", "flips", "vif", "labelers", "tests", "theta_histogram", "reward_sample",
    "human_corrected", "imprint_corrected", "resistance_corrected", "label_errors", "perturbations",
    "causal",
)  # fmt: skip
FORMAT = 1
JSON = RESULTS


@dataclass(frozen=True)
class InputRecord:
    """One file or folder that an analysis read.

    Attributes:
        role: as the command calls it: `texts`, `scores`, `labels`, `rewritten`, `rewritten-scores`, ...
        path: where it was, from the results folder where both lie under a common folder; empty for a frame in
            memory.
        sha256: what it held (see `seal.engine.frames.folder.content_hash`); empty for a frame in memory.
    """

    role: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Results:
    """Everything one analysis found.

    Attributes:
        tables: file name (without `.csv`) -> frame; no cell is NaN.
        notes: what a reader must know, one sentence each.
        joins: what the keyed joins counted.
        options: `AnalyzeOptions`; what `read` found is a plain dictionary.
        suspects: the pairs that `suspects.parquet` holds, without texts, the strongest first; None where none
            were asked for and in what was read. n_suspects: how many there are; None where not asked for.
        published: tables of the published study's own arithmetic, when asked for.
        inputs: what it read.
        versions: of the packages it ran on.
        command: the command line that made it; None where a function was called from Python.
        folder: where it was written, None where it was not. files: what was written there.
    """

    tables: Mapping[str, pl.DataFrame]
    notes: tuple[str, ...]
    joins: Mapping[str, Mapping[str, int]]
    options: Any
    published: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    suspects: pl.DataFrame | None = None
    n_suspects: int | None = None
    inputs: tuple[InputRecord, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    folder: Path | None = None
    files: tuple[Path, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The options as plain JSON values, given or read; an interaction is a pair there."""
        if isinstance(self.options, AnalyzeOptions):
            plain = asdict(self.options) | {"interactions": self.options.crossed}
            return dict(json.loads(json.dumps(plain)))
        return dict(self.options)

    def as_dict(self) -> dict[str, Any]:
        """The content of `results.json`, but for the hashes of what was written."""
        return {
            "format": FORMAT,
            "command": None if self.command is None else list(self.command),
            "options": self.settings,
            "inputs": [asdict(record) for record in self.inputs],
            "versions": dict(self.versions),
            "notes": list(self.notes),
            "joins": {k: dict(v) for k, v in self.joins.items()},
            "n_suspects": self.n_suspects,
            "tables": {name: frame.to_dicts() for name, frame in self.tables.items()},
            "as_published": {name: frame.to_dicts() for name, frame in self.published.items()},
        }

    def _repr_html_(self) -> str:
        return html("Estimates", self.tables, self.notes)


def write(
    results: Results, out: Path, draw: Callable[[Path], Sequence[Path]] | None = None,
    *, texts: pl.LazyFrame | None = None,
) -> list[Path]:  # fmt: skip
    """Write every table, the suspects and `results.json` into a folder, each file whole or not at all.

    Tables that an earlier analysis left there are removed; a file that none wrote is left, and refused where
    it bears the name of a result. `results.json` says first which files are this program's, and at last what
    they hold, so that an analysis that was killed is known as one. It ends with the SHA-256 of each file and
    with its own, for `seal verify`.

    Args:
        results: what was found.
        out: the folder, made if it is missing.
        draw: writes figures into the folder and returns their paths.
        texts: TEXTS, of which the suspects' go into their file.

    Returns:
        The files written.

    Raises:
        ResumeError: a file of the same name is there that no analysis wrote.
    """
    out.mkdir(parents=True, exist_ok=True)
    tables = {f"{name}.csv": frame for name, frame in results.tables.items()}
    tables |= {f"as_published/{name}.csv": frame for name, frame in results.published.items()}
    names = {*tables, *[SUSPECTS] * (results.suspects is not None)}
    earlier = _written(out)
    if strange := [n for n in (JSON, *sorted(names)) if (out / n).exists() and n not in earlier]:
        raise ResumeError(
            f"{out} holds {', '.join(strange[:3])}, which no analysis wrote; choose another folder"
        )
    unfinished = {"format": FORMAT, "unfinished": sorted(earlier | names)}
    write_atomic(out / JSON, json.dumps(unfinished).encode())
    for name in earlier - names - {JSON}:
        (out / name).unlink(missing_ok=True)
    written = []
    for name, frame in tables.items():
        (out / name).parent.mkdir(exist_ok=True)
        written.append(write_csv(frame, out / name))
    if results.suspects is not None:
        written.append(write_suspects(results.suspects, texts, out / SUSPECTS))
    written += draw(out) if draw else ()
    plain = json.loads(json.dumps(results.as_dict(), allow_nan=False))
    hashes = {path.relative_to(out).as_posix(): file_sha256(path) for path in written}
    write_atomic(out / JSON, sealed({**plain, "files": hashes}))
    return [*written, out / JSON]


def _written(folder: Path) -> set[str]:
    """The files that an earlier analysis left in a folder, as its `results.json` says; none without one."""
    try:
        content = parse_json((folder / JSON).read_text(encoding="utf-8"))
        if "unfinished" in content:
            return {JSON, *map(str, content["unfinished"])}
        tables, published = content["tables"], content["as_published"]
        own = {JSON, *(f"{n}.csv" for n in tables), *(f"as_published/{n}.csv" for n in published)}
        return own | {SUSPECTS} if SUSPECTS in content.get("files", ()) else own
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def place_from(path: Path, folder: Path) -> str:
    """Where a path lies as seen from a folder; absolute where they have only the root in common."""
    here, there = folder.resolve(), path.resolve()
    common = os.path.commonpath([here, there])
    return there.as_posix() if common == os.path.sep else Path(os.path.relpath(there, here)).as_posix()


def read(folder: Path) -> Results:
    """The results of an analysis as `write` left them; `options` is a plain dictionary.

    Raises:
        InputError: there is no `results.json`, or it is not one of this program.
    """
    path = folder / JSON
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        if "unfinished" in content:
            raise InputError(f"{folder} was being written when that was stopped: run seal analyze again")
        if content["format"] != FORMAT:
            raise InputError(f"{path} has format {content['format']!r}, this program reads {FORMAT}")
        command = content.get("command")
        return Results(
            tables={str(n): _frame(rows) for n, rows in content["tables"].items()},
            notes=tuple(str(n) for n in content["notes"]),
            joins={k: dict(v) for k, v in content["joins"].items()},
            options={"pre": str(content["options"]["pre"]), "post": str(content["options"]["post"])}
            | {k: v for k, v in content["options"].items() if k not in ("pre", "post")},
            published={str(n): _frame(rows) for n, rows in content["as_published"].items()},
            n_suspects=content.get("n_suspects"),
            inputs=tuple(InputRecord(**record) for record in content.get("inputs", ())),
            versions=dict(content.get("versions", {})),
            command=tuple(map(str, command)) if isinstance(command, list) else None,
            folder=folder,
        )
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); `seal analyze --out {folder}` writes it"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} is not a results file of this program: {error!r}") from None


_TEXT = frozenset(
    ("model", "regime", "gamma", "term", "outcome", "preference", "flip", "flag", "equation", "reason",
     "labeler_a", "labeler_b", "feature", "test", "group", "scale", "labeler", "side",
     "source", "method", "perturbation", "value", "baseline", "estimand", "line", "variant", "pairs")
)  # fmt: skip


def _frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows of JSON as a frame; a column that holds nothing gets the type its name says."""
    frame = pl.DataFrame(list(rows), infer_schema_length=None)
    empty = [n for n, kind in frame.schema.items() if kind == pl.Null()]
    return frame.with_columns(pl.col(n).cast(pl.String() if n in _TEXT else pl.Float64()) for n in empty)
