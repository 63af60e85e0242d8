"""What the labels' own folder warns of reaches whoever reads estimates made of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

import seal
from seal.engine.frames.schema import TEXT_KEY
from seal.engine.labeling.contract import Labeled
from seal.engine.progress import Meter
from seal.stats.report.cautions import cautions
from tests.support.frames import random_texts, write

N_PAIRS = 150


class Coins:
    """Labels that are drawn, but one: `stuck` is always true."""

    identity: ClassVar[Mapping[str, str]] = {"kind": "test"}
    types: ClassVar[Mapping[str, pl.DataType]] = dict.fromkeys(("heads", "tails", "stuck"), pl.Boolean())

    def __init__(self, name: str, share: float) -> None:
        self.name, self._share = name, share

    def label(self, texts: pl.DataFrame, meter: Meter) -> Labeled:
        meter.batch(texts.height, 0, 0)
        rng = np.random.default_rng(len(self.name))
        drawn = {n: pl.Series(rng.random(texts.height) < self._share) for n in ("heads", "tails")}
        return Labeled(texts.select(*TEXT_KEY, **drawn, stuck=pl.lit(True)))


def analyzed(tmp_path: Path, labeler: Coins) -> seal.Results:
    texts = write(random_texts(N_PAIRS), tmp_path / "texts.parquet")
    seal.label(texts, [labeler], tmp_path / "labels")
    rng = np.random.default_rng(0)
    key = pl.read_parquet(texts).select(TEXT_KEY)
    scores = pl.concat(
        key.with_columns(model=pl.lit(m), reward=pl.Series(rng.normal(size=key.height))) for m in ("a", "b")
    )
    options = seal.AnalyzeOptions("a", "b", targets=("heads",))
    return seal.analyze(scores, tmp_path / "labels", options, out=tmp_path / "results")


def test_good_labels_are_noted_by_the_feature_that_never_changes_alone(tmp_path: Path) -> None:
    results = analyzed(tmp_path, Coins("coins", 0.4))
    (note,) = [n for n in results.notes if n.startswith("label health")]
    assert note == (
        "label health: features of coins that deserve a look: stuck (true on every text) "
        "(see label_health.csv beside the labels)"
    )


def test_labels_that_say_nothing_are_one_note_and_one_caution(tmp_path: Path) -> None:
    results = analyzed(tmp_path, Coins("yes", 0.99))
    (note,) = [n for n in results.notes if n.startswith("label health")]
    assert "the labels of yes may mean nothing: says yes to nearly everything" in note
    (caution,) = [c for c in cautions(results) if any(s.startswith("label health") for s in c.sentences)]
    assert caution.kind == "The labels and their errors"
    page = seal.report(tmp_path / "results", tmp_path / "report.html")
    assert "may mean nothing" in page.path.read_text(encoding="utf-8")


def test_frames_in_memory_and_files_have_no_health(tmp_path: Path) -> None:
    analyzed(tmp_path, Coins("yes", 0.99))
    part = tmp_path / "labels/part-00000.parquet"
    scores = pl.read_parquet(tmp_path / "texts.parquet").select(TEXT_KEY)
    scores = pl.concat(
        scores.with_columns(model=pl.lit(m), reward=pl.int_range(pl.len()).cast(pl.Float32)) for m in "ab"
    )
    for given in (part, pl.read_parquet(part)):
        results = seal.analyze(scores, given, seal.AnalyzeOptions("a", "b", targets=("heads",)))
        assert not [n for n in results.notes if n.startswith("label health")]
