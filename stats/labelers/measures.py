"""Labelers against each other: agreement beyond chance, feature by feature, on keyed rows.

The pair is the unit that is drawn: its two texts are labeled alike, so intervals resample pairs, not texts.
Pairs are first grouped by what both labelers said of both texts, which makes a resample one multinomial draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.errors import InputError
from seal.engine.frames.schema import INCLUSION, LABELS, check
from seal.stats.options import LEVEL, MIN_ALPHA, RESAMPLES
from seal.stats.pairs.features import is_text
from seal.stats.pairs.joins import PAIRS_PER_BLOCK, collect_all, outer_join, row_blocks
from seal.stats.pairs.sides import SIDES, pair_up, stands_twice
from seal.stats.regression.cells import Tally
from seal.stats.regression.inference import Floats

ALL = "all"
MEASURES = ("agreement", "kappa", "ac1", "alpha")

SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(("labeler_a", "labeler_b", "feature"), pl.String()),
    "n": pl.Int64(),
    **dict.fromkeys(("prevalence_a", "prevalence_b", *MEASURES), pl.Float64()),
    **dict.fromkeys([f"{m}_conf_{end}" for m in MEASURES for end in ("low", "high")], pl.Float64()),
    **dict.fromkeys(("precision", "recall", "f1"), pl.Float64()),
}


@dataclass(frozen=True)
class Labeler:
    """One labeler's rows."""

    name: str
    frame: pl.LazyFrame


def find_labelers(labels: Sequence[pl.LazyFrame]) -> list[Labeler]:
    """The labelers of some LABELS frames, in order, each with its own rows.

    One labeler's rows may stand in several frames, one a variant or more: each kind of rewriting has a frame.

    Raises:
        InputError: there is none, or one labeled the same variant in two frames.
    """
    found: dict[str, list[pl.LazyFrame]] = {}
    seen: set[tuple[str, str]] = set()
    for frame in labels:
        checked = check(frame, LABELS, origin="labels")
        (each,) = collect_all([checked.select("labeler", pl.col("variant").cast(pl.String)).unique()])
        known = sorted(each.drop_nulls().iter_rows())
        if twice := seen.intersection(known):
            name, _ = min(twice)
            raise InputError(f"labeler {name!r} stands in two of the labels; give each labeler once")
        seen.update(known)
        for name in dict.fromkeys(name for name, _ in known):
            found.setdefault(name, []).append(checked.filter(pl.col("labeler") == name))
    if not found:
        raise InputError("labels: no rows; there is nothing to regress rewards on")
    return [Labeler(name, _together(frames)) for name, frames in found.items()]


def _together(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """Frames whose variants are of several types, as one."""
    if len(frames) == 1:
        return frames[0]
    plain = [frame.with_columns(pl.col("variant").cast(pl.String)) for frame in frames]
    return pl.concat(plain, how="diagonal_relaxed")


def text_labelers(labelers: Sequence[Labeler]) -> list[Labeler]:
    """Those with something else than numbers."""
    return [x for x in labelers if shared_features([x])]


def compare_labelers(
    labelers: Sequence[Labeler],
    *,
    gold: str | None = None,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    variant: str = "original",
) -> pl.DataFrame:
    """Compare every two labelers on every feature they share (booleans and text of few values).

    Args:
        labelers: at least two for any row to come out; keys are joined, missing ones left out.
        gold: a labeler taken as right: precision, recall and F1 of the others against it (it is `labeler_b`).
        n_resamples: bootstrap resamples of pairs for the percentile intervals.
        seed: of the resampling.
        level: of the intervals.
        variant: which texts.

    Returns:
        `SCHEMA`: one row per two labelers and feature, and with three labelers or more a row `all`, `all`
        with Krippendorff's alpha over all of them. Prevalence is the share of true, or the mean of
        positive/neutral/negative as 1/0/-1; null for other categories. Alpha is nominal. A measure that is
        not defined (no variation to agree on) is null.

    Raises:
        InputError: a labeler labels a text twice, or `gold` is none of the labelers.
    """
    if gold is not None and gold not in {x.name for x in labelers}:
        raise InputError(f"no labeler {gold!r} to take as gold; have: {', '.join(x.name for x in labelers)}")
    ordered = sorted(labelers, key=lambda x: x.name == gold)
    chances: dict[str, Any] = {"rng": np.random.default_rng(seed), "n": n_resamples, "level": level}
    rows = []
    for a, b in combinations(ordered, 2):
        for feature, table in _tables([a, b], variant).items():
            key = {"labeler_a": a.name, "labeler_b": b.name, "feature": feature}
            rows.append({**key, **_row(table, gold == b.name, **chances)})
    if len(ordered) > 2:
        for feature, table in _tables(ordered, variant).items():
            key = {"labeler_a": ALL, "labeler_b": ALL, "feature": feature}
            rows.append({**key, "n": table.n_texts, **_intervals(table, **chances)})
    return pl.DataFrame(rows, schema=SCHEMA)


def shared_features(labelers: Sequence[Labeler]) -> list[str]:
    """Boolean and text columns that all have, in the first one's order."""
    schemas = [x.frame.collect_schema() for x in labelers]
    kinds = {name: [s.get(name) for s in schemas] for name in schemas[0]}
    for name in (*LABELS.types, INCLUSION):
        kinds.pop(name, None)
    return [n for n, ks in kinds.items() if all(k == pl.Boolean() for k in ks) or all(map(is_text, ks))]


@dataclass(frozen=True)
class _Table:
    """Patterns of a feature: what each labeler said of each side.

    Attributes:
        levels: the values that occur.
        codes: (patterns, sides, labelers), an index of `levels`, -1 where there is no label.
        weights: (patterns,) pairs of each pattern.
    """

    levels: tuple[str, ...]
    codes: NDArray[np.int64]
    weights: Floats

    @property
    def n_texts(self) -> int:
        """Texts that at least two labelers labeled."""
        return int(self.weights @ ((self.codes >= 0).sum(axis=2) >= 2).sum(axis=1))

    def joint(self, weights: Floats) -> Floats:
        """Two labelers' contingency table, shape (..., levels, levels), from (..., patterns) weights."""
        k = len(self.levels)
        out = np.zeros((*weights.shape[:-1], k * k))
        both = np.all(self.codes >= 0, axis=2)
        index = self.codes[:, :, 0] * k + self.codes[:, :, 1]
        for side in range(self.codes.shape[1]):
            for cell in range(k * k):
                here = both[:, side] & (index[:, side] == cell)
                out[..., cell] += weights @ here.astype(np.float64)
        return np.asarray(out.reshape(*weights.shape[:-1], k, k))

    def measures(self, weights: Floats) -> tuple[Floats, ...]:
        """`MEASURES` of two labelers; of more the last, alpha, alone."""
        alpha = self.alpha(weights)
        return (*pairwise(self.joint(weights)), alpha) if self.codes.shape[2] == 2 else (alpha,)

    def alpha(self, weights: Floats) -> Floats:
        """Krippendorff's alpha, nominal, any number of labelers, labels missing or not."""
        k = len(self.levels)
        counts = (self.codes[..., None] == np.arange(k)).sum(axis=2)  # pattern, side, level
        m = counts.sum(axis=-1)
        usable = m >= 2
        pairable = np.where(usable[..., None], counts, 0)
        clash = np.where(usable, (m**2 - (counts**2).sum(axis=-1)) / np.maximum(m - 1, 1), 0.0).sum(axis=1)
        totals = weights @ pairable.sum(axis=1)
        n = totals.sum(axis=-1)
        observed, expected = weights @ clash / n, (n**2 - (totals**2).sum(axis=-1)) / (n * (n - 1))
        return np.asarray(1 - observed / expected)


def _tables(labelers: Sequence[Labeler], variant: str) -> dict[str, _Table]:
    """Join the labelers on the key, a block at a time, and group pairs by what was said of each feature."""
    frames = [
        check(x.frame, LABELS, origin=f"labels of {x.name}").filter(pl.col("variant") == variant)
        for x in labelers
    ]
    levels = _levels(frames, shared_features(labelers))
    tallies = {f: Tally(["code"]) for f in levels}
    for low, high in row_blocks(frames, PAIRS_PER_BLOCK):
        together = outer_join([_sided(f, levels, i, low, high) for i, f in enumerate(frames)])
        twice = pl.any_horizontal(stands_twice(f"n{i}") for i in range(len(frames)))
        if together.select(twice.any()).item():
            raise InputError(
                f"{' or '.join(x.name for x in labelers)} labels a text twice; a key stands once"
            )
        for feature, tally in tallies.items():
            names = [f"{feature}/{i}_{s}" for s in SIDES for i in range(len(labelers))]
            base = len(levels[feature]) + 1
            digits = (pl.col(n).cast(pl.Int64).fill_null(0) * base**k for k, n in enumerate(names))
            tally.add(together.group_by(code=pl.sum_horizontal(digits)).agg(n=pl.len().cast(pl.Int64)))
    totals = {f: t.total() for f, t in tallies.items()}
    return {f: _table(found, len(labelers), levels[f]) for f, found in totals.items() if found is not None}


def _levels(frames: Sequence[pl.LazyFrame], features: Sequence[str]) -> dict[str, list[str]]:
    """The values that occur, in the alphabet's order; of a boolean both, always."""
    schema = frames[0].collect_schema()
    text = [f for f in features if schema[f] != pl.Boolean()]
    found = collect_all(
        [frame.select(pl.col(f).cast(pl.String).drop_nulls().unique()) for f in text for frame in frames]
    )
    there: dict[str, set[str]] = {f: set() for f in text}
    for values in found:
        there[values.columns[0]] |= set(values.to_series())
    return {f: sorted(there[f]) if f in there else ["false", "true"] for f in features}


def _sided(frame: pl.LazyFrame, levels: Mapping[str, list[str]], i: int, low: int, high: int) -> pl.LazyFrame:
    """One row a pair: the number, from 1, of what labeler i said of each feature of each side."""
    schema = frame.collect_schema()
    numbers = [
        pl.col(f).cast(pl.Int8) + 1
        if schema[f] == pl.Boolean()
        else pl.col(f).cast(pl.String).replace_strict(
            {v: k + 1 for k, v in enumerate(values)}, default=None, return_dtype=pl.Int32
        )
        for f, values in levels.items()
    ]  # fmt: skip
    rows = frame.filter(pl.col("row_id").is_between(low, high)).with_columns(numbers)
    return pair_up(rows, {f"{f}/{i}": (pl.lit(True), pl.col(f)) for f in levels}, count=f"n{i}")


def _table(found: pl.DataFrame, n_labelers: int, levels: Sequence[str]) -> _Table:
    code, base = found["code"].to_numpy(), len(levels) + 1
    digits = [code // base**k % base - 1 for k in range(2 * n_labelers)]
    codes = np.array(digits, dtype=np.int64).reshape(2, n_labelers, found.height).transpose(2, 0, 1)
    return _Table(tuple(levels), codes, found["n"].to_numpy().astype(np.float64))


def _row(
    table: _Table, against_gold: bool, rng: np.random.Generator, n: int, level: float
) -> dict[str, object]:
    joint = table.joint(table.weights)
    row: dict[str, object] = {"n": int(joint.sum())}
    if not joint.sum():
        return row
    row["prevalence_a"], row["prevalence_b"] = (_prevalence(joint.sum(axis=x), table.levels) for x in (1, 0))
    row |= _intervals(table, rng, n, level)
    if against_gold and set(table.levels) <= {"true", "false"} and "true" in table.levels:
        row |= _against_gold(joint, table.levels.index("true"))
    return row


def pairwise(joint: Floats) -> tuple[Floats, Floats, Floats]:
    """Agreement, Cohen's kappa and Gwet's AC1 of contingency tables (..., k, k); NaN where undefined."""
    n, k = joint.sum(axis=(-2, -1)), joint.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        agree = np.trace(joint, axis1=-2, axis2=-1) / n
        row, column = joint.sum(axis=-1) / n[..., None], joint.sum(axis=-2) / n[..., None]
        by_chance = (row * column).sum(axis=-1)
        mean = (row + column) / 2
        gwet = (mean * (1 - mean)).sum(axis=-1) / max(k - 1, 1)
        kappa = np.where(by_chance < 1, (agree - by_chance) / (1 - by_chance), np.nan)
        ac1 = np.where(k > 1, (agree - gwet) / (1 - gwet), np.nan)
    return agree, kappa, ac1


def _intervals(table: _Table, rng: np.random.Generator, n: int, level: float) -> dict[str, float | None]:
    """Each measure with its percentile interval over resampled pairs."""
    total = int(table.weights.sum())
    draws = rng.multinomial(total, table.weights / total, size=n).astype(np.float64)
    found: dict[str, float | None] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        observed, resampled = table.measures(table.weights), table.measures(draws)
    for name, value, spread in zip(MEASURES[-len(observed) :], observed, resampled, strict=True):
        at, good = float(value), spread[np.isfinite(spread)]
        found[name] = at if np.isfinite(at) else None
        known = np.isfinite(at) and len(good) > 0.5 * n
        ends = np.quantile(good, [(1 - level) / 2, (1 + level) / 2]) if known else (None, None)
        for end, limit in zip(("low", "high"), ends, strict=True):
            found[f"{name}_conf_{end}"] = None if limit is None else float(limit)
    return found


def _prevalence(counts: Floats, levels: Sequence[str]) -> float | None:
    scales = ({"true": 1.0, "false": 0.0}, {"positive": 1.0, "neutral": 0.0, "negative": -1.0})
    for scale in scales:
        if set(levels) <= set(scale):
            return float(counts @ np.array([scale[v] for v in levels]) / counts.sum())
    return None


def _against_gold(joint: Floats, true: int) -> dict[str, float | None]:
    hit, said, is_so = joint[true, true], joint[true].sum(), joint[:, true].sum()
    return {
        "precision": float(hit / said) if said else None,
        "recall": float(hit / is_so) if is_so else None,
        "f1": float(2 * hit / (said + is_so)) if said + is_so else None,
    }


def doubtful_features(table: pl.DataFrame, floor: float = MIN_ALPHA) -> dict[str, float]:
    """Feature -> its lowest alpha, for those under `floor` between some two labelers."""
    lowest = table.filter(pl.col("alpha").is_not_null()).group_by("feature").agg(pl.col("alpha").min())
    return dict(lowest.filter(pl.col("alpha") < floor).sort("feature").iter_rows())


def alpha_of(term: str, alphas: Mapping[str, float]) -> float | None:
    """The alpha of the feature a term is made of (`sentiment=positive`, `helpful:source=a`)."""
    return next((a for f, a in alphas.items() if term == f or term.startswith((f"{f}=", f"{f}:"))), None)
