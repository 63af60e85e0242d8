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

from seal.stats.equations import flips
from seal.stats.equations.flips import Flip, Moved, same_targets
from seal.stats.options import TIES, USUAL, Inference, Ties
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs
from seal.stats.pairs.rewards import margin
from seal.stats.pairs.sides import SIDES
from seal.stats.pairs.two_sided import INTERCEPT, KeptColumns, choose
from seal.stats.regression.cells import Cells, grouped, number_clusters
from seal.stats.regression.collinearity import Verdict
from seal.stats.regression.inference import INFERENCE, Rows, coefficient_table
from seal.stats.regression.logit import EFFECTS, logit_rows

Direction = Literal["became_misaligned", "became_misaligned_given_aligned", "became_aligned"]
DIRECTIONS: tuple[Direction, ...] = ("became_misaligned", "became_misaligned_given_aligned", "became_aligned")

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "preference", "term", "flip"), pl.String())
    | {"n_flipped": pl.Int64()}
    | INFERENCE
    | EFFECTS
)


@dataclass(frozen=True)
class Robustness:
    """Eq. 4.

    Attributes:
        tables: outcome -> columns of `SCHEMA`; estimates are log odds ratios. `became_misaligned` is Eq. 4 as
            written, over all eligible pairs; `became_misaligned_given_aligned` over those aligned before;
            `became_aligned` the other direction, over all.
        alignment, targets, flips: what rewriting did, in counts (see `seal.stats.equations.flips`).
        verdicts: every flip's verdict.
        tests: McNemar's exact test of the two directions, per model.
        joined: counts of the original's and the rewriting's joins.
        cells, design: the eligible pairs and their flips, for other models of them.
        notes: what a reader must know.
    """

    tables: dict[Direction, pl.DataFrame]
    alignment: pl.DataFrame
    targets: pl.DataFrame
    flips: pl.DataFrame
    verdicts: tuple[tuple[Flip, Verdict], ...]
    tests: tuple[dict[str, object], ...]
    joined: tuple[Joined, Joined]
    cells: Cells
    design: tuple[Flip, ...]
    notes: tuple[str, ...] = ()


def alignment_robustness(
    original: Inputs,
    rewritten: Inputs,
    how: Inference = USUAL,
    *,
    ties: Ties = TIES,
    cluster: str | None = None,
    similarities: pl.LazyFrame | None = None,
) -> Robustness:
    """Estimate Eq. 4 for both models.

    Args:
        original: scores and labels of the dataset's texts.
        rewritten: of the rewritten ones (same features), for as many pairs as were rewritten.
        how: multiplicity over the flips of one model, intervals, collinearity.
        ties: a tie is misaligned; under other rules a pair tied before or after is left out.
        cluster: a column carried with the original's pairs to cluster by.
        similarities: SIMILARITIES of one embedder; their mean and SD stand beside the flips.
    """
    pairs = (Pairs(original), Pairs(rewritten))
    frame = _matched(pairs, original, ties, cluster)
    features, aimed = original.regressed.coded, original.regressed.targets
    moved = _flips(frame, original)[:, : len(features)]
    same = frame.select(same_targets(original.targets)).to_series()
    eligible = frame.filter(same)
    drops = flips.alignment_drop(frame, same, _models(original))
    targets = flips.moved_targets(frame, original.targets, [t.term for t in aimed])
    counts = flips.flip_table(frame, same, moved, features, flips.pair_cosines(frame, similarities))
    others = [i for i, r in enumerate(features) if r.feature not in {t.feature for t in aimed}]
    cells, design = _cells(eligible, moved[same.to_numpy()], features, others, cluster)
    cells = grouped(cells)
    notes = [_left_out(frame.height, frame.height - eligible.height)]
    kept = choose(cells, design, "all", how.max_vif)
    tables = {}
    for outcome in DIRECTIONS:
        tables[outcome], said = _estimate(cells, outcome, kept, original, how)
        notes += said
    return Robustness(
        tables, drops, targets, counts, kept.verdicts, tuple(flips.drop_tests(drops)),
        (pairs[0].joined, pairs[1].joined), cells, tuple(design), tuple(notes),
    )  # fmt: skip


def rewriting_drop(original: Inputs, rewritten: Inputs, ties: Ties = TIES) -> pl.DataFrame:
    """Alignment before and after another rewriting than the mild one, e.g. a placebo.

    Args:
        original, rewritten, ties: as for `alignment_robustness`; the variant is that of `rewritten`.

    Returns:
        Columns of `flips.ALIGNMENT`.
    """
    frame = _matched((Pairs(original), Pairs(rewritten)), original, ties, None)
    same = frame.select(same_targets(original.targets)).to_series()
    return flips.alignment_drop(frame, same, _models(original), rewritten.variant)


def _left_out(n_pairs: int, n_moved: int) -> str:
    share = f" ({n_moved / n_pairs:.1%})" if n_pairs else ""
    return (
        f"robustness: {n_pairs} pairs were rewritten, scored and labeled; a target label changed in "
        f"{n_moved} of them, which are left out{share}"
    )


def _models(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    return (("pre", inputs.pre), ("post", inputs.post))


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
    deltas: dict[str, pl.Expr] = {}
    for model, _ in _models(inputs):
        a, b = pl.col(f"margin_{model}"), pl.col(f"margin_{model}_hat")
        known = pl.lit(True) if ties == "misaligned" else (a != 0) & (b != 0)
        deltas |= {f"aligned_{model}{hat}": pl.when(known).then(m > 0) for hat, m in (("", a), ("_hat", b))}
    return frame.with_columns(**deltas)


def _flips(frame: pl.DataFrame, inputs: Inputs) -> Moved:
    """t - t_hat, shape (pairs, features, sides)."""
    sides = [inputs.codes(frame, side) - inputs.codes(frame, side, "_hat") for side in SIDES]
    return np.stack(sides, axis=2)


def _cells(
    frame: pl.DataFrame,
    moved: Moved,
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
            columns += [(moved[:, j, s] == size).astype(np.int8) for size in sizes]
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
    ids = (
        None
        if cluster is None or not frame.height
        else number_clusters(frame[cluster].to_numpy(), frame.height)
    )
    return Cells(codes, np.empty((frame.height, 0)), counts, sums, sums, ids), design


def _estimate(
    cells: Cells, outcome: Direction, kept: KeptColumns[Flip], inputs: Inputs, how: Inference
) -> tuple[pl.DataFrame, list[str]]:
    rows: Rows = []
    notes: list[str] = []
    for model, name in _models(inputs):
        y, what = f"{outcome}/{model}", f"robustness of {name}, {outcome}"
        flipped = [int(cells.counts[y][cells.codes[:, j] == 1].sum()) for j in kept.positions]
        found, said, _ = logit_rows(cells, y, kept.positions, kept.names, how.level, what)
        rows += [
            {"model": name, "n_flipped": n, **key, **row}
            for key, n, row in zip(kept.keys, [None, *flipped], found, strict=True)
        ]
        notes += said
    return coefficient_table(rows, SCHEMA, "model", how.adjust, outside=INTERCEPT), notes
