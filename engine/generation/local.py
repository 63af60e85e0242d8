"""What every local decoder does alike: refusing what does not fit, turning logits into shares."""

from collections.abc import Sequence

import numpy as np

from seal.engine.generation.contract import Answer, Request


def refuse_too_long(n_prompt: int, request: Request, context: int) -> Answer | None:
    """The answer to a message that does not fit with its answer; None where it fits."""
    wanted = 1 if request.choices else request.max_tokens
    if n_prompt + wanted <= context:
        return None
    detail = f"{n_prompt} tokens and {wanted} for the answer; the model takes {context} in all"
    return Answer("", "too_long", detail, n_prompt=n_prompt)


def shares(logits: Sequence[float]) -> tuple[float, ...]:
    """Softmax: the probability of each choice, given that one of them is said."""
    values = np.asarray(logits, np.float64)
    weights = np.exp(values - values.max())
    return tuple(float(weight) for weight in weights / weights.sum())
