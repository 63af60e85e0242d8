"""A model that an adapter was merged into, or will be; it is known by what it is made of."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from seal.engine.checkpoints.adapter import Adapter
from seal.engine.checkpoints.cached import origin_of
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.errors import InputError


@dataclass(frozen=True)
class Merged(Checkpoint):
    """A base as a classifier, before or after an adapter was merged into it; known by what it is made of."""

    adapter: Adapter | None = None

    instead_of_pickles: ClassVar[str] = "bring the same model over as safetensors"

    @classmethod
    def of(cls, adapter: Adapter, *, weights: bool = True) -> Self:
        """The base of an adapter, opened: refused for the same reasons as any checkpoint.

        Raises:
            InputError: see `Checkpoint.open`.
        """
        return replace(cls.open(adapter.base, weights=weights), adapter=adapter)

    @property
    def origin(self) -> str:
        """Of the adapter and of the base, where they lie in the Hugging Face cache."""
        adapter = self.adapter
        found = [origin_of(adapter.folder), origin_of(adapter.base)] if adapter else []
        return " + ".join(filter(None, found))

    def weights_sha256(self) -> dict[str, str]:
        return self.adapter.sources_sha256() if self.adapter else super().weights_sha256()

    def _check_head(self) -> None:
        if self.embedder:
            raise InputError(f"{self.folder} is an embedder; only adapters of reward models are merged here")
