"""From a LABELS frame's columns to regressors: which features there are, of what kind, and their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import INCLUSION, LABELS
from seal.stats.options import SENTIMENT, Sentiment

RegressorKind = Literal["boolean", "ternary", "category", "numeric"]

_TERNARY = {"positive": 1, "neutral": 0, "negative": -1}
_MOST_LEVELS = 20
RESERVED = ("chosen", "intercept")  # terms of the equations' own, which no family of features holds


@dataclass(frozen=True)
class Regressor:
    """One column of a design, before sides are differenced.

    Attributes:
        term: name in the result files: the feature, with `=level` for one category of several.
        feature: the LABELS column.
        kind: boolean (0/1), ternary (-1/0/1), category (1 where the feature is `level`) or numeric.
        level: the category, where there is one; "|.|" for the absolute value of a ternary feature.
    """

    term: str
    feature: str
    kind: RegressorKind
    level: str | None = None

    @property
    def key(self) -> dict[str, object]:
        """What names it in a result table."""
        return {"term": self.term}

    def value(self) -> pl.Expr:
        """The number per text: Int8 in -1..1, Float64 for a numeric feature; null where the label is."""
        column = pl.col(self.feature)
        if self.kind == "boolean":
            return column.cast(pl.Int8)
        if self.kind == "numeric":
            return pl.when(column.cast(pl.Float64).is_finite()).then(column.cast(pl.Float64))
        text = column.cast(pl.String)
        if self.kind == "category":
            return (text == self.level).cast(pl.Int8)
        number = text.replace_strict(_TERNARY, default=None, return_dtype=pl.Int8)
        return number.abs() if self.level == "|.|" else number


@dataclass(frozen=True)
class Features:
    """What of a LABELS frame enters the regressions.

    Attributes:
        regressors: booleans and categories in the frame's order, then covariates.
        curves: |value| of each ternary feature coded linearly: what tests that linearity.
        targets: the features of the preference profile, first the one that decides first.
        left_out: feature -> why it is no regressor.
    """

    regressors: tuple[Regressor, ...]
    curves: tuple[Regressor, ...]
    targets: tuple[Regressor, ...]
    left_out: dict[str, str]

    @property
    def coded(self) -> tuple[Regressor, ...]:
        """The regressors whose values are small integers."""
        return tuple(r for r in self.regressors if r.kind != "numeric")

    @property
    def packed(self) -> tuple[Regressor, ...]:
        """What the packed words hold: the coded regressors, then the curves."""
        return (*self.coded, *self.curves)

    @property
    def numeric(self) -> tuple[Regressor, ...]:
        """The covariates."""
        return tuple(r for r in self.regressors if r.kind == "numeric")


def find_features(
    labels: pl.LazyFrame,
    *,
    targets: Sequence[str],
    covariates: Sequence[str] = (),
    exclude: Sequence[str] = (),
    sentiment: Sentiment = SENTIMENT,
) -> Features:
    """Read a LABELS frame's columns and types as features.

    Booleans enter as 0/1. Text whose values are positive, neutral and negative enters as 1, 0 and -1 or as
    categories; other text of at most 20 values as categories, the first value (of an Enum) or the first in
    the alphabet left out as the baseline. Numbers enter where `covariates` names them; lists and
    probabilities (`p_<feature>`, `inclusion_probability`) do not.

    Args:
        labels: a LABELS frame of one labeler.
        targets: features of the preference profile: boolean, or positive/neutral/negative.
        covariates: numeric features to take.
        exclude: features to leave out.
        sentiment: how positive/neutral/negative enters.

    Raises:
        InputError: a target, covariate or excluded feature is not there, or of a kind that cannot be used so,
            or a feature has a name of `RESERVED`.
    """
    schema = labels.collect_schema()
    held = {*LABELS.types, INCLUSION}
    names = [n for n in schema if n not in held and not (n.startswith("p_") and n[2:] in schema)]
    levels = _levels(labels, [n for n in names if is_text(schema[n])])
    regressors: list[Regressor] = []
    left_out: dict[str, str] = {}
    if unknown := [n for n in exclude if n not in names]:
        raise InputError(f"no feature {unknown[0]!r} to exclude; there are: {', '.join(names) or 'none'}")
    for name in names:
        if name in exclude:
            left_out[name] = "left out on request"
            continue
        found = _regressors(name, schema[name], levels.get(name), sentiment)
        if isinstance(found, str):
            left_out[name] = found
        else:
            regressors += found
    for name in covariates:
        if name == INCLUSION or name not in schema or not schema[name].is_numeric():
            numeric = [n for n in names if schema[n].is_numeric()]
            raise InputError(f"no numeric feature {name!r}; there are: {', '.join(numeric) or 'none'}")
        left_out.pop(name, None)
    regressors += [Regressor(n, n, "numeric") for n in dict.fromkeys(covariates)]
    refuse_reserved([r.feature for r in regressors])
    return Features(
        regressors=tuple(regressors),
        curves=tuple(
            Regressor(f"|{r.term}|", r.feature, "ternary", "|.|") for r in regressors if r.kind == "ternary"
        ),
        targets=tuple(_target(n, schema, levels) for n in targets),
        left_out=left_out,
    )


def refuse_reserved(names: Sequence[str]) -> None:
    """Refuse features that have the name of a term of the equations' own."""
    if found := [n for n in dict.fromkeys(names) if n in RESERVED]:
        raise InputError(
            f"labels: a feature cannot be called {' or '.join(map(repr, found))}, which are terms of the "
            "equations; rename the column, or leave it out with --exclude"
        )


def is_text(kind: pl.DataType | None) -> bool:
    """Whether a column holds text."""
    return isinstance(kind, pl.String | pl.Categorical | pl.Enum)


def _levels(labels: pl.LazyFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """The values that occur, an Enum's in its order, other text's in the alphabet's."""
    if not names:
        return {}
    lazy = [labels.select(pl.col(n).drop_nulls().unique()) for n in names]
    found = pl.collect_all(lazy, engine="streaming")
    schema = labels.collect_schema()
    levels = {}
    for name, frame in zip(names, found, strict=True):
        there, kind = {str(v) for v in frame[name]}, schema[name]
        order = kind.categories.to_list() if isinstance(kind, pl.Enum) else sorted(there)
        levels[name] = [v for v in order if v in there]
    return levels


def _regressors(
    name: str, kind: pl.DataType, levels: list[str] | None, sentiment: Sentiment
) -> list[Regressor] | str:
    """The regressors of one feature, or why it has none."""
    if kind == pl.Boolean():
        return [Regressor(name, name, "boolean")]
    if kind.is_numeric():
        return "numeric: enters when named with --covariates"
    if levels is None:
        return f"{kind} is no boolean, category or number"
    if len(levels) > _MOST_LEVELS:
        return f"{len(levels)} different texts, too many for categories"
    if len(levels) < 2:
        return "never varies"
    if set(levels) <= set(_TERNARY):
        if sentiment == "linear":
            return [Regressor(name, name, "ternary")]
        levels = [v for v in ("neutral", "negative", "positive") if v in levels]
    return [Regressor(f"{name}={v}", name, "category", v) for v in levels[1:]]


def _target(name: str, schema: pl.Schema, levels: dict[str, list[str]]) -> Regressor:
    if name not in schema or name in (*LABELS.types, INCLUSION):
        there = [n for n in schema if schema[n] == pl.Boolean()]
        raise InputError(
            f"target feature {name!r} is not among the labels; choose targets with --targets from: "
            f"{', '.join(there) or 'none'}"
        )
    if schema[name] == pl.Boolean():
        return Regressor(name, name, "boolean")
    if set(levels.get(name, ["?"])) <= set(_TERNARY):
        return Regressor(name, name, "ternary")
    raise UsageError(
        f"target feature {name!r} is {schema[name]}; a target is boolean or positive/neutral/negative"
    )
