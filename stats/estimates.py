"""From frames to every result table, in one walk through the pairs."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import ORIGINAL, REWRITTEN
from seal.stats.alignment.alignment import Rulers, alignment, ruler_notes
from seal.stats.alignment.regimes import (
    RegimeTally,
    agreement_tests,
    gamma,
    profile_table,
    regimes,
    shift_tests,
)
from seal.stats.equations.flips import FLIPS
from seal.stats.equations.imprint import Differences, Imprint, estimate_imprint
from seal.stats.equations.imprint_fixed_effects import imprint_by_pyfixest
from seal.stats.equations.published import PublishedTally, published_robustness
from seal.stats.equations.resistance import Resistance, estimate_resistance
from seal.stats.equations.resistance import outcomes as resistance_outcomes
from seal.stats.equations.robustness import Flip, Robustness, alignment_robustness
from seal.stats.equations.shift import Shift, estimate_shift
from seal.stats.equations.shift import outcomes as shift_outcomes
from seal.stats.inputs import (
    Frames,
    choose_labeler,
    design_of,
    make_inputs,
)
from seal.stats.labelers.measures import (
    Labeler,
    compare_labelers,
    doubtful_features,
    find_labelers,
    text_labelers,
)
from seal.stats.options import AnalyzeOptions
from seal.stats.pairs.features import Features, Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs, collect_all
from seal.stats.pairs.two_sided import Column, Patterns
from seal.stats.regression import collinearity
from seal.stats.regression.cells import Cells
from seal.stats.results import Results

SAMPLE = 1_000  # pairs whose reward vectors are drawn


def estimate(frames: Frames, options: AnalyzeOptions, *, as_published: bool = False) -> Results:
    """Estimate everything there is to estimate from scores and labels.

    Args:
        frames: scores and labels, and what else there is.
        options: models, targets, regressors, rules and intervals.
        as_published: whether to add the published study's own arithmetic (`seal.stats.equations.published`).

    Returns:
        All tables (see `seal.stats.results.FILES`), notes, and what the joins counted.

    Raises:
        SealError: data or options that do not fit, with what to do about it.
    """
    labelers = find_labelers(frames.labels)
    inputs = make_inputs(frames, options, labelers)
    pairs, gathered = Pairs(inputs), _Gathered(inputs, options, as_published)
    for block in pairs:
        gathered.add(block)
    _refuse_nothing(pairs.joined, frames, options)
    notes = [*_join_notes(pairs.joined, inputs), *gathered.notes()]
    tables = _reward_tables(frames, gathered, options)
    notes += ruler_notes(tables["alignment"])
    imprint, imprint_chosen = _imprints(gathered, inputs, options, labelers)
    cells = gathered.patterns.cells()
    shift, resistance = _side_tables(cells, gathered.patterns.columns, inputs, options)
    tables |= {"imprint": imprint.table, "imprint_chosen": imprint_chosen.table}
    tables |= {"shift": shift.table, "resistance": resistance.table}
    robustness = _robustness(frames, options, labelers)
    if robustness is not None:
        tables |= _robustness_tables(robustness)
    tables["labelers"] = compare_labelers(
        text_labelers(labelers), gold=options.gold, level=options.level, variant=ORIGINAL
    )
    tables = _flagged(tables, doubtful_features(tables["labelers"], options.min_alpha))
    tables["vif"] = _vif_table(inputs, imprint, imprint_chosen, shift, resistance, robustness)
    tests = [*imprint.tests, *resistance.tests, *(robustness.tests if robustness else ()), *gathered.tests()]
    tables["tests"] = pl.DataFrame(tests, schema=TESTS)
    notes += [*imprint.notes, *imprint_chosen.notes, *shift.notes, *resistance.notes]
    if robustness is not None:
        notes += [*_join_notes(robustness.joined[1], inputs, "rewritten: "), *robustness.notes]
    joins = {"original": asdict(pairs.joined)} | (
        {"rewritten": asdict(robustness.joined[1])} if robustness else {}
    )
    published = gathered.published.tables(gathered.patterns, cells) if gathered.published else {}
    if gathered.published and robustness is not None:
        published["robustness"] = published_robustness(
            robustness.cells, robustness.design, (inputs.pre, inputs.post)
        )
    return Results(tables, tuple(dict.fromkeys(notes)), joins, options, published)


TESTS: dict[str, pl.DataType] = {
    **dict.fromkeys(("test", "group"), pl.String()),
    **dict.fromkeys(("statistic", "p_value"), pl.Float64()),
    "n": pl.Int64(),
}


class _Gathered:
    """Everything one walk through the pairs adds up."""

    def __init__(self, inputs: Inputs, options: AnalyzeOptions, as_published: bool) -> None:
        bases = {r.term: x for r, x in zip(inputs.regressed.numeric, inputs.covariates, strict=True)}
        self.inputs = inputs
        self.differences = Differences(inputs) if design_of(options).plain else None
        outcomes = {**shift_outcomes(options.theta), **resistance_outcomes(options.ties)}
        self.patterns = Patterns(inputs, outcomes, options.cluster)
        self.regimes = RegimeTally(gamma(len(inputs.targets), options.profile), options.ties, options.theta)
        self.rulers = Rulers(lengths=inputs.texts is not None, features=bases)
        self.published = PublishedTally(inputs) if as_published else None
        self._sample: list[pl.DataFrame] = []

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`."""
        for part in (self.differences, self.patterns, self.regimes, self.rulers, self.published):
            if part is not None:
                part.add(block)
        scattered = (pl.col("row_id") * 2_654_435_761) % 4_294_967_291
        columns = ["row_id", "pre_chosen", "pre_rejected", "post_chosen", "post_rejected"]
        fresh = block.select(columns).with_columns(order=scattered)
        self._sample = [pl.concat([*self._sample, fresh]).sort("order").head(SAMPLE)]

    def sample(self) -> pl.DataFrame:
        """A scatter of pairs, the same for the same data: `row_id` and the four rewards."""
        return pl.concat(self._sample).drop("order").sort("row_id")

    def notes(self) -> list[str]:
        """What the walk found that readers must know."""
        if not self.regimes.n_left_out:
            return []
        return [f"{self.regimes.n_left_out} pairs tied under a model are left out of regimes and logits"]

    def tests(self) -> list[dict[str, object]]:
        """Tests of the shift and of the three agreements."""
        counts = self.regimes.counts()
        return [*shift_tests(counts), *agreement_tests(counts)]


def _refuse_nothing(joined: Joined, frames: Frames, options: AnalyzeOptions) -> None:
    """Say what went wrong when no pair has all four rewards."""
    if joined.n_pairs:
        return
    (models,) = collect_all([frames.scores.select(pl.col("model").cast(pl.String).unique().sort())])
    there = models["model"].to_list()
    if missing := [m for m in (options.pre, options.post) if m not in there]:
        raise UsageError(
            f"no scores of {', '.join(map(repr, missing))}; there are: {', '.join(there) or 'none'}"
        )
    raise InputError("no pair has both texts scored by both models; are the scores of the same texts?")


def _join_notes(joined: Joined, inputs: Inputs, of: str = "") -> list[str]:
    said = {
        "n_unscored": "pairs stand in some frame but lack a finite reward of one text or model: left out",
        "n_unlabelled": "scored pairs have no labels on one side or both: left out of the regressions",
        "n_null_labels": "scored pairs have a null label, covariate or cluster: left out of the regressions",
        "n_without_text": "scored pairs are not among the texts",
    }
    counts = asdict(joined)
    notes = [f"{of}{counts[k]} {text}" for k, text in said.items() if counts[k]]
    if joined.n_regressed == 0 and inputs.labels is not None:
        notes.append("no scored pair is labeled in full: no regression; are the labels of the same texts?")
    return notes


def _reward_tables(frames: Frames, gathered: _Gathered, options: AnalyzeOptions) -> dict[str, pl.DataFrame]:
    """Alignment, regimes and profile, and what the figures draw."""
    scores = frames.scores.filter(pl.col("variant").cast(pl.String) == ORIGINAL)
    parts = [alignment(scores, ties=options.ties, level=options.level)]
    rulers = gathered.rulers.table(ties=options.ties, level=options.level)
    parts += [rulers] if rulers is not None else []
    order = ["model", "n_pairs", "n_ties", "alignment", "resistance", "conf_low", "conf_high", "n_incomplete"]
    counts = gathered.regimes.counts()
    return {
        "alignment": pl.concat([p.select(*order, "mean_margin") for p in parts]),
        "regimes": regimes(counts, options.level),
        "profile": profile_table(counts),
        "theta_histogram": gathered.regimes.histogram(),
        "reward_sample": gathered.sample(),
    }


def _imprints(
    gathered: _Gathered, inputs: Inputs, options: AnalyzeOptions, labelers: Sequence[Labeler]
) -> tuple[Imprint, Imprint]:
    """Eq. 1 as written, and with an intercept of the chosen side."""
    found = []
    for chosen_side in (False, True):
        if gathered.differences is not None:
            result = estimate_imprint(
                gathered.differences, chosen_side=chosen_side, method=options.adjust, level=options.level,
                max_vif=options.max_vif,
            )  # fmt: skip
        else:
            result, _ = imprint_by_pyfixest(
                inputs, design_of(options), labelers=[(x.name, x.frame) for x in text_labelers(labelers)],
                chosen_side=chosen_side, adjust=options.adjust, level=options.level, max_vif=options.max_vif,
            )  # fmt: skip
        found.append(result)
    return found[0], found[1]


def _side_tables(
    cells: Cells | None, columns: list[Column], inputs: Inputs, options: AnalyzeOptions
) -> tuple[Shift, Resistance]:
    if cells is None:
        return Shift.nothing(), Resistance.nothing()
    settings = {"method": options.adjust, "level": options.level, "max_vif": options.max_vif}
    shift = estimate_shift(cells, columns, **settings)  # type: ignore[arg-type]
    models = (inputs.pre, inputs.post)
    return shift, estimate_resistance(cells, columns, models=models, **settings)  # type: ignore[arg-type]


def _robustness(frames: Frames, options: AnalyzeOptions, labelers: Sequence[Labeler]) -> Robustness | None:
    if frames.rewritten_scores is None:
        return None
    plain = replace(options, covariates=())
    original = make_inputs(frames, plain, labelers)
    main = choose_labeler(labelers, options.labeler)
    again = choose_labeler(find_labelers(frames.rewritten_labels), main.name)
    rewritten = replace(
        original,
        scores=frames.rewritten_scores,
        labels=again.frame,
        texts=None,
        carried=(),
        variant=REWRITTEN,
    )
    _refuse_other_features(original.features, again.frame)
    return alignment_robustness(
        original, rewritten, ties=options.ties, adjust=options.adjust, level=options.level,
        max_vif=options.max_vif, cluster=options.cluster, similarities=frames.similarities,
    )  # fmt: skip


def _refuse_other_features(features: Features | None, labels: pl.LazyFrame) -> None:
    schema = labels.collect_schema()
    missing = [r.feature for r in (features.coded if features else ()) if r.feature not in schema]
    if missing:
        raise InputError(f"labels of the rewritten texts lack {', '.join(dict.fromkeys(missing))}")


def _robustness_tables(robustness: Robustness) -> dict[str, pl.DataFrame]:
    return {
        "robustness": robustness.tables["became_misaligned"],
        "robustness_given_aligned": robustness.tables["became_misaligned_given_aligned"],
        "robustness_became_aligned": robustness.tables["became_aligned"],
        "rewriting": robustness.alignment,
        "rewriting_targets": robustness.targets,
        "flips": robustness.flips,
    }


def _flagged(tables: dict[str, pl.DataFrame], doubtful: dict[str, float]) -> dict[str, pl.DataFrame]:
    """Mark the coefficients of features on which labelers agree too little."""
    out = dict(tables)
    for name, table in tables.items():
        if "term" in table.columns and "estimate" in table.columns:
            flags = []
            for term in table["term"]:
                feature = next(
                    (f for f in doubtful if term == f or term.startswith((f"{f}=", f"{f}:"))), None
                )
                flags.append(
                    None if feature is None else f"labelers agree little: alpha {doubtful[feature]:.2f}"
                )
            out[name] = table.with_columns(pl.Series("flag", flags, dtype=pl.String))
    return out


VIF: dict[str, pl.DataType] = {
    "equation": pl.String(), "term": pl.String(), "vif": pl.Float64(), "kept": pl.Boolean(),
    "reason": pl.String(), "preference": pl.String(), "flip": pl.String(),
}  # fmt: skip


def _vif_table(
    inputs: Inputs,
    imprint: Imprint,
    chosen: Imprint,
    shift: Shift,
    resistance: Resistance,
    robust: Robustness | None,
) -> pl.DataFrame:
    """Every regressor of every equation: its VIF, and why it does not enter where it does not."""
    rows: list[dict[str, object]] = []
    parts: list[tuple[str, Sequence[tuple[Regressor | Column | Flip, collinearity.Verdict]]]] = [
        ("imprint", imprint.verdicts), ("imprint_chosen", chosen.verdicts), ("shift", shift.verdicts),
        ("resistance", resistance.verdicts), ("robustness", robust.verdicts if robust else ()),
    ]  # fmt: skip
    for equation, verdicts in parts:
        for column, verdict in verdicts:
            regressor = column if isinstance(column, Regressor) else column.regressor
            row: dict[str, object] = {"equation": equation, "term": regressor.term, **asdict(verdict)}
            if not isinstance(column, Regressor):
                row["preference"] = column.preference
            if isinstance(column, Flip):
                row["flip"] = FLIPS[column.size]
            rows.append(row)
    if inputs.features is not None:
        rows += [
            {"equation": "all", "term": name, "kept": False, "reason": reason}
            for name, reason in inputs.features.left_out.items()
        ]
    return pl.DataFrame(rows, schema=VIF)
