"""A text as a transcript, for one who rewrites it, and back into prompt and response.

A dialogue in hh form (see `datasets/transcripts.py`) is its own transcript. Any other prompt and response are
wrapped as one human turn and one assistant turn. What comes back is cut where the response opened before, and
the white space around the text is the source's again.
"""

import re
from dataclasses import dataclass
from typing import Self

_TURN = re.compile(r"(?:\A|\n\n)(Human|Assistant|System):")
_HUMAN, _ASSISTANT = "Human", "Assistant"
_OPENING = f"{_ASSISTANT}:"


@dataclass(frozen=True)
class Turn:
    """What one speaker says at a time.

    Attributes:
        speaker: `Human`, `Assistant` or `System`.
        said: without the opening word and the white space around.
        start: where its opening word stands in the transcript.
    """

    speaker: str
    said: str
    start: int


def turns_of(transcript: str) -> tuple[Turn, ...]:
    """The turns of a transcript without white space around it; none where it does not open with a turn."""
    found = list(_TURN.finditer(transcript))
    if not found or found[0].start() > 0:
        return ()
    ends = [*(mark.start() for mark in found[1:]), len(transcript)]
    return tuple(
        Turn(mark.group(1), transcript[mark.end() : end].strip(), mark.start(1))
        for mark, end in zip(found, ends, strict=True)
    )


@dataclass(frozen=True)
class Transcript:
    """A text as its rewriter sees it.

    Attributes:
        transcript: opens with its first turn, no white space around.
        turns: of it.
        n_before: turns before the response.
        opening: what of the response's opening word the prompt ends with: nothing, or `Assistant:` with the
            white space after it.
        wrapped: prompt and response as they were, where they were no transcript.
        around: white space before and after the text.
    """

    transcript: str
    turns: tuple[Turn, ...]
    n_before: int
    opening: str = ""
    wrapped: tuple[str, str] | None = None
    around: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, prompt: str, response: str) -> Self:
        """Take a text as it stands, or wrap it."""
        whole = prompt + response
        transcript = whole.strip()
        turns = turns_of(transcript)
        lead = len(whole) - len(whole.lstrip())
        if turns and turns[-1].speaker == _ASSISTANT and any(t.speaker == _HUMAN for t in turns):
            opening = prompt[lead + turns[-1].start :]
            if len(prompt) >= lead + turns[-1].start and opening.rstrip() in ("", _OPENING):
                around = whole[:lead], whole[len(whole.rstrip()) :]
                return cls(transcript, turns, len(turns) - 1, opening, None, around)
        before = f"{_HUMAN}: {prompt.strip()}"
        transcript = f"{before}\n\n{_OPENING} {response.strip()}".strip()
        return cls(transcript, turns_of(transcript), len(turns_of(before)), wrapped=(prompt, response))

    def cut(self, rewriting: str) -> tuple[str, str]:
        """Prompt and response of a rewriting with the same speakers."""
        text = rewriting.strip()
        start = turns_of(text)[self.n_before].start
        if self.wrapped is not None:
            said = text[len(_HUMAN) + 1 : start].strip(), text[start + len(_OPENING) :].strip()
            return _spaced(said[0], self.wrapped[0]), _spaced(said[1], self.wrapped[1])
        before, after = self.around
        prompt, response = before + text[:start], text[start:] + after
        if not self.opening:
            return prompt, response
        said_after = response[len(_OPENING) :]
        if self.opening[-1].isspace():
            said_after = said_after.lstrip()
        return prompt + self.opening, said_after


@dataclass(frozen=True)
class Response:
    """A response alone as its rewriter sees it: without the word that opens it, and the white space around.

    Attributes:
        text: as it came.
        said: what is rewritten.
        transcript: the same as a transcript of its own, for the checks.
    """

    text: str
    said: str
    transcript: Transcript

    @classmethod
    def of(cls, text: str) -> Self:
        """Take a response, opened by `Assistant:` or not."""
        said = _unopened(text)
        return cls(text, said, Transcript(opened(said), turns_of(opened(said)), 0))

    def cut(self, rewriting: str) -> str:
        """A rewriting in the response's place: opened as it was, the white space around it as it was."""
        lead = self.text[: len(self.text) - len(self.text.lstrip())]
        opening = _OPENING if self.text.lstrip().startswith(_OPENING) else ""
        rest = self.text[len(lead + opening) :]
        return (
            lead
            + opening
            + (_spaced(_unopened(rewriting), rest) if self.said else rest + _unopened(rewriting))
        )


def opened(said: str) -> str:
    """What an assistant says as a transcript."""
    return f"{_OPENING}\n{_unopened(said)}".strip()


def _unopened(text: str) -> str:
    return text.strip().removeprefix(_OPENING).strip()


def _spaced(said: str, like: str) -> str:
    """What was said, with the white space around it that another text has."""
    return like[: len(like) - len(like.lstrip())] + said + like[len(like.rstrip()) :]
