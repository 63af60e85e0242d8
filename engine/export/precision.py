"""An ONNX graph in fewer bits: fp16 for GPUs, int8 for CPUs."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from seal.engine.errors import InputError
from seal.engine.export.onnx_graph import set_behind
from seal.engine.pooling.onnx import INT8, LARGE, has_vnni

_LONGEST_HEAD = 64  # nodes


def halve(source: Path, target: Path) -> None:
    """Write a graph in fp16 with fp32 inputs and outputs; sensitive operators and the head stay in fp32.

    The head is what comes behind the last normalisation. In fp16 a reward of 10 would be told from its
    neighbours in steps of 0.008 only, and close pairs would tie.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    typed = source.with_name("typed.onnx")
    onnx.shape_inference.infer_shapes_path(source, typed)  # by path: in memory that ends at 2 GB
    model = onnx.load(typed)
    graph, outputs = model.graph, list(model.graph.output)
    nodes = list(graph.node)
    behind, reads = _leading_to(nodes, [o.name for o in outputs], lambda n: "Normalization" in n.op_type)
    if not reads or len(behind) > _LONGEST_HEAD:
        save(convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True), target)
        return
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in reads]
    head = _part(model, behind, [*graph.input, *ends], outputs)  # what the trunk needs too is in both
    trunk = _part(model, _leading_to(nodes, reads, lambda _: False)[0], list(graph.input), ends)
    trunk.graph.value_info.extend(graph.value_info)
    halved = convert_float_to_float16(trunk, keep_io_types=True, disable_shape_infer=True)
    set_behind(halved, head)
    save(halved, target)


def _leading_to(
    nodes: Sequence[Any], tensors: Iterable[str], ends: Callable[[Any], bool]
) -> tuple[list[Any], list[str]]:
    """Nodes that tensors are made by, in their order, back to nodes that end it; which tensors those make."""
    makers = {name: i for i, node in enumerate(nodes) for name in node.output}
    found, reads, todo = set(), set(), list(tensors)
    while todo:
        name = todo.pop()
        i = makers.get(name)
        if i is None or i in found:
            continue
        if ends(nodes[i]):
            reads.add(name)
            continue
        found.add(i)
        todo += nodes[i].input
    return [nodes[i] for i in sorted(found)], sorted(reads)


def _part(model: Any, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """A model of some nodes of another, with the weights that they use."""
    import onnx

    used = {name for node in nodes for name in node.input}
    weights = [w for w in model.graph.initializer if w.name in used]
    graph = onnx.helper.make_graph(nodes, model.graph.name, inputs, outputs, weights)
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def save(model: Any, target: Path) -> None:
    """Write a model; weights beyond `LARGE` go to a file beside it."""
    import onnx

    large = sum(len(weight.raw_data) for weight in model.graph.initializer) > LARGE
    onnx.save(model, target, save_as_external_data=large, location=f"{target.name}_data")


def quantize(source: Path, target: Path) -> None:
    """Write a graph whose products with weights are in int8, activations quantised as they come.

    Without VNNI, a sum of two products of 8 bits saturates at 16: there the weights get 7 bits. The file says
    which of the two it is.

    Raises:
        InputError: there is no product with weights in it.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    weights = {w.name for w in model.graph.initializer if len(w.dims) == 2}
    products = [n.name for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in weights]
    if not products:
        raise InputError("precision int8: the graph has no product with weights that could be quantised")
    reduced = not has_vnni()
    logging.disable(logging.WARNING)  # it recommends a preprocessing that this graph has behind it
    try:
        quantize_dynamic(
            model, target, nodes_to_quantize=products, per_channel=True, reduce_range=reduced,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    model = onnx.load(target)
    onnx.helper.set_model_props(model, {INT8: "7 bits" if reduced else "8 bits"})
    onnx.save(model, target)
