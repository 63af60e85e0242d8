"""`--shard` and `seal merge` as a user types them: what models say, kills, settings, errors."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from seal.engine.frames.health import read_health
from tests.support.command_line import Seal, caller
from tests.support.decoders import SOME
from tests.support.frames import random_texts, texts, write
from tests.support.kills import kill_after, parquet_hashes
from tests.support.kills import seal as run_seal
from tests.support.rewriting_server import serving as serving_rewritings
from tests.support.servers import Server, serving
from tests.support.shards import assert_same
from tests.support.yes_sayers import Sayer

ALL = ("--max-failures", 1)


@pytest.fixture
def seal(capsys: pytest.CaptureFixture[str], elsewhere: None) -> Seal:
    return caller(capsys, one_line=True)


def in_shards(seal: Seal, call: tuple[object, ...], folder: Path, n: int) -> Path:
    """Run a command undivided and in shards, merge these, and hold the folders against each other."""
    shards = [folder / f"shard-{i}" for i in range(1, n + 1)]
    for out, more in [
        (folder / "whole", ()),
        *((s, ("--shard", f"{i}/{n}")) for i, s in enumerate(shards, 1)),
    ]:
        code, _, err = seal(*call, "--out", out, *more)
        assert code == 0, err
    code, out, err = seal("merge", *shards, "--out", folder / "merged")
    assert code == 0, err
    assert out.startswith(f"{n} shards: ")
    assert_same(folder / "whole", folder / "merged")
    return folder / "merged"


@pytest.mark.parametrize("n", [3, 5], ids=["three shards", "an empty shard"])
def test_labels_of_a_model(n: int, seal: Seal, server: Server, tmp_path: Path) -> None:
    """The pairs of the cross-check are drawn over all shards, as they are of the whole."""
    path = write(random_texts(8, seed=3, longest=12, twice=0), tmp_path / "texts.parquet")
    call = (
        "label", path, "--labeler", f"m={server.url}", "--labeler", "computed", "--part-pairs", 2, "--sample",
        0.99, "--seed", 5, "--cross-check", 3, *ALL, "--features", f"{','.join(SOME)},n_words",
    )  # fmt: skip
    merged = in_shards(seal, call, tmp_path, n)
    health = read_health(merged)
    assert health is not None
    whole = health.table.filter(feature=pl.lit("(all)"), labeler=pl.lit("m")).row(0, named=True)
    assert whole["cross_check"] == 3
    assert 0 < whole["n_crossed"] <= 6
    assert health.table.filter(labeler=pl.lit("m"))["agreement"].null_count() == 0
    server.asked.clear()
    assert seal(*call, "--out", merged)[0] == 0
    assert not server.asked
    assert_same(tmp_path / "whole", merged)


def test_labels_of_a_server_that_cannot_be_asked_the_other_way(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(12, seed=3, longest=12, twice=0), tmp_path / "texts.parquet")
    with serving(Sayer(logprobs=False)) as server:
        call = ("label", path, "--labeler", f"m={server.url}", "--part-pairs", 2, "--in-flight", 1)
        merged = in_shards(seal, call, tmp_path, 2)
    assert "not asked by choice: the server gives no log-probabilities" in (
        merged / "label_health.csv"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("more", [(), ("--placebo", "--toward", "last_response_sentiment=positive")])
def test_rewritings_of_a_server(more: tuple[str, ...], seal: Seal, tmp_path: Path) -> None:
    wishes = ["", "swapped", "", "preamble", "filtered", "", "short", "", "", "cut", ""]
    prompts = [f"\n\nHuman: What is good about the big dog {i // 2}? I like it.\n\n" for i in range(22)]
    responses = [
        said
        for wish in wishes
        for said in (
            "Assistant: They said it is a good dog. I like it too.",
            f"Assistant: {f'[{wish}] ' if wish else ''}It is big, they said. I like small ones.",
        )
    ]
    path = write(texts(prompts, responses), tmp_path / "texts.parquet")
    with serving_rewritings() as server:
        call = (
            "rewrite",
            path,
            "--rewriter",
            f"me={server.url}",
            "--sample",
            0.9,
            "--seed",
            2,
            "--part-pairs",
            2,
        )
        merged = in_shards(seal, (*call, "--retries", 1, *ALL, *more), tmp_path, 3)
    totals = json.loads((merged / "manifest.json").read_text(encoding="utf-8"))["totals"]
    assert len(totals["errors"]) > 1
    assert list(totals["errors"].values()) == sorted(totals["errors"].values(), reverse=True)


def test_perturbations(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(9, seed=3, longest=12), tmp_path / "texts.parquet")
    in_shards(seal, ("rewrite", path, "--perturb", "typo_swap,quotes_curly", "--part-pairs", 2), tmp_path, 3)


def test_killed_shards_and_a_killed_merging_end_in_the_same_bytes(tmp_path: Path) -> None:
    path = write(random_texts(120, seed=3, longest=12), tmp_path / "texts.parquet")
    call = ("label", path, "--labeler", "computed", "--part-pairs", 2)
    assert run_seal(*call, "--out", tmp_path / "whole").returncode == 0
    shards = [tmp_path / f"shard-{i}" for i in (1, 2, 3)]
    for i, shard in enumerate(shards, 1):
        mine = (*call, "--shard", f"{i}/3", "--out", shard)
        assert kill_after(0.001, *mine, when=shard / f"part-0000{2 * i}.parquet")
        assert run_seal(*mine).returncode == 0
    out = tmp_path / "merged"
    merging = ("merge", *shards, "--out", out)
    n_killed = 0
    for name in (
        "manifest.json",
        "log.jsonl",
        "part-00010.parquet",
        "part-00030.parquet",
        "failures.parquet",
    ):
        n_killed += kill_after(0.0005, *merging, when=out / name)
    assert n_killed >= 3
    done = run_seal(*merging)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "whole", out)
    assert sorted(p.name for p in out.glob(".*")) == [".lock"]


def test_the_shard_may_stand_in_a_variable_or_in_the_settings(
    seal: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(random_texts(8, seed=3), tmp_path / "texts.parquet")
    call = ("label", path, "--labeler", "computed", "--part-pairs", 2)
    monkeypatch.setenv("SEAL_LABEL_SHARD", "1/2")
    assert seal(*call, "--out", "a")[0] == 0
    monkeypatch.delenv("SEAL_LABEL_SHARD")
    (tmp_path / "seal.toml").write_text('[label]\nshard = "2/2"\n', encoding="utf-8")
    assert seal(*call, "--out", "b")[0] == 0
    (tmp_path / "seal.toml").unlink()
    assert seal(*call, "--out", "whole")[0] == 0
    code, out, _ = seal("merge", "a", "b", "--out", "merged", "--json")
    assert (code, json.loads(out)["n_shards"], json.loads(out)["n_rows"]) == (0, 2, 16)
    assert parquet_hashes(Path("merged")) == parquet_hashes(Path("whole"))


@pytest.mark.parametrize("value", ["0/3", "4/3", "1", "1/0", "a/b", "-1/2", "1/2/3", " 1/2", "1/1000000000"])
@pytest.mark.parametrize("call", [
    ("score", "t", "--model", "m"), ("label", "t", "--labeler", "computed"),
    ("rewrite", "t", "--perturb", "all"), ("similarity", "t", "r", "--embedder", "e"),
], ids=lambda call: call[0])  # fmt: skip
def test_what_is_no_shard_is_refused(call: tuple[str, ...], value: str, seal: Seal) -> None:
    code, _, err = seal(*call, "--out", "o", "--shard", value)
    assert (code, err) == (2, f"seal: shard cannot be {value!r}; write I/N, from 1/N to N/N, e.g. 2/8")


def test_errors_are_one_line(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(4, seed=3), tmp_path / "texts.parquet")
    assert seal("label", path, "--labeler", "computed", "--out", "a", "--shard", "1/2")[0] == 0
    code, _, err = seal("merge", "a", "--out", "m")
    assert (code, err) == (1, "seal: missing: shard 2/2; name the folders of all 2")
    code, _, err = seal("merge", "--out", "m")
    assert code == 2
    assert "Missing argument 'SHARD...'" in err
    shutil.rmtree("a")
    assert seal("merge", "a", "--out", "m")[2] == "seal: a is no shard: no command with shard I/N wrote it"


def test_a_run_takes_no_shard(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(4, seed=3), tmp_path / "texts.parquet")
    settings = f'[run]\ntexts = "{path}"\nout = "out"\npre = "a"\npost = "b"\nlabelers = ["computed"]\n'
    (tmp_path / "seal.toml").write_text(f'{settings}[score]\nshard = "1/2"\n', encoding="utf-8")
    code, _, err = seal("run", "--plan")
    assert code == 2
    assert "scores/pre ([score]): a run does whole stages; leave out shard" in err
