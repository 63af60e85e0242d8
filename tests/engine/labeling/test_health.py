"""What `label_health.csv` says of labels, against labels counted by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from seal.engine.frames.health import WHOLE, LabelHealth, read_health
from seal.engine.frames.schema import TEXT_KEY
from seal.engine.labeling import health as judging
from seal.engine.labeling.computed import ComputedLabeler
from seal.engine.labeling.contract import Labeled
from seal.engine.labeling.cross_check import Agreed, compared
from seal.engine.labeling.health import differs
from seal.engine.labeling.labeling import label
from seal.engine.labeling.options import LabelOptions
from seal.engine.progress import Meter
from seal.engine.verify import verify
from tests.support.frames import random_texts, real_texts, write

MOOD = pl.Enum(["positive", "neutral", "negative"])
GROUNDS = pl.List(pl.Enum(["age", "gender"]))


class Said:
    """A labeler that says what it is told to: label i of a column for text i."""

    name, identity = "said", {"kind": "test"}

    def __init__(self, **columns: tuple[pl.DataType, Sequence[Any]]) -> None:
        self._columns = columns

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        return {name: dtype for name, (dtype, _) in self._columns.items()}

    def label(self, texts: pl.DataFrame, meter: Meter) -> Labeled:
        meter.batch(texts.height, 0, 0)
        place = [2 * i + (p == "rejected") for i, p in texts.select("row_id", "preference").iter_rows()]
        found = {n: pl.Series([v[i] for i in place], dtype=t) for n, (t, v) in self._columns.items()}
        return Labeled(texts.select(*TEXT_KEY, **found))


def health_of(
    tmp_path: Path, part_pairs: int = 7, **columns: tuple[pl.DataType, Sequence[Any]]
) -> LabelHealth:
    n_pairs = len(next(iter(columns.values()))[1]) // 2
    path = write(random_texts(n_pairs), tmp_path / "texts.parquet")
    return label(path, [Said(**columns)], tmp_path / "l", LabelOptions(part_pairs=part_pairs)).health


def row(health: LabelHealth, feature: str) -> dict[str, Any]:
    return health.table.row(by_predicate=pl.col("feature") == feature, named=True)


def test_every_figure_is_the_one_counted_by_hand(tmp_path: Path) -> None:
    n = 40  # texts; text i is side i % 2 of pair i // 2
    found = health_of(
        tmp_path,
        flag=(pl.Boolean(), [i < 10 for i in range(n)]),
        p_flag=(pl.Float32(), [0.5 + 0.25 * (i % 2) for i in range(n)]),
        mood=(MOOD, ["negative"] * 8 + ["neutral"] * 2 + [None] * 4 + ["positive"] * 26),
        grounds=(GROUNDS, [["age", "gender"], ["gender", "age"]] * 6 + [["age"], []] * 14),
        n_words=(pl.Int64(), list(range(n))),
    )
    flag = row(found, "flag")
    assert (flag["kind"], flag["n"], flag["null_share"]) == ("boolean", 40, 0.0)
    assert (flag["most"], flag["most_share"]) == ("false", 0.75)
    assert json.loads(flag["shares"]) == {"false": 0.75, "true": 0.25}
    assert flag["mean_probability"] == 0.625
    assert flag["same_in_pair"] == 1.0  # the tenth text ends a pair
    mood = row(found, "mood")
    assert (mood["n"], mood["null_share"], mood["same_in_pair"]) == (36, 0.1, 1.0)
    assert json.loads(mood["shares"]) == {
        "negative": round(8 / 36, 6), "neutral": round(2 / 36, 6), "positive": round(26 / 36, 6),
    }  # fmt: skip
    grounds = row(found, "grounds")
    assert json.loads(grounds["shares"]) == {"(empty)": 0.35, "age": 0.65, "gender": 0.3}
    assert grounds["same_in_pair"] == 6 / 20  # as sets
    words = row(found, "n_words")
    assert (words["kind"], words["mean"], words["most"], words["same_in_pair"]) == ("number", 19.5, None, 0.0)
    whole = row(found, WHOLE)
    assert (whole["n"], whole["null_share"], whole["same_in_pair"]) == (40, 0.0, 0.0)
    assert json.loads(whole["shares"]) == {"all true": 0.25, "all false": 0.75}
    assert set(found.table["verdict"]) == {"ok"}
    assert "p_flag" not in found.table["feature"].to_list()


def test_constants_and_copies_are_named(tmp_path: Path) -> None:
    n = 200
    found = health_of(
        tmp_path,
        coin=(pl.Boolean(), [i % 3 == 0 for i in range(n)]),
        copy=(pl.Boolean(), [i % 3 == 0 for i in range(n)]),
        reverse=(pl.Boolean(), [i % 3 != 0 for i in range(n)]),
        always=(pl.Boolean(), [True] * n),
        nearly=(pl.Boolean(), [i == 7 for i in range(n)]),
        varied=(pl.Boolean(), [i % 25 == 0 for i in range(n)]),
        mood=(MOOD, ["neutral"] * n),
        grounds=(GROUNDS, [[]] * n),
        named=(GROUNDS, [["age"], ["gender"]] * (n // 2)),
        zero=(pl.Float64(), [0.0] * n),
        nothing=(pl.Boolean(), [None] * n),
    )
    reasons = dict(found.table.select("feature", "reason").iter_rows())
    assert reasons.pop(WHOLE) is None
    assert reasons == {
        "coin": None, "copy": "the same as coin on every text",
        "reverse": "the opposite of coin on every text",
        "always": "true on every text", "nearly": "false on 99.5% of the texts", "varied": None,
        "mood": "neutral on every text", "grounds": "(empty) on every text", "named": None,
        "zero": "0 on every text", "nothing": "no text has a label of it",
    }  # fmt: skip
    assert found.n_doubtful == sum(reason is not None for reason in reasons.values())


def test_few_texts_are_not_judged(tmp_path: Path) -> None:
    found = health_of(tmp_path, always=(pl.Boolean(), [True] * 18))
    assert dict(found.warnings) == {}
    assert row(found, "always")["verdict"] == "ok"
    assert row(found, WHOLE)["reason"] == "fewer than 20 texts: not judged"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ([[True] * 60] * 3, "says yes to nearly everything: 100% of its answers about booleans are true"),
        ([[False] * 60, [False] * 60, [i % 2 == 0 for i in range(60)]], "2 of 3 features have one value"),
        ([[i % 7 == 0 for i in range(60)]] * 3, "all 3 booleans have the same value on 100% of the texts"),
        (
            [[i % 12 < 6 for i in range(60)]] * 2,
            "both texts of a pair have the same labels in 100% of the pairs",
        ),
    ],
)
def test_labels_that_say_nothing_are_warned_of_as_a_whole(
    tmp_path: Path, columns: list[list[bool]], said: str
) -> None:
    found = health_of(tmp_path, **{f"f{i}": (pl.Boolean(), column) for i, column in enumerate(columns)})
    assert said in found.warnings["said"]


def test_computed_numbers_of_real_texts_are_in_order(tmp_path: Path) -> None:
    path = write(real_texts().head(600), tmp_path / "texts.parquet")
    found = label(path, [ComputedLabeler()], tmp_path / "l").health
    assert dict(found.warnings) == {}
    assert row(found, "n_words")["mean"] > 10


def test_parts_of_any_size_give_the_same_judgement(tmp_path: Path) -> None:
    tables = []
    for part_pairs in (3, 50):
        folder = tmp_path / str(part_pairs)
        folder.mkdir()
        coins = [(i * 7919) % 5 < 2 for i in range(100)]
        tables.append(health_of(folder, part_pairs, coin=(pl.Boolean(), coins)).table)
    assert tables[0].equals(tables[1])


def test_the_file_is_named_by_the_log_and_held_by_verify(tmp_path: Path) -> None:
    found = health_of(tmp_path, coin=(pl.Boolean(), [i % 3 == 0 for i in range(60)]))
    file = tmp_path / "l/label_health.csv"
    again = read_health(tmp_path / "l")
    assert again is not None
    assert again.table.equals(found.table)
    assert verify(tmp_path / "l").changed == []
    before = file.read_bytes()
    file.write_bytes(before.replace(b"boolean", b"b00lean"))
    assert verify(tmp_path / "l").changed == ["label_health.csv"]
    file.unlink()
    health_of(tmp_path, coin=(pl.Boolean(), [i % 3 == 0 for i in range(60)]))  # made again, labels kept
    assert file.read_bytes() == before
    assert verify(tmp_path / "l").changed == []


def test_values_that_a_spreadsheet_would_run_are_neutralised(tmp_path: Path) -> None:
    odd = pl.Enum(["=1+1", "b"])
    health_of(tmp_path, odd=(odd, ["=1+1"] * 40))
    assert "'=1+1" in (tmp_path / "l/label_health.csv").read_text()


def labels(**columns: Any) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    key = {"row_id": list(range(n)), "preference": ["chosen"] * n, "variant": ["original"] * n}
    return pl.DataFrame(key | columns)


def test_kappa_is_cohens() -> None:
    """50 texts, 20 yes by both, 15 no by both, 5 and 10 split: agreement 0.7, chance 0.5, kappa 0.4."""
    a = labels(x=[True] * 25 + [False] * 25)
    b = labels(x=[True] * 20 + [False] * 5 + [True] * 10 + [False] * 15)
    assert compared(a, b, ["x"]) == {"x": Agreed(50, 0.7, pytest.approx(0.4, abs=1e-12))}


def test_what_is_missing_is_left_out_and_lists_are_sets() -> None:
    a = labels(x=[True, None, True], y=[["p", "q"], [], ["p"]])
    b = labels(x=[True, True, True], y=[["q", "p"], [], ["q"]])
    found = compared(a, b, ["x", "y"])
    assert found["x"] == Agreed(2, 1.0, None)  # both always say one and the same
    assert (found["y"].n, found["y"].agreement) == (3, 2 / 3)
    assert found["y"].kappa == pytest.approx((2 / 3 - 2 / 9) / (1 - 2 / 9), abs=1e-12)
    assert compared(a.head(1), b.tail(1), ["x"]) == {}


@pytest.mark.parametrize(
    ("agreed", "unlike"),
    [
        (Agreed(40, 0.5, 0.0), True), (Agreed(40, 0.0, None), True), (Agreed(40, 0.79, 0.39), True),
        (Agreed(40, 0.79, 0.41), False), (Agreed(40, 0.9, 0.0), False), (Agreed(19, 0.0, 0.0), False),
    ],
)  # fmt: skip
def test_rare_labels_that_differ_once_are_no_disagreement(agreed: Agreed, unlike: bool) -> None:
    assert differs(agreed) is unlike


def test_thresholds_are_those_the_guide_states() -> None:
    text = (Path(__file__).parents[3] / "docs/guide.md").read_text(encoding="utf-8")
    for said in (
        f"{judging.NEAR:.0%}",
        f"{judging.FEW} texts",
        f"{judging.LOW_KAPPA:g}",
        f"{judging.SAYS_YES:.0%}",
    ):
        assert said in text
