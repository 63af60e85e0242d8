"""Which graph a checkpoint gets, and writing it as ONNX, dynamic in batch and length.

`fast` is this project's own forward of DeBERTa-v2 (`seal.engine.export.deberta`), through torch alone;
`reference` is optimum's of whatever family it knows. What has no fast graph gets the reference, and a note.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from seal.engine.checkpoints.checkpoint import Checkpoint
from seal.engine.checkpoints.exported import Graph
from seal.engine.errors import InputError, MissingExtraError
from seal.engine.export.deberta_config import FAMILY, refusal
from seal.engine.pooling.contract import Batch
from seal.engine.pooling.torch import load_model

_OPSET = 17


def choose_graph(asked: Graph | None, config: Mapping[str, Any]) -> tuple[Graph, list[str]]:
    """The graph a checkpoint gets, and what its owner should know about that.

    Args:
        asked: what the user asked for; None for the fastest there is.
        config: of the checkpoint.
    """
    if asked == "reference":
        return "reference", []
    if not (reason := refusal(config)):
        return "fast", []
    expected = asked == "fast" or config.get("model_type") == FAMILY
    return "reference", [f"{reason}; the reference graph was exported"] * expected


def write_graph(checkpoint: Checkpoint, graph: Graph, target: Path) -> None:
    """Write one of a checkpoint's graphs.

    Args:
        checkpoint: the model.
        graph: which, as `choose_graph` has it.
        target: the file to write.

    Raises:
        InputError: the architecture cannot be exported.
        MissingExtraError: the extra `export` is not installed.
    """
    with _quiet():
        model = load_model(checkpoint)
        if graph == "reference":
            _write_reference(model, checkpoint, target)
            return
        from seal.engine.export import deberta

        try:
            deberta.write_graph(model, target)
        except Exception as error:  # noqa: BLE001 - tracing runs the model, and what fails there has no common type
            raise InputError(f"no fast graph of this '{checkpoint.architecture}': {error}") from None


def _write_reference(model: Any, checkpoint: Checkpoint, target: Path) -> None:
    architecture = checkpoint.architecture
    is_embedder = checkpoint.kind == "embedding"
    task = "feature-extraction" if is_embedder else "text-classification"
    try:
        from optimum.exporters.onnx import export as optimum_export
        from optimum.exporters.tasks import TasksManager
    except ImportError as error:
        raise MissingExtraError(str(error.name), "export", "exporting a model") from None
    try:
        make_config = TasksManager.get_exporter_config_constructor(
            "onnx", model, task=task, library_name="transformers"
        )
    except (KeyError, ValueError):
        what = "embedder" if is_embedder else "sequence classifier"
        raise InputError(f"optimum exports no '{architecture}' {what}") from None
    config = make_config(model.config)
    if is_embedder:
        _without_positions(config)
    if strange := config.inputs.keys() - Batch.__dataclass_fields__.keys():
        names = ", ".join(sorted(strange))
        raise InputError(f"'{architecture}' cannot be exported: its graph wants {names}")
    try:
        optimum_export(model, config, target, opset=max(_OPSET, config.DEFAULT_ONNX_OPSET))
    except Exception as error:  # noqa: BLE001 - tracing runs the whole of a model's own code
        raise InputError(f"optimum cannot export '{architecture}': {error}") from None
    if is_embedder:
        _append_head(checkpoint, model.config.hidden_size, target)


def _without_positions(config: Any) -> None:
    """Let a decoder count positions itself: texts are padded on the right, and so are never shifted."""
    kept = {name: axes for name, axes in config.inputs.items() if name != "position_ids"}
    own = config.__class__
    config.__class__ = type(own.__name__, (own,), {"inputs": property(lambda _: kept)})


def _append_head(checkpoint: Checkpoint, width: int, target: Path) -> None:
    from seal.engine.export import onnx_graph, pooling

    write_head = partial(pooling.write_head, checkpoint, width)
    onnx_graph.append(target, pooling.VECTORS, write_head)


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing warns of every Python branch it meets; the parity check is what tells whether one mattered."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
