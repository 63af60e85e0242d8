"""What each perturbation promises to keep, held on any text; what it does to texts that it is made for."""

import re
import time
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.engine.errors import UsageError
from seal.engine.rewriting.meaning import sentences
from seal.engine.rewriting.perturbations import ANOTHER, NAMES, PERTURBATIONS, chosen
from seal.engine.rewriting.rewording import FULL, NUMBERS
from seal.engine.rewriting.spelling import AMERICAN, BRITISH
from seal.engine.rewriting.surface import DOUBLES, STRAIGHT

BY_NAME = {p.name: p for p in PERTURBATIONS}
MADE = [p for p in PERTURBATIONS if p.make is not None]

TOLD = (
    "I don't you do not it's it is been cannot can't We’re they are will won't colour Color organize "
    "organised travelled center 3 42 100 0 twenty-one seven Ten one the and of in for is can't. yes, "
    "no! why? (aside) \"quoted\" 'single' “curly” ‘other’ **bold** *it* `code` ```fence``` # > - 1. 2) "
    "https://a.example/x?y=1 Sure, Certainly! 😊 é e\u0301 שלום مرحبا 你好。再见！ ไทย हिन्दी Straße "
    "İstanbul ﬁne \u200d \u2028 … —"
)
WORDS = TOLD.split(" ")
SPACES = st.sampled_from([" ", " ", " ", "  ", "\n", "\n\n", "\t", ""])
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.tuples(st.sampled_from(WORDS), SPACES), max_size=60).map(
        lambda pairs: "".join(word + space for word, space in pairs)
    ),
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), max_size=30).map(" ".join),
)


def squeezed(text: str) -> str:
    return "".join(text.split())


def is_inside(part: str, whole: str) -> bool:
    """Whether all characters of a text stand in another in order."""
    rest = iter(whole)
    return all(letter in rest for letter in part)


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def straightened(text: str) -> str:
    return text.translate(str.maketrans(STRAIGHT))


def written_out(text: str) -> list[str]:
    """Words in small letters, contractions by the table; "has" and "is" are one word of 's."""
    plain = straightened(text).lower()
    return re.sub(r"[a-z]+'[a-z]+", lambda m: FULL.get(m[0], m[0]), plain).replace(" has", " is").split()


def numbered(text: str) -> str:
    words = "|".join(sorted(NUMBERS, key=len, reverse=True))
    return re.sub(rf"\b(?:{words})\b", lambda m: str(NUMBERS.index(m[0])), text.lower())


def american(text: str) -> str:
    return re.sub(r"[a-z]+", lambda m: AMERICAN.get(m[0], m[0]), text.lower())


def same_words(before: str, after: str) -> bool:
    pairs = zip(before.split(), after.split(), strict=True)
    return all(Counter(a) == Counter(b) and a[0] == b[0] and a[-1] == b[-1] for a, b in pairs)


def one_case(before: str, after: str) -> bool:
    differ = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    return len(differ) == 1 and differ[0][0].swapcase() == differ[0][1]


def listed(before: str, after: str) -> bool:
    lines = after.split("\n")
    return all(x.startswith("- ") for x in lines) and squeezed("".join(x[2:] for x in lines)) == squeezed(
        before
    )


def without_opening(before: str, after: str) -> bool:
    kept = after.lstrip()
    return before.endswith(kept[1:]) and before[len(before) - len(kept)].upper() == kept[0].upper()


def reordered(before: str, after: str) -> bool:
    return Counter(before) == Counter(after) and all(said in after for said in sentences(before)[0])


def contains(before: str, after: str) -> bool:
    return before.strip() in after


PROMISES = {
    "extra_white_space": lambda a, b: re.sub(" +", " ", a) == re.sub(" +", " ", b),
    "line_wrapping": lambda a, b: a.replace("\n", " ") == b.replace("\n", " "),
    "typo_swap": same_words,
    "typo_drop": lambda a, b: is_inside(b, a) and len(a.split()) == len(b.split()),
    "typo_double": lambda a, b: is_inside(a, b) and len(a.split()) == len(b.split()),
    "homoglyphs": lambda a, b: (t := str.maketrans({v: k for k, v in DOUBLES.items()}))
    and a.translate(t) == b.translate(t),
    "first_letter_case": one_case,
    "contractions_expanded": lambda a, b: written_out(a) == written_out(b),
    "contractions_made": lambda a, b: written_out(a) == written_out(b),
    "quotes_curly": lambda a, b: straightened(a) == straightened(b),
    "quotes_straight": lambda a, b: straightened(a) == straightened(b),
    "numerals_to_words": lambda a, b: numbered(a) == numbered(b),
    "words_to_numerals": lambda a, b: numbered(a) == numbered(b),
    "british_spelling": lambda a, b: american(a) == american(b),
    "american_spelling": lambda a, b: american(a) == american(b),
    "markdown_stripped": lambda a, b: is_inside(b, a) and letters(a) == letters(b),
    "markdown_bold": lambda a, b: b.replace("**", "") == a,
    "markdown_list": listed,
    "opening_removed": without_opening,
    "sentences_shuffled": reordered,
    "last_sentence_cut": lambda a, b: a.startswith(b) and 0 < len(b) < len(a),
    "repeated_twice": lambda a, b: b == f"{a}\n\n{a}",
    "negation_inserted": lambda a, b: any(
        f"{a[:m.end()]} not{a[m.end():]}" == b for m in re.finditer(r"\b\w+\b", a)
    ),
    **dict.fromkeys(
        ("code_fence", "handles_and_urls", "ignore_above", "ignore_below", "opening_added",
         "politeness_added", "emoji_added"), contains,
    ),
}  # fmt: skip


def test_every_perturbation_has_a_promise_that_is_tested():
    assert {*PROMISES, ANOTHER} == set(NAMES)
    assert len(NAMES) == len(set(NAMES)) >= 22
    assert all(re.fullmatch("[a-z_]+", name) for name in NAMES)


@pytest.mark.parametrize("p", MADE, ids=lambda p: p.name)
@given(text=TEXTS, seed=st.integers(0, 1 << 64))
@settings(max_examples=150, deadline=None)
def test_the_promise_holds_on_any_text(p, text, seed):
    after = p.make(text, Random(seed))
    assert after == p.make(text, Random(seed))
    if after is not None:
        assert after != text
        after.encode()  # no lone surrogate
        assert PROMISES[p.name](text, after)


CASES = [
    ("extra_white_space", "a b", ["a  b", "a   b"]),
    ("line_wrapping", f"{'word ' * 14}end", [f"{'word ' * 11}word\nword word end"]),
    ("typo_swap", "to be able", ["to be albe"]),
    ("typo_drop", "so it goes", ["so it ges", "so it gos"]),
    ("typo_double", "so it goes", ["so it gooes", "so it goees"]),
    ("homoglyphs", "dtk gh c", ["dtk gh с"]),  # the last letter is Cyrillic
    ("first_letter_case", "(Yes", ["(yes"]),
    ("contractions_expanded", "I'm sure it’s been fun; we can't.", ["I am sure it has been fun; we cannot."]),
    ("contractions_made", "I am sure it is fun. Do not go. So it is.",
     ["I'm sure it's fun. Don't go. So it is."]),
    ("quotes_curly", '"It\'s" (\'so\')', ["“It’s” (‘so’)"]),
    ("quotes_straight", "“It’s” ‘so’", ["\"It's\" 'so'"]),
    ("numerals_to_words", "1. The 3 cats, 42 of 1,000, 2.5 and 7.", 
     ["1. The three cats, forty-two of 1,000, 2.5 and seven."]),
    ("words_to_numerals", "Seven cats and twenty-one dogs, one of two", ["7 cats and 21 dogs, one of 2"]),
    ("british_spelling", "Colors of the Center, ORGANIZED", ["Colours of the Centre, ORGANISED"]),
    ("american_spelling", "A neighbour travelled", ["A neighbor traveled"]),
    ("markdown_stripped", "# Head\n- **bold** and *it* and `x`", ["Head\nbold and it and x"]),
    ("markdown_bold", "One thing. Two.", ["**One thing.** Two."]),
    ("markdown_list", "One thing. Two.", ["- One thing.\n- Two."]),
    ("code_fence", "x = 1", ["```\nx = 1\n```"]),
    ("opening_removed", "Sure, here it is.", ["Here it is."]),
    ("sentences_shuffled", "One. Two!", ["Two! One."]),
    ("last_sentence_cut", "One. Two!\n1. Three.\n", ["One. Two!"]),
    ("repeated_twice", "x", ["x\n\nx"]),
    ("negation_inserted", "What it does is good. It is.", ["What it does is not good. It is."]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after"), CASES, ids=[c[0] for c in CASES])
def test_what_it_does_to_a_text_that_it_is_made_for(name, before, after):
    assert {BY_NAME[name].make(before, Random(seed)) for seed in range(40)} == set(after)


@pytest.mark.parametrize("p", MADE, ids=lambda p: p.name)
def test_it_does_not_apply_to_nothing(p):
    assert p.make("", Random(0)) is None
    assert p.make(" \n", Random(0)) is None


def test_code_and_addresses_stay_whole():
    text = "See `first second third` and https://example.com/some/word now: ```\nlonger words here\n```"
    for name in (
        "extra_white_space",
        "typo_swap",
        "typo_drop",
        "homoglyphs",
        "quotes_curly",
        "line_wrapping",
    ):
        for seed in range(20):
            after = BY_NAME[name].make(text, Random(seed)) or text
            assert "`first second third`" in after, name
            assert "https://example.com/some/word" in after, name
            assert "```\nlonger words here\n```" in after, name


def test_rates_are_what_the_table_says():
    text = "word " * 5_000
    assert BY_NAME["typo_drop"].make(text, Random(1)).split().count("word") == 4_500
    doubled = BY_NAME["extra_white_space"].make(text.strip(), Random(1))
    assert len(re.findall("  +", doubled)) == round(0.2 * 4_999)
    plain = "ace" * 1_000
    alike = BY_NAME["homoglyphs"].make(plain, Random(1))
    assert sum(a != b for a, b in zip(plain, alike, strict=True)) == 300


@pytest.mark.parametrize("p", MADE, ids=lambda p: p.name)
@pytest.mark.parametrize("unit", ["A word isn't 3 colours. ", "word ", "**", "x" * 50, " ", "don't'", "1. "])
def test_a_very_long_text_takes_linear_time(p, unit):
    began = time.process_time()
    p.make(unit * (200_000 // len(unit)), Random(0))
    assert time.process_time() - began < 5  # quadratic time would be minutes; here tenths of a second


def test_spellings_are_told_apart_and_back():
    assert len(AMERICAN) == len(BRITISH) > 900
    assert not AMERICAN.keys() & BRITISH.keys()


def test_sentences_laid_out_are_the_text():
    text = "1. One. Two? “Three.” Four\n\nFive。Six！"
    pieces, between = sentences(text)
    assert "".join(a + b for a, b in zip(pieces, [*between, ""], strict=True)) == text
    assert pieces == ["1. One.", "Two?", "“Three.”", "Four", "Five。", "Six！"]


def test_names_are_looked_up_in_the_order_of_the_table():
    assert [p.name for p in chosen(("typo_swap", "line_wrapping"))] == ["line_wrapping", "typo_swap"]
    assert chosen(("all",)) == PERTURBATIONS
    with pytest.raises(UsageError, match="did you mean 'typo_swap'"):
        chosen(("typo_swp",))
    with pytest.raises(UsageError, match="line_wrapping"):
        chosen(())
