"""What onnxruntime writes: a disk that refuses is an error of the disk."""

import errno
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from seal.engine.export.onnx_graph import optimize


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """x + w."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    w = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    made = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [w])
    path = tmp_path / "graph.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_disk_that_refuses_is_said_as_such(graph: Path, tmp_path: Path) -> None:
    optimize(graph, tmp_path / "done.onnx")
    assert onnx.load(tmp_path / "done.onnx").graph.node
    with pytest.raises(FileNotFoundError, match="No such file"):
        optimize(graph, tmp_path / "missing/done.onnx")
    if sys.platform == "linux":
        with pytest.raises(OSError, match="/dev/full") as told:
            optimize(graph, Path("/dev/full"))
        assert told.value.errno == errno.EIO


def test_other_errors_of_onnxruntime_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "torn.onnx").write_bytes(b"no graph")
    with pytest.raises(Exception, match="parsing failed") as told:
        optimize(tmp_path / "torn.onnx", tmp_path / "done.onnx")
    assert not isinstance(told.value, OSError)
