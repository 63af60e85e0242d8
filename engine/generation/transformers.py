"""Decoders through transformers: the reference that other backends are held against.

A batch is padded on the left; what all its messages open with is computed once. Answers under a schema are
held to it token by token by llguidance; choices are read from one forward pass.

Most of an answer under a schema is settled by it: names, quotes, commas. What must follow is laid before the
model in one forward pass instead of token by token, and of that is kept what the model would have picked
itself, so the answer is the one it gives without (speculative decoding, Leviathan et al. 2023; the draft
is the grammar's).
"""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import takewhile
from typing import Any

import llguidance
import llguidance.numpy
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from seal.engine.checkpoints.decoder import Decoder
from seal.engine.errors import InputError, UsageError
from seal.engine.generation.contract import Answer, Request, Told
from seal.engine.generation.local import LocalGenerator, Prompt, chosen

_COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
_MAX_BATCH, _MAX_SLOTS = 32, 32_768
_MAX_LOGITS = 2**25
"""Logits of one forward pass, which bound how many settled tokens are laid before a model of many tokens."""


class TransformersGenerator(LocalGenerator):
    """Answers with a transformers decoder (see `contract.TextGenerator`).

    Args:
        decoder: its folder.
        device: `cpu` or `cuda`; `auto` takes CUDA where there is one.
        context: tokens that message and answer may have together; never more than the model's own.
    """

    def __init__(self, decoder: Decoder, device: str = "auto", context: int | None = None) -> None:
        super().__init__(decoder, context)
        has_cuda = torch.cuda.is_available()
        if device == "cuda" and not has_cuda:
            raise UsageError("device cuda: torch sees no CUDA device here")
        self._device = ("cuda" if has_cuda else "cpu") if device == "auto" else device
        self._model = self._load(decoder).to(self._device).eval()
        dtype = str(self._model.dtype)
        self._settings = {"backend": "transformers", "device": self._device, "dtype": dtype}
        self._drafts = _sees_everything(self._model.config.get_text_config())

    def _load(self, decoder: Decoder) -> Any:
        dtype = torch.float32 if self._device == "cpu" else "auto"
        try:
            model, found = transformers.AutoModelForCausalLM.from_pretrained(
                str(decoder.folder), dtype=dtype, local_files_only=True,
                trust_remote_code=False, use_safetensors=True, output_loading_info=True,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - what a damaged folder makes of transformers has no common type
            reason = str(error).strip() or type(error).__name__
            raise InputError(f"{decoder.folder} cannot be loaded: {reason.splitlines()[0]}") from None
        if missing := sorted(found["missing_keys"]):  # transformers would go on with random numbers
            raise InputError(
                f"{decoder.folder}: its weights lack {', '.join(missing[:3])}; bring it over again"
            )
        return model

    def _run(self, prompts: Sequence[Prompt], told: Told) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        with torch.inference_mode():
            for batch in _batches(prompts):
                run = self._choose if batch[0].request.choices else self._generate
                answers.update(zip((p.index for p in batch), run(batch), strict=True))
                told(len(batch))
        return answers

    def _choose(self, batch: Sequence[Prompt]) -> list[Answer]:
        logits, n_shared = self._prefill(batch).last()
        answers = []
        for row, prompt in zip(logits, batch, strict=True):
            choices = prompt.request.choices
            likely = row[self._choice_ids(choices)].tolist()
            answers.append(chosen(choices, likely, len(prompt.ids), n_shared))
        return answers

    def _generate(self, batch: Sequence[Prompt]) -> list[Answer]:
        state = self._prefill(batch)
        writers = [_Writer(p.request, self._matcher(p.request), self._encoder.end_ids) for p in batch]
        logits, n_shared = state.last()
        tokens = [writer.next(row) for writer, row in zip(writers, logits, strict=True)]
        n_most = max(0, _MAX_LOGITS // logits.size - 1) if self._drafts else 0
        while not all(writer.stop for writer in writers):
            ahead = [[t, *writer.settled(n_most)] for writer, t in zip(writers, tokens, strict=True)]
            found = zip(writers, ahead, state.step(ahead), strict=True)
            follow = [writer.follow(tokens, row) for writer, tokens, row in found]
            state.keep([n_kept for n_kept, _ in follow])
            tokens = [token for _, token in follow]
        return [
            Answer(
                self._encoder.decode(w.ids), w.stop or "cut", n_prompt=len(p.ids), n_cached=n_shared,
                n_generated=len(w.ids),
            )
            for w, p in zip(writers, batch, strict=True)
        ]  # fmt: skip

    def _prefill(self, batch: Sequence[Prompt]) -> "_State":
        return _State(self._model, [p.ids for p in batch], self._device)

    def _matcher(self, request: Request) -> Any:
        if request.schema is None:
            return None
        return llguidance.LLMatcher(self._vocabulary, _grammar(json.dumps(request.schema)))

    @cached_property
    def _vocabulary(self) -> Any:
        size = self._model.get_output_embeddings().weight.shape[0]
        ends = sorted(self._encoder.end_ids)
        try:
            return llguidance.LLTokenizer(self._encoder.tokenizer_json, n_vocab=size, eos_token=ends or None)
        except ValueError as error:  # a token that ends answers and that the weights have no place for
            raise InputError(
                f"{self._decoder.folder}: its tokenizer does not fit its weights: {error}"
            ) from None


class _State:
    """Prompts (none empty) inside the model: the shared prefix once, the rest padded on the left."""

    def __init__(self, model: Any, prompts: Sequence[list[int]], device: str) -> None:
        self._model, self._device = model, device
        self._n_shared = min(_n_common(prompts), min(map(len, prompts)) - 1)
        if len(prompts) == 1 or self._n_shared < 16:
            self._n_shared = 0
        rests = [ids[self._n_shared :] for ids in prompts]
        width = max(map(len, rests))
        ids, real = np.zeros((2, len(rests), width), np.int64)
        for row, rest in enumerate(rests):
            ids[row, width - len(rest) :] = rest
            real[row, width - len(rest) :] = 1
        cache = transformers.DynamicCache()
        if self._n_shared:
            prefix = torch.tensor([prompts[0][: self._n_shared]], device=device)
            model(input_ids=prefix, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache.batch_repeat_interleave(len(rests))
            real = np.concatenate([np.ones((len(rests), self._n_shared), np.int64), real], axis=1)
        self._cache = cache
        self._real = torch.from_numpy(real).to(device)
        positions = (self._real.cumsum(1) - 1).clamp(min=0)[:, self._n_shared :]
        self._logits = self._forward(torch.from_numpy(ids).to(device), positions, 1)[:, -1]
        self._next = positions[:, -1:] + 1

    def last(self) -> tuple[NDArray[np.float32], int]:
        """Logits after each prompt, shape (b, v), and how many tokens were shared."""
        return self._logits, self._n_shared

    def step(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Add tokens to each, at least one, and return the logits after each of them, shape (b, most, v).

        What stands behind a row's own tokens is of no meaning.
        """
        width = max(map(len, tokens))
        ids, real = np.zeros((2, len(tokens), width), np.int64)
        for row, added in enumerate(tokens):
            ids[row, : len(added)] = added
            real[row, : len(added)] = 1
        self._real = torch.cat([self._real, torch.from_numpy(real).to(self._device)], dim=1)
        positions = self._next + torch.arange(width, device=self._device)
        return self._forward(torch.from_numpy(ids).to(self._device), positions, width)

    def keep(self, n_kept: Sequence[int]) -> None:
        """Of the tokens of the last step, let only the first so many of each row be seen from now on."""
        kept = torch.tensor(n_kept, device=self._device)[:, None]
        width = self._real.shape[1] - self._n_before
        self._real[:, self._n_before :] = torch.arange(width, device=self._device) < kept
        self._next = self._next + kept

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, n_logits: int) -> NDArray[np.float32]:
        self._n_before = self._real.shape[1] - ids.shape[1]
        out = self._model(
            input_ids=ids, attention_mask=self._real, position_ids=positions, past_key_values=self._cache,
            use_cache=True, logits_to_keep=n_logits,
        )  # fmt: skip
        return np.asarray(out.logits[:, -n_logits:].float().cpu().numpy())


def _sees_everything(config: Any) -> bool:
    """Whether every layer looks at all tokens before: tokens that were not kept leave gaps among them.

    A window that counts places would be shorter by the gaps, and a state that was moved on cannot go back.
    """
    layers = getattr(config, "layer_types", None)
    if layers is not None:
        return all(layer == "full_attention" for layer in layers)
    windows = ("sliding_window", "attention_chunk_size")
    return all(getattr(config, window, None) is None for window in windows)


def _n_common(prompts: Sequence[list[int]]) -> int:
    first, last = min(prompts), max(prompts)  # in order, what these two share all others share
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))


class _Writer:
    """Writes one answer: picks each token from its logits, under a grammar or freely, until `stop`."""

    def __init__(self, request: Request, matcher: Any, end_ids: frozenset[int]) -> None:
        self._request, self._matcher, self._end_ids = request, matcher, end_ids
        self._random = np.random.default_rng(request.seed)
        self.ids: list[int] = []
        self.stop: Any = None

    def next(self, logits: NDArray[np.float32]) -> int:
        """The token that follows; any token, unread, after the end."""
        if self.stop is not None:
            return self.ids[-1] if self.ids else 0
        token = self._pick(self._allowed(logits))
        if token in self._end_ids:
            self.stop = "done"
            return token
        self.ids.append(token)
        if self._matcher is not None:
            self._matcher.consume_token(token)
            if self._matcher.is_stopped():
                self.stop = "done"
        if self.stop is None and len(self.ids) >= self._request.max_tokens:
            self.stop = "cut"
        return token

    def settled(self, n_most: int) -> list[int]:
        """What the grammar has settled of what follows, at most so many tokens; nothing after the end."""
        if self.stop is not None or self._matcher is None or n_most == 0:
            return []
        left = self._request.max_tokens - len(self.ids)
        tokens: list[int] = self._matcher.compute_ff_tokens()[: min(n_most, left)]
        return tokens

    def follow(self, ahead: Sequence[int], logits: NDArray[np.float32]) -> tuple[int, int]:
        """Write on while it writes what lies ahead.

        Args:
            ahead: the token written last, then what was settled.
            logits: after each of them, shape (at least as many, v).

        Returns:
            How many of the tokens ahead were written, and the token that follows them.
        """
        for n_kept, row in enumerate(logits[: len(ahead)], 1):
            token = self.next(row)
            if self.stop is not None or n_kept == len(ahead) or token != ahead[n_kept]:
                break
        return n_kept, token

    def _allowed(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._matcher is None:
            return logits
        mask = llguidance.numpy.allocate_token_bitmask(1, len(logits))
        llguidance.numpy.fill_next_token_bitmask(self._matcher, mask)
        allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[: len(logits)].astype(bool)
        return np.where(allowed, logits, -np.inf).astype(np.float32)

    def _pick(self, logits: NDArray[np.float32]) -> int:
        if self._request.temperature == 0:
            return int(np.argmax(logits))
        scaled = logits.astype(np.float64) / self._request.temperature
        weights = np.exp(scaled - scaled.max()).cumsum()
        return int(np.searchsorted(weights, self._random.random() * weights[-1], side="right"))


def _batches(prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    """Prompts of one kind side by side, of like length where they may be parted, within the budget."""
    for kind in (True, False):
        batch: list[Prompt] = []
        for prompt in (p for p in prompts if bool(p.request.choices) == kind):
            longest = max(len(p.ids) + p.request.max_tokens for p in (*batch, prompt))
            if batch and (len(batch) == _MAX_BATCH or longest * (len(batch) + 1) > _MAX_SLOTS):
                yield batch
                batch = []
            batch.append(prompt)
        if batch:
            yield batch


@lru_cache(maxsize=16)
def _grammar(schema: str) -> str:
    return str(llguidance.LLMatcher.grammar_from_json_schema(schema, defaults=_COMPACT))
