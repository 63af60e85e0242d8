"""Eq. 1 corrected for label errors without gold, by what two labelers or more say of the same pairs.

Three walks: how often each pattern of labels occurs, cross products, influences (see
`seal.stats.labelers.latent` for the method and what it assumes).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from seal.stats.equations.corrected_table import Layout, imprint_table
from seal.stats.equations.differences import outcomes
from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint_influence import MODELS, imprint_influence, margins
from seal.stats.equations.standardised import in_sds
from seal.stats.labelers.error_rates import FeatureFit, count_patterns, pattern_numbers
from seal.stats.labelers.latent import LatentMoments, Verdict, fit_features, judge, latent
from seal.stats.labelers.rectified import slope
from seal.stats.options import Inference
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.gold import NoGold
from seal.stats.pairs.places import Places
from seal.stats.pairs.several import SeveralLabelers
from seal.stats.pairs.sides import SIDES
from seal.stats.pairs.spool import Spool
from seal.stats.regression import collinearity
from seal.stats.regression.cells import BLOCK
from seal.stats.regression.inference import Floats, Rows, tested
from seal.stats.regression.influence import Influence
from seal.stats.regression.separation import NoFit

NAME = "imprint_corrected"
ASSUMES = (
    "latent takes errors of different labelers as independent given the truth, and unrelated to the reward; "
    "shared difficulty or ambiguous texts bias it, and no test proves that there are none"
)


@dataclass(frozen=True)
class Latent:
    """Eq. 1 corrected, and how often each labeler errs.

    Attributes:
        equation: rows of `imprint_corrected.csv`, of method `latent`.
        errors: rows of `label_errors.csv`, one a labeler and feature, without gold.
    """

    equation: Equation
    errors: Rows


def latent_imprint(
    said: SeveralLabelers,
    names: Sequence[str],
    naive: pl.DataFrame,
    cluster: str | None,
    how: Inference,
    units: Mapping[str, float],
) -> Latent:
    """Correct Eq. 1 of the pre model, the post model and their difference.

    Args:
        said: the pairs with the labels of all labelers.
        names: of the labelers, the one regressed on first.
        naive: `imprint.csv`; its terms are those that are corrected, where the labels allow it.
        cluster: a column of the blocks that errors are clustered by; None for the pair.
        how: multiplicity over the features of one model, intervals.
        units: term of a covariate -> what it is standardised by, its SD.

    Raises:
        NoGold: error rates cannot be told from the labels.
        NoFit: the labels do not identify the regression.
    """
    design = Design.of(said, naive)
    with Spool(said) as rows:
        survey = _survey(rows, design)
        fits = fit_features(survey.counts)
        verdict = judge(fits)
        if verdict.reason is not None:
            raise NoGold(verdict.reason)
        known = [cast(FeatureFit, fits[j]) for j in verdict.kept]
        part = design.only(verdict.kept)
        if not any(part.labeled):
            raise NoGold(f"no feature can be corrected: {'; '.join(verdict.refused.values())}")
        places = Places.find(rows, cluster)
        by_model, sd = _estimate(rows, part, known, survey, places)
        plain = imprint_influence(rows, said.inputs, part.at, places)
    values = {m: plain.by_model[m].estimate for m in MODELS}
    values["change"] = values["post"] - values["pre"]
    informative = dict(naive.select("term", "n_informative").iter_rows())
    layout = Layout(
        said.inputs, part.terms, "latent", places.factor, places.dof, survey.n,
        [informative[t] for t in part.terms],
    )  # fmt: skip
    unit = np.array([units.get(t, 1.0) for t in part.terms])
    table = imprint_table(in_sds(by_model, sd, unit), values, layout, how)
    tests: Rows = []
    for m in MODELS:
        across = slope(values[m], by_model[m].estimate)
        tests.append(tested("naive_slope_imprint", outcomes(said.inputs)[m], across, None, survey.n))
    tests += _fit_tests(design, fits, survey.n)
    refused = verdict.refused.items()
    verdicts = tuple((design.regressors[j], collinearity.Verdict(None, False, why)) for j, why in refused)
    equation = Equation(table, verdicts, tuple(tests), _notes(design, verdict, names, survey.n))
    return Latent(equation, _errors(names, part, known))


@dataclass(frozen=True)
class Design:
    """The regressors to be corrected: their positions among the columns of the differences, ascending."""

    said: SeveralLabelers
    at: tuple[int, ...]
    regressors: tuple[Regressor, ...]

    @classmethod
    def of(cls, said: SeveralLabelers, naive: pl.DataFrame) -> "Design":
        """Those of `imprint.csv`."""
        features, terms = said.inputs.regressed, set(naive["term"])
        every = enumerate((*features.packed, *features.numeric))
        chosen = [(j, r) for j, r in every if r.term in terms]
        return cls(said, tuple(j for j, _ in chosen), tuple(r for _, r in chosen))

    def only(self, positions: Sequence[int]) -> "Design":
        """Some of them."""
        at = tuple(self.at[i] for i in positions)
        return Design(self.said, at, tuple(self.regressors[i] for i in positions))

    @property
    def terms(self) -> list[str]:
        """Their names."""
        return [r.term for r in self.regressors]

    @property
    def labeled(self) -> list[bool]:
        """Which are labels, not covariates."""
        return [r.kind != "numeric" for r in self.regressors]

    def sides(self, part: pl.DataFrame) -> Floats:
        """(L, 2, rows, K), covariates alike for all labelers."""
        inputs = self.said.inputs
        n_codes = len(inputs.regressed.packed)
        coded = [j for j in self.at if j < n_codes]
        dense = [inputs.covariates[j - n_codes] for j in self.at if j >= n_codes]
        out = np.empty((len(self.said.others) + 1, 2, part.height, len(self.at)))
        for i, side in enumerate(SIDES):
            out[:, i, :, : len(coded)] = self.said.codes(part, side, coded)
            for k, x in enumerate(dense, len(coded)):
                out[:, i, :, k] = part[f"{x}_{side}"].to_numpy()
        return out

    def patterns(self, sides: Floats) -> NDArray[np.int64]:
        """(rows, K) numbers of each feature's pattern; 0 for a covariate."""
        out = np.zeros(sides.shape[2:], dtype=np.int64)
        for k, label in enumerate(self.labeled):
            if label:
                out[:, k] = pattern_numbers(sides[..., k].transpose(2, 1, 0))
        return out


@dataclass
class _Survey:
    """The first walk: pairs, the models' mean margins, and each regressor's counts or why it has none."""

    n: int
    mean: Floats
    counts: list[Floats | str]


def _parts(rows: Iterable[pl.DataFrame]) -> Iterable[pl.DataFrame]:
    for block in rows:
        yield from block.iter_slices(BLOCK)


def _survey(rows: Iterable[pl.DataFrame], design: Design) -> _Survey:
    """Count the patterns of each feature."""
    size = len(design.said.others) + 1
    counts: list[Floats | str] = [np.zeros(4**size) for _ in design.at]
    for k, r in enumerate(design.regressors):
        if r.kind != "numeric" and (lacking := design.said.lacking(r)):
            counts[k] = f"{len(lacking)} of {size} labelers do not label it"
    n, total = 0, np.zeros(2)
    for part in _parts(rows):
        n, total = n + part.height, total + margins(part).sum(axis=0)
        sides = design.sides(part)
        for k, label in enumerate(design.labeled):
            table = counts[k]
            if label and not isinstance(table, str):
                try:
                    counts[k] = table + count_patterns(sides[..., k].transpose(2, 1, 0))
                except NoFit as reason:
                    counts[k] = str(reason)
    if not n:
        raise NoGold("no pair is labeled in full by all labelers")
    return _Survey(n, total / n, counts)


def _estimate(
    rows: Iterable[pl.DataFrame], design: Design, fits: Sequence[FeatureFit], survey: _Survey, places: Places
) -> tuple[dict[str, Influence], dict[str, Influence]]:
    """Coefficients and SDs of both models' margins, with their influences: two walks."""
    moments: list[LatentMoments | None] = [None, None]
    squares = np.zeros(2)
    for part in _parts(rows):
        sides, m = design.sides(part), margins(part)
        v = sides[:, 0] - sides[:, 1]
        squares += ((m - survey.mean) ** 2).sum(axis=0)
        for i in range(2):
            block, known = LatentMoments.of(v, m[:, i]), moments[i]
            moments[i] = block if known is None else known + block
    found = [latent(cast(LatentMoments, x), fits) for x in moments]
    sds = np.sqrt(squares / survey.n)
    scale = np.where(sds > 0, 2 * sds * survey.n, np.inf)

    def zeta(part: pl.DataFrame) -> Floats:
        sides, m = design.sides(part), margins(part)
        v, patterns = sides[:, 0] - sides[:, 1], design.patterns(sides)
        psi = [fit.psi(v, m[:, i], patterns) for i, fit in enumerate(found)]
        return np.concatenate([*psi, ((m - survey.mean) ** 2 - sds**2) / scale], axis=1)

    scores = places.sums(rows, zeta)
    one, k = np.eye(2 * len(design.at) + 2), len(design.at)
    by_model = {
        m: Influence(f.estimate, one[i * k : (i + 1) * k], scores)
        for i, (m, f) in enumerate(zip(MODELS, found, strict=True))
    }
    sd = {m: Influence(sds[[i]], one[[2 * k + i]], scores) for i, m in enumerate(MODELS)}
    return by_model, sd


def _fit_tests(design: Design, fits: Sequence[FeatureFit | str], n: int) -> Rows:
    """How the patterns of each feature fit independent errors."""
    return [
        tested("latent_fit", term, fit.g2, fit.g2_p_value, n)
        for term, fit in zip(design.terms, fits, strict=True)
        if not isinstance(fit, str) and np.isfinite(fit.g2_p_value)
    ]


def _errors(names: Sequence[str], design: Design, fits: Sequence[FeatureFit]) -> Rows:
    return [
        {"labeler": name, "feature": term, "side": "all", "source": "all", "n_gold": None}
        | {"false_positive_rate": float(fit.fpr[i]), "false_negative_rate": float(fit.fnr[i])}
        for i, name in enumerate(names)
        for term, label, fit in zip(design.terms, design.labeled, fits, strict=True)
        if label
    ]


def _notes(design: Design, verdict: Verdict, names: Sequence[str], n: int) -> tuple[str, ...]:
    notes = [f"{NAME}: latent, from {n} pairs that {', '.join(names)} all label in full", ASSUMES]
    if verdict.refused:
        said = "; ".join(f"{design.terms[j]}: {why}" for j, why in sorted(verdict.refused.items()))
        notes.append(f"{NAME}: left out ({said}); corrected coefficients are of the regression without")
    notes += [f"{NAME}: {design.terms[j]}: {flag}" for j, flag in sorted(verdict.flags.items())]
    return tuple(notes)
