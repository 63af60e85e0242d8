"""The committed reward models: what they learned of the planted truth, and that any text can be scored."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="install the export extra to run the reward models")
transformers = pytest.importorskip("transformers", reason="install the export extra to run the reward models")

from examples.toyworld import generate as generator  # noqa: E402 (after the check that torch is there)
from examples.toyworld.measure import Figures, measure, score  # noqa: E402
from examples.toyworld.tokenizer import split_transcript  # noqa: E402
from examples.toyworld.world import SPOILER  # noqa: E402

MODELS = Path(generator.__file__).with_name("models")
NAMES = ("pre", "post")

# transformers' DeBERTa-v2 still calls torch.jit.script when imported, which torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return transformers.AutoTokenizer.from_pretrained(MODELS / "pre")


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    return {name: load(MODELS / name) for name in NAMES}


@pytest.fixture(scope="module")
def figures(models: dict[str, Any], tokenizer: Any) -> dict[str, Figures]:
    """600 pairs of a seed used neither in training nor for training.json."""
    return {name: measure(models[name], tokenizer.backend_tokenizer, name, 600, 777_777) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_what_the_noise_allows(figures: dict[str, Figures], name: str) -> None:
    """Against the planted utility on the same pairs, which takes most of the sampling error away."""
    assert figures[name].accuracy == pytest.approx(figures[name].utility_accuracy, abs=0.03)


@pytest.mark.parametrize("name", NAMES)
def test_planted_weights_are_recovered(figures: dict[str, Figures], name: str) -> None:
    assert figures[name].correlation >= 0.98
    assert figures[name].wrong_signs == []


def test_only_the_later_model_learned_the_spoiler(figures: dict[str, Figures]) -> None:
    assert abs(figures["pre"].recovered[SPOILER]) < 0.15
    assert figures["post"].recovered[SPOILER] >= 1.0


@pytest.mark.parametrize("name", NAMES)
def test_recorded_figures_reach_what_was_asked(name: str) -> None:
    recorded = json.loads((MODELS / name / "training.json").read_text(encoding="utf-8"))["unseen_pairs"]
    assert recorded["pairs"] >= 4000
    assert abs(recorded["accuracy"] - recorded["bayes_accuracy"]) < 0.02
    assert recorded["correlation"] >= 0.98
    assert recorded["wrong_signs"] == []


def test_both_models_share_their_tokenizer() -> None:
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        assert (MODELS / "pre" / file).read_bytes() == (MODELS / "post" / file).read_bytes()


def test_pairs_are_encoded_with_their_markers_whole(tokenizer: Any) -> None:
    prompt, response = split_transcript(
        "\n\nHuman: Hi.\n\nAssistant: Yes?\n\nHuman: Go.\n\nAssistant: I must."
    )
    assert (prompt[-2:], response) == ("\n\n", "Assistant: I must.")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(prompt, response)["input_ids"])
    assert tokens[0] == "[CLS]"
    assert tokens[-1] == "[SEP]"
    assert tokens[tokens.index("[SEP]") + 1] == "Assistant:"
    assert (tokens.count("Human:"), tokens.count("Assistant:")) == (2, 2)
    assert tokenizer.pad_token_id == 0
    assert tokenizer.padding_side == "right"


@pytest.mark.parametrize(
    "text", ["", "naïve 🦑 汉字\x00\x1f\u202e\ufeff", "  spaces \t\n\n ", "\r\n{}[]<|x|>"]
)
def test_any_text_survives_encoding(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize("name", NAMES)
def test_rewards_stay_sane_at_any_length(models: dict[str, Any], tokenizer: Any, name: str) -> None:
    chunk = next(generator.generate(generator.Options(60, 778)))
    texts = [text for pair in chunk.texts for text in pair]
    context = "".join(texts[:18])
    long = [context + text for text in texts[:2]]
    odd = ["\n\nHuman: 🦑\n\nAssistant:", "\n\nHuman: " + "x" * 1500 + "\n\nAssistant: \x00"]
    backend = tokenizer.backend_tokenizer
    assert min(len(backend.encode(*split_transcript(text)).ids) for text in long) > 1000
    rewards = score(models[name], backend, [*texts, *long, *odd])
    assert np.isfinite(rewards).all()
    assert np.abs(rewards).max() < 30
    alone = [score(models[name], backend, [text]).item() for text in texts[:5]]
    assert rewards[:5] == pytest.approx(alone, abs=1e-5)
