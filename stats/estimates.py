"""From frames to every result table, in one walk through the pairs."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain

import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import ORIGINAL
from seal.stats.alignment import regimes
from seal.stats.alignment.alignment import Rulers, alignment, ruler_notes
from seal.stats.alignment.calibration import calibration
from seal.stats.alignment.suspects import SuspectTally
from seal.stats.corrections import Naive, correct
from seal.stats.equations import amplification, resistance, shift
from seal.stats.equations.designs import imprint_by_cells, stack
from seal.stats.equations.differences import Differences
from seal.stats.equations.equation import Equation
from seal.stats.equations.imprint import design_of_differences, estimate_imprint
from seal.stats.equations.imprint_fixed_effects import imprint_by_pyfixest
from seal.stats.equations.published import RAW_THETA, PublishedTally, published_robustness
from seal.stats.equations.remarks import Verdicts, family_note, flagged, vif_table
from seal.stats.equations.robustness import Robustness
from seal.stats.experiments import find_experiments, find_robustness, rewriting_tables
from seal.stats.inputs import Frames, design_of, make_inputs
from seal.stats.labelers import measures
from seal.stats.labelers.measures import Labeler, find_labelers, text_labelers
from seal.stats.options import AnalyzeOptions
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.joins import Inputs, Joined, Pairs, collect_all
from seal.stats.pairs.places import Places
from seal.stats.pairs.rewards import ZERO, RewardScale, theta
from seal.stats.pairs.spool import Spool
from seal.stats.pairs.two_sided import Patterns, design_of_sides, kept_columns
from seal.stats.regression.cells import Cells
from seal.stats.regression.collinearity import Verdict, select_together
from seal.stats.regression.inference import Rows
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
    pairs = Pairs(inputs)
    with Spool(pairs) as rows:
        scale = RewardScale.of(rows)
        _refuse_nothing(pairs.joined, frames, options)
        gathered = _Gathered(inputs, options, as_published, scale)
        for block in rows:
            gathered.add(block)
        notes = [*_join_notes(pairs.joined, inputs), *gathered.notes()]
        tables = _reward_tables(frames, gathered, options)
        notes += ruler_notes(tables["alignment"])
        cells = gathered.patterns.cells()
        walk = shift.Walk(rows, inputs, Places.find(rows, inputs.cluster))
        equations = _equations(gathered, cells, walk, options, labelers)
        human = _human(walk, equations["imprint"], options)
        tables |= {name: found.table for name, found in equations.items()} | {"human": human.table}
        naive = Naive(tables["imprint"], tables["resistance"], tables["human"], gathered.units())
        corrected = correct(rows, inputs, labelers, options, naive)
        experiments = find_experiments(rows, frames, inputs, labelers, options, scale, walk.places)
    tables |= corrected.tables
    verdicts: dict[str, Verdicts] = {name: found.verdicts for name, found in equations.items()}
    verdicts |= {name: found.verdicts for name, found in corrected.equations.items()}
    robustness = find_robustness(frames, options, labelers)
    tables |= rewriting_tables(experiments, robustness)
    if robustness is not None:
        verdicts["robustness"] = robustness.verdicts
    tables = _with_labelers(tables, labelers, options)
    tables["vif"] = vif_table(inputs, verdicts)
    plain, amended = (*equations.values(), human), corrected.equations.values()
    tests = [x for found in (*plain, corrected, *amended, robustness) if found for x in found.tests]
    tables["tests"] = pl.DataFrame([*tests, *gathered.tests()], schema=TESTS)
    said = [x.notes for x in plain], [x.notes for x in amended]
    notes += chain(experiments.notes, *said[0], corrected.notes, *said[1], family_note(tables))
    joins = {"original": asdict(pairs.joined)}
    if robustness is not None:
        notes += [*_join_notes(robustness.joined[1], inputs, "rewritten: "), *robustness.notes]
        joins["rewritten"] = asdict(robustness.joined[1])
    published = _as_published(gathered, cells, robustness)
    found = Results(tables, tuple(dict.fromkeys(notes)), joins, options, published)
    return gathered.with_suspects(found)


def _with_labelers(
    tables: dict[str, pl.DataFrame], labelers: Sequence[Labeler], options: AnalyzeOptions
) -> dict[str, pl.DataFrame]:
    """The tables with that of the labelers, and marks on the features that these doubt."""
    compared = measures.compare_labelers(
        text_labelers(labelers), gold=options.gold, level=options.level, variant=ORIGINAL
    )
    doubted = measures.doubtful_features(compared, options.min_alpha)
    return flagged(tables | {"labelers": compared}, doubted)


def _as_published(
    gathered: "_Gathered", cells: Cells | None, robustness: Robustness | None
) -> dict[str, pl.DataFrame]:
    """The study's own arithmetic, where it was asked for."""
    if gathered.published is None:
        return {}
    tables, inputs = gathered.published.tables(gathered.patterns, cells), gathered.inputs
    if robustness is None:
        return tables
    models = (inputs.pre, inputs.post)
    return tables | {"robustness": published_robustness(robustness.cells, robustness.design, models)}


TESTS: dict[str, pl.DataType] = {
    **dict.fromkeys(("test", "group"), pl.String()),
    **dict.fromkeys(("statistic", "p_value"), pl.Float64()),
    "n": pl.Int64(),
}


class _Gathered:
    """Everything one walk through the pairs adds up."""

    def __init__(
        self, inputs: Inputs, options: AnalyzeOptions, as_published: bool, scale: RewardScale
    ) -> None:
        bases = {r.term: x for r, x in zip(inputs.regressed.numeric, inputs.covariates, strict=True)}
        self.inputs, self.scale = inputs, scale
        self._origin = scale.centre if options.theta_origin == "centred" else ZERO
        self.design = replace(design_of(options), cluster=inputs.cluster)
        stacked = self.design.stacked  # then every labeler is walked through, once the rest is known
        self.differences = None if stacked else Differences(inputs, self.design.interactions, sd=scale.sd)
        outcomes = shift.outcomes(options.theta, origin=self._origin, sd=scale.sd)
        outcomes |= resistance.outcomes(options.ties)
        outcomes |= {RAW_THETA: theta(options.theta)} if as_published else {}
        self.patterns = Patterns(inputs, outcomes)
        gamma = regimes.gamma(len(inputs.targets), options.profile)
        self.regimes = regimes.RegimeTally(gamma, options.ties, options.theta, self._origin)
        self.suspects = SuspectTally(gamma, scale.sd, options.suspects) if options.suspects else None
        self.rulers = Rulers(lengths=inputs.texts is not None, features=bases)
        self.published = PublishedTally(inputs) if as_published else None
        self._sample: list[pl.DataFrame] = []

    def add(self, block: pl.DataFrame) -> None:
        """Add a block of `Pairs`."""
        parts = (self.differences, self.patterns, self.regimes, self.suspects, self.rulers, self.published)
        for part in parts:
            if part is not None:
                part.add(block)
        scattered = (pl.col("row_id") * 2_654_435_761) % 4_294_967_291
        columns = ["row_id", "pre_chosen", "pre_rejected", "post_chosen", "post_rejected"]
        fresh = block.select(columns).with_columns(order=scattered)
        self._sample = [pl.concat([*self._sample, fresh]).sort("order").head(SAMPLE)]

    def sample(self) -> pl.DataFrame:
        """A scatter of pairs, the same for the same data: `row_id` and the four rewards."""
        return pl.concat(self._sample).drop("order").sort("row_id")

    def units(self) -> dict[str, float]:
        """Term of a covariate -> its SD over the texts that enter; none where labelers are stacked."""
        numeric = zip(self.inputs.regressed.numeric, self.inputs.covariates, strict=True)
        spread = None if self.differences is None else self.differences.spread
        return {} if spread is None else {r.term: spread.sd(x) for r, x in numeric}

    def with_suspects(self, results: Results) -> Results:
        """The same results with the pairs in doubt, where they were asked for."""
        doubted = self.suspects
        return replace(results, suspects=doubted.table(), n_suspects=doubted.n_pairs) if doubted else results

    def notes(self) -> list[str]:
        """What the walk found that readers must know."""
        said = []
        if self._origin != ZERO:
            pre, post = self._origin
            said.append(
                "theta and the normalised margin are of rewards less each model's mean over the texts of "
                f"{self.scale.n} pairs ({self.inputs.pre} {pre:.4g}, {self.inputs.post} {post:.4g}): no "
                "training fixes where rewards have their zero"
            )
        if self.regimes.n_left_out:
            said.append(
                f"{self.regimes.n_left_out} pairs tied under a model are left out of regimes and logits"
            )
        return said

    def tests(self) -> Rows:
        """Tests of the shift and of the three agreements."""
        counts = self.regimes.counts()
        return [*regimes.shift_tests(counts), *regimes.agreement_tests(counts)]


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
        "n_not_finite": f"rewards are null, NaN or infinite: {', '.join(joined.not_finite)}",
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
    """Alignment, calibration, regimes and profile, and what the figures draw."""
    scores = frames.scores.filter(pl.col("variant").cast(pl.String) == ORIGINAL)
    parts = [alignment(scores, ties=options.ties, level=options.level)]
    rulers = gathered.rulers.table(ties=options.ties, level=options.level)
    parts += [rulers] if rulers is not None else []
    order = ["model", "n_pairs", "n_ties", "alignment", "resistance", "conf_low", "conf_high", "n_incomplete"]
    counts = gathered.regimes.counts()
    return {
        "alignment": pl.concat([p.select(*order, "mean_margin") for p in parts]),
        "calibration": calibration(frames.scores, frames.texts, level=options.level),
        "regimes": regimes.regimes(counts, options.level),
        "profile": regimes.profile_table(counts),
        "theta_histogram": gathered.regimes.histogram(),
        "reward_sample": gathered.sample(),
    }


def _equations(
    gathered: _Gathered,
    cells: Cells | None,
    walk: shift.Walk,
    options: AnalyzeOptions,
    labelers: Sequence[Labeler],
) -> dict[str, Equation]:
    """Eq. 1 as written and with an intercept of the chosen side, Eq. 2 and Eq. 3, on the same regressors."""
    inputs, columns, how = gathered.inputs, gathered.patterns.columns, options.inference
    stacked = [(x.name, x.frame) for x in text_labelers(labelers)]
    design = gathered.design
    differences = gathered.differences or stack(inputs, design, stacked, gathered.scale.sd)
    split = design.varying(differences.split)
    judged = _same_regressors(
        gathered, None if split or not design.plain else differences, cells, how.max_vif
    )
    found: dict[str, Equation] = {}
    for name, chosen_side in (("imprint", False), ("imprint_chosen", True)):
        if split:
            found[name], _ = imprint_by_pyfixest(
                inputs, design, how, labelers=stacked, chosen_side=chosen_side
            )
        elif design.plain:
            found[name] = estimate_imprint(
                differences, walk.rows, walk.places, how, chosen_side=chosen_side, judged=judged.get(name)
            )
        else:
            found[name] = imprint_by_cells(differences, how, chosen_side=chosen_side)
    said = (*design.notes(differences), *found["imprint"].notes)
    found["imprint"] = replace(found["imprint"], notes=said)
    if cells is None:
        empty = {"shift": shift.SCHEMA, "resistance": resistance.SCHEMA}
        return found | {name: Equation(pl.DataFrame(schema=schema)) for name, schema in empty.items()}
    kept = {name: kept_columns(columns, judged[name]) for name in ("shift", "resistance")}
    found["shift"] = shift.estimate_shift(cells, columns, how, kept=kept["shift"], walk=walk)
    models = (inputs.pre, inputs.post)
    found["resistance"] = resistance.estimate_resistance(
        cells, columns, how, models=models, kept=kept["resistance"]
    )
    return found


def _same_regressors(
    gathered: _Gathered, differences: Differences | None, cells: Cells | None, max_vif: float
) -> dict[str, Sequence[Verdict]]:
    """One set for all equations: verdicts by equation, one a column of its design.

    An Eq. 1 of its own design (`differences` None) chooses for itself, as Eq. 4, which has flips, does.
    """
    sides = (
        []
        if differences is None
        else [design_of_differences(differences, chosen_side=c) for c in (False, True)]
    )
    designs = [design for design in sides if design is not None]
    if cells is not None:
        columns = gathered.patterns.columns
        outcomes = {"shift": "margin_change", "resistance": "misaligned_post"}
        designs += [design_of_sides(cells, columns, of, name) for name, of in outcomes.items()]
    n = len(gathered.inputs.regressed.regressors)
    verdicts = select_together(designs, n, threshold=max_vif)[1]
    return {design.equation: found for design, found in zip(designs, verdicts, strict=True)}


def _human(walk: shift.Walk, imprint: Equation, options: AnalyzeOptions) -> Equation:
    """What people pay beside what each model pays, on the regressors that Eq. 1 kept.

    Of a feature with slopes of its own for each value of a column, one of which must be kept, the feature.
    """
    features = walk.inputs.regressed
    entered = {
        (c.feature, c.level, c.kind) for c, v in imprint.verdicts if v.kept and isinstance(c, Regressor)
    }
    columns = enumerate((*features.packed, *features.numeric))
    kept = [j for j, r in columns if (r.feature, r.level, r.kind) in entered]
    if not kept:
        return Equation(pl.DataFrame(schema=amplification.SCHEMA))
    how = options.inference
    return amplification.estimate_human(walk.rows, walk.inputs, kept, walk.places, how, options.rm_scale)
