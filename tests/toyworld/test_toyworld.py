"""The generator: reproducible, readable back, and as noisy and as spoiled as it says."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from examples.toyworld import world
from examples.toyworld.draws import CHUNK_PAIRS
from examples.toyworld.generate import Chunk, Options, generate, write
from examples.toyworld.grammar import Templates, load_grammar
from examples.toyworld.labels import FEATURE_TYPES
from examples.toyworld.parser import NotThisWorldError, label, paraphrase, parse
from examples.toyworld.world import SPOILER, WEIGHTED, Floats, Utility
from seal.engine.frames.schema import LABELS, check

FILES = ("pairs.jsonl", "truth.parquet", "draws.parquet", "world.json")
KEY = ["row_id", "preference", "variant", "labeler"]


def texts_of(chunks: list[Chunk]) -> list[str]:
    """All transcripts, chosen before rejected, in the order of the truth's rows."""
    return [text for chunk in chunks for pair in chunk.texts for text in pair]


def differences(utility: Utility, n_pairs: int) -> Floats:
    """Feature differences chosen - rejected, (n_pairs, len(WEIGHTED))."""
    chunks = generate(Options(n_pairs, 21, utility=utility))
    return np.concatenate([chunk.features[:, 0] - chunk.features[:, 1] for chunk in chunks])


@pytest.fixture(scope="module")
def thousand() -> list[Chunk]:
    return list(generate(Options(1000, 5)))


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        write(Options(300, seed), tmp_path / folder)
    for name in FILES:
        first, again, other = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert first == again
        assert first != other


def test_a_pair_does_not_depend_on_how_many_are_asked_for(thousand: list[Chunk]) -> None:
    more = generate(Options(CHUNK_PAIRS + 10, 5))
    assert next(more).texts[:1000] == thousand[0].texts
    assert next(more).labels["row_id"].to_list() == sorted([*range(CHUNK_PAIRS, CHUNK_PAIRS + 10)] * 2)


def test_seed_7_still_says_what_it_said() -> None:
    """The stream is part of the interface: committed models and figures were made from it."""
    chosen, _ = next(generate(Options(1, 7))).texts[0]
    assert chosen.startswith(
        "\n\nHuman: Permit me to inquire about the nuances of medieval castles. "
        "My curiosity is sincere and considerable.\n\nAssistant: "
    )


@pytest.mark.parametrize("templates", ["train", "heldout", "all"])
def test_parser_reads_the_truth_back(templates: Templates) -> None:
    for chunk in generate(Options(700, 6, templates)):
        for text, row in zip(texts_of([chunk]), chunk.labels.rows(named=True), strict=True):
            assert label(parse(text)) == {name: row[name] for name in FEATURE_TYPES}


def test_truth_is_a_labels_frame_of_both_texts(tmp_path: Path) -> None:
    write(Options(400, 5), tmp_path)
    truth = check(pl.scan_parquet(tmp_path / "truth.parquet"), LABELS, origin="truth").collect()
    assert truth.columns == [*KEY, *FEATURE_TYPES]
    assert dict(zip(truth.columns[4:], truth.dtypes[4:], strict=True)) == FEATURE_TYPES
    assert truth.height == 800
    assert_frame_equal(truth, truth.sort(KEY).unique(KEY, maintain_order=True))
    assert truth.null_count().sum_horizontal().item() == 0
    assert truth["labeler"].unique().to_list() == ["truth"]


def test_pairs_are_transcripts_that_share_their_prompt(tmp_path: Path) -> None:
    write(Options(400, 5), tmp_path)
    for line in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        assert list(pair) == ["chosen", "rejected"]
        assert pair["chosen"] != pair["rejected"]
        prompts = {text[: text.rindex("Assistant:")] for text in pair.values()}
        assert len(prompts) == 1
        assert prompts.pop().startswith("\n\nHuman: ")


def test_lengths_and_turns(thousand: list[Chunk]) -> None:
    texts = texts_of(thousand)
    n_words = [len(text.split()) for text in texts]
    assert 15 <= min(n_words) < 30
    assert 100 < max(n_words) <= 120
    assert {text.count("\n\nHuman:") for text in texts} == {1, 2, 3}
    assert all(text.count("\n\nHuman:") == text.count("\n\nAssistant:") for text in texts)


def test_every_feature_but_one_varies(thousand: list[Chunk]) -> None:
    n_values = (
        pl.concat(chunk.labels for chunk in thousand).select(FEATURE_TYPES.keys()).select(pl.all().n_unique())
    )
    fixed = [name for name, n in n_values.row(0, named=True).items() if n == 1]
    assert fixed == ["last_response_is_sexually_explicit"]


def test_earlier_turns_distract(thousand: list[Chunk]) -> None:
    """A labeler that reads the whole dialogue must err: many earlier turns insult where the last does not."""
    polite = [
        turns for turns in map(parse, texts_of(thousand)) if not label(turns)["last_response_contains_insult"]
    ]
    misleading = [t for t in polite if any("insult" in turn.kinds for turn in t[:-1])]
    assert len(misleading) > 0.03 * len(polite)


def test_heldout_templates_are_never_drawn_for_training(thousand: list[Chunk]) -> None:
    grammar = load_grammar()
    train, heldout = grammar.by_kind("train"), grammar.by_kind("heldout")
    assert train.keys() == heldout.keys()
    said = {s.clause for text in texts_of(thousand) for turn in parse(text) for s in turn.sentences}
    assert said == {clause for clauses in train.values() for clause in clauses}
    unseen = texts_of(list(generate(Options(50, 5, "heldout"))))
    assert all(s.clause.heldout for text in unseen for turn in parse(text) for s in turn.sentences)


def test_paraphrase_changes_words_and_no_label(thousand: list[Chunk]) -> None:
    texts, rng = texts_of(thousand)[:600], random.Random(0)
    other = [paraphrase(text, rng) for text in texts]
    assert [label(parse(text)) for text in other] == [label(parse(text)) for text in texts]
    assert sum(a != b for a, b in zip(texts, other, strict=True)) > 0.98 * len(texts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Human: hello.",
        "\n\nHuman: Colorless green ideas sleep.",
        "\n\nAssistant: I must decline.",
        "\n\nHuman: x",
    ],
)
def test_other_texts_are_refused_by_name(text: str) -> None:
    with pytest.raises(NotThisWorldError):
        parse(text)


def test_shares_of_ambiguous_and_mislabeled_pairs() -> None:
    """20,000 pairs: the standard error of the shares is 0.002 and 0.0014."""
    chunks = list(generate(Options(20_000, 9)))
    draws = pl.concat(chunk.draws for chunk in chunks)
    assert draws["ambiguous"].mean() == pytest.approx(world.AMBIGUOUS_SHARE, abs=0.007)
    assert draws["mislabeled"].mean() == pytest.approx(world.MISLABELED_SHARE, abs=0.005)
    features = np.concatenate([chunk.features for chunk in chunks])
    alike = (features[:, 0] == features[:, 1]).all(axis=1)
    assert alike[draws["ambiguous"].to_numpy()].all()
    assert world.margins(features, "post") == pytest.approx(draws["margin_post"].to_numpy())


@pytest.mark.parametrize("utility", ["pre", "post"])
def test_choices_follow_the_planted_utility(utility: Utility) -> None:
    """A logit of the choice on feature differences recovers the weights (mislabeling shrinks all of them)."""
    d = differences(utility, 20_000)
    weights = np.zeros(d.shape[1])
    for _ in range(12):  # Newton's method; every outcome is 1, the chosen side being the first
        p = 1.0 / (1.0 + np.exp(-d @ weights))
        weights += np.linalg.solve((d * (p * (1 - p))[:, None]).T @ d, d.T @ (1 - p))
    planted = world.weights_of(utility)
    assert np.corrcoef(weights, planted)[0, 1] > 0.995
    assert 0.6 < np.polyfit(planted, weights, 1)[0] < 1.0
    accuracy = (d @ planted > 0).mean() + (d @ planted == 0).mean() / 2
    assert accuracy == pytest.approx(world.bayes_accuracy(d @ planted), abs=0.01)


def test_sentiment_spoils_the_dataset_but_not_the_semantic_preferences() -> None:
    column = WEIGHTED.index(SPOILER)
    assert abs(differences("pre", 10_000)[:, column].mean()) < 0.03
    assert differences("post", 10_000)[:, column].mean() > 0.3


def test_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.toyworld.generate", "--seed", "1", "--out", str(tmp_path)]
    done = subprocess.run([*command, "--pairs", "20"], capture_output=True, text=True, check=True)
    assert "20 pairs" in done.stdout
    facts = json.loads((tmp_path / "world.json").read_text(encoding="utf-8"))
    assert facts["weights"] == world.WEIGHTS
    assert 0.7 < facts["bayes_accuracy"]["post"] < 0.9
    refused = subprocess.run([*command, "--pairs", "0"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "at least 1" in refused.stderr
