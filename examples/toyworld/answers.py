"""What a person who knows the truth would answer on a page of `seal gold sheet`.

    python -m examples.toyworld.answers demo/gold/sample --truth demo/world/truth.parquet --out answers.json

writes the file that the page exports, with the true labels of both texts of every pair of the sample.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.frames.schema import TEXT_KEY, VARIANT
from seal.engine.frames.taxonomy import load_taxonomy
from seal.engine.gold.blind import FORMAT, VERSION, open_sample, sheet_hash

LABELER = "somebody who knows"


def answers(sample: Path, truth: pl.DataFrame) -> dict[str, Any]:
    """The answers to every question of the default taxonomy.

    Args:
        sample: what `seal gold sample` wrote.
        truth: LABELS with the taxonomy's features, of at least the sample's texts.

    Returns:
        The page's export, as `seal gold read` takes it.
    """
    features = load_taxonomy().features
    texts, key = open_sample(sample)
    labeled = texts.join(
        truth.cast({"variant": VARIANT}), on=TEXT_KEY, how="left", validate="1:1", maintain_order="left"
    )
    names = [feature.name for feature in features]
    said = labeled.select("text", *names).rows(named=True)
    return {
        "format": FORMAT,
        "version": VERSION,
        "sheet": sheet_hash(key, features),
        "labeler": LABELER,
        "features": names,
        "half_labeled": [],
        "texts": [{"id": row.pop("text"), "answers": row} for row in said],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Answer a page of seal gold sheet with the true labels.")
    parser.add_argument("sample", type=Path, help="folder that seal gold sample wrote")
    parser.add_argument("--truth", type=Path, required=True, help="truth.parquet of the world")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    args = parser.parse_args()
    args.out.write_text(json.dumps(answers(args.sample, pl.read_parquet(args.truth))), encoding="utf-8")
    print(f"answers in {args.out}")


if __name__ == "__main__":
    main()
