"""What a machine was tuned to: kept beside it, used where nothing was asked for, no part of the model."""

import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from seal.engine.bench import tuning
from seal.engine.bench.options import ScoreBenchOptions
from seal.engine.bench.tuning import Setting, Tuning, apply_tuning
from seal.engine.errors import InputError
from seal.engine.pooling.loading import load_models
from seal.engine.scoring.options import ScoreOptions
from seal.engine.scoring.scoring import score
from seal.engine.verify import verify
from tests.support.frames import random_texts

HERE = tuning.this_machine("cpu")
FOUND = Tuning(
    Setting(256, 1), 2000.0, 1900.0, [(Setting(256, 1), 2000.0), (Setting(512, 2), 1900.0)], [(2048, 0.01)]
)


@pytest.fixture
def model(exported, tmp_path):
    """A copy of an exported folder that a test may write to."""
    return shutil.copytree(exported["pre"], tmp_path / "model")


@pytest.fixture
def texts(tmp_path):
    random_texts(12).write_parquet(tmp_path / "texts.parquet")
    return tmp_path / "texts.parquet"


def identity(folder):
    return load_models({"m": folder})[0].identity


def test_a_search_tries_budgets_and_threads_and_chooses_one_of_them(model, texts, monkeypatch):
    monkeypatch.setattr(tuning, "thread_counts", lambda cores: [1])
    options = ScoreBenchOptions(n_pairs=4, repeats=1, device="cpu", budgets=(64, 128))
    found, where = tuning.search(texts, model, options)
    tried = dict(found.tried)
    assert {s.max_batch_tokens for s in tried} == {64, 128, 512}
    assert found.setting in tried
    assert found.tokens_per_s == tried[found.setting] > 0
    assert where == HERE


def test_the_default_stays_unless_something_is_clearly_faster():
    default = Setting(512, 2)
    assert tuning._best({default: 100.0, Setting(256, 2): 101.0}, default) == default
    assert tuning._best({default: 100.0, Setting(256, 2): 110.0}, default) == Setting(256, 2)


def test_padding_is_what_batching_a_window_at_a_time_makes_it():
    lengths = np.array([10, 2, 10, 2, 3, 3, 3, 3])
    assert tuning.count_padding(lengths, 20, (1, 2, 4)) == pytest.approx({1: 16 / 36, 2: 0, 4: 2 / 36})
    rng = np.random.default_rng(0)
    drawn = rng.integers(5, 600, 8000)
    found = tuning.count_padding(drawn, 4096, (8, 64, 1000, 4000))
    assert sorted(found.values(), reverse=True) == list(found.values())
    assert found[8] > 3 * found[4000]


def test_a_larger_window_must_save_padding_worth_what_a_killed_run_loses():
    assert tuning.smallest_window({2048: 0.085, 8192: 0.023, 16384: 0.014}) == 8192
    assert tuning.smallest_window({2048: 0.0008, 8192: 0.0002}) == 2048
    assert tuning.smallest_window({2048: 0.085, 8192: 0.03, 16384: 0.014}) == 16384


def test_a_search_finds_the_window_of_the_texts(model, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "WINDOWS", (2, 32))
    monkeypatch.setattr(tuning, "thread_counts", lambda cores: [])
    n_words = np.tile([1, 1, 40, 40], 16)  # short pairs and long ones in turn
    words = pl.Series("words", [" ".join(["word"] * n) for n in n_words])
    random_texts(32).with_columns(response=words).write_parquet(tmp_path / "texts.parquet")
    options = ScoreBenchOptions(n_pairs=2, repeats=1, device="cpu", budgets=(1024,))
    monkeypatch.setattr(tuning, "_best", lambda rates, default: max(rates, key=lambda s: s.max_batch_tokens))
    found, _ = tuning.search(tmp_path / "texts.parquet", model, options)
    assert [size for size, _ in found.paddings] == [2, 32]
    assert dict(found.paddings)[2] > dict(found.paddings)[32] + 0.01
    assert found.setting == Setting(1024, found.setting.threads, 32)


def test_a_tuning_is_no_part_of_the_model(model, texts, tmp_path):
    before = identity(model)
    tuning.store(model, FOUND, HERE)
    assert identity(model) == before
    assert verify(model).changed == []


def test_each_machine_has_its_own_entry_and_a_second_tuning_replaces_the_first(model):
    elsewhere = HERE | {"cores": 64}
    tuning.store(model, FOUND, elsewhere)
    assert tuning.load(model, HERE) is None
    tuning.store(model, FOUND, HERE)
    tuning.store(model, replace(FOUND, setting=Setting(1024, 2)), HERE)
    assert tuning.load(model, HERE) == Setting(1024, 2)
    assert tuning.load(model, elsewhere) == Setting(256, 1)
    assert len(json.loads((model / "tuning.json").read_text())["machines"]) == 2


def test_what_the_user_asked_for_stays(model, tmp_path):
    tuning.store(model, FOUND, HERE)
    asked = ScoreOptions(device="cpu", max_batch_tokens=99, threads=3)
    assert apply_tuning(asked, [model], tmp_path / "out") == (asked, [])
    options, notes = apply_tuning(ScoreOptions(device="cpu"), [model], tmp_path / "out")
    assert (options.max_batch_tokens, options.threads) == (256, 1)
    assert [note.partition(",")[0] for note in notes] == ["256 tokens a batch", "1 batches at once"]


def test_without_a_tuning_nothing_is_filled_in(model, tmp_path):
    assert apply_tuning(ScoreOptions(device="cpu"), [model], tmp_path / "out") == (
        ScoreOptions(device="cpu"),
        [],
    )


def test_several_models_run_with_the_smallest_budget(model, exported, tmp_path):
    other = shutil.copytree(exported["post"], tmp_path / "other")
    tuning.store(model, replace(FOUND, setting=Setting(1024, 2)), HERE)
    tuning.store(other, FOUND, HERE)
    options, _ = apply_tuning(ScoreOptions(device="cpu"), [model, other, exported["short"]], tmp_path / "out")
    assert (options.max_batch_tokens, options.threads) == (256, 1)


@pytest.mark.parametrize(
    "changed", [{"cpu": "another"}, {"cores": 999}, {"onnxruntime": "0.0"}, {"device": "cuda"}]
)
def test_another_machine_is_told_and_its_tuning_not_used(model, tmp_path, changed):
    tuning.store(model, FOUND, HERE | changed)
    options, notes = apply_tuning(ScoreOptions(device="cpu"), [model], tmp_path / "out")
    assert options == ScoreOptions(device="cpu")
    assert len(notes) == 1
    assert "was measured on another machine" in notes[0]


def test_a_run_is_gone_on_with_the_budget_it_began_with(model, texts, tmp_path):
    out = tmp_path / "scores"
    score(texts, {"m": model}, out, ScoreOptions(device="cpu", part_pairs=3))
    stamps = {p.name: p.read_bytes() for p in out.glob("part-*")}
    tuning.store(model, FOUND, HERE)
    options, notes = apply_tuning(ScoreOptions(device="cpu", part_pairs=3), [model], out)
    assert options.max_batch_tokens == 512
    assert notes[0] == "512 tokens a batch, as this run was begun with"
    score(texts, {"m": model}, out, options)
    assert {p.name: p.read_bytes() for p in out.glob("part-*")} == stamps
    options, _ = apply_tuning(ScoreOptions(device="cpu", part_pairs=3), [model], out, overwrite=True)
    assert options.max_batch_tokens == 256


def test_the_largest_window_that_any_model_was_tuned_to(model, exported, tmp_path):
    other = shutil.copytree(exported["post"], tmp_path / "other")
    tuning.store(model, replace(FOUND, setting=Setting(256, 1, 8192)), HERE)
    tuning.store(other, FOUND, HERE)
    options, notes = apply_tuning(ScoreOptions(device="cpu"), [model, other], tmp_path / "out")
    assert options.part_pairs == 8192
    assert notes[-1] == "8192 pairs a part, as tuned on this machine"
    options, _ = apply_tuning(ScoreOptions(device="cpu", part_pairs=3), [model, other], tmp_path / "out")
    assert options.part_pairs == 3


def test_a_run_is_gone_on_with_the_window_it_began_with(model, texts, tmp_path):
    out = tmp_path / "scores"
    score(texts, {"m": model}, out, ScoreOptions(device="cpu"))
    stamps = {p.name: p.read_bytes() for p in out.glob("part-*")}
    tuning.store(model, replace(FOUND, setting=Setting(512, 1, 4096)), HERE)
    options, notes = apply_tuning(ScoreOptions(device="cpu"), [model], out)
    assert options.part_pairs == 2048
    assert notes[-1] == "2048 pairs a part, as this run was begun with"
    score(texts, {"m": model}, out, options)
    assert {p.name: p.read_bytes() for p in out.glob("part-*")} == stamps
    options, _ = apply_tuning(ScoreOptions(device="cpu"), [model], out, overwrite=True)
    assert options.part_pairs == 4096


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"machines": [{}]}',
        '{"machines": [{"machine": {}, "setting": {"max_batch_tokens": 0, "threads": 1}}]}',
        '{"machines": [{"machine": {}, "setting": {"max_batch_tokens": 9, "threads": 1, "part_pairs": 0}}]}',
        '{"machines": [{"machine": {}, "setting": {"max_batch_tokens": 9, "threads": 1, "width": 3}}]}',
    ],
)
def test_a_tuning_that_is_none_is_one_clear_error(model, tmp_path, text):
    (model / "tuning.json").write_text(text)
    with pytest.raises(InputError, match=r"tuning\.json is not what seal bench score --tune writes"):
        apply_tuning(ScoreOptions(device="cpu"), [model], tmp_path / "out")


def test_the_torch_backend_knows_no_tuning(checkpoints, tmp_path):
    options = ScoreOptions(device="cpu", backend="torch")
    assert apply_tuning(options, [checkpoints["pre"]], tmp_path / "out") == (options, [])
