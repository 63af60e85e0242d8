"""TEXTS frames for tests: random ones, and the real pairs of the shared data."""

import gzip
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seal.engine.frames.schema import TEXTS
from tests.support.places import HH_RLHF
from tests.support.tiny import WORDS

REAL = HH_RLHF / "harmless-base-test.jsonl.gz"


def sentence(rng: np.random.Generator, n_words: int) -> str:
    """Common words in random order."""
    return " ".join(rng.choice(WORDS, n_words))


def texts(prompts: Sequence[str | None], responses: Sequence[str | None]) -> pl.DataFrame:
    """A TEXTS frame of pairs: texts 0 and 1 are the two sides of pair 0, and so on."""
    n = len(prompts)
    return pl.DataFrame(
        {
            "row_id": np.arange(n) // 2,
            "preference": ["chosen", "rejected"] * (n // 2),
            "variant": ["original"] * n,
            "source": ["made"] * n,
            "prompt": list(prompts),
            "response": list(responses),
        },
        schema=TEXTS.types,
    )


def random_texts(n_pairs: int, *, seed: int = 0, longest: int = 60, twice: float = 0.1) -> pl.DataFrame:
    """Pairs of a common prompt and two answers of 1 to `longest` words; some answers are equal."""
    rng = np.random.default_rng(seed)
    prompts, responses = [], []
    for _ in range(n_pairs):
        prompt = "\n\nHuman: " + sentence(rng, int(rng.integers(1, longest))) + "\n\nAssistant:"
        answers = [" " + sentence(rng, int(rng.integers(1, longest))) for _ in range(2)]
        if rng.random() < twice:
            answers[1] = answers[0]
        prompts += [prompt, prompt]
        responses += answers
    return texts(prompts, responses)


@cache
def real_texts() -> pl.DataFrame:
    """The 2,312 pairs of the shared hh-rlhf file, cut at their last `Assistant:`; skips without it."""
    if not REAL.is_file():
        pytest.skip(f"the shared data is not here; put hh-rlhf's harmless-base test file at {REAL}")
    prompts, responses = [], []
    with gzip.open(REAL, "rt", encoding="utf-8") as lines:
        for line in lines:
            for side in ("chosen", "rejected"):
                prompt, opening, response = json.loads(line)[side].rpartition("\n\nAssistant:")
                prompts.append(prompt + opening)
                responses.append(response)
    return texts(prompts, responses)


def write(frame: pl.DataFrame, path: Path) -> Path:
    """Write a frame as one Parquet file."""
    frame.write_parquet(path)
    return path
