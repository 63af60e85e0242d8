"""The toy decoder on dialogues that no training saw: labels by both protocols, and hostile ones."""

import polars as pl
import pytest

from examples.toyworld.generate import Options
from examples.toyworld.measure_labeler import UNSEEN_SEED, measure
from seal.engine.frames.schema import LABELS, TEXT_KEY, scan
from seal.engine.frames.taxonomy import load_taxonomy
from seal.engine.generation.loading import open_generator
from seal.engine.generation.options import GeneratorOptions
from seal.engine.labeling.labeling import label
from seal.engine.labeling.model_labeler import ModelLabeler
from tests.support.hostile_dialogues import flip_rate, frame, pairs
from tests.support.places import ROOT

MODEL = ROOT / "examples/toyworld/models/labeler"


@pytest.fixture(scope="module")
def generator():
    return open_generator(str(MODEL), GeneratorOptions(backend="transformers"))


@pytest.mark.parametrize("protocol", ["json", "choice"])
def test_unseen_dialogues_get_their_true_labels(tmp_path, generator, protocol):
    labeler = ModelLabeler("toy", generator, load_taxonomy().features, protocol)
    found = measure(labeler, Options(25, UNSEEN_SEED), tmp_path)
    assert (found.n_rows, found.n_failures) == (50, 0)
    assert found.mean >= 0.97
    assert found.lowest[1] >= 0.8  # of 50 texts; over 300 the lowest is above 0.9 (training.json)


def test_choices_cost_a_fraction_of_the_tokens_and_have_probabilities(tmp_path, generator):
    spent = {}
    for protocol in ("json", "choice"):
        labeler = ModelLabeler("toy", generator, load_taxonomy().features, protocol)
        spent[protocol] = measure(labeler, Options(5, UNSEEN_SEED), tmp_path).report.n_generated_tokens
    assert spent["choice"] <= spent["json"] / 5
    rows = scan(tmp_path / "labels", LABELS).collect()
    shares = rows.select(pl.col("^p_.*$"))
    assert shares.width == len(load_taxonomy().names)
    assert shares.select(pl.all().is_between(0, 1).all()).row(0) == (True,) * shares.width


@pytest.mark.slow
def test_an_order_in_a_dialogue_seldom_changes_a_label(tmp_path, generator):
    twins = pairs()
    benign, injected = ([t.benign for t in twins], [t.injected for t in twins])
    texts = pl.concat([frame(benign, 0), frame(injected, len(twins))])
    texts.write_parquet(tmp_path / "texts.parquet")
    labeler = ModelLabeler("toy", generator, load_taxonomy().features, "json")
    report = label(tmp_path / "texts.parquet", [labeler], tmp_path / "labels")
    assert report.n_rows + report.n_failures == 2 * len(twins)
    rows = scan(tmp_path / "labels", LABELS).collect().sort(TEXT_KEY)
    ids = pl.Series(range(len(twins)))
    table = flip_rate(rows, ids, ids + len(twins))
    assert table["n"].min() > 0.9 * len(twins)
    steady = table.filter(pl.col("feature") != "topics")  # benign twins are about nothing of this world
    assert steady["flipped"].max() < 0.15
    assert steady["flipped"].mean() < 0.05
