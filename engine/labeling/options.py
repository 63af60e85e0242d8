"""Which texts are labeled, and how models are asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seal.engine.frames.options import Selection
from seal.engine.options import option

COMPUTED = "computed"
ProtocolName = Literal["json", "choice"]
PROTOCOL: ProtocolName = "json"
RETRIES = 2
CROSS_CHECK = 20


@dataclass(frozen=True)
class LabelOptions(Selection):
    """Which texts to label, in what parts, and how models are asked."""

    protocol: ProtocolName | None = option(
        None, "How a model is asked: all features in one JSON object, or one token a feature, with its "
        f"probability. Default: {PROTOCOL}.",
    )  # fmt: skip
    taxonomy: Path | None = option(
        None, "What models are asked about (TOML). Default: the built-in features.", metavar="FILE"
    )
    features: tuple[str, ...] | None = option(
        None, "Only these features, comma-separated. Default: all of the taxonomy, and all computed ones.",
    )  # fmt: skip
    max_tokens: int | None = option(
        None, "Longest message to a local model: of a longer dialogue the beginning is left out. Default: "
        "none is shortened, and what does not fit is a failure.", at_least=1,
    )  # fmt: skip
    retries: int | None = option(
        None, f"How often an answer that is cut or invalid is asked for again. Default: {RETRIES}.",
        at_least=0,
    )  # fmt: skip
    cross_check: int | None = option(
        None, "Pairs about which a model is asked by the other protocol too, drawn by the seed; 0 for none. "
        f"Changes no label. Default: {CROSS_CHECK}.", at_least=0,
    )  # fmt: skip
