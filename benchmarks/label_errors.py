"""Eq. 1 under label errors: error, coverage and slope of every correction over worlds with planted truth.

`python -m benchmarks.label_errors --worlds 100` writes benchmarks/results/label_errors.json and the chart
beside it; a case that stands there with as many worlds is not run again. Estimates are the package's own.
Gold pairs are a random sample, both texts of each; every size of sample is drawn anew from the same world.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_error_worlds import (
    BETA,
    Floats,
    K,
    ambiguous_world,
    difference,
    label,
    overconfident,
    world,
)
from benchmarks.label_errors_chart import draw
from seal.engine.frames.manifest import machine, versions
from seal.stats.labelers.calibrated import calibrated, hausman, refusal, smallest_singular_value
from seal.stats.labelers.error_rates import count_patterns, pattern_numbers
from seal.stats.labelers.latent import LatentMoments, fit_features, judge, latent
from seal.stats.labelers.rectified import GoldSample, gold_only, least_squares_influence, rectified
from seal.stats.regression.influence import Influence, Scores

CRITICAL = 1.959963984540054
SIZES = (100, 250, 500, 1000)
SKILLS = (1.0, 0.8, 1.2)  # scale of the errors of three labelers
RARE = (7, 8, 9)  # features whose differences stratified gold is drawn by

Estimates = dict[str, tuple[Floats, Floats]]  # method -> estimate (K,), standard error (K,)
Measured = dict[int, tuple[Estimates, dict[str, float]]]  # by size of the gold sample: estimates, facts
Pairs = tuple[Floats, Floats, Floats]  # true differences, the labeler's, y


@dataclass(frozen=True)
class Case:
    """One world and number of pairs.

    Attributes:
        world: its name.
        n: pairs.
        measure: draws a world, and gives its estimates and facts by the size of the gold sample, 0 for none.
        share: of the worlds that are drawn, for costly ones.
    """

    world: str
    n: int
    measure: Callable[[np.random.Generator, int], Measured]
    share: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.world}, n = {self.n:,}"


def independent(rng: np.random.Generator, n: int, **errors: float) -> Pairs:
    """A labeler whose errors are of one kind, see `label`."""
    x, residual, y = world(n, rng)
    return difference(x), difference(label(x, residual, rng, hard=None, **errors)), y


def halo(rng: np.random.Generator, n: int) -> Pairs:
    return independent(rng, n, halo=0.5)


def differential(rng: np.random.Generator, n: int) -> Pairs:
    return independent(rng, n, differential=0.3)


def ambiguous(rng: np.random.Generator, n: int) -> Pairs:
    """Labels are yes where an overconfident probability is above one half."""
    x, p, y = ambiguous_world(n, rng)
    return difference(x), difference((overconfident(p) > 0.5).astype(float)), y


def ambiguous_by_probability(rng: np.random.Generator, n: int) -> Pairs:
    x, p, y = ambiguous_world(n, rng)
    return difference(x), difference(overconfident(p)), y


def naive(v: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Least squares on all pairs: estimate (K,), inverse of the cross products (K, K), scores (n, K)."""
    bread = np.linalg.inv(v.T @ v)
    c: Floats = bread @ v.T @ y
    zeta: Floats = v * (y - v @ c)[:, None]
    return c, np.asarray(bread, dtype=np.float64), zeta


def simple(rng: np.random.Generator, v: Floats, m: int) -> tuple[NDArray[np.int64], Floats]:
    """A random sample of m pairs: positions, and inclusion probabilities (m,)."""
    return rng.choice(len(v), m, replace=False), np.full(m, m / len(v))


def stratified(rng: np.random.Generator, v: Floats, m: int) -> tuple[NDArray[np.int64], Floats]:
    """Seven of ten drawn from pairs whose labels of a rare feature differ."""
    rare = (v[:, RARE] != 0).any(axis=1)
    parts, chances = [], []
    for stratum, size in (
        (np.flatnonzero(rare), round(0.7 * m)),
        (np.flatnonzero(~rare), m - round(0.7 * m)),
    ):
        size = min(size, len(stratum))
        parts.append(rng.choice(stratum, size, replace=False))
        chances.append(np.full(size, size / len(stratum)))
    return np.concatenate(parts), np.concatenate(chances)


def with_gold(
    make: Callable[[np.random.Generator, int], Pairs],
    sample: Callable[..., tuple[NDArray[np.int64], Floats]] = simple,
) -> Callable[[np.random.Generator, int], Measured]:
    """Every correction by gold, at each size of sample."""

    def measure(rng: np.random.Generator, n: int) -> Measured:
        d, v, y = make(rng, n)
        c, bread, zeta = naive(v, y)
        moment = zeta.T @ zeta
        found = {}
        for m in SIZES:
            gold, probability = sample(rng, v, m)
            everyone = Influence(c, bread, Scores(moment, zeta[gold]))
            found[m] = corrections(d[gold], v[gold], y[gold], everyone, GoldSample.of(probability))
        return found

    return measure


def corrections(
    d: Floats, v: Floats, y: Floats, everyone: Influence, sample: GoldSample
) -> tuple[Estimates, dict[str, float]]:
    """Estimates of one gold sample, and what Hausman's test says of it."""
    truth = least_squares_influence(d, y, sample.weight)
    proxy = least_squares_influence(v, y, sample.weight)
    first = rectified(*truth, *proxy, everyone, sample, K)
    second = calibrated(d, v, everyone, sample)
    methods = {
        "naive": everyone, "gold only": gold_only(*truth, everyone, sample, K),
        "rectified": first, "calibrated": second,
    }  # fmt: skip
    _, p_value, _ = hausman(first, second)
    smallest = smallest_singular_value(d, v, sample.weight)
    facts = {
        "hausman_p_below_05": float(p_value < 0.05),
        "calibrated_refused": float(refusal(p_value, smallest) is not None),
        "smallest_singular_value": smallest,
    }
    return {name: (i.estimate, i.std_error) for name, i in methods.items()}, facts


def several(rng: np.random.Generator, n: int, size: int, **errors: float) -> tuple[list[Floats], Floats]:
    """Labels of several labelers whose errors are of one kind, and y; a difficulty is shared by all."""
    x, residual, y = world(n, rng)
    hard = rng.normal(size=x.shape)
    return [label(x, residual, rng, scale=s, hard=hard, **errors) for s in SKILLS[:size]], y


def several_ambiguous(rng: np.random.Generator, n: int, size: int) -> tuple[list[Floats], Floats]:
    """Each labeler reads the odds of an ambiguous text with an error of its own."""
    _, p, y = ambiguous_world(n, rng)
    odds = np.log(np.clip(p, 1e-9, None) / np.clip(1 - p, 1e-9, None))
    return [(odds + s * rng.normal(size=p.shape) > 0).astype(float) for s in SKILLS[:size]], y


def without_gold(
    make: Callable[..., tuple[list[Floats], Floats]], size: int, **errors: float
) -> Callable[[np.random.Generator, int], Measured]:
    """One labeler, a vote, an instrument, and the latent model."""

    def measure(rng: np.random.Generator, n: int) -> Measured:
        labels, y = make(rng, n, size, **errors)
        v = np.stack([difference(w) for w in labels])
        methods = {"naive": plain(v[0], y), "IV": instrument(v[0], v[1], y)}
        if size > 2:
            methods["majority"] = plain(difference((np.mean(labels, axis=0) > 0.5).astype(float)), y)
        stacked = np.stack(labels, axis=3)
        fits = fit_features([count_patterns(stacked[:, :, k]) for k in range(K)])
        verdict = judge(fits)
        usable = [f for f in fits if not isinstance(f, str)]
        facts = {
            "refused": float(verdict.reason is not None),
            "features_refused": len(verdict.refused) / K,
            "features_flagged": len(verdict.flags) / K,
            "features_unconverged": float(np.mean([not f.converged for f in usable])),
        }
        patterns = np.stack([pattern_numbers(stacked[:, :, k]) for k in range(K)], axis=1)
        fit = latent(LatentMoments.of(v, y), usable)
        methods["latent"] = fit.estimate, np.sqrt((fit.psi(v, y, patterns) ** 2).sum(axis=0))
        return {0: (methods, facts)}

    return measure


def plain(v: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Least squares and its HC0 errors."""
    c, bread, zeta = naive(v, y)
    return c, np.sqrt(((zeta @ bread) ** 2).sum(axis=0))


def instrument(v: Floats, by: Floats, y: Floats) -> tuple[Floats, Floats]:
    """One labeler instrumented by another, and its HC0 errors."""
    back = np.linalg.inv(by.T @ v)
    b = back @ by.T @ y
    return b, np.sqrt((((by * (y - v @ b)[:, None]) @ back.T) ** 2).sum(axis=0))


CASES = (
    Case("independent", 20_000, with_gold(independent)),
    Case("halo .5", 20_000, with_gold(halo)),
    Case("differential .3", 20_000, with_gold(differential)),
    Case("ambiguous", 20_000, with_gold(ambiguous)),
    Case("ambiguous, by probability", 20_000, with_gold(ambiguous_by_probability)),
    Case("independent, gold by rare labels", 20_000, with_gold(independent, stratified)),
    Case("independent", 5_000, with_gold(independent)),
    Case("independent", 50_000, with_gold(independent), 0.5),
    Case("3 labelers", 20_000, without_gold(several, 3), 0.5),
    Case("2 labelers", 20_000, without_gold(several, 2), 0.5),
    Case("3 labelers", 5_000, without_gold(several, 3), 0.5),
    Case("2 labelers", 5_000, without_gold(several, 2), 0.5),
    Case("3 labelers, halo .5", 20_000, without_gold(several, 3, halo=0.5), 0.5),
    Case("3 labelers, shared difficulty .5", 20_000, without_gold(several, 3, difficulty=0.5), 0.5),
    Case("3 labelers, ambiguous", 20_000, without_gold(several_ambiguous, 3), 0.5),
    Case("3 labelers, differential .3", 20_000, without_gold(several, 3, differential=0.3), 0.5),
)


def run(case: Case, n_worlds: int) -> dict[str, Any]:
    """One case: a table a gold size and method, and the means of the facts."""
    estimates: dict[tuple[int, str], list[tuple[Floats, Floats]]] = {}
    facts: dict[int, list[dict[str, float]]] = {}
    clock, processor = time.perf_counter(), time.process_time()
    for seed in range(n_worlds):
        for m, (methods, told) in case.measure(np.random.default_rng([seed, case.n]), case.n).items():
            facts.setdefault(m, []).append(told)
            for method, pair in methods.items():
                estimates.setdefault((m, method), []).append(pair)
    sizes = {
        str(m): {
            "methods": {method: summary(found) for (at, method), found in estimates.items() if at == m},
            "facts": {k: round(float(np.mean([t[k] for t in told])), 4) for k in told[0]},
        }
        for m, told in facts.items()
    }
    seconds = {"seconds": round(time.perf_counter() - clock, 1),
               "cpu_seconds": round(time.process_time() - processor, 1)}  # fmt: skip
    return {"world": case.world, "n": case.n, "n_worlds": n_worlds, **seconds, "gold_pairs": sizes}


def summary(found: list[tuple[Floats, Floats]]) -> dict[str, Any]:
    """Error, coverage and slope of one method over worlds.

    `rmse` is the mean over features of the root mean square error over worlds; `slope_on_truth` projects
    estimates on the truth and averages.
    """
    estimate, error = (np.array(part) for part in zip(*found, strict=True))
    off = estimate - BETA
    covered = np.abs(off) <= CRITICAL * error
    slopes = estimate @ BETA / (BETA @ BETA)
    spread = float(slopes.std(ddof=1) / np.sqrt(len(slopes))) if len(slopes) > 1 else None
    return {
        "rmse": round(float(np.sqrt((off**2).mean(axis=0)).mean()), 4),
        "coverage": round(float(covered.mean()), 4),
        "coverage_lowest_feature": round(float(covered.mean(axis=0).min()), 3),
        "slope_on_truth": round(float(slopes.mean()), 4),
        "slope_std_error": None if spread is None else round(spread, 4),
        "largest_bias": round(float(np.abs(off.mean(axis=0)).max()), 4),
        "median_std_error": round(float(np.median(error)), 4),
    }


def main() -> None:
    """Run what is missing, one case at a time, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/label_errors.json"))
    arguments = parser.parse_args()
    document: dict[str, Any] = {"cases": {}}
    if arguments.out.exists():
        document = json.loads(arguments.out.read_text(encoding="utf-8"))
    for case in CASES:
        n_worlds = max(2, round(case.share * arguments.worlds))
        there = document["cases"].get(case.name)
        if there is None or there["n_worlds"] != n_worlds:
            document["cases"][case.name] = run(case, n_worlds)
            document |= {"machine": machine(), "versions": versions(), "level": 0.95}
            arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        for m, table in document["cases"][case.name]["gold_pairs"].items():
            told = {k: (v["rmse"], v["coverage"], v["slope_on_truth"]) for k, v in table["methods"].items()}
            print(case.name, f"m = {m}", told, table["facts"], flush=True)
    draw(document, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
