"""The texts of a block of pairs beside what they were rewritten to, joined on keys."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from seal.engine.errors import InputError
from seal.engine.frames import contrasts
from seal.engine.frames.contrasts import Contrast
from seal.engine.frames.schema import LABELS, SCORES, check
from seal.stats.pairs.features import is_text
from seal.stats.pairs.joins import Inputs, collect_all
from seal.stats.pairs.sides import SIDES

STEPS = ("toward", "back")
_TEXT = ["row_id", "preference"]


@dataclass(frozen=True)
class Rewrites:
    """Scores and labels of rewritten texts, beside the pairs that they were made of.

    Attributes:
        inputs: the original texts' frames.
        scores: SCORES of the rewritten texts.
        labels: LABELS of them by the same labeler.
        targets: features that no rewriting is meant to change, but where it is aimed at one.
    """

    inputs: Inputs
    scores: pl.LazyFrame
    labels: pl.LazyFrame
    targets: tuple[str, ...] = ()

    @property
    def _models(self) -> list[str]:
        return [m for m, _ in self.inputs.models]

    def variants(self) -> list[str]:
        """The variants that are scored, sorted."""
        (found,) = collect_all([self._typed_scores().select(pl.col("variant").unique())])
        return sorted(found["variant"].to_list())

    def doubled(self, part: pl.DataFrame, contrast: Contrast) -> pl.DataFrame:
        """The texts of some pairs with their double rewritings.

        Args:
            part: rows of a block of `seal.stats.pairs.joins.Pairs`.
            contrast: of which attribute.

        Returns:
            `at` (the row of `part`), `has` (whether the text has the value; null where no label says),
            `there` (whether it was rewritten), `pre` and `post` (its rewards), `toward_pre`, ...,
            `back_post` (those of the two rewritings; null where there is none that is finite), `toward_kept`,
            `back_kept` (whether the rewriting reached its value and changed no other target).

        Raises:
            InputError: a rewritten text is scored or labeled twice, or the labels lack a feature.
        """
        feature, others = contrast.feature, [t for t in self.targets if t != contrast.feature]
        names = [f"{step}:{feature}={v}" for v in (contrast.value, contrast.baseline) for step in STEPS]
        texts = self._texts(part, [feature, *others])
        scores, labels = self._rewards(part, names), self._labels(part, names, [feature, *others])
        has = pl.col(feature) == contrast.value
        away = pl.when(has).then(pl.lit(contrast.baseline)).otherwise(pl.lit(contrast.value))
        goal = pl.when(has).then(pl.lit(contrast.value)).otherwise(pl.lit(contrast.baseline))
        texts = texts.with_columns(has=has, away=pl.when(has.is_not_null()).then(away), goal=goal)
        for step in STEPS:
            texts = _joined(texts, scores, labels, pl.lit(f"{step}:{feature}=") + pl.col("away"), step)
        aims = {"toward": pl.col("away"), "back": pl.col("goal")}
        kept = {
            f"{step}_kept": _kept(step, others) & (pl.col(f"{step}_{feature}") == aim).fill_null(False)
            for step, aim in aims.items()
        }
        rewards = [f"{step}_{m}" for step in STEPS for m in self._models]
        there = pl.any_horizontal(pl.col(f"{step}_there").is_not_null() for step in STEPS)
        return texts.select("at", "has", *self._models, *rewards, there=there, **kept)

    def placebos(self, part: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
        """The texts of some pairs with their placebos.

        Args:
            part: as for `doubled`.
            features: that a placebo is not to change, beside the targets.

        Returns:
            `at`, `there`, `pre`, `post`, `placebo_pre`, `placebo_post` and `placebo_kept`, as for `doubled`.
        """
        name, same = contrasts.PLACEBO, list(dict.fromkeys([*self.targets, *features]))
        texts = self._texts(part, same)
        scores, labels = self._rewards(part, [name]), self._labels(part, [name], same)
        texts = _joined(texts, scores, labels, pl.lit(name), name)
        rewards, there = [f"{name}_{m}" for m in self._models], pl.col(f"{name}_there").is_not_null()
        return texts.select("at", *self._models, *rewards, there=there, placebo_kept=_kept(name, same))

    def _texts(self, part: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
        """The pairs' texts, the chosen ones first, with their rewards and labels."""
        assert self.inputs.labels is not None
        numbered = part.with_row_index("at")
        sides = [
            numbered.select(
                "at", "row_id", *(pl.col(f"{m}_{s}").alias(m) for m in self._models),
                preference=pl.lit(s, self._preference),
            )
            for s in SIDES
        ]  # fmt: skip
        own = _named(_labels_in(self.inputs.labels, part, [self.inputs.variant], features), "labels")
        return pl.concat(sides).join(own.drop("variant"), on=_TEXT, how="left", maintain_order="left")

    @property
    def _preference(self) -> pl.DataType:
        return SCORES.types["preference"]

    def _typed_scores(self) -> pl.LazyFrame:
        frame = check(self.scores, SCORES, origin="scores of the rewritten texts", columns=("reward",))
        return frame.with_columns(pl.col("variant").cast(pl.String))

    def _rewards(self, part: pl.DataFrame, variants: Sequence[str]) -> pl.DataFrame:
        """Finite rewards of both models, `pre` and `post`, a row a rewritten text."""
        reward = pl.col("reward").cast(pl.Float64)
        names = dict(self.inputs.models)
        asked = _among(self._typed_scores(), part, variants).filter(
            pl.col("model").is_in(list(names.values()))
        )
        (found,) = collect_all([asked])
        _refuse_twice(found, [*_TEXT, "variant", "model"], "scores")
        columns = {
            m: pl.when(pl.col("model") == name, reward.is_finite()).then(reward).max()
            for m, name in names.items()
        }
        return found.group_by(*_TEXT, "variant", maintain_order=True).agg(**columns)

    def _labels(self, part: pl.DataFrame, variants: Sequence[str], features: Sequence[str]) -> pl.DataFrame:
        return _named(_labels_in(self.labels, part, variants, features), "labels of the rewritten texts")


def _labels_in(
    labels: pl.LazyFrame, part: pl.DataFrame, variants: Sequence[str], features: Sequence[str]
) -> pl.LazyFrame:
    """Labels of some texts as text: a boolean is `true` or `false`."""
    typed = check(labels, LABELS, origin="labels").with_columns(pl.col("variant").cast(pl.String))
    if missing := [f for f in features if f not in typed.collect_schema()]:
        raise InputError(f"labels lack {', '.join(map(repr, missing))}, which texts were rewritten toward")
    values = [pl.col(f).cast(pl.String) for f in dict.fromkeys(features)]
    return _among(typed, part, variants).select(*_TEXT, "variant", *values)


def _named(asked: pl.LazyFrame, what: str) -> pl.DataFrame:
    (found,) = collect_all([asked])
    _refuse_twice(found, [*_TEXT, "variant"], what)
    return found


def _among(frame: pl.LazyFrame, part: pl.DataFrame, variants: Sequence[str]) -> pl.LazyFrame:
    low, high = int(part["row_id"][0]), int(part["row_id"][-1])  # sorted
    return frame.filter(pl.col("row_id").is_between(low, high), pl.col("variant").is_in(list(variants)))


def _refuse_twice(rows: pl.DataFrame, key: Sequence[str], what: str) -> None:
    if (twice := rows.filter(rows.select(key).is_duplicated())).height:
        raise InputError(
            f"{what}: {twice['variant'][0]} of row_id {twice['row_id'][0]} stands there twice; every "
            f"({', '.join(key)}) must stand once"
        )


def _joined(
    texts: pl.DataFrame, scores: pl.DataFrame, labels: pl.DataFrame, variant: pl.Expr, step: str
) -> pl.DataFrame:
    """The texts with rewards, labels and `there` of one rewriting, all opening with its name."""
    both = scores.join(labels, on=[*_TEXT, "variant"], how="full", coalesce=True)
    renamed = both.rename({c: f"{step}_{c}" for c in both.columns if c not in _TEXT})
    renamed = renamed.with_columns(pl.lit(True).alias(f"{step}_there"))
    return texts.with_columns(variant.alias(f"{step}_variant")).join(
        renamed, on=[*_TEXT, f"{step}_variant"], how="left", maintain_order="left"
    )


def _kept(step: str, features: Sequence[str]) -> pl.Expr:
    """Whether a rewriting's labels are those of the text it was made of."""
    same = [(pl.col(f"{step}_{f}") == pl.col(f)).fill_null(False) for f in features]
    return pl.all_horizontal([pl.lit(True), *same])


def levels(labels: pl.LazyFrame, feature: str) -> list[str]:
    """The values of a boolean, or of a feature with a few, in the order of its type or of the alphabet.

    Raises:
        InputError: it is not among the labels, or a number or a list.
    """
    kind = labels.collect_schema().get(feature)
    if kind == pl.Boolean():
        return [contrasts.FALSE, contrasts.TRUE]
    if isinstance(kind, pl.Enum):
        return list(kind.categories)
    if not is_text(kind):
        raise InputError(
            f"texts were rewritten toward {feature!r}, which the labels do not hold as a boolean or category"
        )
    (found,) = collect_all([labels.select(pl.col(feature).cast(pl.String).drop_nulls().unique().sort())])
    return list(found[feature])
