"""Scores and labels that other programs wrote: as CSV, with fewer columns, with texts for a key."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import LABELS, ORIGINAL, PREFERENCE, SCORES, TEXT_KEY, TEXTS, Schema, readable

CSV = ".csv"
BY_TEXT = ("prompt", "response")
"""What stands for `row_id` and `preference` where a frame has neither."""
_CATEGORY = pl.Categorical()
_READ: dict[str, pl.DataType] = {
    "row_id": pl.Int64(), "reward": pl.Float64(),
    **dict.fromkeys(("preference", "variant", "model", "labeler", "source", *BY_TEXT), pl.String()),
}  # fmt: skip
_HELD: dict[str, pl.DataType] = {
    "preference": PREFERENCE, "variant": _CATEGORY, "model": _CATEGORY, "labeler": _CATEGORY,
}  # fmt: skip
_HASHES = ("hash_a", "hash_b")  # 128 bits of a prompt and response


@dataclass(frozen=True)
class ByText:
    """Rows that found their keys by their texts.

    Attributes:
        frame: the rows, with `row_id`, `preference` and `variant` of every text that is theirs; in memory.
        n_matched, n_unmatched: rows with a text of theirs, and without.
        n_doubled: rows that say again what another has said of the same text; counted and left out.
    """

    frame: pl.LazyFrame
    n_matched: int
    n_unmatched: int
    n_doubled: int

    def note(self, origin: str) -> str:
        """What was counted, in words."""
        return (
            f"{origin}: rows joined by their texts: {self.n_matched} matched, {self.n_unmatched} of no text "
            f"that is here, {self.n_doubled} doubled and taken once"
        )


def read_csv(path: Path) -> pl.LazyFrame:
    """A CSV file with a header row, held in memory; `true` and `false` are booleans.

    Raises:
        InputError: it cannot be read, or a value does not fit its column.
    """
    with readable(path):
        lazy = pl.scan_csv(path, infer_schema_length=None)
        have = lazy.collect_schema()
        known = {name: kind for name, kind in _READ.items() if name in have}
        lazy = pl.scan_csv(path, infer_schema_length=None, schema_overrides=known)
        held = [pl.col(name).cast(kind) for name, kind in _HELD.items() if name in have]
        return lazy.with_columns(held).collect(engine="streaming").lazy()


def completed(frame: pl.LazyFrame, schema: Schema, name: str) -> pl.LazyFrame:
    """SCORES or LABELS with what goes without saying: variant `original`, and one model or labeler.

    Texts that stand beside a key are left out of LABELS: they are no features. What holds neither rewards nor
    features is left as it is.

    Args:
        frame: the content of a file.
        schema: what it is to be.
        name: of the model or labeler where it has none.
    """
    have = set(frame.collect_schema())
    features = {c for c in have - {*LABELS.types, *TEXTS.types} if not c.startswith("meta_")}
    if schema not in (SCORES, LABELS) or not ({"reward"} & have if schema == SCORES else features):
        return frame
    said = {"variant": ORIGINAL, schema.key[-1]: name}
    full = frame.with_columns(**{c: pl.lit(v) for c, v in said.items() if c not in have})
    spare = BY_TEXT if schema == LABELS and {"row_id", "preference", *BY_TEXT} <= have else ()
    return full.drop(spare)


def has_texts_for_a_key(frame: pl.LazyFrame) -> bool:
    """Whether rows are named by their texts."""
    have = frame.collect_schema()
    return "row_id" not in have and "preference" not in have and set(BY_TEXT) <= set(have)


def join_by_text(frame: pl.LazyFrame, texts: pl.LazyFrame | None, schema: Schema, origin: str) -> ByText:
    """Give rows the keys of the texts that they are of: prompt and response are the same to the character.

    A text that stands in several pairs takes its row in each. Texts are compared by 128 bits of a hash, so
    that none is held in memory; the other columns of the rows are.

    Args:
        frame: with `prompt`, `response` and what is said of them.
        texts: TEXTS.
        schema: of the rows, SCORES or LABELS.
        origin: for errors.

    Raises:
        UsageError: there are no texts.
        InputError: two rows say different things of one text, or no row has a text among these.
    """
    if texts is None:
        raise UsageError(f"{origin} has prompt and response in the place of row_id; give the texts also")
    if "prompt" not in texts.collect_schema():
        raise InputError(f"{origin} is joined by prompt and response, and the texts have no column 'prompt'")
    rows = (
        frame.drop("variant", strict=False).with_columns(_hashes()).drop(BY_TEXT).collect(engine="streaming")
    )
    once = rows.unique(maintain_order=True)
    key = [*_HASHES, schema.key[-1]]
    if (twice := once.filter(once.select(key).is_duplicated())).height:
        raise InputError(
            f"{origin}: {twice.height} rows say different things of the same prompt and response of "
            f"{twice[key[-1]][0]!r}; every text must stand once"
        )
    where = texts.select(*TEXT_KEY, *_hashes()).join(
        once.lazy().select(_HASHES).unique(), on=_HASHES, how="semi"
    )
    found = where.collect(engine="streaming")
    joined = found.join(once, on=_HASHES, how="inner").drop(_HASHES)
    n_matched = once.join(found, on=_HASHES, how="semi").height
    if once.height and not n_matched:
        raise InputError(
            f"{origin}: none of its {once.height} rows is of a text that is here; prompt and response must "
            "be the same to the character"
        )
    return ByText(joined.lazy(), n_matched, once.height - n_matched, rows.height - once.height)


def _hashes() -> list[pl.Expr]:
    text = pl.struct(pl.col(name).cast(pl.String) for name in BY_TEXT)
    return [text.hash(seed).alias(name) for seed, name in zip((1, 2), _HASHES, strict=True)]
