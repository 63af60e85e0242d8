"""What is built: one package `seal`, with its data and without the tests; an sdist of real files."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import seal

ROOT = Path(seal.__file__).parents[1]
COPIED = ("cli", "engine", "seal", "stats", "tests", "LICENSE", "README.md", "pyproject.toml")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel and an sdist, built from a copy so that the checkout stays clean."""
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    tree.mkdir()
    leave = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=leave)
        else:
            shutil.copy(ROOT / name, tree / name)
    for kind in ("wheel", "sdist"):
        code = f"from setuptools import build_meta; build_meta.build_{kind}({str(folder)!r})"
        subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def test_the_wheel_holds_one_package(built: dict[str, Path]) -> None:
    names = zipfile.ZipFile(built["wheel"]).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"seal"}
    assert len(tops) == 2
    assert not [n for n in names if "test" in n.lower()]


def test_the_wheel_holds_every_module_and_its_data(built: dict[str, Path]) -> None:
    names = set(zipfile.ZipFile(built["wheel"]).namelist())
    files = {f"seal/{p.relative_to(ROOT / 'seal').as_posix()}" for p in (ROOT / "seal").glob("*.py")}
    for top in ("cli", "engine", "stats"):
        files |= {f"seal/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / top).rglob("*.py")}
    for pattern in ("engine/frames/taxonomies/*.toml", "stats/report/templates/*"):
        found = {f"seal/{p.relative_to(ROOT).as_posix()}" for p in ROOT.glob(pattern)}
        assert found
        files |= found
    assert files | {"seal/py.typed"} <= names


def test_the_sdist_holds_real_files(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        members = archive.getmembers()
    assert all(m.isfile() or m.isdir() for m in members)
    assert any(m.name.endswith("/seal/engine/scoring/scoring.py") and m.size for m in members)


@pytest.mark.slow
def test_a_bare_environment_uses_the_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    python = bare_environment(built["wheel"], tmp_path / "venv")
    code = "import seal; seal.score, seal.verify, seal.compare; print(seal.__file__)"
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "venv")


def bare_environment(wheel: Path, folder: Path) -> Path:
    """An environment with the wheel, and the present one's other packages behind it; never the checkout."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, wheel], check=True)
    # A .pth names a folder only: the editable install's own .pth in there is not read.
    (site / "present.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    return python
