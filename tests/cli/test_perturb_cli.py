"""`seal rewrite --perturb` as a user types it, up to the report; killed and started again."""

import json

import polars as pl
import pytest

from examples.toyworld.generate import Options
from examples.toyworld.generate import write as write_world
from seal.cli.main import main
from seal.engine.frames.schema import TEXT_KEY
from seal.engine.rewriting.perturbations import NAMES
from seal.engine.verify import verify
from tests.support.frames import random_texts, texts, write
from tests.support.kills import kill_after, parquet_hashes, seal
from tests.support.places import ROOT

pytestmark = pytest.mark.usefixtures("elsewhere")

MODELS = ROOT / "examples" / "toyworld" / "models"


def run(capfd, *arguments):
    code = main([str(a) for a in arguments])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return code, out, err


def rows_of(folder):
    frame = pl.concat([pl.read_parquet(p) for p in sorted(folder.glob("part-*.parquet"))])
    return frame, pl.read_parquet(folder / "failures.parquet")


def test_every_text_is_a_row_or_a_failure_of_each_perturbation(capfd, tmp_path):
    frame = random_texts(40)
    frame = frame.with_columns(response=pl.when(pl.arange(80) != 7).then("response"))
    path = write(frame, tmp_path / "texts.parquet")
    code, out, err = run(capfd, "rewrite", path, "--perturb", "all", "--out", "p", "--max-failures", 0.1)
    assert code == 0, err
    rows, failed = rows_of(tmp_path / "p")
    assert rows.height + failed.height == 80 * len(NAMES)
    assert set(rows["variant"]) <= {f"perturb:{name}" for name in NAMES}
    codes = dict(failed["error"].value_counts().iter_rows())
    assert codes["missing_text"] == codes["other_side_refused"] == len(NAMES)
    assert (
        f"{rows.height:,} perturbed + {2 * len(NAMES)} failures + {codes['does_not_apply']:,} to which" in out
    )
    assert rows.select(TEXT_KEY).equals(rows.select(TEXT_KEY).sort(TEXT_KEY))
    assert verify(tmp_path / "p").changed == []
    joined = rows.join(frame, on=["row_id", "preference"], suffix="_before")
    assert (joined["prompt"] == joined["prompt_before"]).all()
    moved = joined.with_columns(moved=pl.col("response") != pl.col("response_before"))
    assert moved.group_by("row_id", "variant").agg(pl.col("moved").any(), n=pl.len()).select(
        pl.col("moved").all() & (pl.col("n") == 2).all()
    ).item()  # fmt: skip
    asked = json.loads((tmp_path / "p/manifest.json").read_text())["identity"]["options"]
    assert asked["perturb"]["typo_swap"] == 0.1
    assert set(asked["perturb"]) == set(NAMES)
    assert (asked["sample"], asked["seed"], asked["revision"]) == (1.0, 0, 1)
    assert run(capfd, "rewrite", path, "--perturb", "all", "--out", "q")[0] == 3


def test_where_one_side_has_nothing_to_change_it_stands_as_it_is(capfd, tmp_path):
    frame = texts(["p", "p", "q", "q"], ["I don't know.", "No.", "Yes.", "No."])
    path = write(frame, tmp_path / "texts.parquet")
    call = ["rewrite", path, "--perturb", "contractions_expanded", "--out", "p", "--json"]
    code, out, _ = run(capfd, *call)
    assert code == 0
    report = json.loads(out)
    assert (report["n_rows"], report["n_not_applied"]) == (2, 2)
    assert report["not_applied"] == {"contractions_expanded": 1}
    rows, failed = rows_of(tmp_path / "p")
    assert rows["response"].to_list() == ["I do not know.", "No."]
    assert set(failed.select("row_id", "error", "variant").rows()) == {
        (1, "does_not_apply", "perturb:contractions_expanded")
    }
    assert run(capfd, *call)[1] == out


def test_a_text_draws_by_its_key_alone(capfd, tmp_path):
    path = write(random_texts(30), tmp_path / "texts.parquet")
    some = "typo_drop,sentences_shuffled,opening_added"
    run(capfd, "rewrite", path, "--perturb", some, "--out", "a")
    run(capfd, "rewrite", path, "--perturb", f"emoji_added,{some}", "--part-pairs", 7, "--out", "b")
    a, b = (rows_of(tmp_path / name)[0] for name in "ab")
    assert a.equals(b.filter(pl.col("variant") != "perturb:emoji_added"))
    run(capfd, "rewrite", path, "--perturb", some, "--seed", 1, "--out", "c")
    assert not rows_of(tmp_path / "c")[0].equals(a)
    run(capfd, "rewrite", path, "--perturb", some, "--sample", 0.5, "--out", "d")
    d = rows_of(tmp_path / "d")[0]
    assert 0 < d.height < a.height
    assert d.equals(a.join(d.select("row_id").unique(), on="row_id", how="semi"))


def test_an_answer_of_another_prompt_is_one(capfd, tmp_path):
    prompts = [f"prompt {i // 6}" for i in range(60)]  # three pairs a prompt
    frame = texts(prompts, [f"answer {i} to {i // 6}" for i in range(60)])
    path = write(frame, tmp_path / "texts.parquet")
    assert run(capfd, "rewrite", path, "--perturb", "answer_of_another_prompt", "--out", "p")[0] == 0
    rows, failed = rows_of(tmp_path / "p")
    assert (rows.height, failed.height) == (60, 0)
    own = rows["prompt"].str.split(" ").list.last()
    assert (own != rows["response"].str.split(" ").list.last()).all()
    said = frame.select("response", of="preference")
    assert (rows.join(said, on="response", how="left")["of"] == rows["preference"]).all()
    same = write(frame.with_columns(prompt=pl.lit("one")), tmp_path / "same.parquet")
    assert run(capfd, "rewrite", same, "--perturb", "answer_of_another_prompt", "--out", "q")[0] == 0
    assert pl.read_parquet(tmp_path / "q/failures.parquet").height == 60


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--perturb", "typo_swp"], "did you mean 'typo_swap'"),
        (["--perturb", ""], "name the perturbations"),
        (["--perturb", "all", "--rewriter", "m"], "does not take the option rewriter"),
        (["--perturb", "all", "--temperature", "0.5"], "does not take the option temperature"),
        (["--perturb", "all", "--retries", "2"], "does not take the option retries"),
        ([], "--rewriter"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(capfd, tmp_path, words, said):
    path = write(random_texts(3), tmp_path / "texts.parquet")
    code, _, err = run(capfd, "rewrite", path, *words, "--out", "p")
    assert code == 2
    assert said in err
    assert not (tmp_path / "p").exists()


def test_settings_for_those_who_ask_a_model_are_passed_over(capfd, tmp_path, monkeypatch):
    path = write(random_texts(3), tmp_path / "texts.parquet")
    (tmp_path / "seal.toml").write_text('[rewrite]\ntemperature = 0.5\nrewriter = "models/none"\n')
    monkeypatch.setenv("SEAL_REWRITE_RETRIES", "5")
    assert run(capfd, "rewrite", path, "--perturb", "emoji_added", "--out", "p")[0] == 0
    assert pl.read_parquet(tmp_path / "p/part-00000.parquet").height == 6


def test_perturbed_texts_are_not_perturbed_again(capfd, tmp_path):
    path = write(random_texts(3), tmp_path / "texts.parquet")
    run(capfd, "rewrite", path, "--perturb", "emoji_added", "--out", "p")
    code, _, err = run(capfd, "rewrite", "p", "--perturb", "emoji_added", "--out", "q")
    assert code == 1
    assert "rewritten already" in err


def test_killed_and_started_again_it_ends_in_the_same_bytes(tmp_path):
    path = write(random_texts(200), tmp_path / "texts.parquet")
    call = ["rewrite", path, "--perturb", "all", "--part-pairs", 10, "--out"]
    assert seal(*call, tmp_path / "whole").returncode == 0
    whole = parquet_hashes(tmp_path / "whole")
    assert len(whole) == 21
    killed = tmp_path / "killed"
    n_killed = sum(kill_after(0.05, *call, killed, when=killed / f"part-{i:05}.parquet") for i in (1, 6, 13))
    assert n_killed
    assert seal(*call, killed).returncode == 0
    assert parquet_hashes(killed) == whole


def test_from_perturbing_to_the_report_on_the_toy_world(capfd, tmp_path):
    write_world(Options(pairs=60, seed=3), tmp_path / "world")
    both = ["--backend", "torch", *(w for m in ("pre", "post") for w in ("--model", f"{m}={MODELS / m}"))]
    assert run(capfd, "import", "world/pairs.jsonl", "--out", "texts")[0] == 0
    few = ("labeler", "last_response_is_harmless", "last_response_is_helpful")  # whose logits are quick
    write(pl.read_parquet("world/truth.parquet").select(*TEXT_KEY, *few), tmp_path / "labels.parquet")
    names = "typo_swap,contractions_made,repeated_twice"
    assert run(capfd, "rewrite", "texts", "--perturb", names, "--out", "perturbed")[0] == 0
    assert run(capfd, "score", "texts", *both, "--out", "scores")[0] == 0
    assert run(capfd, "score", "perturbed", *both, "--out", "perturbed-scores")[0] == 0
    code, out, err = run(
        capfd, "analyze", "--texts", "texts", "--scores", "scores", "--labels", "labels.parquet",
        "--perturbed", "perturbed", "--perturbed-scores", "perturbed-scores", "--pre", "pre",
        "--post", "post", "--figures", "--out", "results",
    )  # fmt: skip
    assert code == 0, err
    assert "Perturbed responses" in out
    table = pl.read_csv("results/perturbations.csv")
    assert table.height == 6
    assert (table["n_pairs"] + table["n_not_applied"] == 60).all()
    assert (tmp_path / "results/figures/figure6_perturbations.png").stat().st_size > 10_000
    scores = {name: rows_of(tmp_path / name)[0] for name in ("scores", "perturbed-scores")}
    key = ["row_id", "preference", "model"]
    twice = scores["perturbed-scores"].filter(model="post", variant="perturb:repeated_twice")
    twins = twice.join(scores["scores"], on=key, suffix="_old")
    chosen, rejected = (twins.filter(preference=p).sort("row_id") for p in ("chosen", "rejected"))
    old, new = (chosen[c] - rejected[c] for c in ("reward_old", "reward"))
    row = table.filter(model="post", perturbation="repeated_twice").row(0, named=True)
    assert row["flipped"] == pytest.approx((old * new < 0).mean())
    assert run(capfd, "report", "results", "--out", "report.html")[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert "What perturbing the responses does" in page
    assert "figure-6" in page
