"""The pairs that resist most: the trained model prefers the rejected text by the widest margin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.frames.given import as_frame, as_keyed
from seal.engine.frames.schema import CHOSEN, LABELS, ORIGINAL, REJECTED, SCORES, TEXTS, readable
from seal.stats.pairs.joins import PAIRS_PER_BLOCK, collect_all, row_blocks
from seal.stats.pairs.sides import pair_up


@dataclass(frozen=True)
class Side:
    """One text of a pair: its response (None where the texts were not found), rewards and labels."""

    name: str
    prompt: str | None
    response: str | None
    pre: float | None
    post: float
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """A pair and its margins, reward of the chosen text less that of the rejected one."""

    row_id: int
    source: str | None
    margin_pre: float | None
    margin_post: float
    sides: tuple[Side, Side]


def resisting_pairs(
    scores: Sequence[Path],
    texts: Path | None,
    labels: Sequence[Path],
    *,
    pre: str,
    post: str,
    labeler: str | None,
    n_pairs: int,
) -> list[Pair]:
    """The pairs with the most negative margin under `post`, the worst first; only misaligned ones.

    Raises:
        InputError: a folder cannot be read or is not what it should be.
    """
    if not scores or not n_pairs:
        return []
    beside = None if texts is None else as_frame(texts, TEXTS, ("source", "response"), further=True)
    worst = _worst(scores, beside, pre, post, n_pairs)
    ids = worst["row_id"].to_list()
    said = _texts(texts, ids) if texts is not None else {}
    marks = _labels(labels, beside, ids, labeler)
    return [_pair(row, said, marks) for row in worst.to_dicts()]


def _worst(
    scores: Sequence[Path], texts: pl.LazyFrame | None, pre: str, post: str, n_pairs: int
) -> pl.DataFrame:
    """row_id, the four rewards and the margins, a block of pairs in memory at a time."""
    model, reward = pl.col("model"), pl.col("reward").cast(pl.Float64)
    with readable(*scores):
        given = [as_keyed(p, SCORES, ("reward",), texts=texts)[0] for p in scores]
        frame = pl.concat([f.select(*SCORES.key, "reward") for f in given], how="vertical_relaxed")
        frame = frame.filter(pl.col("variant") == ORIGINAL, model.is_in([pre, post]), reward.is_finite())
        found = []
        for low, high in row_blocks([frame], PAIRS_PER_BLOCK):
            rows = frame.filter(pl.col("row_id").is_between(low, high))
            pairs = pair_up(rows, {"pre": (model == pre, reward), "post": (model == post, reward)})
            margins = pairs.with_columns(
                margin_pre=pl.col("pre_chosen") - pl.col("pre_rejected"),
                margin_post=pl.col("post_chosen") - pl.col("post_rejected"),
            ).filter(pl.col("margin_post") < 0)
            (block,) = collect_all([margins.sort("margin_post", "row_id").head(n_pairs)])
            found.append(block)
    if not found:
        return pl.DataFrame(schema={"row_id": pl.Int64})
    return pl.concat(found).sort("margin_post", "row_id").head(n_pairs)


_Key = tuple[int, str]


def _texts(texts: Path, ids: Sequence[int]) -> dict[_Key, Mapping[str, Any]]:
    with readable(texts):
        frame = as_frame(texts, TEXTS, ("source", "prompt", "response"))
        kept = frame.filter(pl.col("row_id").is_in(list(ids)), pl.col("variant") == ORIGINAL)
        (rows,) = collect_all([kept.select("row_id", "preference", "source", "prompt", "response")])
    return {(r["row_id"], r["preference"]): r for r in rows.to_dicts()}


def _labels(
    labels: Sequence[Path], texts: pl.LazyFrame | None, ids: Sequence[int], labeler: str | None
) -> dict[_Key, tuple[str, ...]]:
    """What the labeler says of each text: the features that hold, and text values as `name: value`."""
    found: dict[_Key, tuple[str, ...]] = {}
    for path in labels:
        with readable(path):
            whose = pl.lit(True) if labeler is None else pl.col("labeler") == labeler
            here = pl.col("row_id").is_in(list(ids)), pl.col("variant") == ORIGINAL
            frame, _ = as_keyed(path, LABELS, texts=texts)
            (rows,) = collect_all([frame.filter(*here, whose)])
        for row in rows.sort("row_id", "preference", "labeler").to_dicts():
            key = (row["row_id"], row["preference"])
            said = {k: v for k, v in row.items() if k not in LABELS.types}
            true = [name for name, value in said.items() if value is True]
            values = [f"{name}: {value}" for name, value in said.items() if isinstance(value, str)]
            found[key] = (*found.get(key, ()), *true, *values)
    return found


def _pair(
    row: Mapping[str, Any], texts: Mapping[_Key, Mapping[str, Any]], labels: Mapping[_Key, tuple[str, ...]]
) -> Pair:
    def side(name: str) -> Side:
        text = texts.get((row["row_id"], name), {})
        return Side(
            name, text.get("prompt"), text.get("response"), row[f"pre_{name}"], row[f"post_{name}"],
            labels.get((row["row_id"], name), ()),
        )  # fmt: skip

    source = texts.get((row["row_id"], CHOSEN), {}).get("source")
    return Pair(row["row_id"], source, row["margin_pre"], row["margin_post"], (side(CHOSEN), side(REJECTED)))
