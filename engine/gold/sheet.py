"""A page on which people label pairs: one file, blind, nothing loaded from anywhere.

What stands in a text was written by someone else. It is JSON in an inert element, `<` and `>` escaped, and
the page's one script turns it into text nodes; the content-security policy allows that script and the one
style by their hashes, and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seal.engine.errors import ResumeError, SealError
from seal.engine.files import write_atomic
from seal.engine.frames.taxonomy import Feature, load_taxonomy
from seal.engine.gold.blind import FORMAT, ONCE, VERSION, chosen_features, open_sample, sheet_hash
from seal.engine.gold.options import GoldSheetOptions
from seal.engine.notebook import Shown
from seal.engine.visible import pieces, visible

_MADE_BY = b"Made by <code>seal gold sheet</code>"  # in the footer of every page, of every version
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}

Pieces = list[str | list[str]]
"""A text: runs as they stand, and hidden characters as lists of their code point."""


@dataclass(frozen=True)
class GoldSheetReport(Shown):
    """A page that was written.

    Attributes:
        n_pairs: pairs on it.
        n_questions: answers that a person gives in all.
        sheet: the hash that its answers carry.
        n_bytes: its size.
        path: the file.
    """

    n_pairs: int
    n_questions: int
    sheet: str
    n_bytes: int
    path: Path


def gold_sheet(gold: str | Path, out: str | Path, options: GoldSheetOptions | None = None) -> GoldSheetReport:
    """Write the page on which people label a sample of pairs.

    Which text was chosen is not on the page; sides and order of the pairs are shuffled by the sample's own
    hash. The same sample and questions give the same bytes.

    Args:
        gold: the folder that `gold_sample` wrote.
        out: the HTML file to write, whole or not at all.
        options: what is asked.

    Raises:
        InputError: `gold` is no sample.
        ResumeError: `out` is there, and no such page.
        UsageError: the taxonomy or a feature is wrong.
        SealError: the file cannot be written.
    """
    options, gold, path = options or GoldSheetOptions(), Path(gold), Path(out)
    features = chosen_features(load_taxonomy(options.taxonomy), options.features)
    texts, key = open_sample(gold)
    sheet = sheet_hash(key, features)
    pairs = list(_pairs(texts))
    page = render(sheet, features, pairs).encode()
    try:
        if path.exists() and not (path.is_file() and _MADE_BY in path.read_bytes()):
            raise ResumeError(f"{path} is there and no page of this program; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, page)
    except OSError as error:
        raise SealError(f"cannot write {path}: {error.strerror or error}") from None
    n_questions = sum(1 if _once(f, pair) else 2 for pair in pairs for f in features)
    return GoldSheetReport(len(pairs), n_questions, sheet, len(page), path)


def render(sheet: str, features: Sequence[Feature], pairs: Sequence[dict[str, Any]]) -> str:
    """The page as text.

    Args:
        sheet: the hash that answers carry.
        features: what is asked, in order.
        pairs: `id`, `conversation` (pieces; None where the two differ), and two `texts`, each with `id`,
            `response` and, where they differ, `conversation`.
    """
    environment = Environment(
        loader=PackageLoader("seal.engine.gold"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    script, style = (_template(name) for name in ("sheet.js", "sheet.css"))
    data = {
        "format": FORMAT, "version": VERSION, "sheet": sheet,
        "features": [_question(feature) for feature in features], "pairs": list(pairs),
    }  # fmt: skip
    return environment.get_template("sheet.html.j2").render(
        script=Markup(script), style=Markup(style), data=Markup(_inert(data)),  # escaped, or our own
        script_hash=_hash(script), style_hash=_hash(style), n_pairs=len(pairs), sheet=sheet,
    )  # fmt: skip


def _template(name: str) -> str:
    return "\n" + resources.files("seal.engine.gold").joinpath("templates", name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _inert(data: Any) -> str:
    """JSON in which nothing can end the element that it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _question(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name, "kind": feature.kind, "once": feature.scope == ONCE,
        "scope": feature.scope, "instruction": visible(feature.instruction),
        "values": list(feature.values), "max_items": feature.max_items,
    }  # fmt: skip


def _once(feature: Feature, pair: dict[str, Any]) -> bool:
    return feature.scope == ONCE and pair["conversation"] is not None


def _pairs(texts: pl.DataFrame) -> Iterator[dict[str, Any]]:
    for two in texts.partition_by("pair", maintain_order=True):
        left, right = two.iter_rows(named=True)
        common = left["prompt"] == right["prompt"]
        sides = [{"id": t["text"], "response": _shown(t["response"])} for t in (left, right)]
        if not common:
            for side, text in zip(sides, (left, right), strict=True):
                side["conversation"] = _shown(text["prompt"])
        conversation = _shown(left["prompt"]) if common else None
        yield {"id": left["pair"], "conversation": conversation, "texts": sides}


def _shown(text: str) -> Pieces:
    return [[piece] if hidden else piece for hidden, piece in pieces(text.strip(" \n"))]
