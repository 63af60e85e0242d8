"""Texts as transcripts and back, what makes a rewriting acceptable, and the stage around it."""

import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.toyworld.generate import Options, generate
from examples.toyworld.parser import paraphrase
from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import TEXTS, scan
from seal.engine.generation.openai import OpenAIGenerator
from seal.engine.rewriting.acceptance import Bounds, foreign_share, known_share, main_script, refusal, words
from seal.engine.rewriting.options import RewriteOptions
from seal.engine.rewriting.prompts import MILD_REWRITING
from seal.engine.rewriting.rewriting import Rewriter, rewrite
from seal.engine.rewriting.turns import Transcript, turns_of
from seal.engine.rewriting.wording import Wording, longest_answer, text_seed
from tests.support.frames import real_texts, texts, write
from tests.support.places import DATA
from tests.support.rewriting_server import BAD, CODES, reworded, serving

HAND_MADE = json.loads((DATA / "rewritings.json").read_text(encoding="utf-8"))
HH = "\n\nHuman: Is it big?\n\nAssistant: Yes.\n\nHuman: How big? I like big ones.\n\nAssistant: It is good."


def source(transcript: str) -> Transcript:
    cut = transcript.rindex("\n\nAssistant:") + 2
    return Transcript.of(transcript[:cut], transcript[cut:])


def code(of: Transcript, rewriting: str) -> str | None:
    found = refusal(of, rewriting, Bounds())
    return found.code if found else None


def test_a_transcript_is_sent_as_it_is_and_cut_as_import_cuts() -> None:
    of = source(HH)
    assert of.transcript == HH.strip()
    assert [t.speaker for t in of.turns] == ["Human", "Assistant"] * 2
    prompt, response = of.cut("Human: Is it huge?\n\nAssistant: Yes.\n\nHuman: How?\n\nAssistant: Fine.\n")
    assert prompt == "\n\nHuman: Is it huge?\n\nAssistant: Yes.\n\nHuman: How?\n\n"
    assert response == "Assistant: Fine."


def test_system_turns_are_kept() -> None:
    of = Transcript.of("\n\nSystem: Be brief.\n\nHuman: Hi, is it big?\n\n", "Assistant: Yes")
    assert [t.speaker for t in of.turns] == ["System", "Human", "Assistant"]
    assert code(of, "Human: Hi, is it large?\n\nAssistant: Yes") == "turns_changed"
    kept = "System: Stay brief.\n\nHuman: Hi, is it large?\n\nAssistant: Yes"
    assert code(of, kept) is None
    assert "".join(of.cut(kept)) == f"\n\n{kept}"


@pytest.mark.parametrize("opening", ["Assistant:", "Assistant: "])
def test_a_prompt_that_ends_with_the_opening_word_keeps_doing_so(opening: str) -> None:
    of = Transcript.of(f"\n\nHuman: Is it big?\n\n{opening}", "Yes it is\n")
    assert of.wrapped is None
    cut = of.cut("Human: Is it large?\n\nAssistant: Indeed it is")
    indeed = "Indeed it is\n" if opening.endswith(" ") else " Indeed it is\n"
    assert cut == (f"\n\nHuman: Is it large?\n\n{opening}", indeed)


def test_any_other_text_is_wrapped_and_unwrapped() -> None:
    of = Transcript.of("Is it big? \n", " Yes, it is.")
    assert of.transcript == "Human: Is it big?\n\nAssistant: Yes, it is."
    assert of.cut("Human: Is it large?\n\nAssistant: Indeed.") == ("Is it large? \n", " Indeed.")
    inner = Transcript.of("They said:\n\nHuman: hi\n\nAssistant: ho\n\nGo on", "Well")
    assert inner.n_before == 3
    assert inner.cut(inner.transcript) == ("They said:\n\nHuman: hi\n\nAssistant: ho\n\nGo on", "Well")


PIECES = [*"ab \n:|.é字", "Human:", "\n\nHuman:", "\n\nAssistant:", "\n\nSystem:"]
SAID = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(SAID, SAID)
def test_what_is_not_changed_comes_back_to_the_byte(prompt: str, response: str) -> None:
    of = Transcript.of(prompt, response)
    assert turns_of(of.transcript)[of.n_before].speaker == "Assistant"
    again = of.cut(of.transcript)
    assert again == (prompt, response) if of.wrapped is None else _words(again) == _words((prompt, response))


def _words(text: tuple[str, str]) -> list[list[str]]:
    return [part.split() for part in text]


def test_every_real_text_comes_back_to_the_byte() -> None:
    for prompt, response in real_texts().select("prompt", "response").iter_rows():
        of = Transcript.of(prompt, response)
        assert of.wrapped is None
        assert of.cut(of.transcript) == (prompt, response)


TALK = (
    "Human: Could you tell me what the big dog said to the good cat when they met in the street?\n\n"
    "Assistant: I like this story. The big dog said that it was a good day, and the cat said the same thing."
)


@pytest.mark.parametrize("kind", [k for k in BAD if k not in ("cut", "filtered")])
def test_each_bad_rewriting_has_its_code(kind: str) -> None:
    assert code(source(f"\n\n{TALK}"), BAD[kind](TALK)) == CODES[kind]


def test_honest_rewritings_pass() -> None:
    assert code(source(f"\n\n{TALK}"), reworded(TALK, 1)) is None
    for made in HAND_MADE:
        assert code(source(made["source"]), made["honest"]) is None
    for chunk in generate(Options(100, 5)):
        for transcript in (t for pair in chunk.texts for t in pair):
            again = paraphrase(transcript, random.Random(0))
            assert code(source(transcript), again) == ("identical" if again == transcript else None)


def test_translations_do_not() -> None:
    n = 0
    for made in HAND_MADE:
        for language in made.keys() - {"source", "honest"}:
            assert code(source(made["source"]), made[language]) == "other_language", (
                language,
                made["source"],
            )
            n += 1
    assert n == 15


def test_the_floor_lies_between_rewritings_and_translations() -> None:
    known: dict[bool, list[float]] = {True: [], False: []}
    for made in HAND_MADE:
        vocabulary = frozenset(words(made["source"]))
        for language, text in made.items():
            for turn in turns_of(text.strip()) if language not in ("source", "ru", "ja") else ():
                if len(words(turn.said)) >= Bounds().min_words:
                    known[language == "honest"].append(known_share(turn.said, vocabulary))
    assert max(known[False]) < 0.2 < Bounds().min_known < 0.3 < min(known[True])


def test_scripts() -> None:
    assert main_script("Привет, Bob") == "CYRILLIC"
    assert main_script("漢字とかな") == "CJK"
    assert main_script("123") == ""
    assert foreign_share("abc", "abc абв") == 0.5
    assert foreign_share("abc абв", "abcd аб") == pytest.approx(1 / 6)
    assert foreign_share("", "12") == 0
    assert known_share("123 .", frozenset()) == 1


def test_a_table_of_the_source_is_no_mark() -> None:
    of = source("\n\nHuman: A good table?\n\nAssistant: Here:\n| a | b |\n| 1 | 2 |")
    assert code(of, "Human: A nice table?\n\nAssistant: Here:\n| a | b |\n| 1 | 2 |") is None


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 40), st.sampled_from(["chosen", "rejected"]))
def test_a_seed_depends_on_seed_and_key_alone(seed: int, row_id: int, side: str) -> None:
    found = text_seed(seed, row_id, side)
    assert 0 <= found < 1 << 30
    assert found != text_seed(seed + 1, row_id, side)


def test_seeds_are_pinned() -> None:
    assert [text_seed(0, 0, "chosen"), text_seed(0, 0, "rejected"), text_seed(1, 7, "chosen")] == PINNED


PINNED = [118859219, 349914195, 486542932]


class Counting:
    """A decoder that counts words, of a context of 100."""

    context = 100

    def count_tokens(self, message: str) -> int:
        return len(message.split())


def test_room_for_an_answer() -> None:
    counting = Counting()
    assert longest_answer("a " * 10, "a " * 12, counting) == 84
    assert longest_answer("a " * 10, "a " * 40, counting) == 60  # what the context leaves
    assert longest_answer("a " * 30, "a " * 90, counting) == 124  # it does not fit: too_long, not cut
    with serving() as server:
        assert longest_answer("é" * 100, "", OpenAIGenerator(server.url)) == 164


@pytest.mark.parametrize(
    "wrong",
    [
        {"instruction": " \n"},
        {"temperature": -0.1},
        {"temperature": float("inf")},
        {"retries": -1},
        {"seed": -1},
    ],
)
def test_wording_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Wording(**wrong)  # type: ignore[arg-type]


def dialogue(*marks: str) -> list[str]:
    return [f"{TALK.rpartition('Assistant:')[0]}{mark} " for mark in marks]


def run(tmp_path: Path, frame: pl.DataFrame, out: str = "out", **more: object) -> pl.DataFrame:
    """Rewrite a frame through a server; the rows, and the failures left in `out`."""
    wording = {k: more.pop(k) for k in ("seed", "temperature", "retries") if k in more}
    with serving() as server:
        rewriter = Rewriter("r", OpenAIGenerator(server.url), Wording(**wording))  # type: ignore[arg-type]
        options = RewriteOptions(sample=1, part_pairs=more.pop("part_pairs", 128))  # type: ignore[arg-type]
        report = rewrite(write(frame, tmp_path / "texts.parquet"), rewriter, tmp_path / out, options)
        rows, failures = (
            scan(tmp_path / out, TEXTS).collect(),
            pl.read_parquet(tmp_path / out / "failures.parquet"),
        )
        assert report.n_texts == frame.height == rows.height + failures.height
        assert (report.n_rows, report.n_failures) == (rows.height, failures.height)
        assert report.n_requests == len(server.asked)
        assert report.errors == dict(failures["error"].value_counts().iter_rows())
    return rows


def pairs_of(n: int, *, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    said = ["the big cat", "a good dog", "she said so", "I like it"]
    made = [" ".join(rng.choice(said, 4)) for _ in range(2 * n)]
    prompts = [p for m in made[::2] for p in [f"\n\nHuman: {m}\n\n"] * 2]
    return texts(prompts, [f"Assistant: {m} then." for m in made]).with_columns(
        pl.lit("made here").alias("source"),
        meta_topic=pl.Series([f"t{i // 2}" for i in range(2 * n)]),
        meta_turns=pl.lit(1.5),
    )


def test_everything_else_is_carried_through(tmp_path: Path) -> None:
    frame = pairs_of(20)
    rows = run(tmp_path, frame)
    assert rows["variant"].unique().to_list() == ["rewritten"]
    both = rows.join(frame, on=["row_id", "preference"], suffix="_before", validate="1:1")
    assert both.height == 40
    for name in ("source", "meta_topic", "meta_turns"):
        assert both[name].to_list() == both[f"{name}_before"].to_list()
    assert (both["prompt"] + both["response"] != both["prompt_before"] + both["response_before"]).all()
    for seed, row in zip([text_seed(0, *key) for key in both.select("row_id", "preference").iter_rows()],
                         both.iter_rows(named=True), strict=True):  # fmt: skip
        assert row["prompt"] + row["response"] == "\n\n" + reworded(
            (row["prompt_before"] + row["response_before"]).strip(), seed
        )


def test_an_answer_depends_on_neither_parts_nor_order(tmp_path: Path) -> None:
    frame = pairs_of(30)
    whole = run(tmp_path, frame)
    assert run(tmp_path, frame.sample(fraction=1, shuffle=True, seed=1), "b", part_pairs=7).equals(whole)
    other = run(tmp_path, frame, "c", seed=1)
    assert (other["response"] != whole["response"]).any()


def test_a_refused_side_takes_the_other_along(tmp_path: Path) -> None:
    frame = pairs_of(4).with_columns(
        response=pl.when((pl.col("row_id") == 1) & (pl.col("preference") == "rejected"))
        .then(pl.lit("Assistant: [preamble] a good one"))
        .when((pl.col("row_id") == 2) & (pl.col("preference") == "chosen"))
        .then(None)
        .otherwise("response")
    )
    rows = run(tmp_path, frame)
    assert rows["row_id"].to_list() == [0, 0, 3, 3]
    failures = pl.read_parquet(tmp_path / "out/failures.parquet")
    assert failures.select("row_id", "preference", "variant", "stage", "error").rows() == [
        (1, "chosen", "original", "rewrite", "other_side_refused"),
        (1, "rejected", "original", "rewrite", "no_human_turn"),
        (2, "chosen", "original", "rewrite", "missing_text"),
        (2, "rejected", "original", "rewrite", "other_side_refused"),
    ]
    detail = failures["detail"][1]
    assert detail.startswith("it opens with 'Sure! Here is the rewritten dialogue")
    assert "; the answer: Sure! Here is the rewritten dialogue:\n\nHuman: " in detail


def test_rewritten_texts_are_not_rewritten_again(tmp_path: Path) -> None:
    frame = run(tmp_path, pairs_of(2))
    with pytest.raises(InputError, match="rewritten already"):
        run(tmp_path, frame, "again")


def test_the_manifest_says_what_was_asked(tmp_path: Path) -> None:
    run(tmp_path, pairs_of(2))
    asked = json.loads((tmp_path / "out/manifest.json").read_text())["identity"]["models"]["r"]
    assert asked["instruction"]["text"] == MILD_REWRITING
    assert len(asked["instruction"]["sha256"]) == 64
    assert (asked["temperature"], asked["seed"], asked["prompts"], asked["model"]) == (
        0.1,
        0,
        1,
        "words/rewriter-7b",
    )
    assert asked["bounds"]["min_known"] == 0.25
