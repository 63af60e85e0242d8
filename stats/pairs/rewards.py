"""What the four rewards of a pair say: margins, alignment, the reward shift and its monotone companions."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl

from seal.engine.frames.schema import CHOSEN, REJECTED
from seal.stats.options import THETA, Theta, Ties

SHIFTS = ("standardised_margin_change", "margin_change", "theta", "normalised_margin_change")
Origin = tuple[float, float]
ZERO: Origin = (0.0, 0.0)


@dataclass(frozen=True)
class RewardScale:
    """Where the two models' rewards lie, and how far their margins spread.

    Attributes:
        centre: mean reward of pre and post over both texts of the pairs.
        sd: SD of the margins of pre and post (over n).
        n: pairs.
        margin: mean margin of pre and post.
        regressed: whether only pairs that enter the regressions count; else all do.
    """

    centre: Origin
    sd: tuple[float, float]
    n: int
    margin: Origin
    regressed: bool = True

    @classmethod
    def of(cls, rows: Iterable[pl.DataFrame]) -> "RewardScale":
        """Walk through blocks of `Pairs`; those that enter the regressions count, all where none does."""
        entering, every = _Moments(), _Moments()
        for block in rows:
            every.add(block)
            if "regressed" in block.columns:
                entering.add(block.filter("regressed"))
        return replace(entering.scale(), regressed=True) if entering.n else every.scale()

    def counted(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of some pairs that it is of."""
        return rows.filter("regressed") if self.regressed else rows


class _Moments:
    """Means and sums of squares about them, merged block by block (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.n, self._values = 0, {k: (0.0, 0.0) for m in ("pre", "post") for k in (m, f"{m}_margin")}

    def add(self, block: pl.DataFrame) -> None:
        n = block.height
        if not n:
            return
        values: dict[str, pl.Expr] = {}
        for m in ("pre", "post"):
            values |= {m: (pl.col(f"{m}_{CHOSEN}") + pl.col(f"{m}_{REJECTED}")) / 2, f"{m}_margin": margin(m)}
        moments = {f"{s}_{k}": getattr(v, s)() for k, v in values.items() for s in ("mean", "var")}
        found = block.select(**moments).row(0, named=True)
        for k, (mean, square) in self._values.items():
            step = found[f"mean_{k}"] - mean
            square += (found[f"var_{k}"] or 0.0) * (n - 1) + step**2 * (self.n * n / (self.n + n))
            self._values[k] = (mean + step * (n / (self.n + n)), square)
        self.n += n

    def scale(self) -> RewardScale:
        pre, post = (self._values[m][0] for m in ("pre", "post"))
        sds = [(self._values[f"{m}_margin"][1] / self.n) ** 0.5 if self.n else 0.0 for m in ("pre", "post")]
        means = [self._values[f"{m}_margin"][0] for m in ("pre", "post")]
        return RewardScale((pre, post), (sds[0], sds[1]), self.n, (means[0], means[1]), regressed=False)


def margin(model: str) -> pl.Expr:
    """m = r(chosen) - r(rejected) of `pre` or `post`."""
    return pl.col(f"{model}_chosen") - pl.col(f"{model}_rejected")


def aligned(model: str, ties: Ties) -> pl.Expr:
    """delta, as Boolean: the chosen text scores higher; a tie is misaligned, or null under other rules."""
    m = margin(model)
    return m > 0 if ties == "misaligned" else pl.when(m != 0).then(m > 0)


def theta(kind: Theta = THETA, origin: Origin = ZERO) -> pl.Expr:
    """Reward shift: the angle in degrees from (r_pre(c), r_pre(r)) to (r_post(c), r_post(r)), Definition 1.

    Signed: counter-clockwise positive, in (-180, 180]; unsigned: in [0, 180]. Taken from sine and cosine
    together, which needs no clipping of a cosine above one. Null where either vector is zero.

    Args:
        kind: signed or unsigned.
        origin: what is subtracted from the rewards of pre and of post first. Training does not identify it,
            and the angle depends on it.
    """
    (a, b), (c, d) = (_vector(m, at) for m, at in zip(("pre", "post"), origin, strict=True))
    cross = a * d - b * c + 0.0
    angle = pl.arctan2(cross, a * c + b * d).degrees()
    lengths = [_length(m, at) > 0 for m, at in zip(("pre", "post"), origin, strict=True)]
    return pl.when(*lengths).then(angle if kind == "signed" else angle.abs())


def margin_change() -> pl.Expr:
    """m_post - m_pre, in reward units."""
    return margin("post") - margin("pre")


def standardised_margin_change(sd: tuple[float, float]) -> pl.Expr:
    """m_post / s_post - m_pre / s_pre, each in SDs of the model's own margins; null where one has none."""
    if not (sd[0] > 0 and sd[1] > 0):
        return pl.lit(None, pl.Float64)
    return margin("post") / sd[1] - margin("pre") / sd[0]


def normalised_margin_change(origin: Origin = ZERO) -> pl.Expr:
    """Change of m / |(r_c, r_r)|, within [-2 sqrt 2, 2 sqrt 2]; null where either vector is zero.

    Args:
        origin: as for `theta`.
    """
    pre, post = (_length(m, at) for m, at in zip(("pre", "post"), origin, strict=True))
    return pl.when(pre > 0, post > 0).then(margin("post") / post - margin("pre") / pre)


def _vector(model: str, origin: float) -> tuple[pl.Expr, pl.Expr]:
    return pl.col(f"{model}_{CHOSEN}") - origin, pl.col(f"{model}_{REJECTED}") - origin


def _length(model: str, origin: float) -> pl.Expr:
    chosen, rejected = _vector(model, origin)
    return (chosen.pow(2) + rejected.pow(2)).sqrt()
