"""Computed features against a reference in plain Python, which scans characters where they match patterns."""

import unicodedata
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.engine.errors import UsageError
from seal.engine.labeling.computed import (
    FEATURES,
    FIRST_PERSON,
    HEDGES,
    REFUSAL_LEADS,
    REFUSALS,
    SECOND_PERSON,
    ComputedLabeler,
    compute,
    select_features,
)
from tests.support.frames import real_texts, texts

WHITE = set("\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | set(
    map(chr, range(0x2000, 0x200B))
)
CLOSERS = "\"'”’»)]*_"
BLANK = " \t"


def strip(text: str) -> str:
    return text.strip("".join(WHITE))


def body_of(response: str) -> str:
    stripped = response.lstrip("".join(WHITE))
    return strip(stripped.removeprefix("Assistant:") if stripped.startswith("Assistant:") else response)


def words_of(text: str) -> list[str]:
    text, found, word = text.lower().replace("’", "'"), [], ""
    for at, char in enumerate(text):
        inside = unicodedata.category(char)[0] in "LNM"
        after = text[at + 1 : at + 2]
        joins = char == "'" and word and after and unicodedata.category(after)[0] in "LNM"
        if inside or joins:
            word += char
        elif word:
            found.append(word)
            word = ""
    return [*found, word] if word else found


def prompt_words(prompt: str) -> list[str]:
    """Words of the prompt; a speaker's name at the start or after an empty line is none."""
    at, kept = 0, ""
    while at < len(prompt):
        for opening in ("\n\n", ""):
            speaker = next(
                (s for s in ("Human:", "Assistant:", "System:") if prompt.startswith(opening + s, at)), None
            )
            if speaker and (opening or at == 0):
                at, kept = at + len(opening + speaker), kept + " "
                break
        else:
            at, kept = at + 1, kept + prompt[at]
    return words_of(kept)


def phrases(words: list[str], wanted: tuple[str, ...]) -> int:
    """Phrases from left to right, the longest first, none sharing a word."""
    ordered = sorted((p.split() for p in wanted), key=lambda p: -len(p))
    at = n = 0
    while at < len(words):
        hit = next((p for p in ordered if words[at : at + len(p)] == p), None)
        at, n = (at + len(hit), n + 1) if hit else (at + 1, n)
    return n


def refuses(words: list[str]) -> bool:
    if any(words[: len(p.split())] == p.split() for p in REFUSALS):
        return True
    leads = (p.split() for p in REFUSAL_LEADS)
    return any(words[: len(p)] == p and refuses(words[len(p) :]) for p in leads)


def sentences(body: str) -> int:
    n = 0
    for line in body.split("\n"):
        rest = line.lstrip(BLANK)
        digits = len(rest) - len(rest.lstrip("0123456789"))
        marker = rest[digits : digits + 2]
        if (
            1 <= digits <= 3
            and marker in (". ", ".\t")
            and rest[digits + 2 :].lstrip(BLANK)[:1] not in WHITE | {""}
        ):
            line = rest[digits + 1 :]
        at, open_text = 0, False
        while at < len(line):
            char = line[at]
            if char in "。！？.!?…":
                end = at + 1
                while char in "。！？" and end < len(line) and line[end] in "。！？":
                    end += 1
                while end < len(line) and line[end] in CLOSERS:
                    end += 1
                if char in "。！？" or end == len(line) or line[end] in WHITE:
                    n, open_text, at = n + 1, False, end
                    continue
            open_text = open_text or char not in WHITE
            at += 1
        n += open_text
    return n


def lines_with(body: str, opens: Callable[[str], bool]) -> int:
    return sum(opens(line) for line in body.split("\n"))


def is_item(line: str) -> bool:
    line = line.lstrip(BLANK)
    digits = len(line) - len(line.lstrip("0123456789"))
    if line[:1] and line[:1] in "-*+•–":
        rest = line[1:]
    elif 1 <= digits <= 3 and line[digits : digits + 1] in (".", ")"):
        rest = line[digits + 1 :]
    else:
        return False
    return rest[:1] in (" ", "\t") and rest.lstrip(BLANK)[:1] not in WHITE | {""}


def is_heading(line: str) -> bool:
    indent = len(line) - len(line.lstrip(" "))
    line = line.lstrip(" ")
    marks = len(line) - len(line.lstrip("#"))
    rest = line[marks:]
    opened = indent <= 3 and 1 <= marks <= 6 and rest[:1] in (" ", "\t")
    return opened and rest.lstrip(BLANK)[:1] not in WHITE | {""}


def bold(body: str) -> int:
    at = n = 0
    while (start := body.find("**", at)) >= 0:
        end = start + 2
        while end < len(body) and body[end] not in "*\n":
            end += 1
        if end > start + 2 and body[end : end + 2] == "**":
            n, at = n + 1, end + 2
        else:
            at = start + 1
    return n


def runs(body: str, marks: str) -> int:
    return sum(c in marks and (at == 0 or body[at - 1] not in marks) for at, c in enumerate(body))


def emoji(body: str) -> int:
    """Pictures, with what modifies them; those joined by U+200D are one."""

    def picture(at: int) -> int:
        """Where a picture that begins here ends; `at` where none does."""
        codes = [ord(c) for c in body[at : at + 2]]
        if len(codes) == 2 and all(0x1F1E6 <= c <= 0x1F1FF for c in codes):
            return at + 2
        if not codes or not (0x1F300 <= codes[0] <= 0x1FAFF or 0x2600 <= codes[0] <= 0x27BF):
            return at
        at += 1
        while at < len(body) and (body[at] == "\ufe0f" or 0x1F3FB <= ord(body[at]) <= 0x1F3FF):
            at += 1
        return at

    at = n = 0
    while at < len(body):
        end = picture(at)
        if end == at:
            at += 1
            continue
        n += 1
        while body[end : end + 1] == "\u200d" and picture(end + 1) > end + 1:
            end = picture(end + 1)
        at = end
    return n


def reference(prompt: str, response: str) -> dict[str, float | None]:
    body = body_of(response)
    words = words_of(body)
    distinct, n, n_sentences = set(words), len(words), sentences(body)
    return {
        "n_chars": len(body),
        "n_words": n,
        "n_sentences": n_sentences,
        "words_per_sentence": n / n_sentences if n_sentences else None,
        "n_list_items": lines_with(body, is_item),
        "n_headings": lines_with(body, is_heading),
        "n_code_blocks": (lines_with(body, lambda x: x.lstrip(BLANK).startswith(("```", "~~~"))) + 1) // 2,
        "n_bold": bold(body),
        "n_questions": runs(body, "?？؟"),
        "n_exclamations": runs(body, "!！"),
        "n_hedges": phrases(words, HEDGES),
        "n_first_person": phrases(words, FIRST_PERSON),
        "n_second_person": phrases(words, SECOND_PERSON),
        "share_distinct_words": len(distinct) / n if n else None,
        "overlap_with_prompt": len(distinct & set(prompt_words(prompt))) / len(distinct)
        if distinct
        else None,
        "opens_with_refusal": int(refuses(words)),
        "n_emoji": emoji(body),
    }


def check(pairs: list[tuple[str, str]]) -> None:
    even = pairs if len(pairs) % 2 == 0 else [*pairs, pairs[-1]]
    frame = texts([p for p, _ in even], [r for _, r in even])
    found = compute(frame.lazy()).collect().select(f.name for f in FEATURES)
    for (prompt, response), row in zip(even, found.to_dicts(), strict=True):
        # shares are float32; None stands for "undefined" on both sides
        want = {
            name: None if value is None else float(np.float32(value))
            for name, value in reference(prompt, response).items()
        }
        assert row == want, (prompt, response)


EXAMPLES = [
    ("", ""),
    ("\n\nHuman: Hi\n\n", "Assistant:"),
    ("\n\nHuman: Hi\n\n", "Assistant: Assistant: twice"),
    ("\n\nHuman: How do I bake?\n\nAssistant: What?\n\nHuman: Rye bread\n\n", " You bake rye. I do!\n"),
    ("human assistant", "Human and Assistant: it’s I'm I’ve don't rock'n'roll 'quoted' well-known"),
    ("x", "1. First step.\n2. Second step\n3) third\n - nested\n10.5 is no item\n12.\n1.  \n"),
    ("x", "# One\n## Two ##\n####### Seven\n   # Indented\n    # Code\n#none\n"),
    ("x", "```python\nx = 1\n```\nand\n~~~\nopen"),
    ("x", "**bold** and **two** *** **not\nbold** ****"),
    ("x", "Really?? Yes!! What?! ¿Qué? 何？！"),
    ("x", "他说。“好。”然后走了！真的？\nEnd…  e.g. this 3.14 ... ok.\") Next"),
    ("x", "I think perhaps you might, i think. I’m not sure; I believe so, sort of. May I? US us"),
    ("x", "I'm sorry, but I can't do that."),
    ("x", "Sorry to hear that. I can't imagine."),
    ("x", "Unfortunately, no, I will not."),
    ("x", "As an AI, I cannot"),
    ("x", "👍🏽 👨‍👩‍👧 🇫🇷 ☀️ ❤️‍🔥 © 🇫 🇫🇷🇩🇪 \u200d"),
    ("x", "nul \x00 inside\x00"),
    ("x", "\x1c\x1d separators \x85 next\u2028line"),
    ("ÉTÉ İstanbul ΣΑΣ", "été i̇stanbul σας STRASSE straße"),
    ("x", "word " * 2000),
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples(example: tuple[str, str]) -> None:
    check([example, example])


KNOWN = st.characters(exclude_categories=("Cs", "Cn", "Co"))
PIECES = st.sampled_from(
    [
        *HEDGES, *FIRST_PERSON, *SECOND_PERSON, *REFUSALS, *REFUSAL_LEADS, "Assistant:", "\n\nHuman:", "\n",
        "\n\n", " ", "  ", ". ", "! ", "?", "…", "。", "”", ")", "1. ", "12) ", "- ", "* ", "• ", "**", "***",
        "# ", "### ", "```", "~~~", "'", "’", "-", "é", "\u0301", "\x00", "\x1f", "\xa0", "👍", "🏽",
        "\u200d", "\ufe0f", "🇫", "🇷", "word", "İ", "Σ",
    ]
)  # fmt: skip
TEXT = st.one_of(
    st.text(KNOWN, max_size=30),
    st.lists(PIECES, max_size=14).map("".join),
    st.lists(PIECES, max_size=14).map(" ".join),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=2, max_size=8))
def test_any_text(pairs: list[tuple[str, str]]) -> None:
    check(pairs)


def test_real_dialogues() -> None:
    frame = real_texts()[:300]
    check(list(frame.select("prompt", "response").iter_rows()))


def test_a_pinned_count_of_everything() -> None:
    """Where this changes, a feature counts differently: raise `REVISION`."""
    response = "Assistant: I'm sorry, but I can't help. Perhaps you could ask?\n\n"
    response += "## Why\n1. **Safety** first!\n```\nx\n```\n🙂"
    frame = texts(["\n\nHuman: Can you help?\n\n"] * 2, [response] * 2)
    row = compute(frame.lazy()).collect().select(f.name for f in FEATURES).row(0)
    assert row[:3] == (92, 15, 8)
    assert row[4:13] == (1, 1, 1, 1, 1, 1, 2, 2, 1)
    assert row[15:] == (1, 1)


def test_the_columns_are_numbers_of_fixed_types() -> None:
    found = compute(texts(["a"] * 2, ["b"] * 2).lazy()).collect()
    assert dict(found.schema.items()) == dict(found.schema) | {f.name: f.dtype for f in FEATURES}
    assert all(f.dtype.is_numeric() for f in FEATURES)
    assert len({f.name for f in FEATURES}) == len(FEATURES)


def test_some_features_are_what_they_are_among_all() -> None:
    frame = texts([p for p, _ in EXAMPLES[:20]], [r for _, r in EXAMPLES[:20]]).lazy()
    whole = compute(frame).collect()
    for feature in FEATURES:
        alone = compute(frame, [feature]).collect()
        assert alone[feature.name].equals(whole[feature.name], null_equal=True)


def test_a_name_that_is_no_feature() -> None:
    with pytest.raises(UsageError, match="no computed feature 'n_word'; did you mean 'n_words'"):
        select_features(["n_word"])
    with pytest.raises(UsageError, match="no feature is named"):
        ComputedLabeler(names=())
    assert list(ComputedLabeler(names=("n_words", "n_chars")).types) == ["n_chars", "n_words"]


def test_nulls_stay_nulls() -> None:
    found = compute(texts([None, "a"], ["b", None]).lazy()).collect()
    assert found["overlap_with_prompt"].to_list() == [None, None]
    assert found["n_words"].to_list() == [1, None]
    assert isinstance(found, pl.DataFrame)
