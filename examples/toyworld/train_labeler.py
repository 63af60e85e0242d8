"""Train the toy world's decoder, which labels by both protocols and rewrites, from a seed.

    python -m examples.toyworld.train_labeler --out examples/toyworld/models/labeler

It learns on the very messages the project sends (`examples.toyworld.tasks`). A step sums a batch of each
task; what the examples of a batch open with goes through the model once. The budget is steps, not time.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from examples.toyworld import tasks
from examples.toyworld.tasks import Example, Piece
from examples.toyworld.tokenizer import save_tokenizer
from seal.engine.frames.manifest import versions
from seal.engine.frames.taxonomy import Taxonomy, load_taxonomy

VOCABULARY = 2048
PAD, USER, ASSISTANT, END = "[PAD]", "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL = {"pad_token": PAD, "eos_token": END}
TEMPLATE = USER + "{{ messages[0]['content'] }}" + END + ASSISTANT
WORDS = r" ?[A-Za-z_]+|[0-9]| ?[^\sA-Za-z_0-9]|\s"
"""What a token may span at most: a word or a feature's name, else one sign."""


@dataclass(frozen=True)
class Recipe:
    """How the decoder is trained.

    Attributes:
        seed: of its weights and of the dialogues it sees.
        steps: optimiser steps.
        peak: learning rate, after `warm_up` steps; a cosine takes it to 0.
        n_json, n_choice, n_rewrite: texts a step of each task.
        n_questions: yes-or-no questions about each text of the `choice` task.
        hard: features asked about each text of the `choice` task, beside those drawn.
        n_others: of the other questions there, those of many choices.
        whole: share of steps with the `json` instructions as they are sent, not shortened.
        reading: weight of a token of the dialogue in the loss.
        short: whether to begin with short dialogues.
    """

    seed: int = 21
    steps: int = 2000
    peak: float = 2e-3
    warm_up: int = 100
    n_json: int = 8
    n_choice: int = 5
    n_rewrite: int = 4
    n_questions: int = 4
    n_others: int = 1
    hard: tuple[str, ...] = ()
    whole: float = 0.25
    reading: float = 0.02
    short: bool = True

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        turn = np.cos(np.pi * min(1.0, step / self.steps))
        return self.peak * min(1.0, (step + 1) / self.warm_up) * (0.02 + 0.98 * float(1 + turn) / 2)

    def longest(self, step: int) -> int:
        """Words of the longest dialogue at a step: short ones first."""
        share = step / self.steps if self.short else 1.0
        return 40 if share < 0.12 else 70 if share < 0.25 else 1000


_ON = Recipe(reading=0.01, short=False)
RECIPES = (
    Recipe(),
    replace(_ON, seed=22, steps=2400, peak=1.5e-3, n_json=10, n_rewrite=2),
    replace(_ON, seed=23, steps=1300, peak=1.2e-3, n_json=4, n_choice=10, n_questions=6, n_rewrite=6),
    replace(_ON, seed=24, steps=700, peak=1.0e-3, n_json=3, n_choice=10, n_questions=6, n_others=2),
    replace(
        _ON, seed=25, steps=350, peak=1.0e-3, n_json=2, n_choice=14, n_questions=3, n_rewrite=3,
        hard=("last_response_is_refusal", "last_response_is_discriminatory"),
    ),
)  # fmt: skip
"""Stages, each from a fresh learning rate: the `json` protocol first, the others follow from it."""


def config(n_tokens: int, end_id: int) -> LlamaConfig:
    """A small Llama; its positions rotate, so that long prompts cost no parameters."""
    return LlamaConfig(
        vocab_size=n_tokens,
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=0,
    )


def train_tokenizer(taxonomy: Taxonomy, seed: int, n_texts: int) -> Tokenizer:
    """A byte-level BPE tokenizer from the messages and answers of generated dialogues."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_said(taxonomy, seed, n_texts), trainer)
    return tokenizer


def _said(taxonomy: Taxonomy, seed: int, n_texts: int) -> Iterator[str]:
    rng = np.random.default_rng(seed)
    instructions, features = tasks.json_task(taxonomy, rng, whole=True)
    for i, example in zip(range(n_texts), tasks.examples(seed), strict=False):
        if i % 10 == 0:  # often enough for each of their words to become one token
            yield instructions
            yield from (tasks.question(feature, example.labels, rng)[0] for feature in features)
            yield tasks.rewriting(example)[0]
        yield tasks.json_tail(instructions, example)
        yield "".join(text for text, _ in tasks.json_answer(features, example.labels))


class Trainer:
    """The tasks as losses of one model.

    Args:
        model, tokenizer: what is trained, and its tokens.
        taxonomy: what is asked.
        recipe: how.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer, taxonomy: Taxonomy, recipe: Recipe) -> None:
        self.model, self.tokenizer, self.taxonomy, self.recipe = model, tokenizer, taxonomy, recipe
        self.rng = np.random.default_rng(recipe.seed)
        self._stream = tasks.examples(recipe.seed)

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        """The loss of a fresh batch of each task."""
        texts = self._texts(step, self.recipe.n_json + self.recipe.n_choice + self.recipe.n_rewrite)
        a, b = self.recipe.n_json, self.recipe.n_json + self.recipe.n_choice
        return {
            "json": self._json(texts[:a]),
            "choice": self._choice(texts[a:b]),
            "rewrite": self._rewrite(texts[b:]),
        }

    def _texts(self, step: int, n: int) -> list[Example]:
        """Texts of like length side by side within each task's share."""
        found: list[Example] = []
        while len(found) < n:
            example = next(self._stream)
            if example.n_words <= self.recipe.longest(step):
                found.append(example)
        return found

    def _json(self, texts: Sequence[Example]) -> torch.Tensor:
        whole = self.rng.random() < self.recipe.whole
        instructions, features = tasks.json_task(self.taxonomy, self.rng, whole)
        rows = []
        for example in texts:
            message = self._ids(tasks.json_tail(instructions, example)) + self._ids(END + ASSISTANT)
            rows.append(self._row(message, tasks.json_answer(features, example.labels), end=True))
        return self._loss(self._ids(USER + instructions), rows)

    def _choice(self, texts: Sequence[Example]) -> torch.Tensor:
        heads = [self._ids(USER + tasks.opening(example)) for example in texts]
        past, real = self._prefill(heads)
        plain = [f for f in self.taxonomy.features if f.kind == "boolean"]
        other = [f for f in self.taxonomy.features if f.kind != "boolean"]
        asked = [plain[i] for i in self.rng.choice(len(plain), self.recipe.n_questions, replace=False)]
        asked += [f for f in plain if f.name in self.recipe.hard and f not in asked]
        groups = [
            asked,
            *([other[i]] for i in self.rng.choice(len(other), self.recipe.n_others, replace=False)),
        ]
        total = torch.zeros(())
        for features in groups:
            rows = []
            for example in texts:
                for feature in features:
                    text, answer = tasks.question(feature, example.labels, self.rng)
                    rows.append(self._row(self._ids(text + END + ASSISTANT), answer, end=False))
            total = total + self._loss_after(_repeated(past, len(features)), real, rows)
        return total / len(groups)

    def _rewrite(self, texts: Sequence[Example]) -> torch.Tensor:
        rows = []
        for example in texts:
            message, answer = tasks.rewriting(example)
            rows.append(self._row(self._ids(USER + message + END + ASSISTANT), answer, end=True))
        return self._loss([], rows)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _row(
        self, message: list[int], answer: Sequence[Piece], *, end: bool
    ) -> tuple[list[int], list[float]]:
        """Token ids and what each weighs in the loss."""
        text = "".join(piece for piece, _ in answer)
        encoded = self.tokenizer.encode(text, add_special_tokens=False)
        weight_at = np.repeat([w for _, w in answer], [len(piece) for piece, _ in answer])
        weights = [float(weight_at[start:stop].max()) for start, stop in encoded.offsets]
        closing = ([self.tokenizer.token_to_id(END)], [1.0]) if end else ([], [])
        ids = message + list(encoded.ids) + closing[0]
        return ids, [self.recipe.reading] * len(message) + weights + closing[1]

    def _loss(self, head: list[int], rows: Sequence[tuple[list[int], list[float]]]) -> torch.Tensor:
        """The weighted loss of rows that all follow the same head (which may be empty)."""
        if not head:
            return self._loss_after(None, torch.ones(len(rows), 0, dtype=torch.long), rows)
        past, real = self._prefill([head])
        return self._loss_after(_repeated(past, len(rows)), real, rows)

    def _prefill(self, heads: Sequence[list[int]]) -> tuple[Any, torch.Tensor]:
        """Keys and values of heads, padded on the right, and which of them are real."""
        ids, real = _padded(heads)
        out = self.model(input_ids=ids, attention_mask=real, use_cache=True, logits_to_keep=1)
        return out.past_key_values, real

    def _loss_after(
        self, past: Any, real: torch.Tensor, rows: Sequence[tuple[list[int], list[float]]]
    ) -> torch.Tensor:
        ids, mask = _padded([ids for ids, _ in rows])
        weights = _padded([w for _, w in rows], torch.float32)[0]
        before = real.repeat_interleave(len(rows) // len(real), 0)
        attention = torch.cat([before, mask], dim=1)
        positions = before.sum(1, keepdim=True) + torch.arange(ids.shape[1])
        logits = self.model(
            input_ids=ids, attention_mask=attention, position_ids=positions, past_key_values=past,
            use_cache=past is not None,
        ).logits  # fmt: skip
        each = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        weight = weights[:, 1:].flatten()
        return (each * weight).sum() / weight.sum()


def _padded(
    rows: Sequence[Sequence[Any]], dtype: torch.dtype = torch.long
) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    values = torch.zeros(len(rows), width, dtype=dtype)
    real = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        values[i, : len(row)] = torch.tensor(row, dtype=dtype)
        real[i, : len(row)] = 1
    return values, real


def _repeated(past: Any, n: int) -> Any:
    """Another cache with every row n times over, gradients kept."""
    cache = DynamicCache()
    for i, layer in enumerate(past.layers):
        cache.update(layer.keys.repeat_interleave(n, 0), layer.values.repeat_interleave(n, 0), i)
    return cache


def train(trainer: Trainer, recipe: Recipe) -> None:
    """Fit the decoder to its tasks."""
    model = trainer.model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.peak, weight_decay=0.01, betas=(0.9, 0.98))
    shown: dict[str, list[float]] = {}
    began = time.monotonic()
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        losses = trainer.losses(step)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        for name, loss in losses.items():
            shown.setdefault(name, []).append(loss.item())
        if (step + 1) % 50 == 0:
            means = ", ".join(f"{name} {np.mean(values[-50:]):.4f}" for name, values in shown.items())
            print(f"step {step + 1} of {recipe.steps}, {time.monotonic() - began:.0f} s: {means}", flush=True)


def save(
    model: Any, tokenizer: Tokenizer, recipes: Sequence[Recipe], folder: Path, seconds: Sequence[float]
) -> None:
    """Write the model folder: weights in fp16, tokenizer, facts."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder, safe_serialization=True)
    model.float()
    save_tokenizer(tokenizer, folder, SPECIAL, chat_template=TEMPLATE)
    report = {
        "recipes": [asdict(recipe) for recipe in recipes],
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": versions(),
        "training_s": [round(s) for s in seconds],
    }
    (folder / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the toy world's labeler and rewriter from a seed.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; default: 2")
    parser.add_argument(
        "--share", type=float, default=1.0, help="share of the steps, for a trial run; default: 1"
    )
    parser.add_argument("--stage", type=int, default=1, help="go on with this stage of the model in --out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(RECIPES[0].seed)
    taxonomy = load_taxonomy()
    if args.stage == 1:
        tokenizer = train_tokenizer(taxonomy, seed=20, n_texts=4000)
        model = LlamaForCausalLM(config(tokenizer.get_vocab_size(), tokenizer.token_to_id(END)))
    else:
        tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
        model = LlamaForCausalLM.from_pretrained(args.out, dtype=torch.float32)
    recipes = [replace(recipe, steps=max(1, round(recipe.steps * args.share))) for recipe in RECIPES]
    seconds: list[float] = []
    for i, recipe in enumerate(recipes[args.stage - 1 :], args.stage):
        began = time.monotonic()
        train(Trainer(model, tokenizer, taxonomy, recipe), recipe)
        seconds.append(time.monotonic() - began)
        save(model, tokenizer, recipes[:i], args.out, seconds)


if __name__ == "__main__":
    main()
