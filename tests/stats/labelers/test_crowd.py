"""Majority vote and Dawid-Skene: crowd-kit as oracle, planted error rates, what is missing or tied."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import LABELS, check
from seal.stats.labelers import crowd
from seal.stats.labelers.crowd import combine, dawid_skene, vote
from seal.stats.labelers.measures import Labeler
from tests.support.places import DATA

ORACLE = json.loads((DATA / "crowd_oracle.json").read_text())["cases"]


def labels(name: str, values: object, *, feature: str = "f", dtype: pl.DataType | None = None) -> Labeler:
    """One text after the other: chosen, rejected, chosen, ..."""
    column = pl.Series(feature, values, dtype=dtype)
    n = len(column)
    frame = pl.DataFrame(
        {
            "row_id": np.arange(n) // 2,
            "preference": (["chosen", "rejected"] * n)[:n],
            "variant": ["original"] * n,
            "labeler": [name] * n,
            feature: column,
        }
    )
    return Labeler(name, frame.lazy())


def together(labelers: list[Labeler], method: crowd.Method) -> pl.DataFrame:
    return pl.concat(combine(labelers, method).blocks())


@pytest.mark.parametrize("case", ORACLE)
def test_it_is_crowd_kits(case: str) -> None:
    """The same EM from the same start: equal after 20 rounds but for the order of sums; equal at the end."""
    oracle = ORACLE[case]
    codes, k = np.array(oracle["answers"]), len(oracle["values"])
    weights = np.ones(len(codes))
    np.testing.assert_allclose(vote(codes, k), oracle["majority"], atol=1e-12)
    twenty = dawid_skene(codes, weights, k, n_iterations=20)
    np.testing.assert_allclose(twenty.posterior, oracle["dawid_skene_20"], atol=1e-9)
    fit = dawid_skene(codes, weights, k)
    assert fit.converged
    np.testing.assert_allclose(fit.posterior, oracle["dawid_skene"], atol=1e-6)
    np.testing.assert_allclose(fit.prior, oracle["prior"], atol=1e-6)
    np.testing.assert_allclose(fit.errors, oracle["errors"], atol=1e-6)


@pytest.mark.parametrize("case", ORACLE)
def test_patterns_with_weights_are_the_texts_one_by_one(case: str) -> None:
    codes, k = np.array(ORACLE[case]["answers"]), len(ORACLE[case]["values"])
    patterns, at, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    fit = dawid_skene(patterns, counts.astype(np.float64), k)
    np.testing.assert_allclose(fit.posterior[at.ravel()], ORACLE[case]["dawid_skene"], atol=1e-6)


def simulated(errors: tuple[float, ...], n: int, share: float) -> tuple[NDArray[np.bool_], list[Labeler]]:
    rng = np.random.default_rng(7)
    truth = rng.random(n) < share
    return truth, [labels(f"l{i}", truth ^ (rng.random(n) < e)) for i, e in enumerate(errors)]


def test_planted_error_rates_come_back_and_beat_the_vote() -> None:
    errors = (0.04, 0.2, 0.3, 0.35, 0.4)
    truth, labelers = simulated(errors, 20_000, 0.3)
    found = combine(labelers, "dawid-skene")
    fit = found.features["f"].fit
    assert fit is not None
    assert fit.converged
    # A rate over 6,000 or 14,000 texts has a standard error of at most 0.0063; that the truth is not seen
    # about doubles it, and 0.04 is three of those.
    wrong = np.stack([fit.errors[:, 0, 1], fit.errors[:, 1, 0]])
    np.testing.assert_allclose(wrong, np.tile(errors, (2, 1)), atol=0.04)
    assert fit.prior[1] == pytest.approx(truth.mean(), abs=0.02)
    rows = pl.concat(found.blocks())
    right = (rows["f"].to_numpy() == truth).mean()
    by_vote = (together(labelers, "majority")["f"].to_numpy() == truth).mean()
    assert right > by_vote + 0.03
    # The posterior says how often it is right.
    assert rows["p_f"].mean() == pytest.approx(right, abs=0.01)


def test_errors_are_a_table_of_rows_that_add_up() -> None:
    _, labelers = simulated((0.1, 0.2, 0.3), 500, 0.4)
    table = combine(labelers, "dawid-skene").errors()
    assert table.height == 3 * 2 * 2
    sums = table.group_by("feature", "labeler", "truth").agg(pl.col("probability").sum())["probability"]
    assert sums.to_list() == pytest.approx([1.0] * 6)
    assert combine(labelers, "majority").errors().is_empty()


def test_a_vote_with_ties_gaps_and_nobody() -> None:
    a = labels("a", [True, True, None, None])
    b = labels("b", [True, False, False, None])
    rows = together([a, b], "majority")
    assert rows["f"].to_list() == [True, None, False, None]
    assert rows["p_f"].to_list() == [1.0, 0.5, 1.0, None]
    assert rows["labeler"].unique().to_list() == ["majority"]


def test_what_it_writes_is_a_labels_frame_of_the_same_kinds() -> None:
    mood = pl.Enum(["positive", "neutral", "negative"])
    values = ["negative", "positive", "negative", "positive"]
    three = [labels(n, values, dtype=mood) for n in "abc"]
    rows = together(three, "dawid-skene")
    check(rows.lazy(), LABELS, origin="here").collect()
    assert rows.schema["f"] == mood
    assert rows["f"].to_list() == values
    assert rows.columns == ["row_id", "preference", "variant", "labeler", "f", "p_f"]
    mixed = [labels("a", values, dtype=pl.String()), labels("b", values, dtype=mood)]
    assert together(mixed, "majority").schema["f"] == mood


def test_texts_that_only_some_have_are_combined_from_those() -> None:
    a, b = labels("a", [True, False, True, True]), labels("b", [True, False])
    rows = together([a, b], "majority")
    assert rows["f"].to_list() == [True, False, True, True]
    assert rows.select("row_id", "preference").rows() == [
        (0, "chosen"), (0, "rejected"), (1, "chosen"), (1, "rejected"),
    ]  # fmt: skip


def test_blocks_go_on_and_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    _, labelers = simulated((0.1, 0.2, 0.3), 400, 0.4)
    whole = together(labelers, "dawid-skene")
    monkeypatch.setattr(crowd, "PAIRS_PER_BLOCK", 7)
    found = combine(labelers, "dawid-skene")
    assert pl.concat(found.blocks()).equals(whole)
    assert pl.concat(found.blocks(after=90)).equals(whole.filter(pl.col("row_id") > 90))


def test_a_feature_that_never_varies_and_one_without_answers() -> None:
    same = [labels(n, [True] * 4) for n in "abc"]
    assert together(same, "dawid-skene")["f"].to_list() == [True] * 4
    none = [labels(n, [None] * 4, dtype=pl.Boolean()) for n in "abc"]
    for method in ("majority", "dawid-skene"):
        rows = together(none, method)
        assert rows["f"].to_list() == [None] * 4
        assert rows["p_f"].to_list() == [None] * 4


def test_what_cannot_be_combined_is_said() -> None:
    a, b = labels("a", [True, False]), labels("b", [1, 2])
    with pytest.raises(UsageError, match="at least two"):
        combine([a], "majority")
    with pytest.raises(InputError, match="share no boolean or text feature"):
        combine([a, b], "majority")
    twice = Labeler("c", pl.concat([a.frame, a.frame]))
    with pytest.raises(InputError, match="c labels a text twice"):
        combine([a, twice], "majority")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda k: st.tuples(
            st.just(k),
            st.lists(st.lists(st.integers(-1, k - 1), min_size=3, max_size=3), min_size=1, max_size=20),
        )
    )
)
def test_posteriors_are_probabilities(drawn: tuple[int, list[list[int]]]) -> None:
    k, rows = drawn
    codes = np.array(rows, dtype=np.int64)
    fit = dawid_skene(codes, np.ones(len(codes)), k)
    answered = (codes >= 0).any(axis=1)
    np.testing.assert_allclose(fit.posterior[answered].sum(axis=1), 1.0)
    assert np.isnan(fit.posterior[~answered]).all()
    np.testing.assert_allclose(fit.errors.sum(axis=2), 1.0)
