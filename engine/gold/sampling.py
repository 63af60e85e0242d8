"""A random sample of pairs for people to label: TEXTS in which each pair has its inclusion probability."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.folder import StageFolder, content_hash
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.reader import keep_apart
from seal.engine.frames.schema import FAILURES, ORIGINAL, TEXT_KEY, TEXTS, VARIANT, readable, scan
from seal.engine.frames.sink import Sink
from seal.engine.gold.design import Drawn, draw, proportional, with_share
from seal.engine.gold.options import RARE_SHARE, GoldSampleOptions
from seal.engine.gold.population import DRAWN_WITH, STRATUM, Population, rare_pairs, read_population
from seal.engine.notebook import Shown

STAGE = "gold sample"
_PART_PAIRS = 8192


@dataclass(frozen=True)
class GoldSampleReport(Shown):
    """What was drawn.

    Attributes:
        n_pairs: pairs there were.
        n_incomplete: further pairs, left out because a text of theirs is missing.
        n_drawn: pairs drawn.
        strata: name of a stratum -> pairs drawn, and pairs there were.
    """

    n_pairs: int
    n_incomplete: int
    n_drawn: int
    strata: dict[str, tuple[int, int]]


def gold_sample(
    texts: str | Path, out: str | Path, options: GoldSampleOptions, *, labels: str | Path | None = None,
    overwrite: bool = False,
) -> GoldSampleReport:  # fmt: skip
    """Draw pairs at random into a TEXTS folder for people to label.

    Columns `meta_inclusion_probability` (Float64: pairs drawn over pairs there were, of the pair's stratum)
    and `meta_stratum` are added. The same seed draws the same pairs whatever the order of the input; row_ids
    are read first, and only the texts of drawn pairs are held.

    Args:
        texts: a TEXTS Parquet file or folder.
        out: the folder to write.
        options: how many pairs, the seed, and the strata.
        labels: a LABELS file or folder, to draw more of the pairs that differ in a rare label.
        overwrite: start afresh in a folder that another run wrote.

    Raises:
        InputError: texts or labels are not what they must be.
        ResumeError: `out` was made by something else, or another process writes it.
        UsageError: options that do not go together, more pairs than there are, or fewer than strata.
        SealError: `out` cannot be written.
    """
    texts, out = Path(texts), Path(out)
    _check(options, labels)
    keep_apart(texts, out)
    inputs = {"texts": content_hash(texts)} | (
        {} if labels is None else {"labels": content_hash(Path(labels))}
    )
    manifest = Manifest(STAGE, _identity(options, labels), inputs)
    is_there = not overwrite and _is_there(out, manifest)
    drawn = None if is_there else _drawn(texts, options, labels)  # what is refused leaves no folder
    with Sink(out, manifest, overwrite=overwrite) as sink:
        if drawn is not None and not sink.finished:
            _write(sink, *drawn)
        found = _report(sink)
        sink.finish(n_pairs=found.n_pairs, n_incomplete=found.n_incomplete, n_drawn=found.n_drawn)
    return found


def _check(options: GoldSampleOptions, labels: str | Path | None) -> None:
    if labels is None and (options.rare is not None or options.rare_share is not None):
        raise UsageError(
            "rare pairs are found by their labels: give --labels, or leave --rare and --rare-share out"
        )
    if labels is not None and options.strata is not None:
        raise UsageError(
            "strata are made of a column or of labels, not of both: leave --strata or --labels out"
        )


def _identity(options: GoldSampleOptions, labels: str | Path | None) -> dict[str, Any]:
    rare = {"rare": options.rare, "rare_share": options.rare_share or RARE_SHARE}
    return {
        "pairs": options.pairs,
        "seed": options.seed,
        "strata": options.strata,
        **(rare if labels else {}),
    }


def _is_there(out: Path, manifest: Manifest) -> bool:
    stage = StageFolder.open(out) if out.is_dir() else None
    return stage is not None and stage.complete and stage.identity == manifest.identity


def _drawn(texts: Path, options: GoldSampleOptions, labels: str | Path | None) -> tuple[pl.DataFrame, int]:
    """The texts of the drawn pairs, and how many pairs could not be drawn for want of a text."""
    with TemporaryDirectory() as aside:
        population = read_population(texts, Path(aside) / "sorted.parquet", options.strata)
    if labels is not None:
        population = population.parted(rare_pairs(Path(labels), options.rare)[0])
    sizes = _sizes(population, options, labels)
    drawn = draw(population.row_id, population.stratum, sizes, options.seed)
    return _texts_of(texts, drawn, population.names), population.n_incomplete


def _sizes(population: Population, options: GoldSampleOptions, labels: str | Path | None) -> list[int]:
    if labels is None:
        return proportional(population.counts, options.pairs)
    return with_share(population.counts, options.pairs, options.rare_share or RARE_SHARE)


def _texts_of(texts: Path, drawn: Drawn, names: tuple[str, ...]) -> pl.DataFrame:
    """The drawn pairs with their texts, sorted by key."""
    wanted = pl.DataFrame({
        "row_id": drawn.row_id, DRAWN_WITH: drawn.probability,
        STRATUM: pl.Series([names[number] for number in drawn.stratum], dtype=pl.String),
    })  # fmt: skip
    rows = (
        scan(texts, TEXTS, further=True)
        .filter(variant=pl.lit(ORIGINAL, VARIANT))
        .join(wanted.lazy(), on="row_id")
    )
    with readable(texts):
        return rows.collect(engine="streaming").sort(TEXT_KEY)


def _write(sink: Sink, rows: pl.DataFrame, n_incomplete: int) -> None:
    step = 2 * _PART_PAIRS
    for start in range(len(sink.commits) * step, rows.height, step):
        part = rows[start : start + step]
        counters = {"n_pairs": part.height // 2, "n_texts": part.height}
        counters |= {} if start else {"n_incomplete": n_incomplete}
        sink.commit(part, FAILURES.empty(), last_row_id=part["row_id"].item(-1), counters=counters)


def _report(sink: Sink) -> GoldSampleReport:
    """What the parts say: a run of before says the same."""
    files = sorted(sink.folder / name for name in sink.log.files if name.startswith("part-"))
    pairs = pl.scan_parquet(files).filter(pl.col("preference") == "chosen").group_by(STRATUM)
    counts = pairs.agg(pl.len().alias("drawn"), pl.col(DRAWN_WITH).first()).sort(STRATUM).collect()
    strata = {name: (n, round(n / share)) for name, n, share in counts.iter_rows()}
    n_pairs, n_drawn = (sum(s[i] for s in strata.values()) for i in (1, 0))
    return GoldSampleReport(n_pairs, int(sink.total("n_incomplete")), n_drawn, strata)
