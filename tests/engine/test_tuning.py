"""What a machine was tuned to: kept beside it, used where nothing was asked for, no part of the model."""

import json
from dataclasses import replace

import pytest
from frames import random_texts

from engine import tuning
from engine.bench import BenchOptions
from engine.errors import InputError
from engine.models import load_models
from engine.scoring import ScoreOptions, score
from engine.tuning import Setting, Tuning, settle
from engine.verify import verify

HERE = tuning.this_machine("cpu")
FOUND = Tuning(Setting(256, 1), 2000.0, 1900.0, [(Setting(256, 1), 2000.0), (Setting(512, 2), 1900.0)])


@pytest.fixture
def model(exported, tmp_path):
    """A copy of an exported folder that a test may write to."""
    import shutil

    return shutil.copytree(exported["pre"], tmp_path / "model")


@pytest.fixture
def texts(tmp_path):
    random_texts(12).write_parquet(tmp_path / "texts.parquet")
    return tmp_path / "texts.parquet"


def identity(folder):
    return load_models({"m": folder})[0].identity


def test_a_search_tries_budgets_and_threads_and_chooses_one_of_them(model, texts, monkeypatch):
    monkeypatch.setattr(tuning, "thread_counts", lambda cores: [1])
    options = BenchOptions(n_pairs=4, repeats=1, device="cpu", budgets=(64, 128))
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
    assert settle(asked, [model], tmp_path / "out") == (asked, [])
    options, notes = settle(ScoreOptions(device="cpu"), [model], tmp_path / "out")
    assert (options.max_batch_tokens, options.threads) == (256, 1)
    assert [note.partition(",")[0] for note in notes] == ["256 tokens a batch", "1 batches at once"]


def test_without_a_tuning_nothing_is_filled_in(model, tmp_path):
    assert settle(ScoreOptions(device="cpu"), [model], tmp_path / "out") == (ScoreOptions(device="cpu"), [])


def test_several_models_run_with_the_smallest_budget(model, exported, tmp_path):
    import shutil

    other = shutil.copytree(exported["post"], tmp_path / "other")
    tuning.store(model, replace(FOUND, setting=Setting(1024, 2)), HERE)
    tuning.store(other, FOUND, HERE)
    options, _ = settle(ScoreOptions(device="cpu"), [model, other, exported["short"]], tmp_path / "out")
    assert (options.max_batch_tokens, options.threads) == (256, 1)


@pytest.mark.parametrize(
    "changed", [{"cpu": "another"}, {"cores": 999}, {"onnxruntime": "0.0"}, {"device": "cuda"}]
)
def test_another_machine_is_told_and_its_tuning_not_used(model, tmp_path, changed):
    tuning.store(model, FOUND, HERE | changed)
    options, notes = settle(ScoreOptions(device="cpu"), [model], tmp_path / "out")
    assert options == ScoreOptions(device="cpu")
    assert len(notes) == 1
    assert "was measured on another machine" in notes[0]


def test_a_run_is_gone_on_with_the_budget_it_began_with(model, texts, tmp_path):
    out = tmp_path / "scores"
    score(texts, {"m": model}, out, ScoreOptions(device="cpu", part_rows=3))
    stamps = {p.name: p.read_bytes() for p in out.glob("part-*")}
    tuning.store(model, FOUND, HERE)
    options, notes = settle(ScoreOptions(device="cpu", part_rows=3), [model], out)
    assert options.max_batch_tokens == 512
    assert notes[0] == "512 tokens a batch, as this run was begun with"
    score(texts, {"m": model}, out, options)
    assert {p.name: p.read_bytes() for p in out.glob("part-*")} == stamps
    options, _ = settle(ScoreOptions(device="cpu", part_rows=3), [model], out, overwrite=True)
    assert options.max_batch_tokens == 256


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"machines": [{}]}',
        '{"machines": [{"machine": {}, "setting": {"max_batch_tokens": 0, "threads": 1}}]}',
    ],
)
def test_a_tuning_that_is_none_is_one_clear_error(model, tmp_path, text):
    (model / "tuning.json").write_text(text)
    with pytest.raises(InputError, match=r"tuning\.json is not what seal bench score --tune writes"):
        settle(ScoreOptions(device="cpu"), [model], tmp_path / "out")


def test_the_torch_backend_knows_no_tuning(checkpoints, tmp_path):
    options = ScoreOptions(device="cpu", backend="torch")
    assert settle(options, [checkpoints["pre"]], tmp_path / "out") == (options, [])
