"""Messages -> token ids, the same ids whatever runs the model.

The template comes from the folder through transformers; the ids come from `tokenizer.json` itself, since
transformers 5 rebuilds some tokenizers in its own way. What a message says is never taken for a control
token: where it spells one, it is encoded as plain text.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import transformers
from tokenizers import Tokenizer

from engine.decoder import Decoder
from engine.errors import InputError, UsageError

PLAIN_TAIL = "\n\nAnswer:\n"
"""What follows the message of a base model, which has no chat template; the answer begins on a fresh line."""

_HOLE = "\ue000message\ue001"


class ChatEncoder:
    """Encodes messages for one decoder.

    Args:
        decoder: its folder.

    Raises:
        InputError: the tokenizer or the template cannot be used.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.folder = decoder.folder
        try:
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
                str(decoder.folder), local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{decoder.folder}: its tokenizer cannot be loaded: {error}") from None
        path = decoder.folder / "tokenizer.json"
        self._fast = Tokenizer.from_file(str(path)) if path.is_file() else self.tokenizer.backend_tokenizer
        self._fast.no_truncation()
        self._fast.no_padding()
        self._plain = Tokenizer.from_str(self._fast.to_str())
        self._plain.encode_special_tokens = True
        self._head, self._tail = self._template()

    @cached_property
    def has_template(self) -> bool:
        """Whether the folder has a chat template; a base model has none."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    @property
    def facts(self) -> dict[str, str]:
        """What stands around a message, for the manifest."""
        return {"before_message": self._head, "after_message": self._tail}

    def encode(self, message: str) -> list[int]:
        """Token ids of a message in its template, up to where the answer begins."""
        if not self._spells_control_token(message):
            return list(self._fast.encode(self._head + message + self._tail, add_special_tokens=False).ids)
        head, tail = (self._fast.encode(x, add_special_tokens=False).ids for x in (self._head, self._tail))
        return [*head, *self._plain.encode(message, add_special_tokens=False).ids, *tail]

    def choice_ids(self, choices: Sequence[str]) -> list[int]:
        """The token that each choice begins with when it opens the answer.

        Raises:
            UsageError: two choices begin with the same token, so that it would not tell them apart.
        """
        before = self._fast.encode(self._tail, add_special_tokens=False).ids
        ids = []
        for choice in choices:
            after = self._fast.encode(self._tail + choice, add_special_tokens=False).ids
            if after[: len(before)] != before or len(after) == len(before):
                raise UsageError(
                    f"{self.folder}: {choice!r} melts into what stands before the answer, so that protocol "
                    "'choice' cannot read it; use --protocol json"
                )
            ids.append(after[len(before)])
        if len(set(ids)) < len(ids):
            raise UsageError(
                f"{self.folder}: two of {', '.join(choices)} begin with the same token, which the protocol "
                "'choice' would have to tell apart; use --protocol json"
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
        except OSError:
            configured = None
        listed = configured if isinstance(configured, list) else [configured]
        return frozenset(i for i in (*listed, self.tokenizer.eos_token_id) if i is not None)

    def _spells_control_token(self, message: str) -> bool:
        return any(token in message for token in self._control_tokens)

    @cached_property
    def _control_tokens(self) -> tuple[str, ...]:
        added = self._fast.get_added_tokens_decoder().values()
        return tuple(token.content for token in added if token.special)

    def _template(self) -> tuple[str, str]:
        """What stands before and after a message; thinking is off where a template knows the word."""
        bos = self.tokenizer.bos_token or ""
        if not self.has_template:
            opens = self._fast.encode("a").ids[:1] == [self.tokenizer.bos_token_id]
            return (bos if opens else ""), PLAIN_TAIL
        try:
            text = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": _HOLE}],
                tokenize=False, add_generation_prompt=True, enable_thinking=False,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001  # a template is a program of the folder's; it may raise anything
            raise InputError(f"{self.folder}: its chat template failed: {error}") from None
        head, found, tail = str(text).partition(_HOLE)
        if not found or _HOLE in tail:
            raise InputError(f"{self.folder}: its chat template does not show the user's message once")
        return head, tail
