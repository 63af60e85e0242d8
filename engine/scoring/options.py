"""How texts are scored, and how rewritten texts are compared with their originals."""

from dataclasses import dataclass
from typing import Literal

from seal.engine.frames.schema import REWRITTEN
from seal.engine.frames.shards import shard_option
from seal.engine.options import Options, option
from seal.engine.pooling.options import PART_PAIRS, BackendName, Device


@dataclass(frozen=True)
class ScoreOptions(Options):
    """How to score."""

    device: Device = option(
        "auto", "auto takes a GPU where onnxruntime offers one; TensorRT has to be asked for."
    )
    backend: BackendName = option(
        "onnx", "onnx: exported folders. torch: transformers folders, the reference."
    )
    head: tuple[str, ...] = option(
        (), "How the logits of a model make one reward: a weight for each, in the order of its id2label. "
        "Default: the only logit; of two classes that of the positive one; else each head is a model of its "
        "own, NAME.head. May be repeated.", metavar="NAME=W,...", repeat=True,
    )  # fmt: skip
    max_batch_tokens: int | None = option(
        None, "Longest text x texts of a batch, at most. Default: what `seal bench score --tune` found here, "
        "else 512 on a CPU, 32768 on a GPU.", at_least=1,
    )  # fmt: skip
    max_tokens: int | None = option(
        None, "Longest input; of a longer text the prompt is cut from the left. Default: what the model can "
        "take, 4096 where it sets no limit.", at_least=1,
    )  # fmt: skip
    part_pairs: int | None = option(
        None, "Pairs in a part: what is sorted together, and at most lost when killed. Default: as tuned, "
        "else 2048.", at_least=1, formerly=("part-rows",),
    )  # fmt: skip
    threads: int | None = option(
        None, "Batches at once on a CPU; changes no reward. Default: as tuned, else one a core.", at_least=1,
        neutral=True,
    )  # fmt: skip
    limit: int | None = option(None, "Only the first N pairs.", at_least=1)
    shard: str | None = shard_option()


@dataclass(frozen=True)
class SimilarityOptions(Options):
    """How to compare rewritten texts with their originals."""

    variant: str = option(
        REWRITTEN, "Which of the rewritten texts: rewritten, perturb:NAME, toward:FEATURE=VALUE, "
        "back:FEATURE=VALUE or placebo.",
    )  # fmt: skip
    min_cosine: float | None = option(
        None, "A lower cosine becomes a failure row (low_cosine), which counts for --max-failures. Default: "
        "none does.", at_least=-1, at_most=1,
    )  # fmt: skip
    device: Literal["auto", "cpu", "cuda"] = option("auto", "auto takes a GPU where onnxruntime offers one.")
    max_batch_tokens: int | None = option(
        None, "Longest text x texts of a batch, at most. Default: 512 on a CPU, 32768 on a GPU.", at_least=1,
    )  # fmt: skip
    max_tokens: int | None = option(
        None, "Longest input; a longer text is cut on the right, and how many were is told. Default: the "
        "embedder's own max_seq_length; more is allowed as far as its positions reach.", at_least=1,
    )  # fmt: skip
    part_pairs: int = option(
        PART_PAIRS, "Pairs in a part: what is sorted together, and at most lost when killed.", at_least=1,
        formerly=("part-rows",),
    )  # fmt: skip
    threads: int | None = option(
        None, "Batches at once on a CPU; changes no cosine. Default: one a core.", at_least=1, neutral=True,
    )  # fmt: skip
    limit: int | None = option(None, "Only the first N rewritten pairs.", at_least=1)
    shard: str | None = shard_option()
