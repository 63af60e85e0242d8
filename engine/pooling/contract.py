"""The contract between the engine and what runs a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seal.engine.errors import InputError, SealError


@dataclass(frozen=True)
class Batch:
    """Texts of like length, padded on the right.

    Attributes:
        input_ids: int64, shape (b, s).
        attention_mask: 1 for a real token, int64, shape (b, s).
        token_type_ids: segment of each token, int64, shape (b, s).
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def width(self) -> int:
        """Tokens of its longest text."""
        return int(self.input_ids.shape[1])


Compute = Callable[[Batch], NDArray[np.float32]]  # one value or one vector a text: shape (b,) or (b, d)


class Backend(Protocol):
    """A loaded model.

    Attributes:
        concurrency: how many batches may run at the same time, from as many threads.
    """

    concurrency: int

    def facts(self) -> Mapping[str, Any]:
        """What the manifest should say of it (device, provider), everything that can change a result."""


class RewardBackend(Backend, Protocol):
    """A loaded reward model."""

    def rewards(self, batch: Batch) -> NDArray[np.float32]:
        """The raw logit of each text, float32, shape (b,); (b, h) where the model has h > 1 of them.

        A text's reward does not depend on what it is batched with (fp32: to 1e-5).

        Raises:
            OutOfMemoryError: the batch does not fit; a smaller one may.
        """


class EmbeddingBackend(Backend, Protocol):
    """A loaded embedder: pooling, and whatever follows it, are part of what runs.

    Attributes:
        n_dimensions: d, numbers in an embedding.
    """

    n_dimensions: int

    def embeddings(self, batch: Batch) -> NDArray[np.float32]:
        """The embedding of each text, float32, shape (b, d); of length 1 where the model normalises.

        A text's embedding does not depend on what it is batched with (fp32: to 1e-5).

        Raises:
            OutOfMemoryError: the batch does not fit; a smaller one may.
        """


def one_row_each(logits: NDArray[Any], batch: Batch, n_logits: int, model: object) -> NDArray[np.float32]:
    """A model's logits as float32, shape (b,), or (b, h) where it has h > 1 of them.

    Raises:
        InputError: they are not so many.
    """
    if np.size(logits) != len(batch) * n_logits:
        wanted = "not one logit each" if n_logits == 1 else f"not {n_logits} logits each"
        raise InputError(f"{model} gives {np.shape(logits)} for {len(batch)} texts, {wanted}")
    shape = (len(batch),) if n_logits == 1 else (len(batch), n_logits)
    return np.asarray(logits, dtype=np.float32).reshape(shape)


class OutOfMemoryError(SealError):
    """A batch does not fit into the memory of the device."""
