"""`seal rewrite` as a user types it, against a server that also answers badly; kills; what follows it."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from seal.engine.frames.schema import LABELS, SCORES, TEXTS, scan
from tests.support.command_line import Seal
from tests.support.frames import texts, write
from tests.support.kills import kill_after, parquet_hashes
from tests.support.kills import seal as run_seal
from tests.support.rewriting_server import BAD, CODES, Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def talks(path: Path, wishes: list[str], *, each: int = 1) -> Path:
    """Pairs whose rejected text holds a wish to the server, `each` of every one; "" for none."""
    prompts, responses = [], []
    for i, wish in enumerate(wish for wish in wishes for _ in range(each)):
        prompts += [f"\n\nHuman: What is so good about the big dog number {i}? I like it.\n\n"] * 2
        responses += ["Assistant: They said it is a good dog. I like it too."]
        responses += [f"Assistant: {f'[{wish}] ' if wish else ''}It is big, they said. I like small ones."]
    return write(texts(prompts, responses), path)


def call(texts: Path, server: Server, out: object, *more: object) -> tuple[object, ...]:
    where = ("--rewriter", f"me={server.url}", "--out", out, "--sample", 1, "--max-failures", 1)
    return ("rewrite", texts, *where, *more)


def rows_of(folder: Path) -> pl.DataFrame:
    return scan(folder, TEXTS).collect()


def failures_of(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "failures.parquet")


def test_every_kind_of_bad_rewriting_is_refused_with_its_code(
    seal: Seal, server: Server, tmp_path: Path
) -> None:
    path = talks(tmp_path / "texts.parquet", ["", *BAD])
    code, out, _ = seal(*call(path, server, "r", "--retries", 1))
    assert code == 0
    n_bad = len(BAD)
    assert f"{2 + 2 * n_bad} texts = 2 rewritten + {2 * n_bad} failures -> r" in out
    assert f"other_side_refused {n_bad}, turns_changed 4, length_changed 2" in out
    assert rows_of(tmp_path / "r")["row_id"].to_list() == [0, 0]
    failures = failures_of(tmp_path / "r")
    rejected = failures.filter(preference="rejected").sort("row_id")
    assert rejected["error"].to_list() == [CODES[kind] for kind in BAD]
    assert failures.filter(preference="chosen")["error"].unique().to_list() == ["other_side_refused"]
    for kind, detail in zip(BAD, rejected["detail"], strict=True):
        told = kind in ("empty", "filtered") or "; the answer: " in detail
        assert told, f"{kind}: the raw answer is not in {detail!r}"
    # a refusal by the server itself is not asked again; everything else once
    assert f"{2 + 2 * n_bad + n_bad - 1} requests ({n_bad - 1} again)" in out
    assert seal(*call(path, server, "r", "--retries", 1, "--max-failures", 0.5))[0] == 3


def test_asking_again_with_another_seed_mends_what_chance_did(
    seal: Seal, server: Server, tmp_path: Path
) -> None:
    path = talks(tmp_path / "texts.parquet", [f"once {kind}" for kind in ("cut", "preamble", "empty")])
    code, out, _ = seal(*call(path, server, "r", "--json"))
    report = json.loads(out)
    assert (code, report["n_rows"], report["n_failures"], report["n_retries"]) == (0, 6, 0, 3)
    seeds: dict[str, list[int]] = {}
    for body in server.asked:
        seeds.setdefault(body["messages"][0]["content"], []).append(body["seed"])
        assert body["temperature"] == 0.1
    assert sorted(len(s) for s in seeds.values()) == [1, 1, 1, 2, 2, 2]
    assert all(len(set(s)) == len(s) for s in seeds.values())


def test_at_temperature_0_nothing_is_asked_again(seal: Seal, server: Server, tmp_path: Path) -> None:
    path = talks(tmp_path / "texts.parquet", ["once preamble"])
    _, out, _ = seal(*call(path, server, "r", "--temperature", 0, "--json"))
    assert (json.loads(out)["n_retries"], json.loads(out)["n_failures"]) == (0, 2)


def test_an_instruction_of_ones_own(seal: Seal, server: Server, tmp_path: Path) -> None:
    path = talks(tmp_path / "texts.parquet", [""])
    (tmp_path / "mine.txt").write_text("Say it like a pirate, größer.\n", encoding="utf-8")
    assert seal(*call(path, server, "r", "--instruction", "mine.txt"))[0] == 0
    for body in server.asked:
        message = body["messages"][0]["content"]
        assert message.startswith("Say it like a pirate, größer.\n\nThe dialogue is quoted")
    for content, reason in ((b" \n", "the instruction is empty"), (b"\xff\xfe", "cannot read the instruc")):
        (tmp_path / "bad.txt").write_bytes(content)
        code, _, err = seal(*call(path, server, "s", "--instruction", "bad.txt"))
        assert (code in (1, 2), reason in err) == (True, True)
    assert not (tmp_path / "s").exists()


def test_the_sample_takes_whole_pairs(seal: Seal, server: Server, tmp_path: Path) -> None:
    path = talks(tmp_path / "texts.parquet", [""], each=300)
    share = ("--sample", 0.1, "--part-rows", 10)
    assert seal(*call(path, server, "a", *share))[0] == 0
    assert seal(*call(path, server, "b", *share, "--limit", 5))[0] == 0
    ids = {name: rows_of(tmp_path / name)["row_id"].to_list() for name in "ab"}
    assert 40 < len(ids["a"]) < 80  # 60 expected of 600, with a standard deviation of 10
    assert ids["a"] == [i for i in sorted(set(ids["a"])) for _ in range(2)]
    assert ids["b"] == ids["a"][:10]
    code, _, err = seal("rewrite", path, "--rewriter", server.url, "--out", "c", "--sample", 1e-9)
    assert (code, "the sample keeps none of the pairs" in err) == (1, True)


def test_resuming_another_way_is_refused_with_the_difference(
    seal: Seal, server: Server, tmp_path: Path
) -> None:
    path = talks(tmp_path / "texts.parquet", ["", ""])
    assert seal(*call(path, server, "r"))[0] == 0
    assert seal(*call(path, server, "r"))[0] == 0
    assert len(server.asked) == 4
    (tmp_path / "mine.txt").write_text("Otherwise.")
    for more, difference in {
        ("--temperature", 0.7): "models.me.temperature: 0.1 there, 0.7 now",
        ("--seed", 3): "models.me.seed: 0 there, 3 now",
        ("--instruction", "mine.txt"): "models.me.instruction.sha256",
        ("--retries", 1): "models.me.retries: 2 there, 1 now",
        ("--sample", 0.9): "options.sample: 1.0 there, 0.9 now",
        ("--part-rows", 1): "options.part_pairs: 128 there, 1 now",
        ("--limit", 1): "options.limit: null there, 1 now",
        ("--rewriter", f"you={server.url}"): "models.me.backend",
    }.items():
        code, _, err = seal(*call(path, server, "r", *more))
        assert (code, difference in err) == (1, True), err
    assert seal(*call(path, server, "r", "--limit", 1, "--overwrite"))[0] == 0
    assert rows_of(tmp_path / "r").height == 2
    assert seal("verify", "r")[0] == 0


REFUSED = {
    "no rewriter": ((), "Missing option '--rewriter'"),
    "a hostile name": (("--rewriter", "../up=http://127.0.0.1:9"), "cannot be a name"),
    "no folder": (("--rewriter", "models/none"), "models/none"),
    "a backend for folders": (("--rewriter", "http://[::1]:9", "--backend", "vllm"), "takes a model folder"),
    "a server's option": (
        ("--rewriter", "models/none", "--backend", "transformers", "--in-flight", 2), "in-flight",
    ),
    "no such temperature": (("--rewriter", "x", "--temperature", -1), "not in the range"),
    "into the texts": (("--rewriter", "SERVER", "--out", "."), "lie in each other"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(seal: Seal, server: Server, tmp_path: Path, case: str) -> None:
    path = talks(tmp_path / "texts.parquet", [""])
    arguments, reason = REFUSED[case]
    code, _, err = seal(
        "rewrite", path, "--out", "r", *(server.url if a == "SERVER" else a for a in arguments)
    )
    assert code in (1, 2)
    assert reason in " ".join(err.split())
    assert not (tmp_path / "r").exists()


def kill_and_go_on(folder: Path, server: Server, n_kills: int) -> int:
    """Kill rewriting at moments spread over its parts, and finish it; the bytes are those of no kill."""
    rng, n_killed = random.Random(0), 0
    path = talks(folder / "texts.parquet", ["", "", "", "preamble"], each=15)
    more = ("--part-rows", 3, "--in-flight", 4)
    assert run_seal(*call(path, server, folder / "whole", *more)).returncode == 0
    whole = parquet_hashes(folder / "whole")
    assert len(whole) == 21
    out = folder / "killed"
    server.delay_s = 0.02
    for _ in range(n_kills):
        seen = len(list(out.glob("part-*"))) if out.exists() else 0
        part = out / f"part-{min(seen + rng.randrange(1, 5), 19):05}.parquet"
        n_killed += kill_after(rng.choice([0.0, 0.005, 0.02]), *call(path, server, out, *more), when=part)
        time.sleep(0.05)
    done = run_seal(*call(path, server, out, *more))
    assert done.returncode == 0, done.stderr
    assert parquet_hashes(out) == whole
    return n_killed


def test_killed_it_ends_in_the_same_bytes(tmp_path: Path, server: Server) -> None:
    assert kill_and_go_on(tmp_path, server, 3) >= 2


@pytest.mark.slow
def test_killed_many_times_it_ends_in_the_same_bytes(tmp_path: Path, server: Server) -> None:
    n_killed = 0
    for i in range(5):
        (tmp_path / str(i)).mkdir()
        server.delay_s = 0.0
        n_killed += kill_and_go_on(tmp_path / str(i), server, 6)
    assert n_killed >= 15


def test_rewritten_texts_are_scored_and_labeled_like_any(
    seal: Seal, server: Server, tmp_path: Path, exported: dict[str, Path]
) -> None:
    path = talks(tmp_path / "texts.parquet", ["", "extra", "", ""])
    assert seal(*call(path, server, "r"))[0] == 0
    for source, scores, labels in ((path, "s", "l"), ("r", "rs", "rl")):
        assert seal("score", source, "--model", f"m={exported['pre']}", "--out", scores)[0] == 0
        assert seal("label", source, "--labeler", "computed", "--out", labels)[0] == 0
    key = ["row_id", "preference", "variant"]
    wanted = rows_of(tmp_path / "r").select(key)
    assert wanted["row_id"].unique().to_list() == [0, 2, 3]
    for folder, schema in (("rs", SCORES), ("rl", LABELS)):
        assert scan(tmp_path / folder, schema).collect().select(key).equals(wanted)
    rewards = [scan(tmp_path / s, SCORES).collect().sort(key) for s in ("s", "rs")]
    both = rewards[1].join(rewards[0], on=["row_id", "preference"])
    assert (both["reward"] != both["reward_right"]).all()
