"""Eq. 1's influences: the cells' coefficients and errors, clusters by hand, and the SD's delta method."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from benchmarks.statistics_worlds import TERMS, World, world
from seal.stats.equations.imprint import feature_imprint
from seal.stats.equations.imprint_influence import (
    ImprintInfluence,
    differences,
    imprint_influence,
    margins,
)
from seal.stats.options import TARGETS
from seal.stats.pairs.features import find_features
from seal.stats.pairs.joins import Inputs, Pairs
from seal.stats.pairs.places import Places
from seal.stats.pairs.spool import Spool
from seal.stats.regression.influence import beside

Floats = NDArray[np.float64]
CODED = (0, 1, 2, 3, 4, 5)  # the six labels; 6 is |sentiment|, 7 the covariate


def inputs_of(w: World, covariates: tuple[str, ...] = ("n_words",)) -> Inputs:
    features = find_features(w.labels.lazy(), targets=TARGETS, covariates=covariates)
    return Inputs(
        w.scores.lazy(),
        "pre",
        "post",
        w.labels.lazy(),
        features,
        texts=w.texts.lazy(),
        carried=("meta_place",),
    )


def made(n: int = 1500) -> World:
    w = world(n, seed=3, shuffle=False)
    rng = np.random.default_rng(2)
    w.labels.insert_column(4, pl.Series("n_words", rng.lognormal(4, 0.3, w.labels.height)))
    w.texts.insert_column(4, pl.Series("meta_place", np.repeat(rng.integers(0, 200, n), 2)).cast(pl.String))
    return w


@pytest.fixture(scope="module")
def w() -> World:
    return made()


def dense(w: World) -> tuple[Floats, Floats]:
    """Differences with |sentiment| and the covariate last, and margins, (n, 8) and (n, 2)."""
    words = w.labels["n_words"].to_numpy().reshape(-1, 2)
    values, bent = w.values, np.abs(w.values[:, :, 5])
    d = np.column_stack([values[:, 0] - values[:, 1], bent[:, 0] - bent[:, 1], words[:, 0] - words[:, 1]])
    return d, (w.rewards[:, :, 0] - w.rewards[:, :, 1]).T


def found(
    w: World,
    kept: tuple[int, ...],
    cluster: str | None = None,
    *,
    chosen_side: bool = False,
) -> tuple[ImprintInfluence, Places]:
    inputs = inputs_of(w)
    with Spool(Pairs(inputs, per_block=400)) as rows:
        places = Places.find(rows, cluster)
        return (
            imprint_influence(rows, inputs, kept, places, chosen_side=chosen_side),
            places,
        )


def test_the_design_of_a_block_is_chosen_less_rejected(w: World) -> None:
    inputs = inputs_of(w)
    d, m = dense(w)
    blocks = list(Pairs(inputs, per_block=400))
    for kept in (CODED, (1, 5, 6, 7), (7,), ()):
        mine = np.concatenate([differences(b, inputs, kept) for b in blocks])
        np.testing.assert_allclose(mine, d[:, list(kept)])
    np.testing.assert_allclose(np.concatenate([margins(b) for b in blocks]), m)


@pytest.mark.parametrize("chosen_side", [False, True])
def test_coefficients_and_errors_are_those_of_the_cells(w: World, chosen_side: bool) -> None:
    plain = replace(inputs_of(w, ()), carried=())  # errors by pair
    table = feature_imprint(plain, chosen_side=chosen_side)[0].table
    influence, places = found(w, CODED, chosen_side=chosen_side)
    assert influence.terms == (*["chosen"] * chosen_side, *TERMS)
    assert (places.factor, influence.n) == (1.0, 1500)
    for model in ("pre", "post"):
        part = table.filter(pl.col("model") == model)
        np.testing.assert_allclose(influence.by_model[model].estimate, part["estimate"], atol=1e-10)
        np.testing.assert_allclose(influence.by_model[model].std_error, part["std_error"], rtol=1e-8)
    both = beside([influence.by_model["pre"], influence.by_model["post"]])
    k = len(influence.terms)
    change = both.mapped(
        both.estimate[k:] - both.estimate[:k], np.concatenate([-np.eye(k), np.eye(k)], axis=1)
    )
    part = table.filter(pl.col("model") == "post-pre")
    np.testing.assert_allclose(change.estimate, part["estimate"], atol=1e-10)
    np.testing.assert_allclose(change.std_error, part["std_error"], rtol=1e-8)


def test_clustered_errors_and_the_sd_are_the_sums_by_hand(w: World) -> None:
    kept = (*CODED, 7)
    influence, places = found(w, kept, "meta_place")
    d, m = dense(w)
    d = d[:, list(kept)]
    n, bread = len(d), np.linalg.inv(d.T @ d)
    ids = w.texts["meta_place"].to_numpy()[::2]
    sd = m.std(axis=0)
    u = ((m - m.mean(axis=0)) ** 2 - sd**2) / (2 * sd * n)
    psi = []
    for i, model in enumerate(("pre", "post")):
        b = bread @ d.T @ m[:, i]
        np.testing.assert_allclose(influence.by_model[model].estimate, b, atol=1e-10)
        assert influence.sd[model].estimate == pytest.approx([sd[i]])
        psi += [(d * (m[:, i] - d @ b)[:, None]) @ bread, u[:, i : i + 1]]
    by_cluster = np.stack([np.concatenate(psi, axis=1)[ids == c].sum(axis=0) for c in np.unique(ids)])
    whole = beside(
        [influence.by_model["pre"], influence.sd["pre"], influence.by_model["post"], influence.sd["post"]]
    )
    np.testing.assert_allclose(whole.covariance, by_cluster.T @ by_cluster, rtol=1e-8, atol=1e-14)
    groups = len(np.unique(ids))
    assert places.factor == groups / (groups - 1)


def test_the_error_of_the_sd_is_that_of_repeated_draws() -> None:
    # the variance of a sample SD by the delta method: (m4 - s^4) / (4 s^2 n)
    draws = [found(made_plain(300, seed), CODED)[0].sd["post"] for seed in range(60)]
    spread = np.std([x.estimate[0] for x in draws])
    assert np.mean([x.std_error[0] for x in draws]) == pytest.approx(spread, rel=0.3)


def made_plain(n: int, seed: int) -> World:
    w = world(n, seed=seed, shuffle=False)
    w.labels.insert_column(4, pl.Series("n_words", np.ones(2 * n)))
    w.texts.insert_column(4, pl.Series("meta_place", ["a"] * 2 * n))
    return w


def test_equal_margins_have_no_spread_and_no_error_of_it() -> None:
    w = made_plain(50, 0)
    flat = w.scores.with_columns(
        reward=pl.when(pl.col("model") == "post").then(1.0).otherwise(pl.col("reward")).cast(pl.Float32)
    )
    influence, _ = found(World(flat, w.labels, w.texts, w.values, w.rewards), CODED)
    assert influence.sd["post"].estimate == 0.0
    assert influence.sd["post"].std_error == 0.0


def test_no_pair_is_said() -> None:
    inputs = inputs_of(made_plain(5, 0))
    none = [b.with_columns(regressed=pl.lit(False)) for b in Pairs(inputs)]
    with pytest.raises(ValueError, match="no pair enters"):
        imprint_influence(none, inputs, CODED, Places.find(none))
