"""How well a decoder labels the toy world: its labels of unseen pairs against the planted truth.

python -m examples.toyworld.measure_labeler --model examples/toyworld/models/labeler --protocol choice
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import polars as pl

from examples.toyworld.dialogues import ASSISTANT
from examples.toyworld.generate import Options, generate
from seal.engine.bench.labeling import same_values
from seal.engine.frames.schema import LABELS, TEXT_KEY, scan
from seal.engine.frames.taxonomy import load_taxonomy
from seal.engine.generation.loading import open_generator
from seal.engine.generation.options import GeneratorName, GeneratorOptions
from seal.engine.labeling.labeling import LabelReport, label
from seal.engine.labeling.model_labeler import ModelLabeler
from seal.engine.labeling.options import ProtocolName

UNSEEN_SEED = 910_000
"""No seed of training is that high."""


@dataclass(frozen=True)
class Agreement:
    """A labeler against the truth.

    Attributes:
        n_texts, n_rows, n_failures: every text is a row or a failure.
        mean: share of values that are the truth's, over texts and features; lists are compared as sets.
        lowest: the feature with the lowest share, and its share.
        features: share by feature.
        report: what labeling cost.
    """

    n_texts: int
    n_rows: int
    n_failures: int
    mean: float
    lowest: tuple[str, float]
    features: dict[str, float]
    report: LabelReport


def texts_and_truth(options: Options) -> tuple[pl.DataFrame, pl.DataFrame]:
    """TEXTS and true LABELS of generated pairs."""
    texts, truth = [], []
    for chunk in generate(options):
        both = [text for pair in chunk.texts for text in pair]
        cuts = [text.rindex(ASSISTANT) + len("\n\n") for text in both]
        texts.append(
            chunk.labels.select(*TEXT_KEY).with_columns(
                source=pl.lit("toyworld"),
                prompt=pl.Series([t[:c] for t, c in zip(both, cuts, strict=True)]),
                response=pl.Series([t[c:] for t, c in zip(both, cuts, strict=True)]),
            )
        )
        truth.append(chunk.labels)
    return pl.concat(texts), pl.concat(truth)


def measure(labeler: ModelLabeler, options: Options, out: Path) -> Agreement:
    """Label generated pairs into `out` and compare."""
    texts, truth = texts_and_truth(options)
    path = out / "texts.parquet"
    texts.write_parquet(path)
    report = label(path, [labeler], out / "labels", overwrite=True)
    shares = same_values(scan(out / "labels", LABELS).collect(), truth, load_taxonomy().names)
    lowest = min(shares, key=lambda name: shares[name])
    return Agreement(
        texts.height, report.n_rows, report.n_failures, sum(shares.values()) / len(shares),
        (lowest, shares[lowest]), shares, report,
    )  # fmt: skip


def main() -> None:
    """The command line; prints JSON."""
    parser = argparse.ArgumentParser(description="Labels of unseen toy pairs against the planted truth.")
    parser.add_argument("--model", required=True, help="a decoder's folder, or a server's URL")
    parser.add_argument("--backend", choices=get_args(GeneratorName), help="default: as seal label")
    parser.add_argument("--protocol", choices=get_args(ProtocolName), default="json", help="default: json")
    parser.add_argument("--pairs", type=int, default=150, help="default: 150")
    parser.add_argument("--seed", type=int, default=UNSEEN_SEED, help=f"default: {UNSEEN_SEED}")
    parser.add_argument("--templates", default="train", choices=["train", "heldout", "all"])
    parser.add_argument("--out", type=Path, help="keep texts and labels here")
    args = parser.parse_args()
    generator = open_generator(args.model, GeneratorOptions(backend=args.backend))
    labeler = ModelLabeler("toy", generator, load_taxonomy().features, args.protocol)
    with tempfile.TemporaryDirectory() as scratch:
        out = args.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        found = measure(labeler, Options(args.pairs, args.seed, args.templates), out)
    print(json.dumps(asdict(found), indent=2))


if __name__ == "__main__":
    main()
