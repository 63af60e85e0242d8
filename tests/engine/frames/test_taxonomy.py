"""The default taxonomy, and every way in which a user's own can be wrong."""

import dataclasses
import tomllib
from pathlib import Path

import polars as pl
import pytest

from examples.toyworld.labels import FEATURE_TYPES
from seal.engine.errors import InputError, UsageError
from seal.engine.frames.taxonomy import DEFAULT, Feature, Taxonomy, load_taxonomy
from tests.support.places import ROOT

GOOD = """
[[feature]]
name = "is_kind"
kind = "boolean"
scope = "last response"
role = "target"
instruction = "Is it kind?"

[[feature]]
name = "mood"
kind = "enum"
values = ["good", "bad"]
scope = "whole dialogue"
instruction = "Which mood?"

[[feature]]
name = "themes"
kind = "list"
values = ["art", "war", "food"]
max_items = 2
scope = "human turns"
instruction = "Which themes?"
"""


def load(tmp_path: Path, text: str) -> Taxonomy:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return load_taxonomy(path)


def test_the_default_is_the_studys_19_features() -> None:
    taxonomy = load_taxonomy()
    kinds = [feature.kind for feature in taxonomy.features]
    assert (kinds.count("boolean"), kinds.count("enum"), kinds.count("list")) == (16, 1, 2)
    targets = [feature.name for feature in taxonomy.features if feature.role == "target"]
    assert targets == ["last_response_is_helpful", "last_response_is_harmless"]
    assert all(feature.instruction.endswith((".", "?")) for feature in taxonomy.features)
    assert len({feature.instruction for feature in taxonomy.features}) == 19


def test_the_toy_worlds_truth_is_in_its_terms() -> None:
    assert list(load_taxonomy().types.items()) == list(FEATURE_TYPES.items())


def test_it_is_installed_with_the_package() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    found = [p for pattern in data["seal.engine.frames"] for p in (ROOT / "engine/frames").glob(pattern)]
    assert [p.resolve() for p in found] == [DEFAULT.resolve()]


def test_a_users_own(tmp_path: Path) -> None:
    taxonomy = load(tmp_path, GOOD)
    assert taxonomy.types == {
        "is_kind": pl.Boolean(),
        "mood": pl.Enum(["good", "bad"]),
        "themes": pl.List(pl.Enum(["art", "war", "food"])),
    }
    assert [f.role for f in taxonomy.features] == ["target", "none", "none"]
    assert taxonomy.features[2].max_items == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        taxonomy.features[0].name = "other"  # type: ignore[misc]


def test_a_list_may_be_as_long_as_its_values(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD.replace("max_items = 2\n", "")).features[2].max_items == 3


WRONG = {
    "no toml": ("[[feature]", "not a TOML file"),
    "nothing": ("", r"no \[\[feature\]\]"),
    "another table": (GOOD.replace("[[feature]]", "[[features]]"), "'features' is not known; did you mean"),
    "no list": ("feature = 3", "open each feature with"),
    "unknown key": (GOOD.replace("role =", "rolle ="), r"1 \('is_kind'\): the key 'rolle'.*mean 'role'"),
    "no kind": (GOOD.replace('kind = "enum"\n', ""), r"2 \('mood'\): no key 'kind'"),
    "unknown kind": (GOOD.replace('"boolean"', '"bool"'), "kind 'bool' is not known"),
    "unknown role": (GOOD.replace('"target"', '"targets"'), "role 'targets' is not known"),
    "unknown scope": (GOOD.replace('"human turns"', '"human turn"'), "did you mean 'human turns'"),
    "kind is a number": (GOOD.replace('kind = "boolean"', "kind = 1"), "kind is 1; text is needed"),
    "twice": (GOOD.replace('"mood"', '"is_kind"'), "feature 'is_kind' stands twice"),
    "a key": (GOOD.replace('"mood"', '"row_id"'), "'row_id'.*is a column of the frames"),
    "the labeler": (GOOD.replace('"mood"', '"labeler"'), "is a column of the frames"),
    "a probability": (GOOD.replace('"mood"', '"p_mood"'), "is a column of the frames"),
    "meta": (GOOD.replace('"mood"', '"meta_mood"'), "is a column of the frames"),
    "no identifier": (GOOD.replace('"mood"', '"the mood"'), "a name is a letter"),
    "a path": (GOOD.replace('"mood"', '"../mood"'), "a name is a letter"),
    "empty name": (GOOD.replace('"mood"', '""'), "a name is a letter"),
    "one": (GOOD.replace('["good", "bad"]', '["good"]'), r"'mood'\): 1 values; one of kind enum has 2"),
    "values twice": (GOOD.replace('["good", "bad"]', '["good", "good"]'), "'good' stands twice"),
    "values no list": (GOOD.replace('["good", "bad"]', '"good"'), "a list of text is needed"),
    "values no text": (GOOD.replace('["good", "bad"]', "[1, 2]"), "a list of text is needed"),
    "an empty value": (GOOD.replace('["good", "bad"]', '["good", ""]'), "is empty, too long"),
    "a value with a line end": (GOOD.replace('["good", "bad"]', '["good", "b\\nd"]'), "cannot be printed"),
    "list too long": (GOOD.replace("max_items = 2", "max_items = 4"), "max_items is 4; 1 to 3"),
    "no list at all": (GOOD.replace("max_items = 2", "max_items = 0"), "max_items is 0; 1 to 3"),
    "max_items is text": (GOOD.replace("max_items = 2", 'max_items = "2"'), "a whole number is needed"),
    "enum with max_items": (GOOD.replace('scope = "whole', 'max_items = 1\nscope = "whole'), "belongs to a"),
    "a boolean with values": (GOOD.replace("role =", 'values = ["a", "b"]\nrole ='), "a boolean has neither"),
    "no question": (GOOD.replace('"Is it kind?"', '"  "'), "the instruction is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, case: str) -> None:
    text, reason = WRONG[case]
    with pytest.raises(UsageError, match=reason) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "own.toml") in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the taxonomy"):
        load_taxonomy(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not a TOML file"):
        load_taxonomy(tmp_path / "bytes.toml")


def labels(**columns: object) -> pl.LazyFrame:
    key = {"row_id": [0], "preference": ["chosen"], "variant": ["original"], "labeler": ["me"]}
    return pl.DataFrame(key | columns).lazy()


OWN = Taxonomy(
    (
        Feature("is_kind", "boolean", "last response", "Is it?"),
        Feature("mood", "enum", "last response", "Which?", values=("good", "bad")),
        Feature("themes", "list", "last response", "Which?", values=("art", "war"), max_items=2),
    )
)


def test_labels_are_cast_to_the_taxonomy() -> None:
    frame = labels(themes=[["art"]], p_mood=[0.5], mood=["bad"], is_kind=[True])
    found = OWN.check_labels(frame, origin="here").collect()
    assert found.schema == {
        "row_id": pl.Int64(), "preference": pl.Enum(["chosen", "rejected"]),
        "variant": pl.String(), "labeler": pl.String(),
        **OWN.types, "p_mood": pl.Float32(),
    }  # fmt: skip


def test_labels_that_are_not_the_taxonomys() -> None:
    whole = {"is_kind": [True], "mood": ["bad"], "themes": [["art"]]}
    with pytest.raises(InputError, match="here: no column 'mood'"):
        OWN.check_labels(labels(is_kind=[True]), origin="here")
    assert OWN.check_labels(labels(is_kind=[True]), origin="here", among=()).collect().width == 5
    with pytest.raises(InputError, match="'moods' is no feature of taxonomy; did you mean 'mood'"):
        OWN.check_labels(labels(**whole, moods=["bad"]), origin="here")
    with pytest.raises(InputError, match="'is_kind' is String"):
        OWN.check_labels(labels(**whole | {"is_kind": ["yes"]}), origin="here")
    with pytest.raises(
        InputError, match="'themes' is String; the taxonomy says a list of text, one of art, war"
    ):
        OWN.check_labels(labels(**whole | {"themes": ["art"]}), origin="here")
    bad = OWN.check_labels(labels(**whole | {"mood": ["ugly"]}), origin="here")
    with pytest.raises(pl.exceptions.InvalidOperationError, match="ugly"):
        bad.collect()
