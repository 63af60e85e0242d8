"""`seal similarity` killed at any moment and started again: the same bytes in the end.

SEAL_TEST_KILLS sets the number of kills of the slow test.
"""

import os
import random
import shutil
import time

import polars as pl
import pytest

from seal.engine.export import exporting as module
from seal.engine.frames.schema import REWRITTEN, VARIANT
from seal.engine.verify import verify
from tests.support.frames import random_texts, write
from tests.support.kills import kill_after, parquet_hashes, seal
from tests.support.tiny import FEW_LENGTHS, make_embedder

N_PAIRS, PART_PAIRS = 200, 10


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with an embedder, originals (in no order) and rewritten texts, some of which must fail."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PARITY_LENGTHS", FEW_LENGTHS)
        module.export(make_embedder(folder / "model"), folder / "onnx", module.ExportOptions())
    frame = random_texts(2 * N_PAIRS, seed=4, longest=40)
    write(frame.sample(fraction=1, shuffle=True, seed=1), folder / "texts.parquet")
    new = random_texts(2 * N_PAIRS, seed=5, longest=40)
    kept = pl.when(pl.col("row_id") % 3 == 0).then(new["response"]).otherwise("response")
    new = frame.with_columns(
        variant=pl.lit(REWRITTEN, VARIANT), response=pl.when(pl.col("row_id") % 17 != 5).then(kept)
    )
    write(new.filter(pl.col("row_id") % 2 == 1), folder / "new.parquet")
    return folder


def arguments(work, out, *more):
    return [
        "similarity", work / "texts.parquet", work / "new.parquet", "--embedder", f"m={work / 'onnx'}",
        "--out", out, "--part-rows", PART_PAIRS, "--min-cosine", 0.98, "--max-failures", 1, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(work):
    """The hashes of a run nobody disturbed, and how long it took."""
    began = time.monotonic()
    out = work / "undisturbed"
    done = seal(*arguments(work, out))
    assert done.returncode == 0, done.stderr
    hashes = parquet_hashes(out)
    assert len(hashes) == N_PAIRS // PART_PAIRS + 1
    lost = pl.read_parquet(out / "failures.parquet")
    assert set(lost["error"]) == {"missing_text", "low_cosine"}
    return hashes, time.monotonic() - began


def finish_and_compare(work, out, hashes):
    done = seal(*arguments(work, out))
    assert done.returncode == 0, done.stderr
    assert parquet_hashes(out) == hashes
    assert verify(out).changed == []
    n_rows = pl.read_parquet(sorted(out.glob("part-*.parquet"))).height
    assert n_rows + pl.read_parquet(out / "failures.parquet").height == 2 * N_PAIRS
    assert sorted(p.name for p in out.glob(".*")) == [".lock"]


def kill_and_go_on(work, undisturbed, n_kills, seed):
    """Runs killed once or twice over, at moments spread over a run and right at commits."""
    hashes, end_s = undisturbed
    rng, n_killed = random.Random(seed), 0
    for i in range(4 * n_kills):  # a run that is resumed is shorter, and some end before they are killed
        out = work / "killed"
        if n_killed >= n_kills and not out.exists():
            break
        if i % 3 != 1:  # right at a commit
            part = rng.randrange(N_PAIRS // PART_PAIRS)
            name = rng.choice([f"part-{part:05}.parquet", f".part-{part:05}.parquet.tmp", "manifest.json"])
            n_killed += kill_after(rng.choice([0.0005, 0.002, 0.01]), *arguments(work, out), when=out / name)
        else:
            n_killed += kill_after(rng.uniform(0.2, 1.0) * end_s, *arguments(work, out))
        if i % 2:  # half of the runs are killed again before they end
            finish_and_compare(work, out, hashes)
            shutil.rmtree(out)
    return n_killed


def test_killed_and_started_again_it_ends_in_the_same_bytes(work, undisturbed):
    assert kill_and_go_on(work, undisturbed, 6, seed=0) >= 6


@pytest.mark.slow
def test_killed_many_times(work, undisturbed):
    n = int(os.environ.get("SEAL_TEST_KILLS", "50"))
    assert kill_and_go_on(work, undisturbed, n, seed=1) >= n


def test_going_on_with_other_options_is_refused(work, undisturbed):
    out = work / "halfway"
    assert kill_after(0.001, *arguments(work, out), when=out / "part-00002.parquet")
    for more in (["--min-cosine", 0.5], ["--max-tokens", 50], ["--limit", 9], ["--max-batch-tokens", 64]):
        done = seal(*arguments(work, out, *more))
        assert done.returncode == 1
        assert "was made by another run" in done.stderr
        assert more[0].removeprefix("--").replace("-", "_") in done.stderr
    finish_and_compare(work, out, undisturbed[0])
