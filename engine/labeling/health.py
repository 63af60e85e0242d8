"""Whether labels that are valid also say something: what a labeling run wrote, judged feature by feature.

The figures are counted over the parts (`tally.py`); what a few pairs say when asked the other way comes from
`cross_check.py`. The thresholds are judgement: they mark what deserves a look before anything is estimated.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from seal.engine.frames.health import OK, SCHEMA, WARN, WHOLE, LabelHealth
from seal.engine.labeling.cross_check import Agreed, Crossed
from seal.engine.labeling.tally import FeatureTally, LabelerTally

NEAR = 0.98
"""A value that so many texts have is nearly constant."""
FEW = 20
"""Texts below which nothing is judged."""
TWINS = 10
"""Two features are called the same if they are so on every text and each value stands in so many of them."""
MOST = 0.5
"""Of a labeler's features: if more than this share is constant, or differs by protocol, so is the labeler."""
SAYS_YES = 0.9
"""A labeler whose answers about booleans are true this often says yes to everything."""
SAME_SIDES = 0.9
"""Of the pairs: if in so many both texts have the same labels, hardly any pair tells of anything."""
LOW_AGREEMENT, LOW_KAPPA = 0.8, 0.4
"""Two protocols disagree on a feature where both are lower."""

Types = Mapping[str, Mapping[str, pl.DataType]]


def label_health(
    parts: Sequence[Path], types: Types, n_texts: int, crossed: Mapping[str, Crossed]
) -> LabelHealth:
    """Judge what was written.

    Args:
        parts: the LABELS, each of whole pairs, in order.
        types: labeler -> its columns.
        n_texts: that were asked about; a labeler's rows and failures together.
        crossed: labeler -> what it says when asked the other way.
    """
    tallies = {name: LabelerTally(columns) for name, columns in types.items()}
    for path in parts:
        labels = pl.read_parquet(path)
        for name, tally in tallies.items():
            tally.add(labels.filter(pl.col("labeler") == name))
    rows = [
        {"labeler": name} | row
        for name, tally in tallies.items()
        for row in _rows(tally, n_texts, crossed.get(name))
    ]
    return LabelHealth(pl.DataFrame(rows, schema=SCHEMA))


def _rows(tally: LabelerTally, n_texts: int, crossed: Crossed | None) -> Iterator[dict[str, Any]]:
    twins = _twins(tally)
    reasons = {}
    for name, feature in tally.features.items():
        agreed = crossed.features.get(name) if crossed else None
        said = [_emptiness(feature), _sameness(feature), twins.get(name), _disagreement(agreed, crossed)]
        reasons[name] = list(filter(None, said))
        yield _row(name, tally.n, feature, agreed) | _verdict(reasons[name])
    booleans = {"all true": tally.n_all_true, "all false": tally.n_all_false} if tally.booleans else {}
    yield {
        "feature": WHOLE, "kind": "labeler", "n": tally.n, "null_share": _share(n_texts - tally.n, n_texts),
        "shares": _json(booleans, tally.n), "same_in_pair": _share(tally.n_same, tally.n_pairs),
        "cross_check": crossed.n_pairs if crossed else None,
        "n_crossed": crossed.n_texts if crossed else None,
        "agreement": _mean([a.agreement for a in crossed.features.values()]) if crossed else None,
        **_verdict(list(_loud(tally, crossed)), _aside(tally, crossed)),
    }  # fmt: skip


def _row(name: str, n_rows: int, feature: FeatureTally, agreed: Agreed | None) -> dict[str, Any]:
    most, n_most = feature.most
    return {
        "feature": name, "kind": feature.kind, "n": feature.n,
        "null_share": _share(n_rows - feature.n, n_rows), "most": most,
        "most_share": _share(n_most, feature.n) if feature.counts else None,
        "shares": _json(dict(sorted(feature.counts.items())), feature.n),
        "mean": feature.total / feature.n if feature.kind == "number" and feature.n else None,
        "mean_probability": feature.likely / feature.n_likely if feature.n_likely else None,
        "same_in_pair": _share(feature.n_same, feature.n_pairs),
        "n_crossed": agreed.n if agreed else None, "agreement": agreed.agreement if agreed else None,
        "kappa": agreed.kappa if agreed else None,
    }  # fmt: skip


def _verdict(warnings: Sequence[str], aside: str | None = None) -> dict[str, str | None]:
    reason = "; ".join(filter(None, [*warnings, aside])) or None
    return {"verdict": WARN if warnings else OK, "reason": reason}


def _emptiness(feature: FeatureTally) -> str | None:
    return None if feature.n else "no text has a label of it"


def _sameness(feature: FeatureTally) -> str | None:
    """What is said of a feature that hardly varies; of numbers only what does not vary at all."""
    if feature.n < FEW:
        return None
    if feature.kind == "number":
        return f"{feature.low:g} on every text" if feature.low == feature.high else None
    if not is_constant(feature):
        return None
    most, n = feature.most
    return f"{most} on {'every text' if n == feature.n else f'{n / feature.n:.1%} of the texts'}"


def is_constant(feature: FeatureTally) -> bool:
    """Whether a feature of few values hardly varies; a list, if no value of it and no emptiness does."""
    if not feature.n or not feature.counts:
        return False
    shares = [n / feature.n for n in feature.counts.values()]
    if feature.kind == "list":
        return all(max(share, 1 - share) >= NEAR for share in shares)
    return max(shares) >= NEAR


def _twins(tally: LabelerTally) -> dict[str, str]:
    """Booleans that repeat an earlier one on every text, or turn it round."""
    names, n = tally.booleans, tally.n
    varied = [
        i for i, name in enumerate(names)
        if tally.features[name].n == n and TWINS <= tally.true[i, i] <= n - TWINS
    ]  # fmt: skip
    found: dict[str, str] = {}
    for j in varied:
        for i in varied[: varied.index(j)]:
            if tally.equal[i, j] in (0, n):
                relation = "the same as" if tally.equal[i, j] else "the opposite of"
                found.setdefault(names[j], f"{relation} {names[i]} on every text")
    return found


def _disagreement(agreed: Agreed | None, crossed: Crossed | None) -> str | None:
    if agreed is None or crossed is None or not differs(agreed):
        return None
    kappa = "" if agreed.kappa is None else f" (kappa {agreed.kappa:.2f})"
    return f"asked by {crossed.protocol}, the same on only {agreed.agreement:.0%} of {agreed.n} texts{kappa}"


def differs(agreed: Agreed) -> bool:
    """Whether a label depends on how it is asked for: often another one, and little better than by chance."""
    low = agreed.kappa is None or agreed.kappa < LOW_KAPPA
    return agreed.n >= FEW and agreed.agreement < LOW_AGREEMENT and low


def _loud(tally: LabelerTally, crossed: Crossed | None) -> Iterator[str]:
    """What is wrong with the labels as a whole."""
    if tally.n < FEW:
        return
    booleans = [tally.features[name] for name in tally.booleans]
    judged = [f for f in tally.features.values() if f.kind in ("boolean", "enum", "list") and f.n >= FEW]
    n_yes, n_answers = sum(f.counts["true"] for f in booleans), sum(f.n for f in booleans)
    if n_answers and n_yes >= SAYS_YES * n_answers:
        yield f"says yes to nearly everything: {n_yes / n_answers:.0%} of its answers about booleans are true"
    constant = sum(map(is_constant, judged))
    if constant > MOST * len(judged):
        yield (
            f"{constant} of {len(judged)} features have one value on at least {NEAR:.0%} of the texts: "
            "either the labeler does not read them, or they do not differ"
        )
    alike = tally.n_all_true + tally.n_all_false
    if len(booleans) > 2 and alike > MOST * tally.n:
        yield f"all {len(booleans)} booleans have the same value on {alike / tally.n:.0%} of the texts"
    if judged and 2 * tally.n_pairs >= FEW and tally.n_same >= SAME_SIDES * tally.n_pairs:
        yield (
            f"both texts of a pair have the same labels in {tally.n_same / tally.n_pairs:.0%} of the pairs: "
            "few pairs are left to estimate from"
        )
    other = list(crossed.features.values()) if crossed else []
    unlike = sum(map(differs, other))
    if crossed and unlike > MOST * len(other):
        yield (
            f"{unlike} of {len(other)} features depend on how they are asked for: by {crossed.protocol} the "
            f"labels of {crossed.n_texts} texts are others"
        )


def _aside(tally: LabelerTally, crossed: Crossed | None) -> str | None:
    """What is not known, and is no warning."""
    if tally.n < FEW:
        return f"fewer than {FEW} texts: not judged"
    return f"not asked by {crossed.protocol}: {crossed.problem}" if crossed and crossed.problem else None


def _share(n: int, of: int) -> float | None:
    return n / of if of else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _json(counts: Mapping[str, int], n: int) -> str | None:
    shares = {value: round(count / n, 6) for value, count in counts.items()} if n else {}
    return json.dumps(shares, ensure_ascii=False) if shares else None
