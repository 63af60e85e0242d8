"""The human imprint in simulation: coverage of h, r and r - h, and what errors of the labels do to them.

`python -m benchmarks.human_imprint` writes benchmarks/results/human_imprint.json; `--only coverage` (or
`proportion`, `labels`) does one part and leaves what the file says of the others. Truth is what the same
estimator finds in some millions of pairs with true labels.

- coverage: 3,000 pairs, K = 8, every scale; noise alone, or unobserved quality (SD sqrt 2) that people and
  the model both see. `too_large` is by how much the error of r - h would be too large with both taken as
  independent.
- proportion: how often r = k h is rejected at 5% where it holds exactly (a model that chooses as people do,
  1.5 times as decided), and how often k's interval holds 1.5.
- labels: 20,000 pairs, K = 15, own scale, labels that err; naive, and rectified by gold pairs.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks import label_error_worlds as errors
from benchmarks.human_worlds import HUMAN, Choices, choices, chosen_first
from seal.engine.frames.manifest import machine, versions
from seal.stats.equations.human import HumanFit, human_fit
from seal.stats.equations.human_sides import Part, Side, fit_sides
from seal.stats.labelers.rectified import GoldSample, rectified
from seal.stats.options import RmScale
from seal.stats.regression.inference import t_critical
from seal.stats.regression.influence import Influence, Scores
from seal.stats.regression.proportion import proportion

Floats = NDArray[np.float64]
Draw = Callable[[int, np.random.Generator], Choices]
Cell = dict[str, float]

N, N_LABELS, N_TRUTH, CHUNK = 3_000, 20_000, 3_000_000, 100_000
SCALES: tuple[RmScale, ...] = ("own", "choice", "calibrated")
SEEN = {"noise only": 0.0, "shared unobserved quality": float(np.sqrt(2))}
PARTS = ("human", "rm", "difference")
TASTE = errors.BETA + np.random.default_rng(43).normal(0, 0.15, errors.K)  # what people pay


def _truth(draw: Draw, k: int, scale: RmScale, seed: int) -> Floats:
    """(2, 2K): log odds and points of people, then the model, in very many pairs."""
    chunks = range(N_TRUTH // CHUNK)
    kept = [draw(CHUNK, np.random.default_rng([seed, i])) for i in chunks]

    def walk() -> Iterator[Part]:
        return (Part(w.d, w.margins[:, None]) for w in kept)

    sides = fit_sides(walk, k, scale, 1)
    (model,) = sides.models
    assert isinstance(model, Side)
    both = (sides.people, model)
    return np.stack(
        [np.concatenate([s.fit.estimate for s in both]), np.concatenate([s.points.mean for s in both])]
    )


def _with_difference(estimate: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Human, rm and difference, (3, K), and their standard errors."""
    k = len(estimate) // 2
    eye = np.eye(k)
    jacobian = np.concatenate([np.eye(2 * k), np.concatenate([-eye, eye], axis=1)])
    spread = np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))
    return (jacobian @ estimate).reshape(3, k), spread.reshape(3, k)


def coverage(n_worlds: int) -> dict[str, object]:
    """Shares of 95% intervals that hold the truth, pooled over features."""
    out: dict[str, object] = {"n_pairs": N, "n_worlds": n_worlds, "features": len(HUMAN)}
    half = float(t_critical(0.95, N - 1))
    for number, (seen, quality) in enumerate(SEEN.items()):
        draw = partial(choices, quality=quality)
        for scale in SCALES:
            truth = _truth(draw, len(HUMAN), scale, 1000 + number)
            held, too_large = [], []
            for seed in range(n_worlds):
                w = draw(N, np.random.default_rng([number, seed]))
                fit = human_fit(w.d, w.margins, None, scale, hc2=False)
                held.append(_held(fit, truth, half))
                too_large.append(_too_large(fit))
            share = np.mean(held, axis=0)  # (2, 3, K)
            cell = {
                unit: {part: round(float(share[i, j].mean()), 4) for j, part in enumerate(PARTS)}
                | {"lowest": round(float(share[i].min()), 4)}
                for i, unit in enumerate(("log_odds", "points"))
            }
            cell["too_large"] = {"median": round(float(np.median(too_large)), 4)}
            out[f"{scale}, {seen}"] = cell
            print(scale, seen, cell, flush=True)
    return out


def _held(fit: HumanFit, truth: Floats, half: float) -> NDArray[np.bool_]:
    """(2, 3, K): whether each interval of log odds and points holds its truth."""
    found = []
    for estimate, psi, true in zip(
        (fit.estimate, fit.points), (fit.influence, fit.points_influence), truth, strict=True
    ):
        value, spread = _with_difference(estimate, psi.T @ psi)
        aim, _ = _with_difference(true, np.eye(len(true)))
        found.append(np.abs(value - aim) <= half * spread)
    return np.stack(found)


def _too_large(fit: HumanFit) -> float:
    """The error of r - h with h and r independent, over its own, less one; mean over features."""
    k = fit.influence.shape[1] // 2
    h, r = fit.influence[:, :k], fit.influence[:, k:]
    apart = np.sqrt((h**2).sum(axis=0) + (r**2).sum(axis=0))
    return float(np.mean(apart / np.sqrt(((r - h) ** 2).sum(axis=0))) - 1)


def proportionality(n_worlds: int) -> dict[str, object]:
    """Size of the test that r = k h."""
    rejected, held, k = [], [], len(HUMAN)
    for seed in range(n_worlds):
        rng = np.random.default_rng([7, seed])
        w = choices(N, rng, model=1.5 * HUMAN, noise=1.0, logistic=True)
        fit = human_fit(w.d, w.margins, None, "choice", hc2=False)
        found = proportion(fit.estimate[:k], fit.estimate[k:], fit.influence.T @ fit.influence)
        assert found is not None
        rejected.append(found.p_value < 0.05)
        held.append(abs(found.k - 1.5) < 1.96 * found.std_error)
    out = {
        "n_pairs": N, "n_worlds": n_worlds, "rejected_at_5_percent": round(float(np.mean(rejected)), 4),
        "coverage_of_k": round(float(np.mean(held)), 4),
    }  # fmt: skip
    print("proportion", out, flush=True)
    return dict(out)


def _labeled(
    n: int, rng: np.random.Generator, differential: float
) -> tuple[Choices, Floats, NDArray[np.bool_]]:
    """Choices with true features, the labels' differences of the same pairs, whether the first was chosen.

    People see half of what moves the model beside the features.
    """
    x, residual, y = errors.world(n, rng)
    d, proxy = (
        errors.difference(x),
        errors.difference(errors.label(x, residual, rng, differential=differential)),
    )
    first = rng.random(n) < expit(d @ TASTE + 0.5 * (y - d @ errors.BETA))
    return chosen_first(d, y, first), np.where(first[:, None], proxy, -proxy), first


LABEL_CASES = (("naive", 0.0, 0), ("rectified", 0.0, 250), ("rectified", 0.0, 1000),
               ("naive", 0.3, 0), ("rectified", 0.3, 1000))  # fmt: skip


def labels(n_worlds: int) -> dict[str, object]:
    """Naive and rectified estimates where labels err: RMSE, coverage and slope on the truth."""
    out: dict[str, object] = {"n_pairs": N_LABELS, "n_worlds": n_worlds, "features": errors.K, "scale": "own"}
    truth = _truth(lambda n, rng: _labeled(n, rng, 0.0)[0], errors.K, "own", 2000)[0]
    aim, _ = _with_difference(truth, np.eye(2 * errors.K))
    for differential in (0.0, 0.3):
        cases = [c for c in LABEL_CASES if c[1] == differential]
        misses: dict[int, list[Floats]] = {m: [] for *_, m in cases}
        held: dict[int, list[NDArray[np.bool_]]] = {m: [] for *_, m in cases}
        values: dict[int, list[Floats]] = {m: [] for *_, m in cases}
        for seed in range(n_worlds):
            rng = np.random.default_rng([9, seed, int(10 * differential)])
            w, proxy, _ = _labeled(N_LABELS, rng, differential)
            everyone = human_fit(proxy, w.margins, None, "own", hc2=False)
            order = rng.permutation(N_LABELS)
            for *_, m in cases:
                value, spread = _corrected(w, proxy, everyone, order[:m])
                values[m].append(value)
                misses[m].append(value - aim)
                held[m].append(np.abs(value - aim) <= 1.96 * spread)
        for method, _, m in cases:
            name = f"{method}, differential {differential:g}" + (f", {m} gold pairs" if m else "")
            out[name] = {
                part: _judged(misses[m], held[m], values[m], aim[j], j) for j, part in enumerate(PARTS)
            }
            print(name, out[name], flush=True)
    return out


def _corrected(
    w: Choices, proxy: Floats, everyone: HumanFit, gold: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Human, rm and difference (3, K) with their errors; without gold pairs the naive ones."""
    psi = everyone.influence
    if not len(gold):
        return _with_difference(everyone.estimate, psi.T @ psi)
    whole = Influence(everyone.estimate, np.eye(psi.shape[1]), Scores(psi.T @ psi, psi[gold]))
    truth = human_fit(w.d[gold], w.margins[gold], None, "own")
    said = human_fit(proxy[gold], w.margins[gold], None, "own")
    sample = GoldSample.of(np.full(len(gold), len(gold) / len(w.d)))
    found = rectified(
        truth.estimate, truth.influence, said.estimate, said.influence, whole, sample, w.d.shape[1]
    )
    return _with_difference(found.estimate, found.covariance)


def _judged(
    misses: list[Floats], held: list[NDArray[np.bool_]], values: list[Floats], aim: Floats, j: int
) -> Cell:
    missed = np.stack(misses)[:, j]
    return {
        "rmse": round(float(np.sqrt((missed**2).mean(axis=0)).mean()), 4),
        "coverage": round(float(np.stack(held)[:, j].mean()), 4),
        "slope": round(float(np.mean([v[j] @ aim for v in values]) / (aim @ aim)), 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument("--label-worlds", type=int, default=60)
    parser.add_argument("--only", choices=("coverage", "proportion", "labels"), action="append")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/human_imprint.json"))
    arguments = parser.parse_args()
    runs: dict[str, Callable[[], dict[str, object]]] = {
        "coverage": lambda: coverage(arguments.worlds),
        "proportion": lambda: proportionality(arguments.worlds),
        "labels": lambda: labels(arguments.label_worlds),
    }
    there = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
    for part in arguments.only or runs:
        start = time.perf_counter()
        there[part] = runs[part]() | {"seconds": round(time.perf_counter() - start, 1)}
        there |= {"machine": machine(), "versions": versions()}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(there, indent=1) + "\n", encoding="utf-8")
