"""Variants: two that lie in files as they always did, and the open ones beside them."""

from pathlib import Path

import polars as pl
import pytest

from seal.engine.errors import InputError
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.schema import FAILURES, TEXTS, USUAL_VARIANT, check, readable, scan
from seal.engine.frames.sink import Sink
from tests.support.frames import random_texts

OPEN = ("perturb:line_wrapping", "toward:last_response_sentiment=positive", "back:topic=a b=c", "placebo")
NONE = (
    "Original",
    "perturb:",
    "perturb:Line",
    "perturbed",
    "toward:f",
    "toward:f=",
    "back:=v",
    "",
    "placebos",
)


def texts(variant, start=0):
    frame = random_texts(3).with_columns(pl.col("row_id") + start)
    return frame.with_columns(variant=pl.lit(variant))


def committed(folder, *frames):
    with Sink(folder, Manifest("import")) as sink:
        for frame in frames:
            failed = frame.head(1).with_columns(stage=pl.lit("s"), error=pl.lit("e"), detail=pl.lit("d"))
            sink.commit(frame, failed.select(*FAILURES.types), last_row_id=int(frame["row_id"].max()))
        sink.finish()
    return folder


@pytest.mark.parametrize("variant", [*OPEN, "original", "rewritten"])
def test_a_variant_of_the_grammar_is_read_from_text(variant):
    got = check(texts(variant).lazy(), TEXTS, origin="o").collect()
    assert set(got["variant"]) == {variant}


@pytest.mark.parametrize("variant", NONE)
def test_any_other_is_refused_by_its_value(variant):
    lazy = check(texts(variant).lazy(), TEXTS, origin="o")
    with pytest.raises(InputError, match="'variant'") as caught, readable(Path("o")):
        lazy.collect()
    assert f'["{variant}"]' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_two_lie_in_files_as_before_there_were_others(tmp_path):
    folder = committed(tmp_path / "t", texts("original"), texts("rewritten", 5))
    for name in ("part-00000.parquet", "part-00001.parquet", "failures.parquet"):
        assert pl.read_parquet_schema(folder / name)["variant"] == USUAL_VARIANT


def test_parts_of_both_kinds_are_one_frame_in_order(tmp_path):
    frames = [texts("original"), texts("perturb:emoji_added", 5), texts("rewritten", 9)]
    folder = committed(tmp_path / "t", *frames)
    assert pl.read_parquet_schema(folder / "part-00001.parquet")["variant"] == pl.String()
    got = scan(folder, TEXTS).collect()
    assert got.equals(pl.concat(frames).select(got.columns))
    failed = pl.read_parquet(folder / "failures.parquet")
    assert failed["variant"].to_list() == ["original", "perturb:emoji_added", "rewritten"]


def test_an_enum_or_category_of_other_programs_is_read(tmp_path):
    frame = texts("placebo").cast({"variant": pl.Enum(["x", "placebo"])})
    assert set(check(frame.lazy(), TEXTS, origin="o").collect()["variant"]) == {"placebo"}
    frame = texts("original").cast({"variant": pl.Categorical})
    assert set(check(frame.lazy(), TEXTS, origin="o").collect()["variant"]) == {"original"}
