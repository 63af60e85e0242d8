"""The page for labeling in a real browser: worked by keys, resumed, exported, read back; nothing comes alive.

`make test-browser` installs what it needs beside this file (npm) and runs it; it needs Node and Chromium.
With SEAL_SHOTS set to a folder, pictures of the page are left there.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from seal.cli.main import main
from seal.engine.frames.taxonomy import load_taxonomy
from seal.engine.gold.options import GoldReadOptions
from seal.engine.gold.reading import gold_read
from seal.stats.analysis import analyze
from seal.stats.options import AnalyzeOptions
from tests.support.browsers import HERE, find_browser
from tests.support.frames import REAL, random_texts, texts
from tests.support.gold import by_rule, exported, joined, make_gold, page_data
from tests.support.hostile import payloads
from tests.support.readers import ASKED, careful, hasty

WIDE, PHONE = 1100, 400
pytestmark = pytest.mark.slow

Seen = dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Path:
    return find_browser()


def work(
    browser: Path, file: Path, *steps: list[str | int], width: int = WIDE, scheme: str = "light",
    storage: bool = True,
) -> Seen:  # fmt: skip
    """What the steps saw; nothing may have been said on the console or asked of the network."""
    asked = [{"file": str(file), "width": width, "scheme": scheme, "storage": storage, "steps": steps}]
    done = subprocess.run(
        ["node", HERE / "label.mjs", browser, json.dumps(asked)], capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    for nothing in ("console", "requests"):
        assert found[nothing] == [], found[nothing]
    assert found["moved"] is False
    return dict(found)


def test_three_pairs_by_keyboard(browser: Path, tmp_path: Path) -> None:
    """Labeled in the middle of a reload, half of it refused, exported, and read back as it was typed."""
    gold, sheet, taxonomy = make_gold(tmp_path, random_texts(9, twice=0), 3)
    pair = ["y", "y", "n", "2", "3", "1", "3", "Enter", "0"]  # rude?; long? A B; mood A B; topics A; topics B
    found = work(
        browser, sheet,
        ["state"], ["export", str(tmp_path / "no.json")], ["state"],
        ["fill", "#labeler", "Ann B."], ["export", str(tmp_path / "no.json")], ["state"],
        ["click", "#labeler"], ["keys", "Enter"], ["state"],
        ["keys", " ".join(pair)], ["state"],
        ["keys", "Enter y y"], ["reload"], ["state"],
        ["export", str(tmp_path / "half.json")], ["state"],
        ["click", "#pair-title"], ["click", ".cell"], ["keys", "k"], ["state"], ["keys", "j"], ["state"],
        ["keys", "n 2 3 1 3 Enter 0 Enter"], ["keys", " ".join(pair)], ["state"],
        ["export", str(tmp_path / "answers.json")], ["state"],
    )  # fmt: skip
    start, none, nothing, begun, one, back, half, first, second, all_done, end = (
        s for s in found["seen"] if isinstance(s, dict)
    )
    files = [s for s in found["seen"] if not isinstance(s, dict)]
    assert files == [None, None, "answers-ann-b.json", "answers-ann-b.json"]
    assert start["title"] == "Pair 1 of 3"
    assert "Write your name" in none["status"]
    assert none["focused"] == "labeler"
    assert "No pair is complete" in nothing["status"]
    assert begun["focused"] == "human_is_rude Both responses"
    assert begun["outlined"]
    assert one["status"] == "Pair 1 is complete."
    assert one["focused"] == "next"
    assert one["pressed"] == ["Yes", "Yes", "No", "excited", "sad", "food", "music", "None of these"]
    assert back["title"] == "Pair 2 of 3"  # after the reload
    assert back["labeler"] == "Ann B."
    assert back["done"] == "1 of 3 pairs complete, 1 half-labeled"
    assert back["pressed"] == ["Yes", "Yes"]
    assert back["warned"] is False
    assert half["status"] == "1 complete pair is in the file. Half-labeled and not exported: pair 2."
    assert (first["title"], second["title"]) == ("Pair 1 of 3", "Pair 2 of 3")
    assert second["focused"] == "last_response_is_long Response B"  # the first without an answer
    assert all_done["status"] == "All pairs are complete. Export your answers."
    assert all_done["focused"] == "export"
    assert end["progress"] == 3

    data = page_data(sheet)
    document = json.loads((tmp_path / "half.json").read_text())
    assert [t["id"] for t in document["texts"]] == [t["id"] for t in data["pairs"][0]["texts"]]
    assert document["half_labeled"] == [data["pairs"][1]["id"]]
    document = json.loads((tmp_path / "answers.json").read_text())
    left = {
        "human_is_rude": True,
        "last_response_is_long": True,
        "last_response_mood": "excited",
        "topics": ["food", "music"],
    }
    right = {**left, "last_response_is_long": False, "last_response_mood": "sad", "topics": []}
    assert [t["answers"] for t in document["texts"]] == [left, right] * 3
    assert set(document) == {"format", "version", "sheet", "labeler", "features", "half_labeled", "texts"}

    labels = gold_read(
        tmp_path / "answers.json", gold, tmp_path / "labels", GoldReadOptions(taxonomy=taxonomy)
    )
    assert labels.n_pairs == {"gold": 3}
    rows = pl.read_parquet(tmp_path / "labels" / "part-00000.parquet")
    both = rows.join(pl.read_parquet(gold / "part-00000.parquet"), on=["row_id", "preference"])
    side = {
        joined(t["response"]): s
        for p in data["pairs"]
        for t, s in zip(p["texts"], (left, right), strict=True)
    }
    assert both.height == 6
    for row in both.iter_rows(named=True):
        assert {name: row[name] for name in left} == side[row["response"].strip(" \n")]


def test_arrows_mouse_help_and_taking_back(browser: Path, tmp_path: Path) -> None:
    _, sheet, _ = make_gold(tmp_path, random_texts(5), 2)
    found = work(
        browser, sheet,
        ["click", ".cell"], ["keys", "ArrowDown ArrowRight"], ["state"],
        ["keys", "ArrowDown ArrowLeft ArrowDown"], ["state"],
        ["keys", "ArrowDown ArrowDown 1 2 3"], ["state"], ["keys", "1 1"], ["state"],
        ["keys", "Delete ArrowUp ArrowUp ArrowUp ArrowUp n"], ["state"], ["keys", "?"], ["state"],
        ["keys", "j Escape"], ["state"], ["button", 3, "excited"], ["state"],
        ["keys", "Tab Space"], ["state"],
        ["click", "#unfinished"], ["state"], ["click", "#forget"], ["state"],
    )  # fmt: skip
    right, lists, full, order, top, helped, closed, clicked, tabbed, other, gone = found["seen"]
    assert right["focused"] == "last_response_is_long Response B"
    assert lists["focused"] == "topics Response A"
    assert lists["covered"] is False
    assert "At most 2" in full["status"]
    assert full["pressed"] == ["food", "work"]
    assert order["pressed"] == ["food", "work"]  # taken out and put behind
    assert top["pressed"] == ["No"]
    assert helped["help"] is True
    assert closed["help"] is False
    assert closed["title"] == "Pair 1 of 2"  # keys do nothing behind the help
    assert clicked["pressed"] == ["No", "excited"]
    assert tabbed["pressed"] == ["No", "sad"]
    assert other["title"] == "Pair 2 of 2"
    assert gone["done"] == "0 of 2 pairs complete"
    assert found["dialogs"] == ["confirm: Forget every answer on this page?"]


def test_without_storage_it_works_and_says_so(browser: Path, tmp_path: Path) -> None:
    _, sheet, _ = make_gold(tmp_path, random_texts(5), 2)
    found = work(
        browser, sheet, ["fill", "#labeler", "ann"], ["keys", "Enter y y n 2 3 0 0"], ["state"],
        ["export", str(tmp_path / "a.json")], ["reload"], ["state"], storage=False,
    )  # fmt: skip
    before, name, after = found["seen"]
    assert before["warned"]
    assert before["done"] == "1 of 2 pairs complete"
    assert name == "answers-ann.json"
    assert after["warned"]
    assert after["done"] == "0 of 2 pairs complete"
    assert found["dialogs"] == []  # all was exported
    found = work(browser, sheet, ["click", ".cell"], ["keys", "y"], ["reload"], storage=False)
    assert [d.split(":")[0] for d in found["dialogs"]] == ["beforeunload"]


def test_what_the_browser_kept_is_checked(browser: Path, tmp_path: Path) -> None:
    _, sheet, _ = make_gold(tmp_path, random_texts(5), 2)
    data = page_data(sheet)
    text = data["pairs"][0]["texts"][0]["id"]
    strange = {
        "last_response_is_long": 1,
        "last_response_mood": "angry",
        "topics": ["food", "food"],
        "more": True,
    }
    for kept in (
        "[",
        "null",
        "3",
        json.dumps({"pair": "x", "labeler": 3, "answers": {text: strange, "x": 1}}),
    ):
        found = work(browser, sheet, ["store", kept], ["reload"], ["state"])
        (seen,) = found["seen"]
        assert seen["title"] == "Pair 1 of 2"
        assert seen["done"] == "0 of 2 pairs complete"
        assert seen["pressed"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_axe_objects_to_nothing(browser: Path, tmp_path: Path, width: int, scheme: str) -> None:
    frame = texts(
        ["one\u202e", "other", *["a long prompt " * 400] * 2], ["a" * 300, "b\n" * 80, "c", "\U0001f600 d"]
    )
    _, sheet, _ = make_gold(tmp_path, frame, 2)
    shots = os.environ.get("SEAL_SHOTS")
    shot = [["shot", f"{shots}/gold-{width}-{scheme}.png"]] if shots else []
    found = work(
        browser, sheet, ["axe"], ["fill", "#labeler", "ann"], ["keys", "Enter y y n 2"], ["axe"], ["state"],
        *shot, ["keys", "j"], ["axe"], ["state"], ["keys", "?"], ["axe"], width=width, scheme=scheme,
    )  # fmt: skip
    for seen in found["seen"]:
        if "violations" in seen:
            assert seen["violations"] == []
            assert seen["passes"] > 15  # fewer behind the open help
        else:
            assert seen["page_scrolls_sideways"] is False
            assert seen["covered"] is False
            assert seen["outlined"]


def test_500_payloads_stay_text(browser: Path, tmp_path: Path) -> None:
    said = payloads()
    frame = texts([said[i - i % 2] for i in range(500)], said)
    _, sheet, _ = make_gold(tmp_path, frame, 250)
    walk: list[list[str | int]] = [["click", ".cell"]]
    for _ in range(249):
        walk += [["keys", "j"], ["state"]]
    found = work(browser, sheet, ["fill", "#labeler", said[7]], ["alive"], *walk, ["alive"])
    (first, *shown, last) = found["seen"]
    for seen in (first, last):
        assert seen == {
            "pwned": False, "payload_elements": 0, "elements_in_texts": 0, "texts": 3, "loaders": 0,
            "scripts": 2, "handlers": 0, "visible": True,
        }  # fmt: skip
    assert found["dialogs"] == []
    assert shown[-1]["title"] == "Pair 250 of 250"
    data = page_data(sheet)
    for seen, pair in zip(shown, data["pairs"][1:], strict=True):
        # Carriage returns and the like are shown as the browser keeps them: text nodes keep every character.
        assert seen["responses"] == [joined(t["response"]) for t in pair["texts"]]
        assert seen["conversation"] == [joined(pair["conversation"])]


def test_real_pairs(browser: Path, tmp_path: Path) -> None:
    """hh-rlhf as `seal import` reads it: 100 pairs drawn, labeled by rule on the page, exported, read."""
    if not REAL.is_file():
        pytest.skip(f"the shared data is not here; put hh-rlhf's harmless-base test file at {REAL}")
    asked = "human_vocabulary_quality,last_response_is_harmless,last_response_sentiment,topics"
    gold, sheet, answers = tmp_path / "gold", tmp_path / "sheet.html", tmp_path / "answers.json"
    assert main(["import", str(REAL), "--out", str(tmp_path / "texts")]) == 0
    sample = ["gold", "sample", str(tmp_path / "texts"), "--pairs", "100", "--seed", "7", "--out", str(gold)]
    assert main(sample) == 0
    assert main(["gold", "sheet", str(gold), "--features", asked, "--out", str(sheet)]) == 0
    found = work(
        browser, sheet,
        ["fill", "#labeler", "rule"], ["keys", "Enter"], ["label"], ["state"], ["export", str(answers)],
    )  # fmt: skip
    seen, name = found["seen"]
    assert seen["done"] == "100 of 100 pairs complete"
    assert name == "answers-rule.json"
    data = page_data(sheet)
    assert json.loads(answers.read_text()) == exported(data, "rule")
    assert main(["gold", "read", str(answers), "--gold", str(gold), "--out", str(tmp_path / "labels")]) == 0
    rows = pl.read_parquet(tmp_path / "labels" / "part-00000.parquet")
    assert rows.height == 200
    assert rows["inclusion_probability"].unique().to_list() == [pytest.approx(100 / 2312)]
    assert pl.read_parquet(tmp_path / "labels" / "failures.parquet").is_empty()
    both = rows.join(
        pl.scan_parquet(tmp_path / "texts" / "part-*.parquet").collect(), on=["row_id", "preference"]
    )
    features = {f.name: f for f in load_taxonomy().features}
    once = {pair["texts"][0]["id"] for pair in data["pairs"] if pair["conversation"] is None}
    assert both.height == 200
    for question in data["features"]:
        assert features[question["name"]].kind == question["kind"]
        for row in both.iter_rows(named=True):
            shown = row["response"].replace("\r\n", "\n").strip(" \n")
            if shown.isprintable():  # no hidden character that the page writes out
                assert row[question["name"]] == by_rule(shown, question)
    assert len(once) < 10  # nearly all pairs answer one conversation


def read_by(reader: Callable[[str], Seen], name: str, texts: pl.DataFrame) -> pl.DataFrame:
    """LABELS of all texts by rule."""
    said = pl.DataFrame([reader(r) for r in texts["response"]])
    return texts.select("row_id", "preference", "variant", labeler=pl.lit(name)).hstack(said)


def made_scores(truth: pl.DataFrame) -> pl.DataFrame:
    """Rewards of two models: what they pay for what the careful reader sees, and noise."""
    rng = np.random.default_rng(5)
    x = truth.select(pl.col(ASKED[:3]).cast(pl.Float64)).to_numpy()
    paid = {"pre": [-0.7, 0.5, 0.0], "post": [0.9, 0.5, 0.6]}
    key = truth.select("row_id", "preference", "variant")
    return pl.concat(
        key.with_columns(
            model=pl.lit(m),
            reward=pl.Series(x @ beta + rng.normal(size=len(x)), dtype=pl.Float32),
            n_tokens=pl.lit(9, pl.Int32),
        )
        for m, beta in paid.items()
    )


def test_real_pairs_labeled_on_the_page_correct_an_analysis(browser: Path, tmp_path: Path) -> None:
    """100 real pairs, six questions, a reload in the middle of pair 48; then used, as `rectified` has it."""
    if not REAL.is_file():
        pytest.skip(f"the shared data is not here; put hh-rlhf's harmless-base test file at {REAL}")
    gold, sheet, answers, said = (tmp_path / n for n in ("gold", "sheet.html", "answers.json", "said.json"))
    assert main(["import", str(REAL), "--out", str(tmp_path / "texts")]) == 0
    sample = ["gold", "sample", str(tmp_path / "texts"), "--pairs", "100", "--seed", "7", "--out", str(gold)]
    assert main(sample) == 0
    assert main(["gold", "sheet", str(gold), "--features", ",".join(ASKED), "--out", str(sheet)]) == 0
    pairs = page_data(sheet)["pairs"]
    said.write_text(json.dumps({t["id"]: careful(joined(t["response"])) for p in pairs for t in p["texts"]}))
    found = work(
        browser, sheet, ["fill", "#labeler", "Ann"], ["keys", "Enter"], ["answer", str(said), 0, 47],
        ["keys", "y n"], ["reload"], ["state"],
        ["click", ".cell"], ["keys", "Delete ArrowRight Delete ArrowLeft"], ["answer", str(said), 47, 100],
        ["export", str(answers)],
    )  # fmt: skip
    assert found["seen"][0]["done"] == "47 of 100 pairs complete, 1 half-labeled"
    assert main(["gold", "read", str(answers), "--gold", str(gold), "--out", str(tmp_path / "labels")]) == 0

    texts = pl.scan_parquet(tmp_path / "texts" / "part-*.parquet").collect()
    truth, proxy = read_by(careful, "person", texts), read_by(hasty, "rules", texts)
    scores = made_scores(truth)
    people = pl.read_parquet(tmp_path / "labels" / "part-00000.parquet")
    options = AnalyzeOptions(pre="pre", post="post", labeler="rules", gold="gold")
    table = analyze(scores, [proxy, people], options).tables["imprint_corrected"].filter(model="post")
    terms = table["term"].to_list()
    assert set(ASKED) - set(terms) == {"last_response_contains_insult"}  # differs in 7 gold pairs
    drawn = np.isin(
        texts.filter(preference="chosen")["row_id"].sort().to_numpy(), people["row_id"].to_numpy()
    )
    y = wide(scores.filter(model="post"), ["reward"])[:, 0]
    d, v = wide(truth, terms), wide(proxy, terms)
    expected = rectified_by_hand(wide(people, terms), v, y, drawn)
    assert drawn.sum() == 100
    assert (wide(people, terms) == d[drawn]).all()
    assert table["estimate"].to_list() == pytest.approx(expected, abs=1e-6)
    whole = np.linalg.lstsq(d, y, rcond=None)[0]  # had all been labeled by the person
    low, high = table["conf_low"].to_numpy(), table["conf_high"].to_numpy()
    assert ((low < whole) & (whole < high)).sum() >= len(terms) - 1


def wide(frame: pl.DataFrame, names: list[str]) -> np.ndarray:
    """(n, K): chosen minus rejected, by ascending `row_id`."""
    mood = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
    values = [
        pl.col(n).cast(pl.String).replace_strict(mood, return_dtype=pl.Float64)
        if frame[n].dtype in (pl.String, pl.Enum)
        else pl.col(n).cast(pl.Float64)
        for n in names
    ]
    sides = [frame.filter(pl.col("preference").cast(pl.String) == s) for s in ("chosen", "rejected")]
    chosen, rejected = (s.sort("row_id").select(values).to_numpy() for s in sides)
    return np.asarray(chosen - rejected)


def rectified_by_hand(d: np.ndarray, v: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> list[float]:
    """b - P (c - c_all) of an even sample (Chen and Chen 2000), leverage in the influences."""

    def fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bread = np.linalg.inv(x.T @ x / len(x))
        b = bread @ x.T @ y / len(x)
        leverage = np.einsum("ij,jk,ik->i", x, bread, x) / len(x)
        return b, (x * ((y - x @ b) / np.sqrt(1 - leverage))[:, None]) @ bread

    (b, phi), (c, xi) = fit(d, y[drawn]), fit(v[drawn], y[drawn])
    projection = phi.T @ xi @ np.linalg.inv(xi.T @ xi)
    found: list[float] = (b - projection @ (c - fit(v, y)[0])).tolist()
    return found
