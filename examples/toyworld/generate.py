"""Write pairs of the toy world and their true labels.

    python -m examples.toyworld.generate --pairs 2000 --seed 7 --out demo/data

writes `pairs.jsonl` (hh-rlhf form), `truth.parquet` (a LABELS frame, labeler `truth`), `draws.parquet` (what
chance decided about each pair) and `world.json` (the planted weights and what the noise allows).
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from examples.toyworld import world
from examples.toyworld.dialogues import Speaker, transcripts
from examples.toyworld.draws import CHUNK_PAIRS, draw_chunk
from examples.toyworld.grammar import Templates, load_grammar
from examples.toyworld.labels import labels_of
from examples.toyworld.world import Floats, Utility


@dataclass(frozen=True)
class Options:
    """What to generate.

    Attributes:
        pairs: how many; pair i does not depend on it.
        seed: any non-negative integer.
        templates: which wordings may be drawn: those models are trained on, those held out from them, or all.
        utility: who is chosen: `post` is the dataset's own process, `pre` the semantic preferences alone.
    """

    pairs: int
    seed: int
    templates: Templates = "train"
    utility: Utility = "post"

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.seed < 0:
            raise ValueError(
                f"pairs must be at least 1 and seed at least 0; got {self.pairs} and {self.seed}"
            )


@dataclass(frozen=True)
class Chunk:
    """Consecutive pairs, each side by side.

    Attributes:
        texts: n (chosen, rejected) transcripts.
        features: (n, 2, len(WEIGHTED)) of the last responses, chosen first; sentiment as -1/0/1.
        labels: 2 n rows, a LABELS frame: see `labels_of`.
        draws: n rows: row_id, ambiguous, mislabeled, and U(chosen) - U(rejected) in log-odds of each utility,
            margin_pre and margin_post.
    """

    texts: list[tuple[str, str]]
    features: Floats
    labels: pl.DataFrame
    draws: pl.DataFrame


def generate(options: Options) -> Iterator[Chunk]:
    """The pairs of the toy world in order, chunk by chunk; memory does not grow with their number."""
    grammar = load_grammar()
    speaker = Speaker.of(grammar, options.templates)
    for start in range(0, options.pairs, CHUNK_PAIRS):
        n = min(CHUNK_PAIRS, options.pairs - start)
        drawn = draw_chunk(options.seed, start // CHUNK_PAIRS, options.utility, len(grammar.subjects))
        first_wins = drawn.first_wins[:n]
        sides = zip(transcripts(drawn, speaker, n), first_wins.tolist(), strict=True)
        texts = [pair if first else (pair[1], pair[0]) for pair, first in sides]
        order = np.where(first_wins[:, None], [0, 1], [1, 0])
        features = np.take_along_axis(drawn.features[:n], order[..., None], axis=1)
        draws = pl.DataFrame(
            {
                "row_id": np.arange(start, start + n, dtype=np.int64),
                "ambiguous": drawn.ambiguous[:n],
                "mislabeled": drawn.mislabeled[:n],
                "margin_pre": world.margins(features, "pre"),
                "margin_post": world.margins(features, "post"),
            }
        )
        yield Chunk(texts, features, labels_of(drawn, features, order, start), draws)


def write(options: Options, out: Path) -> dict[str, object]:
    """Generate into a folder (made when missing, its files replaced) and return what `world.json` says."""
    out.mkdir(parents=True, exist_ok=True)
    margins: dict[Utility, list[Floats]] = {"pre": [], "post": []}
    n_ambiguous = n_mislabeled = 0
    with ExitStack() as stack:
        pairs = stack.enter_context((out / "pairs.jsonl").open("w", encoding="utf-8", newline="\n"))
        tables: dict[str, pq.ParquetWriter] = {}
        for chunk in generate(options):
            pairs.writelines(json.dumps({"chosen": c, "rejected": r}) + "\n" for c, r in chunk.texts)
            for name, frame in (("truth", chunk.labels), ("draws", chunk.draws)):
                table: pa.Table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
                if name not in tables:
                    writer = pq.ParquetWriter(out / f"{name}.parquet", table.schema, compression="zstd")
                    tables[name] = stack.enter_context(writer)
                tables[name].write_table(table)
            for utility, kept in margins.items():
                kept.append(chunk.draws[f"margin_{utility}"].to_numpy())
            n_ambiguous += int(chunk.draws["ambiguous"].sum())
            n_mislabeled += int(chunk.draws["mislabeled"].sum())
    facts = _facts(
        options, {u: np.concatenate(kept) for u, kept in margins.items()}, n_ambiguous, n_mislabeled
    )
    (out / "world.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def _facts(
    options: Options, margins: dict[Utility, Floats], n_ambiguous: int, n_mislabeled: int
) -> dict[str, object]:
    bayes = {utility: round(world.bayes_accuracy(margin), 4) for utility, margin in margins.items()}
    agreement = {u: round(float((m > 0).mean() + (m == 0).mean() / 2), 4) for u, m in margins.items()}
    return {
        **asdict(options),
        "weights": world.WEIGHTS,
        "spoiler": world.SPOILER,
        "noise": "logistic, scale 1: P(first wins) = sigmoid(U(first) - U(second)), then mislabeling",
        "planted_shares": {"ambiguous": world.AMBIGUOUS_SHARE, "mislabeled": world.MISLABELED_SHARE},
        "drawn_shares": {
            "ambiguous": round(n_ambiguous / options.pairs, 4),
            "mislabeled": round(n_mislabeled / options.pairs, 4),
        },
        "bayes_accuracy": bayes,
        "utility_agrees_with_choice": agreement,
    }


def main() -> None:
    """The command line; prints one line on what was written."""
    parser = argparse.ArgumentParser(description="Write pairs of the toy world and their true labels.")
    parser.add_argument("--pairs", type=int, required=True, help="how many preference pairs")
    parser.add_argument("--seed", type=int, required=True, help="the same seed gives the same bytes")
    parser.add_argument("--out", type=Path, required=True, help="folder for the files, made when missing")
    parser.add_argument("--templates", choices=get_args(Templates), default="train", help="default: train")
    parser.add_argument(
        "--utility",
        choices=get_args(Utility),
        default="post",
        help="whose choices; default: post, the dataset's",
    )
    args = parser.parse_args()
    try:
        options = Options(args.pairs, args.seed, args.templates, args.utility)
    except ValueError as error:
        parser.error(str(error))
    facts = write(options, args.out)
    print(f"{options.pairs} pairs in {args.out}; the noise allows {facts['bayes_accuracy']}")


if __name__ == "__main__":
    main()
