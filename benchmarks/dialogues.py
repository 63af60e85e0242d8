"""The real dialogues that scoring is measured on, and a choice of them whose lengths are those of all."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.datasets.importing import import_texts
from seal.engine.frames.schema import TEXTS, scan
from seal.engine.pooling.tokenizing import PairEncoder

DIALOGUES = Path(__file__).parents[2] / "shared" / "data" / "hh-rlhf" / "harmless-base-test.jsonl.gz"


def load_dialogues(path: Path) -> pl.DataFrame:
    """TEXTS rows, sorted by key, of a TEXTS file or folder, or of a file that `seal import` reads."""
    if path.is_dir() or path.suffix == ".parquet":
        frame = scan(path, TEXTS, columns=("prompt", "response")).collect()
    else:
        with tempfile.TemporaryDirectory() as aside:
            import_texts([path], Path(aside) / "texts")
            frame = scan(Path(aside) / "texts", TEXTS, columns=("prompt", "response")).collect()
    return frame.sort("row_id", "preference", "variant")


def spread(
    texts: pl.DataFrame, encoder: PairEncoder, n_pairs: int, limit: int | None = None
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Pairs at evenly spaced quantiles of length, so that few of them are as long as all are on average.

    Args:
        texts: sorted by key, two texts a pair.
        encoder: what counts tokens.
        n_pairs: how many.
        limit: no text of more tokens.

    Returns:
        Their rows in the order of the dataset, and the tokens of each text.
    """
    lengths = encoder.encode(texts["prompt"].to_list(), texts["response"].to_list()).lengths
    sized = texts.with_columns(n=pl.Series(lengths))
    sizes = sized.group_by("row_id").agg(n=pl.col("n").sum(), longest=pl.col("n").max())
    if limit is not None:
        sizes = sizes.filter(pl.col("longest") <= limit)
    sizes = sizes.sort("n", "row_id")
    places = ((np.arange(n_pairs) + 0.5) / n_pairs * sizes.height).astype(int)
    chosen = sized.filter(pl.col("row_id").is_in(sizes["row_id"][places].implode()))
    return chosen.drop("n"), chosen["n"].to_numpy().astype(np.int64)
