"""A model in transformers' folder form, reward model or embedder: what it may hold, and the facts needed.

Only JSON is read here; no weight is loaded and no code of the folder is ever run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from seal.engine.checkpoints.adapter import how_to_merge, is_adapter
from seal.engine.checkpoints.cached import not_here, origin_of
from seal.engine.checkpoints.exported import Kind
from seal.engine.checkpoints.heads import Heads
from seal.engine.checkpoints.sentence_transformers import Embedder, read_embedder, read_json
from seal.engine.checkpoints.weights import check_sizes
from seal.engine.errors import InputError
from seal.engine.files import file_sha256

_CLASSIFIER = "AutoPeftModelForSequenceClassification"
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_RELATIVE_ONLY = ("deberta", "deberta-v2")
_OFFSET_POSITIONS = (
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "data2vec-text", "longformer", "mpnet", "ibert",
    "esm",
)  # fmt: skip


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_NEEDED: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "architectures": (
        "a list of names",
        lambda v: isinstance(v, list) and all(isinstance(n, str) for n in v),
    ),
    "model_type": ("a name", lambda v: isinstance(v, str)),
    "id2label": ("an object", lambda v: isinstance(v, dict)),
    "text_config": ("an object", lambda v: isinstance(v, dict)),
    "num_labels": ("a whole number", _is_whole),
    "pad_token_id": ("a whole number", _is_whole),
    "max_position_embeddings": ("a whole number", _is_whole),
}


@dataclass(frozen=True)
class Checkpoint:
    """A local reward model, or the transformer of a local embedder, that may be loaded.

    Attributes:
        folder: where it lies.
        config: its `config.json`.
        embedder: what follows the transformer; None for a reward model.
    """

    folder: Path
    config: dict[str, Any]
    embedder: Embedder | None = None

    instead_of_pickles: ClassVar[str] = (
        "set convert (--convert) to read them with weights_only and export from safetensors"
    )

    @classmethod
    def open(cls, folder: Path, *, weights: bool = True) -> Self:
        """Read the configuration and refuse what cannot or must not be loaded.

        Args:
            folder: a folder with `config.json`, a tokenizer and safetensors weights, or one of
                sentence-transformers, whose `modules.json` says where these are.
            weights: whether safetensors must be there.

        Raises:
            InputError: no folder, no configuration, remote code, pickled weights only, sizes that the weights
                do not have, an adapter, or a head that is neither a classifier's nor an embedder's; each with
                what to do.
        """
        if not folder.is_dir():
            raise InputError(not_here(folder))
        embedder = read_embedder(folder)
        if not embedder and is_adapter(folder):
            raise InputError(f"{folder} is an adapter, not a whole model; {cls.what_of_adapters(folder)}")
        inner = [folder / name for name in embedder.folders] if embedder else [folder]
        folder = inner[0]
        config = read_config(folder)
        if any("auto_map" in read_json(folder / n) for n in ("config.json", "tokenizer_config.json")):
            raise InputError(
                f"{folder} asks for its own Python code ('auto_map' in its configuration); no code from a "
                "model folder is run. Use a model whose architecture transformers itself has"
            )
        for part in inner if weights else []:
            _check_weights(part, cls.instead_of_pickles)
        if weights:
            check_sizes(folder, config)
        checkpoint = cls(folder, config, embedder)
        checkpoint._check_head()
        return checkpoint

    @classmethod
    def what_of_adapters(cls, folder: Path) -> str:
        """What to do about an adapter in place of a whole model."""
        return f"set merge (--merge) to export it with its base, or {how_to_merge(folder, _CLASSIFIER)}"

    @property
    def kind(self) -> Kind:
        """What it gives a text."""
        return "embedding" if self.embedder else "reward"

    @property
    def origin(self) -> str:
        """`org/name@COMMIT` where it lies in the Hugging Face cache; empty elsewhere."""
        return origin_of(self.embedder.root if self.embedder else self.folder)

    @property
    def architecture(self) -> str:
        """Its `model_type`."""
        return str(self.config.get("model_type", "unknown"))

    @property
    def max_tokens(self) -> int | None:
        """The longest input its position embeddings allow; None for purely relative positions."""
        if self.architecture in _RELATIVE_ONLY and not self.config.get("position_biased_input", True):
            return None
        positions = self.config.get("max_position_embeddings", 512)
        if self.architecture in _OFFSET_POSITIONS:  # positions are counted from above the padding's id
            pad_token_id = self.config.get("pad_token_id")
            positions -= (1 if pad_token_id is None else pad_token_id) + 1
        return int(positions)

    @cached_property
    def heads(self) -> Heads:
        """Its logits.

        Raises:
            InputError: the configuration does not say what they are.
        """
        try:
            return Heads() if self.embedder else Heads.of(self.config)
        except InputError as error:
            raise InputError(f"{self.folder / 'config.json'}: {error}") from None

    def weights_sha256(self) -> dict[str, str]:
        """Hash of each weights file, by its name (in an embedder: by its path)."""
        root = self.embedder.root if self.embedder else self.folder
        folders = self.embedder.folders if self.embedder else [""]
        files = [path for name in folders for path in sorted((root / name).glob("*.safetensors"))]
        return {path.relative_to(root).as_posix(): file_sha256(path) for path in files}

    def _check_head(self) -> None:
        if self.embedder and self.config.get("is_encoder_decoder"):
            what = f"an encoder with a decoder ('{self.architecture}')"
            raise InputError(f"{self.folder} is {what}, which is not supported")
        if self.embedder:
            return
        names = self.config.get("architectures") or []
        if names and not any(n.endswith("ForSequenceClassification") for n in names):
            raise InputError(
                f"{self.folder} is a {', '.join(names)}, not a sequence classifier; a reward model has a "
                "sequence-classification head, an embedder a modules.json that names a pooling"
            )
        _ = self.heads  # refused before anything is loaded


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a model folder.

    Raises:
        InputError: there is none, it cannot be read, or a value of it is of another type than is needed.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no config.json: is it a model folder?")
    config = read_json(path)
    for name, (what, fits) in _NEEDED.items():
        if (value := config.get(name)) is not None and not fits(value):
            raise InputError(f"{path}: {name} is {str(value)[:60]!r}; {what} is needed")
    return config


def _check_weights(folder: Path, instead_of_pickles: str) -> None:
    if list(folder.glob("*.safetensors")):
        return
    pickles = sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern))
    if not pickles:
        raise InputError(f"{folder} holds no *.safetensors weights")
    raise InputError(
        f"{folder} holds pickled weights only ({', '.join(pickles[:3])}), which can run code when loaded; "
        f"{instead_of_pickles}"
    )
