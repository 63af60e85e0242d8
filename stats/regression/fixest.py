"""Eq. 1 by pyfixest: effects that differ within pairs, and the cross-check of the streaming path.

The design reads as a formula: reward ~ features | row_id + further effects, clustered by pair or wider. The
frame is one row a text (or a text and labeler), all of it in memory; pyfixest needs about 6 GB for a million
pairs and 17 features.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from seal.engine.errors import InputError

PAIR = "row_id"


@dataclass(frozen=True)
class Estimates:
    """Coefficients of one outcome.

    Attributes:
        estimate: regressor -> coefficient; those pyfixest drops as collinear are not there.
        std_error: regressor -> clustered standard error.
        dof: of the t distribution, clusters less one.
    """

    estimate: dict[str, float]
    std_error: dict[str, float]
    dof: float


def fit(
    frame: pl.DataFrame,
    outcome: str,
    regressors: Sequence[str],
    *,
    fixed_effects: Sequence[str] = (PAIR,),
    cluster: str = PAIR,
    small_sample: bool = False,
) -> Estimates:
    """Regress an outcome on regressors within fixed effects.

    Args:
        frame: one row a text; numeric `outcome` and `regressors`, no nulls.
        outcome, regressors, fixed_effects, cluster: columns of it.
        small_sample: pyfixest's default factors G/(G-1) (N-1)/(N-k); without, the plain sandwich, which with
            one pair effect and pairs as clusters is HC0 of the differences.

    Raises:
        InputError: pyfixest cannot estimate this design, in its words.
    """
    import pyfixest  # two seconds that the streaming path does without

    names = {r: f"x{i}" for i, r in enumerate(regressors)}
    effects = {e: f"e{i}" for i, e in enumerate(fixed_effects)}
    narrow = frame.select(
        pl.col(outcome).cast(pl.Float64).alias("y"),
        *(pl.col(r).cast(pl.Float64).alias(x) for r, x in names.items()),
        *(_number(e).alias(x) for e, x in effects.items()),
        _number(cluster).alias("g"),
    )
    try:
        with warnings.catch_warnings():
            # pyfixest 0.60 calls pandas as version 4 will not allow; what it drops as collinear is reported
            warnings.filterwarnings("ignore", "The inplace keyword", DeprecationWarning)
            warnings.filterwarnings("ignore", "(?s).*multicollinear", UserWarning)
            model = pyfixest.feols(
                f"y ~ {' + '.join(names.values())} | {' + '.join(effects.values())}",
                data=narrow.to_pandas(), vcov={"CRV1": "g"},
                ssc=pyfixest.ssc(k_adj=small_sample, G_adj=small_sample),
                fixef_rm="singleton", copy_data=False, store_data=False, lean=True,
            )  # fmt: skip
    except (ValueError, np.linalg.LinAlgError, ZeroDivisionError) as error:
        effect = ", ".join(fixed_effects)
        raise InputError(f"pyfixest cannot estimate {outcome} within {effect}: {error}") from None
    back = {x: r for r, x in names.items()}
    coefficients, errors = ({back[x]: float(v) for x, v in f().items()} for f in (model.coef, model.se))
    return Estimates(coefficients, errors, float(frame[cluster].n_unique() - 1))


def _number(column: str) -> pl.Expr:
    """Group numbers: pyfixest takes integers of any meaning, and text would be slow."""
    return pl.col(column).rank("dense").cast(pl.Int64)
