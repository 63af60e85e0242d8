"""The result files of an analysis: one CSV a table, and `results.json` with all of them."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

FILES = (
    "alignment", "regimes", "profile", "imprint", "imprint_chosen", "shift", "resistance", "robustness",
    "robustness_given_aligned", "robustness_became_aligned", "rewriting", "rewriting_targets", "flips",
    "vif", "labelers", "tests", "theta_histogram", "reward_sample",
)  # fmt: skip
FORMAT = 1


@dataclass(frozen=True)
class Results:
    """Everything one analysis found.

    Attributes:
        tables: file name (without `.csv`) -> frame; no cell is NaN.
        notes: what a reader must know, one sentence each.
        joins: what the keyed joins counted.
        options: how it was run.
        published: tables of the published study's own arithmetic, when asked for.
    """

    tables: Mapping[str, pl.DataFrame]
    notes: tuple[str, ...]
    joins: Mapping[str, Mapping[str, int]]
    options: Any
    published: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The content of `results.json`."""
        return {
            "format": FORMAT,
            "options": asdict(self.options),
            "notes": list(self.notes),
            "joins": {k: dict(v) for k, v in self.joins.items()},
            "tables": {name: frame.to_dicts() for name, frame in self.tables.items()},
            "as_published": {name: frame.to_dicts() for name, frame in self.published.items()},
        }


def write(results: Results, out: Path) -> list[Path]:
    """Write every table and `results.json` into a folder, each file whole or not at all.

    Result files of an earlier analysis that this one does not have are removed, so that the folder never
    mixes two.

    Returns:
        The files written.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = [_csv(frame, out / f"{name}.csv") for name, frame in results.tables.items()]
    if results.published:
        (out / "as_published").mkdir(exist_ok=True)
        written += [_csv(f, out / "as_published" / f"{n}.csv") for n, f in results.published.items()]
    for folder, tables in ((out, results.tables), (out / "as_published", results.published)):
        for name in set(FILES) - set(tables):
            (folder / f"{name}.csv").unlink(missing_ok=True)
    text = json.dumps(results.as_dict(), indent=1, allow_nan=False, ensure_ascii=False)
    written.append(_replace(out / "results.json", text))
    return written


def _csv(frame: pl.DataFrame, path: Path) -> Path:
    return _replace(path, neutralised(frame).write_csv())


def _replace(path: Path, text: str) -> Path:
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(text, encoding="utf-8", newline="")
    os.replace(aside, path)
    return path


def neutralised(frame: pl.DataFrame) -> pl.DataFrame:
    """Put an apostrophe before text that a spreadsheet would take as a formula."""
    text = pl.col(pl.String)
    return frame.with_columns(
        pl.when(text.str.contains(r"^[=+\-@\t\r]")).then(pl.lit("'") + text).otherwise(text).name.keep()
    )
