"""What perturbing the responses does to a model's judgement: flips, alignment, margins and rewards.

After reWordBench (arXiv 2503.11751). A pair and its perturbed twin are compared under the same model: whether
the order of the two texts flips, whether the pair is still aligned (McNemar's exact test), and how far margin
and rewards move, in SDs s of the model's own margins. The mean of a change x over n pairs is set in SDs as
mean(x) / s, where s is estimated too: pair i has the influence

    (x_i - mean x) / (n s) - mean(x) / (2 s^3 N) ((m_i - mean m)^2 - s^2),

the first where it is perturbed, the second where it is one of the N pairs that s is of. Influences are summed
by cluster, block by block: a cluster whose pairs lie in one block is squared there, the others at the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.perturbed import CHANGES_MEANING, DOES_NOT_APPLY, PREFIX
from seal.engine.frames.schema import FAILURES, SCORES, check
from seal.stats.options import TIES, USUAL, Inference, Ties
from seal.stats.pairs.joins import collect_all
from seal.stats.pairs.rewards import RewardScale
from seal.stats.pairs.twins import JUDGED, Twins
from seal.stats.regression.cells import summed
from seal.stats.regression.inference import Floats, Rows, adjust, coefficient, mcnemar_exact, wilson

_CHANGES = ("margin", "reward")
_ENDS = {"std_error": "std_error", "conf_low": "change_low", "conf_high": "change_high"}
SCHEMA: dict[str, pl.DataType] = {
    "perturbation": pl.String(), "keeps_meaning": pl.Boolean(), "model": pl.String(), "n_pairs": pl.Int64(),
    "n_not_applied": pl.Int64(),
    **dict.fromkeys(("flipped", "conf_low", "conf_high"), pl.Float64()),
    **dict.fromkeys(("alignment_before", "alignment_after", "alignment_change"), pl.Float64()),
    "n_became_misaligned": pl.Int64(), "n_became_aligned": pl.Int64(),
    **dict.fromkeys(("p_value", "p_adjusted"), pl.Float64()),
    **{f"{x}_{c}": pl.Float64() for x in _CHANGES for c in ("change", *_ENDS.values())},
}  # fmt: skip
_LINE = ["perturbation", "model"]
_PARTS = ("margin", "reward", "n", "v")  # of a cluster: sums of the two changes, pairs, and of the SD's part
_PRODUCTS = (("margin", "margin"), ("margin", "n"), ("margin", "v"), ("reward", "reward"), ("reward", "n"),
             ("reward", "v"), ("n", "n"), ("n", "v"))  # fmt: skip


@dataclass(frozen=True)
class Perturbed:
    """What perturbing did.

    Attributes:
        table: columns of `SCHEMA`, a row a perturbation and model; those that keep the meaning first.
        notes: what a reader must know.
    """

    table: pl.DataFrame
    notes: tuple[str, ...] = ()


def estimate_perturbations(
    rows: Iterable[pl.DataFrame],
    models: tuple[tuple[str, str], ...],
    scores: pl.LazyFrame,
    scale: RewardScale,
    how: Inference = USUAL,
    *,
    ties: Ties = TIES,
    cluster: str | None = None,
    failures: pl.LazyFrame | None = None,
) -> Perturbed:
    """Compare pairs with their perturbed twins.

    Args:
        rows: blocks of `seal.stats.pairs.joins.Pairs`, sorted by `row_id`; walked through twice.
        models: what blocks call the models (`pre`, `post`), and their names.
        scores: SCORES of variants `perturb:<name>`; other variants are passed over.
        scale: SDs of the models' margins, and how many pairs they are of.
        how: level of the intervals, rule of multiplicity; a family is a model's perturbations.
        ties: what equal rewards count as in alignment; `half` and `drop` leave them out of McNemar's test. A
            tie before or after is no flip.
        cluster: column of the blocks that errors are clustered by; None for the pair.
        failures: FAILURES of the perturbed texts, for the pairs to which a perturbation did not apply.

    Raises:
        InputError: no text is perturbed, none belongs to a pair, or a key stands twice.
    """
    typed = check(scores, SCORES, origin="perturbed scores", columns=("reward",))
    typed = typed.filter(pl.col("variant").str.starts_with(PREFIX))
    walk = Twins(rows, models, typed, scale, ties, cluster or "row_id")
    tally = _Tally(walk.split())
    for pairs, spread in walk.blocks():
        tally.add(pairs, spread, walk.by)
    counts = tally.counts()
    if not counts.height:
        raise InputError(
            "the perturbed scores hold no pair of the scores with both texts of a variant perturb:NAME; are "
            "they of what seal rewrite --perturb wrote of the same texts, by the same models?"
        )
    table = _table(counts, tally.products(), tally.square, dict(models), scale, how, ties)
    left = _not_applied(failures)
    table = table.join(left, on="perturbation", how="left").select(*SCHEMA)
    if failures is not None:
        table = table.with_columns(pl.col("n_not_applied").fill_null(0))
    order = {name: i for i, name in enumerate(CHANGES_MEANING)}
    place = pl.col("perturbation").replace_strict(order, default=-1, return_dtype=pl.Int64)
    table = table.sort(place, *_LINE)
    notes = []
    if walk.n_incomplete:
        notes.append(f"{walk.n_incomplete} perturbed pairs lack a finite reward of one text: left out")
    if idle := sorted(set(left["perturbation"]) - set(table["perturbation"])):
        notes.append(f"perturbations that change no pair have no row: {', '.join(idle)}")
    return Perturbed(table, tuple(notes))


@dataclass
class _Tally:
    """Sums over all parts; `split` are the clusters that lie in several."""

    split: pl.Series
    square: dict[str, float] = field(
        default_factory=dict
    )  # by model: the SD's parts of all clusters, squared
    _counts: list[pl.DataFrame] = field(default_factory=list)
    _products: list[pl.DataFrame] = field(default_factory=list)
    _open: list[pl.DataFrame] = field(default_factory=list)
    _open_spread: list[pl.DataFrame] = field(default_factory=list)

    def add(self, pairs: pl.DataFrame, spread: pl.DataFrame, by: str) -> None:
        """Add a part (see `Twins.blocks`)."""
        sums = [*(pl.col(c).sum() for c in JUDGED), *(pl.col(f"{x}").sum() for x in _CHANGES)]
        self._counts.append(summed(pairs, _LINE, sums))
        clusters = summed(pairs, [*_LINE, by], [pl.col(*_CHANGES, "n").sum()]).rename({by: "cluster"})
        own = summed(spread, ["model", by], [pl.col("v").sum()]).rename({by: "cluster"})
        is_open = pl.col("cluster").is_in(self.split.implode())
        if len(self.split):
            self._open.append(clusters.filter(is_open))
            self._open_spread.append(own.filter(is_open))
            clusters, own = clusters.filter(~is_open), own.filter(~is_open)
        self._close(clusters, own)

    def _close(self, clusters: pl.DataFrame, own: pl.DataFrame) -> None:
        for model, squares in summed(own, ["model"], [(pl.col("v") ** 2).sum()]).iter_rows():
            self.square[model] = self.square.get(model, 0.0) + squares
        joined = clusters.join(own, on=["model", "cluster"], how="left", maintain_order="left")
        joined = joined.with_columns(pl.col("v").fill_null(0.0))
        products = [(pl.col(a) * pl.col(b)).sum().alias(f"{a}*{b}") for a, b in _PRODUCTS]
        self._products.append(
            summed(joined, _LINE, [*products, pl.len().cast(pl.Float64).alias("n_clusters")])
        )

    def counts(self) -> pl.DataFrame:
        """Sums by perturbation and model; no row where nothing was perturbed."""
        if not self._counts:
            return pl.DataFrame()
        return summed(pl.concat(self._counts), _LINE, [pl.exclude(*_LINE).sum()])

    def products(self) -> pl.DataFrame:
        """Sums over clusters of the products of their sums, by perturbation and model."""
        if self._open:
            keys = (*_LINE, "cluster")
            clusters = summed(pl.concat(self._open), keys, [pl.exclude(*keys).sum()])
            own = summed(pl.concat(self._open_spread), ("model", "cluster"), [pl.col("v").sum()])
            self._open, self._open_spread = [], []
            self._close(clusters, own)
        return summed(pl.concat(self._products), _LINE, [pl.exclude(*_LINE).sum()])


def _table(
    counts: pl.DataFrame, products: pl.DataFrame, square: dict[str, float], models: dict[str, str],
    scale: RewardScale, how: Inference, ties: Ties,
) -> pl.DataFrame:  # fmt: skip
    sd = {name: scale.sd[("pre", "post").index(m)] for m, name in models.items()}
    low, high = wilson(counts["flips"].to_numpy(), counts["n"].to_numpy(), how.level)
    rows: Rows = []
    both = counts.join(products, on=_LINE, how="left", maintain_order="left", suffix="_product")
    for i, row in enumerate(both.iter_rows(named=True)):
        n, judged = row["n"], row["n_judged"]
        before, after = (row[x] / judged if judged else None for x in ("before", "after"))
        lost, gained = int(row["lost"]), int(row["gained"])
        changes = {x: _mean_change(row, x, sd[row["model"]], square[row["model"]], scale.n, how.level)
                   for x in _CHANGES}  # fmt: skip
        rows.append(
            {
                "perturbation": row["perturbation"], "model": row["model"], "n_pairs": int(n),
                "keeps_meaning": row["perturbation"] not in CHANGES_MEANING,
                "flipped": row["flips"] / n, "conf_low": float(low[i]), "conf_high": float(high[i]),
                "alignment_before": before, "alignment_after": after,
                "alignment_change": None if before is None or after is None else after - before,
                "n_became_misaligned": lost, "n_became_aligned": gained,
                "p_value": mcnemar_exact(lost, gained)[1],
                **{f"{x}_{c}": v for x, found in changes.items() for c, v in found.items()},
            }
        )  # fmt: skip
    schema = {name: kind for name, kind in SCHEMA.items() if name not in ("n_not_applied", "p_adjusted")}
    table = pl.DataFrame(rows, schema=schema).sort("model", "perturbation")
    adjusted = [
        p for _, family in table.group_by("model", maintain_order=True)
        for p in adjust(family["p_value"].to_list(), how.adjust)
    ]  # fmt: skip
    return table.with_columns(p_adjusted=pl.Series(adjusted, dtype=pl.Float64))


def _mean_change(
    row: dict[str, float], x: str, sd: float, square: float, n_scale: int, level: float
) -> dict[str, float | None]:
    """A mean change in SDs of the margin, whose error counts too. Nulls where margins do not vary."""
    if not sd > 0:
        return dict.fromkeys(("change", *_ENDS.values()))
    n, n_clusters = row["n"], row["n_clusters"]
    mean = row[x] / n
    weights = np.array([1 / (n * sd), -mean / (n * sd), -mean / (2 * sd**3 * n_scale)])
    moments: Floats = np.array([
        [row[f"{x}*{x}"], row[f"{x}*n"], row[f"{x}*v"]],
        [row[f"{x}*n"], row["n*n"], row["n*v"]],
        [row[f"{x}*v"], row["n*v"], square],
    ])  # fmt: skip
    wider = n_clusters / (n_clusters - 1) if n_clusters > 1 else float("nan")
    variance = float(weights @ moments @ weights) * wider
    found = coefficient(mean / sd, max(variance, 0.0) ** 0.5, n_clusters - 1, level)
    return {"change": found["estimate"], **{said: found[c] for c, said in _ENDS.items()}}


def _not_applied(failures: pl.LazyFrame | None) -> pl.DataFrame:
    """Pairs to which a perturbation did not apply, by its name; none where that is not known."""
    schema = {"perturbation": pl.String(), "n_not_applied": pl.Int64()}
    if failures is None:
        return pl.DataFrame(schema=schema)
    typed = check(failures, FAILURES, origin="failures of the perturbed texts")
    left = typed.filter(pl.col("error") == DOES_NOT_APPLY).select(
        "row_id", perturbation=pl.col("variant").str.strip_prefix(PREFIX)
    )
    counted = left.group_by("perturbation").agg(n_not_applied=pl.col("row_id").n_unique().cast(pl.Int64))
    return collect_all([counted])[0]
