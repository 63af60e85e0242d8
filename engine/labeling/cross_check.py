"""A few pairs asked by the other protocol too: whether a label depends on how it is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from seal.engine.errors import UsageError
from seal.engine.frames.reader import TEXT_COLUMNS
from seal.engine.frames.sampling import hashed
from seal.engine.frames.schema import LABELS, TEXT_KEY, TEXTS, VARIANT, scan, scan_files
from seal.engine.frames.stage import FAILED, usable
from seal.engine.labeling.model_labeler import ModelLabeler
from seal.engine.labeling.options import ProtocolName
from seal.engine.progress import Listener, Meter


@dataclass(frozen=True)
class Agreed:
    """Two columns of labels for the same texts.

    Attributes:
        n: texts.
        agreement: share of equal labels.
        kappa: Cohen's; None where both always say one and the same.
    """

    n: int
    agreement: float
    kappa: float | None


@dataclass(frozen=True)
class Crossed:
    """What came of asking a labeler the other way.

    Attributes:
        n_pairs: that were wanted; where there are fewer, all are taken.
        protocol: the other way.
        n_texts: labeled both ways.
        features: feature -> how far both ways agree.
        problem: why it could not be asked so; empty where it could.
    """

    n_pairs: int
    protocol: ProtocolName
    n_texts: int = 0
    features: Mapping[str, Agreed] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Again:
    """What a labeler said when asked the other way.

    Attributes:
        protocol: the other way.
        features: what it was asked about.
        rows: the key, and each feature as text.
        problem: why it could not be asked so; empty where it could.
    """

    protocol: ProtocolName
    features: tuple[str, ...]
    rows: pl.DataFrame
    problem: str = ""


def spoken(features: Sequence[str]) -> dict[str, pl.DataType]:
    """The columns of `Again.rows`."""
    return {**{name: FAILED[name] for name in TEXT_KEY}, **dict.fromkeys(features, pl.String())}


def ask_again(
    labelers: Sequence[ModelLabeler], parts: Sequence[Path], texts: Path, n_pairs: int, seed: int,
    listen: Listener,
) -> dict[str, Again]:  # fmt: skip
    """Ask again about some pairs, by the protocol that was not used.

    Args:
        labelers: who labeled.
        parts: their LABELS.
        texts: what they labeled.
        n_pairs: how many; drawn by the seed and the pair's number alone, so that more hold the fewer.
        seed: of the draw.
        listen: told of the texts done.

    Returns:
        By the labeler's name.
    """
    if not labelers:
        return {}
    if not parts:
        return {x.name: Again(x.protocol.other, x.features, _no_rows(x.features)) for x in labelers}
    chosen = _drawn(scan_files(parts, LABELS, origin="labels"), n_pairs, seed)
    wanted = scan(texts, TEXTS, columns=TEXT_COLUMNS).filter(chosen).collect().sort(TEXT_KEY)
    asked = usable(wanted)[0]
    meter = Meter(listen, "label, cross-check", asked.height, 0, len(labelers))
    return {labeler.name: _asked_again(labeler, asked, meter) for labeler in labelers}


def held_against(
    again: Mapping[str, Again], parts: Sequence[Path], n_pairs: int, seed: int
) -> dict[str, Crossed]:
    """How far labels agree with what was said when asked the other way, by the labeler's name.

    Args:
        again: by the labeler's name; what was said of further pairs is left out.
        parts: the LABELS.
        n_pairs, seed: as for `ask_again`.
    """
    if not again or not parts:
        return {name: Crossed(n_pairs, x.protocol) for name, x in again.items()}
    labels = scan_files(parts, LABELS, origin="labels")
    said = labels.filter(_drawn(labels, n_pairs, seed)).collect()
    return {name: _crossed(said.filter(labeler=pl.lit(name)), x, n_pairs) for name, x in again.items()}


def _drawn(labels: pl.LazyFrame, n_pairs: int, seed: int) -> pl.Expr:
    """Which rows are of the pairs that the seed draws among those that are labeled."""
    ids = labels.select(pl.col("row_id").unique()).collect()["row_id"].sort()
    drawn = ids.gather(np.argsort(hashed(ids.to_numpy(), seed))[:n_pairs]).sort()
    return pl.col("row_id").is_in(drawn.implode())


def _no_rows(features: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(schema=spoken(features))


def _asked_again(labeler: ModelLabeler, texts: pl.DataFrame, meter: Meter) -> Again:
    protocol, features = labeler.protocol.other, labeler.features
    try:
        rows = labeler.asked_by(protocol).label(texts, meter).rows
    except UsageError as error:
        return Again(protocol, features, _no_rows(features), str(error))
    said = (_said(rows, name).alias(name) for name in features)
    return Again(protocol, features, rows.select(*TEXT_KEY, *said))


def _crossed(said: pl.DataFrame, again: Again, n_pairs: int) -> Crossed:
    if again.problem:
        return Crossed(n_pairs, again.protocol, problem=again.problem)
    both = said.join(again.rows, on=TEXT_KEY)
    return Crossed(n_pairs, again.protocol, both.height, compared(said, again.rows, again.features))


def compared(a: pl.DataFrame, b: pl.DataFrame, features: Sequence[str]) -> dict[str, Agreed]:
    """How far two labelers agree on the texts that both label, by feature; lists are compared as sets.

    Args:
        a, b: LABELS of one labeler each, or the key and the features.
        features: columns that both have; those without a text that both label are left out.
    """
    a, b = (frame.cast({"variant": VARIANT}) for frame in (a, b))  # in files it may be an Enum
    both = a.join(b, on=TEXT_KEY, suffix="_b")
    pairs = {
        name: both.select(x=_said(both, name), y=_said(both, f"{name}_b")).drop_nulls() for name in features
    }
    return {name: _agreed(found) for name, found in pairs.items() if found.height}


def _said(frame: pl.DataFrame, name: str) -> pl.Expr:
    if isinstance(frame.schema[name], pl.List):
        return pl.col(name).cast(pl.List(pl.String)).list.sort().list.join("\n")
    return pl.col(name).cast(pl.String)


def _agreed(said: pl.DataFrame) -> Agreed:
    """Cohen's kappa (1960): (p - e) / (1 - e), e the agreement that the two distributions bring by chance."""
    n, same = said.height, int((said["x"] == said["y"]).sum())
    of_x, of_y = (dict(said[c].value_counts().iter_rows()) for c in ("x", "y"))
    chance = sum(n_x * of_y.get(value, 0) for value, n_x in of_x.items())  # times n^2
    kappa = None if chance == n * n else (same * n - chance) / (n * n - chance)
    return Agreed(n, same / n, kappa)
