"""`seal.json`: what scoring needs to know of a model, written beside the ONNX file by `seal export`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from seal.engine.checkpoints.cached import not_here
from seal.engine.checkpoints.heads import Heads
from seal.engine.errors import InputError
from seal.engine.files import file_sha256, parse_json, sealed, unsealed, write_atomic

SPEC = "seal.json"
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
TUNING, ENGINES = "tuning.json", "tensorrt"
"""What stands beside a model and is no part of it: how to run it fastest, and engines built for a GPU."""
UNBOUNDED_DEFAULT = 4096

Graph = Literal["fast", "reference"]
Precision = Literal["fp32", "fp16", "int8"]
PairTemplate = Literal["pair", "concat", "text"]
Kind = Literal["reward", "embedding"]
WHAT: dict[Kind, str] = {"reward": "a reward model", "embedding": "an embedder"}


@dataclass(frozen=True)
class ModelSpec:
    """A reward model or an embedder as the engine sees it.

    Attributes:
        architecture: the `model_type` of its configuration, e.g. `deberta-v2`.
        graph: which graph the folder holds.
        precision: of the weights and the arithmetic.
        pair_template: how the tokenizer gets prompt and response: `pair`, two segments; `concat`, one text,
            cut from the left; `text`, one text, cut from the right (embedders).
        max_tokens: the longest input its positions allow; None where there is no such limit.
        pad_token_id: what pads on the right.
        label: the name of its one logit; empty for an embedder, and where there are several.
        weights_sha256: file name -> hash of the weights that were exported.
        files: file name -> hash of every file of the exported folder but this one.
        versions: of the packages that exported it.
        parity: what was measured against torch (see `seal.engine.export.exporting`).
        kind: what it gives a text: one logit, or a vector.
        usual_tokens: the longest input by the model's own settings; None where they set none.
        head: how an embedder pools and what follows (`sentence_transformers.py`); empty for a reward model.
        heads: the names of its logits where there are several.
        positive: which of them is that of the positive class; None where they are no two classes.
        origin: `org/name@COMMIT` of a model that the Hugging Face cache held; empty for a folder.
    """

    architecture: str
    graph: Graph
    precision: Precision
    pair_template: PairTemplate
    max_tokens: int | None
    pad_token_id: int
    label: str
    weights_sha256: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "reward"
    usual_tokens: int | None = None
    head: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    heads: Sequence[str] = ()
    positive: int | None = None

    @property
    def logits(self) -> Heads:
        """Its logits; a single unnamed one for an embedder."""
        return Heads(tuple(self.heads) or (self.label,), self.positive)

    def longest_input(self, asked: int | None = None) -> int:
        """The limit in tokens: what the user asked for, else its usual length, within what it can take.

        A model without a limit is held to 4,096 tokens, where attention already takes gigabytes.
        """
        able = self.max_tokens or max(asked or 0, UNBOUNDED_DEFAULT)
        return min(asked or self.usual_tokens or able, able)

    def check(self) -> None:
        """Refuse values that scoring could not use.

        Raises:
            ValueError: one of them, with its name.
        """
        allowed = {"pair_template": PairTemplate, "precision": Precision, "kind": Kind}
        for name, choice in allowed.items():
            if getattr(self, name) not in get_args(choice):
                raise ValueError(f"{name} is {getattr(self, name)!r}")
        for name in ("max_tokens", "usual_tokens"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value > 0):
                raise ValueError(f"{name} is {value!r}")
        if not (isinstance(self.pad_token_id, int) and self.pad_token_id >= 0):
            raise ValueError(f"pad_token_id is {self.pad_token_id!r}")
        heads, names = self.heads, set(map(str, self.heads))
        if not (isinstance(heads, list | tuple) and len(heads) == len(names) != 1 and names <= {*heads}):
            raise ValueError(f"heads is {heads!r}")
        if self.positive is not None and not (len(heads) == 2 and self.positive in (0, 1)):
            raise ValueError(f"positive is {self.positive!r}")
        if not (isinstance(self.files, Mapping) and {MODEL, TOKENIZER} <= self.files.keys()):
            raise ValueError(f"files does not name {MODEL} and {TOKENIZER}")

    def save(self, folder: Path) -> None:
        """Write it with the hashes of all that lies in the folder."""
        files = {p.name: file_sha256(p) for p in sorted(folder.iterdir()) if p.is_file() and p.name != SPEC}
        write_atomic(folder / SPEC, sealed(asdict(self) | {"files": files}))


def load_spec(folder: Path) -> ModelSpec:
    """Read the specification of an exported folder.

    Raises:
        InputError: the path is no folder, or holds no export that this program could have written.
    """
    if not folder.is_dir():
        raise InputError(f"{not_here(folder)}, then: seal export FOLDER --out ONNX_FOLDER")
    path = folder / SPEC
    if not path.is_file():
        raise InputError(f"{folder} holds no {SPEC}; export it first: seal export {folder} --out ONNX_FOLDER")
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(ModelSpec)}  # exports of before embedders lack the last of them
        spec = ModelSpec(**{name: value for name, value in dict(values).items() if name in known})
        spec.check()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not what seal export writes ({error}); export again") from None
    return replace(spec, heads=tuple(spec.heads))


def is_changed(folder: Path) -> bool:
    """Whether `seal.json` itself is not what was written."""
    return unsealed((folder / SPEC).read_bytes(), [f.name for f in fields(ModelSpec)])


def verify_files(folder: Path, spec: ModelSpec) -> list[str]:
    """Names of files whose bytes are no longer those that were exported."""
    return changed_files(folder, spec.files)


def changed_files(folder: Path, hashes: Mapping[str, str]) -> list[str]:
    """Names of files of a folder that are missing, or whose SHA-256 is another."""
    return [n for n, known in hashes.items() if not (p := folder / n).is_file() or file_sha256(p) != known]
