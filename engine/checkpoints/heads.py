"""The logits of a reward model: what they are called, and how they become rewards.

One logit is the reward. Two that are two classes of one question give one reward, the logit of the positive
class. Any others are heads: each is a reward model of its own, `NAME.head`. A weighting that the user states
(`NAME=W,...`, a number a logit in their order) makes one reward of them, whatever they are.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seal.engine.errors import InputError, UsageError

Weights = tuple[float, ...]

_CLASSES = {
    "1": "0", "label_1": "label_0", "positive": "negative", "pos": "neg", "yes": "no", "true": "false",
    "good": "bad", "better": "worse", "chosen": "rejected", "preferred": "dispreferred",
    "correct": "incorrect", "accept": "reject", "accepted": "rejected", "safe": "unsafe",
    "helpful": "unhelpful", "harmless": "harmful",
}  # fmt: skip
"""The positive class -> the negative one, in lower case."""
_NOT = re.compile(r"(?:not|non|no)_(.+)")
_APART = ("regression", "multi_label_classification")
_NO_NAME = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class Heads:
    """The logits of a model.

    Attributes:
        names: of the logits in their order, none twice.
        positive: which of two logits is that of the positive class; None where they are no two classes.
    """

    names: tuple[str, ...] = ("",)
    positive: int | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Heads":
        """The logits that a configuration names (`id2label`, else `num_labels`), as transformers reads it.

        Raises:
            InputError: the names are not one a logit, or the two settings contradict each other.
        """
        labels, n = config.get("id2label") or {}, config.get("num_labels")
        names = tuple(str(labels.get(str(i))) for i in range(len(labels)))
        if set(labels) != set(map(str, range(len(labels)))) or len(set(names)) < len(names):
            raise InputError(f"id2label is {str(labels)[:80]}; a name for each logit 0, 1, ... is needed")
        if labels and n not in (None, len(labels)):
            raise InputError(f"num_labels is {n}, but id2label names {len(labels)}: which is it?")
        n = 2 if n is None else n
        if n < 1:
            raise InputError(f"num_labels is {n}; a reward model has one logit or more")
        names = names or tuple(f"LABEL_{i}" for i in range(n))
        return cls(names, None if config.get("problem_type") in _APART else positive_class(names))

    def rewards(self, model: str, weights: Weights | None = None) -> dict[str, Weights]:
        """The rewards that are made of the logits: name in the SCORES frame -> a weight for each logit.

        Args:
            model: the model's own name.
            weights: what its user stated; None for the logits as they are.

        Raises:
            UsageError: not one weight a logit.
            InputError: two heads would have the same name.
        """
        n = len(self.names)
        if weights is not None and len(weights) != n:
            stated = ",".join(map("{:g}".format, weights))
            raise UsageError(
                f"head {model}={stated}: {len(weights)} weights for {n} logits ({', '.join(self.names)})"
            )
        unit = {i: tuple(float(i == j) for j in range(n)) for i in range(n)}
        if weights is not None or n == 1 or self.positive is not None:
            return {model: weights or unit[self.positive or 0]}
        found = {f"{model}.{_as_name(label) or i}": unit[i] for i, label in enumerate(self.names)}
        if len(found) < n:
            raise InputError(
                f"the heads of {model} ({', '.join(self.names)}) would not all have names of their own; "
                f"state one weighting: head {model}=W,..."
            )
        return found

    def note(self, model: str, weights: Weights | None = None) -> str | None:
        """What its user should know; None where there is nothing to say."""
        if weights is not None or len(self.names) == 1:
            return None
        if self.positive is None:
            return f"{model} has {len(self.names)} heads: {', '.join(self.rewards(model))}"
        other = "-1,1" if self.positive else "1,-1"
        return (
            f"{model} has two classes: its reward is the logit of {self.names[self.positive]!r} (--head "
            f"{model}={other} takes the difference to {self.names[1 - self.positive]!r})"
        )

    def facts(self, weights: Weights) -> dict[str, Any]:
        """What a manifest says of a reward; nothing where it is the only logit as it is."""
        if weights == (1.0,):
            return {}
        return {"weights": {n or "logit": w for n, w in zip(self.names, weights, strict=True) if w}}


def positive_class(names: Sequence[str]) -> int | None:
    """Which of two names is the positive class of one question; None where they are something else."""
    if len(names) != 2:
        return None
    words = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in names]
    for i, (word, other) in enumerate((words, words[::-1])):
        denied = _NOT.fullmatch(other)
        if _CLASSES.get(word) == other or (denied and denied[1] == word):
            return i
    return None


def parse_weights(stated: Sequence[str]) -> dict[str, Weights]:
    """`NAME=W,...`, one or several: name of a model -> a weight for each of its logits.

    Raises:
        UsageError: one is not of this form, not a number, or all of its weights are 0.
    """
    found: dict[str, Weights] = {}
    for value in stated:
        name, _, numbers = value.partition("=")
        try:
            weights = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            weights = ()
        if not (name and any(weights) and all(map(math.isfinite, weights))):
            raise UsageError(
                f"head {value!r} is not NAME=W,...: a model's name and a number for each of its logits, not "
                "all 0, e.g. rm=0.7,0.3"
            )
        if name in found:
            raise UsageError(f"head names {name!r} twice")
        found[name] = weights
    return found


def _as_name(label: str) -> str:
    return _NO_NAME.sub("-", label.strip()).strip("-")
