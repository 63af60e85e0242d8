"""What estimating one equation gives, whichever it is."""

from dataclasses import dataclass

import polars as pl

from seal.stats.pairs.features import Regressor
from seal.stats.pairs.two_sided import Column
from seal.stats.regression.collinearity import Verdict


@dataclass(frozen=True)
class Equation:
    """One equation, estimated.

    Attributes:
        table: a row a coefficient, columns of the equation's `SCHEMA`.
        verdicts: (column, verdict) for every column of the design: which entered and why not.
        tests: `test`, `group`, `statistic`, `p_value`, `n`.
        notes: what a reader must know.
    """

    table: pl.DataFrame
    verdicts: tuple[tuple[Regressor | Column, Verdict], ...] = ()
    tests: tuple[dict[str, object], ...] = ()
    notes: tuple[str, ...] = ()
