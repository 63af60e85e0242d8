"""Packing, grouping, and the keyed joins: any order, every missing row counted, no key twice."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.statistics_worlds import TERMS, World, world
from seal.engine.errors import InputError, UsageError
from seal.stats.equations.imprint import feature_imprint
from seal.stats.pairs.features import find_features
from seal.stats.pairs.joins import Inputs, Pairs
from seal.stats.regression.cells import FIELDS, Tally, collapse, n_words, pack, packed_difference, unpack

TARGETS = ("last_response_is_harmless", "last_response_is_helpful")


def inputs(w: World, **changes: object) -> Inputs:
    frames = {"scores": w.scores.lazy(), "labels": w.labels.lazy(), "texts": w.texts.lazy()} | changes
    labels = frames["labels"]
    assert isinstance(labels, pl.LazyFrame)
    return Inputs(pre="pre", post="post", features=find_features(labels, targets=TARGETS), **frames)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_packed_differences_come_back(n_fields: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    chosen, rejected = rng.integers(-1, 2, size=(2, 5, n_fields))
    frame = pl.DataFrame(
        {f"c{j}": chosen[:, j] for j in range(n_fields)} | {f"r{j}": rejected[:, j] for j in range(n_fields)}
    )
    packed = [
        frame.select(
            w.alias(f"w{i}") for i, w in enumerate(pack([pl.col(f"{s}{j}") for j in range(n_fields)]))
        )
        for s in "cr"
    ]
    assert packed[0].width == n_words(n_fields)
    assert np.array_equal(unpack(packed[0], n_fields, 1), chosen)
    words = {}
    for i in range(n_words(n_fields)):
        both = pl.DataFrame({"c": packed[0][f"w{i}"], "r": packed[1][f"w{i}"]})
        n = min(FIELDS, n_fields - FIELDS * i)
        words[f"w{i}"] = both.select(packed_difference(pl.col("c"), pl.col("r"), n)).to_series()
    assert np.array_equal(unpack(pl.DataFrame(words), n_fields, 2), chosen - rejected)


def test_cells_added_up_in_blocks_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"k": rng.integers(0, 9, 1000), "y": rng.normal(size=1000)}).with_columns(
        y=pl.when(pl.col("y") > -2).then("y")
    )
    whole = collapse(frame, ["k"], ["y"]).sort("k")
    tally = Tally(["k"])
    for i in range(0, 1000, 130):
        tally.add(collapse(frame[i : i + 130], ["k"], ["y"]))
    total = tally.total()
    assert total is not None
    assert np.allclose(whole.to_numpy(), total.sort("k").select(whole.columns).to_numpy(), atol=1e-12)
    assert whole["n_y"].sum() == frame["y"].count()


def test_blocks_and_order_of_rows_are_nothing() -> None:
    w = world(400, seed=3)
    straight = world(400, seed=3, shuffle=False)
    first = pl.concat(list(Pairs(inputs(w), per_block=37))).sort("row_id")
    second = pl.concat(list(Pairs(inputs(straight)))).sort("row_id")
    assert first.equals(second.select(first.columns))


def test_missing_and_extra_keys_are_counted() -> None:
    w = world(100, seed=1)
    row = pl.col("row_id")
    scores = w.scores.filter(~((row < 3) & (pl.col("model") == "post") & (pl.col("preference") == "chosen")))
    scores = scores.with_columns(reward=pl.when(row == 5).then(float("nan")).otherwise("reward"))
    labels = w.labels.filter(~row.is_in([10, 11]))
    labels = labels.with_columns(
        last_response_is_helpful=pl.when((row == 12) & (pl.col("preference") == "chosen"))
        .then(None)
        .otherwise("last_response_is_helpful")
    )
    extra = w.labels.filter(row == 0).with_columns(row_id=pl.lit(500, pl.Int64))
    pairs = Pairs(inputs(w, scores=scores.lazy(), labels=pl.concat([labels, extra]).lazy(),
                         texts=w.texts.filter(row != 99).lazy()), per_block=7)  # fmt: skip
    assert sum(b.height for b in pairs) == 96
    joined = pairs.joined
    assert (joined.n_pairs, joined.n_unscored, joined.n_half_scored) == (96, 5, 4)
    assert (joined.n_unlabelled, joined.n_null_labels, joined.n_regressed) == (2, 1, 93)
    assert joined.n_without_text == 1


@pytest.mark.parametrize("frame", ["scores", "labels", "texts"])
def test_a_key_that_stands_twice_is_refused(frame: str) -> None:
    w = world(50, seed=1)
    doubled = getattr(w, frame)
    doubled = pl.concat([doubled, doubled.filter(pl.col("row_id") == 7).head(1)])
    with pytest.raises(InputError, match=rf"{frame}: 1 pairs have a text that stands there twice.*row_id 7"):
        list(Pairs(inputs(w, **{frame: doubled.lazy()})))


def test_values_that_do_not_fit_are_the_users_mistake() -> None:
    w = world(20)
    wrong = w.scores.with_columns(preference=pl.lit("best"))
    with pytest.raises(InputError, match="does not fit"):
        list(Pairs(inputs(w, scores=wrong.lazy())))
    no_key = w.labels.with_columns(row_id=pl.lit(None, pl.Int64))
    with pytest.raises(InputError, match="40 rows have no row_id"):
        list(Pairs(inputs(w, labels=no_key.lazy())))
    with pytest.raises(UsageError, match="same model"):
        Inputs(w.scores.lazy(), "pre", "pre")


def test_a_frame_of_no_row_gives_no_block() -> None:
    w = world(20)
    result, joined = feature_imprint(inputs(w, scores=w.scores.clear().lazy()))
    assert result.table.height == 0
    assert result.notes
    assert (joined.n_pairs, joined.n_unscored) == (0, 20)


def test_features_by_type() -> None:
    labels = world(11).labels.with_columns(
        topics=pl.lit(["a"]), n_words=pl.lit(3), p_last_response_is_helpful=pl.lit(0.5, pl.Float32),
        tone=pl.Series(["low", "high"] * 11, dtype=pl.Enum(["low", "mid", "high"])), constant=pl.lit("x"),
        spread=pl.int_range(22).cast(pl.String) + pl.lit("y"),
    )  # fmt: skip
    found = find_features(labels.lazy(), targets=TARGETS, covariates=["n_words"])
    assert [r.term for r in found.regressors] == [*TERMS, "tone=high", "n_words"]
    assert [r.kind for r in found.regressors][-3:] == ["ternary", "category", "numeric"]
    assert set(found.left_out) == {"topics", "constant", "spread"}
    categories = find_features(labels.lazy(), targets=TARGETS, sentiment="categories")
    assert {"last_response_sentiment=positive", "last_response_sentiment=negative"} <= {
        r.term for r in categories.regressors
    }
    assert "named with --covariates" in categories.left_out["n_words"]
    with pytest.raises(InputError, match=r"no numeric feature 'n_chars'; there are: n_words"):
        find_features(labels.lazy(), targets=TARGETS, covariates=["n_chars"])
    with pytest.raises(InputError, match=r"target feature 'nice'.*--targets"):
        find_features(labels.lazy(), targets=["nice"])
    with pytest.raises(UsageError, match="a target is boolean"):
        find_features(labels.lazy(), targets=["tone"])
