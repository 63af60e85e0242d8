"""Teach the toy world's decoder to rewrite a response toward an attribute, from the labeler's weights.

    python -m examples.toyworld.train_rewriter --out examples/toyworld/models/rewriter

A step is a batch of one task: an instruction of `examples.toyworld.aims`, which goes through the model once,
or the mild rewriting of whole dialogues, which the labeler knows already and must not forget.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from examples.toyworld import aims
from examples.toyworld.tasks import VALUE
from examples.toyworld.train_labeler import ASSISTANT, END, USER, Recipe, Trainer, save, train
from seal.engine.frames.taxonomy import load_taxonomy

FROM = Path(__file__).parent / "models" / "labeler"
_FIRST = Recipe(
    seed=31,
    steps=1400,
    peak=1.5e-3,
    warm_up=50,
    n_json=0,
    n_choice=0,
    n_rewrite=16,
    reading=0.01,
    short=False,
)
RECIPES = (_FIRST, replace(_FIRST, seed=32, steps=1000, peak=1.2e-3, reading=0.0))
"""Stages, each from a fresh learning rate."""
WEIGHTS = (VALUE, 4 * VALUE)
"""What a token of a sentence that an aim asks for weighs in each stage; the other tokens weigh `VALUE`."""


class Aimed(Trainer):
    """Rewriting toward attributes as a loss of one model.

    Attributes:
        weight: of a token of a sentence that an aim asks for.
    """

    weight = VALUE

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        """The loss of a batch of one task, which is drawn."""
        texts, tasks = self._texts(step, self.recipe.n_rewrite), aims.tasks()
        drawn = int(self.rng.integers(len(tasks) + 1))
        if drawn == len(tasks):
            return {"mild": self._rewrite(texts)}
        instruction, feature, value = tasks[drawn]
        rows = []
        for example in texts:
            said = aims.message(example, instruction).removeprefix(instruction)
            message = self._ids(said + END + ASSISTANT)
            answer = aims.pieces(example, feature, value, self.weight)
            rows.append(self._row(message, answer, end=True))
        return {"aimed": self._loss(self._ids(USER + instruction), rows)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Teach the toy world's decoder to rewrite toward an attribute."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; default: 1")
    parser.add_argument("--stage", type=int, default=1, help="go on with this stage of the model in --out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(RECIPES[0].seed)
    start = FROM if args.stage == 1 else args.out
    tokenizer = Tokenizer.from_file(str(FROM / "tokenizer.json"))
    model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    seconds: list[float] = []
    for i, (recipe, weight) in enumerate(zip(RECIPES, WEIGHTS, strict=True), 1):
        if i >= args.stage:
            began = time.monotonic()
            trainer = Aimed(model, tokenizer, load_taxonomy(), recipe)
            trainer.weight = weight
            train(trainer, recipe)
            seconds.append(time.monotonic() - began)
            save(model, tokenizer, RECIPES[:i], args.out, seconds)


if __name__ == "__main__":
    main()
