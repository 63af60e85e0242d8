"""What a part may have beside its rows, each kind in a file of its own; at the end one file a kind."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from seal.engine.files import file_sha256, written_aside
from seal.engine.frames.schema import FAILURES, USUAL_VARIANT, VARIANT

FAILED = "failures.parquet"
TIES = "ties.parquet"
GATHERED = ("failures", "ties")


def is_gathered(name: str) -> bool:
    """Whether a file belongs to one part and becomes one with those of the other parts at the end."""
    return name.startswith(tuple(f"{kind}-" for kind in GATHERED))


def gather(folder: Path, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Write one file of each kind; that of failures always, any other where there are such rows.

    Args:
        folder: of the parts.
        names: of the files that are gathered, part by part.

    Returns:
        Name of what was written -> `sha256` and `bytes`.
    """
    named: dict[str, Mapping[str, Any]] = {}
    for kind in GATHERED:
        own = [name for name in names if name.startswith(f"{kind}-")]
        if own or f"{kind}.parquet" == FAILED:
            named[f"{kind}.parquet"] = _into(folder / f"{kind}.parquet", own)
    return named


def _into(target: Path, names: Sequence[str]) -> dict[str, Any]:
    parts = [target.with_name(name) for name in names]
    found = [pl.read_parquet_schema(part)["variant"] for part in parts]
    variant = USUAL_VARIANT if all(kind == USUAL_VARIANT for kind in found) else VARIANT
    first = pl.read_parquet(parts[0], n_rows=0) if parts else FAILURES.empty()
    schema = first.cast({"variant": variant}).to_arrow().schema
    with written_aside(target) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for part in parts:
            rows = pl.read_parquet(part).cast({"variant": variant})
            writer.write_table(rows.to_arrow().cast(schema))
    return {"sha256": file_sha256(target), "bytes": target.stat().st_size}
