"""How well a model rewrites toy dialogues: what is accepted, why the rest is not, and what labels it keeps.

    seal import pairs.jsonl --out texts/ ; seal rewrite texts/ --rewriter MODEL --sample 1 --out rewritten/
    python -m examples.toyworld.measure_rewriter --texts texts/ --rewritten rewritten/

compares the two folders through the parser, which knows every sentence of this world: a rewriting that
holds another one cannot be parsed. Labels count as kept where all features of the text are the same.
"""

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from examples.toyworld.parser import NotThisWorldError, label, parse
from seal.engine.frames.manifest import read_manifest
from seal.engine.frames.schema import TEXTS, scan

TARGETS = frozenset({"last_response_is_harmless", "last_response_is_helpful"})


@dataclass(frozen=True)
class Figures:
    """What became of some rewriting.

    Attributes:
        n_texts: asked for.
        accepted: share that the checks accepted, before pairs were made whole.
        whole: share that flows on, both texts of its pair accepted.
        refused: code -> how many; `other_side_refused` are the accepted ones of broken pairs.
        n_retries: requests that asked again.
        n_turns_changed: accepted texts with another sequence of speakers (the checks let none through).
        parsed: share of the accepted whose every sentence is one of this world's.
        labels_kept: share of the accepted with the labels of the source, all of them.
        targets_kept: the same for harmless and helpful alone: what Eq. 4 asks of both texts of a pair.
        moved: feature -> accepted texts in which it moved, those that cannot be parsed left out.
    """

    n_texts: int
    accepted: float
    whole: float
    refused: dict[str, int]
    n_retries: int
    n_turns_changed: int
    parsed: float
    labels_kept: float
    targets_kept: float
    moved: dict[str, int]


def measure(texts: Path, rewritten: Path) -> Figures:
    """Compare a folder of rewritten texts with its originals."""
    key = ["row_id", "preference"]
    before = scan(texts, TEXTS).select(*key, before=pl.col("prompt") + pl.col("response"))
    after = scan(rewritten, TEXTS).select(*key, after=pl.col("prompt") + pl.col("response"))
    both = after.join(before, on=key).select("before", "after").collect()
    failures = pl.read_parquet(rewritten / "failures.parquet")
    refused = dict(sorted(failures["error"].value_counts().iter_rows()))
    n_texts = both.height + failures.height
    fates = [_fate(*texts) for texts in both.iter_rows()]
    moved = Counter(name for fate in fates if fate is not None for name in fate)
    totals = (read_manifest(rewritten) or {}).get("totals", {})
    n_accepted = both.height + refused.get("other_side_refused", 0)
    return Figures(
        n_texts=n_texts,
        accepted=_share(n_accepted, n_texts),
        whole=_share(both.height, n_texts),
        refused=refused,
        n_retries=int(totals.get("n_retries", 0)),
        n_turns_changed=sum(_speakers(b) != _speakers(a) for b, a in both.iter_rows()),
        parsed=_share(sum(fate is not None for fate in fates), both.height),
        labels_kept=_share(sum(fate == () for fate in fates), both.height),
        targets_kept=_share(
            sum(fate is not None and not TARGETS.intersection(fate) for fate in fates), both.height
        ),
        moved=dict(moved.most_common()),
    )


def _fate(before: str, after: str) -> tuple[str, ...] | None:
    """The features that moved; None where the rewriting says what this world cannot."""
    try:
        old, new = label(parse(before)), label(parse(after))
    except NotThisWorldError:
        return None
    return tuple(name for name, value in old.items() if new[name] != value)


def _speakers(transcript: str) -> list[str]:
    opened = (part.partition(":")[0] for part in transcript.split("\n\n"))
    return [word for word in opened if word in ("Human", "Assistant", "System")]


def _share(n: int, of: int) -> float:
    return round(n / of, 4) if of else 0.0


def main() -> None:
    """The command line; prints the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure a rewriting of toy dialogues against their truth.")
    parser.add_argument("--texts", type=Path, required=True, help="TEXTS of the originals")
    parser.add_argument("--rewritten", type=Path, required=True, help="what `seal rewrite` wrote")
    args = parser.parse_args()
    print(json.dumps(asdict(measure(args.texts, args.rewritten)), indent=2))


if __name__ == "__main__":
    main()
