"""Two texts of one pair, and where a conversation is cut into prompt and response.

A transcript is cut at its last "\\n\\nAssistant:", before the word: the prompt ends in the blank line, the
response opens with `Assistant:`, and the two laid end to end are the transcript to the byte. Message lists
are rendered to the same form, a system message as a `\\n\\nSystem:` turn where it stands, and cut before
their last message.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

_TURN = "\n\n"
ASSISTANT = f"{_TURN}Assistant:"
_HUMAN = f"{_TURN}Human:"
_SPEAKERS = {"user": "Human", "human": "Human", "assistant": "Assistant", "system": "System"}
_KINDS = {
    type(None): "null", str: "a string", bool: "a boolean", int: "a number", float: "a number",
    list: "a list", dict: "an object", bytes: "bytes",
}  # fmt: skip


class Malformed(Exception):
    """A record that is no pair. Becomes a failure row, never reaches the user as an exception.

    Args:
        code: short and stable, for counting.
        reason: what is wrong with this record and what would be right.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Pair(NamedTuple):
    """Two texts, the first preferred. The prompts differ where the two transcripts do."""

    chosen_prompt: str
    chosen: str
    rejected_prompt: str
    rejected: str


class Tie(Pair):
    """Two texts of which neither is preferred, in the order of their record."""

    __slots__ = ()


def check_pair(pair: Pair, max_chars: int) -> None:
    """Check what every format must keep: no empty text, no absurd length, nothing that UTF-8 cannot hold.

    Raises:
        Malformed: `empty_text`, `too_long` or `lone_surrogate`.
    """
    for side, prompt, response in (("chosen", *pair[:2]), ("rejected", *pair[2:])):
        if not prompt or prompt.isspace():
            raise Malformed("empty_text", f"the prompt of '{side}' is empty")
        if not response or response.isspace():
            raise Malformed("empty_text", f"'{side}' is empty; both responses need text")
        if len(prompt) + len(response) > max_chars:
            n_chars = len(prompt) + len(response)
            raise Malformed("too_long", f"'{side}' has {n_chars:,} characters, max_chars is {max_chars:,}")
        if not (prompt.isascii() and response.isascii()):
            check_encodable(side, prompt + response)


def check_encodable(side: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"half a surrogate pair (\\u{ord(text[error.start]):04x})"
        raise Malformed("lone_surrogate", f"'{side}' holds {half}, which is no character") from None


def cut_transcript(text: str, side: str) -> tuple[str, str]:
    """Cut a transcript into prompt and response; `prompt + response == text`.

    Raises:
        Malformed: `empty_text`, `no_assistant_turn`, `not_assistant_last` or `no_user_turn`.
    """
    cut = text.rfind(ASSISTANT)
    if cut < 0:
        if not text or text.isspace():
            raise Malformed("empty_text", f"'{side}' is empty; a transcript is needed")
        raise Malformed("no_assistant_turn", f"'{side}' has no turn that opens with '\\n\\nAssistant:'")
    cut += len(_TURN)
    if text.find(_HUMAN, cut) >= 0:
        raise Malformed("not_assistant_last", f"'{side}' ends with a Human turn; the response must come last")
    prompt = text[:cut]
    if "Human:" not in prompt:
        raise Malformed("no_user_turn", f"'{side}' has no 'Human:' turn before its last 'Assistant:' turn")
    return prompt, text[cut:]


def cut_messages(prompt: Any, response: Any, side: str) -> tuple[str, str]:
    """Render a conversation as a transcript and cut it before its last message.

    Args:
        prompt: what stands before the response: a string (one user message), a list of messages, or None.
        response: a string (one assistant message) or a list of messages. A list that opens with an assistant
            message continues the prompt; any other is the whole conversation and the prompt is not used.
        side: `chosen` or `rejected`, for the reasons.

    Raises:
        Malformed: with the message that is wrong.
    """
    messages = _messages(response, side, "assistant")
    if not messages:
        raise Malformed("empty_messages", f"'{side}' is an empty list; at least one message is needed")
    turns = [_turn(m, side, i) for i, m in enumerate(messages)]
    if turns[0][0] == "Assistant" and prompt is not None:
        before = _messages(prompt, "prompt", "user")
        turns = [_turn(m, "prompt", i) for i, m in enumerate(before)] + turns
    *context, (speaker, content) = turns
    if speaker != "Assistant":
        raise Malformed("not_assistant_last", f"the last message of '{side}' is not the assistant's")
    if not content or content.isspace():
        raise Malformed("empty_text", f"the last message of '{side}' is empty")
    if all(turn[0] != "Human" for turn in context):
        raise Malformed("no_user_turn", f"'{side}' has no user message before its last message")
    rendered = "".join(f"{_TURN}{who}: {what}" for who, what in context)
    return rendered + _TURN, f"Assistant: {content}"


def _messages(value: Any, where: str, role: str) -> Sequence[Any]:
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, list):
        return value
    raise Malformed("wrong_type", f"'{where}' is {kind(value)}; a string or a list of messages is needed")


def _turn(message: Any, where: str, at: int) -> tuple[str, str]:
    place = f"message {at + 1} of '{where}'"
    if not isinstance(message, dict):
        found = kind(message)
        raise Malformed("bad_message", f"{place} is {found}; an object with role and content is needed")
    role, content = message.get("role"), message.get("content")
    if role is None:
        raise Malformed("bad_message", f"{place} has no role")
    if not isinstance(role, str) or role not in _SPEAKERS:
        known = ", ".join(_SPEAKERS)
        raise Malformed("unknown_role", f"{place} has the role {str(role)[:40]!r}; known: {known}")
    if not isinstance(content, str):
        found = "no content" if content is None else f"{kind(content)} as content"
        raise Malformed("bad_message", f"{place} has {found}; a string is needed")
    return _SPEAKERS[role], content


def kind(value: Any) -> str:
    """The JSON type of a value, for error texts."""
    return _KINDS.get(type(value), type(value).__name__)
