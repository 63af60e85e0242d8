"""Suspects against a plain loop over pairs, and their file: owned, hashed, verified, the same each time."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import seal
from benchmarks.statistics_worlds import World, world
from seal.engine.errors import ResumeError
from seal.engine.files import file_sha256
from seal.stats.alignment.suspects import SCHEMA, TEXT_SCHEMA, SuspectTally
from seal.stats.options import TARGETS, AnalyzeOptions, ReportOptions
from seal.stats.report.chapters import sections
from seal.stats.results import Results

OPTIONS = AnalyzeOptions("pre", "post")


@pytest.fixture(scope="module")
def w() -> World:
    return world(800, seed=6)


def expected(w: World) -> list[tuple[int, float]]:
    """(row_id, strength) of every suspect, the strongest first."""
    wide = w.scores.pivot(["model", "preference"], index="row_id", values="reward").sort("row_id")
    m = {
        x: (wide[f'{{"{x}","chosen"}}'] - wide[f'{{"{x}","rejected"}}']).to_numpy().astype(float)
        for x in ("pre", "post")
    }
    labels = {
        p: w.labels.filter(preference=p).sort("row_id").select(TARGETS).rows() for p in ("chosen", "rejected")
    }
    found = []
    for i, row_id in enumerate(wide["row_id"]):
        differing = [
            (c, r) for c, r in zip(labels["chosen"][i], labels["rejected"][i], strict=True) if c != r
        ]
        if m["pre"][i] < 0 and m["post"][i] < 0 and differing and differing[0] < differing[0][::-1]:
            found.append((row_id, float(min(-m[x][i] / m[x].std() for x in m))))
    return sorted(found, key=lambda x: (-x[1], x[0]))


def analyzed(w: World, out: Path, options: AnalyzeOptions = OPTIONS, *, texts: bool = True) -> seal.Results:
    return seal.analyze(w.scores, w.labels, options, texts=w.texts if texts else None, out=out)


def test_they_are_those_that_all_doubt_the_strongest_first(w: World, tmp_path: Path) -> None:
    results = analyzed(w, tmp_path)
    wanted = expected(w)
    assert results.n_suspects == len(wanted) > 20
    assert results.suspects is not None
    assert results.suspects["row_id"].to_list() == [row_id for row_id, _ in wanted]
    np.testing.assert_allclose(results.suspects["strength"], [s for _, s in wanted], rtol=1e-6)
    written = pl.read_parquet(tmp_path / "suspects.parquet")
    assert written.schema == pl.Schema(SCHEMA | TEXT_SCHEMA)
    assert written.select(*SCHEMA).equals(results.suspects)
    texts = {
        (i, p): (a, b)
        for i, p, a, b in w.texts.select("row_id", "preference", "prompt", "response").iter_rows()
    }
    for row in written.to_dicts():
        for side in ("chosen", "rejected"):
            assert (row[f"prompt_{side}"], row[f"response_{side}"]) == texts[row["row_id"], side]


def test_no_more_than_asked_for_and_none_for_zero(w: World, tmp_path: Path) -> None:
    few = analyzed(w, tmp_path, AnalyzeOptions("pre", "post", suspects=7))
    assert pl.read_parquet(tmp_path / "suspects.parquet")["row_id"].to_list() == [
        i for i, _ in expected(w)[:7]
    ]
    assert few.n_suspects == len(expected(w))
    none = analyzed(w, tmp_path, AnalyzeOptions("pre", "post", suspects=0))
    assert (none.n_suspects, none.suspects) == (None, None)
    assert not (tmp_path / "suspects.parquet").exists()


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (
            12_345,
            "In 12,345 pairs both models and the labeler are against the people: the 7 strongest of them",
        ),
        (7, "In 7 pairs both models and the labeler are against the people: they are in suspects.parquet"),
        (1, "In one pair both models and the labeler are against the people: it is in suspects.parquet"),
        (0, None),
        (None, None),
    ],
)
def test_the_report_says_how_many_and_what_for(n: int | None, said: str | None) -> None:
    found = Results({}, (), {}, {"pre": "pre", "post": "post", "suspects": 7}, n_suspects=n)
    told = {s.key: s.sentences for s in sections(found, ReportOptions())}
    if said is None:
        assert "agreement" not in told
    else:
        (sentence,) = told["agreement"]
        assert sentence.startswith(said)
        assert "Send them to relabeling" in sentence


def test_without_texts_and_without_suspects(w: World, tmp_path: Path) -> None:
    analyzed(w, tmp_path, texts=False)
    written = pl.read_parquet(tmp_path / "suspects.parquet")
    assert written.height == len(expected(w))
    assert written.select(*TEXT_SCHEMA).null_count().row(0) == (written.height,) * len(TEXT_SCHEMA)
    liked = w.scores.with_columns(
        reward=pl.when(preference="chosen").then(1.0).otherwise(pl.col("row_id") % 2 * 0.5)
    )
    results = seal.analyze(liked, w.labels, OPTIONS, out=tmp_path)
    assert results.n_suspects == 0
    assert pl.read_parquet(tmp_path / "suspects.parquet").schema == pl.Schema(SCHEMA | TEXT_SCHEMA)


def test_more_pairs_than_are_written_at_once_and_a_text_that_is_missing(tmp_path: Path) -> None:
    w = world(2000, seed=7)
    first = expected(w)[0][0]
    texts = w.texts.filter(~((pl.col("row_id") == first) & (pl.col("preference") == "rejected")))
    seal.analyze(w.scores, w.labels, OPTIONS, texts=texts, out=tmp_path)
    written = pl.read_parquet(tmp_path / "suspects.parquet")
    assert written.height > 200
    assert written["response_rejected"].null_count() == 1
    assert written["response_rejected"][0] is None
    assert written["response_chosen"].null_count() == 0


def test_texts_without_a_prompt(w: World, tmp_path: Path) -> None:
    seal.analyze(w.scores, w.labels, OPTIONS, texts=w.texts.drop("prompt"), out=tmp_path)
    written = pl.read_parquet(tmp_path / "suspects.parquet")
    assert written["prompt_chosen"].null_count() == written.height > 0
    assert written["response_chosen"].null_count() == 0


def test_the_file_is_owned_hashed_and_verified(w: World, tmp_path: Path) -> None:
    path = tmp_path / "suspects.parquet"
    analyzed(w, tmp_path)
    recorded = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert recorded["files"]["suspects.parquet"] == file_sha256(path)
    assert recorded["n_suspects"] == len(expected(w))
    assert seal.verify(tmp_path).changed == []
    before = path.read_bytes()
    analyzed(w, tmp_path)
    assert path.read_bytes() == before
    path.write_bytes(before[:-1] + b"?")
    assert seal.verify(tmp_path).changed == ["suspects.parquet"]


def test_a_file_of_that_name_that_no_analysis_wrote_stays(w: World, tmp_path: Path) -> None:
    (tmp_path / "suspects.parquet").write_bytes(b"mine")
    with pytest.raises(ResumeError, match=r"holds suspects\.parquet, which no analysis wrote"):
        analyzed(w, tmp_path)
    assert (tmp_path / "suspects.parquet").read_bytes() == b"mine"
    analyzed(w, tmp_path, AnalyzeOptions("pre", "post", suspects=0))
    assert (tmp_path / "suspects.parquet").read_bytes() == b"mine"


def test_a_model_whose_margins_never_vary_doubts_nothing() -> None:
    block = pl.DataFrame(
        {
            "row_id": [0],
            **{f"{m}_{s}": [float(s == "rejected")] for m in ("pre", "post") for s in ("chosen", "rejected")},
        }
    )
    tally = SuspectTally(pl.lit("r"), (1.0, 0.0), 5)
    tally.add(block)
    assert tally.n_pairs == tally.table().height == 0
    tally = SuspectTally(pl.lit("r"), (1.0, 2.0), 5)
    tally.add(block)
    assert tally.table().rows() == [(0, 0.5, -1.0, -1.0)]
