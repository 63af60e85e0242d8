"""Labelers that err as they say: at which rates, and tied to what."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from examples.toyworld.draws import CHUNK_PAIRS
from examples.toyworld.erring import (
    ERRING,
    FLAGS,
    SECOND,
    SENTIMENTS,
    STRENGTH,
    Rates,
    choice_residual,
    erring,
    write_labelers,
)
from examples.toyworld.generate import Options, generate, write
from examples.toyworld.world import SPOILER, WEIGHTED, Floats
from seal.engine.frames.schema import LABELS, check

N = 20_000


@pytest.fixture(scope="module")
def truth_and_draws() -> tuple[pl.DataFrame, pl.DataFrame]:
    chunks = list(generate(Options(N, 31)))
    return pl.concat(c.labels for c in chunks), pl.concat(c.draws for c in chunks)


@pytest.fixture(scope="module")
def truth(truth_and_draws: tuple[pl.DataFrame, pl.DataFrame]) -> pl.DataFrame:
    return truth_and_draws[0]


@pytest.fixture(scope="module")
def residual(truth_and_draws: tuple[pl.DataFrame, pl.DataFrame]) -> Floats:
    return choice_residual(truth_and_draws[1])


def numbers(labels: pl.DataFrame, feature: str) -> Floats:
    """0/1, or -1/0/1 for sentiment; (n_pairs, 2), chosen first."""
    column = labels[feature]
    if feature == SPOILER:
        column = column.replace_strict({"positive": 1, "neutral": 0, "negative": -1}, return_dtype=pl.Int8)
    return column.cast(pl.Float64).to_numpy().reshape(-1, 2)


def shares(rates: Rates, truth: pl.DataFrame, seen: pl.DataFrame) -> list[tuple[float, float, int]]:
    """Of every value that errs: the stated share, the share seen, and among how many."""
    found = []
    for feature in FLAGS:
        true, said = truth[feature].to_numpy(), seen[feature].to_numpy()
        for stated, value in zip(rates.of(feature), (False, True), strict=True):
            found.append((stated, float((said[true == value] != value).mean()), int((true == value).sum())))
    true, said = truth[SPOILER], seen[SPOILER]
    up, down = rates.of_neutral
    moves = {
        ("positive", "neutral"): rates.sentiment, ("negative", "neutral"): rates.sentiment,
        ("neutral", "positive"): up, ("neutral", "negative"): down,
        ("positive", "negative"): 0.0, ("negative", "positive"): 0.0,
    }  # fmt: skip
    for (value, to), stated in moves.items():
        here = (true == value).to_numpy()
        found.append((stated, float((said == to).to_numpy()[here].mean()), int(here.sum())))
    return found


@pytest.mark.parametrize("rates", [ERRING, SECOND], ids=["erring", "second"])
def test_errors_are_as_frequent_as_stated(rates: Rates, truth: pl.DataFrame) -> None:
    stated, seen, n = map(np.array, zip(*shares(rates, truth, erring(truth, rates, "x", 4)), strict=True))
    error = np.sqrt(stated * (1 - stated) / n)
    assert np.all(np.abs(seen - stated) <= 4 * error)  # 30 binomial shares: beyond 4 in 0.2% of seeds
    rarer = np.array([*rates.rarer.values(), rates.sentiment])
    assert rarer.min() >= 0.02
    assert rarer.max() <= 0.20


@pytest.mark.parametrize("rates", [ERRING, SECOND], ids=["erring", "second"])
def test_a_feature_stays_as_frequent_as_it_is(rates: Rates, truth: pl.DataFrame) -> None:
    seen = erring(truth, rates, "x", 4)
    for feature in WEIGHTED:
        moved = numbers(seen, feature).mean() - numbers(truth, feature).mean()
        assert abs(moved) < 0.008, feature  # 4 errors of a share of 40,000 texts, and the rounded prevalence
    assert seen[SPOILER].value_counts(normalize=True).height == len(SENTIMENTS)


def test_the_rest_is_labeled_as_it_is(truth: pl.DataFrame) -> None:
    seen = erring(truth, ERRING, "erring", 4)
    assert seen["labeler"].unique().to_list() == ["erring"]
    assert_frame_equal(seen.drop("labeler", *WEIGHTED), truth.drop("labeler", *WEIGHTED))
    assert seen.schema == truth.schema


def leaning(truth: pl.DataFrame, seen: pl.DataFrame, residual: Floats) -> Floats:
    """Correlation of each feature's error with the residual, both as differences of the sides, (features,).

    Every pair is turned by a coin: a residual of the choice has mean 0 where the order is not the choice.
    """
    coin = np.where(np.random.default_rng(0).random(len(residual)) < 0.5, 1.0, -1.0)

    def turned(sides: Floats) -> Floats:
        return coin * (sides[:, 0] - sides[:, 1])

    errors = [numbers(seen, f) - numbers(truth, f) for f in WEIGHTED]
    return np.array([np.corrcoef(turned(error), turned(residual))[0, 1] for error in errors])


def test_only_the_differential_one_leans_on_the_choice(truth: pl.DataFrame, residual: Floats) -> None:
    plain = erring(truth, ERRING, "erring", 4)
    leans = erring(truth, ERRING, "differential", 4, residual=residual, strength=STRENGTH)
    # the correlation of what is independent has standard error 1 / sqrt(N) = .007
    assert np.all(np.abs(leaning(truth, plain, residual)) < 4 / np.sqrt(N))
    assert np.all(leaning(truth, leans, residual) > 10 / np.sqrt(N))


def test_the_differential_one_errs_as_often(truth: pl.DataFrame, residual: Floats) -> None:
    seen = erring(truth, ERRING, "differential", 4, residual=residual, strength=STRENGTH)
    stated, found, _ = map(np.array, zip(*shares(ERRING, truth, seen), strict=True))
    # Within the true values of a feature the residual is not quite normal: up to 2 points.
    assert np.all(np.abs(found - stated) < 0.02)


def test_labelers_err_independently_of_each_other(truth: pl.DataFrame) -> None:
    one, two = erring(truth, ERRING, "erring", 4), erring(truth, SECOND, "second", 4)
    for feature in WEIGHTED:
        errors = [(numbers(x, feature) - numbers(truth, feature)).ravel() for x in (one, two)]
        true = numbers(truth, feature).ravel()
        within = [[e[true == v] - e[true == v].mean() for e in errors] for v in np.unique(true)]
        pooled = [np.concatenate(parts) for parts in zip(*within, strict=True)]
        assert abs(np.corrcoef(pooled)[0, 1]) < 4.5 / np.sqrt(2 * N), feature


def test_a_pair_s_errors_are_its_own(truth: pl.DataFrame) -> None:
    whole = erring(truth, ERRING, "erring", 4)
    some = truth.filter(pl.col("row_id").is_in([3, CHUNK_PAIRS - 1, CHUNK_PAIRS, N - 1]))
    expected = whole.filter(pl.col("row_id").is_in(some["row_id"].implode()))
    assert_frame_equal(erring(some, ERRING, "erring", 4), expected)
    assert not erring(truth, ERRING, "erring", 5).equals(whole)


def test_the_files_are_labels_and_the_same_again(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(Options(300, 5), tmp_path / folder)
        write_labelers(tmp_path / folder, 5)
    for name in ("erring", "second", "differential"):
        files = [tmp_path / folder / f"{name}.parquet" for folder in "ab"]
        assert files[0].read_bytes() == files[1].read_bytes()
        labels = check(pl.scan_parquet(files[0]), LABELS, origin=name).collect()
        assert labels["labeler"].unique().to_list() == [name]
        assert labels.height == 600
