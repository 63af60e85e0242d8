"""`seal analyze` on eight pairs, seven of them rewritten, with every count made by hand."""

from pathlib import Path

import polars as pl
import pytest

from seal.cli.main import main

TONES = {  # pair -> tone of the chosen and the rejected text, before and after
    0: ("positive", "neutral", "neutral", "neutral"),  # chosen: lost
    1: ("neutral", "neutral", "neutral", "positive"),  # rejected: gained
    2: ("positive", "negative", "positive", "negative"),
    3: ("neutral", "neutral", "positive", "neutral"),  # chosen: gained
    4: ("negative", "neutral", "negative", "neutral"),
    5: ("positive", "neutral", "negative", "neutral"),  # chosen: lost_2
    6: ("neutral", "positive", "neutral", "positive"),  # and its target moves
    7: ("positive", "positive", "positive", "positive"),  # not rewritten
}
ALIGNED = {0: (1, 0), 1: (1, 0), 2: (1, 1), 3: (0, 1), 4: (0, 0), 5: (1, 0), 6: (1, 0), 7: (1, 1)}
COSINES = {0: (0.9, 0.8), 5: (0.6, 0.8), 6: (0.5, 0.5)}


def make(folder: Path) -> list[str]:
    """Write all frames; the arguments that name them."""
    rows: dict[str, list[dict[str, object]]] = {n: [] for n in ("s", "l", "rs", "rl", "r", "sims")}
    for pair, tones in TONES.items():
        for after in (False, True) if pair != 7 else (False,):
            for side in (0, 1):
                key = {
                    "row_id": pair, "preference": ("chosen", "rejected")[side],
                    "variant": "rewritten" if after else "original",
                }  # fmt: skip
                won = side == 0 if ALIGNED[pair][after] else side == 1
                rewards = {"pre": 1.0 - side, "post": float(won)}
                rows["rs" if after else "s"] += [key | {"model": m, "reward": x} for m, x in rewards.items()]
                rows["rl" if after else "l"].append(
                    key | {
                        "labeler": "me", "last_response_is_harmless": side == 0 and not (after and pair == 6),
                        "last_response_is_helpful": pair % 2 == side,
                        "last_response_sentiment": tones[2 * after + side],
                    }
                )  # fmt: skip
                if after:
                    rows["r"].append(key | {"source": "hand", "prompt": "a", "response": "b"})
                    cosine = COSINES.get(pair, (1.0, 1.0))[side]
                    named = {k: v for k, v in key.items() if k != "variant"}
                    rows["sims"].append(named | {"embedder": "e", "cosine": cosine})
    for name, content in rows.items():
        pl.DataFrame(content).write_parquet(folder / f"{name}.parquet")
    options = {"scores": "s", "labels": "l", "rewritten": "r", "rewritten-scores": "rs",
               "rewritten-labels": "rl", "similarities": "sims"}  # fmt: skip
    return [x for option, name in options.items() for x in (f"--{option}", str(folder / f"{name}.parquet"))]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hand")
    arguments = [*make(folder), "--pre", "pre", "--post", "post", "--out", str(folder / "out")]
    assert main(["analyze", *arguments]) == 0
    return folder / "out"


def test_alignment_before_and_after(out: Path) -> None:
    rows = pl.read_csv(out / "rewriting.csv").filter(model="post").rows(named=True)
    counted = [(r["pairs"], r["n_pairs"], r["n_became_misaligned"], r["n_became_aligned"]) for r in rows]
    assert counted == [("all", 7, 4, 1), ("same_targets", 6, 3, 1)]
    assert [r["alignment"] for r in rows] == pytest.approx([5 / 7, 4 / 6])
    assert [r["alignment_rewritten"] for r in rows] == pytest.approx([2 / 7, 2 / 6])
    assert [r["drop"] for r in rows] == pytest.approx([3 / 7, 2 / 6])
    # at most 1 of 5, and 1 of 4, by fair coins, both ways: 2 (1 + 5) / 32 and 2 (1 + 4) / 16
    assert [r["p_value"] for r in rows] == pytest.approx([0.375, 0.625])
    pre = pl.read_csv(out / "rewriting.csv").filter(model="pre")
    assert (pre["drop"].to_list(), pre["p_value"].to_list()) == ([0, 0], [1, 1])
    tests = pl.read_csv(out / "tests.csv").filter(test="mcnemar_exact")
    groups = tests["group"].to_list()
    assert "post: original against rewritten, 3 became misaligned, 1 aligned" in groups
    assert "post: all rewritten pairs, original against rewritten, 4 became misaligned, 1 aligned" in groups


def test_pairs_left_out(out: Path) -> None:
    table = pl.read_csv(out / "rewriting_targets.csv")
    moved = table.filter(pl.col("n_changed") > 0)
    assert moved.select("term", "preference", "n_changed", "n_lost").rows() == [
        ("last_response_is_harmless", "chosen", 1, 1), ("any target", None, 1, None),
    ]  # fmt: skip
    assert table["share"].to_list()[-1] == pytest.approx(1 / 7)


def test_flips_and_cosines(out: Path) -> None:
    table = pl.read_csv(out / "flips.csv").filter(term="last_response_sentiment")
    columns = ["flip", "n_pairs", "n_became_misaligned_post", "n_became_aligned_post", "cosine_mean"]
    chosen = table.filter(pairs="all", preference="chosen").select(columns).rows()
    assert [row[:4] for row in chosen] == [
        ("gained_2", 0, 0, 0), ("gained", 1, 0, 1), ("none", 4, 2, 0), ("lost", 1, 1, 0), ("lost_2", 1, 1, 0),
    ]  # fmt: skip
    assert chosen[0][4] is None
    assert [row[4] for row in chosen[1:]] == pytest.approx([1.0, 0.875, 0.85, 0.7])
    kept = table.filter(pairs="same_targets", preference="rejected").select(columns[:4])
    assert kept.filter(pl.col("n_pairs") > 0).rows() == [("gained", 1, 1, 0), ("none", 5, 2, 1)]
    assert table["n_became_misaligned_pre"].sum() == 0


def test_eq_4_is_of_the_pairs_with_the_same_targets(out: Path) -> None:
    table = pl.read_csv(out / "robustness.csv").filter(model="post")
    assert table["n_pairs"].unique().to_list() == [6]
    assert "intercept" in table["term"].to_list()
