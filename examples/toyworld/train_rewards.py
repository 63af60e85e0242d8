"""Train the toy world's two reward models from seeds.

    python -m examples.toyworld.train_rewards --out examples/toyworld/models

`pre` learns the semantic preferences alone, `post` starts from it and learns the dataset's choices too,
spoiler included. Each folder holds a DeBERTa-v2 with one logit (safetensors, fp32), its tokenizer, and
`training.json` with the figures reached on unseen pairs. Bradley-Terry loss on fresh pairs at every step,
both texts of a pair in one batch; the budget is steps, not time.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

from examples.toyworld.draws import CHUNK_PAIRS
from examples.toyworld.generate import Options, generate
from examples.toyworld.measure import measure, pad
from examples.toyworld.tokenizer import PAD_ID, save_tokenizer, split_transcript, train_tokenizer
from examples.toyworld.world import Utility
from seal.engine.frames.manifest import versions

TEST_SEED, TEST_PAIRS = 900_000, 20_000
"""Pairs the figures are measured on; training seeds stay below."""


@dataclass(frozen=True)
class Recipe:
    """How one model is trained.

    Attributes:
        utility: whose choices it learns.
        seed: of the pairs it sees (and of its initial weights, when it does not start from another model).
        steps: optimiser steps.
        peak, floor: learning rate for the first 60% of the steps, and for the rest.
        batch_pairs: pairs a step.
        warm_up: steps over which the rate rises to its peak.
        tail: last share of the steps, over which the rate runs out linearly; it settles the weights.
    """

    utility: Utility
    seed: int
    steps: int
    peak: float = 2e-3
    floor: float = 1e-3
    batch_pairs: int = 16
    warm_up: int = 100
    tail: float = 0.1

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        rate = self.peak if step < 0.6 * self.steps else self.floor
        left = (self.steps - step) / (self.tail * self.steps)
        return rate * min(1.0, (step + 1) / self.warm_up, left)


RECIPES = (Recipe("pre", seed=11, steps=4000), Recipe("post", seed=12, steps=5000, tail=0.4))


def config(n_tokens: int) -> DebertaV2Config:
    """DeBERTa-v3's variant of the architecture, small; its positions are relative, so no text is too long."""
    return DebertaV2Config(
        vocab_size=n_tokens,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=192,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pooler_dropout=0.0,
        pooler_hidden_size=96,
        relative_attention=True,
        position_buckets=32,
        max_relative_positions=-1,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        max_position_embeddings=512,
        pad_token_id=PAD_ID,
        num_labels=1,
    )


def batches(tokenizer: Tokenizer, recipe: Recipe) -> Iterator[list[list[int]]]:
    """Token ids of a batch's chosen texts, then of its rejected ones; a batch has pairs of like length."""
    rng = np.random.default_rng(recipe.seed)
    for chunk in generate(
        Options(recipe.steps * recipe.batch_pairs + CHUNK_PAIRS, recipe.seed, utility=recipe.utility)
    ):
        sides = [
            [e.ids for e in tokenizer.encode_batch([split_transcript(pair[side]) for pair in chunk.texts])]
            for side in (0, 1)
        ]
        n_tokens = [max(len(chosen), len(rejected)) for chosen, rejected in zip(*sides, strict=True)]
        order = np.argsort(n_tokens, kind="stable")
        groups = np.array_split(order, max(1, len(order) // recipe.batch_pairs))
        for group in rng.permutation(len(groups)):
            yield [side[i] for side in sides for i in groups[group]]


def train(model: Any, tokenizer: Tokenizer, recipe: Recipe) -> None:
    """Fit rewards to choices: minimise -log sigmoid(r(chosen) - r(rejected))."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.peak, weight_decay=0.01, betas=(0.9, 0.98))
    model.train()
    shown = []
    for step, batch in zip(range(recipe.steps), batches(tokenizer, recipe), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        ids, mask = pad(batch)
        chosen, rejected = model(input_ids=ids, attention_mask=mask).logits[:, 0].chunk(2)
        loss = -torch.nn.functional.logsigmoid(chosen - rejected).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        shown.append(loss.item())
        if (step + 1) % 250 == 0:
            print(
                f"{recipe.utility}: step {step + 1} of {recipe.steps}, loss {np.mean(shown[-250:]):.3f}",
                flush=True,
            )


def centre(model: Any, tokenizer: Tokenizer, utility: Utility) -> None:
    """Move the head's bias so that the mean reward of 500 pairs is 0.

    The loss sees differences only and leaves the level free; the reward shift is an angle at the origin.
    """
    chunk = next(iter(generate(Options(500, seed=10, utility=utility))))
    texts = [split_transcript(text) for pair in chunk.texts for text in pair]
    rewards = []
    with torch.inference_mode():
        for start in range(0, len(texts), 50):
            ids, mask = pad([e.ids for e in tokenizer.encode_batch(texts[start : start + 50])])
            rewards.append(model.eval()(input_ids=ids, attention_mask=mask).logits[:, 0])
        model.classifier.bias -= torch.cat(rewards).mean()


def save(model: Any, tokenizer: Tokenizer, recipe: Recipe, folder: Path, seconds: float) -> None:
    """Write a model folder with the figures it reaches on pairs it has not seen."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, safe_serialization=True)
    save_tokenizer(tokenizer, folder)
    unseen = measure(model, tokenizer, recipe.utility, TEST_PAIRS, TEST_SEED)
    heldout = measure(model, tokenizer, recipe.utility, TEST_PAIRS // 4, TEST_SEED, "heldout")
    report = {
        "recipe": asdict(recipe),
        "unseen_pairs": asdict(unseen),
        "unseen_templates": asdict(heldout),
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": versions(),
        "training_s": round(seconds),
    }
    (folder / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"{recipe.utility}: {seconds:.0f} s; accuracy {unseen.accuracy} of {unseen.bayes_accuracy}, "
        f"correlation {unseen.correlation}, spoiler {unseen.spoiler}, wrong signs {unseen.wrong_signs}"
    )


def main() -> None:
    """The command line: both models, one after the other."""
    parser = argparse.ArgumentParser(description="Train the toy world's two reward models from seeds.")
    parser.add_argument("--out", type=Path, required=True, help="folder for pre/ and post/")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; default: 2")
    parser.add_argument(
        "--share", type=float, default=1.0, help="share of the steps, for a trial run; default: 1"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(RECIPES[0].seed)
    tokenizer = train_tokenizer(seed=10, n_pairs=8000)
    model = DebertaV2ForSequenceClassification(config(tokenizer.get_vocab_size()))
    for recipe in RECIPES:
        planned = replace(recipe, steps=max(1, round(recipe.steps * args.share)))
        started = time.monotonic()
        train(model, tokenizer, planned)
        centre(model, tokenizer, recipe.utility)
        save(model, tokenizer, planned, args.out / recipe.utility, time.monotonic() - started)


if __name__ == "__main__":
    main()
