"""Tiny decoders with random weights, made here, whose answers differ from text to text."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from seal.engine.frames.taxonomy import Feature, load_taxonomy
from seal.engine.labeling.prompts import LETTERS, NO, YES, Dialogue, json_instructions, json_message

CONTROL = ["[PAD]", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = "<|user|>{{ messages[0]['content'] }}<|end|><|assistant|>"
CONTEXT = 4096
_PIECES = Regex(r" ?[A-Za-z_]+|[0-9]| ?[^\sA-Za-z_0-9]|\s")
_LIKELY = (YES, NO, *LETTERS[:13])  # what the default features offer; servers show 20 alternatives

SOME = ("last_response_is_refusal", "last_response_is_helpful", "last_response_sentiment", "topics")
"""Features of every kind, few enough for quick answers."""


def some_features() -> tuple[Feature, ...]:
    """One feature of each kind and another boolean."""
    return tuple(feature for feature in load_taxonomy().features if feature.name in SOME)


@cache
def byte_bpe(vocab_size: int = 1200) -> str:
    """A byte-level BPE tokenizer that knows the words of the questions, as `tokenizer.json` holds it."""
    taxonomy = load_taxonomy()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECES, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=CONTROL, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    message = json_message(json_instructions(taxonomy.features), Dialogue("\n\nHuman: hi", "Assistant: ok"))
    words = [f'{{"{name}":true}}' for name in taxonomy.names]
    tokenizer.train_from_iterator([message] * 5 + words * 5 + [YES, NO] * 50, trainer)
    return str(tokenizer.to_str())


def save_tokenizer(folder: Path, *, template: str | None = TEMPLATE, **settings: Any) -> None:
    """Write the tokenizer's two files; more settings go into `tokenizer_config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(byte_bpe())
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "eos_token": "<|end|>",
        "clean_up_tokenization_spaces": False, "chat_template": template,
    } | settings  # fmt: skip
    (folder / "tokenizer_config.json").write_text(
        json.dumps({key: value for key, value in config.items() if value is not None})
    )


def make_decoder(folder: Path, *, seed: int = 0, context: int = CONTEXT, **settings: Any) -> Path:
    """Write a random Llama of two layers that likes to answer with a choice.

    One direction is the same in all embeddings, and no layer writes to it; the output layer rewards it in the
    choices' tokens, so that these are among the few alternatives a server shows. Which of them is likeliest
    still depends on the text.
    """
    save_tokenizer(folder, **settings)
    tokenizer = Tokenizer.from_str(byte_bpe())
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=context,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=3, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 10.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = 0
            layer.self_attn.q_proj.weight *= 6.0  # attention that picks words out: answers differ
            layer.mlp.down_proj.weight[0] = 0
        likely = [tokenizer.token_to_id(token) for token in _LIKELY]
        model.lm_head.weight[likely, 0] += 30.0
    model.save_pretrained(folder)
    return folder
