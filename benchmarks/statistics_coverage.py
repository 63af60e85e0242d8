"""Coverage: how often the 95% intervals of Eq. 1, 3 and 4 hold the planted truth, over simulated worlds.

`python -m benchmarks.statistics_coverage --worlds 400` writes benchmarks/results/statistics_coverage.json.
Everything goes through the public functions on frames whose rows are shuffled. Each equation has worlds of
its own, in which its model is the true one: rewards linear in the labels with noise that grows with them
(Eq. 1), misalignment logistic in both texts' labels (Eq. 3), loss of alignment logistic in the flips (Eq. 4).

`--few` covers few pairs with many features instead (Eq. 1, errors of equal and of unequal variance) and
writes statistics_coverage_few.json; `--seconds` stops each case there.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.statistics_worlds import BETA_POST, BETA_PRE, TERMS, drawn_values, frames, world
from seal.stats.equations.imprint import feature_imprint
from seal.stats.equations.resistance import estimate_resistance, outcomes
from seal.stats.equations.robustness import alignment_robustness
from seal.stats.options import TARGETS, USUAL, Inference
from seal.stats.pairs.features import find_features
from seal.stats.pairs.joins import Inputs, Pairs
from seal.stats.pairs.two_sided import Patterns

Covered = dict[str, bool]
RHO = {"chosen": (-0.8, -0.5, 0.1, 0.3, 0.4, -0.3), "rejected": (0.9, 0.3, 0.0, -0.2, 0.5, 0.4)}
PI_LOST, PI_GAINED = 0.7, -0.5


def _inputs(scores: pl.DataFrame, labels: pl.DataFrame, variant: str = "original") -> Inputs:
    features = find_features(labels.lazy(), targets=TARGETS)
    mixed = [f.sample(fraction=1.0, shuffle=True, seed=1).lazy() for f in (scores, labels)]
    return Inputs(mixed[0], "pre", "post", mixed[1], features, variant=variant)


def _covered(table: pl.DataFrame, key: list[str], truth: Callable[..., float]) -> Covered:
    """Whether each row's interval holds its truth."""
    found = {}
    for row in table.iter_rows(named=True):
        names = [str(row[k]) for k in key]
        found[" ".join(names)] = row["conf_low"] <= truth(*names) <= row["conf_high"]
    return found


def imprint_world(seed: int, n: int) -> Covered:
    """Eq. 1: a chosen premium of 0.3, so with the chosen-side intercept."""
    w = world(n, seed=seed, premium=0.3)
    beta = {"pre": BETA_PRE, "post": BETA_POST, "post-pre": tuple(np.subtract(BETA_POST, BETA_PRE))}
    result, _ = feature_imprint(_inputs(w.scores, w.labels), chosen_side=True)

    def truth(model: str, term: str) -> float:
        if term == "chosen":
            return 0.0 if model == "post-pre" else 0.3
        return float(beta[model][TERMS.index(term)])

    return _covered(result.table, ["model", "term"], truth)


def resistance_world(seed: int, n: int) -> Covered:
    """Eq. 3: the margin is minus the linear index plus logistic noise."""
    rng = np.random.default_rng(seed)
    values = drawn_values(rng, n)
    index = 0.2 + values[:, 0] @ np.array(RHO["chosen"]) + values[:, 1] @ np.array(RHO["rejected"])
    rewards = np.zeros((2, n, 2))
    for m in (0, 1):
        rewards[m, :, 1] = rng.normal(size=n)
        rewards[m, :, 0] = rewards[m, :, 1] - index + rng.logistic(size=n)
    scores, labels, _ = frames(values, rewards)
    inputs = _inputs(scores, labels)
    patterns = Patterns(inputs, outcomes("misaligned") | {"margin_change": pl.lit(0.0)})
    for block in Pairs(inputs):
        patterns.add(block)
    cells = patterns.cells()
    assert cells is not None
    found = estimate_resistance(cells, patterns.columns, USUAL, models=("pre", "post"))
    table = found.table.filter(pl.col("preference").is_not_null())
    return _covered(
        table, ["model", "preference", "term"], lambda _, side, term: RHO[side][TERMS.index(term)]
    )


def robustness_world(seed: int, n: int) -> Covered:
    """Eq. 4: who loses alignment is drawn from a logit on the flips; others are in any other state."""
    rng = np.random.default_rng(seed)
    values = drawn_values(rng, n)
    after = values.copy()
    flip = rng.random((n, 2, 3)) < 0.15
    after[:, :, 2:5] = np.where(flip, 1 - values[:, :, 2:5], values[:, :, 2:5])
    moved = values - after
    index = -1.5 + PI_LOST * (moved == 1).sum(axis=(1, 2)) + PI_GAINED * (moved == -1).sum(axis=(1, 2))
    rewards, again = rng.normal(size=(2, n, 2)), rng.normal(size=(2, n, 2))
    for m in (0, 1):
        lost = rng.random(n) < 1 / (1 + np.exp(-index))
        other = rng.integers(0, 3, n)
        _order(rewards[m], lost | (other == 0))
        _order(again[m], ~lost & (other != 1))
    original, rewriting = frames(values, rewards), frames(after, again, variant="rewritten")
    inputs = _inputs(original[0], original[1])
    hat = _inputs(rewriting[0], rewriting[1], "rewritten")
    table = alignment_robustness(inputs, hat).tables["became_misaligned"]
    part = table.filter(pl.col("preference").is_not_null())
    truth = {"lost": PI_LOST, "gained": PI_GAINED}
    return _covered(part, ["model", "preference", "term", "flip"], lambda *names: truth[names[-1]])


def _order(rewards: NDArray[np.float64], aligned: NDArray[np.bool_]) -> None:
    """Put the larger of two rewards on the chosen side where `aligned`, else on the other."""
    high, low = rewards.max(axis=1), rewards.min(axis=1)
    rewards[:, 0], rewards[:, 1] = np.where(aligned, high, low), np.where(aligned, low, high)


FEW = tuple((n, k) for n in (50, 80, 150) for k in (15, 30))


def few_world(seed: int, n: int, k: int) -> Covered:
    """Eq. 1 on few pairs: prevalences .1 to .9; errors of `pre` alike, those of `post` grow with features."""
    rng = np.random.default_rng([seed, n, k])
    values = rng.random((n, 2, k)) < np.linspace(0.1, 0.9, k)
    beta = rng.normal(size=(2, k)) / 2
    scale = np.ones((2, n, 2))
    scale[1] = 0.6 + 0.5 * values[:, :, 0] + 0.4 * values[:, :, k // 2] + 0.4 * values[:, :, -1]
    rewards = values @ beta.T[None] + np.moveaxis(scale * rng.normal(size=(2, n, 2)), 0, -1)
    key = {"row_id": np.repeat(np.arange(n), 2), "preference": ["chosen", "rejected"] * n,
           "variant": ["original"] * (2 * n)}  # fmt: skip
    flat = values.reshape(2 * n, k)
    labels = pl.DataFrame(key | {"labeler": ["truth"] * (2 * n)} | {f"f{j}": flat[:, j] for j in range(k)})
    scores = pl.concat(
        pl.DataFrame(key | {"model": [m] * (2 * n), "reward": rewards[:, :, i].ravel()})
        for i, m in enumerate(("pre", "post"))
    )
    inputs = Inputs(scores.lazy(), "pre", "post", labels.lazy(), find_features(labels.lazy(), targets=()))
    table = feature_imprint(inputs, Inference(max_vif=1e9))[0].table.filter(pl.col("model") != "post-pre")
    truth = {m: dict(zip(labels.columns[4:], beta[i], strict=True)) for i, m in enumerate(("pre", "post"))}
    return _covered(
        table.drop_nulls("conf_low"), ["model", "term"], lambda model, term: float(truth[model][term])
    )


def run_few(n_worlds: int, seconds: float) -> dict[str, object]:
    """Coverage with few pairs and many features, by errors of equal (`pre`) and unequal (`post`) variance."""
    out: dict[str, object] = {"level": 0.95}
    for n, k in FEW:
        start, covered = time.perf_counter(), []
        for seed in range(n_worlds):
            covered.append(few_world(seed, n, k))
            if time.perf_counter() - start > seconds:
                break
        for model, errors in (("pre", "equal"), ("post", "unequal")):
            each = {f"f{j}": [c[f"{model} f{j}"] for c in covered if f"{model} f{j}" in c] for j in range(k)}
            shares = [float(np.mean(v)) for v in each.values()]
            intervals = sum(map(len, each.values()))
            out[f"{n} pairs, {k} features, {errors} variances"] = found = {
                "n_worlds": len(covered),
                "coverage": round(sum(map(sum, each.values())) / intervals, 4),
                "lowest": round(min(shares), 4),
                "highest": round(max(shares), 4),
                "without_interval": round(1 - intervals / (len(covered) * k), 4),
            }
            print(n, k, errors, found, flush=True)
    return out


WORLDS = {"imprint (Eq. 1)": (imprint_world, 2000), "resistance (Eq. 3)": (resistance_world, 2000),
          "robustness (Eq. 4)": (robustness_world, 3000)}  # fmt: skip


def run(n_worlds: int) -> dict[str, object]:
    """Coverage of every equation, pooled over its coefficients and for each."""
    out: dict[str, object] = {"n_worlds": n_worlds, "level": 0.95}
    for name, (draw, n) in WORLDS.items():
        start = time.perf_counter()
        covered = pl.DataFrame([draw(seed, n) for seed in range(n_worlds)])
        each = {c: round(float(covered[c].mean()), 4) for c in covered.columns}  # type: ignore[arg-type]
        out[name] = {
            "n_pairs": n,
            "coverage": round(float(np.mean(list(each.values()))), 4),
            "lowest": min(each.values()),
            "highest": max(each.values()),
            "share_of_coefficients_within_93_and_97": round(
                float(np.mean([0.93 <= v <= 0.97 for v in each.values()])), 3
            ),
            "seconds": round(time.perf_counter() - start, 1),
            "each": each,
        }
        print(name, {k: v for k, v in out[name].items() if k != "each"})  # type: ignore[attr-defined]
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=400)
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    name = "statistics_coverage_few.json" if arguments.few else "statistics_coverage.json"
    arguments.out = arguments.out or Path("benchmarks/results") / name
    found = run_few(arguments.worlds, arguments.seconds) if arguments.few else run(arguments.worlds)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
