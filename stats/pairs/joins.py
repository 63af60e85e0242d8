"""Keyed joins: scores, labels and texts become one row a pair, a block of row_ids at a time.

Rows may stand in any order and in any number of files; what is missing or left over is counted, a key that
stands twice is refused. Blocks are ranges of `row_id`, so memory is bounded by a block, and in files whose
rows follow `row_id` each block reads its own row groups alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import LABELS, ORIGINAL, SCORES, TEXT_KEY, TEXTS, check
from seal.stats.pairs.checks import (
    NAMED,
    identity,
    not_finite,
    refuse_duplicates,
    refuse_huge,
    refuse_split,
    require_columns,
)
from seal.stats.pairs.features import Features
from seal.stats.pairs.sides import SIDES, pair_up
from seal.stats.regression.cells import n_words, pack, unpack

PAIRS_PER_BLOCK = 500_000
_ANY = pl.lit(True)


@dataclass(frozen=True)
class Inputs:
    """The frames of an analysis.

    Attributes:
        scores: SCORES with both models.
        pre, post: names of the models before and after training on the preferences.
        labels: LABELS of one labeler, or None where only rewards are asked about.
        features: what of `labels` (and `computed`) enters.
        computed: a further LABELS frame that holds the numeric features, where `labels` does not.
        texts: TEXTS, for lengths, sources and `meta_` columns.
        carried: columns of `texts` to carry along a pair as numbers that tell their values apart; a pair
            without one is not regressed. The first is what errors are clustered by.
        effects: further columns, of which it is only asked whether they differ within pairs.
        crossed: further columns whose values slopes differ by, as text; the chosen side's value.
        variant: which texts are meant.
    """

    scores: pl.LazyFrame
    pre: str
    post: str
    labels: pl.LazyFrame | None = None
    features: Features | None = None
    computed: pl.LazyFrame | None = None
    texts: pl.LazyFrame | None = None
    carried: tuple[str, ...] = ()
    variant: str = ORIGINAL
    effects: tuple[str, ...] = ()
    crossed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pre == self.post:
            raise UsageError(f"pre and post are the same model, {self.pre!r}; name two")
        if (self.labels is None) != (self.features is None):
            raise ValueError("labels and features come together")

    @property
    def models(self) -> tuple[tuple[str, str], ...]:
        """What blocks call the models, and their names."""
        return (("pre", self.pre), ("post", self.post))

    @property
    def cluster(self) -> str | None:
        """The column that errors are clustered by; None for the pair."""
        return self.carried[0] if self.carried else None

    @property
    def beside(self) -> tuple[str, ...]:
        """All columns of the texts that blocks have, a `<column>_split` beside each."""
        return tuple(dict.fromkeys((*self.carried, *self.effects, *self.crossed)))

    @property
    def regressed(self) -> Features:
        """The features, which a regression must have.

        Raises:
            ValueError: there are none.
        """
        if self.features is None:
            raise ValueError("these inputs have no labels to regress on")
        return self.features

    def codes(self, pairs: pl.DataFrame, side: str, suffix: str = "") -> NDArray[np.int8]:
        """The packed words of one side as numbers, shape (pairs, coded features then curves)."""
        words = pairs.select(f"{w}_{side}{suffix}" for w in self.words)
        return unpack(words, len(self.regressed.packed), 1)

    @property
    def words(self) -> tuple[str, ...]:
        """Base names of the packed label words: `w0`, `w1`, ..."""
        return tuple(f"w{i}" for i in range(n_words(len(self.features.packed) if self.features else 0)))

    @property
    def covariates(self) -> tuple[str, ...]:
        """Base names of the covariates: `x0`, ..."""
        return tuple(f"x{i}" for i in range(len(self.features.numeric))) if self.features else ()

    @property
    def targets(self) -> tuple[str, ...]:
        """Base names of the target features: `t0`, ..."""
        return tuple(f"t{i}" for i in range(len(self.features.targets))) if self.features else ()


@dataclass
class Joined:
    """What the joins counted, over all blocks.

    Attributes:
        n_pairs: pairs with both rewards of both models: the pairs of every reward statistic.
        n_unscored: pairs in the labels or texts that lack one of the four rewards (extra keys).
        n_half_scored: of those, pairs with some of the four rewards, or one that is null, NaN or infinite.
        n_regressed: pairs also labeled in full on both sides: the pairs of the regressions.
        n_unlabelled: scored pairs without labels on one side or both (missing keys).
        n_null_labels: scored pairs whose labels stand there but hold a null in a feature that enters.
        n_without_text: scored pairs whose text is not in TEXTS, where TEXTS are given.
        n_not_finite: rewards that stand there but are null, NaN or infinite.
        not_finite: the first of them, by `row_id`, as "row_id 7 of MODEL (chosen)"; no count, so no field.
    """

    n_pairs: int = 0
    n_unscored: int = 0
    n_half_scored: int = 0
    n_regressed: int = 0
    n_unlabelled: int = 0
    n_null_labels: int = 0
    n_without_text: int = 0
    n_not_finite: int = 0

    def __post_init__(self) -> None:
        self.not_finite: tuple[str, ...] = ()

    def add(self, counts: dict[str, int], not_finite: Sequence[str] = ()) -> None:
        """Add one block's counts, and the names of its rewards that are not finite."""
        for name, n in counts.items():
            setattr(self, name, getattr(self, name) + n)
        self.not_finite = (*self.not_finite, *not_finite)[:NAMED]


@dataclass(frozen=True)
class Pairs:
    """Blocks of pairs, to be walked through once; `joined` is complete when they are.

    A block has one row a pair: `row_id`; `pre_chosen`, `pre_rejected`, `post_chosen`, `post_rejected` as
    Float64; with labels `w0_chosen` ... (packed, Int64), `x0_chosen` ... (Float64), `t0_chosen` ... (Int8,
    null where the label is), `regressed` (Boolean); with texts `length_chosen`, `length_rejected` (characters
    of the response) and the columns of `Inputs.beside`: those of `crossed` as text, the others as Int64 (a
    hash of what is no whole number), each with `<column>_split`, whether it differs between the two texts.
    """

    inputs: Inputs
    per_block: int = PAIRS_PER_BLOCK
    joined: Joined = dataclass_field(default_factory=Joined)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        given = self.inputs
        frames = (given.scores, given.labels, given.computed, given.texts)
        makers = (_scores_part, _labels_part, _computed_part, _texts_part)
        parts = [make(given) for make, frame in zip(makers, frames, strict=True) if frame is not None]
        for low, high in row_blocks([p.frame for p in parts], self.per_block):
            block = _judge(outer_join([_block(p, low, high) for p in parts]), self.inputs)
            bad = not_finite(block, self.inputs.models)
            self.joined.add(_count(block, self.inputs) | {"n_not_finite": len(bad)}, bad[:NAMED])
            yield block.filter("scored")


@dataclass(frozen=True)
class _Part:
    """One frame to be paired up: values per text, and what a duplicate is called."""

    name: str
    frame: pl.LazyFrame
    values: Mapping[str, tuple[pl.Expr, pl.Expr]]  # name -> which rows, value
    carried: tuple[str, ...] = ()


def row_blocks(frames: Sequence[pl.LazyFrame], per_block: int) -> list[tuple[int, int]]:
    """Ranges of `row_id`, both ends included, that cover all frames; about `per_block` pairs each.

    Raises:
        InputError: a `row_id` is null.
    """
    row_id = pl.col("row_id")
    asked = {"low": row_id.min(), "high": row_id.max(), "null": row_id.null_count()}
    counted = [f.select(**asked, rows=pl.len().cast(pl.Int64)) for f in frames]
    ends = pl.concat(collect_all(counted), how="vertical_relaxed")
    if ends["null"].sum():
        raise InputError(f"{ends['null'].sum()} rows have no row_id; every row needs its pair's number")
    low, high, most = ends["low"].min(), ends["high"].max(), max(ends["rows"].to_list())
    if not isinstance(low, int) or not isinstance(high, int):
        return []
    if high - low + 1 <= 4 * max(most, per_block):
        starts = list(range(low, high + 1, per_block))
    else:  # few ids far apart: cut by count, not by range
        ids = pl.concat(collect_all([f.select(row_id.cast(pl.Int64).unique()) for f in frames]))
        starts = ids["row_id"].unique().sort().gather_every(per_block).to_list()
    return list(zip(starts, [*(s - 1 for s in starts[1:]), high], strict=True))


def collect_all(lazy: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
    """Collect frames together; a value that does not fit its column's type is the user's mistake.

    Raises:
        InputError: such a value, as polars words it.
    """
    try:
        return pl.collect_all(lazy, engine="streaming")
    except (pl.exceptions.InvalidOperationError, pl.exceptions.SchemaError) as error:
        raise InputError(f"a value does not fit its column: {str(error).splitlines()[0]}") from None


def _block(part: _Part, low: int, high: int) -> pl.LazyFrame:
    rows = part.frame.filter(pl.col("row_id").is_between(low, high))
    return pair_up(rows, part.values, count=f"n_{part.name}", carried=part.carried)


def outer_join(frames: Sequence[pl.LazyFrame], on: Sequence[str] = ("row_id",)) -> pl.DataFrame:
    """Rows of any of the frames beside one another, sorted by what they are joined on."""
    together, *others = collect_all(frames)
    for block in others:
        together = together.join(block, on=on, how="full", coalesce=True)
    return together.sort(on)  # sums of the same numbers in another order differ in their last digits


def _scores_part(inputs: Inputs) -> _Part:
    frame = check(inputs.scores, SCORES, origin="scores", columns=("reward",))
    pre, post = pl.col("model") == inputs.pre, pl.col("model") == inputs.post
    reward = pl.col("reward").cast(pl.Float64)
    finite = reward.is_finite()
    return _Part(
        "scores",
        frame.filter(pl.col("variant") == inputs.variant, pre | post),
        {"pre": (pre & finite, reward), "post": (post & finite, reward),
         "has_pre": (pre, pl.lit(1)), "has_post": (post, pl.lit(1))},
    )  # fmt: skip


def _labels_part(inputs: Inputs) -> _Part:
    assert inputs.labels is not None
    features = inputs.regressed
    coded = [r.value() for r in features.packed]
    own = [] if inputs.computed is not None else [r.value() for r in features.numeric]
    whole = pl.all_horizontal([pl.lit(True), *(v.is_not_null() for v in [*coded, *own])])
    values = [
        *((f"w{i}", word) for i, word in enumerate(pack(coded))),
        *((f"x{i}", value) for i, value in enumerate(own)),
        *((f"t{i}", t.value()) for i, t in enumerate(features.targets)),
        ("whole", whole.cast(pl.Int8)),
    ]
    return _text_part("labels", inputs.labels, inputs.variant, values)


def _computed_part(inputs: Inputs) -> _Part:
    assert inputs.computed is not None
    values = [(f"x{i}", r.value()) for i, r in enumerate(inputs.regressed.numeric)]
    return _text_part("computed", inputs.computed, inputs.variant, values)


def _text_part(name: str, frame: pl.LazyFrame, variant: str, values: list[tuple[str, pl.Expr]]) -> _Part:
    """A LABELS frame with its values worked out per text."""
    typed = check(frame, LABELS, origin=name).filter(pl.col("variant") == variant)
    worked = typed.select("row_id", "preference", *(v.alias(n) for n, v in values))
    return _Part(name, worked, {n: (_ANY, pl.col(n)) for n, _ in values})


def _texts_part(inputs: Inputs) -> _Part:
    assert inputs.texts is not None
    require_columns(inputs.texts, inputs.beside)
    frame = check(inputs.texts, TEXTS, origin="texts", columns=("source", "response"), further=True)
    kinds = frame.collect_schema()
    values = {
        c: pl.col(c).cast(pl.String) if c in inputs.crossed else identity(c, kinds[c]) for c in inputs.beside
    }
    worked = frame.filter(pl.col("variant") == inputs.variant).select(
        *TEXT_KEY, length=pl.col("response").str.len_chars().cast(pl.Int64), **values
    )
    return _Part("texts", worked, {"length": (_ANY, pl.col("length"))}, inputs.beside)


def _judge(block: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """Refuse keys that stand twice; mark which pairs are scored and which enter the regressions."""
    for name in ("scores", "labels", "computed", "texts"):
        refuse_duplicates(block, name)
    refuse_huge(block, inputs.models)
    refuse_split(block, inputs.carried)
    rewards = [f"{m}_{s}" for m in ("pre", "post") for s in SIDES]
    marked = block.with_columns(scored=pl.all_horizontal(pl.col(rewards).is_not_null()))
    if inputs.features is None:
        return marked
    whole = pl.all_horizontal([pl.col(f"whole_{s}").fill_null(0) == 1 for s in SIDES])
    known = [pl.col(f"{x}_{s}").is_not_null() for x in inputs.covariates for s in SIDES]
    carried = [pl.col(c).is_not_null() for c in inputs.carried]
    return marked.with_columns(regressed=pl.all_horizontal([pl.col("scored"), whole, *known, *carried]))


def _count(block: pl.DataFrame, inputs: Inputs) -> dict[str, int]:
    scored = pl.col("scored")
    none, zero = pl.all_horizontal(pl.col(f"n_scores_{s}").fill_null(0) == 0 for s in SIDES), pl.lit(0)
    counts = {
        "n_pairs": scored.sum(),
        "n_unscored": (~scored).sum(),
        "n_half_scored": (~scored & ~none).sum(),
    }
    counts |= dict.fromkeys(("n_regressed", "n_unlabelled", "n_null_labels", "n_without_text"), zero)
    if inputs.features is not None:
        there = pl.all_horizontal(pl.col(f"n_labels_{s}").fill_null(0) > 0 for s in SIDES)
        counts["n_regressed"] = pl.col("regressed").sum()
        counts["n_unlabelled"] = (scored & ~there).sum()
        counts["n_null_labels"] = (scored & there & ~pl.col("regressed")).sum()
    if inputs.texts is not None:
        text = pl.all_horizontal(pl.col(f"n_texts_{s}").fill_null(0) > 0 for s in SIDES)
        counts["n_without_text"] = (scored & ~text).sum()
    return {k: int(v) for k, v in block.select(**counts).row(0, named=True).items()}
