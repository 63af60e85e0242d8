"""What a change of one attribute does to the reward, by double rewriting (RATE, arXiv 2410.11348).

A rewriting changes more than it is asked to, so a text is not held against its rewriting but two rewritings
against each other: one toward the value that the text has not, and one from there back. What a rewriting does
beside its aim is in both, and drops out of their difference.

- att: over texts that have the value, reward of the second rewriting less that of the first.
- atu: over texts that have not, reward of the first less that of the second.
- ate: over both, (n1 att + n0 atu) / n.
- naive: over both, the text with the value less the one without, of the text itself and its first rewriting.
- placebo: the reward of a rewriting that was to change nothing less that of the text.

The `main` line holds texts whose rewritings have, by the labeler, the value that they were to have and no
other target than before; `intention_to_treat` all that were rewritten and scored. Each estimate is a mean
of differences; its error is by clusters of pairs, G / (G - 1) for the G that hold texts of it, t(G - 1).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.engine.frames import contrasts
from seal.engine.frames.contrasts import Contrast
from seal.stats.equations.imprint_influence import MODELS, margins
from seal.stats.equations.standardised import (
    CHANGE,
    STANDARDISED,
    in_sds,
    standardised_columns,
    without_rounding,
)
from seal.stats.options import Inference
from seal.stats.pairs.places import Places
from seal.stats.pairs.rewards import RewardScale
from seal.stats.pairs.rewrites import Rewrites, levels
from seal.stats.regression.inference import INFERENCE, Floats, Rows, adjust, coefficient
from seal.stats.regression.influence import Influence, Scores

LINES = ("main", "intention_to_treat")
ATT, ATU, ATE, NAIVE, PLACEBO = "att", "atu", "ate", "naive", "placebo"
SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "feature", "value", "baseline", "estimand", "line"), pl.String())
    | INFERENCE
    | dict.fromkeys(("n_texts", "n_left_out"), pl.Int64())
    | STANDARDISED
)
_FAMILY = ("model", "estimand", "line")
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Differences:
    """What some texts say of the estimands that need no other text.

    Attributes:
        values: name -> (n, 2), the difference of pre and of post; NaN where a reward is missing.
        asked: name -> (n,), whether the text was rewritten for it.
        kept: name -> (n,), whether its rewritings became what they were to become.
    """

    values: Mapping[str, Floats]
    asked: Mapping[str, Flags]
    kept: Mapping[str, Flags]

    @classmethod
    def of_doubled(cls, texts: pl.DataFrame) -> "Differences":
        """From what `Rewrites.doubled` returns."""
        own, first, second = (_rewards(texts, f"{s}") for s in ("", "toward_", "back_"))
        known, has = texts["has"].is_not_null().to_numpy(), texts["has"].fill_null(False).to_numpy()
        there = texts["there"].to_numpy() & known
        sign = np.where(has, 1.0, -1.0)[:, None]
        doubled, once = sign * (second - first), sign * (own - first)
        toward, back = texts["toward_kept"].to_numpy(), texts["back_kept"].to_numpy()
        return cls(
            {ATT: doubled, ATU: doubled, NAIVE: once},
            {ATT: there & has, ATU: there & ~has, NAIVE: there},
            {ATT: toward & back, ATU: toward & back, NAIVE: toward},
        )

    @classmethod
    def of_placebos(cls, texts: pl.DataFrame) -> "Differences":
        """From what `Rewrites.placebos` returns."""
        change = _rewards(texts, "placebo_") - _rewards(texts, "")
        asked, kept = texts["there"].to_numpy(), texts["placebo_kept"].to_numpy()
        return cls({PLACEBO: change}, {PLACEBO: asked}, {PLACEBO: kept})


def _rewards(texts: pl.DataFrame, prefix: str) -> Floats:
    columns = [pl.col(f"{prefix}{m}").cast(pl.Float64).fill_null(float("nan")) for m in MODELS]
    return texts.select(columns).to_numpy()


@dataclass
class Sums:
    """Adds up one experiment's texts, pair by pair.

    A pair's zeta is, for each name and line, [number of texts, sum of pre, sum of post], then the scores of
    the SDs of both models' margins (see `seal.stats.equations.imprint_influence`).

    Attributes:
        names: the estimands that need no other.
        scale: of the margins.
    """

    names: tuple[str, ...]
    scale: RewardScale
    _totals: Floats = field(init=False)
    _asked: Ints = field(init=False)
    _clusters: dict[tuple[str, str], list[Ints]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._totals = np.zeros(self.width)
        self._asked = np.zeros(len(self.names), dtype=np.int64)

    @property
    def width(self) -> int:
        """Scores a pair."""
        return 3 * len(LINES) * len(self.names) + 2

    def zeta(self, found: Differences, at: Ints, margins: Floats, clusters: Ints) -> Floats:
        """Scores of some pairs, which are counted also.

        Args:
            found: of their texts.
            at: the pair of each text.
            margins: (pairs, 2).
            clusters: (pairs,).

        Returns:
            (pairs, width).
        """
        out = np.zeros((len(margins), self.width))
        for i, name in enumerate(self.names):
            finite = np.isfinite(found.values[name]).all(axis=1)
            everyone = found.asked[name] & finite
            self._asked[i] += int(found.asked[name].sum())
            for line, enters in zip(LINES, (everyone & found.kept[name], everyone), strict=True):
                column = self.column(name, line)
                texts = np.column_stack([np.ones(int(enters.sum())), found.values[name][enters]])
                np.add.at(out[:, column : column + 3], at[enters], texts)
                self._clusters.setdefault((name, line), []).append(np.unique(clusters[at[enters]]))
        self._totals += out.sum(axis=0)
        sd, mean = np.array(self.scale.sd), np.array(self.scale.margin)
        step = np.where(sd > 0, 2 * sd * self.scale.n, np.inf)
        out[:, -2:] = ((margins - mean) ** 2 - sd**2) / step
        return out

    def column(self, name: str, line: str) -> int:
        """Where the scores of an estimand begin."""
        return 3 * (self.names.index(name) * len(LINES) + LINES.index(line))

    def total(self, names: Sequence[str], line: str) -> tuple[int, Floats]:
        """Texts and the sums of their differences (2,) over some estimands."""
        parts = [self._totals[c : c + 3] for c in (self.column(name, line) for name in names)]
        whole = np.sum(parts, axis=0)
        return round(float(whole[0])), whole[1:]

    def asked(self, names: Sequence[str]) -> int:
        """Texts that were rewritten for some estimands."""
        return int(sum(self._asked[self.names.index(name)] for name in names))

    def n_clusters(self, names: Sequence[str], line: str) -> int:
        """Clusters that hold texts of some estimands."""
        parts = [part for name in names for part in self._clusters.get((name, line), [])]
        return len(np.unique(np.concatenate(parts))) if parts else 0


@dataclass(frozen=True)
class Causal:
    """Estimates of every experiment, and what a reader must know of them.

    Attributes:
        table: columns of `SCHEMA`; the contrast of the models is in their margins' SDs, raw units beside.
        notes: one sentence each.
    """

    table: pl.DataFrame
    notes: tuple[str, ...] = ()


def causal(
    rows: Iterable[pl.DataFrame], rewrites: Rewrites, scale: RewardScale, places: Places, how: Inference
) -> Causal:
    """Estimate what every attribute that texts were rewritten toward does to both models' rewards.

    Args:
        rows: blocks of the original pairs, walked through once an experiment (see `Spool`).
        rewrites: the rewritten texts; those of pairs that are `regressed` enter.
        scale: of the margins of these pairs.
        places: their clusters.
        how: multiplicity over the features of one model, estimand and line, and intervals.

    Raises:
        InputError: the labels lack a feature, or a text stands twice.
    """
    variants = rewrites.variants()
    found, table = _contrasts(rewrites, variants), []
    names = (rewrites.inputs.pre, rewrites.inputs.post)
    for contrast in found:
        sums = Sums((ATT, ATU, NAIVE), scale)
        scores = places.sums(rows, _doubled(sums, rewrites, contrast, places.cluster))
        table += _lines(sums, scores, _ESTIMANDS, contrast, names, how)
    if contrasts.PLACEBO in variants:
        sums = Sums((PLACEBO,), scale)
        features = tuple(dict.fromkeys(c.feature for c in found))
        scores = places.sums(rows, _placebos(sums, rewrites, features, places.cluster))
        table += _lines(sums, scores, {PLACEBO: (PLACEBO,)}, None, names, how)
    return Causal(_adjusted(pl.DataFrame(table, schema=SCHEMA), how), tuple(_notes(table, names[1])))


_ESTIMANDS = {ATT: (ATT,), ATU: (ATU,), ATE: (ATT, ATU), NAIVE: (NAIVE,)}


def _contrasts(rewrites: Rewrites, variants: Sequence[str]) -> list[Contrast]:
    """The contrasts that some texts were rewritten for, by feature and value."""
    assert rewrites.inputs.labels is not None
    aims: dict[str, set[str]] = {}
    for feature, value in filter(None, map(contrasts.aimed_at, variants)):
        aims.setdefault(feature, set()).add(value)
    found = []
    for feature, aimed in sorted(aims.items()):
        values = levels(rewrites.inputs.labels, feature)
        base = contrasts.baseline(values)
        others = sorted((aimed | set(values)) - {base})
        reached = aimed - {base}  # where none is but the baseline, every text had its value
        found += [Contrast(feature, v, base) for v in others if v in reached or not reached]
    return found


def _doubled(
    sums: Sums, rewrites: Rewrites, contrast: Contrast, cluster: str
) -> Callable[[pl.DataFrame], Floats]:
    def zeta(part: pl.DataFrame) -> Floats:
        texts = rewrites.doubled(part, contrast)
        return _zeta(sums, Differences.of_doubled(texts), texts, part, cluster)

    return zeta


def _placebos(
    sums: Sums, rewrites: Rewrites, features: Sequence[str], cluster: str
) -> Callable[[pl.DataFrame], Floats]:
    def zeta(part: pl.DataFrame) -> Floats:
        texts = rewrites.placebos(part, features)
        return _zeta(sums, Differences.of_placebos(texts), texts, part, cluster)

    return zeta


def _zeta(sums: Sums, found: Differences, texts: pl.DataFrame, part: pl.DataFrame, cluster: str) -> Floats:
    at = texts["at"].cast(pl.Int64).to_numpy()
    return sums.zeta(found, at, margins(part), part[cluster].cast(pl.Int64).to_numpy())


def _lines(
    sums: Sums,
    scores: Scores,
    estimands: Mapping[str, tuple[str, ...]],
    contrast: Contrast | None,
    models: tuple[str, str],
    how: Inference,
) -> Rows:
    """The rows of one experiment: both lines, both models and their contrast."""
    named = {"pre": models[0], "post": models[1], CHANGE: f"{models[1]}-{models[0]}"}
    key = {k: getattr(contrast, k, None) for k in ("feature", "value", "baseline")}
    out: Rows = []
    for line in LINES:
        counted = {e: sums.total(parts, line)[0] for e, parts in estimands.items()}
        known = [e for e, n in counted.items() if n]
        judged = _judged(sums, scores, {e: estimands[e] for e in known}, line, how.level) if known else {}
        for outcome, model in named.items():
            for e, parts in estimands.items():
                n, asked = counted[e], sums.asked(parts)
                if asked:
                    row = {"model": model, **key, "estimand": e, "line": line, "term": e}
                    row |= {"n_texts": n, "n_left_out": asked - n}
                    out.append(row | judged.get((outcome, e), {}))
    return [row for line in LINES for row in without_rounding([r for r in out if r["line"] == line], named)]


def _judged(
    sums: Sums, scores: Scores, estimands: Mapping[str, tuple[str, ...]], line: str, level: float
) -> dict[tuple[str, str], dict[str, object]]:
    """(`pre`, `post` or `change`, estimand) -> estimate and what follows; of estimands that have texts."""
    by_model, sd = _influences(sums, scores, estimands, line)
    groups = np.array([sums.n_clusters(parts, line) for parts in estimands.values()], dtype=np.float64)
    factor = np.divide(groups, groups - 1, out=np.full(len(groups), np.nan), where=groups > 1)
    out: dict[tuple[str, str], dict[str, object]] = {}
    for outcome, found in in_sds(by_model, sd).items():
        errors = found.raw.std_error * np.sqrt(factor)
        rows: Rows = [
            dict(coefficient(float(b), float(e), float(g - 1), level))
            for b, e, g in zip(found.raw.estimate, errors, groups, strict=True)
        ]
        beside = standardised_columns(found, rows, (groups - 1).tolist(), level)
        for estimand, row, std in zip(estimands, rows, beside, strict=True):
            out[outcome, estimand] = row | std
    return out


def _influences(
    sums: Sums, scores: Scores, estimands: Mapping[str, tuple[str, ...]], line: str
) -> tuple[dict[str, Influence], dict[str, Influence]]:
    """Both models' estimates, (K,), and the SDs of their margins: psi = (sum of d - mean x texts) / n."""
    by_model, sd = {}, {}
    for i, model in enumerate(MODELS):
        loading, own = np.zeros((len(estimands), sums.width)), np.zeros((1, sums.width))
        means = np.zeros(len(estimands))
        for k, parts in enumerate(estimands.values()):
            n, total = sums.total(parts, line)
            means[k] = total[i] / n
            for column in (sums.column(name, line) for name in parts):
                loading[k, [column, column + 1 + i]] = -means[k] / n, 1.0 / n
        own[0, sums.width - len(MODELS) + i] = 1.0
        by_model[model] = Influence(means, loading, scores)
        sd[model] = Influence(np.array([sums.scale.sd[i]]), own, scores)
    return by_model, sd


def _adjusted(table: pl.DataFrame, how: Inference) -> pl.DataFrame:
    """Set the adjusted p-values; a family is the features of one model, estimand and line."""
    families: dict[object, list[int]] = {}
    for i, key in enumerate(table.select(_FAMILY).iter_rows()):
        families.setdefault(key, []).append(i)
    for end in ("", "_std"):
        p_values = table[f"p_value{end}"].to_list()
        adjusted: list[float | None] = [None] * table.height
        for members in families.values():
            for i, p in zip(members, adjust([p_values[m] for m in members], how.adjust), strict=True):
                adjusted[i] = p
        table = table.with_columns(pl.Series(f"p_adjusted{end}", adjusted, dtype=pl.Float64))
    return table


def _notes(rows: Rows, model: str) -> Iterator[str]:
    for row in rows:
        if row["model"] != model or row["line"] != LINES[0] or row["estimand"] not in (ATE, PLACEBO):
            continue
        kept, out = int(str(row["n_texts"])), int(str(row["n_left_out"]))
        what = f"toward {row['feature']}={row['value']}" if row["feature"] else "as placebos"
        yield (
            f"causal: {kept + out} texts were rewritten {what}; {out} of them ({out / (kept + out):.1%}) are "
            "left out of the main line: not scored, not what they were to become, or with another target "
            "changed"
        )
