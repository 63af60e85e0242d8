"""`seal compare` by a column of the texts, and its calibration beside that of `seal analyze`."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.statistics_worlds import world
from seal.stats.alignment.calibration import SCHEMA
from tests.support.command_line import Seal

_COLUMNS = [c for c in SCHEMA if c not in ("model", "source")]


@pytest.fixture
def frames(tmp_path: Path) -> dict[str, Path]:
    """A world of 300 pairs whose texts have a subset, a number of their own, and null subsets."""
    w = world(300, seed=4)
    texts = w.texts.with_columns(
        meta_subset=pl.when(pl.col("row_id") % 5 > 0).then(
            pl.when(pl.col("row_id") % 2 == 0).then(pl.lit("chat")).otherwise(pl.lit("code"))
        ),
        meta_turns=pl.col("row_id") % 3,
    )
    found = {"scores": w.scores, "labels": w.labels, "texts": texts}
    for name, frame in found.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    return {name: tmp_path / f"{name}.parquet" for name in found}


def test_pairs_are_told_apart_by_a_column(seal: Seal, frames: dict[str, Path]) -> None:
    code, out, _ = seal(
        "compare", frames["scores"], "--texts", frames["texts"], "--by", "meta_subset", "--json"
    )
    assert code == 0
    rows = json.loads(out)
    assert [(r["model"], r["meta_subset"], r["n_pairs"]) for r in rows] == [
        (m, s, n)
        for s, n in (("all", 300), (None, 60), ("chat", 120), ("code", 120))
        for m in ("post", "pre")
    ]
    assert "source" not in rows[0]
    margins = (
        pl.read_parquet(frames["scores"])
        .filter(model="post")
        .pivot("preference", index="row_id", values="reward")
    )
    chat = margins.filter(pl.col("row_id") % 2 == 0, pl.col("row_id") % 5 > 0)
    wanted = np.log1p(np.exp(-(chat["chosen"] - chat["rejected"]).to_numpy().astype(np.float64))).mean()
    (row,) = [r for r in rows if (r["model"], r["meta_subset"]) == ("post", "chat")]
    assert row["log_loss"] == pytest.approx(wanted, rel=1e-6)
    code, out, _ = seal("compare", frames["scores"], "--texts", frames["texts"], "--by", "meta_turns")
    assert code == 0
    assert "meta turns" in out
    assert "longer preferred" in out


def test_a_source_called_all_stands_beside_all_pairs(seal: Seal, frames: dict[str, Path]) -> None:
    texts = pl.read_parquet(frames["texts"]).with_columns(source=pl.lit("all"))
    texts.write_parquet(frames["texts"])
    _, out, _ = seal("compare", frames["scores"], "--texts", frames["texts"], "--json")
    assert [(r["source"], r["n_pairs"], r["auc"] is None) for r in json.loads(out)] == [
        ("all", 300, False)
    ] * 4


def test_analyze_writes_the_same_by_source(seal: Seal, frames: dict[str, Path], tmp_path: Path) -> None:
    words = ("--scores", frames["scores"], "--labels", frames["labels"], "--texts", frames["texts"])
    assert seal("analyze", *words, "--pre", "pre", "--post", "post", "--out", tmp_path / "out")[0] == 0
    written = pl.read_csv(tmp_path / "out" / "calibration.csv").to_dicts()
    _, out, _ = seal("compare", frames["scores"], "--texts", frames["texts"], "--json")
    compared = {(r["model"], r["source"]): r for r in json.loads(out)}
    assert len(written) == len(compared) > 2
    for row in written:
        same = compared[row["model"], row["source"]]
        assert [row[c] for c in _COLUMNS] == [pytest.approx(same[c], rel=1e-12) for c in _COLUMNS]
    assert seal("report", tmp_path / "out", "--out", tmp_path / "r.html")[0] == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("How far margins can be read as probabilities") == 1


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--by", "meta_subset"], 2, "by: 'meta_subset' is a column of the texts; give the texts also"),
        (
            ["--texts", "{texts}", "--by", "meta_x"],
            1,
            "no column 'meta_x'; there are: source, response, prompt",
        ),
        (["--texts", "{texts}", "--by", "row_id"], 1, "no column 'row_id'"),
        (
            ["--texts", "{many}", "--by", "meta_number"],
            1,
            "'meta_number' has 1001 values; pairs are told apart by at most 1000",
        ),
    ],
)
def test_mistakes_are_one_line(
    seal: Seal, frames: dict[str, Path], tmp_path: Path, words: list[str], code: int, text: str
) -> None:
    many = pl.concat([pl.read_parquet(frames["texts"])] * 2).with_columns(
        meta_number=pl.int_range(pl.len()).clip(0, 1000)
    )
    many.write_parquet(tmp_path / "many.parquet")
    where = {"texts": frames["texts"], "many": tmp_path / "many.parquet"}
    got, out, err = seal("compare", frames["scores"], *(w.format(**where) for w in words))
    assert (got, out) == (code, "")
    assert text in err
    assert len(err.strip().splitlines()) == 1
