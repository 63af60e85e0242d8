"""The comparisons run from end to end on a tiny shape, and every contestant gives the same rewards."""

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from benchmarks import chart, contestants
from benchmarks.dialogues import spread
from seal.engine.checkpoints.exported import TOKENIZER
from seal.engine.pooling.tokenizing import PairEncoder
from tests.support.frames import real_texts
from tests.support.places import ROOT


def run(module, *arguments):
    subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], check=True, cwd=ROOT, capture_output=True
    )


def test_a_few_pairs_are_as_long_as_all_are_on_average(exported):
    texts = real_texts().sort("row_id", "preference")
    encoder = PairEncoder((exported["pre"] / TOKENIZER).read_text(), "pair", 1 << 20)
    every = encoder.encode(texts["prompt"].to_list(), texts["response"].to_list()).lengths
    rows, lengths = spread(texts, encoder, 6)
    assert rows["row_id"].to_list() == sorted(rows["row_id"].to_list())
    assert rows["row_id"].n_unique() == 6 == len(lengths) / 2
    assert lengths.mean() == pytest.approx(every.mean(), rel=0.1)
    limited, short = spread(texts, encoder, 6, limit=200)
    assert short.max() <= 200 < lengths.max()
    assert limited["row_id"].n_unique() == 6


@pytest.mark.parametrize("loader", ["engine", "pipeline", "cross_encoder_torch", "reward_bench"])
def test_a_contestant_gives_the_rewards_of_the_loop(loader, checkpoints, exported):
    pairs = [(f"Human: {'why ' * n}?", f"Assistant: {'so ' * (9 - n)}.") for n in range(8)]
    loop = contestants.LOADERS["one_by_one"](checkpoints["pre"])(pairs, 1)
    scored = contestants.LOADERS[loader](exported["pre"] if loader == "engine" else checkpoints["pre"])
    found = scored(pairs, 64 if loader == "engine" else 4)
    assert found.rewards == pytest.approx(loop.rewards, abs=1e-5)
    assert np.std(loop.rewards) > 0.01
    assert found.n_tokens == loop.n_tokens <= found.n_slots


@pytest.mark.slow
def test_all_peers_give_the_rewards_of_the_loop(tmp_path):
    real_texts()  # skips where the dialogues are not
    run("benchmarks.peers", "--quick", "--out", tmp_path / "peers.json")
    shape = json.loads((tmp_path / "peers.json").read_text())["shapes"][0]
    assert len(shape["results"]) == 8
    for line in shape["results"]:
        assert line["max_abs_diff_from_loop"] < (0.1 if "int8" in line["name"] else 1e-5), line["name"]
        assert line["tokens_per_s"] > 0
        assert 0 <= line["padding"] < 1
    by_name = {line["name"]: line for line in shape["results"]}
    assert by_name["torch, one by one"]["padding"] == 0
    assert by_name["reward-bench's batching"]["padding"] > by_name["seal, fast graph"]["padding"]
    chart.draw(json.loads((tmp_path / "peers.json").read_text()), tmp_path / "peers.png")
    assert (tmp_path / "peers.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_gpu_suite_runs_on_a_cpu(tmp_path):
    out = tmp_path / "gpu.json"
    missing = tmp_path / "nowhere.jsonl"
    run(
        "benchmarks.gpu", "--device", "cpu", "--shape", "deberta-tiny", "--pairs", 4, "--repeats", 1,
        "--dialogues", missing, "--out", out,
    )  # fmt: skip
    document = json.loads(out.read_text())
    assert not document["texts"]["real"]
    results = {line["name"]: line for line in document["results"]}
    assert set(results) == {"seal, cpu, budget 512", "torch", "torch.compile"}
    assert results["seal, cpu, budget 512"]["max_abs_diff_from_torch"] < 1e-5
    assert np.isfinite([line["tokens_per_s"] for line in results.values() if "failed" not in line]).all()


def test_made_dialogues_are_pairs_of_the_lengths_they_are_said_to_have():
    from benchmarks.gpu import made_dialogues

    made = made_dialogues(500)
    n_words = (made["prompt"] + made["response"]).str.split(" ").list.len()
    assert made.height == 1000
    assert made["row_id"].n_unique() == 500
    assert n_words.median() == pytest.approx(130, rel=0.15)
    assert made.select(pl.all().null_count()).sum_horizontal().item() == 0
