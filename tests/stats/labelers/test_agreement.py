"""Labelers against each other: known examples, statsmodels, and what is missing."""

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from seal.engine.errors import InputError
from seal.engine.frames.schema import PREFERENCE, VARIANT
from seal.stats.labelers.measures import (
    Labeler,
    compare_labelers,
    doubtful_features,
    find_labelers,
    pairwise,
)


def labels(
    name: str, values: list[object], *, feature: str = "f", dtype: pl.DataType | None = None
) -> pl.LazyFrame:
    """One text after the other: chosen, rejected, chosen, ..."""
    n = len(values)
    return pl.DataFrame(
        {
            "row_id": [i // 2 for i in range(n)],
            "preference": pl.Series([("chosen", "rejected")[i % 2] for i in range(n)], dtype=PREFERENCE),
            "variant": pl.Series(["original"] * n, dtype=VARIANT),
            "labeler": [name] * n,
            feature: pl.Series(values, dtype=dtype),
        }
    ).lazy()


def test_alpha_of_krippendorffs_own_example() -> None:
    # four observers, twelve units, some missing: nominal alpha 0.743 (Krippendorff 2011, section C)
    data = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    observers = [
        Labeler(f"o{i}", labels(f"o{i}", [None if v is None else str(v) for v in row], dtype=pl.String()))
        for i, row in enumerate(data)
    ]
    table = compare_labelers(observers, n_resamples=50)
    together = table.filter(labeler_a="all").row(0, named=True)
    assert together["alpha"] == pytest.approx(0.743, abs=5e-4)
    assert together["n"] == 11
    assert table.height == 7


def test_kappa_is_statsmodels() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(2000) < 0.4
    b = a ^ (rng.random(2000) < 0.15)
    row = compare_labelers(
        [Labeler("a", labels("a", a.tolist())), Labeler("b", labels("b", b.tolist()))], n_resamples=400
    ).row(0, named=True)
    joint = np.array([[np.sum((a == i) & (b == j)) for j in (0, 1)] for i in (0, 1)])
    theirs = cohens_kappa(joint)
    assert row["kappa"] == pytest.approx(theirs.kappa, abs=1e-12)
    assert row["n"] == 2000
    assert (row["prevalence_a"], row["prevalence_b"]) == (pytest.approx(a.mean()), pytest.approx(b.mean()))
    assert row["agreement"] == pytest.approx((a == b).mean())
    # texts are independent here, so resampling pairs agrees with the large-sample interval
    assert row["kappa_conf_low"] == pytest.approx(theirs.kappa_low, abs=0.015)
    assert row["kappa_conf_high"] == pytest.approx(theirs.kappa_upp, abs=0.015)


def test_ac1_of_gwets_example() -> None:
    # Gwet 2008, table 1: 118 agree on the common category, 5 and 2 disagree, none agree on the rare one
    agree, kappa, ac1 = pairwise(np.array([[118.0, 5.0], [2.0, 0.0]]))
    assert float(agree) == pytest.approx(0.944)
    assert float(kappa) == pytest.approx(-0.0234, abs=1e-3)
    assert float(ac1) == pytest.approx(0.9408, abs=5e-4)


def test_resampling_draws_pairs() -> None:
    # both texts of a pair are labeled alike: intervals as wide as for half as many independent texts
    rng = np.random.default_rng(1)
    a = np.repeat(rng.random(500) < 0.5, 2)
    b = a ^ np.repeat(rng.random(500) < 0.2, 2)
    row = compare_labelers(
        [Labeler("a", labels("a", a.tolist())), Labeler("b", labels("b", b.tolist()))], n_resamples=2000
    ).row(0, named=True)
    share = row["agreement"]
    width = row["agreement_conf_high"] - row["agreement_conf_low"]
    assert width == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 500), rel=0.1)


def test_missing_rows_and_any_order() -> None:
    a = labels("a", [True, False, True, True, False, True])
    b = (
        labels("b", [True, False, False, True, False, None])
        .collect()
        .sample(fraction=1, shuffle=True, seed=0)
    )
    row = compare_labelers([Labeler("a", a), Labeler("b", b.filter(pl.col("row_id") != 1).lazy())]).row(
        0, named=True
    )
    assert row["n"] == 3
    assert row["agreement"] == 1.0


def test_a_constant_feature_has_no_kappa_and_says_so_by_null() -> None:
    row = compare_labelers(
        [Labeler("a", labels("a", [True] * 8)), Labeler("b", labels("b", [True] * 8))]
    ).row(0, named=True)
    assert row["agreement"] == 1.0
    assert (row["kappa"], row["alpha"]) == (None, None)
    assert row["ac1"] == 1.0


def test_gold_gives_precision_recall_f1() -> None:
    gold = [True, True, True, False, False, False]
    other = [True, True, False, True, False, False]
    table = compare_labelers(
        [Labeler("g", labels("g", gold)), Labeler("x", labels("x", other))], gold="g", n_resamples=50
    )
    row = table.row(0, named=True)
    assert (row["labeler_a"], row["labeler_b"]) == ("x", "g")
    assert (row["precision"], row["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert row["f1"] == pytest.approx(2 / 3)
    assert doubtful_features(table, 0.9) == {"f": pytest.approx(row["alpha"])}
    assert doubtful_features(table, -1) == {}


def test_refusals() -> None:
    a = labels("a", [True, False])
    with pytest.raises(InputError, match="no labeler 'z' to take as gold; have: a"):
        compare_labelers([Labeler("a", a)], gold="z")
    with pytest.raises(InputError, match="a or b labels a text twice"):
        compare_labelers([Labeler("a", pl.concat([a, a])), Labeler("b", labels("b", [True, True]))])


def test_a_labeler_may_have_a_frame_for_each_variant_and_no_variant_twice() -> None:
    first, other = labels("x", [True, False]), labels("y", [True, True])
    aimed = first.with_columns(variant=pl.lit("toward:f=true", pl.Categorical()))
    x, y = find_labelers([first, aimed, other])
    assert (x.name, y.name) == ("x", "y")
    assert sorted(x.frame.collect()["variant"]) == ["original"] * 2 + ["toward:f=true"] * 2
    with pytest.raises(InputError, match="labeler 'x' stands in two of the labels"):
        find_labelers([first, aimed, aimed])
