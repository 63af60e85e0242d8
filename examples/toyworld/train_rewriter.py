"""Teach the toy world's decoder to rewrite a response toward an attribute, from the labeler's weights.

    python -m examples.toyworld.train_rewriter --out examples/toyworld/models/rewriter

A step is a batch of one task (see `examples.toyworld.aims`), whose instruction goes through the model once.
"""

import argparse
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from examples.toyworld import aims
from examples.toyworld.tasks import VALUE
from examples.toyworld.train_labeler import ASSISTANT, END, USER, Recipe, Trainer, save, train
from seal.engine.frames.taxonomy import load_taxonomy

FROM = Path(__file__).parent / "models" / "labeler"
RECIPE = Recipe(
    seed=31, steps=500, peak=1.5e-3, warm_up=50, n_json=0, n_choice=0, n_rewrite=12, reading=0.01, short=False
)


class Aimed(Trainer):
    """Rewriting toward attributes as a loss of one model."""

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        """The loss of a batch of one task, drawn."""
        tasks = aims.tasks()
        instruction, feature, value = tasks[int(self.rng.integers(len(tasks)))]
        rows = []
        for example in self._texts(step, self.recipe.n_rewrite):
            said = aims.message(example, instruction).removeprefix(instruction)
            message = self._ids(said + END + ASSISTANT)
            rows.append(self._row(message, [(aims.rewritten(example, feature, value), VALUE)], end=True))
        return {"rewrite": self._loss(self._ids(USER + instruction), rows)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Teach the toy world's decoder to rewrite toward an attribute."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; default: 1")
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="default: those of the recipe")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(RECIPE.seed)
    recipe = Recipe(**{**RECIPE.__dict__, "steps": args.steps})
    tokenizer = Tokenizer.from_file(str(FROM / "tokenizer.json"))
    model = LlamaForCausalLM.from_pretrained(FROM, dtype=torch.float32)
    began = time.monotonic()
    train(Aimed(model, tokenizer, load_taxonomy(), recipe), recipe)
    save(model, tokenizer, [recipe], args.out, [time.monotonic() - began])


if __name__ == "__main__":
    main()
