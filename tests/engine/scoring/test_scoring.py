"""Rewards that depend on the text and the model alone, whatever the run is like; failures as rows; resume."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import polars as pl
import pytest

from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.errors import InputError, ResumeError, UsageError
from seal.engine.frames.schema import FAILURES, SCORES, as_stored
from seal.engine.pooling.contract import OutOfMemoryError
from seal.engine.pooling.loading import LoadedModel, load_models
from seal.engine.pooling.tokenizing import PairEncoder
from seal.engine.pooling.torch import TorchBackend, load_tokenizer
from seal.engine.scoring import scoring
from seal.engine.scoring.options import ScoreOptions
from seal.engine.scoring.scoring import score
from seal.engine.verify import verify
from tests.support.frames import random_texts, real_texts, texts, write

KEY = list(SCORES.key)


def rewards(folder):
    return pl.concat([pl.read_parquet(p) for p in sorted(folder.glob("part-*.parquet"))])


def failures(folder):
    return pl.read_parquet(folder / "failures.parquet")


def hashes(folder):
    return {p.name: sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.parquet"))}


def largest_difference(one, other, **selected):
    one, other = (frame.cast({"variant": pl.String}) for frame in (one, other))
    both = one.join(other, on=KEY, how="full", suffix="_other", coalesce=True)
    assert both.null_count().sum_horizontal().item() == 0
    assert both.height == one.height == other.height
    return (both["reward"] - both["reward_other"]).abs().max()


@pytest.fixture(scope="module")
def some_real(tmp_path_factory):
    """30 real pairs, short and long ones."""
    frame = real_texts()
    size = frame.group_by("row_id").agg(n=pl.col("prompt").str.len_chars().max()).sort("n", "row_id")
    ids = size["row_id"][:: len(size) // 30][:30].implode()
    return write(frame.filter(pl.col("row_id").is_in(ids)), tmp_path_factory.mktemp("real") / "texts.parquet")


@pytest.fixture(scope="module")
def both(exported):
    return {"pre": exported["pre"], "post": exported["post"]}


@pytest.fixture(scope="module")
def baseline(some_real, both, tmp_path_factory):
    out = tmp_path_factory.mktemp("baseline") / "scores"
    score(some_real, both, out)
    return rewards(out)


# A reward depends on the text and the model


@pytest.mark.parametrize(
    "options",
    [
        ScoreOptions(max_batch_tokens=1),
        ScoreOptions(max_batch_tokens=4000),
        ScoreOptions(max_batch_tokens=6_000),
        ScoreOptions(threads=1),
        ScoreOptions(threads=5),
        ScoreOptions(part_pairs=1),
        ScoreOptions(part_pairs=7),
    ],
    ids=["alone", "budget 4,000", "budget 6,000", "1 thread", "5 threads", "parts of 1", "parts of 7"],
)
def test_not_on_budget_threads_or_parts(some_real, both, baseline, tmp_path, options):
    score(some_real, both, tmp_path / "scores", options)
    assert largest_difference(rewards(tmp_path / "scores"), baseline) < 1e-5


def test_not_on_the_order_of_rows(some_real, both, baseline, tmp_path):
    shuffled = pl.read_parquet(some_real).sample(fraction=1, shuffle=True, seed=2)
    score(write(shuffled, tmp_path / "texts.parquet"), both, tmp_path / "scores", ScoreOptions(part_pairs=7))
    assert largest_difference(rewards(tmp_path / "scores"), baseline) < 1e-5
    assert rewards(tmp_path / "scores").select(KEY).rows() == sorted(baseline.select(KEY).rows())


def test_not_on_the_texts_beside_it(some_real, both, baseline, tmp_path):
    half = pl.read_parquet(some_real).filter(pl.col("row_id") % 2 == 0)
    score(write(half, tmp_path / "texts.parquet"), both, tmp_path / "scores")
    mine = baseline.filter(pl.col("row_id") % 2 == 0)
    assert largest_difference(rewards(tmp_path / "scores"), mine) < 1e-5


def test_nor_on_the_model_beside_it(some_real, both, baseline, tmp_path):
    score(some_real, {"pre": both["pre"]}, tmp_path / "scores")
    mine = baseline.filter(model="pre")
    assert largest_difference(rewards(tmp_path / "scores"), mine) < 1e-5


def torch_alone(folder, frame):
    checkpoint = Checkpoint.open(folder)
    tokenizer_json, pad = load_tokenizer(checkpoint)
    backend = TorchBackend(checkpoint)
    encoder = PairEncoder(tokenizer_json, "pair", checkpoint.max_tokens or 4096)
    encoded = encoder.encode(frame["prompt"].to_list(), frame["response"].to_list())
    alone = [backend.rewards(encoded.batch(np.array([i]), pad))[0] for i in range(frame.height)]
    return frame.select(KEY[:-1]).with_columns(reward=pl.Series(alone))


def test_every_reward_is_torchs_on_the_text_alone(some_real, baseline, checkpoints):
    for name in ("pre", "post"):
        want = torch_alone(checkpoints[name], pl.read_parquet(some_real)).with_columns(model=pl.lit(name))
        assert largest_difference(baseline.filter(model=name), want) < 1e-4
        assert want["reward"].std() > 0.3


@pytest.mark.slow
def test_every_real_text_has_torchs_reward_and_no_pair_flips(tmp_path, exported, checkpoints):
    frame = real_texts()
    score(write(frame, tmp_path / "texts.parquet"), {"pre": exported["pre"]}, tmp_path / "scores")
    got = rewards(tmp_path / "scores")
    want = torch_alone(checkpoints["pre"], frame).with_columns(model=pl.lit("pre"))
    assert largest_difference(got, want) < 1e-4
    margins = [
        f.pivot("preference", index="row_id", values="reward").select(
            "row_id", m=pl.col("chosen") - pl.col("rejected")
        )
        for f in (got, want)
    ]
    both = margins[0].join(margins[1], on="row_id")
    clear = both.filter(pl.col("m_right").abs() > 1e-4)
    assert clear.height > 2000
    assert (clear["m"].sign() == clear["m_right"].sign()).all()


def test_the_torch_backend_gives_the_same(some_real, checkpoints, baseline, tmp_path):
    options = ScoreOptions(backend="torch")
    score(some_real, {"pre": checkpoints["pre"], "post": checkpoints["post"]}, tmp_path / "scores", options)
    assert largest_difference(rewards(tmp_path / "scores"), baseline) < 1e-4


def test_a_model_of_64_tokens_cuts_and_says_so(some_real, exported, checkpoints, tmp_path):
    score(some_real, {"short": exported["short"]}, tmp_path / "scores")
    got = rewards(tmp_path / "scores")
    assert got["n_tokens"].max() == 64
    assert set(got.filter("truncated")["n_tokens"]) == {64}
    assert got.filter(pl.col("n_tokens") < 64).height > 0
    want = torch_alone(checkpoints["short"], pl.read_parquet(some_real)).with_columns(model=pl.lit("short"))
    assert largest_difference(got, want) < 1e-4


# What is computed, and how often


class Fake:
    """A backend whose reward is the number of real tokens; it counts, and fails where it is told to."""

    def __init__(self, fail=lambda batch: None, concurrency=2):
        self.concurrency = concurrency
        self.batches = []
        self._fail = fail

    def rewards(self, batch):
        self.batches.append(batch)
        changed = self._fail(batch)
        return changed if changed is not None else batch.attention_mask.sum(axis=1).astype(np.float32)

    def facts(self):
        return {"backend": "fake"}


class Letters:
    """An encoder of one token a letter, which counts its calls."""

    def __init__(self):
        self.calls = []

    def encode(self, prompts, responses):
        from seal.engine.pooling.tokenizing import EncodedTexts

        self.calls.append(len(prompts))
        lengths = np.array([len(p) + len(r) for p, r in zip(prompts, responses, strict=True)], np.int64)
        total = int(lengths.sum())
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return EncodedTexts(
            np.ones(total, np.int32), np.zeros(total, np.int8), offsets, np.zeros(len(lengths), np.bool_)
        )


@pytest.fixture
def fakes(monkeypatch):
    def use(**models):
        loaded = [LoadedModel(n, "cpu", b, e, 0, {"fake": n}) for n, (b, e) in models.items()]
        monkeypatch.setattr(scoring, "load_models", lambda *_: loaded)
        return dict.fromkeys(models, "nowhere")

    return use


def letters(n_pairs, tmp_path):
    prompts = ["p" * (1 + i // 2) for i in range(2 * n_pairs)]
    frame = texts(prompts, ["r" * (1 + i % 2) for i in range(2 * n_pairs)])
    return write(frame, tmp_path / "texts.parquet")


def test_identical_texts_are_computed_once(fakes, tmp_path):
    frame = texts(["p", "p", "p", "q"] * 5, ["r", "r", "r", "rr"] * 5)
    backend = Fake()
    report = score(write(frame, tmp_path / "t.parquet"), fakes(m=(backend, Letters())), tmp_path / "scores")
    assert sum(len(b) for b in backend.batches) == 2
    assert report.n_rows == report.n_texts == 20
    assert report.n_tokens == 2 + 3
    assert rewards(tmp_path / "scores")["reward"].to_list() == [2, 2, 2, 3] * 5


def test_models_of_one_encoder_encode_once(fakes, tmp_path):
    shared, own = Letters(), Letters()
    models = fakes(a=(Fake(), shared), b=(Fake(), shared), c=(Fake(), own))
    report = score(letters(5, tmp_path), models, tmp_path / "scores", ScoreOptions(part_pairs=2))
    assert shared.calls == own.calls == [4, 4, 2]
    assert report.n_rows == 30


def test_folders_of_one_tokenizer_share_an_encoder(exported):
    pre, post, short = load_models({n: exported[n] for n in ("pre", "post", "short")})
    assert pre.encoder is post.encoder
    assert pre.encoder is not short.encoder
    alike = load_models({n: exported[n] for n in ("pre", "short")}, max_tokens=50)
    assert alike[0].encoder is alike[1].encoder


def test_several_models_in_one_pass(both, tmp_path):
    path = write(random_texts(9), tmp_path / "texts.parquet")
    report = score(path, both, tmp_path / "scores", ScoreOptions(part_pairs=4))
    got = rewards(tmp_path / "scores")
    assert got.schema == as_stored(SCORES.empty()).schema
    assert got.select(KEY).rows() == sorted(got.select(KEY).rows())
    assert got["model"].value_counts().sort("model").rows() == [("post", 18), ("pre", 18)]
    assert (report.n_texts, report.n_rows, report.n_failures) == (18, 36, 0)
    assert verify(tmp_path / "scores").changed == []
    names = sorted(p.name for p in (tmp_path / "scores").iterdir() if not p.name.startswith("."))
    parts = ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert names == ["failures.parquet", "log.jsonl", "manifest.json", *parts]


# Failures are rows


def test_missing_texts(both, tmp_path):
    frame = random_texts(5).with_columns(
        prompt=pl.when(pl.arange(10) != 3).then("prompt"),
        response=pl.when(~pl.arange(10).is_in([3, 8, 9])).then("response"),
    )
    out = tmp_path / "scores"
    report = score(write(frame, tmp_path / "t.parquet"), both, out, ScoreOptions(part_pairs=2))
    assert (report.n_texts, report.n_rows, report.n_failures) == (10, 14, 6)
    assert report.failed_share == 0.3
    lost = failures(out)
    assert lost.schema == as_stored(FAILURES.empty()).schema
    assert lost.select("row_id", "preference", "stage", "error").unique().sort(
        "row_id", "preference"
    ).rows() == [
        (1, "rejected", "score", "missing_text"),
        (4, "chosen", "score", "missing_text"),
        (4, "rejected", "score", "missing_text"),
    ]
    assert set(lost["detail"]) == {f"model {m}: prompt or response is null" for m in both}


def test_a_window_without_a_single_text(both, tmp_path):
    frame = random_texts(6).with_columns(prompt=pl.lit(None, pl.String))
    report = score(write(frame, tmp_path / "t.parquet"), both, tmp_path / "s", ScoreOptions(part_pairs=2))
    assert (report.n_rows, report.n_failures) == (0, 24)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_no_number(fakes, tmp_path, value):
    def spoil(batch):
        n_tokens = batch.attention_mask.sum(axis=1).astype(np.float32)
        return np.where(n_tokens == 5, np.float32(value), n_tokens)

    report = score(letters(6, tmp_path), fakes(m=(Fake(spoil), Letters())), tmp_path / "scores")
    lost = failures(tmp_path / "scores")
    assert (report.n_rows, report.n_failures) == (10, 2)
    assert lost.select("row_id", "preference", "error").rows() == [
        (2, "rejected", "not_finite"),
        (3, "chosen", "not_finite"),
    ]
    assert lost["detail"][0] == "model m: the reward is no number"


@pytest.mark.parametrize("error", [OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_batch_without_memory_is_halved_and_a_text_that_does_not_fit_alone_fails(
    fakes, tmp_path, error, concurrency
):
    def full(batch):
        if batch.input_ids.size > 12:
            raise error("full")

    backend = Fake(full, concurrency)
    options = ScoreOptions(max_batch_tokens=50)
    report = score(letters(13, tmp_path), fakes(m=(backend, Letters())), tmp_path / "scores", options)
    got, lost = rewards(tmp_path / "scores"), failures(tmp_path / "scores")
    assert got["reward"].to_list() == got["n_tokens"].to_list()
    assert got["n_tokens"].max() == 12
    assert lost.select("row_id", "preference", "error").rows() == [
        (10, "rejected", "out_of_memory"),
        (11, "chosen", "out_of_memory"),
        (11, "rejected", "out_of_memory"),
        (12, "chosen", "out_of_memory"),
        (12, "rejected", "out_of_memory"),
    ]
    assert lost["detail"][0] == "model m: does not fit alone"
    assert (report.n_rows, report.n_failures) == (21, 5)
    assert report.n_halved > 0
    assert max(b.input_ids.size for b in backend.batches) <= 50


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_error_of_a_backend_ends_the_run_and_leaves_what_is_safe(fakes, tmp_path, concurrency):
    def broken(batch):
        if batch.width > 9:
            raise InputError("onnxruntime cannot run it")

    models = fakes(m=(Fake(broken, concurrency), Letters()))
    with pytest.raises(InputError, match="cannot run it"):
        score(letters(12, tmp_path), models, tmp_path / "scores", ScoreOptions(part_pairs=3))
    assert len(list((tmp_path / "scores").glob("part-*.parquet"))) <= 2
    models = fakes(m=(Fake(), Letters()))
    report = score(letters(12, tmp_path), models, tmp_path / "scores", ScoreOptions(part_pairs=3))
    assert report.n_rows == 24


# Limits, empty input


def test_only_the_first_pairs(both, tmp_path):
    path = write(random_texts(20), tmp_path / "texts.parquet")
    report = score(path, both, tmp_path / "scores", ScoreOptions(limit=7, part_pairs=3))
    assert report.n_texts == 14
    assert sorted(rewards(tmp_path / "scores")["row_id"].unique()) == list(range(7))
    again = score(path, both, tmp_path / "scores", ScoreOptions(limit=7, part_pairs=3))
    assert replace(again, elapsed_s=0) == replace(report, elapsed_s=0)


def test_no_texts(both, tmp_path):
    report = score(write(random_texts(0), tmp_path / "t.parquet"), both, tmp_path / "scores")
    assert (report.n_texts, report.n_rows, report.failed_share) == (0, 0, 0.0)
    assert failures(tmp_path / "scores").schema == as_stored(FAILURES.empty()).schema
    assert verify(tmp_path / "scores").n_files == 1


@pytest.mark.parametrize("field", ["max_batch_tokens", "max_tokens", "part_pairs", "limit", "threads"])
def test_an_option_below_one_is_refused(field):
    with pytest.raises(UsageError, match=f"{field} must be at least 1, not 0"):
        ScoreOptions(**{field: 0})


def test_no_model(tmp_path):
    with pytest.raises(UsageError, match="no model is named"):
        score(write(random_texts(1), tmp_path / "t.parquet"), {}, tmp_path / "scores")


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("texts", "texts"),
        ("texts", "texts/scores"),
        ("texts", "."),
        ("texts/part-00000.parquet", "texts"),
        ("texts/part-00000.parquet", "."),
    ],
)
def test_scores_and_texts_that_lie_in_each_other_are_refused(both, tmp_path, source, out):
    (tmp_path / "texts").mkdir()
    write(random_texts(2), tmp_path / "texts/part-00000.parquet")
    with pytest.raises(UsageError, match="lie in each other; choose a folder beside them"):
        score(tmp_path / source, both, tmp_path / out, overwrite=True)
    assert (tmp_path / "texts/part-00000.parquet").exists()


# Going on, and starting afresh


@pytest.fixture
def run(tmp_path, both):
    """Score ten pairs in parts of three; options, models and input may be changed."""
    frame = random_texts(10)
    write(frame, tmp_path / "texts.parquet")

    def start(models=both, frame=frame, overwrite=False, **options):
        path = write(frame, tmp_path / "texts.parquet")
        options = ScoreOptions(**{"part_pairs": 3} | options)
        return score(path, models, tmp_path / "scores", options, overwrite=overwrite)

    return start


def test_a_second_run_computes_nothing_and_changes_no_byte(run, tmp_path, monkeypatch):
    first = run()
    before = hashes(tmp_path / "scores")
    stamps = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "scores").glob("part-*")}
    monkeypatch.setattr(scoring, "prepare", None)
    assert run() == first
    assert hashes(tmp_path / "scores") == before
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "scores").glob("part-*")} == stamps


def test_what_does_not_change_a_reward_may_change(run, tmp_path, both):
    run()
    before = hashes(tmp_path / "scores")
    run(threads=3)
    run(models={"post": both["post"], "pre": both["pre"]})
    assert hashes(tmp_path / "scores") == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"part_pairs": 4}, "options.part_pairs: 3 there, 4 now"),
        ({"limit": 5}, "options.limit: null there, 5 now"),
        ({"max_batch_tokens": 99}, "options.max_batch_tokens: 512 there, 99 now"),
        ({"max_tokens": 50}, "models.post.max_tokens: 4096 there, 50 now"),
    ],
)
def test_other_options_are_refused_by_name(run, tmp_path, options, named):
    run()
    before = hashes(tmp_path / "scores")
    with pytest.raises(ResumeError, match=named):
        run(**options)
    assert hashes(tmp_path / "scores") == before


def test_other_models_are_refused_by_name(run, exported, checkpoints, both):
    run()
    swapped = {"pre": exported["post"], "post": exported["post"]}
    with pytest.raises(ResumeError, match=r"models\.pre\.files\.model\.onnx: .* there, .* now"):
        run(models=swapped)
    with pytest.raises(ResumeError, match=r"models\.post"):
        run(models={"pre": both["pre"]})
    with pytest.raises(ResumeError, match=r"models\.more"):
        run(models={**both, "more": exported["short"]})
    with pytest.raises(ResumeError, match=r"models\.p.*backend.*onnx.* there, .*torch.* now"):
        run(models={"pre": checkpoints["pre"], "post": checkpoints["post"]}, backend="torch")


def test_another_input_is_refused_by_name(run):
    run()
    with pytest.raises(ResumeError, match=r"inputs\.texts: .* there, .* now"):
        run(frame=random_texts(10, seed=9))


def test_overwriting_starts_afresh(run, tmp_path):
    run()
    report = run(frame=random_texts(4), overwrite=True)
    assert report.n_texts == 8
    assert rewards(tmp_path / "scores")["row_id"].n_unique() == 4
    assert verify(tmp_path / "scores").changed == []


def test_a_part_lost_or_cut_is_named(run, tmp_path):
    run()
    part = tmp_path / "scores/part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ResumeError, match=r"part-00001\.parquet is missing or of another size"):
        run()


def test_progress_is_told_and_ends_at_the_whole(both, tmp_path):
    heard = []
    path = write(random_texts(10, twice=0.5), tmp_path / "texts.parquet")
    score(path, both, tmp_path / "scores", ScoreOptions(part_pairs=3), listen=heard.append)
    done = [p.n_done for p in heard]
    assert done == sorted(done)
    assert heard[-1].n_done == heard[-1].n_total == 20
    assert heard[-1].n_slots >= heard[-1].n_tokens > 0
