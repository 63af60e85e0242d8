"""Pairs beside their perturbed twins under the same model: what changed, a row a pair and perturbation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.perturbed import PREFIX
from seal.stats.options import Ties
from seal.stats.pairs.joins import collect_all
from seal.stats.pairs.rewards import RewardScale, margin
from seal.stats.pairs.sides import pair_up, stands_twice

PAIRS_AT_ONCE = 50_000  # of which every perturbation and model is read together
JUDGED = ("n", "flips", "n_judged", "before", "after", "lost", "gained")
"""What each row counts, as numbers that are added up."""


@dataclass
class Twins:
    """The pairs beside their perturbed twins, some thousand at a time.

    Attributes:
        rows: blocks of `seal.stats.pairs.joins.Pairs`, sorted by `row_id`; walked through several times.
        models: what blocks call the models, and their names.
        scores: SCORES, of variants `perturb:<name>` alone.
        scale: of the margins of `pre` and `post`.
        ties: what equal rewards count as.
        by: column of the blocks that errors are clustered by; a pair without one is left out.
        n_incomplete: pairs x perturbations x models left out for want of a finite reward; known at the end.
    """

    rows: Iterable[pl.DataFrame]
    models: tuple[tuple[str, str], ...]
    scores: pl.LazyFrame
    scale: RewardScale
    ties: Ties
    by: str
    n_incomplete: int = 0

    def split(self) -> pl.Series:
        """Clusters whose pairs lie in several parts; they are squared at the end."""
        if self.by == "row_id":
            return pl.Series(self.by, [], pl.Int64())
        found = [part.select(pl.col(self.by).unique()) for part in self._parts()]
        counted = pl.concat(found).group_by(self.by).len()
        return counted.filter(pl.col("len") > 1)[self.by]

    def blocks(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Pairs x perturbations x models with what changed, and the SD's part of each pair and model."""
        for part in self._parts():
            spread = [self._spread(part, m, name) for m, name in self.models]
            yield self._changes(part), pl.concat(spread)

    def _parts(self) -> Iterator[pl.DataFrame]:
        for block in self.rows:
            yield from block.drop_nulls(self.by).iter_slices(PAIRS_AT_ONCE)

    def _spread(self, part: pl.DataFrame, m: str, name: str) -> pl.DataFrame:
        """The SD's part of the pairs that it is of."""
        i = ("pre", "post").index(m)
        return self.scale.counted(part).select(
            *dict.fromkeys(("row_id", self.by)), model=pl.lit(name),
            v=(margin(m) - self.scale.margin[i]) ** 2 - self.scale.sd[i] ** 2,
        )  # fmt: skip

    def _changes(self, part: pl.DataFrame) -> pl.DataFrame:
        """One row a pair, perturbation and model of which all rewards are finite."""
        names = [name for _, name in self.models]
        ids = pl.col("row_id").is_between(part["row_id"].min(), part["row_id"].max())
        wanted = self.scores.filter(ids, pl.col("model").cast(pl.String).is_in(names))
        reward = pl.col("reward").cast(pl.Float64)
        twins = pair_up(wanted, {"new": (reward.is_finite(), reward)}, by=("variant", "model", "row_id"))
        (found,) = collect_all([twins.sort("variant", "model", "row_id")])
        if (twice := found.filter(stands_twice())).height:
            raise InputError(
                f"perturbed scores: row_id {twice['row_id'][0]} of {twice['variant'][0]} is scored twice by "
                f"model {twice['model'][0]!r}; a (row_id, preference, variant, model) stands once"
            )
        own = pl.concat(
            part.select(
                *dict.fromkeys(("row_id", self.by)), model=pl.lit(name),
                chosen=f"{m}_chosen", rejected=f"{m}_rejected",
            )
            for m, name in self.models
        )  # fmt: skip
        both = found.join(own, on=["row_id", "model"], how="inner", maintain_order="left")
        whole = both.drop_nulls(["new_chosen", "new_rejected"])
        self.n_incomplete += both.height - whole.height
        old, new = pl.col("chosen") - pl.col("rejected"), pl.col("new_chosen") - pl.col("new_rejected")
        moved = (pl.col("new_chosen") - pl.col("chosen") + pl.col("new_rejected") - pl.col("rejected")) / 2
        return whole.select(
            *dict.fromkeys(("row_id", self.by)), "model",
            perturbation=pl.col("variant").str.strip_prefix(PREFIX), old=old, new=new,
            margin=new - old, reward=moved, **_judged(old, new, self.ties),
        )  # fmt: skip


def _judged(old: pl.Expr, new: pl.Expr, ties: Ties) -> dict[str, pl.Expr]:
    """Counts of one pair as numbers, by the names of `JUDGED`."""
    tied = (old == 0) | (new == 0)
    judged = pl.lit(True) if ties != "drop" else ~tied
    half = 0.5 if ties == "half" else 0.0
    wins = {
        name: (m > 0).cast(pl.Float64) + pl.when(m == 0).then(half).otherwise(0.0)
        for name, m in (("before", old), ("after", new))
    }
    tested = pl.lit(True) if ties == "misaligned" else ~tied
    counts = {
        "n": pl.lit(1.0), "flips": old.sign() * new.sign() < 0, "n_judged": judged,
        **{name: pl.when(judged).then(win).otherwise(0.0) for name, win in wins.items()},
        "lost": tested & (old > 0) & (new <= 0), "gained": tested & (old <= 0) & (new > 0),
    }  # fmt: skip
    return {name: value.cast(pl.Float64) for name, value in counts.items()}
