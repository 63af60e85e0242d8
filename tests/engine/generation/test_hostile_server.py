"""A server that nobody vouches for: what it says has an end, a bound, and numbers that are some."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from seal.engine.errors import InputError, UsageError
from seal.engine.generation.contract import Answer, Request
from seal.engine.generation.openai import OpenAIGenerator, ServerError
from seal.engine.generation.options import GeneratorOptions
from tests.support.hostile_servers import DRIPS, FLOODS, Handler, misbehaving, saying
from tests.support.kills import ROOT, environment

QUICK = GeneratorOptions(timeout_s=0.6, patience_s=0)
ONCE = GeneratorOptions(timeout_s=20, patience_s=0)


def answer_to(body: Any, request: Request | None = None) -> Answer:
    """What comes of a completion."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with misbehaving(lambda handler, _: handler.send(200, raw)) as server:
        return OpenAIGenerator(server.url, ONCE).answer([request or Request("say it", 8)])[0]


@pytest.mark.parametrize("how", DRIPS)
def test_what_drips_is_given_up_in_time(how: str) -> None:
    with misbehaving(lambda handler, _: DRIPS[how](handler)) as server:
        generator, began_s = OpenAIGenerator(server.url, QUICK), time.monotonic()
        with pytest.raises(ServerError, match=r"last with: no whole answer within 0\.6 s"):
            generator.answer([Request("say it", 8)])
        assert time.monotonic() - began_s < 4  # 0.6 s, and much for a busy machine; the server goes on for 8


def test_a_list_of_models_that_drips_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seal.engine.generation.openai._FIRST_PATIENCE_S", 0.6)
    with misbehaving(lambda *_: None) as server:
        server.listing = lambda handler, _: DRIPS["a body"](handler)
        began_s = time.monotonic()
        with pytest.raises(ServerError, match="no whole answer"):
            OpenAIGenerator(server.url, GeneratorOptions(patience_s=0)).model  # noqa: B018
        assert time.monotonic() - began_s < 4


_ASK = """
import json, sys
from pathlib import Path
from seal.engine.generation.contract import Request
from seal.engine.generation.openai import OpenAIGenerator
from seal.engine.generation.options import GeneratorOptions

def peak_mb():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024

generator = OpenAIGenerator(sys.argv[1], GeneratorOptions(patience_s=5, timeout_s=60))
generator.answer([Request("a good one", 8)])
before = peak_mb()
answers = generator.answer([Request(name, 8) for name in sys.argv[2:]])
print(json.dumps([peak_mb() - before, [[a.stop, len(a.text), a.detail] for a in answers]]))
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="on Linux only: it tells the peak of a process, /proc does"
)
def test_floods_of_200_mb_are_refused_and_take_little_memory() -> None:
    many = saying(more=[{}] * 120_000)  # 0.5 MB of JSON, 9 MB once it is read

    def reply(handler: Handler, message: str) -> None:
        flood = FLOODS.get(message)
        handler.send(200, saying() if message == "a good one" else many) if flood is None else flood(handler)

    with misbehaving(reply) as server:
        done = subprocess.run(
            [sys.executable, "-c", _ASK, server.url, *FLOODS, *["many"] * 60], cwd=ROOT, env=environment(),
            check=True, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    grown_mb, answers = json.loads(done.stdout)
    assert grown_mb < 100  # megabytes: the promise. Measured: 45, of 64 bodies of 0.5 MB at once
    assert answers[len(FLOODS) :] == [["done", 4, ""]] * 60
    by_name = dict(zip(FLOODS, answers, strict=False))
    error = by_name.pop("a huge error")
    assert error[:2] == ["refused", 0]
    assert error[2].startswith("400: 0000")
    assert len(error[2]) < 2100
    assert {name: said[2] for name, said in by_name.items()} == dict.fromkeys(
        by_name, "the server sent more than 524,800 bytes for one answer"
    )


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
@pytest.mark.parametrize(
    "value", ["9" * 4000, "-1", "NaN", "Infinity", "-Infinity", "1e999", "0.5", "true", '"12"', "[1]", "{}"]
)
def test_a_count_of_tokens_that_is_none_is_no_answer(name: str, value: str) -> None:
    body = json.dumps(saying(usage={name: "?"})).replace('"?"', value).encode()
    with pytest.raises(ServerError, match=rf"an answer without what it must have .*{name} is"):
        answer_to(body)


def test_counts_that_are_left_out_or_whole_floats_are_taken() -> None:
    assert answer_to(saying(usage=None)).n_prompt == 0
    told = {"prompt_tokens": 12.0, "completion_tokens": None, "prompt_tokens_details": {"cached_tokens": 3}}
    answer = answer_to(saying(usage=told))
    assert (answer.n_prompt, answer.n_cached, answer.n_generated) == (12, 3, 0)


def alternatives(*logprobs: str) -> bytes:
    listed = ", ".join(
        f'{{"token": "{t}", "logprob": {v}}}' for t, v in zip(("yes", "no"), logprobs, strict=True)
    )
    body = json.loads(json.dumps(saying()))
    body["choices"][0]["logprobs"] = {"content": [{"top_logprobs": ["?"]}]}
    return json.dumps(body).replace('"?"', listed).encode()


CHOICE = Request("yes or no?", choices=("yes", "no"))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "5", "9" * 4000, '"-1"', "null", "true", "[]"])
def test_a_probability_that_is_none_is_no_answer(value: str) -> None:
    with pytest.raises(ServerError, match="an answer without what it must have"):
        answer_to(alternatives("-1.0", value), CHOICE)


def test_probabilities_of_zero_are_taken() -> None:
    for none in ("-9999.0", "-1e999", "-" + "9" * 4000):
        assert answer_to(alternatives("-0.5", none), CHOICE).probabilities == (1.0, 0.0)


def test_a_wait_in_other_digits_is_no_traceback() -> None:
    with (
        misbehaving(lambda h, _: h.send(429, {}, Retry_After="\u00b2")) as server,
        pytest.raises(ServerError, match="status 429"),
    ):
        OpenAIGenerator(server.url, ONCE).answer([Request("say it", 8)])


def test_a_long_reason_to_end_is_cut() -> None:
    body = saying()
    body["choices"][0]["finish_reason"] = "because " * 5000
    answer = answer_to(body)
    assert answer.stop == "refused"
    assert len(answer.detail) < 2100
    assert answer.detail.endswith("(40,020 characters in all)")


def test_names_of_models_are_bounded() -> None:
    with misbehaving(lambda *_: None) as server:
        server.models = [f"model-{i}" for i in range(5000)]
        with pytest.raises(UsageError) as error:
            OpenAIGenerator(server.url, ONCE).model  # noqa: B018
        assert "model-19 and 4,980 more" in str(error.value)
        server.models = ["m" * 5000]
        with pytest.raises(ServerError, match="1 to 512 characters"):
            OpenAIGenerator(server.url, ONCE).model  # noqa: B018


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with misbehaving(lambda h, _: h.send(200, saying())) as other:
        to = f"{other.url}/chat/completions"
        with (
            misbehaving(lambda h, _: h.send(status, {}, Location=to)) as server,
            pytest.raises(ServerError, match=rf"status {status}.*points to {to}, and no redirect"),
        ):
            OpenAIGenerator(server.url, ONCE).answer([Request("say it", 8)])
        assert other.asked == []


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        misbehaving(lambda h, _: h.send(502, {})) as trap,
        misbehaving(lambda h, _: h.send(200, saying())) as s,
    ):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, trap.url.removesuffix("/v1"))
        assert OpenAIGenerator(s.url, ONCE).answer([Request("say it", 8)])[0].text == "fine"
        assert trap.asked == []


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/v1", "https://host/v1", "http://localhost.evil.invalid/v1"]
)
def test_a_server_on_another_machine_must_be_allowed(url: str) -> None:
    with pytest.raises(UsageError, match=r"stands on another machine.*--allow-remote"):
        OpenAIGenerator(url)
    assert OpenAIGenerator(url, GeneratorOptions(allow_remote=True))


def test_a_key_goes_to_no_other_machine_over_plain_http() -> None:
    options = GeneratorOptions(allow_remote=True, api_key="sk-0123456789abcdef")
    with pytest.raises(UsageError, match="would get the API key over plain http"):
        OpenAIGenerator("http://192.0.2.1/v1", options)
    assert OpenAIGenerator("https://192.0.2.1/v1", options)
    assert OpenAIGenerator("http://127.0.0.1:1/v1", options)


@pytest.mark.parametrize(
    "url", ["http://a\x1b/v1", "http://a/v1\x1b", "http://a/b c", "http://ä/v1", "http://u@127.0.0.1/v1"]
)
def test_what_no_request_can_carry_is_no_url(url: str) -> None:
    with pytest.raises(InputError, match="is no URL of a server") as error:
        OpenAIGenerator(url)
    assert "\x1b" not in str(error.value)
