"""Regimes, preference profiles, and the tests of the reward shift and of who agrees with whom.

A pair's regime is (delta_pre, delta_post); its profile gamma is the text a labeler's target features favour:
c (chosen), r (rejected) or i (indifferent).
"""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import polars as pl
from scipy import stats as distributions

from seal.stats.options import LEVEL, PROFILE, THETA, TIES, Profile, Theta, Ties
from seal.stats.pairs.rewards import ZERO, Origin, aligned, margin, theta
from seal.stats.regression.cells import Tally, summed
from seal.stats.regression.inference import Rows, mcnemar_exact, tested, wilson

REGIMES = {
    (False, True): "became_aligned",
    (True, True): "stayed_aligned",
    (False, False): "stayed_misaligned",
    (True, False): "reversed_alignment",
}
DECIDED = ("c", "r")
BIN_DEGREES = 5


def gamma(n_targets: int, profile: Profile = PROFILE) -> pl.Expr:
    """Preference profile over a block of `Pairs`: `c`, `r`, `i`, and under `pareto` also `conflict`.

    Lexicographic: the first target that differs decides. Pareto: a text wins that is nowhere worse and
    somewhere better; `conflict` where the targets disagree. `unlabelled` where a target's label is null,
    and where there is no target.
    """
    if not n_targets:
        return pl.lit("unlabelled")
    differences = [pl.col(f"t{i}_chosen") - pl.col(f"t{i}_rejected") for i in range(n_targets)]
    known = pl.all_horizontal([pl.lit(True), *(d.is_not_null() for d in differences)])
    if profile == "lexicographic":
        verdict = pl.lit("i")
        for d in reversed(differences):
            verdict = pl.when(d > 0).then(pl.lit("c")).when(d < 0).then(pl.lit("r")).otherwise(verdict)
    else:
        better = pl.any_horizontal([pl.lit(False), *(d > 0 for d in differences)])
        worse = pl.any_horizontal([pl.lit(False), *(d < 0 for d in differences)])
        verdict = pl.when(better & worse).then(pl.lit("conflict")).when(better).then(pl.lit("c"))
        verdict = verdict.when(worse).then(pl.lit("r")).otherwise(pl.lit("i"))
    return pl.when(known).then(verdict).otherwise(pl.lit("unlabelled"))


@dataclass
class RegimeTally:
    """Pairs counted by regime, gamma and the post model's pick, with the shift's sums and histogram.

    Attributes:
        gamma: the preference profile, an expression over a block of `Pairs`.
        ties: what equal rewards count as.
        kind: of theta.
        origin: of theta, see `seal.stats.pairs.rewards.theta`.
        n_left_out: pairs that ties leave without a regime.
    """

    gamma: pl.Expr
    ties: Ties = TIES
    kind: Theta = THETA
    origin: Origin = ZERO
    n_left_out: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._cells = Tally(["pre", "post", "pick", "gamma"])
        self._bins = Tally(["pre", "post", "gamma", "bin"])

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`; ties are left out of the regimes unless they count as misaligned."""
        pick = margin("post").sign().cast(pl.Int8)
        deltas = {m: aligned(m, self.ties) for m in ("pre", "post")}
        frame = block.select(**deltas, pick=pick, gamma=self.gamma, theta=theta(self.kind, self.origin))
        placed = frame.drop_nulls(["pre", "post"])
        self.n_left_out += frame.height - placed.height
        angle = pl.col("theta")
        self._cells.add(
            summed(placed, ["pre", "post", "pick", "gamma"], [
                pl.len().cast(pl.Int64).alias("n"), angle.count().cast(pl.Int64).alias("n_theta"),
                angle.sum().alias("s"), angle.pow(2).sum().alias("q"),
                (angle > 0).sum().cast(pl.Int64).alias("up"),
                (angle < 0).sum().cast(pl.Int64).alias("down"),
            ])
        )  # fmt: skip
        binned = ((angle + 180) // BIN_DEGREES).clip(0, 360 // BIN_DEGREES - 1).cast(pl.Int32)
        self._bins.add(
            placed.filter(angle.is_not_null())
            .group_by("pre", "post", "gamma", bin=binned)
            .agg(n=pl.len().cast(pl.Int64))
        )

    def counts(self) -> pl.DataFrame:
        """`regime`, `pick`, `gamma`, `n` and theta's `n_theta`, `s`, `q`, `up`, `down`."""
        return _named(self._cells.total())

    def histogram(self) -> pl.DataFrame:
        """`regime`, `gamma`, `theta_from`, `theta_to` (degrees), `n_pairs`: what the roses draw."""
        found = _named(self._bins.total())
        if not found.height:
            return pl.DataFrame(schema=HISTOGRAM)
        low = pl.col("bin") * BIN_DEGREES - 180
        return found.select(
            "regime", "gamma", low.cast(pl.Float64).alias("theta_from"),
            (low + BIN_DEGREES).cast(pl.Float64).alias("theta_to"), pl.col("n").alias("n_pairs"),
        ).sort("regime", "gamma", "theta_from")  # fmt: skip


HISTOGRAM: dict[str, pl.DataType] = {
    "regime": pl.String(), "gamma": pl.String(), "theta_from": pl.Float64(), "theta_to": pl.Float64(),
    "n_pairs": pl.Int64(),
}  # fmt: skip


def _named(found: pl.DataFrame | None) -> pl.DataFrame:
    """Put the regime's name in place of the two deltas."""
    if found is None:
        return pl.DataFrame(schema={"regime": pl.String, "gamma": pl.String, "pick": pl.Int8, "n": pl.Int64})
    name = pl.lit(None, pl.String)
    for (pre, post), regime in REGIMES.items():
        name = pl.when((pl.col("pre") == pre) & (pl.col("post") == post)).then(pl.lit(regime)).otherwise(name)
    return found.with_columns(regime=name).drop("pre", "post")


def regimes(counts: pl.DataFrame, level: float = LEVEL) -> pl.DataFrame:
    """Table 1: prevalence of each regime, and the labeler's agreement with the human among decided pairs.

    Args:
        counts: `regime`, `gamma`, `n`, any number of rows each.
        level: of the Wilson interval of P(gamma = c | gamma in {c, r}).

    Returns:
        `regime`, `n_pairs`, `prevalence`, `n_decided`, `agreement`, `agreement_conf_low`,
        `agreement_conf_high`, in the paper's order; agreement is null where nothing is decided.
    """
    total, rows = int(counts["n"].sum()), []
    for name in REGIMES.values():
        part = counts.filter(pl.col("regime") == name)
        n = int(part["n"].sum())
        agree, against = (int(part.filter(pl.col("gamma") == g)["n"].sum()) for g in DECIDED)
        decided = agree + against
        low, high = wilson(agree, decided, level)
        rows.append(
            {"regime": name, "n_pairs": n, "prevalence": n / total if total else None, "n_decided": decided,
             "agreement": agree / decided if decided else None,
             "agreement_conf_low": float(low) if decided else None,
             "agreement_conf_high": float(high) if decided else None}
        )  # fmt: skip
    kinds = {"regime": pl.String, "n_pairs": pl.Int64, "n_decided": pl.Int64}
    return pl.DataFrame(rows, schema={c: kinds.get(c, pl.Float64) for c in rows[0]})


def profile_table(counts: pl.DataFrame) -> pl.DataFrame:
    """`regime`, `gamma`, `n_pairs`: the twelve cells (c, r, i in each regime), zeros included."""
    there = counts["gamma"].unique().to_list() if counts.height else []
    marks = ["c", "r", "i", *(g for g in ("conflict", "unlabelled") if g in there)]
    every = pl.DataFrame({"regime": list(REGIMES.values())}).join(pl.DataFrame({"gamma": marks}), how="cross")
    found = counts.group_by("regime", "gamma").agg(n_pairs=pl.col("n").sum())
    return every.join(found, on=["regime", "gamma"], how="left", maintain_order="left").with_columns(
        pl.col("n_pairs").fill_null(0).cast(pl.Int64)
    )


def shift_tests(counts: pl.DataFrame) -> Rows:
    """Sign test and t test that theta centres on zero, for every regime, gamma, and both crossed.

    Returns:
        `test` (`sign_theta`: how many are positive, zeros left out; `t_theta`: Student's t of the mean),
        `group`, `statistic`, `p_value` (two-sided), `n`.
    """
    rows: Rows = []
    marks = [g for g in ("c", "r", "i", "conflict") if g in counts["gamma"].to_list()]
    groups: list[dict[str, str]] = [{}, *({"regime": r} for r in REGIMES.values())]
    groups += [{"gamma": g} for g in marks]
    groups += [{"regime": r, "gamma": g} for r in REGIMES.values() for g in marks]
    for group in groups:
        name = ", ".join(v if k == "regime" else f"gamma={v}" for k, v in group.items()) or "all"
        part = counts.filter(pl.lit(True), **group)
        rows += _centre_tests(name, part.select("n_theta", "s", "q", "up", "down").sum())
    return rows


def _centre_tests(group: str, sums: pl.DataFrame) -> Rows:
    n, s, q, up, down = (float(v) for v in sums.row(0))
    rows: Rows = []
    if up + down > 0:
        p = float(distributions.binomtest(int(up), int(up + down)).pvalue)
        rows.append(tested("sign_theta", group, up, p, int(up + down)))
    variance = (q - s * s / n) / (n - 1) if n > 1 else 0.0
    if variance > 0:
        t = s / n / float(np.sqrt(variance / n))
        p = float(2 * distributions.t.sf(abs(t), n - 1))
        rows.append(tested("t_theta", group, t, p, int(n)))
    return rows


def agreement_tests(counts: pl.DataFrame) -> Rows:
    """McNemar's exact test of each two of the three agreements, on decided pairs.

    The human picks the chosen text, the labeler gamma's, the post model the one it scores higher (a tie is no
    pick and agrees with nobody). `statistic` is the smaller discordant count, `n` the decided pairs.
    """
    decided = counts.filter(pl.col("gamma").is_in(DECIDED))
    labeler = pl.col("gamma") == "c"
    model = pl.col("pick") == 1
    both = pl.when(labeler).then(model).otherwise(pl.col("pick") == -1)
    claims = {"post-human": model, "labeler-human": labeler, "labeler-post": both}
    rows: Rows = []
    for (first, a), (second, b) in combinations(claims.items(), 2):
        only = [int(decided.filter(x & ~y)["n"].sum()) for x, y in ((a, b), (b, a))]
        statistic, p_value = mcnemar_exact(*only)
        group = f"{first} against {second}"
        rows.append(tested("mcnemar_exact", group, float(statistic), p_value, int(decided["n"].sum())))
    return rows
