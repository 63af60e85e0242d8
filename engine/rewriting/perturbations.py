"""Perturbations of responses without a model, after reWordBench (arXiv 2503.11751): the table.

What is asked of a reward model is that its judgement does not hang on what keeps the meaning, and that it
falls with what changes it. Each is a pure function of a response and a seeded generator; a new one is an
entry of `PERTURBATIONS`, and stands then in the help, in `docs/guide.md` and in every table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from seal.engine.errors import UsageError, nearest
from seal.engine.frames.perturbed import CHANGES_MEANING
from seal.engine.rewriting import framing, meaning, rewording, surface

Make = Callable[[str, Random], str | None]

REVISION = 1  # raised whenever a perturbation gives another text, so that no folder mixes two
ALL = "all"
ANOTHER = "answer_of_another_prompt"


@dataclass(frozen=True)
class Perturbation:
    """One way to perturb a response.

    Attributes:
        name: in small letters; its variant is `perturb:<name>`.
        says: what it does, in one line.
        promise: what it keeps of the text, which tests hold it to.
        make: response and generator -> the perturbed response, never the same text; None where it does not
            apply. None of `ANOTHER`, whose text the stage draws from other pairs.
        rate: share of the places that are changed, at least one of them; None where all are.
    """

    name: str
    says: str
    promise: str
    make: Make | None
    rate: float | None = None

    @property
    def keeps_meaning(self) -> bool:
        """Whether what the response says stays."""
        return self.name not in CHANGES_MEANING


_INSIDE = "the response stands in it as it is"
_SAME_WORDS = "all characters but the marks and white space, in order"


PERTURBATIONS = (
    Perturbation(
        "extra_white_space", "a fifth of the single spaces between words become two or three",
        "all characters but white space, in order", surface.extra_white_space, rate=surface.SPACE_RATE,
    ),
    Perturbation(
        "line_wrapping", f"lines are broken at spaces behind at most {surface.WRAPPED} columns",
        "all characters, spaces being line breaks", surface.line_wrapping,
    ),
    Perturbation(
        "typo_swap", "in a tenth of the longer words two letters change places",
        "the letters of each word, its first and last in place", surface.typo_swap, rate=surface.TYPO_RATE,
    ),
    Perturbation(
        "typo_drop", "in a tenth of the longer words a letter is missing",
        "all characters but a letter of a word, in order", surface.typo_drop, rate=surface.TYPO_RATE,
    ),
    Perturbation(
        "typo_double", "in a tenth of the longer words a letter stands twice",
        "all characters, in order", surface.typo_double, rate=surface.TYPO_RATE,
    ),
    Perturbation(
        "homoglyphs", "a tenth of the letters that have a double in another script become it",
        "the text to the eye", surface.homoglyphs, rate=surface.HOMOGLYPH_RATE,
    ),
    Perturbation(
        "first_letter_case", "the first letter changes its case",
        "all letters, case aside", surface.first_letter_case,
    ),
    Perturbation(
        "contractions_expanded", "don't becomes do not",
        "all words, contractions written out", rewording.contractions_expanded,
    ),
    Perturbation(
        "contractions_made", "do not becomes don't",
        "all words, contractions written out", rewording.contractions_made,
    ),
    Perturbation(
        "quotes_curly", "straight quotes and apostrophes become curly",
        "all characters, quotes being straight", surface.quotes_curly,
    ),
    Perturbation(
        "quotes_straight", "curly quotes and apostrophes become straight",
        "all characters, quotes being straight", surface.quotes_straight,
    ),
    Perturbation(
        "numerals_to_words", "whole numbers to 100 are written as words",
        "all words, numbers as numerals", rewording.numerals_to_words,
    ),
    Perturbation(
        "words_to_numerals", "numbers to 100 in words become numerals",
        "all words, numbers as numerals", rewording.words_to_numerals,
    ),
    Perturbation(
        "british_spelling", "color becomes colour",
        "all words, spelled the American way", rewording.british_spelling,
    ),
    Perturbation(
        "american_spelling", "colour becomes color",
        "all words, spelled the American way", rewording.american_spelling,
    ),
    Perturbation("markdown_stripped", "marks of Markdown go", _SAME_WORDS, framing.markdown_stripped),
    Perturbation("markdown_bold", "the first sentence is set in bold", _SAME_WORDS, framing.markdown_bold),
    Perturbation("markdown_list", "each sentence becomes an item of a list", _SAME_WORDS,
                 framing.markdown_list),
    Perturbation("code_fence", "it is fenced as code is", _INSIDE, framing.code_fence),
    Perturbation("handles_and_urls", "a made-up handle and address stand behind it", _INSIDE,
                 framing.handles_and_urls),
    Perturbation("ignore_above", "an idle sentence to be ignored stands before it", _INSIDE,
                 framing.ignore_above),
    Perturbation("ignore_below", "an idle sentence to be ignored stands behind it", _INSIDE,
                 framing.ignore_below),
    Perturbation("opening_added", "it opens with Sure! or the like", _INSIDE, framing.opening_added),
    Perturbation(
        "opening_removed", "an opening Sure, or the like goes",
        "all that follows, but for the case of its first letter", framing.opening_removed,
    ),
    Perturbation("politeness_added", "a polite sentence stands behind it", _INSIDE,
                 framing.politeness_added),
    Perturbation("emoji_added", "an emoji stands behind it", _INSIDE, framing.emoji_added),
    Perturbation("sentences_shuffled", "its sentences stand in another order",
                 "the sentences", meaning.sentences_shuffled),
    Perturbation("last_sentence_cut", "its last sentence is missing",
                 "all that comes before", meaning.last_sentence_cut),
    Perturbation("repeated_twice", "it stands twice", "the response, two times", meaning.repeated_twice),
    Perturbation(ANOTHER, "a response to another prompt stands in its place", "nothing of it", None),
    Perturbation("negation_inserted", "not is put behind the first is, can, will or the like",
                 "all characters but the one word", meaning.negation_inserted),
)  # fmt: skip
"""In the order in which tables and figures show them."""

NAMES = tuple(p.name for p in PERTURBATIONS)


def chosen(names: Sequence[str]) -> tuple[Perturbation, ...]:
    """The perturbations of some names, in the order of the table; `all` stands for every one.

    Raises:
        UsageError: a name is none, or there are no names.
    """
    for name in names:
        if name not in (*NAMES, ALL):
            raise UsageError(f"no perturbation is called {name!r}; {nearest(name, (*NAMES, ALL))}")
    if not names:
        raise UsageError(f"name the perturbations, or write {ALL}; there are {', '.join(NAMES)}")
    return tuple(p for p in PERTURBATIONS if ALL in names or p.name in names)
