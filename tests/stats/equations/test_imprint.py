"""Eq. 1 against the planted truth, the closed form and pyfixest, and where there is hardly any data."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

from benchmarks.statistics_worlds import BETA_POST, BETA_PRE, BOOLEANS, TERMS, World, frames, world
from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint import feature_imprint
from seal.stats.options import Inference
from seal.stats.pairs.features import find_features
from seal.stats.pairs.joins import Inputs
from seal.stats.regression import fixest

TARGETS = ("last_response_is_harmless", "last_response_is_helpful")


def run(w: World, *, chosen_side: bool = False, covariates: tuple[str, ...] = (), **how: object) -> Equation:
    features = find_features(w.labels.lazy(), targets=TARGETS, covariates=covariates)
    inputs = Inputs(w.scores.lazy(), "pre", "post", w.labels.lazy(), features)
    return feature_imprint(inputs, Inference(**how), chosen_side=chosen_side)[0]  # type: ignore[arg-type]


def closed_form(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least squares of the differences and its HC0 standard errors, by plain numpy."""
    bread = np.linalg.inv(x.T @ x)
    b = bread @ x.T @ y
    return b, np.sqrt(np.diag(bread @ (x * ((y - x @ b) ** 2)[:, None]).T @ x @ bread))


@pytest.fixture(scope="module")
def big() -> World:
    return world(20_000, seed=11, premium=0.3)


@pytest.mark.parametrize("chosen_side", [False, True])
def test_the_streaming_path_is_the_closed_form(big: World, chosen_side: bool) -> None:
    table = run(big, chosen_side=chosen_side).table
    d = big.values[:, 0] - big.values[:, 1]
    x = np.column_stack([np.ones(len(d)), d]) if chosen_side else d
    margins = big.rewards[:, :, 0] - big.rewards[:, :, 1]
    for model, y in (("pre", margins[0]), ("post", margins[1]), ("post-pre", margins[1] - margins[0])):
        part = table.filter(pl.col("model") == model)
        b, se = closed_form(x, y)
        assert part["term"].to_list() == [*(["chosen"] if chosen_side else []), *TERMS]
        assert part["estimate"].to_numpy() == pytest.approx(b, abs=1e-8)
        assert part["std_error"].to_numpy() == pytest.approx(se, abs=1e-8)
        informative = [*([len(d)] if chosen_side else []), *(d != 0).sum(axis=0)]
        assert part["n_informative"].to_list() == informative


@pytest.mark.parametrize("chosen_side", [False, True])
def test_the_streaming_path_is_pyfixest(big: World, chosen_side: bool) -> None:
    table = run(big, chosen_side=chosen_side).table
    features = find_features(big.labels.lazy(), targets=TARGETS)
    y = big.scores.pivot("model", index=["row_id", "preference"], values="reward").with_columns(
        pl.col("pre", "post").cast(pl.Float64), chosen=(pl.col("preference") == "chosen").cast(pl.Float64)
    )
    labels = big.labels.select(
        "row_id", "preference", *(r.value().alias(r.term) for r in features.regressors)
    )
    frame = y.join(labels, on=["row_id", "preference"]).with_columns(change=pl.col("post") - pl.col("pre"))
    regressors = [*(["chosen"] if chosen_side else []), *TERMS]
    for outcome, model in (("pre", "pre"), ("post", "post"), ("change", "post-pre")):
        theirs = fixest.fit(frame, outcome, regressors)
        for row in table.filter(pl.col("model") == model).iter_rows(named=True):
            assert row["estimate"] == pytest.approx(theirs.estimate[row["term"]], abs=1e-8)
            assert row["std_error"] == pytest.approx(theirs.std_error[row["term"]], abs=1e-8)
        assert theirs.dof == 19_999


def test_the_planted_truth_is_found(big: World) -> None:
    # the premium is planted, so only the design that has a chosen-side intercept is right about all of it
    table = run(big, chosen_side=True, level=0.999).table
    for model, beta in (("pre", BETA_PRE), ("post", BETA_POST)):
        part = table.filter(pl.col("model") == model)
        truth = np.array([0.3, *beta])
        assert np.all((part["conf_low"].to_numpy() < truth) & (truth < part["conf_high"].to_numpy()))


def test_estimate_std_is_in_sds_of_the_models_own_margins(big: World) -> None:
    table = run(big).table
    sd = (big.rewards[:, :, 0] - big.rewards[:, :, 1]).std(axis=1)
    wide = table.pivot("model", index="term", values=["estimate", "estimate_std"])
    for i, m in enumerate(("pre", "post")):
        assert wide[f"estimate_std_{m}"].to_numpy() == pytest.approx(wide[f"estimate_{m}"].to_numpy() / sd[i])
    difference = wide["estimate_std_post"] - wide["estimate_std_pre"]
    assert wide["estimate_std_post-pre"].to_numpy() == pytest.approx(difference.to_numpy())


def test_adjusted_within_each_model(big: World) -> None:
    table = run(big, adjust="bonferroni").table
    assert table["p_adjusted"].to_list() == pytest.approx([min(1, 6 * p) for p in table["p_value"]])
    chosen = run(big, adjust="bonferroni", chosen_side=True).table
    assert chosen.filter(pl.col("term") == "chosen")["p_adjusted"].to_list() == [None] * 3
    others = chosen.filter(pl.col("term") != "chosen")
    assert others["p_adjusted"].to_list() == pytest.approx([min(1, 6 * p) for p in others["p_value"]])


def test_covariates_enter_exactly() -> None:
    w = world(3000, seed=5)
    rng = np.random.default_rng(0)
    w.labels.insert_column(4, pl.Series("n_words", rng.lognormal(4, 1, w.labels.height)))
    table = run(w, covariates=("n_words",)).table
    wide = w.labels.pivot("preference", index="row_id", values="n_words").sort("row_id")
    d = np.column_stack([w.values[:, 0] - w.values[:, 1], (wide["chosen"] - wide["rejected"]).to_numpy()])
    for i, model in enumerate(("pre", "post")):
        b, se = closed_form(d, w.rewards[i, :, 0] - w.rewards[i, :, 1])
        part = table.filter(pl.col("model") == model)
        assert part["estimate"].to_numpy() == pytest.approx(b, abs=1e-8)
        assert part["std_error"].to_numpy() == pytest.approx(se, abs=1e-8)
        ratio = w.labels["n_words"].std() / (w.rewards[i, :, 0] - w.rewards[i, :, 1]).std()
        assert part["estimate_std"][-1] == pytest.approx(b[-1] * ratio)


def small(values: NDArray[np.float64], seed: int = 0) -> World:
    """A world of given labels and noisy rewards."""
    rng = np.random.default_rng(seed)
    rewards = np.stack([values @ np.array(b) for b in (BETA_PRE, BETA_POST)]) + rng.normal(
        size=(2, *values.shape[:2])
    )
    rewards = rewards.astype(np.float32).astype(np.float64)
    return World(*frames(values, rewards), values, rewards)


def drawn(n: int, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random((n, 2, 5)) < 0.5, rng.integers(-1, 2, (n, 2, 1))], axis=2).astype(
        np.float64
    )


def test_a_feature_that_never_varies_is_left_out_with_its_reason() -> None:
    values = drawn(500)
    values[:, :, 2] = 1
    result = run(small(values))
    fate = {r.term: v for r, v in result.verdicts}["last_response_is_coherent"]
    assert (fate.kept, fate.vif, fate.reason) == (False, None, "never varies")
    assert "last_response_is_coherent" not in result.table["term"].to_list()
    assert result.table.height == 15


def test_of_identical_features_the_last_stays() -> None:
    values = drawn(500)
    values[:, :, 3] = values[:, :, 1]
    result = run(small(values))
    fate = {r.term: v for r, v in result.verdicts}["last_response_is_helpful"]
    assert fate.reason == "an exact linear combination of last_response_is_eloquent"
    assert "last_response_is_eloquent" in result.table["term"].to_list()


def test_three_informative_pairs_get_wide_errors() -> None:
    # HC2 by statsmodels; the Satterthwaite degrees of freedom by its definition on the full n x n matrices
    values = drawn(120, seed=3)
    values[:, :, 4] = 0
    values[:3, 0, 4] = 1
    w = small(values)
    result = run(w)
    row = result.table.filter(pl.col("model") == "post", pl.col("term") == "last_response_is_refusal").row(
        0, named=True
    )
    assert row["n_informative"] == 3
    assert any("fewer than 30 informative pairs for last_response_is_refusal" in n for n in result.notes)
    x, y = values[:, 0] - values[:, 1], w.rewards[1, :, 0] - w.rewards[1, :, 1]
    fit = sm.OLS(y, x).fit(cov_type="HC2")
    assert row["std_error"] == pytest.approx(fit.bse[4], rel=1e-10)
    bread = np.linalg.inv(x.T @ x)
    annihilator = np.eye(120) - x @ bread @ x.T
    weights = np.diag((x @ bread[:, 4]) ** 2 / np.diag(annihilator))
    matrix = np.sqrt(weights) @ annihilator @ np.sqrt(weights)
    dof = np.trace(matrix) ** 2 / np.trace(matrix @ matrix)
    assert 1 < dof < 5
    from scipy.stats import t

    assert row["p_value"] == pytest.approx(2 * t.sf(abs(row["statistic"]), dof), rel=1e-8)
    hc0 = closed_form(x, y)[1][4]
    assert row["conf_high"] - row["conf_low"] > 1.5 * 2 * 1.96 * hc0


def test_one_pair_alone_gives_an_estimate_and_no_error() -> None:
    values = np.zeros((1, 2, 6))
    values[0, 0, 0] = 1
    w = small(values)
    result = run(w)
    row = result.table.filter(pl.col("model") == "post").row(0, named=True)
    assert row["estimate"] == pytest.approx(w.rewards[1, 0, 0] - w.rewards[1, 0, 1])
    assert [row[k] for k in ("std_error", "p_value", "p_adjusted", "conf_low")] == [None] * 4
    assert any("no residual is left" in n for n in result.notes)


def test_pairs_alike_in_all_features_give_no_imprint() -> None:
    values = np.zeros((5, 2, 6))
    result = run(small(values))
    assert result.table.height == 0
    assert result.notes == ("no feature varies within pairs: no imprint",)


def test_linearity_of_sentiment_is_tested_and_found_wanting() -> None:
    values = drawn(4000)
    w = small(values)
    assert all(float(str(t["p_value"])) > 0.001 for t in run(w).tests)
    bent = w.rewards + 0.5 * np.abs(values[:, :, 5])
    scores, labels, texts = frames(values, bent)
    result = run(World(scores, labels, texts, values, bent))
    found = {str(t["group"]): float(str(t["p_value"])) for t in result.tests}
    assert found["post: last_response_sentiment"] < 1e-6
    assert found["post-pre: last_response_sentiment"] > 0.001


def test_more_than_a_word_of_features() -> None:
    # 26 labels need two packed words
    rng = np.random.default_rng(0)
    w = world(2000, seed=1)
    extra = {f"f{j}": rng.random(w.labels.height) < 0.5 for j in range(20)}
    labels = w.labels.with_columns(**{k: pl.Series(v) for k, v in extra.items()})
    w2 = World(w.scores, labels, w.texts, w.values, w.rewards)
    table = run(w2, max_vif=100.0).table.filter(pl.col("model") == "post")
    wide = labels.sort("row_id", "preference").select(*BOOLEANS, *extra).to_numpy().astype(float)
    sentiment = w.values[:, :, 5].ravel()[:, None]
    x = np.column_stack([wide[:, :5], sentiment, wide[:, 5:]]).reshape(2000, 2, -1)
    b, se = closed_form(x[:, 0] - x[:, 1], w.rewards[1, :, 0] - w.rewards[1, :, 1])
    assert table["estimate"].to_numpy() == pytest.approx(b, abs=1e-8)
    assert table["std_error"].to_numpy() == pytest.approx(se, abs=1e-8)


def test_many_features_on_few_pairs_get_hc2() -> None:
    values = drawn(250, seed=5)
    result = run(small(values))
    w = small(values)
    fit = sm.OLS(w.rewards[1, :, 0] - w.rewards[1, :, 1], values[:, 0] - values[:, 1]).fit(cov_type="HC2")
    part = result.table.filter(pl.col("model") == "post")
    assert part["n_informative"].min() > 100  # type: ignore[operator]
    assert part["std_error"].to_numpy() == pytest.approx(fit.bse, rel=1e-9)
    assert any("250 pairs for 6 coefficients: HC2 standard error" in n for n in result.notes)
