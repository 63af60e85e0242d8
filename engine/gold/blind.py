"""What a page may say of a pair without saying which text was chosen.

A text's name on the page is a keyed hash of its row_id and preference; the key is the hash of the sample's
own bytes, which is not on the page. The order of these names is the coin: of a pair the text with the lower
name stands left, and the pair with the lowest name comes first, so that whoever stops halfway has labeled a
random half.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from seal.engine.errors import InputError, UsageError, nearest
from seal.engine.frames.folder import StageFolder, content_hash
from seal.engine.frames.schema import TEXTS, readable, scan
from seal.engine.frames.taxonomy import Feature, Taxonomy
from seal.engine.gold.population import DRAWN_WITH, STRATUM

FORMAT, VERSION = "seal-gold-answers", 1
ONCE = "human turns"
"""The scope that is asked about once a pair where both texts answer the same conversation."""
_LETTERS = 20


def open_sample(gold: Path) -> tuple[pl.DataFrame, str]:
    """The texts that `gold_sample` drew, in the page's order, and the key of their names.

    Returns:
        Key, prompt, response, DRAWN_WITH and STRATUM, `pair` and `text` (names on the page), sorted by both;
        and the key.

    Raises:
        InputError: it is no sample.
    """
    stage = StageFolder.open(gold) if gold.is_dir() else None
    if stage is None or stage.stage != "gold sample":
        raise InputError(f"{gold} is no sample of pairs; seal gold sample writes one")
    with readable(gold):
        rows = scan(gold, TEXTS).collect()
    key = content_hash(gold)
    pairs = [named(key, row_id) for row_id in rows["row_id"]]
    names = [named(key, *which) for which in rows.select("row_id", "preference").iter_rows()]
    found = rows.with_columns(pl.Series("pair", pairs), pl.Series("text", names)).sort("pair", "text")
    return found.select(*TEXTS.types, DRAWN_WITH, STRATUM, "pair", "text"), key


def named(key: str, *what: object) -> str:
    """20 hex digits for a pair or a text; without the key they say nothing."""
    said = " ".join(map(str, what)).encode()
    return hmac.new(key.encode(), said, hashlib.sha256).hexdigest()[:_LETTERS]


def chosen_features(taxonomy: Taxonomy, names: Sequence[str] | None) -> tuple[Feature, ...]:
    """The features of these names in the taxonomy's order; all of them for None.

    Raises:
        UsageError: a name is none of the taxonomy's, or there is none.
    """
    for name in names or ():
        if name not in taxonomy.names:
            raise UsageError(f"no feature {name!r} in {taxonomy.origin}; {nearest(name, taxonomy.names)}")
    if names is not None and not names:
        raise UsageError(f"no feature is named; there are: {', '.join(taxonomy.names)}")
    return tuple(f for f in taxonomy.features if names is None or f.name in names)


def sheet_hash(key: str, features: Sequence[Feature]) -> str:
    """What a page and its answers share: the hash of the sample and of every question."""
    said = json.dumps([FORMAT, VERSION, named(key, "sheet"), [asdict(f) for f in features]])
    return hashlib.sha256(said.encode()).hexdigest()
