"""`import seal`: what it offers, how quickly, and that both lists of names say the same."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import seal

ROOT = Path(seal.__file__).parents[1]
HEAVY = ("click", "jinja2", "matplotlib", "numpy", "onnxruntime", "polars", "pyarrow", "scipy", "torch")
FUNCTIONS = (
    "agreement", "analyze", "bench_label", "bench_score", "compare", "export", "import_texts", "label",
    "report", "rewrite", "run", "score", "similarity", "verify",
)  # fmt: skip
SCHEMAS = ("FAILURES", "LABELS", "SCORES", "SIMILARITIES", "TEXTS")


def _python(code: str, cwd: Path = ROOT) -> str:
    """What a fresh interpreter prints, with this checkout on its path."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    ).stdout


def _declared() -> dict[str, str]:
    """What type checkers read: name -> module."""
    tree = ast.parse(Path(seal.__file__).read_text(encoding="utf-8"))
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    imports = [n for n in block.body if isinstance(n, ast.ImportFrom)]
    assert all(alias.asname == alias.name for n in imports for alias in n.names), "re-exports need `as`"
    return {alias.name: str(n.module) for n in imports for alias in n.names}


def test_type_checkers_and_the_program_read_the_same_names() -> None:
    assert _declared() == seal._HOMES


def test_everything_asked_for_is_there() -> None:
    assert set(FUNCTIONS) | set(SCHEMAS) | {"bench", "SealError"} <= set(seal.__all__)
    assert set(seal.__all__) <= set(dir(seal))
    assert list(seal._HOMES) == seal.__all__  # the table is sorted


@pytest.mark.parametrize("name", seal.__all__)
def test_a_name_loads_from_the_module_that_defines_it(name: str) -> None:
    value = getattr(seal, name)
    assert value is getattr(seal, name)
    if isinstance(value, ModuleType):
        assert value.__name__ == f"seal.{name}"
    elif name not in SCHEMAS:
        assert value.__module__ == seal._HOMES[name], f"{name} is defined in {value.__module__}"
        assert (value.__doc__ or "").strip()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        seal.scores  # noqa: B018


def test_the_benchmarks_have_a_namespace() -> None:
    assert seal.bench.score is seal.bench_score
    assert seal.bench.label is seal.bench_label


def test_the_version_is_the_distribution_s() -> None:
    from importlib.metadata import version

    assert seal.__version__ == version("seal-engine")


def test_importing_loads_nothing_heavy() -> None:
    code = f"import sys, seal; dir(seal); print([m for m in {HEAVY} if m in sys.modules])"
    assert _python(code).strip() == "[]"


def test_an_error_class_loads_nothing_heavy() -> None:
    code = f"import sys, seal; seal.SealError; print([m for m in {HEAVY} if m in sys.modules])"
    assert _python(code).strip() == "[]"


def test_importing_is_quick() -> None:
    code = "import time; t = time.perf_counter(); import seal; print(time.perf_counter() - t)"
    assert min(float(_python(code)) for _ in range(3)) < 0.15


@pytest.mark.parametrize("module", sorted({m for m in seal._HOMES.values() if m != "seal"}))
def test_a_home_is_a_module(module: str) -> None:
    assert import_module(module).__name__ == module


def test_a_user_s_own_modules_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "stats.py").write_text("mine = 1\n")
    (tmp_path / "engine.py").write_text("mine = 2\n")
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "__init__.py").write_text("mine = 3\n")
    code = (
        "import stats, engine, cli, seal; seal.score; seal.analyze; seal.verify; "
        "print(stats.mine, engine.mine, cli.mine, seal.analyze.__module__)"
    )
    assert _python(code, tmp_path).split() == ["1", "2", "3", "seal.stats.analysis"]
