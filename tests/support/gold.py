"""Samples of pairs, their page as data, and answers as the page would export them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.gold.options import GoldSampleOptions, GoldSheetOptions
from seal.engine.gold.sampling import gold_sample
from seal.engine.gold.sheet import gold_sheet
from tests.support.pages import parse

TAXONOMY = """
[[feature]]
name = "human_is_rude"
kind = "boolean"
scope = "human turns"
instruction = "Is the human rude?"

[[feature]]
name = "last_response_is_long"
kind = "boolean"
scope = "last response"
instruction = "Is the last response long?"

[[feature]]
name = "last_response_mood"
kind = "enum"
values = ["calm", "excited", "sad"]
scope = "last response"
instruction = "Which mood?"

[[feature]]
name = "topics"
kind = "list"
values = ["food", "work", "music"]
max_items = 2
scope = "whole dialogue"
instruction = "What is it about?"
"""

Answer = Callable[[str, dict[str, Any]], Any]
"""The text of a response and a question of the page -> the answer."""


def by_rule(response: str, question: dict[str, Any]) -> Any:
    """Answers that follow from the response alone, so that they can be known without the page."""
    n = len(response)
    if question["kind"] == "boolean":
        return n % 2 == 0 if not question["once"] else True
    if question["kind"] == "enum":
        return question["values"][n % len(question["values"])]
    return [v for i, v in enumerate(question["values"]) if n >> i & 1][: question["max_items"]]


def make_gold(folder: Path, texts: pl.DataFrame, n_pairs: int, **options: Any) -> tuple[Path, Path, Path]:
    """A sample of some texts, its page, and the taxonomy of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = options.pop("labels", None)
    texts.write_parquet(folder / "texts.parquet")
    taxonomy = folder / "taxonomy.toml"
    taxonomy.write_text(TAXONOMY, encoding="utf-8")
    sample = GoldSampleOptions(pairs=n_pairs, **options)
    gold_sample(folder / "texts.parquet", folder / "gold", sample, labels=labels)
    gold_sheet(folder / "gold", folder / "sheet.html", GoldSheetOptions(taxonomy=taxonomy))
    return folder / "gold", folder / "sheet.html", taxonomy


def page_data(sheet: Path) -> dict[str, Any]:
    """What the page holds."""
    (data,) = parse(sheet.read_text(encoding="utf-8")).find("script", id="sheet")
    found: dict[str, Any] = json.loads(data.text)
    return found


def joined(pieces: list[Any]) -> str:
    """A text of the page as one string, hidden characters as their code point."""
    return "".join(piece[0] if isinstance(piece, list) else piece for piece in pieces)


def exported(
    data: dict[str, Any], labeler: str = "ann", answer: Answer = by_rule, n_pairs: int | None = None
) -> dict[str, Any]:
    """The file that the page would export once its first pairs are labeled."""
    texts = [
        {"id": t["id"], "answers": {q["name"]: answer(joined(t["response"]), q) for q in data["features"]}}
        for pair in data["pairs"][:n_pairs] for t in pair["texts"]
    ]  # fmt: skip
    names = [q["name"] for q in data["features"]]
    head = {name: data[name] for name in ("format", "version", "sheet")}
    return {**head, "labeler": labeler, "features": names, "half_labeled": [], "texts": texts}


def saved(document: Any, path: Path) -> Path:
    """Write JSON."""
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
