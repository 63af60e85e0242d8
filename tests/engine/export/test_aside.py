"""What a killed export leaves beside its place: removed by the next start, where a record says so."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seal.engine.errors import ResumeError
from seal.engine.export.aside import clear_all_aside, clear_aside, made_aside
from seal.engine.export.exporting import export
from tests.support.tiny import make_checkpoint

KILLED = """
import os, signal, sys
from pathlib import Path
from seal.engine.export.aside import made_aside
from seal.engine.export.exporting import export
from tests.support.tiny import make_checkpoint
with made_aside(Path(sys.argv[1])) as aside:
    (aside / "onnx").mkdir()
    (aside / "onnx" / "model.onnx").write_text("half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(out: Path) -> Path:
    done = subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = out.parent.glob(".export-*")
    return left


def test_what_a_killed_export_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left = killed(tmp_path / "onnx")
    clear_aside(tmp_path / "other")
    assert left.is_dir()
    with made_aside(tmp_path / "onnx") as aside:
        assert sorted(path.name for path in aside.iterdir()) == [".lock", "export.json"]
        with pytest.raises(ResumeError, match="is being exported by another process"):
            clear_aside(tmp_path / "onnx")
    assert os.listdir(tmp_path) == []
    killed(tmp_path / "onnx")
    clear_aside(tmp_path / "onnx")
    assert os.listdir(tmp_path) == []
    killed(tmp_path / "onnx")
    (tmp_path / ".export-mine").mkdir()
    (tmp_path / ".export-mine" / "thesis.txt").write_text("mine")
    clear_all_aside(tmp_path)
    assert os.listdir(tmp_path) == [".export-mine"]


@pytest.mark.parametrize("kind", ["file", "folder", "link", "record of another"])
def test_what_bears_no_record_of_this_export_stays(kind: str, tmp_path: Path) -> None:
    place = tmp_path / ".export-onnx"
    if kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
        (place / "thesis.txt").write_text("mine")
    elif kind == "link":
        (tmp_path / "mine").mkdir()
        place.symlink_to("mine")
    else:
        killed(tmp_path / "other").rename(place)
    before = sorted(tmp_path.rglob("*"))
    with (
        pytest.raises(ResumeError, match=r"is not what an export to .* left; move it elsewhere"),
        made_aside(tmp_path / "onnx"),
    ):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_killed_before_its_record_it_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".export-onnx").mkdir()
    (tmp_path / ".export-onnx" / ".lock").touch()
    with made_aside(tmp_path / "onnx") as aside:
        assert aside.is_dir()
    assert os.listdir(tmp_path) == []


def test_an_export_begins_by_looking_there(tmp_path: Path) -> None:
    model = make_checkpoint(tmp_path / "model", "bert")
    (tmp_path / ".export-onnx").write_text("mine")
    with pytest.raises(ResumeError, match=r"\.export-onnx is not what an export to .* left"):
        export(model, tmp_path / "onnx")
    assert (tmp_path / ".export-onnx").read_text() == "mine"
