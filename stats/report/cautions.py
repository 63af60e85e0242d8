"""What a reader must be warned of, grouped by kind: the notes of the analysis and what its tables show."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seal.stats.options import MIN_ALPHA
from seal.stats.report.captions import KINDS, OTHER_KIND
from seal.stats.report.tables import lowest_alphas
from seal.stats.report.text import brief, count, fixed, listed, significant, visible, words
from seal.stats.results import Results

_FAMILIES = "p-values are adjusted within each of"  # the summary says it in a line of its own
FEW_PAIRS = 100  # fewer informative pairs than this: the estimate hangs on them

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Caution:
    """Warnings of one kind."""

    kind: str
    sentences: tuple[str, ...]


def cautions(results: Results) -> tuple[Caution, ...]:
    """All warnings by kind, in the order of `KINDS`; each sentence once."""
    tables = {name: frame.to_dicts() for name, frame in results.tables.items()}
    notes = (n for n in results.notes if not n.startswith(_FAMILIES))
    said = (*notes, *_doubtful(results), *_few_pairs(tables), *_left_out(tables))
    return grouped(visible(sentence) for sentence in said)


def grouped(sentences: Iterable[str]) -> tuple[Caution, ...]:
    """Sentences by kind; what no kind knows comes last."""
    by: dict[str, list[str]] = {kind: [] for kind in (*(k for k, _ in KINDS), OTHER_KIND)}
    for sentence in dict.fromkeys(sentences):
        kind = next((k for k, pattern in KINDS if re.search(pattern, sentence)), OTHER_KIND)
        by[kind].append(sentence)
    return tuple(Caution(kind, tuple(found)) for kind, found in by.items() if found)


def _doubtful(results: Results) -> list[str]:
    """Features on which labelers agree too little, and labels that nobody else has checked."""
    floor = float(results.settings.get("min_alpha", MIN_ALPHA))
    labelers = results.tables.get("labelers")
    if labelers is None or not labelers.height:
        return ["One labeler only: how reliable its labels are is not known from these data."]
    doubtful = {f: a for f, a in lowest_alphas(labelers).items() if a < floor}
    if not doubtful:
        return []
    named = [f"“{brief(words(f))}” ({fixed(a, 2)})" for f, a in sorted(doubtful.items(), key=lambda x: x[1])]
    return [
        f"Labelers agree too little (alpha under {floor:g}) on {listed(named)}: read coefficients of these "
        "with care."
    ]


def _few_pairs(tables: Mapping[str, Sequence[Row]]) -> list[str]:
    found: dict[str, int] = {}
    for row in tables.get("imprint", ()):
        n = row.get("n_informative")
        if n is not None and n < FEW_PAIRS:
            found[row["term"]] = n
    named = [f"“{brief(words(t))}” ({count(n)})" for t, n in sorted(found.items(), key=lambda x: x[1])]
    return [f"Fewer than {FEW_PAIRS} informative pairs: {listed(named)}."] if named else []


def _left_out(tables: Mapping[str, Sequence[Row]]) -> list[str]:
    """Regressors that a large VIF dropped from Eq. 1: their effect is in those that stayed."""
    dropped = [
        f"“{brief(words(r['term']))}” (VIF {significant(r['vif'])})"
        for r in tables.get("vif", ())
        if r["equation"] == "imprint" and not r["kept"] and r["vif"] is not None
    ]
    return [f"Left out of Eq. 1 for collinearity: {listed(dropped)}."] if dropped else []
