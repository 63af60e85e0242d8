"""What rewriting did, against counts made by hand, by brute force, and by the published study."""

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from benchmarks.statistics_worlds import SENTIMENT, TERMS, drawn_values, frames
from seal.stats.equations.flips import alignment_drop, flip_table
from seal.stats.estimates import estimate
from seal.stats.inputs import Frames
from seal.stats.options import AnalyzeOptions
from seal.stats.pairs.features import Regressor
from seal.stats.regression.inference import mcnemar_exact
from seal.stats.results import Results
from tests.support.published import PUBLISHED

N = 800
SIDES = ("chosen", "rejected")
NAMES = {-2: "gained_2", -1: "gained", 0: "none", 1: "lost", 2: "lost_2"}


class World:
    """800 rewritten pairs: some labels flip at random, and `post`, not `pre`, is paid for a positive tone."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.values = drawn_values(rng, N)
        self.hat = self.values.copy()
        flipped = rng.random((N, 2, 5)) < [0.02, 0.03, 0.1, 0.1, 0.1]
        self.hat[:, :, :5] = np.where(flipped, 1 - self.values[:, :, :5], self.values[:, :, :5])
        tone = self.values[:, :, 5] + rng.choice([-2, -1, 0, 1, 2], (N, 2), p=[0.02, 0.13, 0.7, 0.13, 0.02])
        self.hat[:, :, 5] = np.clip(tone, -1, 1)
        quality = rng.normal(size=(2, N, 2)) + np.array([0.6, 0.0])
        paid = np.array([0.0, 2.0])[:, None, None]
        self.rewards = self._float(quality + paid * self.values[:, :, 5])
        self.hat_rewards = self._float(
            quality + paid * self.hat[:, :, 5] + rng.normal(scale=0.4, size=(2, N, 2))
        )
        self.cosines = rng.uniform(0.7, 1.0, (N, 2)).astype(np.float32)

    @staticmethod
    def _float(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x.astype(np.float32).astype(np.float64)

    def aligned(self, m: int, rewards: NDArray[np.float64]) -> NDArray[np.bool_]:
        return rewards[m, :, 0] > rewards[m, :, 1]

    def analyze(self) -> Results:
        scores, labels, texts = frames(self.values, self.rewards)
        again = frames(self.hat, self.hat_rewards, variant="rewritten")
        key = again[0].filter(model="pre").select("row_id", "preference")
        similarities = key.with_columns(embedder=pl.lit("e"), cosine=pl.Series(self.cosines.ravel()))
        data = Frames(
            scores.lazy(), (labels.lazy(),), texts.lazy(), again[0].lazy(), (again[1].lazy(),),
            similarities.sample(fraction=1, shuffle=True, seed=1).lazy(),
        )  # fmt: skip
        return estimate(data, AnalyzeOptions("pre", "post"))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def results(world: World) -> Results:
    return world.analyze()


def test_robustness_finds_the_tone_that_a_model_is_paid_for(results: Results) -> None:
    table = results.tables["robustness"].filter(term=SENTIMENT, model="post")
    # alignment is lost where the chosen text loses its tone, or the rejected one gains some
    for side, flip in (("chosen", "lost"), ("rejected", "gained")):
        row = table.filter(preference=side, flip=flip).row(0, named=True)
        assert row["estimate"] > 1
        assert row["p_adjusted"] < 0.001
        assert row["conf_low"] > 0
    for side, flip in (("chosen", "gained"), ("rejected", "lost")):
        assert table.filter(preference=side, flip=flip)["estimate"].item() < 0


def test_robustness_finds_nothing_where_there_is_nothing(results: Results) -> None:
    table = results.tables["robustness"].filter(pl.col("term") != "intercept")
    # `pre` is paid for no feature, `post` for none but tone: Holm holds a false find to 1 in 20 a model
    assert table.filter(model="pre")["p_adjusted"].min() > 0.05
    assert table.filter(pl.col("term") != SENTIMENT, model="post")["p_adjusted"].min() > 0.05


def test_alignment_drop_and_mcnemar_by_brute_force(world: World, results: Results) -> None:
    same = (world.values[:, :, :2] == world.hat[:, :, :2]).all(axis=(1, 2))
    table = results.tables["rewriting"]
    assert table.select("model", "pairs").rows() == [
        (m, p) for m in ("pre", "post") for p in ("all", "same_targets")
    ]
    for row in table.iter_rows(named=True):
        m = ("pre", "post").index(row["model"])
        counts: Counter[tuple[bool, bool]] = Counter()
        for i in range(N):
            if row["pairs"] == "all" or same[i]:
                before, after = (r[m, i, 0] > r[m, i, 1] for r in (world.rewards, world.hat_rewards))
                counts[bool(before), bool(after)] += 1
        n, lost, gained = counts.total(), counts[True, False], counts[False, True]
        assert (row["n_pairs"], row["n_became_misaligned"], row["n_became_aligned"]) == (n, lost, gained)
        assert row["alignment"] == pytest.approx((counts[True, True] + lost) / n, abs=1e-15)
        assert row["alignment_rewritten"] == pytest.approx((counts[True, True] + gained) / n, abs=1e-15)
        assert row["drop"] == pytest.approx((lost - gained) / n, abs=1e-15)
        assert (row["statistic"], row["p_value"]) == mcnemar_exact(lost, gained)
    tests = results.tables["tests"].filter(pl.col("group").str.contains("original against rewritten"))
    assert tests["n"].to_list() == [int(same.sum())] * 2 + [N] * 2
    assert (
        tests["p_value"].to_list()
        == table.sort(pl.col("pairs") == "all", maintain_order=True)["p_value"].to_list()
    )


def test_what_is_left_out_because_a_target_moved(world: World, results: Results) -> None:
    moved = world.values[:, :, :2] != world.hat[:, :, :2]
    table = results.tables["rewriting_targets"]
    for j, term in enumerate(TERMS[:2]):
        for s, side in enumerate(SIDES):
            row = table.filter(term=term, preference=side).row(0, named=True)
            lost = int((world.values[:, s, j] > world.hat[:, s, j]).sum())
            assert (row["n_pairs"], row["n_changed"], row["n_lost"]) == (N, int(moved[:, s, j].sum()), lost)
    n_out = int(moved.any(axis=(1, 2)).sum())
    last = table.filter(term="any target").row(0, named=True)
    assert (last["n_changed"], last["share"]) == (n_out, n_out / N)
    note = f"a target label changed in {n_out} of them, which are left out ({n_out / N:.1%})"
    assert any(note in n for n in results.notes)


def test_flip_and_cosine_tables_by_brute_force(world: World, results: Results) -> None:
    same = (world.values[:, :, :2] == world.hat[:, :, :2]).all(axis=(1, 2))
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for i in range(N):
        for pairs in ("all", "same_targets")[: 1 + same[i]]:
            for j, term in enumerate(TERMS):
                for s, side in enumerate(SIDES):
                    size = round(world.values[i, s, j] - world.hat[i, s, j])
                    found.setdefault((pairs, term, side, NAMES[size]), []).append(i)
    fates = {
        f"n_became_{what}_{m}": change
        for k, m in enumerate(("pre", "post"))
        for before, after in [(world.aligned(k, world.rewards), world.aligned(k, world.hat_rewards))]
        for what, change in (("misaligned", before & ~after), ("aligned", ~before & after))
    }
    table = results.tables["flips"]
    assert table.height == 2 * 2 * (5 * 3 + 5)
    for row in table.iter_rows(named=True):
        here = found.get((row["pairs"], row["term"], row["preference"], row["flip"]), [])
        assert row["n_pairs"] == len(here)
        for name, change in fates.items():
            assert row[name] == int(change[here].sum())
        cosines = [(float(world.cosines[i, 0]) + float(world.cosines[i, 1])) / 2 for i in here]
        if len(here) > 1:
            assert row["cosine_mean"] == pytest.approx(np.mean(cosines), abs=1e-12)
            assert row["cosine_sd"] == pytest.approx(np.std(cosines, ddof=1), abs=1e-12)
    assert table.filter(pairs="all").group_by("term", "preference").agg(pl.col("n_pairs").sum())[
        "n_pairs"
    ].unique().to_list() == [N]


PUBLISHED_FLIPS: dict[str, Any] = PUBLISHED["flip_tables"]


@pytest.mark.parametrize("name", list(PUBLISHED_FLIPS["became_misaligned_by_flip"]))
def test_the_published_flip_tables_from_their_counts(name: str) -> None:
    lost, gained = (PUBLISHED_FLIPS[f"became_{o}_by_flip"][name] for o in ("misaligned", "aligned"))
    sizes, before, after = [], [], []
    for size, cell in lost.items():
        n, k, other = cell["n"], cell["derived_k"], gained[size]["derived_k"]
        sizes += [int(size)] * n
        before += [True] * k + [False] * (n - k)
        after += [False] * k + [True] * other + [False] * (n - k - other)
    frame = pl.DataFrame(
        {f"aligned_{m}{h}": x for m in ("pre", "post") for h, x in (("", before), ("_hat", after))}
    )
    side = SIDES.index(name.rpartition("_")[2])
    moved = np.zeros((len(sizes), 1, 2), np.int8)
    moved[:, 0, side] = sizes
    same = pl.Series([True] * len(sizes))
    table = flip_table(frame, same, moved, [Regressor("x", "x", "ternary")])
    for row in (
        table.filter(pairs="all", preference=SIDES[side]).filter(pl.col("n_pairs") > 0).iter_rows(named=True)
    ):
        size = str(next(s for s, flip in NAMES.items() if flip == row["flip"]))
        for outcome, known in (("misaligned", lost[size]), ("aligned", gained[size])):
            assert row["n_pairs"] == known["n"]
            assert row[f"n_became_{outcome}_post"] / row["n_pairs"] == pytest.approx(known["mean"], abs=5e-7)


def test_the_published_alignment_drop() -> None:
    totals, counts = PUBLISHED_FLIPS["totals"], PUBLISHED["rewrite_alignment"]["derived_counts"]
    lost, gained, n = totals["became_misaligned"], totals["became_aligned"], totals["n"]
    stayed = counts["original_post"] - lost
    before = [True] * (stayed + lost) + [False] * (n - stayed - lost)
    after = [True] * stayed + [False] * lost + [True] * gained + [False] * (n - stayed - lost - gained)
    frame = pl.DataFrame({"aligned_post": before, "aligned_post_hat": after})
    row = alignment_drop(frame, pl.Series([False] * n), [("post", "post")]).row(0, named=True)
    published = PUBLISHED["rewrite_alignment"]["published"]
    assert row["alignment"] == pytest.approx(published["original_post"], abs=5e-7)
    assert row["alignment_rewritten"] == pytest.approx(published["rewritten_post"], abs=5e-7)
    assert row["p_value"] == pytest.approx(PUBLISHED_FLIPS["derived_mcnemar_exact_p_170_vs_121"], rel=1e-9)


def test_the_published_cosines_are_of_the_pairs_of_the_flip_tables() -> None:
    # the tables split the same 1,608 pairs ten ways: weighted by their counts, all have one mean
    means = []
    for name, by_size in PUBLISHED["cosine_similarity_by_flip"]["published"].items():
        counts = PUBLISHED_FLIPS["became_misaligned_by_flip"][name]
        assert by_size.keys() <= counts.keys()
        n_known = sum(counts[size]["n"] for size in by_size)
        if n_known == PUBLISHED_FLIPS["totals"]["n"]:
            means.append(sum(counts[size]["n"] * v["mean"] for size, v in by_size.items()) / n_known)
    assert len(means) >= 8
    assert means == pytest.approx([means[0]] * len(means), abs=2e-6)
