"""Results folders for the tests of the report: worlds whose texts, names or tables are what a test needs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.statistics_worlds import frames, world
from seal.engine.frames.folder import content_hash
from seal.engine.frames.schema import TEXTS
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.options import AnalyzeOptions, ReportOptions
from seal.stats.report.page import Report, report
from seal.stats.results import InputRecord, place_from, read, write

ELOQUENT = "last_response_is_eloquent"


def make_results(
    root: Path,
    *,
    n: int = 900,
    dialogues: list[str] | None = None,
    names: dict[str, str] | None = None,
    rewriting: bool = True,
    two_labelers: bool = True,
    as_published: bool = False,
) -> Path:
    """Frames in `root`, analysed into `root/results`, and the record of where they lie.

    Args:
        root: a new folder.
        n: pairs.
        dialogues: responses of the first pairs, which then resist most: the chosen text loses by far.
        names: what `pre`, `post`, `truth`, `noisy`, ELOQUENT and the source are called instead.
        rewriting: with rewritten texts.
        two_labelers: a second labeler that doubts one feature.
        as_published: with the published study's own arithmetic.
    """
    called = {x: x for x in ("pre", "post", "truth", "noisy", "source", ELOQUENT)} | (names or {})
    w = world(n, seed=3, shuffle=False)
    rewards = w.rewards.copy()
    for i in range(len(dialogues or ())):
        rewards[:, i, 0] -= 40 + i / 100
    scores, labels, _ = frames(w.values, rewards)
    rng = np.random.default_rng(0)
    noisy = labels.with_columns(
        pl.col(ELOQUENT) ^ pl.Series(rng.random(labels.height) < 0.3), labeler=pl.lit("noisy")
    )
    tables = {"texts": _texts(n, dialogues or [], called["source"]), "scores": scores, "labels": labels}
    tables |= {"labels-b": noisy} if two_labelers else {}
    if rewriting:
        values = w.values[:400].copy()
        values[:, :, 2:5] = np.where(rng.random((400, 2, 3)) < 0.2, 1 - values[:, :, 2:5], values[:, :, 2:5])
        again = frames(values, rewards[:, :400] + rng.normal(size=(2, 400, 2)), variant="rewritten")
        tables |= {"rewritten-scores": again[0], "rewritten-labels": again[1]}
    for name, table in tables.items():
        (root / name).mkdir(parents=True)
        _called(table, called).write_parquet(root / name / "part-00000.parquet")
    results = estimate(
        _frames(root, tables),
        AnalyzeOptions(called["pre"], called["post"], labeler=called["truth"]),
        as_published=as_published,
    )
    write(replace(results, inputs=_sources(root, tables)), root / "results")
    return root / "results"


def make_report(results: Path, out: Path, options: ReportOptions | None = None) -> Report:
    """`seal.stats.report.page.report` with the defaults of the command line."""
    return report(results, out, options or ReportOptions())


def rewritten(results: Path, **tables: pl.DataFrame) -> None:
    """Put other tables into a results folder."""
    found = read(results)
    write(replace(found, tables={**found.tables, **tables}), results)


def _texts(n: int, dialogues: list[str], source: str) -> pl.DataFrame:
    said = [(d, f"{d} again") for d in dialogues] + [("Yes.", "No.")] * (n - len(dialogues))
    return pl.DataFrame(
        {
            "row_id": np.repeat(np.arange(n), 2), "preference": ["chosen", "rejected"] * n,
            "variant": ["original"] * (2 * n), "source": [source] * (2 * n),
            "prompt": [f"\n\nHuman: {d}\n\nAssistant:" for d, _ in said for _ in range(2)],
            "response": [text for pair in said for text in pair],
        },
        schema=TEXTS.types,
    )  # fmt: skip


def _called(table: pl.DataFrame, names: dict[str, str]) -> pl.DataFrame:
    for column in ("model", "labeler"):
        if column in table.columns:
            table = table.with_columns(pl.col(column).cast(pl.String).replace(names))
    return table.rename({ELOQUENT: names[ELOQUENT]} if ELOQUENT in table.columns else {})


def _frames(root: Path, tables: dict[str, pl.DataFrame]) -> Frames:
    def opened(name: str) -> pl.LazyFrame:
        return pl.scan_parquet(root / name / "part-00000.parquet")

    again = "rewritten-scores" in tables
    return Frames(
        scores=opened("scores"), labels=tuple(opened(t) for t in ("labels", "labels-b") if t in tables),
        texts=opened("texts"), rewritten_scores=opened("rewritten-scores") if again else None,
        rewritten_labels=(opened("rewritten-labels"),) if again else (),
    )  # fmt: skip


def _sources(root: Path, tables: dict[str, pl.DataFrame]) -> tuple[InputRecord, ...]:
    return tuple(
        InputRecord(
            name.removesuffix("-b"), place_from(root / name, root / "results"), content_hash(root / name)
        )
        for name in tables
    )
