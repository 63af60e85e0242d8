"""How much padding a window costs: larger windows sort more texts by length before they are batched.

python -m benchmarks.windows --tokenizer EXPORTED_FOLDER [--out benchmarks/results/windows.json]

No model is run: padding follows from lengths, budget and window alone.
`seal bench score --tune` counts it for one model's texts.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.dialogues import DIALOGUES, load_dialogues
from seal.engine.bench.tuning import count_padding
from seal.engine.checkpoints.exported import TOKENIZER
from seal.engine.pooling.tokenizing import PairEncoder

PAIRS = (32, 128, 512, 2048, 8192)
BUDGETS = (256, 512, 2048, 32_768)
_DRAWN = 32_768  # pairs drawn with replacement: more than there are, so that large windows can be told apart


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
        {"budget": budget} | {f"{n} pairs": p for n, p in count_padding(lengths, budget, PAIRS).items()}
        for budget in BUDGETS
    ]
    args.out.write_text(json.dumps({"pairs_drawn": _DRAWN, "padding": rows}, indent=2) + "\n")
    print(pl.DataFrame(rows))


if __name__ == "__main__":
    main()
