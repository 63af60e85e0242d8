"""Somebody who knows the truth answers a page: what is read back is the truth of the sampled pairs."""

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from examples.toyworld.answers import answers
from examples.toyworld.generate import Options, write
from examples.toyworld.labels import FEATURE_TYPES
from seal.engine.datasets.importing import import_texts
from seal.engine.frames.schema import INCLUSION, LABELS, scan
from seal.engine.gold.options import GoldSampleOptions
from seal.engine.gold.reading import gold_read
from seal.engine.gold.sampling import gold_sample


def test_gold_labels_are_the_truth_of_a_sample(tmp_path: Path) -> None:
    write(Options(60, 5), tmp_path)
    truth = pl.read_parquet(tmp_path / "truth.parquet")
    import_texts([tmp_path / "pairs.jsonl"], tmp_path / "texts")
    gold_sample(tmp_path / "texts", tmp_path / "sample", GoldSampleOptions(pairs=12, seed=3))
    said = answers(tmp_path / "sample", truth)
    (tmp_path / "answers.json").write_text(json.dumps(said), encoding="utf-8")

    read = gold_read(tmp_path / "answers.json", tmp_path / "sample", tmp_path / "labels")

    assert (read.n_drawn, read.n_rows, read.n_failures) == (12, 24, 0)
    gold = scan(tmp_path / "labels", LABELS).collect()
    assert gold["labeler"].unique().to_list() == ["gold"]
    assert gold[INCLUSION].to_list() == pytest.approx([12 / 60] * 24, rel=1e-12)
    known = truth.filter(pl.col("row_id").is_in(gold["row_id"].implode()))
    key = ["row_id", "preference"]
    assert_frame_equal(gold.sort(key).select(*key, *FEATURE_TYPES), known.select(*key, *FEATURE_TYPES))
    assert "chosen" not in json.dumps(said)
