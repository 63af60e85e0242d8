"""Eq. 1, feature imprint: how much reward a model pays for a feature, between the two texts of one pair.

r(t) = alpha_i + sum_f beta_f t(f) + e, errors clustered by pair. With two texts a pair this is least
squares, without intercept, of the reward difference on the feature differences d, and the clustered variance
is its HC0 (no small-sample factor: pyfixest's `ssc(k_adj=False, G_adj=False)`), with t(n_pairs - 1) for
intervals. Pairs are grouped by d, so one pass over the data is all it takes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint_influence import (
    CHOSEN_TERM,
    ImprintInfluence,
    differences,
    imprint_influence,
)
from seal.stats.options import LEVEL, USUAL, Inference
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs
from seal.stats.pairs.rewards import margin
from seal.stats.pairs.sides import SIDES
from seal.stats.regression import collinearity, linear
from seal.stats.regression.cells import FIELDS, Cells, Tally, collapse, packed_difference, unpack
from seal.stats.regression.inference import INFERENCE, Rows, coefficient, coefficient_table, tested

__all__ = (
    "CHOSEN_TERM", "NO_FEATURE", "NO_PAIR", "SCHEMA", "Differences", "ImprintInfluence", "Spread",
    "differences", "estimate_imprint", "feature_imprint", "imprint_influence", "outcomes", "standardise",
)  # fmt: skip
_TEXT, _FLOAT, _COUNT = pl.String(), pl.Float64(), pl.Int64()

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "term"), _TEXT)
    | INFERENCE
    | {"n_pairs": _COUNT, "n_informative": _COUNT, "estimate_std": _FLOAT}
)

NO_PAIR = "no pair has both rewards and labels: no imprint"
NO_FEATURE = "no feature varies within pairs: no imprint"


def outcomes(inputs: Inputs) -> dict[str, str]:
    """The three outcomes, and what each is called as a model."""
    return {"pre": inputs.pre, "post": inputs.post, "change": f"{inputs.post}-{inputs.pre}"}


def feature_imprint(
    inputs: Inputs, how: Inference = USUAL, *, chosen_side: bool = False
) -> tuple[Equation, Joined]:
    """Estimate Eq. 1 for the pre model, the post model and their difference.

    Args:
        inputs: scores, labels and features; scanned files stay on disk, read a block at a time.
        how: multiplicity over the features of one model, intervals, collinearity.
        chosen_side: add an intercept of the chosen side, so that features do not absorb the part of the
            chosen premium that no feature explains.

    Returns:
        The estimates, in the model's reward units a unit of the feature (`estimate_std`: in SDs of the
        model's rewards, and of a covariate; for the difference of the two models the difference of theirs),
        and what the joins counted.

    Raises:
        InputError: a key stands twice, or a column is missing.
    """
    pairs, gathered = Pairs(inputs), Differences(inputs)
    for block in pairs:
        gathered.add(block)
    return estimate_imprint(gathered, how, chosen_side=chosen_side), pairs.joined


@dataclass
class Differences:
    """Pairs grouped by their feature differences, block by block."""

    inputs: Inputs
    spread: "Spread" = field(init=False)

    def __post_init__(self) -> None:
        self.covariates = [f"d_{x}" for x in self.inputs.covariates]
        self.spread = Spread(("pre", "post", *self.inputs.covariates))
        self._tally = Tally(self.inputs.words, covariates=self.covariates)

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`."""
        pairs = block.filter("regressed")
        self.spread.add(pairs)
        margins = {m: margin(m) for m in ("pre", "post")}
        n_codes = len(self.inputs.regressed.packed)
        fields = [min(FIELDS, n_codes - FIELDS * i) for i in range(len(self.inputs.words))]
        words = {
            w: packed_difference(pl.col(f"{w}_chosen"), pl.col(f"{w}_rejected"), n)
            for w, n in zip(self.inputs.words, fields, strict=True)
        }
        dense = {f"d_{x}": margin(x) for x in self.inputs.covariates}
        frame = pairs.select(**words, **dense, **margins, change=margins["post"] - margins["pre"])
        self._tally.add(
            collapse(frame, self.inputs.words, list(outcomes(self.inputs)), covariates=self.covariates)
        )

    def cells(self) -> Cells | None:
        """The differences as arrays, or None where no pair could enter."""
        frame = self._tally.total()
        if frame is None or not frame.height:
            return None
        codes = unpack(frame.select(self.inputs.words), len(self.inputs.regressed.packed), 2)
        return Cells.of(frame, codes, self.covariates)


class Spread:
    """Standard deviations over the texts of the pairs that enter, both sides pooled."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._sums = np.zeros((len(self._columns), 3))

    def add(self, pairs: pl.DataFrame) -> None:
        """Add a block."""
        for i, column in enumerate(self._columns):
            values = np.concatenate([pairs[f"{column}_{s}"].to_numpy() for s in SIDES])
            self._sums[i] += len(values), values.sum(), values @ values

    def sd(self, column: str) -> float:
        """Sample standard deviation; NaN where there are not two texts, or no variation."""
        n, s, q = self._sums[self._columns.index(column)]
        variance = (q - s * s / n) / (n - 1) if n > 1 else 0.0
        return float(np.sqrt(variance)) if variance > 1e-14 * max(q / max(n, 1), 1e-300) else float("nan")


def estimate_imprint(gathered: Differences, how: Inference, *, chosen_side: bool) -> Equation:
    """Eq. 1 from grouped differences; see `feature_imprint`."""
    cells, inputs, features = gathered.cells(), gathered.inputs, gathered.inputs.regressed
    if cells is None:
        return Equation(pl.DataFrame(schema=SCHEMA), notes=(NO_PAIR,))
    columns = [*range(len(features.coded)), *range(len(features.packed), cells.n_columns)]
    gram = linear.cross_products(cells, "pre", columns, intercept=chosen_side)
    gram = linear.centred(gram) if chosen_side else gram
    judged = collinearity.select(gram, [r.term for r in features.regressors], threshold=how.max_vif)
    verdicts = tuple(zip(features.regressors, judged, strict=True))
    kept = {j: r for j, (r, v) in zip(columns, verdicts, strict=True) if v.kept}
    if not kept:
        return Equation(pl.DataFrame(schema=SCHEMA), verdicts, notes=(NO_FEATURE,))
    terms = [*[CHOSEN_TERM] * chosen_side, *(r.term for r in kept.values())]
    informative = [*[cells.total("pre")] * chosen_side, *(_informative(cells, j) for j in kept)]
    rows: Rows = []
    notes: list[str] = []
    for outcome, model in outcomes(inputs).items():
        found, said = linear.coefficient_rows(
            cells, outcome, list(kept), terms, informative,
            intercept=chosen_side, robust="HC0", level=how.level, scarce="informative pairs for",
        )  # fmt: skip
        rows += [
            {"model": model, "term": term, **row, "n_informative": n}
            for term, row, n in zip(terms, found, informative, strict=True)
        ]
        notes += [f"imprint of {model}: {text}" for text in said]
    standardise(rows, gathered.spread.sd, inputs)
    table = coefficient_table(rows, SCHEMA, "model", how.adjust, outside=CHOSEN_TERM)
    tests = () if chosen_side else tuple(_linearity(gathered, cells, kept))
    return Equation(table, verdicts, tests, tuple(dict.fromkeys(notes)))


def _informative(cells: Cells, j: int) -> int:
    """Pairs in which a regressor differs between the two texts."""
    k = cells.codes.shape[1]
    values = cells.codes[:, j] if j < k else cells.dense[:, j - k]
    return int(cells.counts["pre"][values != 0].sum())


def standardise(rows: Rows, sd: Callable[[str], float], inputs: Inputs) -> None:
    """Set `estimate_std`: in SDs of the model's rewards, for a covariate a SD of it.

    Args:
        rows: pre's, post's, then their difference's.
        sd: standard deviation of `pre`, `post`, and the covariates by their base names.
        inputs: for the names.
    """
    assert inputs.features is not None
    numeric = {r.term: x for r, x in zip(inputs.features.numeric, inputs.covariates, strict=True)}
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        model, term = str(row["model"]), str(row["term"])
        unit = sd(numeric[term]) if term in numeric else 1.0
        if model in (inputs.pre, inputs.post):
            value = float(str(row["estimate"])) * unit / sd("pre" if model == inputs.pre else "post")
            found[model, term] = value
        else:
            value = found[inputs.post, term] - found[inputs.pre, term]
        row["estimate_std"] = value if np.isfinite(value) else None


def _linearity(gathered: Differences, cells: Cells, kept: Mapping[int, Regressor]) -> Rows:
    """Whether positive/neutral/negative is linear: add |value|, test its coefficient."""
    rows: Rows = []
    features = gathered.inputs.regressed
    ternary = {r.feature for r in kept.values() if r.kind == "ternary"}
    for at, curve in enumerate(features.curves, len(features.coded)):
        if curve.feature not in ternary:
            continue
        columns = sorted([*kept, at])
        j = columns.index(at)
        for outcome, model in outcomes(gathered.inputs).items():
            try:
                fit = linear.least_squares(cells, outcome, columns, intercept=False, robust="HC0")
            except np.linalg.LinAlgError:
                continue
            row = coefficient(float(fit.estimate[j]), float(fit.std_error[j]), fit.dof, LEVEL)
            group = f"{model}: {curve.feature}"
            rows.append(tested("linearity", group, row["statistic"], row["p_value"], fit.n))
    return rows
