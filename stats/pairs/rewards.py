"""What the four rewards of a pair say: margins, alignment, the reward shift and its monotone companions."""

import polars as pl

from seal.stats.options import THETA, Theta, Ties

SHIFTS = ("theta", "margin_change", "normalised_margin_change")


def margin(model: str) -> pl.Expr:
    """m = r(chosen) - r(rejected) of `pre` or `post`."""
    return pl.col(f"{model}_chosen") - pl.col(f"{model}_rejected")


def aligned(model: str, ties: Ties) -> pl.Expr:
    """delta, as Boolean: the chosen text scores higher; a tie is misaligned, or null under other rules."""
    m = margin(model)
    return m > 0 if ties == "misaligned" else pl.when(m != 0).then(m > 0)


def theta(kind: Theta = THETA) -> pl.Expr:
    """Reward shift: the angle in degrees from (r_pre(c), r_pre(r)) to (r_post(c), r_post(r)), Definition 1.

    Signed: counter-clockwise positive, in (-180, 180]; unsigned: in [0, 180]. Taken from sine and cosine
    together, which needs no clipping of a cosine above one. Null where either vector is zero.
    """
    u, v = ("pre_chosen", "pre_rejected"), ("post_chosen", "post_rejected")
    cross = pl.col(u[0]) * pl.col(v[1]) - pl.col(u[1]) * pl.col(v[0]) + 0.0
    dot = pl.col(u[0]) * pl.col(v[0]) + pl.col(u[1]) * pl.col(v[1])
    angle = pl.arctan2(cross, dot).degrees()
    return pl.when(_length("pre") > 0, _length("post") > 0).then(angle if kind == "signed" else angle.abs())


def margin_change() -> pl.Expr:
    """m_post - m_pre, in reward units."""
    return margin("post") - margin("pre")


def normalised_margin_change() -> pl.Expr:
    """Change of m / |(r_c, r_r)|, within [-2 sqrt 2, 2 sqrt 2]; null where either vector is zero."""
    change = margin("post") / _length("post") - margin("pre") / _length("pre")
    return pl.when(_length("pre") > 0, _length("post") > 0).then(change)


def _length(model: str) -> pl.Expr:
    return (pl.col(f"{model}_chosen").pow(2) + pl.col(f"{model}_rejected").pow(2)).sqrt()
