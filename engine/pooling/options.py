"""Where models that turn a text into numbers are run."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
BackendName = Literal["onnx", "torch"]

MAX_BATCH_TOKENS = {"cpu": 512, "cuda": 32_768, "tensorrt": 32_768}
"""Longest text x texts of a batch, by device, where nothing else was asked for."""
PART_PAIRS = 2048
"""Pairs in a part, where nothing else was asked for."""
