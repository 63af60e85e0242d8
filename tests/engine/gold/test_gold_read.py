"""`seal.gold.read`: answers become labels as they stand, or failures with their reason."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.frames.schema import FAILURES, LABELS, as_stored, check
from seal.engine.frames.taxonomy import load_taxonomy
from seal.engine.gold.options import GoldReadOptions
from seal.engine.gold.reading import GoldReadReport, gold_read
from seal.engine.verify import verify
from tests.support.frames import random_texts, texts
from tests.support.gold import by_rule, exported, make_gold, page_data, saved
from tests.support.hostile import payloads

pytestmark = pytest.mark.usefixtures("fast_disk")


class World:
    """A sample of 20 pairs of 60 and its page."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.texts = options.pop("texts", random_texts(60))
        self.gold, sheet, self.taxonomy = make_gold(folder, self.texts, 20, **options)
        self.data = page_data(sheet)
        self.n = 0

    def file(self, document: Any) -> Path:
        self.n += 1
        return saved(document, self.folder / f"answers-{self.n}.json")

    def read(self, *documents: Any, **options: Any) -> tuple[GoldReadReport, pl.DataFrame, pl.DataFrame]:
        files = [self.file(document) for document in documents]
        out = self.folder / f"labels-{self.n}"
        found = gold_read(files, self.gold, out, GoldReadOptions(taxonomy=self.taxonomy, **options))
        assert verify(out).changed == []
        failed = pl.read_parquet(out / "failures.parquet")
        assert failed.schema == as_stored(FAILURES.empty()).schema
        return found, pl.read_parquet(out / "part-00000.parquet"), failed


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_all_of_it(world: World) -> None:
    found, rows, failed = world.read(exported(world.data))
    assert found.n_pairs == {"gold": 20}
    assert (found.n_rows, found.n_failures, found.notes) == (40, 0, ())
    assert failed.is_empty()
    check(rows.lazy(), LABELS, origin="labels")
    load_taxonomy(world.taxonomy).check_labels(
        rows.drop("inclusion_probability").lazy(), origin="labels"
    ).collect()
    assert rows["inclusion_probability"].dtype == pl.Float64
    assert rows["inclusion_probability"].unique().to_list() == [20 / 60]
    assert rows["labeler"].unique().to_list() == ["gold"]
    typed = rows.cast({"variant": world.texts.schema["variant"]})
    said = typed.join(world.texts, on=["row_id", "preference", "variant"])
    for row in said.iter_rows(named=True):
        for question in world.data["features"]:
            assert row[question["name"]] == by_rule(row["response"].strip(" \n"), question), question["name"]
    assert rows.select(LABELS.key).equals(rows.select(LABELS.key).sort(LABELS.key))


def test_fewer_than_drawn(tmp_path: Path) -> None:
    """Two strata: the probability of the draw times the share labeled, each in its own stratum."""
    frame = random_texts(60).with_columns(meta_kind=(pl.col("row_id") % 3 == 0).cast(pl.String))
    world = World(tmp_path, texts=frame, strata="meta_kind")
    found, rows, _ = world.read(exported(world.data, n_pairs=9))
    drawn = pl.read_parquet(world.gold / "part-00000.parquet")
    n_drawn = dict(drawn.group_by("meta_stratum").agg(pl.len() // 2).iter_rows())
    both = rows.join(drawn, on=["row_id", "preference"])
    n_labeled = dict(both.group_by("meta_stratum").agg(pl.len() // 2).iter_rows())
    assert sum(n_labeled.values()) == 9
    sizes = {"false": 40, "true": 20}
    for stratum, chance in both.select("meta_stratum", "inclusion_probability").iter_rows():
        assert chance == pytest.approx(n_labeled[stratum] / sizes[stratum], rel=1e-15)
        assert n_drawn[stratum] < sizes[stratum]
    (note,) = found.notes
    assert "missing at random" in note
    assert f"{n_labeled['true']} of {n_drawn['true']} pairs (true)" in note


def test_several_people(world: World) -> None:
    ann, bob = exported(world.data, "ann"), exported(world.data, "bob", lambda r, q: _other(r, q), n_pairs=5)
    found, rows, _ = world.read(ann, bob)
    assert found.n_pairs == {"ann": 20, "bob": 5}
    assert [note.split()[0] for note in found.notes] == ["bob"]
    chances = dict(rows.group_by("labeler").agg(pl.col("inclusion_probability").unique()).iter_rows())
    assert chances == {"ann": [20 / 60], "bob": [pytest.approx(5 / 60)]}
    assert rows.group_by(LABELS.key).len()["len"].max() == 1


def _other(response: str, question: dict[str, Any]) -> Any:
    return not by_rule(response, question) if question["kind"] == "boolean" else by_rule(response, question)


def test_two_files_of_one_name_are_joined(world: World) -> None:
    whole = exported(world.data)
    early, late = {**whole, "texts": whole["texts"][:12]}, {**whole, "texts": whole["texts"][8:30]}
    early["half_labeled"] = [world.data["pairs"][10]["id"], world.data["pairs"][19]["id"]]
    found, rows, failed = world.read(early, late)
    assert found.n_pairs == {"gold": 15}
    assert found.errors == {"half_labeled": 2}  # the pair that the second file has not finished either
    assert rows.height == 30
    assert failed["row_id"].n_unique() == 1


def test_one_name_for_all(world: World) -> None:
    ann, bob = exported(world.data, "ann"), exported(world.data, "bob")
    ann["texts"], bob["texts"] = ann["texts"][:16], bob["texts"][16:]
    found, _, _ = world.read(ann, bob, labeler="people")
    assert found.n_pairs == {"people": 20}
    assert found.notes == ()
    bob["texts"] = exported(world.data, "bob", _other)["texts"][14:]
    found, _, failed = world.read(ann, bob, labeler="people")
    assert found.errors == {"contradiction": 2}  # of the pair that both have
    assert found.n_pairs == {"people": 19}
    assert failed["detail"].unique().to_list() == [
        "labeler people: two files under this name answer differently"
    ]


def spoiled(world: World, name: str, value: Any) -> dict[str, Any]:
    document = exported(world.data)
    document["texts"][6]["answers"][name] = value
    return document


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("last_response_is_long", "true", 'last_response_is_long is "true": neither true nor false'),
        ("last_response_is_long", None, "neither true nor false"),
        ("last_response_is_long", 1, "neither true nor false"),
        ("last_response_mood", "angry", 'is "angry": none of calm, excited, sad'),
        ("last_response_mood", ["calm"], "none of calm, excited, sad"),
        ("topics", "food", "no list of at most 2 different values"),
        ("topics", ["food", "food"], "no list of at most 2 different values"),
        ("topics", ["food", "work", "music"], "no list of at most 2 different values"),
        ("topics", ["food", 3], "no list of at most 2 different values"),
        ("topics", ["sport"], 'holds "sport": none of food, work, music'),
        ("last_response_is_new", True, "'last_response_is_new' was not asked"),
    ],
)
def test_a_value_the_taxonomy_does_not_know(world: World, name: str, value: Any, reason: str) -> None:
    found, rows, failed = world.read(spoiled(world, name, value))
    assert found.errors == {"invalid": 2}
    assert (rows.height, failed.height) == (38, 2)
    assert failed["row_id"].n_unique() == 1
    assert failed["preference"].n_unique() == 2
    assert failed["stage"].unique().to_list() == ["gold read"]
    assert reason in failed["detail"][0]
    assert rows["inclusion_probability"].unique().to_list() == [pytest.approx(19 / 60)]
    assert not set(rows["row_id"]) & set(failed["row_id"])


def test_half_labeled_in_three_ways(world: World) -> None:
    document = exported(world.data)
    del document["texts"][0]["answers"]["topics"]
    del document["texts"][3]
    document["half_labeled"] = [world.data["pairs"][5]["id"]]
    found, _, failed = world.read(document)
    assert found.errors == {"half_labeled": 6}
    assert found.n_pairs == {"gold": 17}
    details = {d.removeprefix("labeler gold: ") for d in failed["detail"]}
    assert details == {
        "not answered: topics", "only one of the two texts was answered", "not every question was answered",
    }  # fmt: skip


def test_twice_in_a_file(world: World) -> None:
    document = exported(world.data)
    document["texts"].append(document["texts"][7])
    found, _, failed = world.read(document)
    assert found.errors == {"duplicate": 2}
    assert "more than once" in failed["detail"][0]


def refused(world: World, document: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        world.read(document)
    assert not list(world.folder.glob("labels-*"))


def test_files_that_are_refused(world: World, tmp_path: Path) -> None:
    good = exported(world.data)
    refused(world, [], "no file of answers")
    refused(world, {**good, "format": "other"}, "no file of answers")
    refused(world, {**good, "version": 2}, "version 2")
    refused(world, {k: v for k, v in good.items() if k != "texts"}, "no texts")
    refused(world, {**good, "labeler": " "}, "labeler is")
    refused(world, {**good, "features": "topics"}, "features is")
    refused(world, {**good, "half_labeled": [1]}, "half_labeled is")
    refused(world, {**good, "texts": {}}, "texts is")
    refused(world, {**good, "texts": [{"id": 1, "answers": {}}]}, "each has an id")
    refused(world, {**good, "sheet": "0" * 64}, "not answered on a page of this sample")
    refused(world, {**good, "features": ["topics"]}, "not answered on a page of this sample")
    refused(world, {**good, "features": ["unknown"]}, "not answered on a page of this sample")
    refused(world, {**good, "texts": [{"id": "0" * 20, "answers": {}}]}, "'0{20}' is not on the page")
    refused(world, {**good, "half_labeled": ["f" * 20]}, "'f{20}' is not on the page")
    refused(world, {**good, "texts": []}, "no pair is labeled")
    (tmp_path / "bad.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="no JSON"):
        gold_read(tmp_path / "bad.json", world.gold, tmp_path / "o")
    with pytest.raises(InputError, match="cannot read"):
        gold_read(tmp_path / "none.json", world.gold, tmp_path / "o")
    with pytest.raises(UsageError, match="no file"):
        gold_read([], world.gold, tmp_path / "o")
    with pytest.raises(UsageError, match="is empty"):
        world.read(good, labeler=" ")


def test_another_sample_or_taxonomy_is_another_page(world: World, tmp_path: Path) -> None:
    file = world.file(exported(world.data))
    other = World(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="the folder and the taxonomy"):
        gold_read(file, other.gold, tmp_path / "o", GoldReadOptions(taxonomy=world.taxonomy))
    with pytest.raises(InputError, match="the folder and the taxonomy"):
        gold_read(file, world.gold, tmp_path / "o")
    changed = world.taxonomy.read_text().replace("Which mood?", "Which temper?")
    (tmp_path / "changed.toml").write_text(changed)
    with pytest.raises(InputError, match=r"changed\.toml"):
        gold_read(file, world.gold, tmp_path / "o", GoldReadOptions(taxonomy=tmp_path / "changed.toml"))


def test_again_and_with_other_answers(world: World) -> None:
    file, out = world.file(exported(world.data)), world.folder / "labels"
    options = GoldReadOptions(taxonomy=world.taxonomy)
    first = gold_read(file, world.gold, out, options)
    part = (out / "part-00000.parquet").read_bytes()
    assert gold_read(file, world.gold, out, options) == first
    assert (out / "part-00000.parquet").read_bytes() == part
    other = world.file(exported(world.data, n_pairs=3))
    with pytest.raises(ResumeError, match="answers"):
        gold_read(other, world.gold, out, options)
    assert gold_read(other, world.gold, out, options, overwrite=True).n_pairs == {"gold": 3}


def test_hostile_names_and_ids_are_data(tmp_path: Path) -> None:
    said = payloads()[:40]
    world = World(tmp_path, texts=texts(said, said))
    found, rows, _ = world.read(exported(world.data, payloads()[480]))
    assert found.n_pairs == {"gold": 20}
    found, rows, _ = world.read(exported(world.data, payloads()[480]), exported(world.data, "__proto__"))
    assert set(rows["labeler"]) == {payloads()[480].strip(), "__proto__"}
