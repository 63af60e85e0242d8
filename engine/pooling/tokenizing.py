"""Texts -> token ids: tokenize in parallel, cut what is too long, collate a batch.

Tokenizing runs in Rust over all cores and releases the GIL, so it overlaps with inference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from seal.engine.checkpoints.exported import PairTemplate
from seal.engine.checkpoints.tokenizer_limits import check_tokenizer
from seal.engine.errors import InputError
from seal.engine.pooling.contract import Batch


@dataclass(frozen=True)
class EncodedTexts:
    """Token ids of n texts, laid end to end.

    Attributes:
        ids: all token ids, int32, shape (total,).
        segments: segment (token type) of each token, int8, shape (total,).
        offsets: where each text starts, int64, shape (n + 1,).
        truncated: whether the text was cut, bool, shape (n,).
    """

    ids: NDArray[np.int32]
    segments: NDArray[np.int8]
    offsets: NDArray[np.int64]
    truncated: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, shape (n,)."""
        return np.diff(self.offsets)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several as one, in order."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.segments for part in parts]),
            np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
            np.concatenate([part.truncated for part in parts]),
        )

    def batch(self, rows: NDArray[np.intp], pad_token_id: int) -> Batch:
        """Collate some of the texts, padded on the right to the longest of them.

        Args:
            rows: positions of the texts, shape (b,).
            pad_token_id: what fills up.
        """
        starts, lengths = self.offsets[rows], self.lengths[rows]
        width = int(lengths.max())
        mask = np.arange(width) < lengths[:, None]
        places = np.where(mask, starts[:, None] + np.arange(width), 0)
        return Batch(
            input_ids=np.where(mask, self.ids[places], pad_token_id).astype(np.int64),
            attention_mask=mask.astype(np.int64),
            token_type_ids=np.where(mask, self.segments[places], 0).astype(np.int64),
        )


class PairEncoder:
    """Turns (prompt, response) into one model's token ids.

    Args:
        tokenizer_json: content of a `tokenizer.json`.
        template: two segments, or one text.
        max_tokens: the longest encoding; of a longer text the prompt is cut from the left and the response
            kept (as two segments it is cut from the right, and only if it alone is too long). Under the
            template `text`, embedders', a longer text is cut from the right.

    Raises:
        InputError: that is no tokenizer, or one that makes texts many times longer.
    """

    def __init__(self, tokenizer_json: str, template: PairTemplate, max_tokens: int) -> None:
        check_tokenizer(tokenizer_json, "tokenizer.json")
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # noqa: BLE001 - the Rust side raises a bare Exception
            raise InputError(f"tokenizer.json cannot be read: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._pairs = template == "pair"
        self._cut_on = "right" if template == "text" else "left"
        self._n_special = self._tokenizer.num_special_tokens_to_add(self._pairs)
        self._max_tokens = max_tokens
        if max_tokens <= self._n_special:
            raise InputError(
                f"max_tokens {max_tokens} leaves no room beside {self._n_special} special tokens"
            )

    def encode(self, prompts: list[str], responses: list[str]) -> EncodedTexts:
        """Encode n texts, in order."""
        pairs = list(zip(prompts, responses, strict=True))
        encodings = self._tokenizer.encode_batch_fast(pairs if self._pairs else list(map("".join, pairs)))
        truncated = np.array([len(e) > self._max_tokens for e in encodings], dtype=np.bool_)
        for i in np.flatnonzero(truncated):
            encodings[i] = self._cut(prompts[i], responses[i])
        return _lay_out(encodings, truncated)

    def _cut(self, prompt: str, response: str) -> Encoding:
        room = self._max_tokens - self._n_special
        if not self._pairs:
            whole = self._tokenizer.encode(prompt + response, add_special_tokens=False)
            whole.truncate(room, direction=self._cut_on)
            return self._tokenizer.post_process(whole)
        before = self._tokenizer.encode(prompt, add_special_tokens=False)
        after = self._tokenizer.encode(response, add_special_tokens=False)
        after.truncate(room, direction="right")
        before.truncate(room - len(after), direction="left")
        return self._tokenizer.post_process(before, after)


def _lay_out(encodings: list[Encoding], truncated: NDArray[np.bool_]) -> EncodedTexts:
    lengths = np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    ids = np.empty(offsets[-1], np.int32)
    segments = np.empty(offsets[-1], np.int8)
    for encoding, start, end in zip(encodings, offsets[:-1], offsets[1:], strict=True):
        ids[start:end] = encoding.ids
        segments[start:end] = encoding.type_ids
    return EncodedTexts(ids, segments, offsets, truncated)


@dataclass(frozen=True)
class Deduplicated:
    """The distinct texts among n.

    Attributes:
        first: position of the first of each distinct text, shape (m,).
        index: for each text, its place in `first`, shape (n,).
    """

    first: NDArray[np.intp]
    index: NDArray[np.intp]

    @classmethod
    def of(cls, prompts: list[str], responses: list[str]) -> Self:
        """Find identical (prompt, response) texts."""
        seen: dict[tuple[str, str], int] = {}
        index = [seen.setdefault(text, len(seen)) for text in zip(prompts, responses, strict=True)]
        places = np.array(index, dtype=np.intp)
        return cls(np.unique(places, return_index=True)[1], places)

    @property
    def copies(self) -> NDArray[np.intp]:
        """How many of the n texts each distinct one stands for, shape (m,)."""
        return np.bincount(self.index, minlength=len(self.first))
