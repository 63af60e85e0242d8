"""How much of the planted truth a reward model has learned: pair accuracy and recovered weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from examples.toyworld import world
from examples.toyworld.generate import Options, generate
from examples.toyworld.grammar import Templates
from examples.toyworld.tokenizer import PAD_ID, split_transcript
from examples.toyworld.world import SPOILER, WEIGHTED, Floats, Utility

_MAX_BATCH_TOKENS = 6000


@dataclass(frozen=True)
class Figures:
    """A reward model on unseen pairs of one preference process.

    Attributes:
        pairs, seed: what it was measured on.
        accuracy: share of pairs whose recorded choice has the higher reward.
        utility_accuracy: the same for the planted utility itself (ties count half).
        bayes_accuracy: what the noise allows in expectation on these pairs.
        recovered: feature -> weight, from reward differences regressed on feature differences, no intercept.
        correlation: of the recovered with the planted weights.
        wrong_signs: features planted other than zero whose recovered weight has the other sign.
        reward_sd: standard deviation of the rewards of all texts.
    """

    pairs: int
    seed: int
    accuracy: float
    utility_accuracy: float
    bayes_accuracy: float
    recovered: dict[str, float]
    correlation: float
    wrong_signs: list[str]
    reward_sd: float

    @property
    def spoiler(self) -> float:
        """The recovered weight of sentiment."""
        return self.recovered[SPOILER]


def measure(
    model: Any,
    tokenizer: Tokenizer,
    utility: Utility,
    n_pairs: int,
    seed: int,
    templates: Templates = "train",
) -> Figures:
    """Score unseen pairs chosen by `utility` and compare with what was planted."""
    chunks = list(generate(Options(n_pairs, seed, templates, utility)))
    texts = [text for chunk in chunks for pair in chunk.texts for text in pair]
    features = np.concatenate([chunk.features for chunk in chunks])
    rewards = score(model, tokenizer, texts)
    differences = rewards[0::2] - rewards[1::2]
    recovered, *_ = np.linalg.lstsq(features[:, 0] - features[:, 1], differences, rcond=None)
    planted, margin = world.weights_of(utility), world.margins(features, utility)
    wrong = [n for n, b, w in zip(WEIGHTED, recovered, planted, strict=True) if w != 0 and b * w <= 0]
    return Figures(
        pairs=n_pairs,
        seed=seed,
        accuracy=_rounded((differences > 0).mean()),
        utility_accuracy=_rounded((margin > 0).mean() + (margin == 0).mean() / 2),
        bayes_accuracy=_rounded(world.bayes_accuracy(margin)),
        recovered={name: _rounded(b) for name, b in zip(WEIGHTED, recovered, strict=True)},
        correlation=_rounded(np.corrcoef(recovered, planted)[0, 1]),
        wrong_signs=wrong,
        reward_sd=_rounded(rewards.std()),
    )


def score(model: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> Floats:
    """Rewards of transcripts, shape (len(texts),), whatever their order or length."""
    encoded = [e.ids for e in tokenizer.encode_batch([split_transcript(text) for text in texts])]
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]))
    rewards = np.empty(len(encoded))
    model.eval()
    with torch.no_grad():
        while order:
            n_rows = max(1, _MAX_BATCH_TOKENS // len(encoded[order[0]]))
            rows, order = order[:n_rows], order[n_rows:]
            ids, mask = pad([encoded[i] for i in rows])
            rewards[rows] = model(input_ids=ids, attention_mask=mask).logits[:, 0].double().numpy()
    return rewards


def pad(encoded: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both (texts, longest) int64, padded on the right."""
    ids = torch.full((len(encoded), max(map(len, encoded))), PAD_ID)
    for row, tokens in zip(ids, encoded, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    return ids, (ids != PAD_ID).long()


def _rounded(value: float) -> float:
    return round(float(value), 4)
