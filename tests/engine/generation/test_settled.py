"""What a schema has settled is laid before the model at once: the same answers, in fewer passes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, LlamaConfig, MistralConfig

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.generation import transformers as backend
from seal.engine.generation.contract import Answer, Request
from seal.engine.generation.transformers import TransformersGenerator
from seal.engine.labeling.answers import json_schema
from seal.engine.labeling.prompts import Dialogue, json_instructions, json_message
from seal.engine.labeling.protocols import JsonProtocol
from tests.support.decoders import make_decoder, some_features
from tests.support.frames import random_texts

FEATURES = some_features()
TEXTS = random_texts(6, seed=5).select("prompt", "response")


def ask(temperature: float = 0.0, max_tokens: int = JsonProtocol(FEATURES).max_tokens) -> list[Request]:
    instructions, schema = json_instructions(FEATURES), json_schema(FEATURES)
    dialogues = [Dialogue(p, r) for p, r in TEXTS.iter_rows()]
    messages = [json_message(instructions, dialogue) for dialogue in dialogues]
    return [Request(m, max_tokens, schema, (), temperature, i) for i, m in enumerate(messages)]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> TransformersGenerator:
    folder = make_decoder(tmp_path_factory.mktemp("decoder") / "tiny", context=1024)
    return TransformersGenerator(Decoder.open(folder), "cpu")


def counted(
    generator: TransformersGenerator, requests: Sequence[Request], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Answer], int]:
    """The answers, and how many passes through the model they took."""
    passes, forward = [], backend._State._forward

    def counting(state: Any, *arguments: Any) -> Any:
        passes.append(1)
        return forward(state, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(backend._State, "_forward", counting)
        return generator.answer(requests), len(passes)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("max_tokens", [JsonProtocol(FEATURES).max_tokens, 20])
def test_the_answers_are_those_of_token_by_token(
    generator: TransformersGenerator, temperature: float, max_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = ask(temperature, max_tokens)
    answers, n_passes = counted(generator, requests, monkeypatch)
    monkeypatch.setattr(generator, "_drafts", False)
    one_by_one, n_without = counted(generator, requests, monkeypatch)
    assert answers == one_by_one
    assert len({answer.text for answer in answers}) > 1
    assert n_without == max(answer.n_generated for answer in answers)
    assert n_passes < n_without / 2


def test_as_many_tokens_are_laid_down_as_their_logits_may_take(
    generator: TransformersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = ask()
    expected, n_passes = counted(generator, requests, monkeypatch)
    size = generator._model.config.vocab_size
    monkeypatch.setattr(backend, "_MAX_LOGITS", 3 * len(requests) * size)
    narrow, n_narrow = counted(generator, requests, monkeypatch)
    assert narrow == expected
    assert n_narrow > n_passes


def test_what_was_not_kept_is_not_seen(generator: TransformersGenerator) -> None:
    """Rows that keep different numbers of tokens go on as if the others had never been there."""
    prompts = [[5, 6, 7, 8], [9, 10], [11, 12, 13]]
    ahead, n_kept = [[20, 21, 22], [23, 24], [25, 26, 27]], [3, 1, 2]
    with torch.inference_mode():
        state = backend._State(generator._model, prompts, "cpu")
        first = state.step(ahead)
        state.keep(n_kept)
        second = state.step([[30], [31, 40], [32]])
        for row, (prompt, added, n) in enumerate(zip(prompts, ahead, n_kept, strict=True)):
            whole = [*prompt, *added[:n], 30 + row]
            alone = generator._model(input_ids=torch.tensor([whole])).logits[0].numpy()
            # float32 through two layers; logits are of the order of 10
            np.testing.assert_allclose(first[row, :n], alone[len(prompt) : len(prompt) + n], atol=2e-3)
            np.testing.assert_allclose(second[row, 0], alone[-1], atol=2e-3)


@pytest.mark.parametrize(
    ("config", "sees_everything"),
    [
        (LlamaConfig(), True),
        (MistralConfig(sliding_window=None), True),
        (MistralConfig(sliding_window=4096), False),
        (Gemma2Config(), False),
    ],
)
def test_models_with_windows_are_asked_token_by_token(config: Any, sees_everything: bool) -> None:
    assert backend._sees_everything(config) is sees_everything
