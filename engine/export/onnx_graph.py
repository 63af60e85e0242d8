"""Exported graphs on disk: onnxruntime's optimised form, and a head set behind one."""

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seal.engine.errors import InputError
from seal.engine.pooling.onnx import LARGE, require

_EXTERNAL = "model.onnx_data"


def optimize(source: Path, target: Path) -> None:
    """Write onnxruntime's optimised form of a graph: fused, constants folded, portable over CPUs and GPUs.

    Args:
        source: an ONNX file.
        target: where to write; weights beyond 1.5 GB go to `model.onnx_data` beside it.

    Raises:
        MissingExtraError: no onnxruntime.
        OSError: it cannot be written.
    """
    ort = require("optimising the graph")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    weights = sum(p.stat().st_size for p in source.parent.glob(f"{source.name}*"))
    if weights > LARGE:
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", _EXTERNAL)
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", "1024"
        )
    with _written(target):
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@contextmanager
def _written(target: Path) -> Iterator[None]:
    """onnxruntime says that it could not write by errors of its own classes, with the number or without."""
    try:
        yield
    except Exception as error:  # its classes have no other parent
        number = re.match(r"SystemError : (\d+)", str(error))
        if not number and "serialization failed" not in str(error):
            raise
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code), str(target)) from error


def append(source: Path, output: str, write_head: Callable[[int, Path], None]) -> None:
    """Set a head behind a graph, in place: an output of the graph goes into it, and what it gives comes out.

    Args:
        source: an ONNX file; weights beside it stay where they are.
        output: which of its outputs, a tensor of shape (b, s, D).
        write_head: given the operator set and a path, writes the head as ONNX. Its inputs are called as the
            graph's inputs and output are.

    Raises:
        InputError: the graph has no such output.
    """
    import onnx

    model = onnx.load(source, load_external_data=False)
    if output not in [o.name for o in model.graph.output]:
        raise InputError(f"the graph gives {', '.join(o.name for o in model.graph.output)}, not {output}")
    aside = source.with_name("head.onnx")
    opset = next(s.version for s in model.opset_import if s.domain in ("", "ai.onnx"))
    write_head(opset, aside)
    set_behind(model, onnx.load(aside))
    onnx.save(model, source)


def set_behind(model: Any, head: Any) -> None:
    """Let a head's outputs take the place of those of a model, whose tensors it reads by their names."""
    import onnx

    head = onnx.compose.add_prefix(head, "head/", rename_inputs=False, rename_outputs=False)
    model.graph.node.extend(head.graph.node)
    model.graph.initializer.extend(head.graph.initializer)
    del model.graph.output[:]
    model.graph.output.extend(head.graph.output)


def trace(module: Any, inputs: Mapping[str, Any], output: str, opset: int, target: Path) -> None:
    """Write a torch module as ONNX, dynamic in texts and tokens.

    Args:
        module: in evaluation mode.
        inputs: name -> an example, of shape (b, s, ...).
        output: what its one output is called.
        opset: the operator set.
        target: the file to write.
    """
    import torch

    axes = {name: {0: "texts", 1: "tokens"} for name in inputs} | {output: {0: "texts"}}
    with torch.no_grad():
        torch.onnx.export(
            module, tuple(inputs.values()), str(target), input_names=list(inputs), output_names=[output],
            dynamic_axes=axes, opset_version=opset,
            dynamo=False,  # tracing follows lengths as plain arithmetic, and needs no onnxscript
        )  # fmt: skip
