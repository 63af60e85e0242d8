"""Scores and labels of other programs in `seal compare` and `seal analyze`: the same numbers as with keys."""

import json
from pathlib import Path

import polars as pl
import pytest

from benchmarks.statistics_worlds import world
from seal.stats.report.resisting_pairs import resisting_pairs
from tests.support.command_line import Seal

KEY = ("row_id", "preference")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of 300 pairs as frames, and the same as others write it; no two texts are alike."""
    root, w = tmp_path_factory.mktemp("elsewhere"), world(300, seed=9)
    texts = w.texts.with_columns(response=pl.format("{} {} {}", "response", "row_id", "preference"))
    scores = w.scores.with_columns(pl.col("reward").cast(pl.Float64))
    for name, frame in (("texts", texts), ("scores", scores), ("labels", w.labels)):
        frame.write_parquet(root / f"{name}.parquet")
    said = texts.select(*KEY, "prompt", "response")
    for model in ("pre", "post"):
        mine = scores.filter(model=model).select(*KEY, "reward")
        mine.write_csv(root / f"{model}.csv")
        mine.join(said, on=KEY).drop(KEY).write_parquet(root / f"by-text-{model}.parquet")
    both = scores.join(said, on=KEY).select("prompt", "response", "model", "reward")
    both.write_csv(root / "by-text.csv")
    w.labels.drop("variant", "labeler").write_csv(root / "truth.csv")
    w.labels.join(said, on=KEY).drop(*KEY, "variant", "labeler").write_csv(root / "truth-by-text.csv")
    return root


def compared(seal: Seal, *words: object) -> tuple[object, str]:
    code, out, err = seal("compare", *words, "--json")
    assert code == 0, err
    return json.loads(out), err


def test_compare_takes_csv_and_texts_for_a_key(seal: Seal, folder: Path) -> None:
    texts = ("--texts", folder / "texts.parquet")
    wanted, _ = compared(seal, folder / "scores.parquet", *texts)
    assert compared(seal, folder / "pre.csv", folder / "post.csv", *texts) == (wanted, "")
    assert compared(seal, folder / "by-text.csv", *texts)[0] == wanted
    code, _, err = seal("compare", folder / "by-text.csv", *texts)
    assert code == 0
    assert (
        "by-text.csv: rows joined by their texts: 1200 matched, 0 of no text that is here, 0 doubled" in err
    )


def test_analyze_finds_the_same(seal: Seal, folder: Path, tmp_path: Path) -> None:
    models = ("--pre", "pre", "--post", "post", "--texts", folder / "texts.parquet")
    keyed = ("--scores", folder / "scores.parquet", "--labels", folder / "labels.parquet")
    assert seal("analyze", *models, *keyed, "--out", tmp_path / "keyed")[0] == 0
    others = (
        "--scores",
        folder / "by-text.csv",
        "--labels",
        folder / "truth-by-text.csv",
        "--labeler",
        "truth-by-text",
    )
    assert seal("analyze", *models, *others, "--out", tmp_path / "others")[0] == 0
    found, wanted = (json.loads((tmp_path / n / "results.json").read_text()) for n in ("others", "keyed"))
    for name in ("alignment", "calibration", "regimes", "imprint", "human"):
        assert found["tables"][name] == wanted["tables"][name], name
    assert found["joins"] == wanted["joins"]
    assert sum("joined by their texts" in note for note in found["notes"]) == 2
    assert seal("verify", tmp_path / "others")[0] == 0


def test_the_report_opens_what_was_analyzed(folder: Path) -> None:
    texts = folder / "texts.parquet"
    first, second = (
        resisting_pairs(scores, texts, [labels], pre="pre", post="post", labeler=None, n_pairs=5)
        for scores, labels in (
            ([folder / "scores.parquet"], folder / "labels.parquet"),
            ([folder / "by-text.csv"], folder / "truth-by-text.csv"),
        )
    )
    assert first == second
    assert len(first) == 5


def test_labels_are_named_by_their_file(seal: Seal, folder: Path, tmp_path: Path) -> None:
    words = (
        "--pre",
        "pre",
        "--post",
        "post",
        "--scores",
        folder / "pre.csv",
        "--scores",
        folder / "post.csv",
    )
    code, _, err = seal(
        "analyze", *words, "--labels", folder / "truth.csv", "--labeler", "me", "--out", tmp_path
    )
    assert code == 2
    assert "no labeler 'me'; there are: truth" in err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["{folder}/by-text.csv"], 2, "has prompt and response in the place of row_id; give the texts also"),
        (
            ["{folder}/pre.csv", "{folder}/pre.csv"],
            1,
            "300 pairs have a text scored twice by one model, the first row_id 0",
        ),
        (["{folder}/truth.csv"], 1, "no column 'variant', 'model', 'reward'; a SCORES frame has"),
        (["{folder}/nan.csv"], 0, "1 rewards are null, NaN or infinite: row_id 0 of nan (chosen)"),
    ],
)
def test_mistakes_are_one_line(seal: Seal, folder: Path, words: list[str], code: int, text: str) -> None:
    (folder / "nan.csv").write_text(
        "row_id,preference,reward\n0,chosen,NaN\n0,rejected,1\n1,chosen,1\n1,rejected,0\n"
    )
    got, _, err = seal("compare", *(w.format(folder=folder) for w in words))
    assert got == code
    assert text in err
    assert "Traceback" not in err
