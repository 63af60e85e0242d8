"""The page: blind, complete, and whatever stands in a text stays text."""

import base64
import hashlib
import re
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.gold.options import GoldSheetOptions
from seal.engine.gold.sheet import gold_sheet
from seal.engine.visible import pieces
from tests.support.frames import random_texts, texts
from tests.support.gold import joined, make_gold, page_data
from tests.support.hostile import payloads
from tests.support.pages import parse

pytestmark = pytest.mark.usefixtures("fast_disk")


def sample_of(gold: Path) -> pl.DataFrame:
    return pl.read_parquet(gold / "part-00000.parquet")


def test_everything_drawn_is_on_it(tmp_path: Path) -> None:
    gold, sheet, taxonomy = make_gold(tmp_path, random_texts(60), 25)
    data, rows = page_data(sheet), sample_of(gold)
    assert [q["name"] for q in data["features"]] == [
        "human_is_rude", "last_response_is_long", "last_response_mood", "topics",
    ]  # fmt: skip
    shown = {
        (joined(p["conversation"]), *sorted(joined(t["response"]) for t in p["texts"])) for p in data["pairs"]
    }
    two = rows.group_by("row_id").agg(pl.col("prompt").first(), pl.col("response").sort())
    trimmed = {
        (p.strip(" \n"), *sorted(r.strip(" \n") for r in rs))
        for p, rs in two.select("prompt", "response").iter_rows()
    }
    assert len(data["pairs"]) == 25
    assert shown == trimmed
    page = sheet.read_bytes()
    found = gold_sheet(gold, sheet, GoldSheetOptions(taxonomy=taxonomy))
    assert (found.n_pairs, found.n_questions, found.sheet) == (25, 25 * 7, data["sheet"])
    assert sheet.read_bytes() == page
    assert found.n_bytes == len(page)


def test_it_is_blind(tmp_path: Path) -> None:
    """Left is the chosen one in half of the pairs: 200 coins, four standard deviations."""
    chosen_words = random_texts(200, twice=0)
    marked = chosen_words.with_columns(
        response=pl.col("response") + " " + pl.col("preference").cast(pl.String).str.slice(0, 1)
    )
    _, sheet, _ = make_gold(tmp_path, marked, 200, seed=5)
    page = sheet.read_text(encoding="utf-8")
    assert not re.search(r"row_id|preference|chosen_|rejected", page)
    assert "inclusion" not in page
    pairs = page_data(sheet)["pairs"]
    left = sum(joined(p["texts"][0]["response"]).endswith(" c") for p in pairs)
    assert abs(left - 100) < 4 * 200**0.5 / 2
    place = {t["id"]: (i, s) for i, p in enumerate(pairs) for s, t in enumerate(p["texts"])}
    assert sorted(place, key=place.__getitem__) != sorted(place)  # ids do not tell pairs by their order
    assert all(re.fullmatch("[0-9a-f]{20}", text) for text in place)


def test_pairs_come_in_no_order_of_the_source(tmp_path: Path) -> None:
    gold, sheet, _ = make_gold(tmp_path, random_texts(100, twice=0), 100)
    of = {r.strip(" \n"): i for i, r in sample_of(gold).select("row_id", "response").iter_rows()}
    order = [of[joined(p["texts"][0]["response"])] for p in page_data(sheet)["pairs"]]
    assert order != sorted(order)
    n_falling = sum(a > b for a, b in pairwise(order))
    assert 30 < n_falling < 70  # 49.5 of a random order, its standard deviation 2.9


def test_two_conversations_stand_on_their_own(tmp_path: Path) -> None:
    frame = texts(["one", "other", "same", "same"], ["a", "b", "c", "d"])
    _, sheet, taxonomy = make_gold(tmp_path, frame, 2)
    apart, same = sorted(page_data(sheet)["pairs"], key=lambda p: p["conversation"] is not None)
    assert apart["conversation"] is None
    assert {(joined(t["conversation"]), joined(t["response"])) for t in apart["texts"]} == {
        ("one", "a"),
        ("other", "b"),
    }
    assert joined(same["conversation"]) == "same"
    assert gold_sheet(tmp_path / "gold", sheet, GoldSheetOptions(taxonomy=taxonomy)).n_questions == 8 + 7


def test_the_policy_allows_this_script_and_this_style_alone(tmp_path: Path) -> None:
    _, sheet, _ = make_gold(tmp_path, random_texts(3), 3)
    page = parse(sheet.read_text(encoding="utf-8"))
    (policy,) = [m.attributes["content"] for m in page.find("meta") if "http-equiv" in m.attributes]
    data, script = page.find("script")
    assert data.attributes == {"type": "application/json", "id": "sheet"}
    assert script.attributes == {}
    (style,) = page.find("style")

    def hashed(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    assert policy == (
        f"default-src 'none'; script-src {hashed(script.text)}; style-src {hashed(style.text)}; "
        "base-uri 'none'; form-action 'none'"
    )
    for element in page.all():
        assert not {"style", "src"} & set(element.attributes)
        assert not [name for name in element.attributes if name.startswith("on")]
    assert [a.attributes["href"] for a in page.find("a")] == ["#pair"]
    for code in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "fetch(", "XMLHttp"):
        assert code not in script.text


def test_500_payloads_stay_data(tmp_path: Path) -> None:
    hostile = payloads()
    pages = {}
    for name, said in (("hostile", hostile), ("twin", ["word"] * 500)):
        frame = texts([said[i - i % 2] for i in range(500)], said)
        _, sheet, _ = make_gold(tmp_path / name, frame, 250)
        pages[name] = parse(sheet.read_text(encoding="utf-8"))
        (data,) = pages[name].find("script", id="sheet")
        assert not re.search("[<>&\u2028\u2029]", data.text)
    assert pages["hostile"].skeleton() == pages["twin"].skeleton()
    shown = {
        joined(t["response"])
        for p in page_data(tmp_path / "hostile" / "sheet.html")["pairs"]
        for t in p["texts"]
    }
    assert shown == {"".join(piece for _, piece in pieces(text.strip(" \n"))) for text in hostile}


def test_a_hidden_character_is_shown(tmp_path: Path) -> None:
    _, sheet, _ = make_gold(tmp_path, texts(["p", "p"], ["a\u202eb", "\x00"]), 1)
    (pair,) = page_data(sheet)["pairs"]
    assert sorted(map(str, (t["response"] for t in pair["texts"]))) == [
        "['a', ['U+202E'], 'b']",
        "[['U+0000']]",
    ]


def test_only_some_questions(tmp_path: Path) -> None:
    gold, sheet, taxonomy = make_gold(tmp_path, random_texts(5), 5)
    whole = page_data(sheet)["sheet"]
    options = GoldSheetOptions(taxonomy=taxonomy, features=("topics", "human_is_rude"))
    found = gold_sheet(gold, sheet, options)
    assert [q["name"] for q in page_data(sheet)["features"]] == ["human_is_rude", "topics"]
    assert found.sheet != whole
    assert found.n_questions == 5 * 3


def test_what_is_refused(tmp_path: Path) -> None:
    gold, sheet, taxonomy = make_gold(tmp_path, random_texts(5), 5)
    with pytest.raises(UsageError, match="did you mean 'topics'"):
        gold_sheet(gold, sheet, GoldSheetOptions(taxonomy=taxonomy, features=("topic",)))
    with pytest.raises(UsageError, match="no feature is named"):
        gold_sheet(gold, sheet, GoldSheetOptions(taxonomy=taxonomy, features=()))
    with pytest.raises(InputError, match="no sample of pairs"):
        gold_sheet(tmp_path, sheet)
    with pytest.raises(InputError, match="no sample of pairs"):
        gold_sheet(tmp_path / "texts.parquet", sheet)
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(ResumeError, match="choose another name"):
        gold_sheet(gold, tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text() == "mine"
