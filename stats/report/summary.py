"""What an analysis found, in sentences a reader can quote; every number in them stands in a result table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seal.stats.options import ADJUST, LEVEL
from seal.stats.report.caused import caused_sentences
from seal.stats.report.cautions import Caution, cautions
from seal.stats.report.overview import Imprint, told_imprint
from seal.stats.report.paid import paid_sentences
from seal.stats.report.standing import COEFFICIENTS, best, families_said
from seal.stats.report.tables import is_sure
from seal.stats.report.text import (
    brief,
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

_NAMED = 3

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Passage:
    """A few sentences on one question."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """The passages of a summary, what a reader must be warned of, and the families of tests."""

    passages: tuple[Passage, ...]
    cautions: tuple[Caution, ...]
    families: str


def summarise(results: Results) -> Summary:
    """Say what the tables hold; a table that is missing or empty is said to be so, or passed over."""
    pre, post = results.settings["pre"], results.settings["post"]
    level = float(results.settings.get("level", LEVEL))
    tables = {name: frame.to_dicts() for name, frame in results.tables.items()}
    passages = (
        Passage("What people pay, what the models pay", paid_sentences(results)),
        Passage("Agreement with the people", _agreement(tables, pre, post, level)),
        Passage("What the models reward", _imprint(results, pre, post, level)),
        *_caused(results, pre, post),
        Passage("What predicts resistance", _resistance(results, post)),
        Passage("What flips under rewriting", _robustness(tables, post)),
    )
    return Summary(passages, cautions(results), families_said(results))


def _agreement(tables: Mapping[str, Sequence[Row]], pre: str, post: str, level: float) -> tuple[str, ...]:
    rows = {r["model"]: r for r in tables.get("alignment", ())}
    before, after = rows.get(pre), rows.get(post)
    if not before or not after or before["alignment"] is None or after["alignment"] is None:
        return ("The alignment of the two models is not known.",)
    moved = fixed(100 * (after["alignment"] - before["alignment"]), 1, sign=True)
    sentences = [
        f"{brief(pre)} agrees with the people in {percent(before['alignment'])} of "
        f"{count(before['n_pairs'])} pairs ({100 * level:g}% interval {_share_interval(before)}), "
        f"{brief(post)} in {percent(after['alignment'])} ({_share_interval(after)}): a change of {moved} "
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


def _imprint(results: Results, pre: str, post: str, level: float) -> tuple[str, ...]:
    told = told_imprint(results.tables)
    if not told.rows:
        return ("There is no imprint: no scored pair is labeled on both sides.",)
    decimals = decimals_for([r["std_error"] for r in told.rows.values() if r["std_error"] is not None])
    unit = f" {told.unit}" if told.unit else ""

    def said(row: Row) -> str:
        ends = f"{fixed(row['conf_low'], decimals)} to {fixed(row['conf_high'], decimals)}"
        return f"“{brief(words(row['term']))}” ({fixed(row['estimate'], decimals, sign=True)}{unit}, {ends})"

    def of(model: str) -> list[Row]:
        rows = _sure(r for (m, _), r in told.rows.items() if m == model)
        return sorted(rows, key=lambda r: -r["estimate"])

    changes = of(f"{post}-{pre}")
    up = [said(r) for r in changes if r["estimate"] > 0][:_NAMED]
    down = [said(r) for r in changes[::-1] if r["estimate"] < 0][:_NAMED]
    between = f"From {brief(pre)} to {brief(post)}, reward"
    sentences = [] if told.table == "imprint_corrected" else [_uncorrected(results, "imprint")]
    if up:
        sentences.append(f"{between} rose most for {listed(up)}.")
    if down:
        sentences.append(f"{'It' if up else between} fell most for {listed(down)}.")
    if changes:
        sentences.append(_unit(results, told, len(up) + len(down), len(changes), level))
    else:
        sentences.append(f"No feature's reward changed significantly from {brief(pre)} to {brief(post)}.")
    after = of(post)
    if after and after[0]["estimate"] > 0:
        sentences.append(f"After training, {said(after[0])} brings the most reward.")
    if after and after[-1]["estimate"] < 0:
        sentences.append(f"After training, {said(after[-1])} costs the most.")
    return tuple(s for s in sentences if s)


def _unit(results: Results, told: Imprint, named: int, changes: int, level: float) -> str:
    adjust = str(results.settings.get("adjust", ADJUST))
    unit = (
        "in SDs of each model's own margins" if told.unit else "in reward units, which models need not share,"
    )
    head = "This is the one significant change,"
    if changes > 1:
        head = f"These {named} of {changes} significant changes are"
    return (
        f"{head} {unit} with {100 * level:g}% intervals; significant means "
        f"an adjusted p ({brief(adjust)}) of at most 0.05."
    )


def _uncorrected(results: Results, name: str) -> str:
    """What is said before coefficients whose labels are taken as true, where others are corrected."""
    some = any(best(results.tables, t) != t for t in COEFFICIENTS)
    return "Not corrected for label errors:" if some and best(results.tables, name) == name else ""


def _caused(results: Results, pre: str, post: str) -> tuple[Passage, ...]:
    said = caused_sentences(results.tables, (pre, post))
    return (Passage("What a change of one attribute does", said),) if said else ()


def _resistance(results: Results, post: str) -> tuple[str, ...]:
    name = best(results.tables, "resistance")
    rows = _predictors(results, name, post)
    if not rows and name != "resistance":  # gold may correct one model and not the other
        name = "resistance"
        rows = _predictors(results, name, post)
    if not rows:
        return ("There is no regression of resistance.",)
    if not _sure(rows):
        return (f"No feature predicts the misalignment of {brief(post)} significantly.",)
    points = any(r.get("ame") is not None for r in _sure(rows))
    measure = (
        "Points are average marginal effects on the probability of misalignment; all" if points else "All"
    )
    return (
        *_more_and_less(rows, f"{brief(post)} is misaligned", "It is misaligned"),
        f"{measure} are significant{', corrected for label errors' if name != 'resistance' else ''}.",
    )


def _predictors(results: Results, name: str, model: str) -> list[Row]:
    """One model's coefficients of a logit, its intercept left out."""
    frame = results.tables.get(name)
    found = [] if frame is None else frame.to_dicts()
    return [r for r in found if r["model"] == model and r.get("preference")]


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
        nothing = f"Among {pairs}, no lost or gained label predicts significantly that {brief(post)} turns."
        return (nothing, *tested)
    start = f"Among {pairs}, "
    turned = (f"{start}{brief(post)} turns misaligned", f"{start}it turns misaligned")
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
    odds = f"log odds {fixed(row['estimate'], 2, sign=True)}"
    if row.get("odds_ratio") is not None:
        odds = f"odds ratio {significant(row['odds_ratio'])}"
    where = f"{'in' if flip else 'on'} the {brief(row['preference'])} text"
    return f"“{brief(words(row['term']))}”{visible(flip) and f' {visible(flip)}'} {where} ({points}{odds})"
