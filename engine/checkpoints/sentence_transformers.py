"""A sentence-transformers folder: what turns the vectors of tokens into the vector of a text.

    modules.json                        the modules in order: Transformer, Pooling, then Dense and Normalize
    sentence_bert_config.json           the longest input, lower case
    1_Pooling/config.json               one or more ways to pool
    2_Dense/config.json, *.safetensors  a linear layer and its activation
    config_sentence_transformers.json   prompts

Only JSON is read here. What would change an embedding and is not known to this program is refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal.engine.errors import InputError
from seal.engine.files import parse_json

MODULES = "modules.json"
NORMALIZE = "normalize"
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "lasttoken")  # also the order they are joined in
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")

_OLD_POOLINGS = {  # as sentence-transformers wrote them before 5.0, in the order it joins them
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_TEXT_ONLY = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
_UNBOUNDED = 10**9  # transformers writes "no limit" as a far larger number
_SETTINGS = {  # of sentence_bert_config.json: what may stand there without changing an embedding
    "transformer_task": ("feature-extraction",),
    "module_output_name": ("token_embeddings",),
    "modality_config": (_TEXT_ONLY,),
}
_HARMLESS = ("max_seq_length", "do_lower_case", "unpad_inputs")


@dataclass(frozen=True)
class Dense:
    """A linear layer behind the pooling.

    Attributes:
        folder: where its weights lie, relative to the embedder's folder.
        in_features, out_features: widths.
        bias: whether it has one.
        activation: one of `ACTIVATIONS`.
    """

    folder: str
    in_features: int
    out_features: int
    bias: bool
    activation: str


@dataclass(frozen=True)
class Embedder:
    """What stands behind the transformer of a sentence-transformers folder.

    Attributes:
        root: the folder.
        transformer: the folder of the transformer, relative to it ("" where it is the same).
        pooling: ways to pool, their vectors joined in this order.
        layers: what follows, in order: a `Dense`, or `NORMALIZE`.
        usual_tokens: its longest input by its own settings; None where they set none.
        lower_case: whether texts are lowered before the tokenizer.
    """

    root: Path
    transformer: str
    pooling: tuple[str, ...]
    layers: tuple[Dense | str, ...]
    usual_tokens: int | None
    lower_case: bool

    @property
    def folders(self) -> list[str]:
        """Folders that hold weights, relative to the root."""
        return [self.transformer, *(layer.folder for layer in self.layers if isinstance(layer, Dense))]

    def describe(self) -> dict[str, Any]:
        """What an exported folder says of it, as plain JSON values."""
        layers = [vars(layer) if isinstance(layer, Dense) else layer for layer in self.layers]
        return {"pooling": list(self.pooling), "layers": layers, "lower_case": self.lower_case}


def read_embedder(root: Path) -> Embedder | None:
    """Read a sentence-transformers folder; None where no `modules.json` names a pooling.

    Raises:
        InputError: it asks for what is not known here (a module, a pooling, a prompt, its own code), by name.
    """
    if not (root / MODULES).is_file():
        return None
    modules = _modules(root)
    kinds = [kind for kind, _ in modules]
    if "Pooling" not in kinds:
        return None
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise InputError(f"{root}: an embedder is a Transformer, then a Pooling; here is {', '.join(kinds)}")
    (_, transformer), (_, pooling), *rest = modules
    _check_prompts(root)
    _check_transformer(root / transformer)
    settings = read_json(root / transformer / "sentence_bert_config.json")
    layers = [_layer(root, kind, path) for kind, path in rest if kind != "Dropout"]
    usual_tokens, lower_case = (
        _usual_tokens(root / transformer, settings),
        bool(settings.get("do_lower_case")),
    )
    return Embedder(root, transformer, _pooling(root / pooling), tuple(layers), usual_tokens, lower_case)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file.

    Raises:
        InputError: it cannot be read, or is no object.
    """
    value = _load(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object")
    return value


def _load(path: Path) -> Any:
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _modules(root: Path) -> list[tuple[str, str]]:
    """Class name and folder of each module, in order; classes and folders of others are refused."""
    path = root / MODULES
    try:
        named = [(str(entry["type"]), str(entry["path"])) for entry in _load(path)]
    except (KeyError, TypeError):
        raise InputError(f"{path} is not a list of modules, each with a type and a path") from None
    for kind, folder in named:
        if not kind.startswith("sentence_transformers."):
            raise InputError(
                f"{root} asks for its own Python code ('{kind}' in {MODULES}); no code from a model folder "
                "is run"
            )
        if not (root / folder).resolve().is_relative_to(root.resolve()):
            raise InputError(f"{path} names '{folder}', which lies outside the folder")
    return [(kind.rpartition(".")[2], folder) for kind, folder in named]


def _check_prompts(root: Path) -> None:
    config = read_json(root / "config_sentence_transformers.json")
    name, prompts = config.get("default_prompt_name"), config.get("prompts")
    prompt = prompts.get(name) if isinstance(prompts, Mapping) else None
    if prompt:
        raise InputError(
            f"{root} puts a prompt before every text (default_prompt_name '{name}': {prompt!r}), which is "
            "not supported; set default_prompt_name to null in its config_sentence_transformers.json, "
            "or take another embedder"
        )


def _check_transformer(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        raise InputError(f"{folder} holds an adapter (adapter_config.json); merge it into the weights first")
    side = read_json(folder / "tokenizer_config.json").get("truncation_side", "right")
    if side != "right":
        raise InputError(f"{folder}: its tokenizer cuts long texts on the {side}; only right is supported")
    for name, value in read_json(folder / "sentence_bert_config.json").items():
        if name in _HARMLESS or not value or value in _SETTINGS.get(name, ()):
            continue
        raise InputError(f"{folder}/sentence_bert_config.json: {name} {value!r} is not supported")


def _usual_tokens(folder: Path, settings: Mapping[str, Any]) -> int | None:
    """The longest input as sentence-transformers takes it: its setting, else the tokenizer's and model's."""
    asked = settings.get("max_seq_length")
    if asked is not None:
        return _whole(folder / "sentence_bert_config.json", "max_seq_length", asked)
    tokenizer = read_json(folder / "tokenizer_config.json").get("model_max_length")
    positions = read_json(folder / "config.json").get("max_position_embeddings")
    limits = [n for n in (tokenizer, positions) if isinstance(n, int) and 0 < n < _UNBOUNDED]
    return min(limits, default=None)


def _pooling(folder: Path) -> tuple[str, ...]:
    path = folder / "config.json"
    config = read_json(path)
    if not config:
        raise InputError(f"{path} is missing: it says how to pool")
    modes = config.get("pooling_mode") or [mode for name, mode in _OLD_POOLINGS.items() if config.get(name)]
    modes = [modes] if isinstance(modes, str) else list(modes) or ["mean"]
    if strange := [str(mode) for mode in modes if mode not in POOLINGS]:
        raise InputError(f"{path}: pooling '{strange[0]}' is not supported; there are {', '.join(POOLINGS)}")
    return tuple(modes)


def _layer(root: Path, kind: str, folder: str) -> Dense | str:
    if kind == "Normalize":
        return NORMALIZE
    if kind != "Dense":
        raise InputError(
            f"{root}: module '{kind}' is not supported behind the pooling; Dense and Normalize are"
        )
    path = root / folder / "config.json"
    config = read_json(path)
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    library, _, name = activation.rpartition(".")
    if not library.startswith("torch.nn.") or name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(f"{path}: activation '{activation}' is not supported; there are {known}")
    for end in ("module_input_name", "module_output_name"):
        if (of := config.get(end)) not in (None, "sentence_embedding"):
            raise InputError(f"{path}: a Dense layer of '{of}' is not supported, only of the embedding")
    widths = [_whole(path, end, config.get(end)) for end in ("in_features", "out_features")]
    return Dense(folder, widths[0], widths[1], bool(config.get("bias", True)), name)


def _whole(path: Path, name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{path}: {name} is {value!r}, not a whole number above 0")
    return value
