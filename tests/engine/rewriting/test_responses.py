"""Responses alone: as their rewriter sees them and back, what is refused, what they are rewritten to."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.engine.errors import InputError, UsageError
from seal.engine.frames import contrasts
from seal.engine.frames.contrasts import Contrast
from seal.engine.rewriting.acceptance import Bounds, response_refusal
from seal.engine.rewriting.attributes import BOUNDS, OwnLabels, Plan, find_aims
from seal.engine.rewriting.options import AttributeOptions
from seal.engine.rewriting.turns import Response
from tests.support.frames import real_texts, texts

PIECES = [*"ab \n:|>.é字", "Assistant:", "\n\nHuman:", "\n\nAssistant:"]
SAID = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
TALK = (
    "Assistant: I like this story. The big dog said that it was a good day, and the cat said the same thing."
)


def code(source: str, rewriting: str, bounds: Bounds = BOUNDS) -> str | None:
    found = response_refusal(Response.of(source), rewriting, bounds)
    return found.code if found else None


@given(SAID)
def test_a_response_comes_back_as_it_was(text: str) -> None:
    of = Response.of(text)
    again = of.cut(of.said)
    if not of.said.startswith("Assistant:"):  # an opening word twice is an opening word
        assert again.split() == text.split()
        assert of.cut(f"Assistant: {of.said}\n") == again
    assert again[: len(again) - len(again.lstrip())] == text[: len(text) - len(text.lstrip())]


def test_real_responses_come_back_to_the_byte() -> None:
    for text in real_texts()["response"].head(500):
        assert Response.of(text).cut(Response.of(text).said) == text
        opened = f"Assistant:{text}"
        assert Response.of(opened).cut(Response.of(opened).said) == opened


@pytest.mark.parametrize(
    ("rewriting", "wanted"),
    [
        ("", "empty"), ("Assistant: ", "empty_turn"), (TALK, "identical"),
        (TALK.removeprefix("Assistant: "), "identical"),
        ("> I like this story.\n> The big dog said so, and the cat.", "marks"),
        ("I like it. " * 90, "length_changed"),
        ("I like it.\n\nHuman: And the cat, what did it say?", "turns_changed"),
        ("Мне нравится эта история. Большая собака сказала, что день хороший.", "other_language"),
        ("I enjoy this tale. The large dog told us that it was a fine day, and so did the cat.", None),
        ("Assistant: I enjoy this tale. The large dog told us that it was a fine day; so did the cat.", None),
    ],
)  # fmt: skip
def test_what_is_refused_of_a_response(rewriting: str, wanted: str | None) -> None:
    assert code(TALK, rewriting) == wanted


def test_quotations_of_the_source_are_no_marks() -> None:
    quoting = "You wrote:\n> I like this story.\nThe big dog said that it was a good day, and so did the cat."
    assert code(quoting, quoting.replace("good", "fine")) is None
    assert code(quoting, quoting.replace("The big", "> The large")) == "marks"


def test_variants_name_their_value() -> None:
    contrast = Contrast("mood", "calm=true", "excited")
    assert (contrast.away(has=True), contrast.away(has=False)) == ("excited", "calm=true")
    name = contrasts.toward(contrast.feature, contrast.value)
    assert contrasts.aimed_at(name) == ("mood", "calm=true")
    for other in (contrasts.back("mood", "calm"), "placebo", "rewritten", "toward:mood", "toward:=calm"):
        assert contrasts.aimed_at(other) is None
    assert contrasts.baseline(("false", "true")) == "false"
    assert contrasts.baseline(("positive", "neutral", "negative")) == "neutral"
    assert contrasts.baseline(("formal", "casual")) == "formal"


def test_either_value_of_a_boolean_is_one_experiment() -> None:
    name = "last_response_is_refusal"
    both = [find_aims(AttributeOptions((f"{name}={value}",)))[0].contrast for value in ("true", "false")]
    assert both == [Contrast(name, "true", "false")] * 2
    (aim,) = find_aims(AttributeOptions((f"{name}=true",)))
    assert "the right answer is: no." in aim.instruction("false")
    assert aim.feature.instruction in aim.instruction("true")


def test_a_taxonomy_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[feature]]\nname = "mood"\nkind = "enum"\nvalues = ["calm", "excited", "angry"]\n'
        'scope = "last response"\ninstruction = "Which mood {is} it?"\n'
    )
    (aim,) = find_aims(AttributeOptions(("mood=excited",), taxonomy=path))
    assert aim.contrast == Contrast("mood", "excited", "calm")
    assert "Which mood {is} it? Write it so that the right answer is: excited." in aim.instruction("excited")
    with pytest.raises(UsageError, match="no feature 'last_response_is_refusal'"):
        find_aims(AttributeOptions(("last_response_is_refusal=true",), taxonomy=path))


def test_labels_of_several_labelers_or_twice_are_refused(tmp_path: Path) -> None:
    window = texts(["\n\nHuman: a\n\n"] * 2, ["Assistant: b"] * 2)
    rows = window.select("row_id", "preference", "variant", labeler=pl.lit("me"), mood=pl.lit("calm"))
    for name, frame, reason in (
        ("two", pl.concat([rows, rows.with_columns(labeler=pl.lit("you"))]), "several labelers"),
        ("twice", pl.concat([rows, rows]), "labeled twice"),
    ):
        frame.write_parquet(tmp_path / f"{name}.parquet")
        with pytest.raises(InputError, match=reason):
            OwnLabels(tmp_path / f"{name}.parquet", ("mood",)).of(window)
    rows.head(1).write_parquet(tmp_path / "one.parquet")
    assert OwnLabels(tmp_path / "one.parquet", ("mood",)).of(window)["mood"].to_list() == ["calm", None]


def test_a_plan_without_aims_has_placebos_alone() -> None:
    window = texts(["\n\nHuman: a\n\n"] * 2, ["Assistant: b"] * 2)
    asked = Plan.of(AttributeOptions(placebo=True)).asked(window)
    assert [(a.at, a.variant, a.back) for a in asked] == [(0, "placebo", ""), (1, "placebo", "")]
