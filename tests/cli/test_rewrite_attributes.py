"""`seal rewrite --toward --double --placebo` as a user types it: aims, failures, kills, and what follows."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from seal.engine.frames.schema import SCORES, TEXTS, scan
from tests.support.command_line import Seal
from tests.support.frames import texts, write
from tests.support.kills import kill_after, parquet_hashes
from tests.support.kills import seal as run_seal
from tests.support.places import ROOT
from tests.support.rewriting_server import Server, serving

TONE, REFUSAL = "last_response_sentiment", "last_response_is_refusal"
DOUBLE = ("--toward", f"{TONE}=positive", "--double")
KEY = ["row_id", "preference", "variant"]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def talks(path: Path, n: int, wishes: dict[int, str] | None = None) -> Path:
    """Pairs whose chosen text says what is positive, the rejected one not; wishes to the server by pair."""
    prompts, responses = [], []
    for i in range(n):
        wish = f"[{wishes[i]}] " if wishes and i in wishes else ""
        prompts += [f"\n\nHuman: What is so good about the big dog number {i}? I like it.\n\n"] * 2
        responses += [f"Assistant: {wish}They said it is good dog {i}, and big. So positive."]
        responses += [f"Assistant: It is big, they said. I like small ones, like number {i}."]
    return write(texts(prompts, responses), path)


def labels(of: Path, out: Path) -> Path:
    """What the texts say of themselves, as LABELS."""
    end = pl.col("response").str.extract(r" So (\S+)\.$")
    tone = pl.when(end == "positive").then(pl.lit("positive")).otherwise(pl.lit("neutral"))
    return write(
        scan(of, TEXTS).select(
            *KEY, labeler=pl.lit("reader"),
            last_response_sentiment=tone.cast(pl.Enum(["positive", "neutral", "negative"])),
            last_response_is_refusal=(end == "yes").fill_null(False), last_response_is_harmless=pl.lit(True),
            last_response_is_helpful=pl.col("row_id") % 3 > 0,
        ).collect(), out,
    )  # fmt: skip


def call(texts: Path, server: Server, out: object, *more: object) -> tuple[object, ...]:
    where = ("--rewriter", f"me={server.url}", "--out", out, "--sample", 1, "--max-failures", 1)
    return ("rewrite", texts, *where, *more)


def rows_of(folder: Path) -> pl.DataFrame:
    return scan(folder, TEXTS).collect()


def test_each_text_goes_away_from_what_it_is_and_back(seal: Seal, server: Server, tmp_path: Path) -> None:
    path = talks(tmp_path / "texts.parquet", 3)
    own = labels(path, tmp_path / "labels.parquet")
    code, out, _ = seal(*call(path, server, "r", *DOUBLE, "--placebo", "--labels", own))
    assert code == 0
    assert "6 texts = 18 rewritten + 0 failures -> r" in out
    rows = rows_of(tmp_path / "r")
    assert rows.select(KEY).equals(rows.select(KEY).sort(KEY))
    by = {tuple(row[:3]): row[3] for row in rows.select(*KEY, "response").iter_rows()}
    for i in range(3):
        for side, away, home in (("chosen", "neutral", "positive"), ("rejected", "positive", "neutral")):
            first, second = by[i, side, f"toward:{TONE}={away}"], by[i, side, f"back:{TONE}={away}"]
            assert first.startswith("Assistant: ")
            assert first.endswith(f" So {away}.")
            assert second.endswith(f" So {home}.")
            assert by[i, side, "placebo"] != first
    # the prompt stays, and the second message holds what came of the first
    assert rows["prompt"].unique().sort().to_list() == sorted(set(pl.read_parquet(path)["prompt"]))
    second_of_first = by[0, "chosen", f"toward:{TONE}=neutral"].removeprefix("Assistant: ")
    messages = [body["messages"][0]["content"] for body in server.asked]
    assert sum(f"> {second_of_first}" in m for m in messages) == 1
    assert len({body["seed"] for body in server.asked}) == len(server.asked)


def test_without_labels_each_text_goes_both_ways(seal: Seal, server: Server, tmp_path: Path) -> None:
    path = talks(tmp_path / "texts.parquet", 2)
    assert seal(*call(path, server, "r", *DOUBLE))[0] == 0
    found = rows_of(tmp_path / "r")["variant"].value_counts().sort("variant")
    names = [f"{step}:{TONE}={v}" for step in ("back", "toward") for v in ("neutral", "positive")]
    assert found.rows() == [(name, 4) for name in names]


def test_several_aims(seal: Seal, server: Server, tmp_path: Path) -> None:
    path = talks(tmp_path / "texts.parquet", 2)
    own = labels(path, tmp_path / "labels.parquet")
    aims = [
        x for aim in (f"{TONE}=positive", f"{TONE}=negative", f"{REFUSAL}=false") for x in ("--toward", aim)
    ]
    assert seal(*call(path, server, "r", *aims, "--labels", own))[0] == 0
    found = rows_of(tmp_path / "r").group_by("preference").agg(pl.col("variant").unique().sort())
    by = {str(side): variants for side, variants in found.iter_rows()}
    common = [f"toward:{REFUSAL}=true", f"toward:{TONE}=negative"]
    assert by["chosen"] == [*common, f"toward:{TONE}=neutral"]
    assert by["rejected"] == [*common, f"toward:{TONE}=positive"]


def test_what_fails_takes_its_second_rewriting_with_it_and_nothing_else(
    seal: Seal, server: Server, tmp_path: Path
) -> None:
    wishes = {1: "empty", 2: "same", 3: "long", 4: "cut", 5: "extra"}
    path = talks(tmp_path / "texts.parquet", 7, wishes)
    frame = pl.read_parquet(path).with_columns(
        prompt=pl.when(pl.col("row_id") == 6).then(None).otherwise("prompt")
    )
    frame.write_parquet(path)
    own = labels(path, tmp_path / "labels.parquet")
    pl.read_parquet(own).filter(pl.col("row_id") > 0).write_parquet(own)
    code, out, _ = seal(*call(path, server, "r", *DOUBLE, "--placebo", "--labels", own, "--json"))
    report = json.loads(out)
    assert code == 0
    assert report["n_rows"] + report["n_failures"] == 14 * 3
    failed = pl.read_parquet(tmp_path / "r" / "failures.parquet")
    by = {int(i): sorted(part["error"].unique().to_list()) for (i,), part in failed.group_by("row_id")}
    assert by == {
        0: ["missing_label"], 1: ["empty", "no_first"], 2: ["identical", "no_first"],
        3: ["length_changed", "no_first"], 4: ["cut", "no_first"],
        5: ["no_first", "turns_changed"], 6: ["missing_text"],
    }  # fmt: skip
    assert failed.filter(pl.col("row_id").is_between(1, 5))["preference"].unique().to_list() == ["chosen"]
    assert failed["variant"].unique().sort().to_list() == [
        f"back:{TONE}=neutral", f"back:{TONE}=positive", "placebo", f"toward:{TONE}=neutral",
        f"toward:{TONE}=positive",
    ]  # fmt: skip
    assert sum(report["errors"].values()) == report["n_failures"]
    assert seal("verify", "r")[0] == 0


REFUSED = {
    "no value": (("--toward", TONE), "is not FEATURE=VALUE"),
    "no such feature": (("--toward", "last_response_sentimant=positive"), "last_response_sentiment"),
    "no such value": (("--toward", f"{TONE}=glad"), "one of positive, neutral, negative"),
    "the baseline": (("--toward", f"{TONE}=neutral"), "what the others are held against"),
    "a list": (("--toward", "topics=health"), "toward a boolean or an enum"),
    "of the dialogue": (("--toward", "assistant_is_coherent=true"), "toward a boolean or an enum"),
    "two values without labels": (
        ("--toward", f"{TONE}=positive", "--toward", f"{TONE}=negative"), "need labels",
    ),
    "twice": (("--toward", f"{TONE}=positive", "--toward", f"{TONE}=positive"), "stands twice"),
    "back from nothing": (("--double",), "double goes with toward"),
    "labels for nothing": (("--placebo", "--labels", "x"), "labels goes with toward"),
    "an instruction": (("--placebo", "--instruction", "x"), "have their own"),
    "labels of something else": ((*DOUBLE, "--labels", "texts.parquet"), "labeler"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(seal: Seal, server: Server, tmp_path: Path, case: str) -> None:
    path = talks(tmp_path / "texts.parquet", 1)
    arguments, reason = REFUSED[case]
    code, _, err = seal(*call(path, server, "r", *arguments))
    assert code in (1, 2)
    assert reason in " ".join(err.split()), err
    assert not server.asked
    assert not (tmp_path / "r").exists()


def test_another_aim_is_another_run(seal: Seal, server: Server, tmp_path: Path) -> None:
    path = talks(tmp_path / "texts.parquet", 2)
    own = labels(path, tmp_path / "labels.parquet")
    assert seal(*call(path, server, "r", *DOUBLE, "--labels", own))[0] == 0
    before = parquet_hashes(tmp_path / "r")
    assert seal(*call(path, server, "r", *DOUBLE, "--labels", own))[0] == 0
    for more in ((), ("--placebo",), ("--toward", f"{REFUSAL}=true")):
        assert seal(*call(path, server, "r", *DOUBLE[:2], *more, "--labels", own))[0] == 1
    assert seal(*call(path, server, "r", *DOUBLE))[0] == 1
    assert seal(*call(path, server, "r"))[0] == 1
    assert parquet_hashes(tmp_path / "r") == before


def test_killed_it_ends_in_the_same_bytes(tmp_path: Path, server: Server) -> None:
    path = talks(tmp_path / "texts.parquet", 24, {3: "empty", 10: "same"})
    own = labels(path, tmp_path / "labels.parquet")
    more = (*DOUBLE, "--placebo", "--labels", own, "--part-pairs", 3, "--in-flight", 4)
    assert run_seal(*call(path, server, tmp_path / "whole", *more)).returncode == 0
    server.times.clear()
    server.delay_s, n_killed, out = 0.02, 0, tmp_path / "killed"
    for part in (0, 2, 5):
        where = out / f"part-{part:05}.parquet"
        n_killed += kill_after(0.02, *call(path, server, out, *more), when=where)
        time.sleep(0.05)
    done = run_seal(*call(path, server, out, *more))
    assert done.returncode == 0, done.stderr
    assert parquet_hashes(out) == parquet_hashes(tmp_path / "whole")
    assert n_killed >= 2


def test_a_real_small_decoder_killed_ends_in_the_same_bytes(tmp_path: Path) -> None:
    """The toy world's decoder was not taught this: what it says is mostly refused, with its reasons."""
    path = talks(tmp_path / "texts.parquet", 3)
    own = labels(path, tmp_path / "labels.parquet")
    arguments = (
        "rewrite", path, "--rewriter", ROOT / "examples/toyworld/models/labeler", "--backend", "transformers",
        "--sample", 1, "--max-failures", 1, *DOUBLE, "--placebo", "--labels", own, "--part-pairs", 1,
        "--retries", 0,
    )  # fmt: skip
    assert run_seal(*arguments, "--out", tmp_path / "whole").returncode == 0
    out = tmp_path / "killed"
    killed = kill_after(0.0, *arguments, "--out", out, when=out / "part-00000.parquet")
    done = run_seal(*arguments, "--out", out)
    assert done.returncode == 0, done.stderr
    assert parquet_hashes(out) == parquet_hashes(tmp_path / "whole")
    assert killed
    found = json.loads((out / "manifest.json").read_text())["totals"]
    assert found["n_rows"] + found["n_failures"] == 18


def test_scored_labeled_and_analyzed(
    seal: Seal, server: Server, tmp_path: Path, exported: dict[str, Path]
) -> None:
    path = talks(tmp_path / "texts.parquet", 12)
    own = labels(path, tmp_path / "labels.parquet")
    assert seal(*call(path, server, "r", *DOUBLE, "--placebo", "--labels", own))[0] == 0
    models = [x for m in ("pre", "post") for x in ("--model", f"{m}={exported[m]}")]
    for source, scores in ((path, "s"), ("r", "rs")):
        assert seal("score", source, *models, "--out", scores)[0] == 0
    again = labels(tmp_path / "r", tmp_path / "rl.parquet")
    code, _, err = seal(
        "analyze", "--scores", "s", "--labels", own, "--texts", path, "--rewritten", "r",
        "--rewritten-scores", "rs", "--rewritten-labels", again, "--pre", "pre", "--post", "post",
        "--out", "results",
    )  # fmt: skip
    assert code == 0, err
    assert not (tmp_path / "results" / "robustness.csv").exists()  # no mild rewriting is there
    table = pl.read_csv(tmp_path / "results" / "causal.csv")
    rewards = scan(tmp_path / "rs", SCORES).filter(model="post").collect()
    by = {tuple(row[:3]): row[3] for row in rewards.select(*KEY, "reward").iter_rows()}
    att = [
        by[i, "chosen", f"back:{TONE}=neutral"] - by[i, "chosen", f"toward:{TONE}=neutral"] for i in range(12)
    ]
    row = table.filter(model="post", estimand="att", line="main").row(0, named=True)
    assert (row["feature"], row["value"], row["baseline"]) == (TONE, "positive", "neutral")
    assert (row["n_texts"], row["n_left_out"]) == (12, 0)
    assert row["estimate"] == pytest.approx(sum(att) / 12, rel=1e-6, abs=1e-9)  # rewards are float32
    assert set(table["estimand"]) == {"att", "atu", "ate", "naive", "placebo"}
    assert f"causal: 24 texts were rewritten toward {TONE}=positive; 0 of them" in err
    assert seal("report", "results", "--out", "report.html")[0] == 0
    assert "What a change of one attribute does" in (tmp_path / "report.html").read_text()
