"""The script of the guide and the notebook do what they show."""

import subprocess
from pathlib import Path

import pytest

import seal
from tests.seal.test_wheel import bare_environment, built

__all__ = ["built"]  # a fixture

ROOT = Path(seal.__file__).parents[1]
SCRIPT = ROOT / "docs" / "examples" / "toyworld_in_12_lines.py"


def test_the_script_is_short_and_uses_seal_alone() -> None:
    lines = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 12
    assert [x for x in lines if x.startswith(("import", "from"))] == [
        "from pathlib import Path",
        "import seal",
    ]


def test_the_guide_shows_the_script_as_it_is() -> None:
    assert SCRIPT.read_text(encoding="utf-8") in (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_script_runs_on_the_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    from examples.toyworld.generate import Options, write

    write(Options(pairs=400, seed=7), tmp_path / "demo" / "world")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    python = bare_environment(built["wheel"], tmp_path / "venv")
    done = subprocess.run(
        [python, SCRIPT],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "last_response_is_helpful" in done.stdout
    assert "<h1" in (tmp_path / "from-python" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import nbclient
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}})
    client.execute()
    shown = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "<progress" in shown
    assert "last_response_is_helpful" in shown
