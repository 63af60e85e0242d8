"""Pairs that people labeled: what is true of them, and what the labeler said, in the design's own columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.errors import InputError
from seal.engine.frames.schema import CHOSEN, INCLUSION, LABELS, check
from seal.stats.pairs.features import Features, Regressor, is_text
from seal.stats.pairs.joins import Inputs, collect_all
from seal.stats.pairs.sides import SIDES, pair_up, stands_twice
from seal.stats.regression.inference import Floats

MOST_TEXTS = 400_000  # gold texts held in memory at most
_ANY = pl.lit(True)


class NoGold(Exception):
    """Gold labels that coefficients cannot be corrected by; the text says why and what to do."""


@dataclass(frozen=True)
class GoldLabels:
    """Gold labels, a row a pair.

    Attributes:
        frame: `row_id` (ascending), `probability` (null without inclusion probabilities) and, for each
            column of the differences that gold labels, `g<column>_chosen` and `g<column>_rejected` (Float64).
        labeled: (C,) whether gold labels it, for each column of the differences; covariates are measured.
        n_null: pairs left out because a label that enters is null.
        ids: `row_id` of all gold pairs, those left out too.
    """

    frame: pl.DataFrame
    labeled: NDArray[np.bool_]
    n_null: int
    ids: pl.Series

    @property
    def drawn(self) -> bool:
        """Whether it is known how likely each pair was to be drawn."""
        return self.frame["probability"].null_count() < self.frame.height


@dataclass(frozen=True)
class GoldPairs:
    """The gold pairs that enter the regressions, by ascending `row_id`.

    Attributes:
        row_ids: (m,).
        probability: (m,), of being drawn.
        truth, proxy: (m, 2, C), chosen and rejected: what gold and what the labeler says, columns as in the
            differences (codes, then covariates); of a column that gold lacks, the truth is NaN.
        labeled: (C,) whether the truth is known: labeled by gold, or measured.
        rewards: (m, 2, 2): pre and post model, chosen and rejected.
        n_null: gold pairs left out because a label is null.
        n_outside: gold pairs that do not enter (unscored, or not labeled in full by the labeler).
    """

    row_ids: pl.Series
    probability: Floats
    truth: Floats
    proxy: Floats
    labeled: NDArray[np.bool_]
    rewards: Floats
    n_null: int
    n_outside: int

    def __len__(self) -> int:
        return len(self.row_ids)

    @property
    def weight(self) -> Floats:
        """(m,), 1 / probability, adding up to one."""
        inverse = 1.0 / self.probability
        return np.asarray(inverse / inverse.sum(), dtype=np.float64)

    def differences(self, columns: Sequence[int]) -> tuple[Floats, Floats]:
        """Chosen minus rejected of some columns, (m, K): true, and as the labeler has it."""
        d, v = (x[:, 0, columns] - x[:, 1, columns] for x in (self.truth, self.proxy))
        return d, v

    def margins(self, model: str) -> Floats:
        """(m,), of `pre` or `post`."""
        own = self.rewards[:, 0 if model == "pre" else 1]
        return np.asarray(own[:, 0] - own[:, 1], dtype=np.float64)

    def informative(self, columns: Sequence[int]) -> NDArray[np.int64]:
        """(K,), pairs in which the truth differs between the two texts."""
        return np.asarray((self.differences(columns)[0] != 0).sum(axis=0), dtype=np.int64)


def truths(features: Features, gold: pl.LazyFrame) -> tuple[Regressor | None, ...]:
    """What of a gold frame tells each column of the differences; None where it does not.

    A probability `p_<feature>` that enters as a number is told by the feature itself.
    """
    schema = gold.collect_schema()

    def told(r: Regressor) -> Regressor | None:
        if measured(r):
            return None
        r = Regressor(r.term, r.term, "boolean") if r.kind == "numeric" else r
        kind = schema.get(r.feature)
        return r if (kind == pl.Boolean() if r.kind == "boolean" else is_text(kind)) else None

    return tuple(told(r) for r in (*features.packed, *features.numeric))


def measured(r: Regressor) -> bool:
    """Whether a column is measured and not labeled, so that it has no error."""
    return r.kind == "numeric" and r.feature != f"p_{r.term}"


def read_gold(labels: pl.LazyFrame, features: Features, needed: Sequence[bool], variant: str) -> GoldLabels:
    """Read gold labels of whole pairs.

    Args:
        labels: LABELS of the gold labeler.
        features: what enters the regressions.
        needed: of each column of the differences, whether a null in it leaves its pair out.
        variant: which texts.

    Raises:
        NoGold: some pairs are labeled on one side only, none is labeled, or too many are.
        InputError: a text stands twice, or an inclusion probability is none.
    """
    columns = (*features.packed, *features.numeric)
    told = truths(features, labels)
    schema = labels.collect_schema()
    typed = check(labels, LABELS, origin="gold labels").filter(pl.col("variant") == variant)
    values = {f"g{j}": r.value().cast(pl.Float64) for j, r in enumerate(told) if r is not None}
    chance = pl.col(INCLUSION).cast(pl.Float64) if INCLUSION in schema else pl.lit(None, pl.Float64)
    (counted,) = collect_all([typed.select(pl.len())])
    if counted.item() > MOST_TEXTS:
        raise NoGold(
            f"gold labels {counted.item()} texts, more than the {MOST_TEXTS} that a correction holds: "
            "regress on them directly with --labeler"
        )
    paired = pair_up(typed, {n: (_ANY, v) for n, v in (values | {"chance": chance}).items()})
    (frame,) = collect_all([paired.sort("row_id")])
    _refuse_halves(frame)
    frame = _with_probability(frame, INCLUSION in schema)
    known = [f"g{j}_{s}" for j, r in enumerate(told) if r is not None and needed[j] for s in SIDES]
    whole = frame.drop_nulls(known) if known else frame
    labeled = np.array([r is not None or measured(c) for r, c in zip(told, columns, strict=True)], dtype=bool)
    return GoldLabels(whole, labeled, frame.height - whole.height, frame["row_id"])


def _refuse_halves(frame: pl.DataFrame) -> None:
    if frame.filter(stands_twice()).height:
        raise InputError("gold labels hold a text twice; every (row_id, preference, variant) must stand once")
    if not frame.height:
        raise NoGold("gold labels none of the texts")
    halves = frame.filter(pl.any_horizontal(pl.col(f"n_{s}") == 0 for s in SIDES)).height
    if halves:
        raise NoGold(
            f"gold labels one side only of {halves} pairs; label both texts of whole pairs that are drawn at "
            "random (`seal gold sample`)"
        )


def _with_probability(frame: pl.DataFrame, given: bool) -> pl.DataFrame:
    """Set `probability`, which both texts of a pair share."""
    one, other = (pl.col(f"chance_{s}") for s in SIDES)
    if given:
        wrong = frame.filter(~(one.is_between(0, 1, closed="right") & (one == other)).fill_null(False))
        if wrong.height:
            first = int(wrong.select(pl.col("row_id").min()).item())
            raise InputError(
                f"gold labels: {INCLUSION} of {wrong.height} pairs is not above 0 and at most 1, the same "
                f"for both texts; the first row_id is {first}"
            )
    return frame.with_columns(probability=one).drop([f"chance_{s}" for s in SIDES])


def gather(rows: Iterable[pl.DataFrame], inputs: Inputs, labels: GoldLabels) -> GoldPairs:
    """Walk through the pairs and keep those that gold labels.

    Raises:
        NoGold: none enters, or it is not known how the pairs were drawn.
    """
    found, n_pairs, n_covered = [], 0, 0
    for block in rows:
        entering = block.filter("regressed")
        n_pairs += entering.height
        n_covered += entering.filter(pl.col("row_id").is_in(labels.ids.implode())).height
        found.append(entering.join(labels.frame, on="row_id", how="inner"))
    together = pl.concat(found).sort("row_id") if found else pl.DataFrame()
    if not together.height:
        raise NoGold("no gold pair is scored and labeled in full; are the gold labels of the same texts?")
    if not labels.drawn:
        if n_covered < n_pairs:
            raise NoGold(
                f"gold labels {n_covered} of {n_pairs} pairs and has no {INCLUSION}: it is not known to be a "
                "random sample; draw one with `seal gold sample`"
            )
        together = together.with_columns(probability=pl.lit(1.0))
    proxy = np.stack([_said(together, inputs, s) for s in SIDES], axis=1)
    truth = np.where(labels.labeled, proxy, np.nan)
    for j in range(proxy.shape[2]):
        names = [f"g{j}_{s}" for s in SIDES]
        if names[0] in together.columns:
            truth[:, :, j] = together.select(names).to_numpy()
    rewards = np.stack(
        [together.select(f"{m}_{s}" for s in SIDES).to_numpy() for m in ("pre", "post")], axis=1
    )
    return GoldPairs(
        together["row_id"], together["probability"].to_numpy().astype(np.float64), truth, proxy,
        labels.labeled, rewards.astype(np.float64), labels.n_null, labels.frame.height - together.height,
    )  # fmt: skip


def _said(pairs: pl.DataFrame, inputs: Inputs, side: str) -> Floats:
    """(m, C): what the labeler says of one side, then the covariates."""
    dense = [pairs[f"{x}_{side}"].cast(pl.Float64).to_numpy() for x in inputs.covariates]
    return np.column_stack([inputs.codes(pairs, side).astype(np.float64), *dense])


def sources(texts: pl.LazyFrame, row_ids: pl.Series, variant: str) -> pl.Series:
    """The source of each pair, null where the texts do not hold it."""
    wanted = pl.DataFrame({"row_id": row_ids})
    schema = texts.collect_schema()
    if "source" not in schema:
        return pl.Series("source", [None] * len(row_ids), pl.String())
    here = pl.col("row_id").is_in(row_ids.implode()) & (pl.col("preference").cast(pl.String) == CHOSEN)
    rows = texts.filter(here & (pl.col("variant").cast(pl.String) == variant))
    (found,) = collect_all([rows.select(pl.col("row_id").cast(pl.Int64), pl.col("source").cast(pl.String))])
    return wanted.join(found.unique("row_id"), on="row_id", how="left", maintain_order="left")["source"]
