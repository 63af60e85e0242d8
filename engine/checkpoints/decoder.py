"""A decoder in transformers' folder form: what it may hold, and what labeling needs to know of it.

Only JSON is read here; no weight is loaded and no code of the folder is ever run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from seal.engine.checkpoints.adapter import how_to_merge
from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.errors import InputError
from seal.engine.files import file_sha256

_DECODERS = ("ForCausalLM", "ForConditionalGeneration")
_DESCRIBING = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    "special_tokens_map.json", "added_tokens.json", "tokenizer.model", "vocab.json", "merges.txt",
)  # fmt: skip
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_UNKNOWN_CONTEXT = 2048


@dataclass(frozen=True)
class Decoder(Checkpoint):
    """A local decoder that may be loaded; made by `Decoder.open`, which refuses what must not be."""

    instead_of_pickles: ClassVar[str] = "bring the same model over as safetensors"

    @classmethod
    def what_of_adapters(cls, folder: Path) -> str:
        return how_to_merge(folder, "AutoPeftModelForCausalLM")

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together, as its configuration says."""
        text = self.config.get("text_config") or {}
        found = [source.get(key) for key in _CONTEXT_KEYS for source in (self.config, text)]
        return next((n for n in found if isinstance(n, int) and n > 0), _UNKNOWN_CONTEXT)

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """Hash of the weights, and of every file that decides how text becomes tokens and back."""
        described = {n: file_sha256(self.folder / n) for n in _DESCRIBING if (self.folder / n).is_file()}
        return self.weights_sha256() | described

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        origin = {"origin": self.origin} if self.origin else {}
        return {"architecture": self.architecture, "sha256": dict(self.hashes), **origin}

    def _check_head(self) -> None:
        names = self.config.get("architectures") or []
        if not any(name.endswith(_DECODERS) for name in names):
            raise InputError(
                f"{self.folder} is a {', '.join(names) or 'model of no named architecture'}, not a decoder; "
                "a labeler or rewriter generates text (architecture ...ForCausalLM)"
            )
