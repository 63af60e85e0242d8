"""Messages -> token ids, the same ids whatever runs the model.

The template comes from the folder through transformers; the ids come from `tokenizer.json` itself, since
transformers 5 rebuilds some tokenizers in its own way. What a message says is never taken for a control
token: where it spells one, it is encoded as plain text.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from types import FrameType
from typing import Any

import transformers
from tokenizers import Tokenizer

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.checkpoints.tokenizer_limits import check_tokenizer
from seal.engine.errors import InputError, UsageError

TraceFunction = Callable[[FrameType, str, Any], Any]

PLAIN_TAIL = "\n\nAnswer:\n"
"""What follows the message of a base model, which has no chat template; the answer begins on a fresh line."""

JOINER = "\u2060"
"""Put inside what spells a control token, it leaves the words and breaks the spell."""

_HOLE = '\ue000a "message"\n<of> {two} lines\ue001'  # a template that would change it does not show it
_TAG = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Z_]{2,60}\]")
_A_DAY = datetime(2024, 7, 26, tzinfo=UTC)  # templates that name the day name this one, on every day
_MOST_STEPS = 100_000  # lines that a template may run for one message; usual are some hundreds
_COMPILED = "<template>"  # the file that a compiled template is from, as Jinja names it


@contextmanager
def _few_steps() -> Iterator[None]:
    """Let templates run `_MOST_STEPS` lines and no more; their sandbox bounds a loop, not loops in loops."""
    n_left = _MOST_STEPS

    def line(frame: FrameType, event: str, arg: object) -> TraceFunction:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise RuntimeError(f"it takes more than {_MOST_STEPS:,} steps for one message")
        return line

    def call(frame: FrameType, event: str, arg: object) -> TraceFunction | None:
        return line if frame.f_code.co_filename == _COMPILED else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


class ChatEncoder:
    """Encodes messages for one decoder.

    Args:
        decoder: its folder.

    Raises:
        InputError: the tokenizer or the template cannot be used.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.folder, self._config = decoder.folder, decoder.config
        try:
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
                str(decoder.folder), local_files_only=True, trust_remote_code=False
            )
            path = decoder.folder / "tokenizer.json"
            self._fast = (
                Tokenizer.from_file(str(path)) if path.is_file() else self.tokenizer.backend_tokenizer
            )
        except Exception as error:  # noqa: BLE001  # a broken file surfaces as a bare Exception from Rust
            raise InputError(f"{decoder.folder}: its tokenizer cannot be loaded: {error}") from None
        check_tokenizer(self.tokenizer_json, f"{decoder.folder}: its tokenizer")
        self._fast.no_truncation()
        self._fast.no_padding()
        self._plain = self._without_control_tokens()
        self._head, self._tail = self._template()
        self._n_control_around = self._n_control(self._ids(self._head) + self._ids(self._tail))

    def _without_control_tokens(self) -> Tokenizer:
        """The same tokenizer, for text in which no control token is to be found."""
        described = json.loads(self._fast.to_str())
        control = set(self._control.values()) - self._unknown
        described["added_tokens"] = [t for t in described["added_tokens"] if t["content"] not in control]
        described["post_processor"] = None
        return Tokenizer.from_str(json.dumps(described))

    @cached_property
    def has_template(self) -> bool:
        """Whether the folder has a chat template; a base model has none."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer that makes the ids, as `tokenizer.json` holds it."""
        return str(self._fast.to_str())

    @property
    def facts(self) -> dict[str, str]:
        """What stands around a message, for the manifest."""
        return {"before_message": self._head, "after_message": self._tail}

    def encode(self, message: str) -> list[int]:
        """Token ids of a message in its template, up to where the answer begins."""
        if not any(token in message for token in self._control_tokens):
            ids = self._ids(self._head + message + self._tail)
            if self._n_control(ids) == self._n_control_around:
                return ids
        return [*self._ids(self._head), *self._as_text(message), *self._ids(self._tail)]

    def _ids(self, text: str) -> list[int]:
        return list(self._fast.encode(text, add_special_tokens=False).ids)

    def _as_text(self, message: str) -> list[int]:
        """The message without a control token, whatever it spells.

        A vocabulary that holds its control tokens as words of its own would find them in plain text again;
        there a joiner inside breaks them up, as it does for a server.
        """
        ids = list(self._plain.encode(message, add_special_tokens=False).ids)
        if self._n_control(ids):
            for token in self._control_tokens:
                message = message.replace(token, token[0] + JOINER + token[1:])
            plain = self._plain.encode(message, add_special_tokens=False).ids
            ids = [i for i in plain if i not in self._control_ids]
        return ids

    def choice_ids(self, choices: Sequence[str]) -> list[int]:
        """The token that each choice begins with when it opens the answer.

        Raises:
            UsageError: two choices begin with the same token, so that it would not tell them apart.
        """
        before, ids = self._ids(self._tail), []
        for choice in choices:
            after = self._ids(self._tail + choice)
            if after[: len(before)] != before or len(after) == len(before):
                raise UsageError(
                    f"{self.folder}: {choice!r} melts into what stands before the answer, so that protocol "
                    "'choice' cannot read it; use the protocol json"
                )
            ids.append(after[len(before)])
        if len(set(ids)) < len(ids):
            raise UsageError(
                f"{self.folder}: two of {', '.join(choices)} begin with the same token, which the protocol "
                "'choice' would have to tell apart; use the protocol json"
            )
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer, without control tokens."""
        return str(self._fast.decode(list(ids), skip_special_tokens=True))

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        try:
            settings = transformers.GenerationConfig.from_pretrained(str(self.folder), local_files_only=True)
            configured = settings.eos_token_id
        except (OSError, ValueError):
            configured = None
        named = (configured, self._config.get("eos_token_id"), self.tokenizer.eos_token_id)
        listed = [i for ids in named for i in (ids if isinstance(ids, list) else [ids])]
        return frozenset(i for i in listed if isinstance(i, int))

    def _n_control(self, ids: Sequence[int]) -> int:
        return sum(i in self._control_ids for i in ids)

    @cached_property
    def _control(self) -> dict[int, str]:
        """Control tokens by id: the special ones, and others that are written like one (`<think>`)."""
        added = self._fast.get_added_tokens_decoder().items()
        return {i: t.content for i, t in added if t.special or _TAG.fullmatch(t.content)}

    @cached_property
    def _control_tokens(self) -> tuple[str, ...]:
        return tuple(sorted(self._control.values(), key=len, reverse=True))

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(i for i, content in self._control.items() if content not in self._unknown)

    @cached_property
    def _unknown(self) -> set[str]:
        """What stands for whatever the vocabulary does not know: any message may hold that."""
        model = json.loads(self._fast.to_str())["model"]
        return {str(model.get("unk_token")), str(self.tokenizer.unk_token)}

    def _template(self) -> tuple[str, str]:
        """What stands before and after a message; thinking is off where a template knows the word."""
        bos = self.tokenizer.bos_token or ""
        if not self.has_template:
            opens = self._fast.encode("a").ids[:1] == [self.tokenizer.bos_token_id]
            return (bos if opens else ""), PLAIN_TAIL
        try:
            with _few_steps():
                text = self.tokenizer.apply_chat_template(
                    [{"role": "user", "content": _HOLE}],
                    tokenize=False, add_generation_prompt=True, enable_thinking=False,
                    strftime_now=_A_DAY.strftime,
                )  # fmt: skip
        except Exception as error:  # noqa: BLE001  # a template is a program of the folder's; it may raise anything
            raise InputError(f"{self.folder}: its chat template failed: {error}") from None
        head, found, tail = str(text).partition(_HOLE)
        if not found or _HOLE in tail:
            raise InputError(f"{self.folder}: its chat template does not show the user's message once")
        return head, tail
