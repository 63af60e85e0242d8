"""Alignment against closed forms, in any order of rows, and its refusals."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import SCORES
from seal.stats.alignment.alignment import alignment


def long_scores(chosen: list[float | None], rejected: list[float | None], model: str = "m") -> pl.LazyFrame:
    n = len(chosen)
    return pl.LazyFrame(
        {
            "row_id": [*range(n), *range(n)],
            "preference": ["chosen"] * n + ["rejected"] * n,
            "variant": ["original"] * 2 * n,
            "model": [model] * 2 * n,
            "reward": [*chosen, *rejected],
        },
        schema_overrides={"reward": pl.Float32},
    )


def one(scores: pl.LazyFrame, **options: object) -> dict[str, object]:
    table = alignment(scores, **options)  # type: ignore[arg-type]
    assert table.height == 1
    return table.row(0, named=True)


def test_counts_interval_and_margin() -> None:
    row = one(long_scores([1, 2, 3, 0, 5], [0, 3, 3, -1, 4]))
    low, high = proportion_confint(3, 5, method="wilson")
    assert (row["n_pairs"], row["n_ties"], row["n_incomplete"]) == (5, 1, 0)
    assert row["alignment"] == pytest.approx(0.6)
    assert row["resistance"] == pytest.approx(0.4)
    assert (row["conf_low"], row["conf_high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["mean_margin"] == pytest.approx((1 - 1 + 0 + 1 + 1) / 5)


@pytest.mark.parametrize(("ties", "expected"), [("misaligned", 3 / 5), ("half", 3.5 / 5), ("drop", 3 / 4)])
def test_ties_count_as_asked(ties: str, expected: float) -> None:
    row = one(long_scores([1, 2, 3, 0, 5], [0, 3, 3, -1, 4]), ties=ties)
    assert row["alignment"] == pytest.approx(expected)
    assert row["n_ties"] == 1


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_pair_without_two_rewards_is_counted_apart(bad: float | None) -> None:
    row = one(long_scores([1, bad, 3], [0, 0, 4]))
    assert (row["n_pairs"], row["n_incomplete"], row["alignment"]) == (2, 1, 0.5)
    row = one(long_scores([1, 2, 3], [0, 0, 4]).head(5))
    assert (row["n_pairs"], row["n_incomplete"], row["alignment"]) == (2, 1, 1.0)


def test_no_complete_pair_gives_null_and_its_count() -> None:
    row = one(long_scores([1.0], [None]))
    assert (row["n_pairs"], row["n_incomplete"]) == (0, 1)
    assert [row[c] for c in ("alignment", "resistance", "conf_low", "conf_high", "mean_margin")] == [None] * 5


def test_by_joined_columns_and_several_models() -> None:
    scores = pl.concat([long_scores([1, 0, 1], [0, 1, 0], "b"), long_scores([0, 0, 1], [1, 1, 0], "a")])
    sources = pl.LazyFrame({"row_id": [0, 1, 2], "source": ["x", "x", "y"]})
    table = alignment(scores.join(sources, on="row_id"), by=["source"])
    assert table.select("source", "model", "alignment").rows() == [
        ("x", "a", 0.0), ("x", "b", 0.5), ("y", "a", 1.0), ("y", "b", 1.0),
    ]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=40), st.randoms())
def test_the_order_of_rows_is_nothing(rewards: list[tuple[int, int]], random: object) -> None:
    scores = long_scores([float(c) for c, _ in rewards], [float(r) for _, r in rewards]).collect()
    order = list(range(scores.height))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert one(scores.lazy()) == one(scores[order].lazy())
    assert one(scores.lazy())["alignment"] == pytest.approx(np.mean([c > r for c, r in rewards]))


def test_a_full_scores_frame_is_taken_as_it_is() -> None:
    typed = (
        long_scores([1.0], [0.0])
        .with_columns(n_tokens=pl.lit(3, pl.Int32), truncated=pl.lit(False))
        .select(pl.col(n).cast(t) for n, t in SCORES.types.items())
    )
    assert one(typed)["alignment"] == 1.0


def test_refusals() -> None:
    scores = long_scores([1, 2], [0, 0])
    with pytest.raises(InputError, match=r"scored twice.*row_id 0 of model 'm'"):
        alignment(pl.concat([scores, scores.filter(pl.col("row_id") == 0)]))
    with pytest.raises(InputError, match="original and rewritten"):
        alignment(pl.concat([scores, scores.with_columns(variant=pl.lit("rewritten"))]))
    with pytest.raises(InputError, match="no column 'source'"):
        alignment(scores, by=["source"])
    with pytest.raises(InputError, match="no column 'reward'"):
        alignment(scores.drop("reward"))
    with pytest.raises(UsageError, match="ties cannot be 'x'; allowed: misaligned, half, drop"):
        alignment(scores, ties="x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="level"):
        alignment(scores, level=95)


def test_variants_are_split_on_request() -> None:
    scores = long_scores([1, 2], [0, 0])
    both = pl.concat([scores, scores.with_columns(variant=pl.lit("rewritten"), reward=-pl.col("reward"))])
    table = alignment(both, by=["variant"])
    assert table["alignment"].to_list() == [1.0, 0.0]
