"""How well a model rewrites toy dialogues: what is accepted, why the rest is not, and what labels it keeps.

    seal import pairs.jsonl --out texts/ ; seal rewrite texts/ --rewriter MODEL --sample 1 --out rewritten/
    python -m examples.toyworld.measure_rewriter --texts texts/ --rewritten rewritten/

compares the two folders, variant by variant, through the parser, which knows every sentence of this world: a
rewriting that holds another one cannot be parsed. Labels count as kept where all features of the text are the
same but the one that was to change.
"""

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from examples.toyworld.aims import tasks
from examples.toyworld.parser import NotThisWorldError, label, parse
from seal.engine.frames.contrasts import BACK
from seal.engine.frames.schema import TEXTS, scan

VALUES = [(feature, value) for _, feature, value in tasks() if feature]
"""Both values of every feature that responses are rewritten toward."""
TARGETS = frozenset({"last_response_is_harmless", "last_response_is_helpful"})


@dataclass(frozen=True)
class Figures:
    """What became of the rewritings of one variant.

    Attributes:
        n_texts: asked for.
        accepted: share that the checks accepted, before pairs were made whole.
        whole: share that flows on, both texts of its pair accepted.
        refused: code -> how many; `other_side_refused` are the accepted ones of broken pairs.
        n_turns_changed: accepted texts with another sequence of speakers (the checks let none through).
        parsed: share of the accepted whose every sentence is one of this world's.
        reached: share of the accepted that have the value they were to have; 1 where none was asked for.
        labels_kept: share of the accepted with the labels of the source, all but the one that was to change.
        targets_kept: the same for harmless and helpful alone: what Eq. 4 asks of both texts of a pair.
        moved: feature -> accepted texts in which it moved, those that cannot be parsed left out.
    """

    n_texts: int
    accepted: float
    whole: float
    refused: dict[str, int]
    n_turns_changed: int
    parsed: float
    reached: float
    labels_kept: float
    targets_kept: float
    moved: dict[str, int]


def measure(texts: Path, rewritten: Path) -> dict[str, Figures]:
    """Compare a folder of rewritten texts with its originals, by variant."""
    key = ["row_id", "preference"]
    before = scan(texts, TEXTS).select(*key, before=pl.col("prompt") + pl.col("response"))
    after = scan(rewritten, TEXTS).select("variant", *key, after=pl.col("prompt") + pl.col("response"))
    both = after.join(before, on=key).collect()
    failures = pl.read_parquet(rewritten / "failures.parquet")
    variants = sorted({*both["variant"].cast(pl.String), *failures["variant"].cast(pl.String)})
    return {v: _figures(v, _of(both, v), _of(failures, v)) for v in variants}


def _of(frame: pl.DataFrame, variant: str) -> pl.DataFrame:
    return frame.filter(pl.col("variant").cast(pl.String) == variant)


def _figures(variant: str, both: pl.DataFrame, failures: pl.DataFrame) -> Figures:
    refused = dict(sorted(failures["error"].value_counts().iter_rows()))
    n, n_texts = both.height, both.height + failures.height
    feature, value = wanted(variant)
    pairs = both.select("before", "after").rows()
    fates = [_fate(*texts) for texts in pairs]
    known = [moved for moved in fates if moved is not None]
    others = [moved.keys() - {feature} for moved in known]
    counts = Counter(name for moved in known for name in moved)
    return Figures(
        n_texts=n_texts,
        accepted=_share(n + refused.get("other_side_refused", 0), n_texts),
        whole=_share(n, n_texts),
        refused=refused,
        n_turns_changed=sum(_speakers(b) != _speakers(a) for b, a in pairs),
        parsed=_share(len(known), n),
        reached=_share(sum(has(after, feature, value) for _, after in pairs), n) if feature else 1.0,
        labels_kept=_share(sum(not moved for moved in others), n),
        targets_kept=_share(sum(not TARGETS.intersection(moved) for moved in others), n),
        moved=dict(counts.most_common()),
    )


def wanted(variant: str) -> tuple[str, str]:
    """Feature and value that a variant's texts were to have; empty where they were to change none."""
    feature, _, value = variant.partition(":")[2].partition("=")
    if variant.startswith(BACK):
        value = next(v for name, v in VALUES if name == feature and v != value)
    return feature, value


def has(transcript: str, feature: str, value: str) -> bool:
    """Whether a text has a value, `true` and `false` for a boolean's; not one that cannot be parsed."""
    try:
        found = label(parse(transcript))[feature]
    except NotThisWorldError:
        return False
    return found == {"true": True, "false": False}.get(value, value)


def _fate(before: str, after: str) -> dict[str, object] | None:
    """The features that moved and their values now; None where it says what this world cannot."""
    try:
        old, new = label(parse(before)), label(parse(after))
    except NotThisWorldError:
        return None
    return {name: new[name] for name, value in old.items() if new[name] != value}


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
    found = measure(args.texts, args.rewritten)
    print(json.dumps({variant: asdict(figures) for variant, figures in found.items()}, indent=2))


if __name__ == "__main__":
    main()
