"""The key is found in every form that an echo gives it, and words are left alone."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.engine.generation.addresses import is_loopback
from seal.engine.generation.secret import REPLACED, Secret

KEY = 'sk-live_Ab9/+%"\\xyZ7'
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "bearer": lambda key: f"Bearer {key}",
    "base64": lambda key: b64encode(key.encode()).decode(),
    "base64 of the header": lambda key: b64encode(f"Bearer {key}".encode()).decode(),
    "base64 of a user": lambda key: b64encode(f"us:{key}:x".encode()).decode(),
    "base64 for URLs": lambda key: urlsafe_b64encode(f"a{key}".encode()).decode(),
    "URL": lambda key: quote(key, safe=""),
    "URL twice": lambda key: quote(quote(key, safe=""), safe=""),
    "JSON": json.dumps,
    "JSON twice": lambda key: json.dumps(json.dumps(key)),
    "JSON, all escaped": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "HTML": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "hex": lambda key: key.encode().hex(),
    "spaces": " ".join,
    "lines": "\r\n\t".join,
    "escaped lines": "\\n".join,
    "zero bytes": "\0".join,
    "joiners": "\u2060".join,
    "base64 in lines": lambda key: "\n ".join(b64encode(key.encode()).decode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_key_is_taken_out_in_every_form(form: str) -> None:
    said = FORMS[form](KEY)
    left = Secret(KEY).without(f"before {said} after")
    assert REPLACED in left
    assert left.startswith("before ")
    assert left.endswith(" after")
    assert len(left) <= len("before  after") + len(REPLACED) + 16  # of base64, what hangs on both sides
    assert Secret(KEY).in_answer(said)


@settings(deadline=None, max_examples=15)
@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60),
    st.binary(max_size=9),
)
def test_any_key_is_found_in_base64_behind_anything(key: str, before: bytes) -> None:
    secret = Secret(key)
    assert REPLACED in secret.without(b64encode(before + key.encode() + b"xyz").decode())
    assert REPLACED in secret.without(quote(key))


@pytest.mark.parametrize("key", ["EMPTY", "anything", "not-needed", "k1"])
def test_a_word_for_a_key_stays_in_answers_but_not_in_errors(key: str) -> None:
    assert not Secret(key).in_answer(f"there is {key} here")
    assert key not in Secret(key).without(f"Bearer {key}")


@pytest.mark.parametrize("key", [None, "", "  "])
def test_without_a_key_nothing_is_looked_for(key: str | None) -> None:
    assert Secret(key).without("a b") == "a b"
    assert not Secret(key).in_answer("a b")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
)
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "127.1", "2130706433", "localhost.", "127.0.0.1.nip.io", "::", "10.0.0.1", ""]
)
def test_another_machine(host: str) -> None:
    assert not is_loopback(host)
