"""Corrections for label errors through `analyze`: planted truth, the formulas in plain numpy, refusals."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from seal.engine.errors import InputError, SealError, UsageError
from seal.stats.analysis import analyze
from seal.stats.options import AnalyzeOptions
from seal.stats.results import Results, write
from tests.support.gold_world import BETA, FEATURES, GoldWorld, gold_world, labeled_again, labels_of

Floats = NDArray[np.float64]
CORRECTED = ("imprint_corrected", "resistance_corrected", "human_corrected")
STRICT = 0.999  # 10 intervals that all hold: a false alarm in one of a hundred seeds


def run(w: GoldWorld, *more: pl.DataFrame, texts: pl.DataFrame | None = None, **options: Any) -> Results:
    """Analyse a world, by its gold labels where there are any."""
    labels = [x for x in (w.labels, w.gold, *more) if x.height]
    given = {"gold": "people" if w.gold.height else None, "pre": "pre", "post": "post"} | options
    return analyze(w.scores, labels, AnalyzeOptions(**given), texts=texts)


def without_gold(w: GoldWorld) -> GoldWorld:
    return GoldWorld(w.scores, w.labels, w.gold.clear(), w.truth, w.said, w.rewards, w.picked, w.probability)


@pytest.fixture(scope="module")
def world() -> GoldWorld:
    return gold_world(2000, 300, seed=1)


@pytest.fixture(scope="module")
def results(world: GoldWorld) -> Results:
    return run(world)


def margins(w: GoldWorld, model: str) -> Floats:
    rewards = w.rewards[0 if model == "pre" else 1]
    return np.asarray(rewards[:, 0] - rewards[:, 1])


def sided(labels: Floats) -> Floats:
    return np.asarray(labels[:, 0] - labels[:, 1])


def by_hand(
    d: Floats, v: Floats, y: Floats, picked: NDArray[np.int64], chance: Floats
) -> tuple[Floats, Floats]:
    """MEASUREMENT_ERROR.md 1 as it is written, pair by pair: beta (K,) and psi (n, K)."""
    k = v.shape[1]
    weight = 1 / chance / np.sum(1 / chance)

    def fitted(x: Floats) -> tuple[Floats, Floats]:
        bread = np.linalg.inv(sum(w * np.outer(row, row) for w, row in zip(weight, x, strict=True)))
        b = bread @ sum(w * row * z for w, row, z in zip(weight, x, y[picked], strict=True))
        rows = [
            bread @ row * (z - row @ b) / np.sqrt(1 - w * row @ bread @ row)
            for w, row, z in zip(weight, x, y[picked], strict=True)
        ]
        return b, np.array(rows)

    (b, phi), (c, xi) = fitted(d[picked]), fitted(v[picked])
    whole = np.linalg.inv(v.T @ v)
    c_all = whole @ v.T @ y
    psi_all = (v * (y - v @ c_all)[:, None]) @ whole
    q = weight**2 * (1 - chance)
    cross, square = np.zeros((k, k)), np.zeros((k, k))
    for scale, one, other in zip(q, phi, xi, strict=True):
        cross += scale * np.outer(one, other)
        square += scale * np.outer(other, other)
    p = cross @ np.linalg.inv(square)
    psi = psi_all @ p.T
    m = len(picked)
    for row, w, one, other in zip(picked, weight, phi, xi, strict=True):
        psi[row] += m / (m - k) * w * (one - p @ other)
    return b - p @ (c - c_all), psi


def standardised(beta: Floats, psi: Floats, y: Floats) -> tuple[Floats, Floats]:
    """In SDs of the margins: estimate, psi; the SD's influence by the delta method."""
    n, mean, sd = len(y), y.mean(), y.std()
    u = ((y - mean) ** 2 - sd**2) / (2 * sd * n)
    return beta / sd, psi / sd - np.outer(u, beta) / sd**2


def spread(psi: Floats) -> Floats:
    return np.asarray(np.sqrt((psi**2).sum(axis=0)))


@pytest.mark.parametrize("stratified", [False, True])
def test_imprint_corrected_is_the_formula(world: GoldWorld, stratified: bool) -> None:
    w = gold_world(1500, 200, seed=4, stratified=True) if stratified else world
    table = run(w).tables["imprint_corrected"]
    d, v = sided(w.truth), sided(w.said)
    raw = {m: by_hand(d, v, margins(w, m), w.picked, w.probability) for m in ("pre", "post")}
    std = {m: standardised(*raw[m], margins(w, m)) for m in raw}
    for found in (raw, std):
        found["post-pre"] = tuple(a - b for a, b in zip(found["post"], found["pre"], strict=True))
    for model, (beta, psi) in raw.items():
        part = table.filter(model=model)
        assert part["term"].to_list() == list(FEATURES)
        np.testing.assert_allclose(part["estimate"], beta, rtol=0, atol=1e-10)
        np.testing.assert_allclose(part["std_error"], spread(psi), rtol=0, atol=1e-10)
        np.testing.assert_allclose(part["estimate_std"], std[model][0], rtol=0, atol=1e-10)
        np.testing.assert_allclose(part["std_error_std"], spread(std[model][1]), rtol=0, atol=1e-10)
        assert set(part["method"]) == {"rectified"}
        assert part["n_gold_informative"].to_list() == (d[w.picked] != 0).sum(axis=0).tolist()
        assert part["n_informative"].to_list() == (v != 0).sum(axis=0).tolist()
        assert set(part["n_gold"]) == {len(w.picked)}
        assert set(part["n_pairs"]) == {len(v)}


def test_naive_estimates_stand_beside(results: Results) -> None:
    corrected, naive = results.tables["imprint_corrected"], results.tables["imprint"]
    np.testing.assert_allclose(corrected["naive_estimate"], naive["estimate"], rtol=0, atol=1e-10)
    both = results.tables["resistance_corrected"].join(
        results.tables["resistance"], on=["model", "preference", "term"], nulls_equal=True
    )
    assert both.height == 22
    np.testing.assert_allclose(both["naive_estimate"], both["estimate_right"], rtol=0, atol=1e-6)
    human = results.tables["human_corrected"].join(results.tables["human"], on=["model", "term", "scale"])
    assert human.height == 20
    np.testing.assert_allclose(human["naive_difference"], human["difference_right"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("differential", [0.0, 0.3])
def test_corrected_intervals_hold_the_planted_truth_and_naive_ones_do_not(differential: float) -> None:
    found = run(gold_world(seed=5, differential=differential), level=STRICT)
    for model, truth in BETA.items():
        inside = {}
        for name in ("imprint", "imprint_corrected"):
            part = found.tables[name].filter(model=model)
            inside[name] = (part["conf_low"].to_numpy() < truth) & (truth < part["conf_high"].to_numpy())
        assert inside["imprint_corrected"].all()
        assert inside["imprint"].sum() <= 3


def test_errors_are_clustered_by_what_was_asked(world: GoldWorld) -> None:
    n = len(world.said)
    group = np.arange(n) // 3
    texts = world.labels.select("row_id", "preference", "variant").with_columns(
        source=pl.lit("made"), prompt=pl.lit("Hi"), response=pl.lit("Ho"),
        meta_group=(pl.col("row_id") // 3).cast(pl.String),
    )  # fmt: skip
    table = run(world, texts=texts, cluster="meta_group").tables["imprint_corrected"]
    y, (d, v) = margins(world, "post"), (sided(world.truth), sided(world.said))
    beta, psi = by_hand(d, v, y, world.picked, world.probability)
    summed = np.zeros((group.max() + 1, psi.shape[1]))
    np.add.at(summed, group, psi)
    g = len(summed)
    part = table.filter(model="post")
    np.testing.assert_allclose(part["estimate"], beta, rtol=0, atol=1e-10)
    expected = spread(summed) * np.sqrt(g / (g - 1))
    np.testing.assert_allclose(part["std_error"], expected, rtol=0, atol=1e-10)


def test_order_of_rows_and_files_does_not_matter(world: GoldWorld, results: Results) -> None:
    shuffled = GoldWorld(
        *(f.sample(fraction=1.0, shuffle=True, seed=7) for f in (world.scores, world.labels, world.gold)),
        world.truth, world.said, world.rewards, world.picked, world.probability,
    )  # fmt: skip
    options = AnalyzeOptions(pre="pre", post="post", gold="people")
    again = analyze([shuffled.scores], [shuffled.gold, shuffled.labels], options)
    for name in (*CORRECTED, "label_errors"):
        one, other = results.tables[name], again.tables[name]
        numbers = [c for c in one.columns if one[c].dtype == pl.Float64()]
        assert one.drop(numbers).equals(other.drop(numbers)), name
        for c in numbers:
            np.testing.assert_allclose(one[c].to_numpy(), other[c].to_numpy(), rtol=1e-9, atol=1e-11)


def logit(x: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """A logit by scipy, and its influences (rows, p) without the weights."""

    def loss(b: Floats) -> tuple[float, Floats]:
        eta = x @ b
        mean = 1 / (1 + np.exp(-eta))
        return float(weight @ (np.logaddexp(0, eta) - y * eta)), x.T @ (weight * (mean - y))

    b = minimize(loss, np.zeros(x.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-13}).x
    mean = 1 / (1 + np.exp(-(x @ b)))
    bread = np.linalg.inv((x * (weight * mean * (1 - mean))[:, None]).T @ x)
    leverage = weight * mean * (1 - mean) * ((x @ bread) * x).sum(axis=1)
    return b, (x @ bread) * ((y - mean) / np.sqrt(1 - leverage))[:, None]


def rectified_by_hand(
    truth: tuple[Floats, Floats], proxy: tuple[Floats, Floats], everyone: tuple[Floats, Floats],
    w: GoldWorld,
) -> tuple[Floats, Floats]:  # fmt: skip
    """From (estimate, influence without weights) of the gold fits and (estimate, psi) of all pairs."""
    weight = 1 / w.probability / np.sum(1 / w.probability)
    q = (weight**2 * (1 - w.probability))[:, None]
    (b, phi), (c, xi), (c_all, psi_all) = truth, proxy, everyone
    p = ((q * phi).T @ xi) @ np.linalg.inv((q * xi).T @ xi)
    psi, (m, k) = psi_all @ p.T, phi.shape
    psi[w.picked] += m / (m - k) * weight[:, None] * (phi - xi @ p.T)
    return b - p @ (c - c_all), psi


def test_resistance_corrected_is_the_formula(world: GoldWorld, results: Results) -> None:
    y = (margins(world, "pre") <= 0).astype(np.float64)
    x, z = (
        np.column_stack([np.ones(len(y)), labels[:, 0], labels[:, 1]]) for labels in (world.truth, world.said)
    )
    weight = 1 / world.probability / np.sum(1 / world.probability)
    b_all, _ = logit(z, y, np.ones(len(y)))
    mean = 1 / (1 + np.exp(-(z @ b_all)))
    bread = np.linalg.inv((z * (mean * (1 - mean))[:, None]).T @ z)
    psi_all = (z @ bread) * (y - mean)[:, None]
    at = world.picked
    beta, psi = rectified_by_hand(
        logit(x[at], y[at], weight), logit(z[at], y[at], weight), (b_all, psi_all), world
    )
    part = results.tables["resistance_corrected"].filter(model="pre")
    assert part["term"].to_list() == ["intercept", *FEATURES, *FEATURES]
    # scipy's minimum is found to about 1e-7
    np.testing.assert_allclose(part["estimate"], beta, rtol=0, atol=2e-6)
    np.testing.assert_allclose(part["std_error"], spread(psi), rtol=0, atol=2e-6)
    np.testing.assert_allclose(part["odds_ratio"], np.exp(beta), rtol=1e-5)


def test_effects_of_resistance_are_those_of_the_true_labels(world: GoldWorld, results: Results) -> None:
    # The target of every corrected number is what the same analysis of the true labels of all pairs says.
    n = np.arange(len(world.truth))
    right = analyze(world.scores, labels_of("model", world.truth, n), AnalyzeOptions(pre="pre", post="post"))
    both = results.tables["resistance_corrected"].join(
        right.tables["resistance"], on=["model", "preference", "term"], suffix="_true"
    )
    assert both.height == 20
    for name, error in (("estimate", "std_error"), ("ame", "ame_std_error")):
        z = (both[name] - both[f"{name}_true"]) / both[error]
        assert z.abs().max() < 3.5, name  # 20 of them, each a little below a standard normal
        assert z.std() > 0.3, name
    # An average effect is what moving one feature does to the chance; by hand from the corrected logit.
    line = results.tables["resistance_corrected"].filter(model="pre", preference="chosen")
    ratio = (line["ame"] / line["estimate"]).to_numpy()
    np.testing.assert_allclose(ratio, ratio[0])
    assert 0.15 < ratio[0] < 0.25


@pytest.mark.parametrize("scale", ["calibrated", "own", "choice"])
def test_human_corrected_is_about_that_of_the_true_labels(world: GoldWorld, scale: str) -> None:
    n = np.arange(len(world.truth))
    right = analyze(
        world.scores, labels_of("model", world.truth, n),
        AnalyzeOptions(pre="pre", post="post", rm_scale=scale),  # type: ignore[arg-type]
    )  # fmt: skip
    found = run(world, rm_scale=scale)
    both = found.tables["human_corrected"].join(
        right.tables["human"], on=["model", "term", "scale"], suffix="_true"
    )
    assert both.height == 20
    for who in ("human", "rm"):
        half = (both[f"{who}_high"] - both[f"{who}_low"]) / 2
        assert ((both[who] - both[f"{who}_true"]) / half).abs().max() < 1.8
    z = (both["difference"] - both["difference_true"]) / both["std_error"]
    assert z.abs().max() < 3.5
    np.testing.assert_allclose(both["difference"], both["rm"] - both["human"], atol=1e-12)


def test_human_corrected_is_the_formula(world: GoldWorld, results: Results) -> None:
    d, v, at = sided(world.truth), sided(world.said), world.picked
    weight = 1 / world.probability / np.sum(1 / world.probability)
    ones = np.ones(len(d))
    c_all, _ = logit(v, ones, ones)
    mean = 1 / (1 + np.exp(-(v @ c_all)))
    psi_all = (v @ np.linalg.inv((v * (mean * (1 - mean))[:, None]).T @ v)) * (1 - mean)[:, None]
    gold = (logit(x[at], ones[at], weight) for x in (d, v))
    h, psi = rectified_by_hand(*gold, (c_all, psi_all), world)
    part = results.tables["human_corrected"].filter(model="post", scale="log_odds")
    np.testing.assert_allclose(part["human"], h, rtol=0, atol=2e-6)
    half = (part["human_high"] - part["human_low"]).to_numpy() / 2
    np.testing.assert_allclose(half / half[0], spread(psi) / spread(psi)[0], rtol=1e-5)


def calibrated_by_hand(w: GoldWorld, y: Floats) -> tuple[Floats, Floats]:
    """MEASUREMENT_ERROR.md 2 as it is written, for a simple random sample."""
    d, v, at = sided(w.truth), sided(w.said), w.picked
    inside = np.linalg.inv(v[at].T @ v[at])
    matrix = inside @ v[at].T @ d[at]
    back, whole = np.linalg.inv(matrix), np.linalg.inv(v.T @ v)
    c_all = whole @ v.T @ y
    beta = back @ c_all
    psi = (v * (y - v @ c_all)[:, None]) @ whole
    for row in at:
        h = v[row] @ inside @ v[row]
        psi[row] -= inside @ v[row] * (d[row] @ beta - v[row] @ matrix @ beta) / np.sqrt(1 - h)
    return beta, psi @ back.T


def test_calibrated_is_the_formula_and_hausman_beside_it(world: GoldWorld) -> None:
    found = run(world, correct="calibrated")
    d, v = sided(world.truth), sided(world.said)
    for model in ("pre", "post"):
        y = margins(world, model)
        beta, psi = calibrated_by_hand(world, y)
        part = found.tables["imprint_corrected"].filter(model=model)
        np.testing.assert_allclose(part["estimate"], beta, rtol=0, atol=1e-10)
        np.testing.assert_allclose(part["std_error"], spread(psi), rtol=0, atol=1e-10)
        first, its = by_hand(d, v, y, world.picked, world.probability)
        gap = (its - psi).T @ (its - psi)
        statistic = (first - beta) @ np.linalg.solve(gap, first - beta)
        row = found.tables["tests"].filter(test="hausman", group=model)
        assert row["statistic"].item() == pytest.approx(statistic, rel=1e-8)
    assert set(found.tables["imprint_corrected"]["method"]) == {"calibrated"}
    assert set(found.tables["human_corrected"]["method"]) == {"rectified"}
    assert any("corrected by rectified" in n for n in found.notes)


def test_calibrated_is_refused_where_errors_follow_the_reward() -> None:
    w = gold_world(4000, 1200, seed=3, differential=0.4)
    with pytest.raises(UsageError, match=r"errors seem to follow the reward.*--correct rectified"):
        run(w, correct="calibrated")


def latent_world() -> GoldWorld:
    return without_gold(gold_world(8000, seed=11))


@pytest.mark.parametrize("n_labelers", [2, 3])
def test_latent_holds_the_planted_truth(n_labelers: int) -> None:
    w = latent_world()
    more = [labeled_again(w, f"other {i}", seed=i) for i in range(1, n_labelers)]
    # one pair that a further labeler has not labeled on both sides is left out
    more[0] = more[0].filter(~((pl.col("row_id") == 17) & (pl.col("preference") == "chosen")))
    found = run(w, *more, labeler="model", correct="latent", level=STRICT)
    table = found.tables["imprint_corrected"]
    assert set(table["n_pairs"]) == {7999}
    assert set(table["method"]) == {"latent"}
    assert table["n_gold"].null_count() == table.height
    for model, truth in BETA.items():
        part, naive = table.filter(model=model), found.tables["imprint"].filter(model=model)
        assert ((part["conf_low"].to_numpy() < truth) & (truth < part["conf_high"].to_numpy())).all()
        assert ((naive["conf_low"].to_numpy() < truth) & (truth < naive["conf_high"].to_numpy())).sum() <= 2
    errors = found.tables["label_errors"].filter(labeler="model", feature=FEATURES[1])
    assert errors["false_negative_rate"].item() == pytest.approx(0.2, abs=0.03)  # planted; SE about .008
    assert any("no test proves" in n for n in found.notes)


def test_latent_is_refused_with_gold_or_one_labeler(world: GoldWorld) -> None:
    with pytest.raises(UsageError, match="correct latent: it takes 2 to 6 labelers, and here are 1"):
        run(without_gold(world), correct="latent")
    with pytest.raises(UsageError, match="rectified by them assumes less"):
        run(world, correct="latent")


def test_proxy_without_gold_is_refused(world: GoldWorld) -> None:
    for options in ({"gold": None, "labeler": "model"}, {"correct": "none"}):
        with pytest.raises(UsageError, match="proxy probability says what gold labels correct"):
            run(world, proxy="probability", **options)


def with_p(w: GoldWorld, *, seed: int = 0) -> pl.DataFrame:
    """The labeler's labels, with p_<feature> of the first four beside them."""
    rng = np.random.default_rng(seed)
    flat = w.said.reshape(-1, 5)
    p = 0.1 + 0.7 * flat + 0.2 * rng.random(flat.shape)
    columns = {f"p_{f}": pl.Series(p[:, j]) for j, f in enumerate(FEATURES[:4])}
    return w.labels.with_columns(**columns)


def test_probabilities_enter_in_the_place_of_labels(world: GoldWorld) -> None:
    labels = with_p(world)
    options = AnalyzeOptions(pre="pre", post="post", gold="people", proxy="probability")
    table = analyze(world.scores, [labels, world.gold], options).tables["imprint_corrected"]
    said = world.said.copy()
    for j, f in enumerate(FEATURES[:4]):
        said[:, :, j] = labels[f"p_{f}"].to_numpy().reshape(-1, 2)
    beta, psi = by_hand(
        sided(world.truth), sided(said), margins(world, "post"), world.picked, world.probability
    )
    part = table.filter(model="post").sort(pl.col("term").cast(pl.Enum(FEATURES)))
    np.testing.assert_allclose(part["estimate"], beta, rtol=0, atol=1e-10)
    np.testing.assert_allclose(part["std_error"], spread(psi), rtol=0, atol=1e-10)


def test_covariates_are_measured_not_labeled(world: GoldWorld) -> None:
    rng = np.random.default_rng(2)
    words = rng.lognormal(3, 0.5, (len(world.said), 2))
    counts = world.labels.select("row_id", "preference", "variant").with_columns(
        labeler=pl.lit("computed"), n_words=pl.Series(words.ravel())
    )
    for labels, proxy in ((world.labels, "label"), (with_p(world), "probability")):
        options = AnalyzeOptions(
            pre="pre", post="post", gold="people", covariates=("n_words",), proxy=proxy,  # type: ignore[arg-type]
            labeler="model",
        )  # fmt: skip
        table = analyze(world.scores, [labels, counts, world.gold], options).tables["imprint_corrected"]
        if proxy == "probability":
            assert table.filter(model="pre")["term"].to_list()[-1] == "n_words"
            continue
        d, v = (np.column_stack([sided(x), words[:, 0] - words[:, 1]]) for x in (world.truth, world.said))
        beta, psi = by_hand(d, v, margins(world, "pre"), world.picked, world.probability)
        part = table.filter(model="pre")
        np.testing.assert_allclose(part["estimate"], beta, rtol=0, atol=1e-9)
        np.testing.assert_allclose(part["std_error"], spread(psi), rtol=0, atol=1e-9)
        unit = words.std(ddof=1) / margins(world, "pre").std()
        assert part["estimate_std"][-1] == pytest.approx(beta[-1] * unit, rel=1e-9)


def test_gold_of_every_pair_is_gold_alone(world: GoldWorld) -> None:
    gold = labels_of("people", world.truth, np.arange(len(world.truth)))
    found = analyze(world.scores, [world.labels, gold], AnalyzeOptions(pre="pre", post="post", gold="people"))
    d, y = sided(world.truth), margins(world, "post")
    beta = np.linalg.lstsq(d, y, rcond=None)[0]
    part = found.tables["imprint_corrected"].filter(model="post")
    np.testing.assert_allclose(part["estimate"], beta, rtol=0, atol=1e-10)
    assert any("as people sees them" in n for n in found.notes)


def test_models_alike_but_for_a_factor_do_not_differ(world: GoldWorld) -> None:
    twice = world.scores.filter(model="pre").with_columns(model=pl.lit("post"), reward=2 * pl.col("reward"))
    scores = pl.concat([world.scores.filter(model="pre"), twice])
    options = AnalyzeOptions(pre="pre", post="post", gold="people")
    table = analyze(scores, [world.labels, world.gold], options).tables["imprint_corrected"]
    change = table.filter(model="post-pre")
    np.testing.assert_allclose(change["estimate"], table.filter(model="pre")["estimate"], rtol=1e-9)
    assert change["estimate_std"].abs().max() < 1e-9
    assert change["p_value_std"].to_list() == change["p_adjusted_std"].to_list() == [1.0] * 5
    assert change["p_value"].min() < 1e-5


def test_a_labeler_without_errors_is_left_as_it_is(world: GoldWorld) -> None:
    labels = labels_of("model", world.truth, np.arange(len(world.truth)))
    options = AnalyzeOptions(pre="pre", post="post", gold="people")
    found = analyze(world.scores, [labels, world.gold], options).tables
    table, naive = found["imprint_corrected"], found["imprint"]
    np.testing.assert_allclose(table["estimate"], naive["estimate"], rtol=1e-8)
    np.testing.assert_allclose(table["std_error"], naive["std_error"], rtol=1e-6)
    assert set(found["label_errors"]["kappa"]) == {1.0}


def edited(w: GoldWorld, how: Callable[[pl.DataFrame], pl.DataFrame]) -> GoldWorld:
    return GoldWorld(w.scores, w.labels, how(w.gold), w.truth, w.said, w.rewards, w.picked, w.probability)


REFUSALS: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "no inclusion probability": (
        lambda g: g.drop("inclusion_probability"), "not known to be a random sample.*seal gold sample"
    ),
    "one side": (lambda g: g.filter(pl.col("preference") == "chosen"), "one side only of 300 pairs"),
    "too few": (lambda g: g, "29 gold pairs are fewer than 6 for each of 5 coefficients"),
    "other texts": (lambda g: g.with_columns(pl.col("row_id") + 10_000), "gold labels of the same texts"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_notes_by_default_and_errors_when_asked(world: GoldWorld, case: str) -> None:
    how, message = REFUSALS[case]
    w = gold_world(4000, 29, seed=9) if case == "too few" else edited(world, how)
    with pytest.raises(UsageError, match=f"correct rectified: .*{message}"):
        run(w, correct="rectified")
    found = run(w)
    assert not set(CORRECTED) & set(found.tables)
    assert any(n.startswith("not corrected for label errors; attenuated or worse") for n in found.notes)


@pytest.mark.parametrize("wrong", [0.0, 1.5, None])
def test_an_inclusion_probability_is_one(world: GoldWorld, wrong: float | None) -> None:
    w = edited(world, lambda g: g.with_columns(inclusion_probability=pl.lit(wrong, pl.Float64)))
    with pytest.raises(InputError, match="inclusion_probability of 300 pairs is not above 0"):
        run(w)


def test_gold_is_one_of_the_labelers(world: GoldWorld) -> None:
    with pytest.raises(InputError, match="no labeler 'gpt' to take as gold; have: model, people"):
        run(world, gold="gpt", labeler="model")
    same = run(world, gold="people", labeler="people")
    (said,) = [n for n in same.notes if "which is taken as right" in n]
    assert said.startswith("nothing to correct for label errors: the labels regressed on are those of people")
    assert not any("attenuated" in n for n in same.notes)
    with pytest.raises(UsageError, match="those of people, which is taken as right"):
        run(world, gold="people", labeler="people", correct="rectified")


def test_an_equation_that_gold_is_too_small_for_is_named_once() -> None:
    """Five coefficients of Eq. 1 need 30 gold pairs; eleven of Eq. 3 need 66."""
    found = run(gold_world(3000, 45, seed=9))
    (said,) = [n for n in found.notes if n.startswith("resistance_corrected: not corrected")]
    assert said.count("resistance_corrected") == 1
    assert "45 gold pairs are fewer than 6 for each of 11 coefficients" in said


def test_backwards_choices_among_gold_pairs_are_said_to_be_theirs() -> None:
    """All pairs have a factor; the gold ones, chosen for margins against the choice, have none."""
    w = gold_world(3000, 600, seed=5)
    margins = w.rewards[1, :, 0] - w.rewards[1, :, 1]
    against = w.picked[margins[w.picked] < 0.5]
    assert len(against) > 100
    few = edited(w, lambda g: g.filter(pl.col("row_id").is_in(against.tolist())))
    (said,) = [n for n in run(few).notes if n.startswith("human_corrected: post: not corrected")]
    assert f"of the {len(against)} gold pairs alone: people chose the text with the lower reward" in said


def test_no_gold_is_said(world: GoldWorld) -> None:
    alone = run(without_gold(world))
    assert any(n.startswith("not corrected for label errors") and "gold sample" in n for n in alone.notes)
    with pytest.raises(UsageError, match="correct rectified: no gold labels"):
        run(without_gold(world), correct="rectified")
    silent = run(world, correct="none")
    assert not set(CORRECTED) & set(silent.tables)
    assert any("--correct none" in n for n in silent.notes)
    with pytest.raises(SealError, match="further effects or interactions"):
        run(world, texts=texts_of(world), interactions=(f"{FEATURES[0]}:source",), correct="rectified")


def test_gold_pairs_that_ties_leave_out_count_for_nothing() -> None:
    w = gold_world(2000, 300, seed=21)
    tied = pl.col("row_id") % 4 == 0
    scores = w.scores.with_columns(reward=pl.when(tied).then(pl.lit(0.5, pl.Float32)).otherwise("reward"))
    options = AnalyzeOptions("pre", "post", gold="people", ties="drop")
    whole, without = (
        analyze(scores, [w.labels, gold], options).tables["resistance_corrected"]
        for gold in (w.gold, w.gold.filter(~tied))
    )
    for column in ("estimate", "std_error", "ame", "ame_std_error", "n_gold"):
        np.testing.assert_allclose(whole[column].to_numpy(), without[column].to_numpy(), rtol=1e-9)
    assert whole["n_gold"].to_list() == [int(np.sum(w.picked % 4 != 0))] * whole.height


def texts_of(w: GoldWorld) -> pl.DataFrame:
    return w.labels.select("row_id", "preference", "variant").with_columns(
        source=pl.when(pl.col("row_id") % 2 == 0).then(pl.lit("a")).otherwise(pl.lit("b")),
        prompt=pl.lit("Hi"), response=pl.lit("Ho"),
    )  # fmt: skip


def test_features_without_gold_or_with_too_little_are_left_out() -> None:
    w = gold_world(3000, 300, seed=6)
    few = w.picked[np.flatnonzero(sided(w.truth)[w.picked, 4])[:280]]  # make the fifth all but constant
    quiet = pl.when(pl.col("row_id").is_in(few[9:].tolist())).then(False).otherwise(pl.col(FEATURES[4]))
    found = run(edited(w, lambda g: g.with_columns(quiet.alias(FEATURES[4])).drop(FEATURES[3])))
    table = found.tables["imprint_corrected"]
    assert table.filter(model="pre")["term"].to_list() == list(FEATURES[:3])
    vif = found.tables["vif"].filter(equation="imprint_corrected")
    reasons = dict(vif.select("term", "reason").iter_rows())
    assert reasons[FEATURES[3]] == "not labeled by gold"
    assert reasons[FEATURES[4]] == "differs in 9 gold pairs only, 10 are needed"
    d, v = sided(w.truth)[:, :3], sided(w.said)[:, :3]
    beta, _ = by_hand(d, v, margins(w, "pre"), w.picked, w.probability)
    np.testing.assert_allclose(table.filter(model="pre")["estimate"], beta, rtol=0, atol=1e-10)
    assert any("of the regression without" in n for n in found.notes)


def test_a_feature_that_few_gold_pairs_tell_of_is_flagged() -> None:
    w = gold_world(3000, 300, seed=6)
    few = w.picked[np.flatnonzero(sided(w.truth)[w.picked, 4])[20:]]
    quiet = pl.when(pl.col("row_id").is_in(few.tolist())).then(False).otherwise(pl.col(FEATURES[4]))
    table = run(edited(w, lambda g: g.with_columns(quiet.alias(FEATURES[4])))).tables["imprint_corrected"]
    flags = dict(table.filter(model="pre").select("term", "flag").iter_rows())
    assert flags == dict.fromkeys(FEATURES[:4]) | {FEATURES[4]: "differs in 20 gold pairs only"}


def test_gold_pairs_with_nulls_are_left_out_and_counted(world: GoldWorld) -> None:
    gone = int(world.picked[3])
    null = pl.when(pl.col("row_id") == gone).then(None).otherwise(pl.col(FEATURES[2])).alias(FEATURES[2])
    found = run(edited(world, lambda g: g.with_columns(null)))
    assert set(found.tables["imprint_corrected"]["n_gold"]) == {299}
    assert any(n.startswith("1 gold pairs have a null label") for n in found.notes)


def test_label_errors_are_counted_by_side_and_source(world: GoldWorld) -> None:
    table = run(world, texts=texts_of(world)).tables["label_errors"]
    truth, said = world.truth[world.picked], world.said[world.picked]
    for row in table.iter_rows(named=True):
        j, sides = FEATURES.index(row["feature"]), {"all": [0, 1], "chosen": [0], "rejected": [1]}
        here = (
            np.full(len(truth), True)
            if row["source"] == "all"
            else world.picked % 2 == "ab".index(row["source"])
        )
        x, z = said[here][:, sides[row["side"]], j], truth[here][:, sides[row["side"]], j]
        assert row["n_gold"] == x.size
        assert row["false_positive_rate"] == pytest.approx(x[z == 0].mean())
        assert row["false_negative_rate"] == pytest.approx(1 - x[z == 1].mean())
        assert row["false_positive_rate_conf_low"] <= row["false_positive_rate"]
        assert row["false_positive_rate"] < row["false_positive_rate_conf_high"]
    assert table.height == 5 * 3 * 3


def test_diagnostics_stand_among_the_tests(world: GoldWorld, results: Results) -> None:
    tests = results.tables["tests"]
    assert tests.filter(test="gold_pairs")["statistic"].to_list() == [300.0]
    part = results.tables["imprint_corrected"].filter(model="post")
    naive, fixed = part["naive_estimate"].to_numpy(), part["estimate"].to_numpy()
    slope = tests.filter(test="naive_slope_imprint", group="post")["statistic"].item()
    assert slope == pytest.approx(naive @ fixed / (fixed @ fixed))
    ratio = tests.filter(test="gold_variance_ratio_imprint")["statistic"]
    assert len(ratio) == 10
    assert 0.8 < ratio.min() < ratio.max()
    assert ratio.max() > 1.2
    families = next(n for n in results.notes if n.startswith("p-values are adjusted within each of"))
    # imprint 3, its chosen side 3, shift 4 outcomes or more, resistance 2, human 4, corrected 6 + 2 + 4
    assert int(families.split()[6]) >= 26


def test_an_inclusion_probability_is_no_feature(results: Results) -> None:
    for name in ("vif", "labelers", "imprint", "label_errors"):
        column = "term" if "term" in results.tables[name].columns else "feature"
        assert "inclusion_probability" not in set(results.tables[name][column])


def test_corrected_tables_are_written(results: Results, tmp_path: Any) -> None:
    names = {p.name for p in write(results, tmp_path)}
    assert {"imprint_corrected.csv", "human_corrected.csv", "resistance_corrected.csv"} <= names
    assert "label_errors.csv" in names
