"""Eq. 4, alignment robustness: which label flips go with a pair that is no longer aligned once rewritten.

Among rewritten pairs whose target labels did not change, a logit of delta (1 - delta_hat) on flips t - t_hat
of each other feature in each text, as categories beside "no flip": lost (+1) and gained (-1), for a feature
that moves by two also lost_2 and gained_2. HC0 variance, z statistics; Firth's logit where a flip separates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from engine.errors import InputError
from engine.schema import SIMILARITIES, check
from stats import vif
from stats.alignment import Ties
from stats.cells import Cells, cluster_ids, grouped, unpack
from stats.design import SIDES, Inputs, Joined, Pairs, collect_all
from stats.features import Regressor
from stats.imprint import INFERENCE
from stats.inference import Adjust, adjust_families, mcnemar_exact
from stats.linear import centred, cross_products
from stats.resistance import EFFECTS, logit_rows
from stats.rewards import margin
from stats.sides import INTERCEPT

Outcome = Literal["became_misaligned", "became_misaligned_given_aligned", "became_aligned"]
OUTCOMES: tuple[Outcome, ...] = ("became_misaligned", "became_misaligned_given_aligned", "became_aligned")
FLIPS = {-2: "gained_2", -1: "gained", 1: "lost", 2: "lost_2"}

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "preference", "term", "flip"), pl.String())
    | {"n_flipped": pl.Int64()}
    | INFERENCE
    | EFFECTS
)


@dataclass(frozen=True)
class Flip:
    """One column of the design: a feature of one text moved by `size` = label - label of the rewriting."""

    regressor: Regressor
    preference: str
    size: int

    @property
    def name(self) -> str:
        """As read in reasons and notes."""
        return f"{self.regressor.term} ({self.preference}, {FLIPS[self.size]})"


@dataclass(frozen=True)
class Robustness:
    """Eq. 4.

    Attributes:
        tables: outcome -> columns of `SCHEMA`; estimates are log odds ratios. `became_misaligned` is Eq. 4 as
            written, over all eligible pairs; `became_misaligned_given_aligned` over those aligned before;
            `became_aligned` the other direction, over all.
        flips: `term`, `preference`, `size`, `n_pairs`, and per model how many became misaligned and aligned.
        verdicts: every flip's verdict.
        tests: McNemar's exact test of the two directions, per model.
        joined: counts of the original's and the rewriting's joins.
        cells, design: the eligible pairs and their flips, for other models of them.
        notes: what a reader must know.
    """

    tables: dict[Outcome, pl.DataFrame]
    flips: pl.DataFrame
    verdicts: tuple[tuple[Flip, vif.Verdict], ...]
    tests: tuple[dict[str, object], ...]
    joined: tuple[Joined, Joined]
    cells: Cells
    design: tuple[Flip, ...]
    notes: tuple[str, ...] = ()


def alignment_robustness(
    original: Inputs,
    rewritten: Inputs,
    *,
    ties: Ties = "misaligned",
    adjust: Adjust = "holm",
    level: float = 0.95,
    max_vif: float = vif.THRESHOLD,
    cluster: str | None = None,
    similarities: pl.LazyFrame | None = None,
) -> Robustness:
    """Estimate Eq. 4 for both models.

    Args:
        original: scores and labels of the dataset's texts.
        rewritten: of the rewritten ones (same features), for as many pairs as were rewritten.
        ties: a tie is misaligned; under other rules a pair tied before or after is left out.
        adjust: for multiplicity over the flips of one model.
        level: of the intervals.
        max_vif: flips above it are dropped.
        cluster: a column carried with the original's pairs to cluster by.
        similarities: SIMILARITIES of one embedder; their mean and SD stand beside the flips.
    """
    pairs = (Pairs(original), Pairs(rewritten))
    frame = _matched(pairs, original, ties, cluster)
    features = _coded(original)
    eligible = frame.filter(pl.all_horizontal([pl.lit(True), *_same_targets(original)]))
    flips = _flips(eligible, len(features) + len(_curves(original)), len(original.words))[:, : len(features)]
    others = [i for i, r in enumerate(features) if r.feature not in {t.feature for t in _targets(original)}]
    cells, design = _cells(eligible, flips, features, others, cluster)
    counts = _flip_counts(cells, design, _cosines(eligible, similarities))
    cells = grouped(cells)
    notes = [
        f"robustness: {frame.height} pairs were rewritten, scored and labeled; a target label changed in "
        f"{frame.height - eligible.height} of them, which are left out"
    ]
    verdicts = vif.select(
        centred(cross_products(cells, "all", range(len(design)), intercept=True)),
        [d.name for d in design],
        threshold=max_vif,
    )
    kept = [j for j, v in enumerate(verdicts) if v.kept]
    tables = {}
    for outcome in OUTCOMES:
        tables[outcome], said = _estimate(cells, outcome, design, kept, original, adjust, level)
        notes += said
    tests = tuple(_directions(eligible, model, name) for model, name in _models(original))
    fates, counted = tuple(zip(design, verdicts, strict=True)), (pairs[0].joined, pairs[1].joined)
    return Robustness(tables, counts, fates, tests, counted, cells, tuple(design), tuple(notes))


def _models(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    return (("pre", inputs.pre), ("post", inputs.post))


def _coded(inputs: Inputs) -> tuple[Regressor, ...]:
    assert inputs.features is not None
    return inputs.features.coded


def _curves(inputs: Inputs) -> tuple[Regressor, ...]:
    assert inputs.features is not None
    return inputs.features.curves


def _targets(inputs: Inputs) -> tuple[Regressor, ...]:
    assert inputs.features is not None
    return inputs.features.targets


def _matched(pairs: Sequence[Pairs], inputs: Inputs, ties: Ties, cluster: str | None) -> pl.DataFrame:
    """Rewritten pairs beside their originals, `_hat` for the rewriting, with both models' deltas."""
    words = [f"{b}_{s}" for b in (*inputs.words, *inputs.targets) for s in SIDES]
    margins = {f"margin_{m}": margin(m) for m, _ in _models(inputs)}
    hat = [b.filter("regressed").select("row_id", *words, **margins) for b in pairs[1]]
    empty = pl.DataFrame(schema={"row_id": pl.Int64} | dict.fromkeys([*words, *margins], pl.Float64))
    rewritten = pl.concat(hat) if hat else empty
    ids = rewritten.select("row_id")
    carried = [cluster] if cluster else []
    own = [b.filter("regressed").join(ids, on="row_id", how="semi") for b in pairs[0]]
    before = pl.concat(own).select("row_id", *carried, *words, **margins) if own else empty
    frame = before.join(rewritten, on="row_id", suffix="_hat").sort("row_id")
    for model, _ in _models(inputs):
        a, b = pl.col(f"margin_{model}"), pl.col(f"margin_{model}_hat")
        known = pl.lit(True) if ties == "misaligned" else (a != 0) & (b != 0)
        frame = frame.with_columns(
            pl.when(known).then(a > 0).alias(f"aligned_{model}"),
            pl.when(known).then(b > 0).alias(f"aligned_{model}_hat"),
        )
    return frame


def _same_targets(inputs: Inputs) -> list[pl.Expr]:
    return [pl.col(f"{t}_{s}") == pl.col(f"{t}_{s}_hat") for t in inputs.targets for s in SIDES]


def _flips(
    frame: pl.DataFrame, n_fields: int, n_words: int
) -> np.ndarray[tuple[int, int, int], np.dtype[np.int8]]:
    """t - t_hat, shape (pairs, features, sides)."""
    sides = []
    for side in SIDES:
        before = unpack(frame.select(f"w{i}_{side}" for i in range(n_words)), n_fields, 1)
        after = unpack(frame.select(f"w{i}_{side}_hat" for i in range(n_words)), n_fields, 1)
        sides.append(before - after)
    return np.stack(sides, axis=2)


def _cells(
    frame: pl.DataFrame,
    flips: np.ndarray,
    features: Sequence[Regressor],
    others: Sequence[int],
    cluster: str | None,
) -> tuple[Cells, list[Flip]]:
    """A 0/1 column for each flip that could occur, one cell a pair, and the outcomes of both models."""
    design, columns = [], []
    for s, side in enumerate(SIDES):
        for j in others:
            sizes = (1, -1, 2, -2) if features[j].kind == "ternary" else (1, -1)
            design += [Flip(features[j], side, size) for size in sizes]
            columns += [(flips[:, j, s] == size).astype(np.int8) for size in sizes]
    codes = np.stack(columns, axis=1) if columns else np.empty((frame.height, 0), dtype=np.int8)
    found = {"all": pl.lit(1.0)}
    for model in ("pre", "post"):
        before, after = pl.col(f"aligned_{model}"), pl.col(f"aligned_{model}_hat")
        found |= {
            f"became_misaligned/{model}": before & ~after,
            f"became_misaligned_given_aligned/{model}": pl.when(before).then(~after),
            f"became_aligned/{model}": ~before & after,
        }
    y = frame.select(**{k: v.cast(pl.Float64) for k, v in found.items()})
    counts = {k: y[k].is_not_null().cast(pl.Float64).to_numpy() for k in found}
    sums = {k: y[k].fill_null(0.0).to_numpy() for k in found}
    return Cells(codes, np.empty((frame.height, 0)), counts, sums, sums, cluster_ids(frame, cluster)), design


def _cosines(frame: pl.DataFrame, similarities: pl.LazyFrame | None) -> pl.Series | None:
    """Mean cosine of each pair's two texts, aligned with the frame; null where one is missing."""
    if similarities is None:
        return None
    checked = check(similarities, SIMILARITIES, origin="similarities")
    (found,) = collect_all([checked.join(frame.lazy().select("row_id"), on="row_id", how="semi")])
    if found["embedder"].n_unique() > 1:
        raise InputError(
            f"similarities of several embedders: {', '.join(sorted(found['embedder'].unique()))}; give one"
        )
    if found.select("row_id", "preference").is_duplicated().any():
        raise InputError(
            "similarities: a text stands there twice; every (row_id, preference) must stand once"
        )
    cosine = pl.col("cosine").cast(pl.Float64)
    means = found.group_by("row_id").agg(cosine=pl.when(cosine.count() == 2).then(cosine.mean()))
    return frame.join(means, on="row_id", how="left", maintain_order="left")["cosine"]


def _flip_counts(cells: Cells, design: Sequence[Flip], cosines: pl.Series | None) -> pl.DataFrame:
    rows = []
    for j, flip in enumerate(design):
        here = cells.codes[:, j] == 1
        row: dict[str, object] = {"term": flip.regressor.term, "preference": flip.preference}
        row |= {"flip": FLIPS[flip.size], "n_pairs": int(here.sum())}
        for outcome in ("became_misaligned", "became_aligned"):
            for model in ("pre", "post"):
                row[f"n_{outcome}_{model}"] = int(cells.sums[f"{outcome}/{model}"][here].sum())
        if cosines is not None:
            part = cosines.filter(pl.Series(here))
            row |= {"cosine_mean": part.mean(), "cosine_sd": part.std()}
        rows.append(row)
    kinds = {"term": pl.String, "preference": pl.String, "flip": pl.String}
    floats = {"cosine_mean": pl.Float64, "cosine_sd": pl.Float64}
    names = list(rows[0]) if rows else ["term", "preference", "flip", "n_pairs"]
    return pl.DataFrame(rows, schema={n: kinds.get(n) or floats.get(n, pl.Int64) for n in names})


def _estimate(
    cells: Cells,
    outcome: Outcome,
    design: Sequence[Flip],
    kept: Sequence[int],
    inputs: Inputs,
    method: Adjust,
    level: float,
) -> tuple[pl.DataFrame, list[str]]:
    rows: list[dict[str, object]] = []
    notes: list[str] = []
    names = [INTERCEPT, *(design[j].name for j in kept)]
    for model, name in _models(inputs):
        key = f"{outcome}/{model}"
        found, said, _ = logit_rows(cells, key, kept, names, level, f"robustness of {name}, {outcome}")
        notes += said
        for i, row in enumerate(found):
            flip = design[kept[i - 1]] if i else None
            rows.append(
                {
                    "model": name,
                    "preference": flip.preference if flip else None,
                    "term": flip.regressor.term if flip else INTERCEPT,
                    "flip": FLIPS[flip.size] if flip else None,
                    "n_flipped": int(cells.counts[key][cells.codes[:, kept[i - 1]] == 1].sum())
                    if flip
                    else None,
                    **row,
                }
            )
    table = pl.DataFrame(rows, schema=SCHEMA)
    return adjust_families(table, ["model"], method, outside=(INTERCEPT,)), notes


def _directions(frame: pl.DataFrame, model: str, name: str) -> dict[str, object]:
    before, after = pl.col(f"aligned_{model}"), pl.col(f"aligned_{model}_hat")
    counts = frame.select(lost=(before & ~after).sum(), gained=(~before & after).sum(), n=after.count())
    lost, gained, n = counts.row(0)
    statistic, p_value = mcnemar_exact(int(lost), int(gained))
    group = f"{name}: original against rewritten, {lost} became misaligned, {gained} aligned"
    return {
        "test": "mcnemar_exact",
        "group": group,
        "statistic": float(statistic),
        "p_value": p_value,
        "n": int(n),
    }
