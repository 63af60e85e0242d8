"""A world in which every effect is known: texts, rewards that are functions of them, a rewriter that errs.

A text is some short sentences of plain or fancy words. It may be warm (`lovely`), long (a closing passage) or
harmful (`knife`); these are what a labeler sees. The post model pays for words, for warmth, half as much
again on garden prompts, for fancy words, and against harm; the pre model for words, little for the others.

The rewriter does what it is asked to nine times in ten. Beside that it always opens each sentence with
`indeed`, if it does not open so already, and draws all words anew, more of them fancy: the off-target change,
which a second rewriting does not add to. One time in twenty it brings harm.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.engine.frames import contrasts
from seal.engine.frames.schema import CHOSEN, PREFERENCE, REJECTED

TONE, LONG = "last_response_sentiment", "last_response_is_long"
TARGETS = ("last_response_is_harmless", "last_response_is_helpful")
PLAIN, FANCY, OPENING, WARM, HARM = "tell", "elucidate", "indeed", "lovely", "knife"
TAIL = " ".join(["moreover it grows"] * 10) + "."
LONG_FROM = 33  # words
WORD_PRICE, WARMTH, GARDEN_WARMTH, FANCY_PRICE, HARM_PRICE = 0.04, 1.0, 0.5, 0.15, -2.0
PRE_WARMTH, PRE_FANCY = 0.25, 0.05
SENTENCES, WORDS = (2, 5), 4  # at least and at most in a text; in a sentence
FANCY_BEFORE, FANCY_AFTER = 0.3, 0.5
WARM_BY_TOPIC, GARDENS, IS_LONG = (0.2, 0.5), 0.4, 0.25
OBEYS, HARMS = 0.9, 0.05


@dataclass(frozen=True)
class World:
    """Frames of one world."""

    scores: pl.DataFrame
    labels: pl.DataFrame
    texts: pl.DataFrame
    rewritten_scores: pl.DataFrame
    rewritten_labels: pl.DataFrame


def truth() -> dict[tuple[str, str, str], float]:
    """(model, feature, estimand) -> the planted effect; of the placebo the feature is empty."""
    n_sentences = sum(SENTENCES) / 2
    fancier = (FANCY_AFTER - FANCY_BEFORE) * WORDS * n_sentences
    warm = np.array(WARM_BY_TOPIC)
    topic = np.array([1 - GARDENS, GARDENS])
    pays = WARMTH + GARDEN_WARMTH * np.array([0.0, 1.0])
    found = {}
    for name, share in (("att", warm), ("atu", 1 - warm), ("ate", np.ones(2))):
        weight = topic * share
        found["post", TONE, name] = float(weight @ pays / weight.sum()) + WORD_PRICE
        found["pre", TONE, name] = PRE_WARMTH + WORD_PRICE
        for model in ("pre", "post"):
            found[model, LONG, name] = WORD_PRICE * len(TAIL.split())
    for model, price in (("pre", PRE_FANCY), ("post", FANCY_PRICE)):
        found[model, "", "placebo"] = WORD_PRICE * n_sentences + price * fancier
    return found


def world(n_pairs: int, rng: np.random.Generator) -> World:
    """Draw pairs, two to a prompt; rewrite their texts for both attributes; score and label everything."""
    garden = np.repeat(rng.random((n_pairs + 1) // 2) < GARDENS, 2)[:n_pairs]
    topics = np.repeat(garden, 2).tolist()
    drawn = [_text(topic, rng) for topic in topics]
    made = [{"original": text, contrasts.PLACEBO: _rewritten(text, None, "", rng)} for text in drawn]
    for own in made:
        for feature in (TONE, LONG):
            values = ("positive", "neutral") if feature == TONE else ("true", "false")
            has = label(own["original"])[feature] == values[0]
            away, home = values[::-1] if has else values
            first = _rewritten(own["original"], feature, away, rng)
            own[contrasts.toward(feature, away)] = first
            own[contrasts.back(feature, away)] = _rewritten(first, feature, home, rng)
    keys = [(i // 2, (CHOSEN, REJECTED)[i % 2], v) for i, own in enumerate(made) for v in own]
    texts = [text for own in made for text in own.values()]
    gardens = [topic for topic, own in zip(topics, made, strict=True) for _ in own]
    frame = _keyed(keys).with_columns(group=pl.col("row_id") // 2)
    scores = pl.concat([
        frame.with_columns(model=pl.lit(m), reward=pl.Series(reward(texts, gardens, m)))
        for m in ("pre", "post")
    ])  # fmt: skip
    labels = frame.with_columns(labeler=pl.lit("reader")).hstack(_labels(texts))
    originals = frame.filter(variant="original").with_columns(
        source=pl.lit("made"), response=pl.Series(drawn), prompt=pl.lit("garden?")
    )
    given = pl.col("variant") == "original"
    return World(
        scores.filter(given), labels.filter(given), originals, scores.filter(~given), labels.filter(~given)
    )


def _keyed(keys: Iterable[tuple[int, str, str]]) -> pl.DataFrame:
    schema = {"row_id": pl.Int64(), "preference": PREFERENCE, "variant": pl.String()}
    return pl.DataFrame(list(keys), schema=schema, orient="row")


def reward(texts: Iterable[str], gardens: Iterable[bool], model: str) -> list[float]:
    """Rewards of texts, functions of the words alone and, for what warmth is worth, of the prompt."""
    found = []
    for text, garden in zip(texts, gardens, strict=True):
        words = text.replace(".", "").split()
        warm = WARM in words
        if model == "pre":
            found.append(WORD_PRICE * len(words) + PRE_WARMTH * warm + PRE_FANCY * words.count(FANCY))
            continue
        pays = WARMTH + GARDEN_WARMTH * garden
        found.append(
            WORD_PRICE * len(words)
            + pays * warm
            + FANCY_PRICE * words.count(FANCY)
            + HARM_PRICE * (HARM in words)
        )
    return found


def label(text: str) -> dict[str, str]:
    """What a labeler sees, values as text."""
    words = text.replace(".", "").split()
    return {
        TONE: "positive" if WARM in words else "neutral", LONG: str(len(words) >= LONG_FROM).lower(),
        TARGETS[0]: str(HARM not in words).lower(), TARGETS[1]: "true",
    }  # fmt: skip


def _labels(texts: Iterable[str]) -> pl.DataFrame:
    said = pl.DataFrame([label(text) for text in texts])
    tones = pl.col(TONE).cast(pl.Enum(["positive", "neutral", "negative"]))
    return said.select(tones, *(pl.col(c) == "true" for c in (LONG, *TARGETS)))


def _text(garden: bool, rng: np.random.Generator) -> str:
    n = int(rng.integers(SENTENCES[0], SENTENCES[1] + 1))
    text = " ".join(_sentence(FANCY_BEFORE, rng) for _ in range(n))
    text = f"{WARM} {text}" if rng.random() < WARM_BY_TOPIC[int(garden)] else text
    return f"{text} {TAIL}" if rng.random() < IS_LONG else text


def _sentence(fancy: float, rng: np.random.Generator) -> str:
    return " ".join(FANCY if u < fancy else PLAIN for u in rng.random(WORDS)) + "."


def _rewritten(text: str, feature: str | None, value: str, rng: np.random.Generator) -> str:
    """A rewriting toward a value of a feature; toward nothing where there is none."""
    warm, long = WARM in text, TAIL in text
    if feature is not None and rng.random() < OBEYS:
        warm, long = (value == "positive", long) if feature == TONE else (warm, value == "true")
    harm = HARM in text or rng.random() < HARMS
    n = sum(text.replace(TAIL, "").count(end) for end in ".")
    body = " ".join(f"{OPENING} {_sentence(FANCY_AFTER, rng)}" for _ in range(n))
    parts = [WARM] * warm + [HARM] * harm + [body] + [TAIL] * long
    return " ".join(parts)
