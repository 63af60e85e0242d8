"""What a shard keeps beside its labels: the health of all shards is told without asking a model again.

label_shard.json    the columns of each labeler, and what was said when it was asked the other way

The pairs of the cross-check are those with the lowest hashes. Each shard asks about as many as an undivided
run does, so those of the whole are among them.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.errors import InputError
from seal.engine.files import parse_json, sealed, unsealed
from seal.engine.frames.health import FILE
from seal.engine.frames.sink import Sink
from seal.engine.frames.stage import Beside
from seal.engine.labeling.cross_check import Again, held_against, spoken
from seal.engine.labeling.health import label_health

KEPT = "label_shard.json"


def kept(columns: Mapping[str, Iterable[str]], again: Mapping[str, Again], n_pairs: int, seed: int) -> bytes:
    """The file.

    Args:
        columns: of each labeler, by its name.
        again: what was said when asked the other way, by the labeler's name.
        n_pairs, seed: how the pairs of the cross-check were drawn.
    """
    said = {
        name: {
            "protocol": x.protocol, "features": list(x.features), "problem": x.problem, "rows": x.rows.rows(),
        }
        for name, x in again.items()
    }  # fmt: skip
    lists = {name: list(its) for name, its in columns.items()}
    return sealed({"cross_check": n_pairs, "seed": seed, "columns": lists, "again": said})


def merged_health(shards: Sequence[Path]) -> Beside:
    """What makes `label_health.csv` of all shards together, once their parts lie in one folder.

    Args:
        shards: their folders.

    Raises:
        InputError: what a shard keeps is damaged, or the shards asked the other way about other pairs.
    """
    documents = [_read(shard / KEPT) for shard in shards]
    drawn = [(document["cross_check"], document["seed"]) for document in documents]
    for shard, (n_pairs, seed) in zip(shards, drawn, strict=True):
        if (n_pairs, seed) != drawn[0]:
            raise InputError(
                f"{shards[0]} and {shard} are not of one run: cross_check {drawn[0][0]} and {n_pairs}, seed "
                f"{drawn[0][1]} and {seed}; give all shards the same and run them again, no label is lost"
            )

    def make(sink: Sink) -> tuple[Mapping[str, bytes], Mapping[str, Any]]:
        facts = {"cross_check": drawn[0][0]} if documents[0]["again"] else {}
        if sink.finished and (sink.folder / FILE).exists():
            return {}, facts
        if not sink.parts:  # nothing was labeled: every shard says so in the same words
            return {FILE: (shards[0] / FILE).read_bytes()}, facts
        crossed = held_against(_together(documents), sink.parts, *drawn[0])
        stored = pl.read_parquet_schema(sink.parts[0])
        columns = documents[0]["columns"].items()
        types = {name: {column: stored[column] for column in its} for name, its in columns}
        health = label_health(sink.parts, types, int(sink.total("n_texts")), crossed)
        return {FILE: health.as_csv()}, facts

    return Beside((FILE,), make)


def _together(documents: Sequence[Mapping[str, Any]]) -> dict[str, Again]:
    """What was said in all shards; a problem of one is a problem of the whole."""
    found = {}
    for name, first in documents[0]["again"].items():
        alike = [document["again"][name] for document in documents]
        schema, rows = spoken(first["features"]), [row for x in alike for row in x["rows"]]
        problem = next((x["problem"] for x in alike if x["problem"]), "")
        said = pl.DataFrame(rows, schema=schema, orient="row")
        found[name] = Again(first["protocol"], tuple(first["features"]), said, problem)
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; run the shard's command again, it makes it"
        ) from None
    if unsealed(data, known=()):
        raise InputError(f"{path} is not as it was written; bring it back, or run its shard again")
    return dict(parse_json(data))
