"""Whether an exported graph gives what torch gives, at several lengths, alone and padded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from seal.engine.checkpoints.exported import PairTemplate
from seal.engine.pooling.contract import Compute
from seal.engine.pooling.tokenizing import EncodedTexts, PairEncoder

PARITY_LENGTHS = (5, 16, 64, 128, 256, 400, 512, 700, 1100)
_LONGEST_CHECKED = 2048  # attention takes memory by the square, and torch's takes it layer by layer


@dataclass(frozen=True)
class Parity:
    """Rewards or embeddings of the exported graph against torch on the same tokens.

    Attributes:
        cases: one per case: its name, number of texts, longest text, largest absolute difference.
        max_abs_diff: over all cases (and all numbers of an embedding).
        max_rel_diff: largest difference over max(1, |torch's value|).
        flipped_pairs: share of all pairs of texts whose order differs between the two, over all logits; None
            for embeddings.
        tolerance: what `max_rel_diff` was held to.
    """

    cases: list[dict[str, Any]]
    max_abs_diff: float
    max_rel_diff: float
    flipped_pairs: float | None
    tolerance: float

    @property
    def worst(self) -> str:
        """The case of the largest difference (or of one that is no number)."""
        return str(max(self.cases, key=lambda c: np.nan_to_num(c["diff"], nan=np.inf))["case"])

    @property
    def passed(self) -> bool:
        """Whether the graph may be used (a difference that is not a number fails)."""
        return self.max_rel_diff <= self.tolerance


def measure_parity(
    reference: Compute, graph: Compute, tokenizer_json: str, template: PairTemplate,
    max_tokens: int | None, pad_token_id: int, tolerance: float, lengths: Sequence[int] = PARITY_LENGTHS,
    *, ordered: bool = True,
) -> Parity:  # fmt: skip
    """Hold a graph's values against torch's on texts of random vocabulary, alone and in one padded batch.

    Torch always has a text alone: a model whose value changes with the padding beside it must not pass.

    Args:
        reference: torch; a reward, several or an embedding a text.
        graph: what was exported.
        tokenizer_json: content of the `tokenizer.json`.
        template: how prompt and response reach the tokenizer.
        max_tokens: the model's limit; longer cases are left out, and one of exactly that length is added
            (up to 2,048 tokens).
        pad_token_id: what pads.
        tolerance: see `Parity.tolerance`.
        lengths: of the texts, in tokens.
        ordered: whether each number of a text orders it among others, as a reward does.
    """
    limit = min(max_tokens or max(lengths), _LONGEST_CHECKED)
    lengths = sorted({n for n in lengths if n < limit} | {limit})
    texts = EncodedTexts.joined([_random_text(tokenizer_json, template, n) for n in lengths])
    cases = {f"{n} tokens": np.array([i]) for i, n in enumerate(lengths)}
    cases["padded batch"] = np.flatnonzero(texts.lengths <= 512)
    alone = [reference(texts.batch(np.array([i]), pad_token_id)) for i in range(len(lengths))]
    values = np.concatenate(alone).astype(np.float64)
    measured, expected, found = [], [], []
    for name, rows in cases.items():
        batch = texts.batch(rows, pad_token_id)
        want, got = values[rows], graph(batch).astype(np.float64)
        expected.append(want)
        found.append(got)
        case = {"case": name, "n_texts": len(rows), "longest": batch.width}
        measured.append(case | {"diff": float(np.abs(want - got).max())})
    want, got = np.concatenate(expected), np.concatenate(found)
    off = np.abs(want - got)
    flipped = _flipped(want[: len(lengths)], got[: len(lengths)]) if ordered else None
    relative = float((off / np.maximum(1, np.abs(want))).max())
    return Parity(measured, float(off.max()), relative, flipped, tolerance)


def unit(compute: Compute) -> Compute:
    """The same embeddings, at length 1: what a cosine is made of, and what differences are comparable in."""

    def normalised(batch: Any) -> NDArray[np.float32]:
        vectors = compute(batch).astype(np.float64)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    return normalised


def describe(parity: Parity) -> str:
    """The parity report as lines for people."""
    lines = [f"{c['case']:>14}  {c['n_texts']:>3} texts  difference {c['diff']:.1e}" for c in parity.cases]
    flipped = "" if parity.flipped_pairs is None else f", pairs flipped {parity.flipped_pairs:.1%}"
    return "\n".join([*lines, f"largest {parity.max_abs_diff:.1e}{flipped}"])


def _flipped(want: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    """Values of shape (n,) or (n, h)."""
    order_want, order_got = (np.sign(x[:, None] - x[None]) for x in (want, got))
    return float((order_want != order_got).mean())


def _random_text(tokenizer_json: str, template: PairTemplate, n_tokens: int) -> EncodedTexts:
    """A text of exactly n tokens: random vocabulary read as text, and cut by the encoder itself."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    ids = np.random.default_rng(n_tokens).integers(0, tokenizer.get_vocab_size(), 4 * n_tokens + 16)
    words = tokenizer.decode(ids.tolist())
    half = len(words) // 8  # a response of about half the text; the prompt is cut to what is left
    return PairEncoder(tokenizer_json, template, n_tokens).encode([words[half:]], [words[:half]])
