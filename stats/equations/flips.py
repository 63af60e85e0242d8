"""What rewriting did, in counts: alignment before and after, targets that moved, flips and their cosines.

A flip is t - t_hat of a label: `lost` (+1) and `gained` (-1) by the rewriting, `lost_2` and `gained_2` where
a feature with three values moves by two, `none` where it stays. Everything is counted over `all` rewritten
pairs, as the published study's tables are, and over those of the `same_targets`, as Eq. 4 is estimated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames.schema import REWRITTEN, SIMILARITIES, check
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.joins import collect_all
from seal.stats.pairs.sides import SIDES
from seal.stats.pairs.two_sided import Column
from seal.stats.regression.inference import Rows, mcnemar_exact, tested

FLIPS = {-2: "gained_2", -1: "gained", 0: "none", 1: "lost", 2: "lost_2"}
ALL, SAME_TARGETS = "all", "same_targets"
ANY = "any target"

ALIGNMENT: dict[str, pl.DataType] = {
    **dict.fromkeys(("model", "variant", "pairs"), pl.String()), "n_pairs": pl.Int64(),
    **dict.fromkeys(("alignment", "alignment_rewritten", "drop"), pl.Float64()),
    "n_became_misaligned": pl.Int64(), "n_became_aligned": pl.Int64(),
    "statistic": pl.Float64(), "p_value": pl.Float64(),
}  # fmt: skip
TARGETS: dict[str, pl.DataType] = {
    "term": pl.String(), "preference": pl.String(), "n_pairs": pl.Int64(), "n_changed": pl.Int64(),
    "share": pl.Float64(), "n_lost": pl.Int64(), "n_gained": pl.Int64(),
}  # fmt: skip
_COUNTS = tuple(f"n_became_{o}_{m}" for o in ("misaligned", "aligned") for m in ("pre", "post"))
_FLIP_TYPES: dict[str, pl.DataType] = {
    **dict.fromkeys(("pairs", "term", "preference", "flip"), pl.String()),
    **dict.fromkeys(("n_pairs", *_COUNTS), pl.Int64()),
}
_COSINES: dict[str, pl.DataType] = dict.fromkeys(("cosine_mean", "cosine_sd"), pl.Float64())

Moved = np.ndarray[tuple[int, int, int], np.dtype[np.int8]]


@dataclass(frozen=True)
class Flip(Column):
    """One column of the design: a feature of one text moved by `size` = label - label of the rewriting."""

    size: int

    @property
    def name(self) -> str:
        """As read in reasons and notes."""
        return f"{self.regressor.term} ({self.preference}, {FLIPS[self.size]})"

    @property
    def key(self) -> dict[str, object]:
        """What names it in a result table."""
        return super().key | {"flip": FLIPS[self.size]}


def alignment_drop(
    frame: pl.DataFrame, same: pl.Series, models: Sequence[tuple[str, str]], variant: str = REWRITTEN
) -> pl.DataFrame:
    """Alignment of original and rewriting, with McNemar's exact test of the pairs that changed sides.

    Args:
        frame: rewritten pairs; `aligned_<m>` and `aligned_<m>_hat` (null where a tie is left out).
        same: for each pair whether its targets stayed.
        models: `pre` or `post`, and its name.
        variant: what the pairs were rewritten to.

    Returns:
        Columns of `ALIGNMENT`, a row for each model and set of pairs; null without pairs.
    """
    rows: Rows = []
    for model, name in models:
        known = frame.select(before=f"aligned_{model}", after=f"aligned_{model}_hat", same=same).drop_nulls()
        for pairs, part in ((ALL, known), (SAME_TARGETS, known.filter("same"))):
            before, after = part["before"], part["after"]
            lost, gained = int((before & ~after).sum()), int((~before & after).sum())
            statistic, p_value = mcnemar_exact(lost, gained)
            first, second = (_share(int(x.sum()), part.height) for x in (before, after))
            rows.append(
                {
                    "model": name, "variant": variant, "pairs": pairs, "n_pairs": part.height,
                    "alignment": first, "alignment_rewritten": second,
                    "drop": _share(lost - gained, part.height),
                    "n_became_misaligned": lost, "n_became_aligned": gained,
                    "statistic": float(statistic), "p_value": p_value,
                }
            )  # fmt: skip
    return pl.DataFrame(rows, schema=ALIGNMENT)


def drop_tests(drops: pl.DataFrame) -> Rows:
    """The tests of `alignment_drop` as rows of the analysis' tests: Eq. 4's own pairs first."""
    said = {SAME_TARGETS: "", ALL: "all rewritten pairs, "}
    rows = []
    for row in drops.sort(pl.col("pairs") == ALL, maintain_order=True).iter_rows(named=True):
        changed = f"{row['n_became_misaligned']} became misaligned, {row['n_became_aligned']} aligned"
        group = f"{row['model']}: {said[row['pairs']]}original against rewritten, {changed}"
        rows.append(tested("mcnemar_exact", group, row["statistic"], row["p_value"], row["n_pairs"]))
    return rows


def moved_targets(frame: pl.DataFrame, bases: Sequence[str], names: Sequence[str]) -> pl.DataFrame:
    """How many pairs each target moved in, by side; the last row is the pairs that Eq. 4 leaves out.

    Args:
        frame: rewritten pairs; `<base>_<side>` and `<base>_<side>_hat`.
        bases, names: of the targets, in the frame and in the taxonomy.
    """
    n = frame.height
    rows: Rows = []
    for base, name in zip(bases, names, strict=True):
        for side in SIDES:
            moved = frame[f"{base}_{side}"] - frame[f"{base}_{side}_hat"]
            lost, gained = int((moved > 0).sum()), int((moved < 0).sum())
            counts = {"n_changed": lost + gained, "n_lost": lost, "n_gained": gained}
            rows.append({"term": name, "preference": side, "n_pairs": n, **counts})
    n_out = n - int(frame.select(same_targets(bases).sum()).item())
    rows.append({"term": ANY, "n_pairs": n, "n_changed": n_out})
    return pl.DataFrame([row | {"share": _share(row["n_changed"], n)} for row in rows], schema=TARGETS)


def same_targets(bases: Sequence[str]) -> pl.Expr:
    """Whether every target label of both texts stayed as it was."""
    stayed = [pl.col(f"{base}_{side}") == pl.col(f"{base}_{side}_hat") for base in bases for side in SIDES]
    return pl.all_horizontal([pl.lit(True), *stayed]).fill_null(False)


def flip_table(
    frame: pl.DataFrame,
    same: pl.Series,
    moved: Moved,
    features: Sequence[Regressor],
    cosines: pl.Series | None = None,
) -> pl.DataFrame:
    """Pairs by feature, side and flip: how many, how many changed sides, how alike the texts are.

    Args:
        frame: as for `alignment_drop`.
        same: for each pair whether its targets stayed.
        moved: t - t_hat, shape (pairs, features, sides).
        features: the second axis of `moved`.
        cosines: of each pair, its two texts' mean (see `pair_cosines`).
    """
    fates = {name: _fate(frame, name) for name in _COUNTS}
    scopes = {ALL: np.ones(frame.height, bool), SAME_TARGETS: same.to_numpy()}
    kinds = [(j, n) for j, f in enumerate(features) for n in (FLIPS if f.kind == "ternary" else (-1, 0, 1))]
    rows = []
    for scope, (s, side), (j, size) in product(scopes, enumerate(SIDES), kinds):
        here = scopes[scope] & (moved[:, j, s] == size)
        row: dict[str, object] = {"pairs": scope, **Flip(features[j], side, size).key}
        row |= {"n_pairs": int(here.sum())} | {name: int(fate[here].sum()) for name, fate in fates.items()}
        if cosines is not None:
            part = cosines.filter(pl.Series(here))
            row |= {"cosine_mean": part.mean(), "cosine_sd": part.std()}
        rows.append(row)
    return pl.DataFrame(rows, schema=_FLIP_TYPES | (_COSINES if cosines is not None else {}))


def _fate(frame: pl.DataFrame, name: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    _, _, outcome, model = name.split("_")
    before, after = frame[f"aligned_{model}"], frame[f"aligned_{model}_hat"]
    changed = before & ~after if outcome == "misaligned" else ~before & after
    return changed.fill_null(False).to_numpy()


def pair_cosines(frame: pl.DataFrame, similarities: pl.LazyFrame | None) -> pl.Series | None:
    """Mean cosine of each pair's two texts, aligned with the frame; null where one is missing.

    Raises:
        InputError: several embedders, or a text twice.
    """
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


def _share(n: object, of: int) -> float | None:
    assert isinstance(n, int)
    return n / of if of else None
