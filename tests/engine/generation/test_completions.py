"""Any JSON for a completion is an answer or one of the errors that are told: nothing else is raised."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from seal.engine.generation.completions import read_choice, read_text
from seal.engine.generation.contract import Request
from tests.support.hostile_servers import saying

TOLD = (KeyError, IndexError, TypeError, AttributeError, ValueError)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from([10**4000, -(10**4000)]),
)  # fmt: skip
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)
CHOICE = Request("yes or no?", choices=("yes", "no"))


@st.composite
def completions(draw: st.DrawFn) -> Any:
    """A whole completion with any JSON in one or two of its places."""
    usage: dict[str, Any] = {
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    body: dict[str, Any] = saying("yes", usage=usage)
    listed = [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -3.0}]
    body["choices"][0]["logprobs"] = {"content": [{"top_logprobs": listed}]}
    for _ in range(draw(st.integers(1, 2))):
        inside: Any = body
        while True:
            key = draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else range(len(inside))))
            if not (isinstance(inside[key], dict | list) and inside[key]) or draw(st.booleans()):
                inside[key] = draw(JSON)
                break
            inside = inside[key]
    return draw(st.sampled_from([body, draw(JSON)])) if draw(st.integers(0, 9)) == 0 else body


@settings(deadline=None, max_examples=60)
@given(completions())
def test_any_json_is_an_answer_or_a_told_error(body: Any) -> None:
    for read in (read_text, lambda document: read_choice(CHOICE, document)):
        try:
            answer = read(body)
        except TOLD:
            continue
        assert isinstance(answer.text, str)
        assert all(
            isinstance(n, int) and 0 <= n < 1 << 31
            for n in (answer.n_prompt, answer.n_cached, answer.n_generated)
        )
        assert all(0 <= p <= 1 for p in answer.probabilities)
