"""`seal score` killed at any moment, on disks that fail, beside another writer: the same bytes in the end.

SEAL_TEST_KILLS sets the number of kills of the slow test.
"""

# ruff: noqa: PT017, E501 - until a call does not fail any more; shell scripts in one piece

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import polars as pl
import pytest

from seal.engine.errors import SealError
from seal.engine.scoring.options import ScoreOptions
from seal.engine.scoring.scoring import score
from seal.engine.verify import verify
from tests.support.frames import random_texts, write
from tests.support.kills import ROOT, command, environment, kill_after, logged_hashes, parquet_hashes, seal

N_PAIRS, PART_PAIRS = 240, 12


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with the texts (some of them null), and room for scores."""
    folder = tmp_path_factory.mktemp("work")
    frame = random_texts(N_PAIRS, seed=4, longest=40)
    frame = frame.with_columns(response=pl.when(pl.col("row_id") % 17 != 5).then("response"))
    write(frame, folder / "texts.parquet")
    return folder


def arguments(work, exported, out, *more):
    return [
        "score", work / "texts.parquet", "--model", f"pre={exported['pre']}", "--model", f"post={exported['post']}",
        "--out", out, "--part-rows", PART_PAIRS, "--max-failures", 1, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(work, exported):
    """The hashes of a run nobody disturbed, when its first part was there, and when it ended."""
    began = time.monotonic()
    out = work / "undisturbed"
    process = subprocess.Popen(
        command(*arguments(work, exported, out)), env=environment(), cwd=ROOT, stderr=subprocess.DEVNULL
    )
    while not (out / "part-00000.parquet").exists() and process.poll() is None:
        time.sleep(0.002)
    first_s = time.monotonic() - began
    assert process.wait(60) == 0
    hashes = parquet_hashes(out)
    assert len(hashes) == N_PAIRS // PART_PAIRS + 1
    return hashes, first_s, time.monotonic() - began


def check_log(out):
    """What the log names is whole at any moment."""
    found = parquet_hashes(out)
    for name, digest in logged_hashes(out / "log.jsonl").items():
        if name in found or not name.startswith("failures-"):
            assert found[name] == digest


def finish_and_compare(out, call, hashes):
    done = seal(*call)
    assert done.returncode == 0, done.stderr
    assert parquet_hashes(out) == hashes
    assert verify(out).changed == []
    rows = pl.read_parquet(sorted(out.glob("part-*.parquet")))
    n_failed = pl.read_parquet(out / "failures.parquet").height
    assert rows.height + n_failed == 2 * N_PAIRS * 2
    assert not rows.select("row_id", "preference", "variant", "model").is_duplicated().any()


def kill_and_go_on(work, exported, undisturbed, n_kills, seed):
    """Runs killed once or several times over, at moments spread over a run and right at commits."""
    hashes, first_s, end_s = undisturbed
    rng, n_killed = random.Random(seed), 0
    for i in range(4 * n_kills):  # a run that is resumed is shorter, and some end before they are killed
        if n_killed >= n_kills and not (work / "killed").exists():
            break
        out = work / "killed"
        call = arguments(work, exported, out)
        if i % 3 == 2:  # right at a commit
            part = rng.randrange(N_PAIRS // PART_PAIRS)
            name = rng.choice([f"part-{part:05}.parquet", f".part-{part:05}.parquet.tmp", "failures.parquet"])
            n_killed += kill_after(rng.choice([0.0005, 0.002, 0.01]), *call, when=out / name)
        else:
            share = (i % n_kills + rng.random()) / n_kills
            n_killed += kill_after(0.9 * first_s + share * 1.05 * (end_s - 0.9 * first_s), *call)
        check_log(out)
        if i % 2:  # half of the runs are killed again before they end
            finish_and_compare(out, call, hashes)
            shutil.rmtree(out)
    return n_killed


def test_killed_and_started_again_it_ends_in_the_same_bytes(work, exported, undisturbed):
    assert kill_and_go_on(work, exported, undisturbed, 6, seed=0) >= 6


@pytest.mark.slow
def test_killed_many_times(work, exported, undisturbed):
    n = int(os.environ.get("SEAL_TEST_KILLS", "50"))
    assert kill_and_go_on(work, exported, undisturbed, n, seed=1) >= n


# Disks that fail


@pytest.fixture(scope="module")
def small(work, exported):
    """A call of the function on a few pairs in four parts, and its hashes."""
    path = write(pl.read_parquet(work / "texts.parquet")[:16], work / "small.parquet")

    def start(out):
        return score(path, {"short": exported["short"]}, out, ScoreOptions(part_pairs=2, threads=1))

    start(work / "small")
    return start, parquet_hashes(work / "small")


class FailingCall:
    """Stands for a function of the system and fails at its n-th call."""

    def __init__(self, real, nth, code, applies):
        self.real, self.nth, self.code, self.applies, self.n_calls = real, nth, code, applies, 0

    def __call__(self, *args, **options):
        if self.applies(*args, **options):
            self.n_calls += 1
            if self.n_calls == self.nth:
                raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **options)


def _always(*_, **__):
    return True


def _writes(path, mode="r", *_, **__):
    return any(sign in mode for sign in "wax+")


FAULTS = {
    "fsync": ("os.fsync", _always),
    "replace": ("os.replace", _always),
    "open": ("pathlib.Path.open", _writes),
}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "i/o error"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_at_any_call(small, tmp_path, monkeypatch, fault, code):
    start, hashes = small
    target, applies = FAULTS[fault]
    real = {"os.fsync": os.fsync, "os.replace": os.replace, "pathlib.Path.open": type(tmp_path).open}[target]
    nth, failed = 0, True
    while failed:
        nth += 1
        out = tmp_path / str(nth)
        call = FailingCall(real, nth, code, applies)
        # A function set on a class would not be bound to the path without this wrapper.
        stand_in = (
            call if target.startswith("os.") else lambda *args, _call=call, **options: _call(*args, **options)
        )
        with monkeypatch.context() as patch:
            patch.setattr(target, stand_in)
            try:
                start(out)
                failed = False
            except SealError as error:
                assert "\n" not in str(error)
                assert os.strerror(code) in str(error)
        check_log(out)
        assert start(out).n_rows > 0
        assert parquet_hashes(out) == hashes
    assert nth > 4


def test_a_file_that_may_grow_no_further(work, exported, undisturbed):
    """RLIMIT_FSIZE is the nearest to a full disk that needs no disk: writes beyond it fail with EFBIG."""
    out = work / "limited"
    call = arguments(work, exported, out)
    done = subprocess.run(
        command(*call), env=environment(), cwd=ROOT, capture_output=True, text=True, check=False,
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500)),
        ),
    )  # fmt: skip
    assert done.returncode == 1
    assert one_line(done.stderr, "File too large")
    check_log(out)
    finish_and_compare(out, call, undisturbed[0])


def one_line(stderr, reason):
    """Whether the error is the one line it must be."""
    lines = [line for line in stderr.splitlines() if line.startswith("seal:")]
    return len(lines) == 1 and reason in lines[0] and "Traceback" not in stderr


def mounted(options):
    """The start of a command line that runs the rest with a tmpfs of its own on $DISK; skips where that is not allowed."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare here; install util-linux to try a real small disk")
    script = f'mount -t tmpfs -o {options} none "$DISK" && exec "$@"'
    prefix = ("unshare", "-m", "sh", "-c", script, "sh")
    probe = subprocess.run(
        [*prefix, "true"], env=os.environ | {"DISK": "/mnt"}, capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip(
            "a filesystem may not be mounted here; run as root with CAP_SYS_ADMIN to try a real small disk"
        )
    return prefix


def test_a_disk_that_is_really_full(work, exported, tmp_path):
    prefix = mounted("size=64k")
    disk = tmp_path / "disk"
    disk.mkdir()
    call = arguments(work, exported, disk / "scores")
    script = '"$@"; code=$?; cp -r "$DISK/scores" "$SAVED"; exit $code'
    saved = tmp_path / "saved"
    done = seal(*call, prefix=(*prefix, "sh", "-c", script, "sh"), DISK=str(disk), SAVED=str(saved))
    assert done.returncode == 1, done.stderr
    assert one_line(done.stderr, "No space left on device")
    check_log(saved)
    assert sum(1 for _ in saved.glob("part-*.parquet")) < N_PAIRS // PART_PAIRS


def test_a_full_disk_mended_ends_in_the_same_bytes(work, exported, tmp_path, undisturbed):
    prefix = mounted("size=64k")
    disk = tmp_path / "disk"
    disk.mkdir()
    call = arguments(work, exported, disk / "scores")
    script = '"$@" && exit 9; mount -o remount,size=8m none "$DISK" && "$@"; code=$?; cp -r "$DISK/scores" "$SAVED"; exit $code'
    saved = tmp_path / "saved"
    done = seal(*call, prefix=(*prefix, "sh", "-c", script, "sh"), DISK=str(disk), SAVED=str(saved))
    assert done.returncode == 0, done.stderr
    assert one_line(done.stderr, "No space left on device")
    assert parquet_hashes(saved) == undisturbed[0]


def test_a_folder_that_may_only_be_read(work, exported, tmp_path):
    prefix = mounted("size=1m,ro")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = seal(*arguments(work, exported, disk / "scores"), prefix=prefix, DISK=str(disk))
    assert done.returncode == 1
    assert one_line(done.stderr, "Read-only file system")


def test_a_folder_of_somebody_else(work, exported, tmp_path):
    """As another user, since permissions do not bind root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    (tmp_path / "theirs").mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    reader = """import os, sys
from pathlib import Path
from seal.engine.errors import SealError
from seal.engine.frames.manifest import Manifest
from seal.engine.frames.sink import Sink
os.setgid(65534); os.setuid(65534)
try:
    Sink(Path(sys.argv[1]), Manifest("score")).__enter__()
except SealError as error:
    sys.exit(f"seal: {error}")
"""
    for out in (tmp_path / "theirs", tmp_path / "new"):
        done = subprocess.run(
            [command()[0], "-c", reader, str(out)],
            env=environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert one_line(done.stderr, "Permission denied"), done.stderr


# Two writers


def test_a_second_writer_is_refused_while_the_first_runs(work, exported, undisturbed):
    out = work / "shared"
    call = arguments(work, exported, out)
    first = subprocess.Popen(
        command(*call), env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not (out / "part-00000.parquet").exists():
            assert first.poll() is None
            time.sleep(0.001)
        first.send_signal(signal.SIGSTOP)  # so that it cannot end before the second has tried
        second = seal(*call)
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert one_line(second.stderr, "is being written by another process; wait for it to end")
    assert first.wait(60) == 0
    assert parquet_hashes(out) == undisturbed[0]


def test_texts_out_of_order_on_a_full_disk(work, exported, tmp_path):
    """The sorted copy is what does not fit here."""
    prefix = mounted("size=64k")
    disk = tmp_path / "disk"
    disk.mkdir()
    frame = random_texts(3000, longest=30).sample(fraction=1, shuffle=True, seed=0)
    path = write(frame, tmp_path / "texts.parquet")
    call = ["score", path, "--model", exported["short"], "--out", disk / "scores"]
    done = seal(*call, prefix=prefix, DISK=str(disk))
    assert done.returncode == 1, done.stderr
    assert one_line(done.stderr, "No space left on device")
