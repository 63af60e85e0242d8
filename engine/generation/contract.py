"""The contract between the engine and what runs a decoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Request:
    """One message to a decoder. Its answer does not depend on the requests beside it.

    Attributes:
        message: what the user says, in one turn; never read as template markers or control tokens.
        max_tokens: the most tokens the answer may have; of no meaning with `choices`.
        schema: a JSON schema that the answer is held to.
        choices: the answer is one of these, read from its probability as the first token; at least two.
        temperature: 0 takes the likeliest token.
        seed: of the sampling, where the temperature is not 0.
    """

    message: str
    max_tokens: int = 1
    schema: Mapping[str, Any] | None = None
    choices: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int = 0


Stop = Literal["done", "cut", "too_long", "refused"]
"""Why an answer ended: by itself; at `max_tokens`; it was never begun, because the message does not fit; the
server would not give one."""


@dataclass(frozen=True)
class Answer:
    """What a decoder said to a `Request`.

    Attributes:
        text: the answer, cut where it was cut; for choices the likeliest one.
        stop: why it ended.
        detail: for people, where it did not end by itself.
        probabilities: of the request's choices in their order, summing to 1; empty without choices.
        n_prompt: tokens of the message in its template, 0 where unknown.
        n_cached: of these, tokens that were not computed again.
        n_generated: tokens of the answer.
    """

    text: str
    stop: Stop = "done"
    detail: str = ""
    probabilities: tuple[float, ...] = ()
    n_prompt: int = 0
    n_cached: int = 0
    n_generated: int = 0


Told = Callable[[int], None]
"""Hears of answers as they come: how many more there are. Called on the thread that asked."""


def untold(n: int) -> None:
    """Hears of nothing."""


class TextGenerator(Protocol):
    """A decoder that answers messages: `vllm`, `transformers` or a server behind `openai`."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything about it that can change an answer, as plain JSON values, for the manifest."""

    def answer(self, requests: Sequence[Request], told: Told = untold) -> list[Answer]:
        """Answer each request, in their order.

        Requests that share a prefix are best put side by side. A message too long for the model gets an
        answer that says so; the others are not affected.

        Args:
            requests: what to answer.
            told: hears of answers as they come, so that long work shows signs of life.

        Raises:
            UsageError: the model cannot answer requests of this kind (a choice that is no single token).
            SealError: the model or its server failed, and asking again did not help.
        """

    def count_tokens(self, message: str) -> int | None:
        """Tokens of a message in its template; None where only the server could tell."""

    @property
    def context(self) -> int | None:
        """Tokens that message and answer may have together; None where only the server knows."""


@dataclass(frozen=True)
class Overheard:
    """A generator whose answers somebody hears of as they come.

    Attributes:
        generator: who answers.
        told: who hears.
    """

    generator: TextGenerator
    told: Told

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.generator.identity

    @property
    def context(self) -> int | None:
        return self.generator.context

    def count_tokens(self, message: str) -> int | None:
        return self.generator.count_tokens(message)

    def answer(self, requests: Sequence[Request], told: Told = untold) -> list[Answer]:
        def both(n: int) -> None:
            self.told(n)
            told(n)

        return self.generator.answer(requests, both)
