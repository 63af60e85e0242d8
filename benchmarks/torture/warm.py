"""What the stages import, imported before the fork: nothing of it has computed anything yet."""

from importlib import import_module

import matplotlib.figure
import onnxruntime
import polars
import pyarrow.parquet
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from seal.cli import registry

__all__ = (
    "AutoModelForCausalLM", "PreTrainedTokenizerFast", "matplotlib", "onnxruntime", "polars", "pyarrow",
    "torch",
)  # fmt: skip
registry.load_all()
for _module in (
    "engine.datasets.importing", "engine.scoring.scoring", "engine.scoring.similarity",
    "engine.export.exporting", "engine.labeling.labeling", "engine.rewriting.rewriting",
    "engine.generation.transformers", "engine.gold.sampling", "stats.analysis", "stats.report.page",
    "cli.pipeline.running",
):  # fmt: skip
    import_module(f"seal.{_module}")
