"""What the stages import and what may be imported before a fork: nothing of it starts a thread."""

import jinja2
import matplotlib.figure
import numpy
import onnxruntime
import rich
import scipy.linalg
import scipy.optimize
import scipy.special
import scipy.stats
import tokenizers
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

__all__ = (
    "AutoModelForCausalLM", "PreTrainedTokenizerFast", "jinja2", "matplotlib", "numpy", "onnxruntime", "rich",
    "scipy", "tokenizers", "torch",
)  # fmt: skip
