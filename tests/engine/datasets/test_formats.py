"""Record -> pair for every format, without files."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.engine.datasets.fields import Record
from seal.engine.datasets.formats import FORMATS, Format, detect
from seal.engine.datasets.transcripts import Malformed, check_pair, cut_messages, cut_transcript

HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello. \n\nHuman: Sum?\n\nAssistant: 4",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello. \n\nHuman: Sum?\n\nAssistant:",
}
PAIRS = {"prompt": "Sum? ", "chosen": " 4", "rejected": "5\n"}
USER, GOOD, BAD = (
    {"role": "user", "content": "Sum?"},
    {"role": "assistant", "content": "4"},
    {"content": "5", "role": "assistant"},
)
MESSAGES = {"chosen": [USER, GOOD], "rejected": [USER, BAD]}
ULTRAFEEDBACK = {
    "prompt": "Sum?", "prompt_id": "p1", **MESSAGES, "messages": [USER, GOOD], "score_chosen": 8.5,
    "score_rejected": 7,
}  # fmt: skip
REWARDBENCH = PAIRS | {"chosen_model": "a", "rejected_model": "b", "subset": "math-prm", "id": 3}
WEBGPT = {
    "question": {"dataset": "eli5", "id": "q", "full_text": "Why?"}, "answer_0": "Zero", "answer_1": "One",
    "score_0": -0.5, "score_1": 0.5, "quotes_0": {}, "tokens_0": {},
}  # fmt: skip
SUMMARIZE = {
    "info": {"id": "t3", "post": "Long.", "title": "T", "subreddit": "tifu", "site": None, "article": None},
    "summaries": [{"text": " Short", "policy": "sup4", "note": None}, {"text": " Shorter", "policy": "ref"}],
    "choice": 1, "worker": "w", "batch": "b7", "split": "train", "extra": {"confidence": 8},
}  # fmt: skip
HELPSTEER3 = {
    "domain": "code", "language": "python", "context": [USER, GOOD, {"role": "user", "content": "Sure?"}],
    "response1": "Yes", "response2": "No", "overall_preference": -2, "individual_preference": [],
}  # fmt: skip
BEST_OF = {
    "id": "0", "prompt": "Sum?", "chosen": ["4"], "rejected": ["5", "6", "7"], "num_correct": 1,
    "num_incorrect": 3, "total_completions": 4, "models": ["a", "b", "c", "d"], "subset": "Math",
    "additional_metadata": None,
}  # fmt: skip
COMPLETIONS = {
    "source": "evol_instruct", "instruction": "Sum?", "models": ["a", "b"], "correct_answers": ["None"],
    "incorrect_answers": ["None"],
    "completions": [
        {
            "annotations": {"helpfulness": {"Rating": "2", "Rationale": "Meh."}}, "critique": "Wrong.",
            "custom_system_prompt": "Be helpful.", "fine-grained_score": 1.25, "model": "a",
            "overall_score": 2.0, "principle": "helpfulness", "response": "5",
        },
        {
            "annotations": {"helpfulness": {"Rating": "5", "Rationale": "Good."}}, "critique": "Right.",
            "custom_system_prompt": "Be honest.", "fine-grained_score": 4.75, "model": "b",
            "overall_score": 8.5, "principle": "honesty", "response": "4",
        },
    ],
}  # fmt: skip
NECTAR = {
    "prompt": "\n\nHuman: Sum?\n\nAssistant: ", "turns": 1, "num_responses": 2, "source": ["sharegpt"],
    "answers": [{"answer": "5", "model": "a", "rank": 2.0}, {"answer": "4", "model": "b", "rank": 1.0}],
    "good_natured": True,
}  # fmt: skip
RECORDS = {
    "rewardbench2": BEST_OF, "ultrafeedback-completions": COMPLETIONS, "nectar": NECTAR,
    "hh": HH, "pairs": PAIRS, "messages": MESSAGES, "ultrafeedback": ULTRAFEEDBACK,
    "rewardbench": REWARDBENCH, "webgpt": WEBGPT, "summarize": SUMMARIZE, "helpsteer3": HELPSTEER3,
}  # fmt: skip
SUM = ("\n\nHuman: Sum?\n\n", "Assistant: 4", "\n\nHuman: Sum?\n\n", "Assistant: 5")
EXPECTED = {
    "rewardbench2": ("Sum?", "4", "Sum?", "5"),
    "ultrafeedback-completions": ("Sum?", "4", "Sum?", "5"),
    "nectar": SUM,
    "hh": (
        "\n\nHuman: Hi\n\nAssistant: Hello. \n\nHuman: Sum?\n\n", "Assistant: 4",
        "\n\nHuman: Hi\n\nAssistant: Hello. \n\nHuman: Sum?\n\n", "Assistant:",
    ),
    "pairs": ("Sum? ", " 4", "Sum? ", "5\n"),
    "messages": SUM,
    "ultrafeedback": SUM,
    "rewardbench": ("Sum? ", " 4", "Sum? ", "5\n"),
    "webgpt": ("Why?", "One", "Why?", "Zero"),
    "summarize": (
        "SUBREDDIT: r/tifu\n\nTITLE: T\n\nPOST: Long.\n\nTL;DR:", " Shorter",
        "SUBREDDIT: r/tifu\n\nTITLE: T\n\nPOST: Long.\n\nTL;DR:", " Short",
    ),
    "helpsteer3": (
        "\n\nHuman: Sum?\n\nAssistant: 4\n\nHuman: Sure?\n\n", "Assistant: Yes",
        "\n\nHuman: Sum?\n\nAssistant: 4\n\nHuman: Sure?\n\n", "Assistant: No",
    ),
}  # fmt: skip
META = {
    "rewardbench2": {"subset": "Math"},
    "ultrafeedback-completions": {
        "source": "evol_instruct",
        "score_chosen": 8.5,
        "score_rejected": 2.0,
        "model_chosen": "b",
        "model_rejected": "a",
    },
    "nectar": {"rank_chosen": 1.0, "rank_rejected": 2.0, "model_chosen": "b", "model_rejected": "a"},
    "ultrafeedback": {"prompt_id": "p1", "score_chosen": 8.5, "score_rejected": 7},
    "rewardbench": {"subset": "math-prm", "chosen_model": "a", "rejected_model": "b"},
    "webgpt": {"score_margin": 1.0, "dataset": "eli5"},
    "summarize": {"subreddit": "tifu", "worker": "w", "batch": "b7", "confidence": 8},
    "helpsteer3": {"overall_preference": -2, "domain": "code", "language": "python"},
}


def first(known: Format, record: Record) -> Record:
    """What of a record is parsed first: itself, or its first comparison."""
    if known.unroll is None:
        return record
    found = next(iter(known.unroll(record)))
    if isinstance(found, Malformed):
        raise found
    return found


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_each_format_is_detected_and_parsed(name: str) -> None:
    known = detect([RECORDS[name]])
    assert known is not None
    assert known.name == name
    record = first(known, RECORDS[name])
    pair = known.parse(record)
    check_pair(pair, 1000)
    assert tuple(pair) == EXPECTED[name]
    assert {m.name: m.read(record) for m in known.meta} == META.get(name, {})
    assert {c for c in known.columns if c in RECORDS[name]}, "a Parquet file is read by these columns"


@pytest.mark.parametrize("name", RECORDS)
def test_what_a_format_reads_is_among_its_columns(name: str) -> None:
    known = FORMATS[name]
    whole = first(known, RECORDS[name])
    projected = first(known, {c: v for c, v in RECORDS[name].items() if c in known.columns})
    assert known.parse(projected) == known.parse(whole)
    assert [m.read(projected) for m in known.meta] == [m.read(whole) for m in known.meta]


def test_every_format_is_covered_here() -> None:
    assert {*RECORDS, "synthetic-instruct", "implicit"} == set(FORMATS)
    assert FORMATS["synthetic-instruct"].parse(PAIRS) == FORMATS["pairs"].parse(PAIRS)


def test_the_most_frequent_shape_wins_and_none_is_no_format() -> None:
    assert detect([{"chosen": None}, PAIRS, HH, HH]) is FORMATS["hh"]
    assert detect([{"text": "a", "label": 1}, {}]) is None
    assert detect([]) is None
    assert detect([{"prompt": None} | HH]) is FORMATS["hh"]


def test_implicit_prompt_is_cut_at_the_last_shared_space() -> None:
    parse = FORMATS["implicit"].parse
    pair = parse({"chosen": "The sky is blue.", "rejected": "The sky is black."})
    assert tuple(pair) == ("The sky is ", "blue.", "The sky is ", "black.")
    with pytest.raises(Malformed) as caught:
        parse({"chosen": "same", "rejected": "same"})
    assert caught.value.code == "no_preference"


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("prompt", "response", "expected"),
    [
        (None, [USER, GOOD], ("\n\nHuman: Sum?\n\n", "Assistant: 4")),
        ("Sum?", [GOOD], ("\n\nHuman: Sum?\n\n", "Assistant: 4")),
        ([SYSTEM, USER], [GOOD], ("\n\nSystem: Be brief.\n\nHuman: Sum?\n\n", "Assistant: 4")),
        ([USER], "4", ("\n\nHuman: Sum?\n\n", "Assistant: 4")),
        ("not used", [SYSTEM, USER, GOOD], ("\n\nSystem: Be brief.\n\nHuman: Sum?\n\n", "Assistant: 4")),
        ("Sum?", [GOOD, USER, BAD], ("\n\nHuman: Sum?\n\nAssistant: 4\n\nHuman: Sum?\n\n", "Assistant: 5")),
        (
            None,
            [USER, {"role": "assistant", "content": "He said\n\nAssistant: hi"}],
            ("\n\nHuman: Sum?\n\n", "Assistant: He said\n\nAssistant: hi"),
        ),
    ],
)
def test_messages_are_rendered_as_a_transcript(
    prompt: object, response: object, expected: tuple[str, str]
) -> None:
    assert cut_messages(prompt, response, "chosen") == expected


@given(st.text(), st.text())
def test_a_cut_transcript_is_the_transcript_to_the_byte(head: str, tail: str) -> None:
    text = f"\n\nHuman:{head}\n\nAssistant:{tail}"
    if "\n\nHuman:" in text[text.rfind("\n\nAssistant:") :]:
        return
    prompt, response = cut_transcript(text, "chosen")
    assert prompt + response == text
    assert prompt.endswith("\n\n")
    assert response.startswith("Assistant:")
    assert "\n\nAssistant:" not in response


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["Sum?", USER]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "text"]), inner)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("name", FORMATS)
@given(st.data())
def test_whatever_a_record_holds_it_is_a_pair_or_malformed(name: str, data: st.DataObject) -> None:
    known = FORMATS[name]
    record = dict(RECORDS.get(name, PAIRS))
    for column in data.draw(st.lists(st.sampled_from(known.columns), min_size=1, max_size=3)):
        record[column] = data.draw(JSON)
    detect([record])
    with suppress(Malformed):
        one = first(known, record)
        check_pair(known.parse(one), 1000)
        for meta in known.meta:
            meta.read(one)


def test_an_article_is_summarized_too() -> None:
    record = SUMMARIZE | {"info": {"post": None, "article": "News."}, "choice": 0.0}
    assert tuple(FORMATS["summarize"].parse(record))[:2] == ("Article:\nNews.\n\nTL;DR:", " Short")


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("webgpt", {"score_0": math.nan}, "bad_preference"),
        ("webgpt", {"score_0": 10**400}, "bad_preference"),
        ("webgpt", {"score_1": True}, "wrong_type"),
        ("webgpt", {"score_1": None}, "wrong_type"),
        ("webgpt", {"question": "Why?"}, "missing_field"),
        ("summarize", {"choice": 2}, "bad_preference"),
        ("summarize", {"choice": "1"}, "wrong_type"),
        ("summarize", {"summaries": [{"text": "one"}]}, "wrong_type"),
        ("summarize", {"summaries": [{"text": "one"}, "two"]}, "missing_field"),
        ("summarize", {"info": {}}, "missing_field"),
        ("helpsteer3", {"overall_preference": 4}, "bad_preference"),
        ("helpsteer3", {"overall_preference": 1.5}, "bad_preference"),
        ("helpsteer3", {"context": []}, "no_user_turn"),
        ("messages", {"chosen": [GOOD], "prompt": None}, "no_user_turn"),
        ("messages", {"chosen": [USER, "4"]}, "bad_message"),
        ("messages", {"chosen": [USER, {"content": "4"}]}, "bad_message"),
        ("messages", {"chosen": [USER, {"role": ["x"], "content": "4"}]}, "unknown_role"),
    ],
)
def test_what_a_format_refuses(name: str, change: dict[str, object], code: str) -> None:
    with pytest.raises(Malformed) as caught:
        FORMATS[name].parse(RECORDS[name] | change)
    assert caught.value.code == code
    assert len(caught.value.reason) > 15
