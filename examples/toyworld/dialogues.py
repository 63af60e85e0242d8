"""From draws to words: the transcripts of a chunk's pairs, in hh-rlhf form."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from examples.toyworld.draws import CORE_KINDS, EXTRA_KINDS, FLAG_KINDS, Draws
from examples.toyworld.grammar import SUBJECT, Clause, Grammar, Templates
from examples.toyworld.world import PLANTED_GROUNDS, WEIGHTED

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"

_HELPFUL, _REFUSAL, _SENTIMENT = (
    WEIGHTED.index(f"last_response_{name}") for name in ("is_helpful", "is_refusal", "sentiment")
)
_FIRST_WORDING, _SECOND_WORDING = 8, 16  # where the two responses' wording draws begin


@dataclass(frozen=True)
class Speaker:
    """Says a clause of a kind: which template and which synonyms follow from one integer.

    Attributes:
        clauses: kind -> the clauses that may be drawn.
        subjects: the phrases a subject index stands for.
    """

    clauses: Mapping[str, tuple[Clause, ...]]
    subjects: tuple[str, ...]

    @classmethod
    def of(cls, grammar: Grammar, templates: Templates) -> "Speaker":
        return cls(grammar.by_kind(templates), grammar.subjects)

    def say(self, kind: str, subject: int, draw: int) -> str:
        clauses = self.clauses[kind]
        index, draw = draw % len(clauses), draw // len(clauses)
        wordings = clauses[index].wordings
        return wordings[draw % len(wordings)].replace(SUBJECT, self.subjects[subject])


def transcripts(draws: Draws, speaker: Speaker, n_pairs: int) -> Iterator[tuple[str, str]]:
    """The (first, second) transcripts of the first `n_pairs` pairs of a chunk; the two always differ."""
    d, features = draws, draws.features.astype(int)
    columns = (d.n_turns, d.rich, d.note, d.subjects, d.early_core, d.early_extra, d.wording)
    responses = (features, d.flags, d.ground, d.sentiment_last, d.filler)
    contexts = zip(*(column[:n_pairs].tolist() for column in columns), strict=True)
    lasts = zip(*(column[:n_pairs].tolist() for column in responses), strict=True)
    for (n_turns, rich, note, subjects, core, extra, wording), last in zip(contexts, lasts, strict=True):
        context = _context(speaker, n_turns, rich, note, subjects, core, extra, wording)
        kinds_first, kinds_second = (_kinds(*(column[side] for column in last)) for side in (0, 1))
        first = _last(speaker, kinds_first, subjects[1], wording[_FIRST_WORDING:_SECOND_WORDING])
        words = wording[_SECOND_WORDING:]
        second = _last(speaker, kinds_second, subjects[1], words)
        while second == first:
            words = [draw * 5 // 3 + 1 for draw in words]
            second = _last(speaker, kinds_second, subjects[1], words)
        yield context + first, context + second


def _context(
    speaker: Speaker,
    n_turns: int,
    rich: bool,
    note: bool,
    subjects: list[int],
    core: list[int],
    extra: list[int],
    wording: list[int],
) -> str:
    """The dialogue up to and with the last assistant marker."""
    style = "rich" if rich else "plain"
    opening, last = subjects
    text = f"{HUMAN} {speaker.say(f'ask_{style}', opening, wording[0])}"
    if note:
        text += f" {speaker.say(f'note_{style}', opening, wording[1])}"
    for turn in range(n_turns - 1):
        text += ASSISTANT
        if core[turn] >= 0:
            text += f" {speaker.say(CORE_KINDS[core[turn]], opening, wording[2 + turn])}"
        if extra[turn] >= 0:
            text += f" {speaker.say(EXTRA_KINDS[extra[turn]], opening, wording[4 + turn])}"
        subject = last if turn == n_turns - 2 else opening
        text += f"{HUMAN} {speaker.say(f'follow_{style}', subject, wording[6 + turn])}"
    return text + ASSISTANT


def _kinds(
    features: list[int], flags: list[int], ground: int, sentiment_last: bool, filler: bool
) -> list[str]:
    """The kinds of clauses a last response says, in order."""
    kinds = ["refusal"] if features[_REFUSAL] else []
    if features[_HELPFUL]:
        kinds.append("helpful")
    elif not kinds:
        kinds.append("unhelpful")
    if filler:
        kinds.append("filler")
    for flag in flags:
        if flag >= 0:
            kind = FLAG_KINDS[flag]
            kinds.append(f"{kind}_{PLANTED_GROUNDS[ground]}" if kind == "discriminatory" else kind)
    if sentiment := features[_SENTIMENT]:
        kinds.insert(len(kinds) if sentiment_last else 0, "positive" if sentiment > 0 else "negative")
    return kinds


def _last(speaker: Speaker, kinds: list[str], subject: int, wording: list[int]) -> str:
    return "".join(f" {speaker.say(kind, subject, draw)}" for kind, draw in zip(kinds, wording, strict=False))
