"""Eq. 1, feature imprint: how much reward a model pays for a feature, between the two texts of one pair.

r(t) = alpha_i + sum_f beta_f t(f) + e, errors clustered by pair. With two texts a pair this is least
squares, without intercept, of the reward difference on the feature differences d, and the clustered variance
is its HC0 (no small-sample factor: pyfixest's `ssc(k_adj=False, G_adj=False)`), with t(n_pairs - 1) for
intervals. Pairs are grouped by d, so one pass over the data is all it takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from seal.stats.options import ADJUST, LEVEL, MAX_VIF, Adjust
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs
from seal.stats.pairs.sides import SIDES
from seal.stats.regression import collinearity, linear
from seal.stats.regression.cells import Cells, Tally, collapse, packed_difference, unpack
from seal.stats.regression.inference import FEW_INFORMATIVE, INFERENCE, adjust_families, coefficient

CHOSEN_TERM = "chosen"
_TEXT, _FLOAT, _COUNT = pl.String(), pl.Float64(), pl.Int64()

SCHEMA: dict[str, pl.DataType] = (
    dict.fromkeys(("model", "term"), _TEXT)
    | INFERENCE
    | {"n_pairs": _COUNT, "n_informative": _COUNT, "estimate_std": _FLOAT}
)

_OUTCOMES = ("pre", "post", "change")
_TESTED = ("statistic", "p_value")


@dataclass(frozen=True)
class Imprint:
    """Eq. 1 for one design.

    Attributes:
        table: columns of `SCHEMA`. Estimates are in the model's reward units a unit of the feature;
            `estimate_std` in SDs of the model's rewards (and of a covariate); for the difference of the two
            models it is the difference of theirs.
        verdicts: (regressor, verdict) for every regressor: which entered and why not.
        tests: `test`, `group`, `statistic`, `p_value`, `n`.
        notes: what a reader must know.
    """

    table: pl.DataFrame
    verdicts: tuple[tuple[Regressor, collinearity.Verdict], ...]
    tests: tuple[dict[str, object], ...] = ()
    notes: tuple[str, ...] = ()


def feature_imprint(
    inputs: Inputs,
    *,
    chosen_side: bool = False,
    adjust: Adjust = ADJUST,
    level: float = LEVEL,
    max_vif: float = MAX_VIF,
) -> tuple[Imprint, Joined]:
    """Estimate Eq. 1 for the pre model, the post model and their difference.

    Args:
        inputs: scores, labels and features; scanned files stay on disk, read a block at a time.
        chosen_side: add an intercept of the chosen side, so that features do not absorb the part of the
            chosen premium that no feature explains.
        adjust: for multiplicity over the features of one model.
        level: of the intervals.
        max_vif: regressors above it are dropped, one at a time.

    Returns:
        The estimates, and what the joins counted.

    Raises:
        InputError: a key stands twice, or a column is missing.
    """
    pairs, gathered = Pairs(inputs), Differences(inputs)
    for block in pairs:
        gathered.add(block)
    result = estimate_imprint(gathered, chosen_side=chosen_side, method=adjust, level=level, max_vif=max_vif)
    return result, pairs.joined


@dataclass
class Differences:
    """Pairs grouped by their feature differences, block by block."""

    inputs: Inputs
    spread: "Spread" = field(init=False)

    def __post_init__(self) -> None:
        self.covariates = [f"d_{x}" for x in self.inputs.covariates]
        self.spread = Spread(("pre", "post", *self.inputs.covariates))
        self._tally = Tally(self.inputs.words, covariates=self.covariates)

    @property
    def n_codes(self) -> int:
        """Fields in the packed words: regressors, then curves."""
        return len(self.inputs.regressed.coded) + len(self.inputs.regressed.curves)

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`."""
        pairs = block.filter("regressed")
        self.spread.add(pairs)
        margins = {m: pl.col(f"{m}_chosen") - pl.col(f"{m}_rejected") for m in ("pre", "post")}
        fields = [min(21, self.n_codes - 21 * i) for i in range(len(self.inputs.words))]
        words = {
            w: packed_difference(pl.col(f"{w}_chosen"), pl.col(f"{w}_rejected"), n)
            for w, n in zip(self.inputs.words, fields, strict=True)
        }
        dense = {f"d_{x}": pl.col(f"{x}_chosen") - pl.col(f"{x}_rejected") for x in self.inputs.covariates}
        frame = pairs.select(**words, **dense, **margins, change=margins["post"] - margins["pre"])
        self._tally.add(collapse(frame, self.inputs.words, _OUTCOMES, covariates=self.covariates))

    def cells(self) -> Cells | None:
        """The differences as arrays, or None where no pair could enter."""
        frame = self._tally.total()
        if frame is None or not frame.height:
            return None
        return Cells.of(frame, unpack(frame.select(self.inputs.words), self.n_codes, 2), self.covariates)


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


def estimate_imprint(
    gathered: Differences, *, chosen_side: bool, method: Adjust, level: float, max_vif: float
) -> Imprint:
    """Eq. 1 from grouped differences; see `feature_imprint`."""
    cells, inputs, features = gathered.cells(), gathered.inputs, gathered.inputs.regressed
    if cells is None:
        return Imprint(
            pl.DataFrame(schema=SCHEMA), (), (), ("no pair has both rewards and labels: no imprint",)
        )
    columns = [*range(len(features.coded)), *range(gathered.n_codes, cells.n_columns)]
    gram = linear.cross_products(cells, "pre", columns, intercept=chosen_side)
    gram = linear.centred(gram) if chosen_side else gram
    verdicts = collinearity.select(gram, [r.term for r in features.regressors], threshold=max_vif)
    kept = [i for i, v in enumerate(verdicts) if v.kept]
    chosen = tuple(zip(features.regressors, verdicts, strict=True))
    if not kept:
        return Imprint(
            pl.DataFrame(schema=SCHEMA), chosen, (), ("no feature varies within pairs: no imprint",)
        )
    design = _Design(
        cells,
        [columns[i] for i in kept],
        [features.regressors[i] for i in kept],
        chosen_side,
        gathered.spread,
    )
    rows, notes, names = [], [], (inputs.pre, inputs.post, f"{inputs.post}-{inputs.pre}")
    for outcome, model in zip(_OUTCOMES, names, strict=True):
        found, said = _rows(design, outcome, level)
        rows += [{"model": model} | row for row in found]
        notes += [f"imprint of {model}: {text}" for text in said]
    standardise(rows, design.spread.sd, inputs)
    table = adjust_families(pl.DataFrame(rows, schema=SCHEMA), ["model"], method, outside=(CHOSEN_TERM,))
    tests = () if chosen_side else tuple(_linearity(gathered, design, names))
    return Imprint(table, chosen, tests, tuple(dict.fromkeys(notes)))


@dataclass(frozen=True)
class _Design:
    cells: Cells
    columns: list[int]
    regressors: list[Regressor]
    intercept: bool
    spread: Spread

    def informative(self, position: int) -> int:
        """Pairs in which the regressor differs between the two texts."""
        k = self.cells.codes.shape[1]
        j = self.columns[position]
        values = self.cells.codes[:, j] if j < k else self.cells.dense[:, j - k]
        return int(self.cells.counts["pre"][values != 0].sum())


def _rows(design: _Design, outcome: str, level: float) -> tuple[list[dict[str, object]], list[str]]:
    """Coefficients of one outcome, and what is to be said about them."""
    cells, columns, intercept = design.cells, design.columns, design.intercept
    fit = linear.least_squares(cells, outcome, columns, intercept=intercept, robust="HC0")
    rows: list[dict[str, object]] = []
    few, exact = [], []
    terms = [*([CHOSEN_TERM] if intercept else []), *(r.term for r in design.regressors)]
    for j, term in enumerate(terms):
        n_informative = (
            fit.n if term == CHOSEN_TERM and intercept and j == 0 else design.informative(j - intercept)
        )
        std_error, dof = float(fit.std_error[j]), fit.dof
        if n_informative < FEW_INFORMATIVE:
            std_error, dof = linear.few_informative(cells, outcome, columns, fit, j, intercept=intercept)
            few.append(term)
        row = coefficient(float(fit.estimate[j]), std_error, dof, level)
        if row["std_error"] is None:
            exact.append(term)
        rows.append({"term": term, **row, "n_pairs": fit.n, "n_informative": n_informative})
    notes = []
    if few:
        notes.append(
            f"fewer than {FEW_INFORMATIVE} informative pairs for {', '.join(few)}: HC2 standard error and "
            "Satterthwaite degrees of freedom there"
        )
    if exact:
        notes.append(f"no residual is left to judge {', '.join(exact)} by: no standard error")
    return rows, notes


def standardise(rows: list[dict[str, object]], sd: Callable[[str], float], inputs: Inputs) -> None:
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


def _linearity(gathered: Differences, design: _Design, models: Sequence[str]) -> list[dict[str, object]]:
    """Whether positive/neutral/negative is linear: add |value|, test its coefficient."""
    rows: list[dict[str, object]] = []
    kept = {r.feature: r for r in design.regressors if r.kind == "ternary"}
    for i, curve in enumerate(gathered.inputs.regressed.curves):
        if curve.feature not in kept:
            continue
        columns = sorted([*design.columns, len(gathered.inputs.regressed.coded) + i])
        j = columns.index(len(gathered.inputs.regressed.coded) + i)
        for outcome, model in zip(_OUTCOMES, models, strict=True):
            group = f"{model}: {curve.feature}"
            try:
                fit = linear.least_squares(design.cells, outcome, columns, intercept=False, robust="HC0")
            except np.linalg.LinAlgError:
                continue
            row = coefficient(float(fit.estimate[j]), float(fit.std_error[j]), fit.dof, 0.95)
            rows.append({"test": "linearity", "group": group, "n": fit.n} | {k: row[k] for k in _TESTED})
    return rows
