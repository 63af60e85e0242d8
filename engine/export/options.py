"""How a checkpoint is exported."""

from dataclasses import dataclass
from typing import Literal

from seal.engine.checkpoints.exported import Graph, Kind, PairTemplate, Precision
from seal.engine.errors import UsageError
from seal.engine.options import Options, option

_TOLERANCES = {
    "reward": {"fp32": 1e-4, "fp16": 2e-2, "int8": 1e-1},
    "embedding": {"fp32": 1e-5, "fp16": 5e-3},
}


@dataclass(frozen=True)
class ExportOptions(Options):
    """How to export."""

    graph: Graph | None = option(
        None, "reference: optimum's. fast: this project's own. Default: the fastest there is for the model.",
    )  # fmt: skip
    precision: Precision = option(
        "fp32",
        "fp32 for CPUs, fp16 for GPUs; int8 for CPUs where its difference, which is printed, is acceptable.",
    )
    pair_template: Literal["pair", "concat"] | None = option(
        None, "pair: prompt and response are two segments. concat: one text. Default: pair. For reward "
        "models only; an embedder always gets one text.",
    )  # fmt: skip
    check_against: Literal["torch"] = option(
        "torch",
        "What the exported graph's rewards or embeddings are held against; an export that fails is refused.",
    )
    tolerance: float | None = option(
        None, "Largest difference allowed, of a reward relative to max(1, |reward|). Default: 1e-4 for fp32, "
        "2e-2 for fp16, 1e-1 for int8; for embeddings, at length 1, 1e-5 and 5e-3.", above=0,
    )  # fmt: skip
    convert: bool = option(False, "Read pickled weights (pytorch_model.bin), tensors only.")

    merge: bool = option(
        False, "MODEL is a LoRA adapter: merge it into its base, and export what comes of it."
    )

    def allowed(self, kind: Kind) -> float:
        """The tolerance in force.

        Raises:
            UsageError: the precision is not offered for this kind of model.
        """
        if self.precision not in _TOLERANCES[kind]:
            raise UsageError(f"precision {self.precision} is for reward models, not for embedders")
        return self.tolerance or _TOLERANCES[kind][self.precision]

    def template(self, kind: Kind) -> PairTemplate:
        """The template in force.

        Raises:
            UsageError: one was asked for that this kind of model does not take.
        """
        if kind == "embedding" and self.pair_template is not None:
            raise UsageError(
                "a pair template is for reward models; an embedder gets prompt and response as one text"
            )
        return self.pair_template or ("text" if kind == "embedding" else "pair")
