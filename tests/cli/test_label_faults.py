"""`seal label` before a server that fails in every way: the labels are those of a good one."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from seal.cli.main import main
from seal.engine.checkpoints.decoder import Decoder
from seal.engine.errors import InputError, UsageError
from seal.engine.generation.addresses import check_url
from seal.engine.generation.contract import Request
from seal.engine.generation.openai import OpenAIGenerator, ServerError
from seal.engine.generation.options import GeneratorOptions
from seal.engine.generation.transformers import TransformersGenerator
from tests.support.decoders import SOME, make_decoder
from tests.support.frames import random_texts, texts, write
from tests.support.kills import ROOT, command, environment, parquet_hashes
from tests.support.servers import FAULTS, PASSING, Brain, Server, serving, wait_until

N_PAIRS = 12
FEATURES = ("--features", ",".join(SOME))
NO_CHECK = ("--cross-check", 0)  # what is counted here are the questions of one protocol


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Brain:
    folder = make_decoder(tmp_path_factory.mktemp("served") / "tiny", context=1024)
    return Brain(TransformersGenerator(Decoder.open(folder), "cpu"))


@pytest.fixture(scope="module")
def world(brain: Brain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """Texts, and the bytes of their labels by a good server."""
    folder = tmp_path_factory.mktemp("world")
    path = write(random_texts(N_PAIRS, seed=5, longest=20), folder / "texts.parquet")
    with serving(brain) as server:
        assert main(arguments(path, folder / "good", server)) == 0
    return path, parquet_hashes(folder / "good")


def arguments(path: Path, out: Path, server: Server | str, *more: object) -> list[str]:
    url = server if isinstance(server, str) else server.url
    given = (
        "label",
        path,
        "--labeler",
        f"m={url}",
        "--out",
        out,
        "--part-rows",
        4,
        *FEATURES,
        *NO_CHECK,
        *more,
    )
    return [str(argument) for argument in given]


def test_each_message_failing_once_in_another_way_changes_no_byte(
    brain: Brain, world: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    order: dict[str, int] = {}

    def plan(message: str, times: int) -> str | None:
        place = order.setdefault(message, len(order))
        return PASSING[place % len(PASSING)] if times == 1 else None

    with serving(brain, plan) as server:
        assert main(arguments(world[0], tmp_path / "out", server, "--timeout", 2)) == 0
        assert set(server.faults) == set(PASSING)
    assert parquet_hashes(tmp_path / "out") == world[1]


def test_a_message_that_fails_in_ten_ways_in_turn_is_answered_in_the_end(brain: Brain) -> None:
    quick = [name for name in PASSING if name not in ("hangs", "cuts", "invalid labels")]
    with serving(brain, lambda _, times: dict(enumerate(quick, 1)).get(times)) as server:
        generator = OpenAIGenerator(server.url, GeneratorOptions(timeout_s=5, patience_s=120))
        generator_pauses = pytest.MonkeyPatch()
        generator_pauses.setattr("seal.engine.generation.openai._LONGEST_PAUSE_S", 0.3)
        answer = generator.answer([Request("say it", 4)])[0]
        generator_pauses.undo()
        assert server.asked["say it"] == len(quick) + 1
    assert answer.stop in ("done", "cut")
    assert answer.text == brain.reply(server.bodies[0])["choices"][0]["message"]["content"]


def test_retry_after_is_waited_for(brain: Brain) -> None:
    plan = lambda _, times: "429 with Retry-After" if times == 1 else None  # noqa: E731
    with serving(brain, plan) as server:
        began_s = time.monotonic()
        OpenAIGenerator(server.url).answer([Request("say it", 2)])
        assert 1.0 <= time.monotonic() - began_s < 5


def test_what_a_server_refuses_or_never_gets_right_is_a_failure_of_that_text_alone(
    brain: Brain, tmp_path: Path
) -> None:
    path = write(texts(["a", "a", "b", "b", "c", "c"], ["x", "y", "FILTER", "z", "BABBLE", "w " * 2000]),
                 tmp_path / "texts.parquet")  # fmt: skip

    def plan(message: str, times: int) -> str | None:
        if "FILTER" in message:
            return "content_filter"
        return "a lone surrogate" if "BABBLE" in message else None

    with serving(brain, plan) as server:
        assert main(arguments(path, tmp_path / "out", server)) == 3
    failed = pl.read_parquet(tmp_path / "out/failures.parquet").sort("row_id", "preference")
    assert failed.select("row_id", "preference", "error").rows() == [
        (1, "chosen", "refused"), (2, "chosen", "invalid"), (2, "rejected", "too_long"),
    ]  # fmt: skip
    details = failed["detail"].to_list()
    assert "content_filter" in details[0]
    assert details[1].endswith("; the answer: \\ud800{")
    assert "maximum context length" in details[2]
    rows = pl.read_parquet(tmp_path / "out/part-00000.parquet")
    assert rows.select("row_id", "preference").rows() == [(0, "chosen"), (0, "rejected"), (1, "rejected")]


def test_a_text_that_a_server_cannot_bear_fails_alone_once_the_patience_is_over(brain: Brain) -> None:
    with serving(brain, lambda message, _: "500" if message == "poison" else None) as server:
        options = GeneratorOptions(in_flight=2, patience_s=2)
        requests = [Request("poison", 2), *(Request(f"say {i}", 2) for i in range(6))]
        answers = OpenAIGenerator(server.url, options).answer(requests)
    assert [answer.stop == "refused" for answer in answers] == [True, *[False] * 6]
    assert "last with: status 500" in answers[0].detail


def test_a_server_that_dies_halfway_and_comes_back_changes_no_byte(
    brain: Brain, world: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    done = threading.Event()
    codes = []
    with serving(brain) as server:
        port, url = server.server_address[1], server.url
        run = threading.Thread(
            target=lambda: (codes.append(main(arguments(world[0], tmp_path / "out", url))), done.set())
        )
        server.plan = lambda *_: "drops" if sum(server.asked.values()) > 9 else None
        run.start()
        wait_until(lambda: server.faults["drops"] > 3)
    assert not done.wait(0.5)
    with serving(brain, port=port):
        run.join(60)
    assert codes == [0]
    assert parquet_hashes(tmp_path / "out") == world[1]


def test_a_server_that_stays_dead_is_one_line_and_the_same_command_goes_on_later(
    brain: Brain, world: tuple[Path, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ("--patience", 1, "--in-flight", 2)
    with serving(brain) as server:
        server.plan = lambda *_: "502 in HTML" if sum(server.asked.values()) > 9 else None
        code = main(arguments(world[0], tmp_path / "out", server, *call))
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("seal:")]
    assert code == 1
    assert len(lines) == 1
    assert "failed for 1 s, last with: status 502" in lines[0]
    assert "the same command goes on from here" in lines[0]
    n_parts = len(list((tmp_path / "out").glob("part-*")))
    assert n_parts == 1
    with serving(brain) as server:  # on another port: where the server stands is no part of the labels
        assert main(arguments(world[0], tmp_path / "out", server, *call)) == 0
        assert sum(server.asked.values()) == 2 * N_PAIRS - 8
    assert parquet_hashes(tmp_path / "out") == world[1]


def test_a_url_where_nobody_answers_is_said_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("seal.engine.generation.openai._FIRST_PATIENCE_S", 0.5)
    path = write(random_texts(1), tmp_path / "texts.parquet")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        assert main(arguments(path, tmp_path / "out", url)) == 1
    assert "failed for 0.5 s, last with: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_requests_in_flight_are_bounded_and_used(brain: Brain) -> None:
    def slowly(message: str, times: int) -> None:
        time.sleep(0.05)

    with serving(brain, slowly) as server:
        OpenAIGenerator(server.url, GeneratorOptions(in_flight=3)).answer(
            [Request(f"say {i}", 1) for i in range(12)]
        )
        assert 2 <= server.n_most <= 3
        assert sum(server.asked.values()) == 12


def test_an_unusable_server_stops_the_run_with_what_it_said(brain: Brain) -> None:
    with serving(brain, lambda *_: "unusable") as server:
        with pytest.raises(ServerError, match=r"status 401.*who are you"):
            OpenAIGenerator(server.url).answer([Request(f"say {i}", 1) for i in range(5)])
        server.models = None  # type: ignore[assignment]
        with pytest.raises(ServerError, match=r"failed for 0 s.*no list of models"):
            OpenAIGenerator(server.url, GeneratorOptions(patience_s=0)).model  # noqa: B018


def test_of_several_models_one_must_be_named(brain: Brain) -> None:
    with serving(brain) as server:
        server.models = ["one", "two"]
        with pytest.raises(UsageError, match=r"serves one, two; name one: .*#MODEL"):
            OpenAIGenerator(server.url).model  # noqa: B018
        with pytest.raises(UsageError, match="serves no model 'tow'; it has: one, two"):
            OpenAIGenerator(f"{server.url}#tow").model  # noqa: B018
        named = OpenAIGenerator(f"{server.url}/#two", GeneratorOptions(api_key="secret"))
        assert dict(named.identity) == {"backend": "openai", "model": "two"}
        server.models = []
        with pytest.raises(UsageError, match="serves no model; name one"):
            OpenAIGenerator(server.url).model  # noqa: B018


@pytest.mark.parametrize("url", ["ftp://x/v1", "http://", "http://[", "http://a:99999999/v1", "://"])
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="is no URL of a server"):
        check_url(url, allow_remote=True, has_key=False)


@pytest.mark.parametrize("key", ["a\nb", "clé", "a\x00"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="API key"):
        GeneratorOptions(api_key=key)


def test_an_interrupt_leaves_at_once_however_long_the_server_is_silent(
    brain: Brain, world: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    with serving(brain, lambda *_: "hangs") as server:
        process = subprocess.Popen(
            command(*arguments(world[0], tmp_path / "out", server)), cwd=ROOT, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: server.faults["hangs"] > 3)
        began_s = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=15)
        assert time.monotonic() - began_s < 4
    assert process.returncode == 130
    assert err.splitlines()[-1] == "seal: stopped; the same command goes on from here"
    with serving(brain) as server:
        assert main(arguments(world[0], tmp_path / "out", server)) == 0
    assert parquet_hashes(tmp_path / "out") == world[1]


def test_every_fault_is_planned_somewhere() -> None:
    assert set(FAULTS) - set(PASSING) == {"content_filter", "a lone surrogate", "unusable"}
