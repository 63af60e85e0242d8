"""`seal.gold.sample`: whole pairs, their probabilities, the same bytes, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.frames.sink import Sink
from seal.engine.gold import sampling
from seal.engine.gold.options import GoldSampleOptions
from seal.engine.gold.population import rare_pairs
from seal.engine.gold.sampling import gold_sample
from seal.engine.verify import verify
from tests.support.frames import random_texts, write

pytestmark = pytest.mark.usefixtures("fast_disk")


def drawn(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "part-00000.parquet")


def labels_of(n_pairs: int, path: Path) -> Path:
    """`rare` differs in 4% of the pairs, `common` in half of them, `never` in none; one label is null."""
    pair = np.repeat(np.arange(n_pairs), 2)
    side = np.tile([0, 1], n_pairs)
    frame = pl.DataFrame({
        "row_id": pair, "preference": np.where(side == 0, "chosen", "rejected"),
        "variant": "original", "labeler": "a",
        "rare": (pair % 25 == 0) & (side == 1), "common": (pair % 2 == 0) & (side == 1),
        "never": pair % 3 == 0, "mood": np.where((pair % 50 == 7) & (side == 0), "sad", "calm"),
        "topics": [["x"]] * (2 * n_pairs), "length": side,
    })  # fmt: skip
    frame = frame.with_columns(rare=pl.when(pl.col("row_id") == 25).then(None).otherwise("rare"))
    frame.write_parquet(path)
    return path


def test_uniform(tmp_path: Path) -> None:
    texts = random_texts(300)
    write(texts, tmp_path / "texts.parquet")
    found = gold_sample(tmp_path / "texts.parquet", tmp_path / "gold", GoldSampleOptions(pairs=40, seed=2))
    assert (found.n_pairs, found.n_drawn, found.n_incomplete) == (300, 40, 0)
    assert found.strata == {"all": (40, 300)}
    rows = drawn(tmp_path / "gold")
    assert rows.height == 80
    assert rows["meta_inclusion_probability"].unique().to_list() == [40 / 300]
    assert rows.group_by("row_id").len()["len"].unique().to_list() == [2]
    assert rows.select(texts.columns).equals(texts.join(rows, on=["row_id", "preference"], how="semi"))
    assert verify(tmp_path / "gold").changed == []


def test_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    texts = random_texts(300)
    options = GoldSampleOptions(pairs=40, seed=2)
    bytes_of = []
    for name, frame in (("a", texts), ("b", texts.sample(fraction=1, shuffle=True, seed=1))):
        (tmp_path / name).mkdir()
        for i in range(3):  # in several files
            write(frame[i::3], tmp_path / name / f"{i}.parquet")
        gold_sample(tmp_path / name, tmp_path / f"gold-{name}", options)
        bytes_of.append((tmp_path / f"gold-{name}" / "part-00000.parquet").read_bytes())
    assert bytes_of[0] == bytes_of[1]
    assert not list((tmp_path / "gold-b").glob("*.tmp"))


def test_a_larger_sample_holds_the_smaller(tmp_path: Path) -> None:
    write(random_texts(100), tmp_path / "t.parquet")
    for n in (10, 30):
        gold_sample(tmp_path / "t.parquet", tmp_path / str(n), GoldSampleOptions(pairs=n))
    few, more = (set(drawn(tmp_path / n)["row_id"]) for n in ("10", "30"))
    assert len(few) == 10
    assert few < more


def test_strata_of_a_column(tmp_path: Path) -> None:
    texts = random_texts(200).with_columns(meta_kind=pl.when(pl.col("row_id") % 40 == 0).then(pl.lit("few")))
    write(texts, tmp_path / "t.parquet")
    found = gold_sample(
        tmp_path / "t.parquet", tmp_path / "o", GoldSampleOptions(pairs=40, strata="meta_kind")
    )
    assert found.strata == {"(null)": (39, 195), "few": (1, 5)}
    rows = drawn(tmp_path / "o").filter(preference="chosen")
    shares = dict(
        rows.group_by("meta_stratum").agg(pl.col("meta_inclusion_probability").unique()).iter_rows()
    )
    assert shares == {"(null)": [39 / 195], "few": [1 / 5]}
    assert rows.filter(meta_stratum="few")["meta_kind"].to_list() == ["few"]


def test_more_of_the_rare_ones(tmp_path: Path) -> None:
    write(random_texts(400), tmp_path / "t.parquet")
    labels = labels_of(400, tmp_path / "l.parquet")
    ids, names = rare_pairs(labels)
    assert names == ("rare", "mood")
    expected = [i for i in range(400) if (i % 25 == 0 and i != 25) or i % 50 == 7]
    assert ids.tolist() == expected
    options = GoldSampleOptions(pairs=20, rare_share=0.7)
    found = gold_sample(tmp_path / "t.parquet", tmp_path / "o", options, labels=labels)
    n_rare = len(expected)
    assert found.strata == {"common": (6, 400 - n_rare), "rare": (14, n_rare)}
    rows = drawn(tmp_path / "o")
    rare = rows.filter(meta_stratum="rare")
    assert set(rare["row_id"]) <= set(expected)
    assert rare["meta_inclusion_probability"].unique().to_list() == [14 / n_rare]
    common = rows.filter(meta_stratum="common")
    assert not set(common["row_id"]) & set(expected)
    assert common["meta_inclusion_probability"].unique().to_list() == [6 / (400 - n_rare)]
    assert rare_pairs(labels, ["common"])[0].tolist() == list(range(0, 400, 2))


def test_half_pairs_and_missing_texts_are_left_out(tmp_path: Path) -> None:
    texts = random_texts(30)
    texts = texts.filter((pl.col("row_id") != 3) | (pl.col("preference") == "chosen"))
    texts = texts.with_columns(response=pl.when(pl.col("row_id") == 5).then(None).otherwise("response"))
    again = texts.filter(row_id=0).with_columns(variant=pl.lit("rewritten").cast(texts.schema["variant"]))
    write(pl.concat([texts, again]), tmp_path / "t.parquet")
    found = gold_sample(tmp_path / "t.parquet", tmp_path / "o", GoldSampleOptions(pairs=28))
    assert (found.n_pairs, found.n_incomplete) == (28, 2)
    rows = drawn(tmp_path / "o")
    assert set(rows["row_id"]) == set(range(30)) - {3, 5}
    assert rows["variant"].unique().to_list() == ["original"]
    assert gold_sample(tmp_path / "t.parquet", tmp_path / "o", GoldSampleOptions(pairs=28)) == found


def test_a_run_that_was_cut_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(random_texts(60), tmp_path / "t.parquet")
    monkeypatch.setattr(sampling, "_PART_PAIRS", 10)
    options = GoldSampleOptions(pairs=35)
    whole = gold_sample(tmp_path / "t.parquet", tmp_path / "whole", options)
    commit = Sink.commit

    def cut(sink: Sink, *words: Any, **more: Any) -> Any:
        if len(sink.commits) == 2:
            raise KeyboardInterrupt
        return commit(sink, *words, **more)

    monkeypatch.setattr(Sink, "commit", cut)
    with pytest.raises(KeyboardInterrupt):
        gold_sample(tmp_path / "t.parquet", tmp_path / "cut", options)
    monkeypatch.setattr(Sink, "commit", commit)
    assert gold_sample(tmp_path / "t.parquet", tmp_path / "cut", options) == whole
    for name in (*(f"part-0000{i}.parquet" for i in range(4)), "failures.parquet", "log.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    write(random_texts(60), tmp_path / "t.parquet")
    gold_sample(tmp_path / "t.parquet", tmp_path / "o", GoldSampleOptions(pairs=5))
    before = set(drawn(tmp_path / "o")["row_id"])
    other = GoldSampleOptions(pairs=5, seed=1)
    with pytest.raises(ResumeError, match="seed"):
        gold_sample(tmp_path / "t.parquet", tmp_path / "o", other)
    for _ in range(2):  # the second time over its own
        gold_sample(tmp_path / "t.parquet", tmp_path / "o", other, overwrite=True)
    assert set(drawn(tmp_path / "o")["row_id"]) != before


def test_what_is_refused(tmp_path: Path) -> None:
    texts, out = tmp_path / "t.parquet", tmp_path / "o"
    write(random_texts(60), texts)
    labels = labels_of(60, tmp_path / "l.parquet")

    def refused(kind: type[Exception], words: str, labels: Path | None = None, **options: Any) -> None:
        with pytest.raises(kind, match=words):
            gold_sample(texts, out, GoldSampleOptions(**{"pairs": 5, **options}), labels=labels)

    refused(UsageError, "at most 60", pairs=61)
    refused(UsageError, "at least 1", pairs=0)
    refused(UsageError, "give --labels", rare=("rare",))
    refused(UsageError, "give --labels", rare_share=0.5)
    refused(UsageError, "not of both", labels, strata="source")
    refused(UsageError, "did you mean 'source'", strata="sources")
    refused(UsageError, "no column 'prompt'", strata="prompt")
    refused(UsageError, "no boolean or text feature 'length'", labels, rare=("length",))
    refused(InputError, "no pair differs in never", labels, rare=("never",))
    assert not out.exists()
    gold_sample(texts, out, GoldSampleOptions(pairs=5))
    with pytest.raises(UsageError, match="is a sample"):
        gold_sample(out, tmp_path / "again", GoldSampleOptions(pairs=2))
    with pytest.raises(UsageError, match="lie in each other"):
        gold_sample(out, out / "in", GoldSampleOptions(pairs=2))


def test_a_stratum_is_a_pair_s(tmp_path: Path) -> None:
    texts = random_texts(10).with_columns(meta_side=pl.col("preference").cast(pl.String))
    write(texts, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="differ in 'meta_side'"):
        gold_sample(tmp_path / "t.parquet", tmp_path / "o", GoldSampleOptions(pairs=5, strata="meta_side"))
