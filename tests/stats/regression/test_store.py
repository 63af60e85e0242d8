"""Cells on disk give what cells in memory give, and no pass holds all of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from seal.stats.regression import store
from seal.stats.regression.cells import BLOCK, Cells, pack, unpacked
from seal.stats.regression.linear import fitted_rows, least_squares
from seal.stats.regression.logit import fit_logit
from seal.stats.regression.separation import find_separation
from seal.stats.regression.store import Part, Store, Stored
from seal.stats.regression.tally import PairTally

Floats = NDArray[np.float64]
K = 5  # coded features, values -1, 0, 1


def drawn(n: int, seed: int = 0, n_groups: int = 50) -> pl.DataFrame:
    """Pairs with packed labels, two covariates, a cluster, a number and a yes or no (some null)."""
    rng = np.random.default_rng(seed)
    values = pl.DataFrame(rng.integers(-1, 2, (n, K)), schema=[f"v{j}" for j in range(K)])
    x = rng.normal(2, 3, (n, 2))
    eta = values.to_numpy() @ np.linspace(-0.5, 0.5, K) + x @ [0.1, -0.05]
    yes = rng.random(n) < 1 / (1 + np.exp(-eta))
    (word,) = pack([pl.col(c) for c in values.columns])
    return values.select(
        word.alias("w0"), cluster=pl.Series(rng.integers(0, n_groups, n)), x0=pl.Series(x[:, 0]),
        x1=pl.Series(x[:, 1]), y=pl.Series(eta + rng.normal(size=n)),
        yes=pl.when(pl.Series(rng.random(n) > 0.1)).then(pl.Series(yes)),
    )  # fmt: skip


def tallied(frame: pl.DataFrame, *, dense: bool, clustered: bool, in_memory: int, size: int = 7000) -> Cells:
    covariates = ["x0", "x1"] if dense else []
    keys, by = ["w0", *["cluster"] * clustered], ["cluster"] * clustered
    tally = PairTally(["w0"], ["y", "yes"], covariates=covariates, split_by=by, in_memory=in_memory)
    for block in frame.iter_slices(size):
        tally.add(block.select(*keys, *covariates, "y", "yes"))
    assert tally.n_pairs == frame.height

    def codes(part: Part) -> NDArray[np.int8]:
        return unpacked([part["w0"]], K, 1)

    def numbers(part: Part) -> Floats:
        return np.array([part[c] for c in covariates]).reshape(-1, len(part)).T

    cells = tally.cells(codes, numbers, (K, len(covariates)))
    assert cells is not None
    return cells


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_on_disk_as_in_memory(dense: bool, clustered: bool) -> None:
    frame = drawn(30_000)
    memory = tallied(frame, dense=dense, clustered=clustered, in_memory=store.IN_MEMORY)
    disk = tallied(frame, dense=dense, clustered=clustered, in_memory=0)
    assert isinstance(memory.codes, np.ndarray)
    assert isinstance(disk.codes, Stored)
    columns = range(K + 2 * dense)
    assert (disk.total("y"), disk.total("yes")) == (30_000, int(frame["yes"].count()))
    fits = [least_squares(c, "y", columns, intercept=True, robust="HC1") for c in (memory, disk)]
    assert fits[1].estimate == pytest.approx(fits[0].estimate, abs=1e-12)
    assert fits[1].covariance == pytest.approx(fits[0].covariance, rel=1e-9)
    logits = [fit_logit(c, "yes", columns) for c in (memory, disk)]
    assert logits[1].estimate == pytest.approx(logits[0].estimate, abs=1e-10)
    assert logits[1].covariance == pytest.approx(logits[0].covariance, rel=1e-8)
    few, names = [float("inf"), 5.0, *[99.0] * (len(columns) - 1)], [str(j) for j in range(len(columns) + 1)]
    rows = [
        fitted_rows(
            c, "y", columns, names, few, intercept=True, robust="HC1", level=0.95, scarce="pairs"
        ).rows
        for c in (memory, disk)
    ]
    for ours, theirs in zip(*rows, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-8)


def test_the_numbers_are_those_of_the_pairs() -> None:
    frame = drawn(30_000)
    x = np.column_stack([np.ones(30_000), _values(frame), frame.select("x0", "x1").to_numpy()])
    y = frame["y"].to_numpy()
    fit = least_squares(tallied(frame, dense=True, clustered=False, in_memory=0), "y", range(K + 2),
                        intercept=True, robust="HC1")  # fmt: skip
    b, *_ = np.linalg.lstsq(x, y, rcond=None)
    bread = np.linalg.inv(x.T @ x)
    e = y - x @ b
    assert fit.estimate == pytest.approx(b, abs=1e-10)
    hc1 = 30_000 / (30_000 - len(b)) * bread @ (x * (e**2)[:, None]).T @ x @ bread
    assert fit.covariance == pytest.approx(hc1, rel=1e-8, abs=1e-18)


def _values(frame: pl.DataFrame) -> Floats:
    return unpacked([frame["w0"].to_numpy()], K, 1).astype(np.float64)


def test_pairs_that_are_hardly_alike_are_kept_one_by_one() -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"w0": rng.permutation(60_000), "y": rng.normal(size=60_000)})
    tally = PairTally(["w0"], ["y"])
    tally.add(frame[:30_000])
    tally.add(frame[30_000:])
    cells = tally.cells(lambda p: unpacked([p["w0"]], 6, 0), lambda p: np.empty((len(p), 0)), (6, 0))
    assert cells is not None
    assert np.array_equal(tally.rows("w0")[30_000:], frame["w0"][30_000:])  # as they came, not grouped
    assert cells.total("y") == 60_000
    assert float(cells.sums["y"].sum()) == pytest.approx(frame["y"].sum())
    assert float(cells.squares["y"].sum()) == pytest.approx((frame["y"] ** 2).sum())


def test_no_pass_holds_more_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = drawn(BLOCK + BLOCK // 4)
    cells = tallied(frame, dense=True, clustered=False, in_memory=0, size=BLOCK // 2 + 1)
    read: list[int] = []
    whole = Stored._gathered

    def watched(self: Stored, low: int, high: int, rest: tuple[object, ...]) -> NDArray[np.float64]:
        read.append(high - low)
        return whole(self, low, high, rest)

    monkeypatch.setattr(Stored, "_gathered", watched)
    few = [5.0] * (K + 3)
    fitted_rows(cells, "y", range(K + 2), [""] * len(few), few, intercept=True, robust="HC0", level=0.95,
                     scarce="pairs")  # fmt: skip
    assert find_separation(cells, "yes", range(K + 2)) == []
    fit_logit(cells, "yes", range(K + 2))
    assert max(read) == BLOCK


@pytest.mark.parametrize("in_memory", [0, store.IN_MEMORY])
def test_separation_by_a_covariate_is_found_on_disk(in_memory: int) -> None:
    frame = drawn(20_000).with_columns(yes=pl.col("x0") > 1)
    cells = tallied(frame, dense=True, clustered=False, in_memory=in_memory)
    assert K + 1 in find_separation(cells, "yes", range(K + 2))
    last = pl.int_range(20_000) == 19_999  # one exception far out, in the last block, ends it
    frame = frame.with_columns(
        x0=pl.when(last).then(60.0).otherwise("x0"), yes=pl.col("yes") & ~last
    ).with_columns(x0=pl.when(pl.int_range(20_000) == 0).then(-60.0).otherwise("x0"),
                   yes=pl.col("yes") | (pl.int_range(20_000) == 0))  # fmt: skip
    cells = tallied(frame, dense=True, clustered=False, in_memory=in_memory)
    assert find_separation(cells, "yes", range(K + 2)) == []


def test_a_store_reads_like_an_array_and_cleans_up() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1000))
    kept = Store(in_memory=8 * 2 * 300)
    for rows in (slice(0, 300), slice(300, 650), slice(650, 1000)):
        kept.add(
            {"a": a[rows], "b": b[rows], "n": np.arange(1000)[rows]}
            if rows.start
            else {"a": a[rows], "b": b[rows]}
        )
    assert (kept.height, kept.on_disk) == (1000, True)
    both = Stored(kept, lambda part: np.column_stack([part["a"], part["b"]]), 2)
    table = np.column_stack([a, b])
    for at in (slice(290, 660), (slice(None), 1), (slice(5, 9), slice(0, 1)), a > 0, [3, 700], slice(0, 0)):
        assert np.array_equal(both[at], table[at])
    one = Stored(kept, lambda part: part["a"])
    assert np.array_equal(one[2:400, None], a[2:400, None])
    assert np.array_equal(one > 0.5, a > 0.5)
    assert one.sum() == pytest.approx(a.sum())
    assert (one.shape, both.shape) == ((1000,), (1000, 2))
    assert np.array_equal(np.asarray(both), table)
    with pytest.raises(KeyError, match="n"):
        next(kept.parts(0, 10))["n"]
    folders = list(_folders(kept))
    assert folders
    assert all(f.exists() for f in folders)
    del kept, both, one
    assert not any(f.exists() for f in folders)


def _folders(kept: Store) -> Iterator[Path]:
    if kept._folder is not None:
        yield kept._folder
