"""Clusters of pairs, and the sums of scores over them, against sums by hand."""

import numpy as np
import polars as pl
import pytest

from seal.stats.pairs.places import Places


def _blocks(seed: int = 0) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    rng = np.random.default_rng(seed)
    whole = pl.DataFrame(
        {
            "row_id": np.arange(90),
            "group": rng.integers(0, 50, 90),
            "a": rng.normal(size=90),
            "b": rng.normal(size=90),
            "regressed": rng.random(90) < 0.9,
        }
    )
    return [whole.slice(0, 40), whole.slice(40, 50)], whole.filter("regressed")


def _zeta(part: pl.DataFrame) -> np.ndarray:
    return part.select("a", "b").to_numpy()


@pytest.mark.parametrize("cluster", [None, "group"])
def test_scores_by_cluster_equal_sums_by_hand(cluster: str | None) -> None:
    blocks, entering = _blocks()
    gold_ids = pl.Series("row_id", [3, 4, 17, 44, 60, 61, 1000])
    places = Places.find(blocks, cluster, gold_ids)
    by = cluster or "row_id"
    hand = entering.group_by(by).agg(pl.col("a", "b").sum())
    values = hand.select("a", "b").to_numpy()
    scores = places.sums(blocks, _zeta)
    np.testing.assert_allclose(scores.moment, values.T @ values)
    assert places.n_clusters == hand.height
    mine = entering.filter(pl.col("row_id").is_in(gold_ids.implode()))
    assert places.gold_ids.to_list() == mine["row_id"].to_list()
    for number, value in zip(places.gold_clusters, mine[by], strict=True):
        expected = hand.filter(pl.col(by) == value).select("a", "b").to_numpy()[0]
        np.testing.assert_allclose(scores.at_gold[number], expected)
    assert places.factor == (1.0 if cluster is None else hand.height / (hand.height - 1))
    assert places.dof == hand.height - 1


def test_without_gold_no_cluster_is_kept() -> None:
    blocks, _ = _blocks(1)
    assert Places.find(blocks).sums(blocks, _zeta).at_gold.shape == (0, 2)


def test_nothing_that_enters_is_said() -> None:
    blocks, _ = _blocks(2)
    none = [b.with_columns(regressed=pl.lit(False)) for b in blocks]
    with pytest.raises(ValueError, match="no pair enters"):
        Places.find(none).sums(none, _zeta)
