"""Double rewriting in worlds where every effect is known: who finds it, and how often intervals hold it.

`python -m benchmarks.causal` writes benchmarks/results/causal.json. A world (`causal_worlds.py`) has 300
pairs, two to a prompt, all of whose texts are rewritten toward warmth and toward length by a rewriter that
changes more than it is asked to. All of it goes through the program's own joins and estimates, errors by
prompt.

- coverage: share of the 95% intervals that hold the planted effect, for each model, feature, estimand and
  line, and for the contrast of the models in SDs of their own margins; naive against the planted ate.
- bias: mean error over the planted effect.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.causal_worlds import LONG, TARGETS, TONE, World, truth, world
from seal.engine.frames.manifest import machine, versions
from seal.stats.equations.causal import causal
from seal.stats.options import USUAL
from seal.stats.pairs.features import find_features
from seal.stats.pairs.joins import Inputs, Pairs
from seal.stats.pairs.places import Places
from seal.stats.pairs.rewards import RewardScale
from seal.stats.pairs.rewrites import Rewrites
from seal.stats.pairs.spool import Spool

N, N_SCALE = 300, 40_000
CHANGE = "post-pre"
_LINE = {"main": "main", "intention_to_treat": "intention to treat"}


def estimated(w: World, per_block: int = 500_000) -> pl.DataFrame:
    """`causal.csv` of one world."""
    features = find_features(w.labels.lazy(), targets=TARGETS)
    inputs = Inputs(
        w.scores.lazy(), "pre", "post", w.labels.lazy(), features, texts=w.texts.lazy(), carried=("group",)
    )
    with Spool(Pairs(inputs, per_block=per_block)) as rows:
        scale = RewardScale.of(rows)
        rewrites = Rewrites(inputs, w.rewritten_scores.lazy(), w.rewritten_labels.lazy(), TARGETS)
        return causal(rows, rewrites, scale, Places.find(rows, "group"), USUAL).table


def margin_sds(seed: int = 1) -> dict[str, float]:
    """SD of both models' margins in a world so large that they are known."""
    w = world(N_SCALE, np.random.default_rng([99, seed]))
    wide = w.scores.pivot(on="preference", index=["row_id", "model"], values="reward")
    margins = wide.with_columns(m=pl.col("chosen") - pl.col("rejected"))
    found = margins.group_by("model").agg(pl.col("m").std(ddof=0)).iter_rows()
    return {str(model): float(sd) for model, sd in found}


def run(n_worlds: int) -> dict[str, object]:
    """Coverage and bias over worlds."""
    planted, sd = truth(), margin_sds()
    held: dict[str, list[bool]] = {}
    missed: dict[str, list[float]] = {}
    for seed in range(n_worlds):
        for row in estimated(world(N, np.random.default_rng([17, seed]))).iter_rows(named=True):
            feature, estimand = row["feature"] or "", row["estimand"]
            aim = "ate" if estimand == "naive" else estimand
            name = ", ".join(filter(None, (row["model"], feature, estimand, _LINE[row["line"]])))
            if row["model"] != CHANGE:
                true, value = planted[row["model"], feature, aim], row["estimate"]
                held.setdefault(name, []).append(row["conf_low"] <= true <= row["conf_high"])
            else:
                true = planted["post", feature, aim] / sd["post"] - planted["pre", feature, aim] / sd["pre"]
                value = row["estimate_std"]
                held.setdefault(name, []).append(row["conf_low_std"] <= true <= row["conf_high_std"])
            missed.setdefault(name, []).append(value / true - 1)
    return {
        name: {
            "coverage": round(float(np.mean(held[name])), 4),
            "bias": round(float(np.mean(missed[name])), 4),
        }
        for name in sorted(held)
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/causal.json"))
    arguments = parser.parse_args()
    start = time.perf_counter()
    found = {
        "n_pairs": N,
        "n_worlds": arguments.worlds,
        "features": [TONE, LONG],
        "rows": run(arguments.worlds),
    }
    found |= {"seconds": round(time.perf_counter() - start, 1), "machine": machine(), "versions": versions()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
