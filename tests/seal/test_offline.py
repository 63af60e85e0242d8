"""No command sends anything anywhere but to this machine, nor asks for a name: watched from outside.

What watches is strace; where that is missing, a library loaded before all others; else a hook of Python's
(`benchmarks/torture/network.py`). Each failure says which.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from benchmarks.torture import network, offline
from benchmarks.torture.network import MEANS, Means, Watched, means_here, told, traced, watch
from seal.engine.offline import HUB, TELEMETRY
from tests.support.kills import environment
from tests.support.places import ROOT
from tests.support.rewriting_server import serving

BEST = means_here()[0]
LATE_S = 12.0  # onnxruntime's telemetry comes 9 to 10 s after its import

TALKS = """
import socket
four, six = (socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6))
for talker, address in ((six, "2001:db8::1"), (six, "::ffff:192.0.2.3"), (four, "192.0.2.1")):
    try:
        talker.connect((address, 9))
    except OSError:
        pass
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unconnected:
    try:
        unconnected.sendto(b"x", ("192.0.2.2", 9))
    except OSError:
        pass
try:
    socket.getaddrinfo("home.invalid", 443)
except OSError:
    pass
"""
SEEN = {"192.0.2.1 port 9", "192.0.2.2 port 9", "2001:db8::1 port 9", "::ffff:192.0.2.3 port 9"}
STAYS = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    with socket.create_connection(server.getsockname()) as talker:
        talker.sendall(b"x")
left, right = socket.socketpair()
left.sendmsg([b"x"])
four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
four.sendto(b"x", ("127.0.0.2", 9))
socket.getaddrinfo("localhost", 80)
socket.getaddrinfo("127.0.0.1", 80)
"""


def python(text: str, tmp_path: Path, by: Means, linger_s: float = 0, **more: str) -> Watched:
    words = [sys.executable, "-c", text]
    kept = environment(**more)
    return watch(words, tmp_path / "log", by=by, cwd=tmp_path, environment=kept, linger_s=linger_s)


@pytest.mark.parametrize("by", MEANS)
def test_each_means_sees_what_goes_elsewhere_and_accuses_nothing_else(by: Means, tmp_path: Path) -> None:
    if by not in means_here():
        pytest.skip(f"{by} does not work here: install strace and allow ptrace, or a C compiler on Linux")
    seen = python(TALKS, tmp_path, by)
    assert seen.code == 0, seen.said
    assert set(seen.elsewhere) >= SEEN
    (look_up,) = set(seen.elsewhere) - SEEN  # strace sees whom it is asked of, the others what
    assert look_up.startswith("name server " if by == "strace" else "look-up of home.invalid")
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TALKS!r}])"
    assert set(python(child, tmp_path, by).elsewhere) >= SEEN
    seen = python(STAYS, tmp_path, by)
    assert (seen.code, seen.elsewhere) == (0, []), seen.said
    assert "loopback" in seen.destinations


def test_what_strace_writes_is_read() -> None:
    lines = """\
7 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0
7 connect(3, {sa_family=AF_UNIX, sun_path="/run/systemd/resolve/io.systemd.Resolve"}, 42) = 0
7 sendto(3, "\\2\\0\\0\\0\\r\\0\\0\\0\\6\\0\\0\\0hosts\\0", 18, MSG_NOSIGNAL, NULL, 0) = 18
7 connect(3, {sa_family=AF_VSOCK, svm_cid=0x2, svm_port=0x16}, 16 <unfinished ...>
7 <... connect resumed>) = 0
7 sendmsg(3, {msg_name={sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, msg_namelen=12}, 0) = 20
7 sendmmsg(3, [{msg_hdr={msg_name={sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), \
inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, msg_namelen=28}}], 1, 0) = 1
7 syscall_0x1c3(0x6, 0x7f0000000000) = 0
7 --- SIGCHLD {si_signo=SIGCHLD} ---
""".splitlines()
    assert list(traced(lines)) == [
        "name server 127.0.0.53", "look-up by /run/systemd/resolve/io.systemd.Resolve", "look-up by nscd",
        "AF_VSOCK", "netlink", "loopback",
    ]  # fmt: skip
    assert list(told(["NAME 0 localhost", "NAME 0 fe80::1%eth0", "NAME 0 a.b"])) == ["look-up of a.b"]


LATE = """
import threading, time, torch
def send():
    time.sleep(1)
    socket.getaddrinfo("late.invalid", 443)
import socket
threading.Thread(target=send, daemon=True).start()
"""


@pytest.mark.parametrize("by", MEANS)
def test_what_is_sent_after_the_work_is_seen(by: Means, tmp_path: Path) -> None:
    """So that the next tests can fail: a thread that outlives the work sends, as telemetry does."""
    if by not in means_here():
        pytest.skip(f"{by} does not work here: install strace and allow ptrace, or a C compiler on Linux")
    assert python(LATE, tmp_path, by).elsewhere == []
    assert python(LATE, tmp_path, by, linger_s=5).elsewhere


@pytest.mark.slow
def test_the_telemetry_of_onnxruntime_would_be_seen(tmp_path: Path) -> None:
    """What is guarded against, where it is sent: not by each build nor on each machine, nor at a set time."""
    if BEST == "audit":
        pytest.skip("a hook of Python's does not see onnxruntime: install strace or a C compiler")
    if not python("import onnxruntime", tmp_path, BEST, 4 * LATE_S, ORT_DISABLE_TELEMETRY="0").elsewhere:
        pytest.skip("this build of onnxruntime sends none here")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run, each on what those before it wrote."""
    return tmp_path_factory.mktemp("offline")


ORDINARY = ("init", "import", "export pre", "score", "label by model", "rewrite", "verify")
EVERY = [
    name if name in ORDINARY else pytest.param(name, marks=pytest.mark.slow)
    for name in offline.STAGES
    if name != "run"
]


@pytest.mark.parametrize("stage", EVERY)
def test_no_command_talks_to_anybody_elsewhere(stage: str, work: Path) -> None:
    """Export and score also stay until telemetry would have come; `make torture` lets all of them stay."""
    offline.prepare(stage, work)
    seen = offline.watched(stage, work, LATE_S if stage in ("export pre", "score") else 0)
    assert seen.code == 0, seen.said
    assert seen.elsewhere == [], f"{stage}, watched by {seen.by}"


@pytest.mark.slow
def test_nor_does_a_whole_run(work: Path) -> None:
    found = offline.run("run", work)
    assert set(found["destinations"]) <= set(network.HERE)
    assert {p.name for p in (work / "run").iterdir()} >= {
        "texts",
        "scores",
        "labels",
        "results",
        "report.html",
    }


def test_a_server_here_is_talked_to_over_loopback_alone(work: Path, tmp_path: Path) -> None:
    offline.prepare("import", work)
    assert offline.watched("import", work, 0).code == 0
    with serving() as server:
        asked = ["rewrite", work / "texts", "--rewriter", f"me={server.url}", "--out", tmp_path / "out"]
        few = ["--sample", "1", "--limit", "3", "--max-failures", "1"]
        words = [sys.executable, "-m", "seal.cli.main", *asked, *few]
        seen = watch(words, tmp_path / "log", by=BEST, cwd=tmp_path, environment=environment())
    assert seen.code == 0, seen.said
    assert seen.elsewhere == [], seen.by
    assert seen.destinations["loopback"] >= 1


NOTEBOOK = """
import seal
seal.export({model!r}, "onnx")
seal.score("texts", {{"m": "onnx"}}, "scores")
seal.score("texts", {{"m": {model!r}}}, "by-torch", seal.ScoreOptions(backend="torch"))
import os
print([os.environ[name] for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")])
"""


def test_nor_does_a_notebook_which_keeps_its_own_way_to_the_hub(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    frame = pl.DataFrame({"row_id": [0, 0], "preference": ["chosen", "rejected"]})
    frame = frame.with_columns(
        source=pl.lit("s"), prompt=pl.lit("Say one"), response=pl.Series(["one", "two"])
    )
    frame.with_columns(variant=pl.lit("original")).write_parquet(tmp_path / "texts")
    text = NOTEBOOK.format(model=str(checkpoints["short"]))
    free = dict.fromkeys(HUB, "0")  # nothing but what this program asks for keeps the libraries here
    seen = python(text, tmp_path, BEST, **free)
    assert seen.code == 0, seen.said
    assert seen.elsewhere == [], seen.by
    assert seen.said.splitlines()[-1] == "['0', '0']"


@pytest.fixture
def _none_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*TELEMETRY, *HUB):
        monkeypatch.setenv(name, "0")
    yield
    for name in (*TELEMETRY, *HUB):
        os.environ.pop(name, None)


@pytest.mark.usefixtures("_none_set")
@pytest.mark.parametrize("opened", ["seal.cli.main", "seal.engine.generation.chat"])
def test_libraries_are_told_before_they_are_imported(opened: str) -> None:
    """In the command line of the hub as well; whatever the user's variables say."""
    told = {**TELEMETRY, **HUB} if opened == "seal.cli.main" else TELEMETRY
    call = "seal.cli.main.main(['--version'])" if opened == "seal.cli.main" else "0"
    text = f"import os, {opened}, seal; {call}; print([os.environ[n] for n in {list(told)!r}])"
    done = subprocess.run(
        [sys.executable, "-c", text], env=environment(), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == str(list(told.values()))


def test_one_place_alone_sets_their_variables() -> None:
    named = [
        path.relative_to(ROOT).as_posix()
        for room in ("seal", "engine", "stats", "cli")
        for path in sorted((ROOT / room).rglob("*.py"))
        if any(f'"{name}"' in path.read_text(encoding="utf-8") for name in (*TELEMETRY, *HUB))
    ]
    assert named == ["engine/offline.py"]
