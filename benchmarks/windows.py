"""How much padding a window costs: larger windows sort more texts by length before they are batched.

python -m benchmarks.windows --tokenizer EXPORTED_FOLDER [--out benchmarks/results/windows.json]

No model is run: padding follows from lengths, budget and window alone. On a CPU it is why
`seal bench score --tune` leaves --part-rows alone.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.dialogues import DIALOGUES, load_dialogues
from engine.batching import plan_batches
from engine.encoding import PairEncoder
from engine.spec import TOKENIZER

PAIRS = (32, 128, 512, 2048, 8192)
BUDGETS = (256, 512, 2048, 32_768)
_DRAWN = 32_768  # pairs drawn with replacement: more than there are, so that large windows can be told apart


def padding(lengths: np.ndarray, budget: int, n_pairs: int) -> float:
    """Padding over real tokens, with windows of so many pairs (two texts each)."""
    plans = [plan_batches(lengths[i : i + 2 * n_pairs], budget) for i in range(0, len(lengths), 2 * n_pairs)]
    return sum(p.n_slots for p in plans) / sum(p.n_tokens for p in plans) - 1


def main() -> None:
    """Compute and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=Path, default=DIALOGUES)
    parser.add_argument("--tokenizer", type=Path, required=True, help="an exported folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/windows.json")
    args = parser.parse_args()
    texts = load_dialogues(args.dialogues)
    encoder = PairEncoder((args.tokenizer / TOKENIZER).read_text(encoding="utf-8"), "pair", 4096)
    found = encoder.encode(texts["prompt"].to_list(), texts["response"].to_list()).lengths.reshape(-1, 2)
    lengths = found[np.random.default_rng(0).integers(0, len(found), _DRAWN)].reshape(-1)
    rows = [
        {"budget": budget} | {f"{n} pairs": padding(lengths, budget, n) for n in PAIRS} for budget in BUDGETS
    ]
    args.out.write_text(json.dumps({"pairs_drawn": _DRAWN, "padding": rows}, indent=2) + "\n")
    print(pl.DataFrame(rows))


if __name__ == "__main__":
    main()
