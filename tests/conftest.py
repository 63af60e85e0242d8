"""Tiny models, made and exported once for all tests."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # on models this small, threads only wait for one another


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`pre` and `post`, DeBERTa-v2 with one tokenizer; `short`, BERT of at most 64 tokens."""
    from tests.support.tiny import DEBERTA, make_checkpoint

    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "pre": make_checkpoint(folder / "pre", "deberta-v2", seed=1, **DEBERTA),
        "post": make_checkpoint(folder / "post", "deberta-v2", seed=2, **DEBERTA),
        "short": make_checkpoint(folder / "short", "bert", seed=3, max_position_embeddings=64),
    }


@pytest.fixture(scope="session")
def exported(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same, exported to ONNX."""
    from seal.engine.export import exporting as export
    from tests.support.tiny import FEW_LENGTHS

    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "PARITY_LENGTHS", FEW_LENGTHS)
        return {
            name: export.export(path, folder / name, export.ExportOptions()).folder
            for name, path in checkpoints.items()
        }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors in this program; tracing a model to ONNX warns inside torch and transformers."""
    for item in items:
        for module in ("torch", "transformers", "optimum", "onnxscript"):
            item.add_marker(pytest.mark.filterwarnings(f"ignore::Warning:{module}"))
