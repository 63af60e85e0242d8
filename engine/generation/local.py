"""What every local decoder does alike: refusing what does not fit, turning logits into shares."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.generation.chat import ChatEncoder
from seal.engine.generation.contract import Answer, Request, Told, untold


@dataclass(frozen=True)
class Prompt:
    """A request with its tokens; `index` is its place in what was asked."""

    index: int
    request: Request
    ids: list[int]


class LocalGenerator(ABC):
    """Most of `contract.TextGenerator`: a backend adds how it runs what fits, in `_run`.

    Args:
        decoder: its folder.
        context: tokens that message and answer may have together; never more than the model's own.
    """

    def __init__(self, decoder: Decoder, context: int | None) -> None:
        self._decoder, self._encoder = decoder, ChatEncoder(decoder)
        self.context = min(context or decoder.context, decoder.context)
        self._settings: dict[str, Any] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's hashes and what runs it."""
        made_of = self._encoder.facts | self._decoder.facts
        return {**self._settings, "context": self.context, **made_of}

    def count_tokens(self, message: str) -> int:
        return len(self._encoder.encode(message))

    def answer(self, requests: Sequence[Request], told: Told = untold) -> list[Answer]:
        answers: dict[int, Answer] = {}
        fitting = []
        for index, request in enumerate(requests):
            prompt = Prompt(index, request, self._encoder.encode(request.message))
            wanted = 1 if request.choices else request.max_tokens
            if (n_prompt := len(prompt.ids)) + wanted <= self.context:
                fitting.append(prompt)
                continue
            over = f"{n_prompt} tokens and {wanted} for the answer; the model takes {self.context} in all"
            answers[index] = Answer("", "too_long", over, n_prompt=n_prompt)
        if answers:
            told(len(answers))
        if fitting:
            answers |= self._run(fitting, told)
        return [answers[index] for index in range(len(requests))]

    @abstractmethod
    def _run(self, prompts: Sequence[Prompt], told: Told) -> dict[int, Answer]:
        """Answers by their places; `told` hears of them as they come."""

    @lru_cache(maxsize=256)  # noqa: B019  # a generator lives as long as its run
    def _choice_ids(self, choices: tuple[str, ...]) -> list[int]:
        return self._encoder.choice_ids(choices)


def chosen(choices: Sequence[str], logits: Sequence[float], n_prompt: int, n_cached: int) -> Answer:
    """The likeliest choice, with the probability of each, given that one of them is said (softmax)."""
    values = np.asarray(logits, np.float64)
    weights = np.exp(values - values.max())
    likely = tuple(float(weight) for weight in weights / weights.sum())
    return Answer(choices[likely.index(max(likely))], "done", "", likely, n_prompt, n_cached, 1)
