"""Asking a decoder until its answers are valid, and what comes of the ones that are not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from seal.engine.frames.stage import StageReport
from seal.engine.generation.contract import Answer, Request, TextGenerator
from seal.engine.visible import bounded

Value = TypeVar("Value")


@dataclass(frozen=True)
class AskingReport(StageReport):
    """What a stage that asks a decoder did, earlier starts of it included.

    Attributes:
        n_requests: messages to models, `n_retries` of them because an answer was cut, invalid or refused.
        n_prompt_tokens: tokens of the messages; `n_cached_tokens` of them were not computed again.
        n_generated_tokens: tokens of the answers.
    """

    n_requests: int = 0
    n_retries: int = 0
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    n_generated_tokens: int = 0

    @property
    def requests(self) -> str:
        """The requests in words."""
        cached = self.n_cached_tokens / max(1, self.n_prompt_tokens)
        return (
            f"{self.n_requests:,} requests ({self.n_retries:,} again), {self.n_prompt_tokens:,} prompt "
            f"tokens ({cached:.0%} from the cache), {self.n_generated_tokens:,} generated"
        )


class InvalidAnswerError(ValueError):
    """An answer that is not what was asked for; the text says in what.

    Args:
        reason: in what.
        code: short, for counting.
    """

    def __init__(self, reason: str, code: str = "invalid") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Failed:
    """Why there is no valid answer.

    Attributes:
        error: `too_long`, `cut`, `invalid`, `refused`, or a code of the one who read the answer.
        detail: for people, the raw answer included: its first 2,000 characters, and how many there are.
    """

    error: str
    detail: str


@dataclass
class Spent:
    """What asking cost, in the counts of `AskingReport`; tokens are 0 where a server does not tell."""

    n_requests: int = 0
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    n_generated_tokens: int = 0
    n_retries: int = 0

    def add(self, answers: Sequence[Answer], *, again: bool) -> None:
        """Count a round of answers."""
        self.n_requests += len(answers)
        self.n_retries += len(answers) if again else 0
        for answer in answers:
            self.n_prompt_tokens += answer.n_prompt
            self.n_cached_tokens += answer.n_cached
            self.n_generated_tokens += answer.n_generated


class Asker(Generic[Value]):
    """Asks, reads, and asks again at the same temperature what was cut or invalid; nothing is repaired.

    Args:
        generator: who answers.
        retries: how often to ask again.
        spent: where to count.
    """

    def __init__(self, generator: TextGenerator, retries: int, spent: Spent) -> None:
        self._generator, self._retries, self._spent = generator, retries, spent

    def ask(self, requests: Sequence[Request], read: Callable[[int, Answer], Value]) -> list[Value | Failed]:
        """The value or the failure of each request, in their order.

        Args:
            requests: what to ask.
            read: (index of the request, answer) -> value; raises `InvalidAnswerError`.
        """
        outcomes: dict[int, Value | Failed] = {}
        pending = list(range(len(requests)))
        for attempt in range(1 + self._retries):
            asked = [replace(requests[i], seed=requests[i].seed + attempt) for i in pending]
            answers = self._generator.answer(asked)
            self._spent.add(answers, again=attempt > 0)
            again = []
            for i, answer in zip(pending, answers, strict=True):
                outcomes[i] = outcome = _outcome(i, answer, read)
                if isinstance(outcome, Failed) and answer.stop in ("done", "cut"):
                    again.append(i)
            pending = again
            if not pending:
                break
        return [outcomes[i] for i in range(len(requests))]


def _outcome(index: int, answer: Answer, read: Callable[[int, Answer], Value]) -> Value | Failed:
    text = answer.text.encode(errors="backslashreplace").decode()  # lone surrogates fit into no table
    raw = f"; the answer: {bounded(text)}" if text else ""
    if answer.stop == "cut":
        return Failed("cut", f"cut after {answer.n_generated} tokens{raw}")
    if answer.stop != "done":
        return Failed(answer.stop, bounded(answer.detail) + raw)
    try:
        return read(index, answer)
    except InvalidAnswerError as error:
        return Failed(error.code, bounded(str(error)) + (raw or "; the answer was empty"))
