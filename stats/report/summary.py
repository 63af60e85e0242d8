"""What an analysis found, in sentences a reader can quote; every number in them stands in a result table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seal.stats.options import ADJUST, LEVEL, MIN_ALPHA
from seal.stats.report.tables import is_sure, lowest_alphas
from seal.stats.report.text import (
    count,
    decimals_for,
    fixed,
    listed,
    p_value,
    percent,
    significant,
    visible,
    words,
)
from seal.stats.results import Results

FEW_PAIRS = 100  # fewer informative pairs than this: the estimate hangs on them
_NAMED = 3
_LONGEST = 80  # characters of a name in a sentence

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Passage:
    """A few sentences on one question."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """The passages of a summary, and what a reader must be warned of."""

    passages: tuple[Passage, ...]
    cautions: tuple[str, ...]


def summarise(results: Results) -> Summary:
    """Say what the tables hold; a table that is missing or empty is said to be so, or passed over."""
    pre, post = results.settings["pre"], results.settings["post"]
    level = float(results.settings.get("level", LEVEL))
    adjust = str(results.settings.get("adjust", ADJUST))
    tables = {name: frame.to_dicts() for name, frame in results.tables.items()}
    passages = (
        Passage("Agreement with the people", _agreement(tables, pre, post, level)),
        Passage("What the models reward", _imprint(tables, pre, post, level, adjust)),
        Passage("What predicts resistance", _resistance(tables, post)),
        Passage("What flips under rewriting", _robustness(tables, post)),
    )
    cautions = (*results.notes, *_doubtful(results), *_few_pairs(tables), *_left_out(tables))
    return Summary(passages, tuple(dict.fromkeys(visible(c) for c in cautions)))


def _name(text: object) -> str:
    shown = visible(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _agreement(tables: Mapping[str, Sequence[Row]], pre: str, post: str, level: float) -> tuple[str, ...]:
    rows = {r["model"]: r for r in tables.get("alignment", ())}
    before, after = rows.get(pre), rows.get(post)
    if not before or not after or before["alignment"] is None or after["alignment"] is None:
        return ("The alignment of the two models is not known.",)
    moved = fixed(100 * (after["alignment"] - before["alignment"]), 1, sign=True)
    sentences = [
        f"{_name(pre)} agrees with the people in {percent(before['alignment'])} of "
        f"{count(before['n_pairs'])} pairs ({100 * level:g}% interval {_share_interval(before)}), "
        f"{_name(post)} in {percent(after['alignment'])} ({_share_interval(after)}): a change of {moved} "
        "percentage points."
    ]
    regimes = {r["regime"]: r for r in tables.get("regimes", ())}
    if {"became_aligned", "reversed_alignment", "stayed_misaligned"} <= regimes.keys():
        sentences += _regimes(regimes)
    return tuple(sentences)


def _share_interval(row: Row) -> str:
    return f"{percent(row['conf_low'])} to {percent(row['conf_high'])}"


def _regimes(regimes: Mapping[str, Row]) -> list[str]:
    def part(name: str) -> str:
        row = regimes[name]
        return f"{count(row['n_pairs'])} pairs ({percent(row['prevalence'] or 0)})"

    said = [
        f"Training aligned {part('became_aligned')} and turned {part('reversed_alignment')} away; "
        f"{part('stayed_misaligned')} stay misaligned."
    ]
    stuck = regimes["stayed_misaligned"]
    if stuck.get("agreement") is not None:
        ends = f"{percent(stuck['agreement_conf_low'])} to {percent(stuck['agreement_conf_high'])}"
        said.append(
            f"Of those that stay misaligned and that the labeler decides, it sides with the people in "
            f"{percent(stuck['agreement'])} ({ends})."
        )
    return said


def _sure(rows: Iterable[Row]) -> list[Row]:
    return [r for r in rows if is_sure(r) and r["estimate"] is not None]


def _imprint(
    tables: Mapping[str, Sequence[Row]], pre: str, post: str, level: float, adjust: str
) -> tuple[str, ...]:
    rows = tables.get("imprint", ())
    if not rows:
        return ("There is no imprint: no scored pair is labeled on both sides.",)
    decimals = decimals_for([r["std_error"] for r in rows if r["std_error"] is not None])
    changes = sorted(_sure(r for r in rows if r["model"] == f"{post}-{pre}"), key=lambda r: -r["estimate"])
    up = [r for r in changes if r["estimate"] > 0][:_NAMED]
    down = [r for r in changes[::-1] if r["estimate"] < 0][:_NAMED]

    def said(row: Row) -> str:
        ends = f"{fixed(row['conf_low'], decimals)} to {fixed(row['conf_high'], decimals)}"
        return f"“{_name(words(row['term']))}” ({fixed(row['estimate'], decimals, sign=True)}, {ends})"

    between = f"From {_name(pre)} to {_name(post)}, reward"
    sentences = []
    if up:
        sentences.append(f"{between} rose most for {listed([*map(said, up)])}.")
    if down:
        sentences.append(f"{'It' if up else between} fell most for {listed([*map(said, down)])}.")
    if not changes:
        sentences.append(f"No feature's reward changed significantly from {_name(pre)} to {_name(post)}.")
    else:
        sentences.append(
            f"These {len(up) + len(down)} of {len(changes)} significant changes are in reward units with "
            f"{100 * level:g}% intervals; significant means an adjusted p ({_name(adjust)}) of at most 0.05."
        )
    after = sorted(_sure(r for r in rows if r["model"] == post), key=lambda r: -r["estimate"])
    if after and after[0]["estimate"] > 0:
        sentences.append(f"After training, {said(after[0])} brings the most reward.")
    if after and after[-1]["estimate"] < 0:
        sentences.append(f"After training, {said(after[-1])} costs the most.")
    return tuple(sentences)


def _resistance(tables: Mapping[str, Sequence[Row]], post: str) -> tuple[str, ...]:
    rows = [r for r in tables.get("resistance", ()) if r["model"] == post and r.get("preference")]
    if not rows:
        return ("There is no regression of resistance.",)
    if not _sure(rows):
        return (f"No feature predicts the misalignment of {_name(post)} significantly.",)
    return (
        *_more_and_less(rows, f"{_name(post)} is misaligned", "It is misaligned"),
        "Points are average marginal effects on the probability of misalignment; all are significant.",
    )


def _more_and_less(rows: Sequence[Row], more: str, less: str) -> list[str]:
    """What raises the odds most, and what lowers them; the two start as is said."""
    found = _effects(_sure(rows))
    up = [_effect(r) for r in found if r["estimate"] > 0][:_NAMED]
    down = [_effect(r) for r in found if r["estimate"] < 0][:_NAMED]
    said = [(more, "more", up), (less, "less", down)]
    return [f"{start} {how} often with {listed(named)}." for start, how, named in said if named]


def _robustness(tables: Mapping[str, Sequence[Row]], post: str) -> tuple[str, ...]:
    if "robustness" not in tables:
        return ("Rewritten texts are not part of this analysis.",)
    rows = [r for r in tables["robustness"] if r["model"] == post and r.get("preference")]
    if not rows:
        return ("No label flipped often enough in rewriting to say anything.",)
    pairs = f"{count(rows[0]['n_pairs'])} rewritten pairs"
    tested = _mcnemar(tables, post)
    if not _sure(rows):
        nothing = f"Among {pairs}, no lost or gained label predicts significantly that {_name(post)} turns."
        return (nothing, *tested)
    start = f"Among {pairs}, "
    turned = (f"{start}{_name(post)} turns misaligned", f"{start}it turns misaligned")
    return (*_more_and_less(rows, *turned), *tested)


def _mcnemar(tables: Mapping[str, Sequence[Row]], post: str) -> list[str]:
    """Whether rewriting turned more pairs one way than the other."""
    start = f"{post}: original against rewritten"
    return [
        f"McNemar's exact test, {visible(r['group'])}: p {p_value(r['p_value'])}."
        for r in tables.get("tests", ())
        if r["test"] == "mcnemar_exact" and r["group"].startswith(start) and r["p_value"] is not None
    ]


def _effects(rows: Sequence[Row]) -> list[Row]:
    """The largest first: by marginal effect, by log odds where there is none."""
    return sorted(rows, key=lambda r: (r.get("ame") is None, -abs(r.get("ame") or r["estimate"])))


def _effect(row: Row) -> str:
    flip = f" {row['flip']}" if row.get("flip") else ""
    points = "" if row.get("ame") is None else f"{fixed(100 * row['ame'], 1, sign=True)} points, "
    odds = "" if row.get("odds_ratio") is None else f"odds ratio {significant(row['odds_ratio'])}"
    where = f"{'in' if flip else 'on'} the {_name(row['preference'])} text"
    return f"“{_name(words(row['term']))}”{visible(flip) and f' {visible(flip)}'} {where} ({points}{odds})"


def _doubtful(results: Results) -> list[str]:
    """Features on which labelers agree too little, and labels that nobody else has checked."""
    floor = float(results.settings.get("min_alpha", MIN_ALPHA))
    labelers = results.tables.get("labelers")
    if labelers is None or not labelers.height:
        return ["One labeler only: how reliable its labels are is not known from these data."]
    doubtful = {f: a for f, a in lowest_alphas(labelers).items() if a < floor}
    if not doubtful:
        return []
    named = [f"“{_name(words(f))}” ({fixed(a, 2)})" for f, a in sorted(doubtful.items(), key=lambda x: x[1])]
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
    named = [f"“{_name(words(t))}” ({count(n)})" for t, n in sorted(found.items(), key=lambda x: x[1])]
    return [f"Fewer than {FEW_PAIRS} informative pairs: {listed(named)}."] if named else []


def _left_out(tables: Mapping[str, Sequence[Row]]) -> list[str]:
    """Regressors that a large VIF dropped from Eq. 1: their effect is in those that stayed."""
    dropped = [
        f"“{_name(words(r['term']))}” (VIF {significant(r['vif'])})"
        for r in tables.get("vif", ())
        if r["equation"] == "imprint" and not r["kept"] and r["vif"] is not None
    ]
    return [f"Left out of Eq. 1 for collinearity: {listed(dropped)}."] if dropped else []
