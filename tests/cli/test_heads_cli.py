"""Reward models of several logits, as a user types it: what is said, and what is refused in a line."""

from pathlib import Path

import polars as pl
import pytest

from seal.cli.pipeline.running import plan_run
from tests.support.command_line import Seal, caller
from tests.support.frames import random_texts, write
from tests.support.tiny import make_checkpoint


@pytest.fixture
def seal(capsys: pytest.CaptureFixture[str], elsewhere: None) -> Seal:
    return caller(capsys, one_line=True)


def test_heads_are_said_weighed_and_compared(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(4, seed=2, longest=20), tmp_path / "texts.parquet")
    make_checkpoint(tmp_path / "rm", "bert", heads=("helpful", "harmless"))
    make_checkpoint(tmp_path / "yes", "bert", heads=("yes", "no"))
    asked = ("score", path, "--backend", "torch", "--model", "rm", "--model", "yes")
    code, out, said = seal(*asked, "--out", "scores")
    assert code == 0
    assert out.startswith("8 texts x 3 models = 24 rewards + 0 failures -> scores")
    assert "rm has 2 heads: rm.helpful, rm.harmless" in said
    assert (
        "yes has two classes: its reward is the logit of 'yes' (--head yes=1,-1 takes the difference" in said
    )
    assert {"rm.helpful", "rm.harmless", "yes"} <= set(seal("compare", "scores")[1].split())
    code, out, said = seal(*asked, "--head", "rm=1,1", "--head", "yes=1,-1", "--out", "weighed")
    assert (code, "8 texts x 2 models = 16 rewards" in out, "heads" in said) == (0, True, False)
    rows = pl.read_parquet("weighed/part-00000.parquet")
    assert rows["model"].unique().sort().to_list() == ["rm", "yes"]
    for head, end in (
        ("rm=1", "seal: head rm=1: 1 weights for 2 logits (helpful, harmless)"),
        ("x=1,1", "seal: head x=...: no model here is called so; there are: rm, yes"),
        ("rm=1,one", "seal: head 'rm=1,one' is not NAME=W,...: a model's name and a number for each of its"),
    ):
        code, _, said = seal(*asked, "--head", head, "--out", "refused")
        assert (code, said.startswith(end)) == (2, True), said
    assert not Path("refused").exists()


def test_a_run_weighs_the_heads_of_a_model(tmp_path: Path, elsewhere: None) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    text = """
        [run]
        sources = "pairs.jsonl"
        labelers = "computed"
        pre = { model = "rm", head = ["pre=1,0"] }
        post = "rm"
    """
    (tmp_path / "seal.toml").write_text(text)
    calls = {p.call.stage.name: p.call for p in plan_run(tmp_path / "seal.toml").stages}
    assert "--head=pre=1,0" in calls["scores/pre"].words
    assert calls["scores/pre"].options["head"] == ["pre=1,0"]
    assert not [word for word in calls["scores/post"].words if word.startswith("--head")]
