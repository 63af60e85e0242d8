"""Numbers of the last response that need no model: lengths, layout, wording. All of it is polars expressions.

The *body* is the response without the marker `Assistant:` it may open with and without white space around it.
A *word* is a run of letters, digits and combining marks; an apostrophe inside joins (`don't` is one word), a
hyphen parts. Text without spaces between words (Chinese, say) is one word a run: read `n_chars` there.
Lists of words are compared in lower case, with a curly apostrophe taken as a straight one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from seal.engine.errors import UsageError, nearest
from seal.engine.frames.schema import TEXT_KEY
from seal.engine.labeling.contract import Labeled
from seal.engine.progress import Meter

REVISION = 1  # raised whenever a feature counts differently, so that no folder mixes two ways of counting

HEDGES = (
    "perhaps", "maybe", "possibly", "probably", "presumably", "apparently", "arguably", "seemingly",
    "supposedly", "somewhat", "likely", "generally", "usually", "might", "may", "could", "seem", "seems",
    "appear", "appears", "sort of", "kind of", "it depends", "not certain", "i'm not sure", "i am not sure",
    "i think", "i believe", "i guess", "i suppose", "i assume",
)  # fmt: skip
FIRST_PERSON = (
    "i", "i'm", "i've", "i'd", "i'll", "me", "my", "mine", "myself",
    "we", "we're", "we've", "we'd", "we'll", "us", "our", "ours", "ourselves",
)  # fmt: skip
SECOND_PERSON = (
    "you", "you're", "you've", "you'd", "you'll", "your", "yours", "yourself", "yourselves",
)  # fmt: skip
REFUSAL_LEADS = (
    "sorry", "i'm sorry", "i am sorry", "i apologize", "my apologies", "unfortunately", "i'm afraid",
    "i am afraid", "no", "oh", "well", "but", "however", "that",
)  # fmt: skip
REFUSALS = (
    "i can't", "i cannot", "i can not", "i couldn't", "i won't", "i will not", "i'm unable", "i am unable",
    "i'm not able", "i am not able", "i'm not going to", "i am not going to", "i must decline",
    "i have to decline", "i refuse", "i'd rather not", "i would rather not", "i don't want to",
    "i don't feel comfortable", "i'm not comfortable", "i am not comfortable", "i don't think i can",
    "i don't think i should", "i'm not allowed", "i am not allowed", "as an ai",
)  # fmt: skip

_WORD = r"[\p{L}\p{N}\p{M}]+(?:'[\p{L}\p{N}\p{M}]+)*"
_SPEAKER = r"(?:^|\n\n)(?:Human|Assistant|System):"
_CLOSERS = r"""["'”’»)\]*_]*"""
# An end mark before white space; a full-width one anywhere; the last sign of a line that has no end mark.
_SENTENCE_END = rf"[。！？]+{_CLOSERS}|[.!?…]{_CLOSERS}(?:\s|\z)|\S[^\S\n]*(?:\n|\z)"
_NUMBERED = r"(?m)^[ \t]*[0-9]{1,3}\.[ \t]+\S"
_LIST_ITEM = r"(?m)^[ \t]*(?:[-*+•–]|[0-9]{1,3}[.)])[ \t]+\S"
_HEADING = r"(?m)^ {0,3}#{1,6}[ \t]+\S"
_FENCE = r"(?m)^[ \t]*(?:```|~~~)"
_BOLD = r"\*\*[^*\n]+\*\*"
_FLAG = r"[\x{1F1E6}-\x{1F1FF}]{2}"
_PICTURE = rf"(?:{_FLAG}|[\x{{1F300}}-\x{{1FAFF}}\x{{2600}}-\x{{27BF}}][\x{{FE0F}}\x{{1F3FB}}-\x{{1F3FF}}]*)"
_EMOJI = rf"{_PICTURE}(?:\x{{200D}}{_PICTURE})*"

_body, _words, _spaced, _prompt_words = map(pl.col, ("body", "words", "spaced", "prompt_words"))
_n_words = _words.list.len()
_n_sentences = _body.str.count_matches(_SENTENCE_END) - _body.str.count_matches(_NUMBERED)


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)


def _any_of(phrases: Sequence[str]) -> str:
    """A pattern for phrases in `spaced`, where each word has two spaces to itself; longest first."""
    ordered = sorted(phrases, key=lambda phrase: -len(phrase.split()))
    return " (?:" + "|".join(phrase.replace(" ", "  ") for phrase in ordered) + ") "


def _phrases(phrases: Sequence[str]) -> pl.Expr:
    return _spaced.str.count_matches(_any_of(phrases))


@dataclass(frozen=True)
class ComputedFeature:
    """One numeric column.

    Attributes:
        name: of the column.
        counts: what it is, for people.
        expression: over the columns `body`, `words`, `spaced` and `prompt_words` (see `_prepared`).
        dtype: of the column.
    """

    name: str
    counts: str
    expression: pl.Expr
    dtype: pl.DataType = pl.Int32()  # noqa: RUF009  # a polars type is immutable


FEATURES = (
    ComputedFeature("n_chars", "characters (Unicode code points) of the body", _body.str.len_chars()),
    ComputedFeature("n_words", "words", _n_words),
    ComputedFeature(
        "n_sentences",
        "sentences: ended by . ! ? or … before white space, by a full-width mark, or by the end of a line; "
        "the number of a list item ends none",
        _n_sentences,
    ),
    ComputedFeature(
        "words_per_sentence", "n_words over n_sentences; null without sentences",
        _share(_n_words, _n_sentences), pl.Float32(),
    ),
    ComputedFeature(
        "n_list_items", "lines that open with - * + • – or a number and . or )",
        _body.str.count_matches(_LIST_ITEM),
    ),
    ComputedFeature("n_headings", "Markdown headings, # to ######", _body.str.count_matches(_HEADING)),
    ComputedFeature(
        "n_code_blocks", "blocks between ``` or ~~~ fences, an open one included",
        (_body.str.count_matches(_FENCE) + 1) // 2,
    ),
    ComputedFeature("n_bold", "passages in **bold**", _body.str.count_matches(_BOLD)),
    ComputedFeature("n_questions", "runs of question marks", _body.str.count_matches("[?？؟]+")),
    ComputedFeature("n_exclamations", "runs of exclamation marks", _body.str.count_matches("[!！]+")),
    ComputedFeature("n_hedges", "words and phrases of HEDGES", _phrases(HEDGES)),
    ComputedFeature("n_first_person", "words of FIRST_PERSON", _phrases(FIRST_PERSON)),
    ComputedFeature("n_second_person", "words of SECOND_PERSON", _phrases(SECOND_PERSON)),
    ComputedFeature(
        "share_distinct_words", "distinct words over words; null without words",
        _share(_words.list.n_unique(), _n_words), pl.Float32(),
    ),
    ComputedFeature(
        "overlap_with_prompt",
        "share of the distinct words that stand in the prompt also, names of speakers aside; null without",
        _share(_words.list.set_intersection(_prompt_words).list.len(), _words.list.n_unique()), pl.Float32(),
    ),
    ComputedFeature(
        "opens_with_refusal",
        "1 where the words open with a phrase of REFUSALS, after any of REFUSAL_LEADS, else 0",
        _spaced.str.contains(f"^ (?:{_any_of(REFUSAL_LEADS)})*{_any_of(REFUSALS)}"), pl.Int8(),
    ),
    ComputedFeature(
        "n_emoji", "emoji; skin tones and joined ones count with theirs, a flag is one",
        _body.str.count_matches(_EMOJI),
    ),
)  # fmt: skip


def select_features(names: Collection[str] | None) -> tuple[ComputedFeature, ...]:
    """The features of these names, in the table's order; all of them for None.

    Raises:
        UsageError: a name is none of theirs (with the nearest), or there is none.
    """
    if names is None:
        return FEATURES
    known = [feature.name for feature in FEATURES]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no computed feature {unknown[0]!r}; {nearest(unknown[0], known)}")
    if not names:
        raise UsageError(f"no feature is named; there are: {', '.join(known)}")
    return tuple(feature for feature in FEATURES if feature.name in names)


def compute(texts: pl.LazyFrame, features: Sequence[ComputedFeature] = FEATURES) -> pl.LazyFrame:
    """The key of each text and its computed features.

    Args:
        texts: TEXTS with key, prompt and response; a null in either gives nulls.
        features: which.
    """
    columns = [feature.expression.cast(feature.dtype).alias(feature.name) for feature in features]
    return _prepared(texts).select(*TEXT_KEY, *columns)


def _prepared(texts: pl.LazyFrame) -> pl.LazyFrame:
    """What the expressions stand on: the body, its words, the words between spaces, the prompt's words."""
    body = pl.col("response").str.replace(r"^\s*Assistant:", "").str.strip_chars()
    prompt = pl.col("prompt").str.replace_all(_SPEAKER, " ")
    spaced = pl.lit("  ") + _words.list.join("  ") + pl.lit("  ")
    return (
        texts.with_columns(body=body, prompt_words=_words_of(prompt))
        .with_columns(words=_words_of(_body))
        .with_columns(spaced=spaced)
    )


def _words_of(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().str.replace_all("’", "'", literal=True).str.extract_all(_WORD)


class ComputedLabeler:
    """The labeler that computes (see `contract.Labeler`).

    Args:
        name: what its rows say under `labeler`.
        names: the features wanted; all of them when None.
    """

    def __init__(self, name: str = "computed", names: Collection[str] | None = None) -> None:
        self.name = name
        self._features = select_features(names)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "computed", "revision": REVISION, "features": [f.name for f in self._features]}

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        return {feature.name: feature.dtype for feature in self._features}

    def label(self, texts: pl.DataFrame, meter: Meter) -> Labeled:
        rows = compute(texts.lazy(), self._features).collect(engine="streaming").sort(TEXT_KEY)
        meter.batch(texts.height, 0, 0)
        return Labeled(rows)
