"""Scores and labels of other programs: CSV, missing columns, texts for a key; mistakes are one line."""

from pathlib import Path

import polars as pl
import pytest

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.given import as_frame, as_keyed
from seal.engine.frames.schema import LABELS, SCORES, TEXTS, Schema
from tests.support.frames import texts as texts_of

SCORED = ("reward",)
KEY, TEXT_FOR_KEY = "row_id,preference", "prompt,response"
TEXT = texts_of(["p", "p", "q", "q", "p", "p"], ["a", "b", "a", "c", "a", "d"])
"""Three pairs; the text (p, a) stands in two of them."""


def written(folder: Path, text: str, name: str = "mine.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_scores_of_a_csv_file_need_a_key_and_a_reward(tmp_path: Path) -> None:
    path = written(tmp_path, "row_id,preference,reward\n0,chosen,1.5\n0,rejected,-2\n")
    found = as_frame(path, SCORES, SCORED).collect()
    assert found.rows() == [(0, "chosen", "original", "mine", 1.5), (0, "rejected", "original", "mine", -2.0)]
    assert found.schema["reward"] == pl.Float64


def test_what_a_file_says_itself_stands(tmp_path: Path) -> None:
    path = written(tmp_path, "model,reward,preference,variant,row_id\nrm,1,chosen,rewritten,7\n")
    assert as_frame(path, SCORES, SCORED).collect().rows() == [(7, "chosen", "rewritten", "rm", 1.0)]


def test_labels_without_variant_and_labeler(tmp_path: Path) -> None:
    path = written(
        tmp_path, "row_id,preference,kind,tone,n\n0,chosen,true,calm,1.5\n0,rejected,False,,2\n", "ann.csv"
    )
    found = as_frame(path, LABELS).collect()
    assert found.rows() == [
        (0, "chosen", "original", "ann", True, "calm", 1.5),
        (0, "rejected", "original", "ann", False, None, 2.0),
    ]
    pl.read_csv(path).write_parquet(tmp_path / "ann.parquet")
    assert as_frame(tmp_path / "ann.parquet", LABELS).collect().equals(found)


def test_texts_beside_a_key_are_no_features(tmp_path: Path) -> None:
    path = written(tmp_path, "row_id,preference,prompt,response,kind\n0,chosen,p,a,true\n")
    assert as_frame(path, LABELS).collect_schema().names() == [*LABELS.types, "kind"]


def test_a_file_of_texts_is_no_labels_and_no_scores(tmp_path: Path) -> None:
    TEXT.write_parquet(tmp_path / "texts.parquet")
    with pytest.raises(InputError, match="no column 'labeler'"):
        as_keyed(tmp_path / "texts.parquet", LABELS, texts=TEXT.lazy())
    with pytest.raises(InputError, match="no column 'model', 'reward'"):
        as_keyed(tmp_path / "texts.parquet", SCORES, SCORED, texts=TEXT.lazy())


@pytest.mark.parametrize("kind", ["csv", "parquet", "memory"])
def test_rows_are_joined_by_their_texts(tmp_path: Path, kind: str) -> None:
    """(p, a) is doubled and stands in two pairs, (x, y) is of no text, (q, c) has no row."""
    rows = [
        ("p", "a", 1.0),
        ("p", "b", 2.0),
        ("q", "a", 3.0),
        ("p", "d", 4.0),
        ("x", "y", 5.0),
        ("p", "a", 1.0),
    ]
    mine = pl.DataFrame(rows, schema=["prompt", "response", "reward"], orient="row")
    if kind == "memory":
        given: object = mine.with_columns(model=pl.lit("mine"))
    else:
        given = file = tmp_path / f"mine.{kind}"
        mine.write_csv(file) if kind == "csv" else mine.write_parquet(file)
    frame, notes = as_keyed(given, SCORES, SCORED, texts=TEXT.lazy())
    found = frame.sort("row_id", "preference").collect()
    assert found.drop("variant", "model").rows() == [
        (0, "chosen", 1.0), (0, "rejected", 2.0), (1, "chosen", 3.0),
        (2, "chosen", 1.0), (2, "rejected", 4.0),
    ]  # fmt: skip
    assert set(found["model"]) == {"mine"}
    (note,) = notes
    assert note.endswith(
        "rows joined by their texts: 4 matched, 1 of no text that is here, 1 doubled and taken once"
    )


def test_texts_that_differ_in_a_space_are_others(tmp_path: Path) -> None:
    path = written(tmp_path, 'prompt,response,reward\np," a",1\np,b,2\n')
    frame, notes = as_keyed(path, SCORES, SCORED, texts=TEXT.lazy())
    assert frame.collect()["reward"].to_list() == [2.0]
    assert "1 matched, 1 of no text" in notes[0]


def test_a_key_is_taken_before_texts(tmp_path: Path) -> None:
    path = written(tmp_path, "row_id,preference,prompt,response,reward\n2,chosen,q,c,9\n")
    frame, notes = as_keyed(path, SCORES, SCORED, texts=TEXT.lazy())
    assert (frame.collect().rows(), notes) == ([(2, "chosen", "original", "mine", 9.0)], ())


@pytest.mark.parametrize(
    ("schema", "content", "said"),
    [
        (SCORES, f"{KEY},reward\n0,chosen,abc\n", "could not parse `abc` as dtype `f64` at column 'reward'"),
        (SCORES, f"{KEY},reward\n0.5,chosen,1\n", "could not parse `0.5` as dtype `i64` at column 'row_id'"),
        (SCORES, f"{KEY},reward\n0,best,1\n", "in column 'preference' for 1 out of 1 values"),
        (SCORES, f"{KEY}\n0,chosen\n", "no column 'variant', 'model', 'reward'; a SCORES frame has"),
        (SCORES, "row_id,reward\n0,1\n", "no column 'preference'; a SCORES frame has"),
        (SCORES, "prompt,reward\np,1\n", "no column 'row_id', 'preference'; a SCORES frame has"),
        (SCORES, f"{KEY},reward\n0,chosen,1,2\n", "found more fields than defined in 'Schema'"),
        (SCORES, "", "empty CSV"),
        (LABELS, f"{KEY}\n0,chosen\n", "no column 'variant', 'labeler'; a LABELS frame has"),
        (SCORES, f"{TEXT_FOR_KEY},reward\np,a,1\np,a,2\n", "2 rows say different things of the same prompt"),
        (SCORES, f"{TEXT_FOR_KEY},reward\np,z,1\n", "none of its 1 rows is of a text that is here"),
    ],
)  # fmt: skip
def test_mistakes_name_the_file_and_what_is_wrong(
    tmp_path: Path, schema: Schema, content: str, said: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError) as error:
        as_keyed(path, schema, SCORED if schema is SCORES else (), texts=TEXT.lazy())[0].collect()
    assert said in str(error.value)
    assert str(error.value).startswith(str(path))
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("mine.csv", "mine.parquet", "folder"):
        with pytest.raises(InputError, match=f"{name} is neither a Parquet file nor a folder of such"):
            as_keyed(tmp_path / name, SCORES, SCORED)


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    rows = pl.DataFrame({"row_id": [0, 0], "preference": ["chosen", "rejected"], "reward": [1.0, 2.0]})
    full = rows.with_columns(variant=pl.lit("original"), model=pl.lit("m"))
    for i in range(2):
        full.with_columns(row_id=pl.lit(i, pl.Int64)).write_parquet(tmp_path / f"part-0000{i}.parquet")
    assert as_keyed(tmp_path, SCORES, SCORED)[0].collect()["row_id"].to_list() == [0, 0, 1, 1]


def test_texts_for_a_key_need_the_texts(tmp_path: Path) -> None:
    path = written(tmp_path, "prompt,response,reward\np,a,1\n")
    with pytest.raises(UsageError, match="prompt and response in the place of row_id; give the texts also"):
        as_keyed(path, SCORES, SCORED)
    with pytest.raises(InputError, match="the texts have no column 'prompt'"):
        as_keyed(path, SCORES, SCORED, texts=TEXT.drop("prompt").lazy())


def test_other_frames_are_not_completed(tmp_path: Path) -> None:
    path = written(tmp_path, "row_id,preference,source,prompt,response\n0,chosen,s,p,a\n", "texts.csv")
    with pytest.raises(InputError, match="no column 'variant'; a TEXTS frame has"):
        as_frame(path, TEXTS)
