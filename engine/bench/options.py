"""What to measure, and how often."""

from dataclasses import dataclass
from pathlib import Path

from seal.engine.generation.options import GeneratorName
from seal.engine.labeling.options import ProtocolName
from seal.engine.options import Options, option
from seal.engine.pooling.options import Device


@dataclass(frozen=True)
class ScoreBenchOptions(Options):
    """How scoring is measured."""

    n_pairs: int = option(32, "Pairs to score, spread evenly over the texts.", at_least=1, flag="pairs")
    repeats: int = option(3, "Turns; medians are given.", at_least=1)
    device: Device = option(
        "auto", "auto takes a GPU where onnxruntime offers one; TensorRT has to be asked for."
    )
    budgets: tuple[int, ...] = option(
        (), "A budget to measure; may be repeated. Default: the device's.", at_least=1,
        flag="max-batch-tokens", repeat=True,
    )  # fmt: skip
    threads: int | None = option(None, "Batches at once on a CPU. Default: one a core.", at_least=1)


@dataclass(frozen=True)
class LabelBenchOptions(Options):
    """How labeling is measured."""

    backends: tuple[GeneratorName, ...] = option(
        (), "For a folder; may be repeated. Default: those that this environment has.", flag="backend",
        repeat=True, among=("vllm", "transformers"),
    )  # fmt: skip
    protocols: tuple[ProtocolName, ...] = option(
        ("json", "choice"), "May be repeated.", flag="protocol", repeat=True
    )
    taxonomy: Path | None = option(None, "Default: the built-in features.", metavar="FILE")
    n_pairs: int = option(16, "Pairs a turn.", at_least=1, flag="pairs")
    repeats: int = option(3, "Turns, of other pairs each.", at_least=1)
