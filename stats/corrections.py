"""What an analysis corrects for label errors, by what, and what it says where it corrects nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from seal.engine.errors import InputError, UsageError
from seal.engine.frames.schema import INCLUSION, LABELS, TEXT_KEY, check
from seal.stats.equations.corrected import corrected_imprint, design_columns
from seal.stats.equations.corrected_human import corrected_human
from seal.stats.equations.corrected_logit import corrected_resistance
from seal.stats.equations.equation import Equation
from seal.stats.equations.gold_sample import Gold
from seal.stats.equations.latent_imprint import latent_imprint
from seal.stats.inputs import choose_labeler
from seal.stats.labelers.error_rates import MAX_LABELERS
from seal.stats.labelers.gold import error_rows
from seal.stats.labelers.measures import Labeler, text_labelers
from seal.stats.options import PROXY, AnalyzeOptions
from seal.stats.pairs.features import Regressor
from seal.stats.pairs.gold import GoldPairs, NoGold, gather, read_gold, sources
from seal.stats.pairs.joins import Inputs, Pairs
from seal.stats.pairs.places import Places
from seal.stats.pairs.several import SeveralLabelers
from seal.stats.pairs.spool import Spool
from seal.stats.regression.inference import Rows, tested
from seal.stats.regression.separation import NoFit

NOT_CORRECTED = "not corrected for label errors; attenuated or worse"
GOLD_ITSELF = "nothing to correct for label errors"
_RATES = ("false_positive_rate", "false_negative_rate")
ERRORS: dict[str, pl.DataType] = {
    **dict.fromkeys(("labeler", "feature", "side", "source"), pl.String()),
    "n_gold": pl.Int64(),
    **dict.fromkeys([f"{r}{end}" for r in _RATES for end in ("", "_conf_low", "_conf_high")], pl.Float64()),
    "kappa": pl.Float64(),
}


@dataclass(frozen=True)
class Naive:
    """What was estimated with the labels taken as true.

    Attributes:
        imprint, resistance, human: the tables.
        units: term of a covariate -> what it is standardised by, its SD over the texts of the pairs.
    """

    imprint: pl.DataFrame
    resistance: pl.DataFrame
    human: pl.DataFrame
    units: Mapping[str, float]


@dataclass(frozen=True)
class _Task:
    """What is to be corrected; as in `correct`."""

    rows: Iterable[pl.DataFrame]
    inputs: Inputs
    labelers: Sequence[Labeler]
    options: AnalyzeOptions
    naive: Naive


@dataclass
class Corrections:
    """Corrected tables and what belongs to them.

    Attributes:
        equations: `imprint_corrected`, `resistance_corrected`, `human_corrected`, as far as there are any.
        errors: rows of `label_errors.csv`.
        tests, notes: beside those of the equations.
    """

    equations: dict[str, Equation] = field(default_factory=dict)
    errors: Rows = field(default_factory=list)
    tests: Rows = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """By name, those that are there."""
        found = {name: equation.table for name, equation in self.equations.items()}
        return found | ({"label_errors": pl.DataFrame(self.errors, schema=ERRORS)} if self.errors else {})


def correct(
    rows: Iterable[pl.DataFrame],
    inputs: Inputs,
    labelers: Sequence[Labeler],
    options: AnalyzeOptions,
    naive: Naive,
) -> Corrections:
    """Correct imprint, resistance and human imprint as the options say, where the labels allow it.

    Args:
        rows: blocks of pairs, walked through as often as it takes.
        inputs: the frames, with the labels of the labeler that was regressed on.
        labelers: all there are.
        options: which is gold, and how to correct.
        naive: the uncorrected estimates.

    Raises:
        UsageError: a correction was asked for by name that cannot be made; the text says why.
        InputError: the gold labeler is none of the labelers, or its labels are not what they must be.
    """
    out = Corrections()
    if options.proxy != PROXY and (options.gold is None or options.correct in ("none", "latent")):
        raise UsageError(
            f"proxy {options.proxy} says what gold labels correct: give gold, correct rectified or calibrated"
        )
    if options.correct == "none":
        out.notes.append(f"{NOT_CORRECTED}: --correct none")
        return out
    try:
        if options.fixed_effects or options.interactions:
            raise NoGold("Eq. 1 with further effects or interactions is not corrected")
        if not naive.imprint.height:
            raise NoGold("there is no imprint to correct")
        by = _by_labelers if options.correct == "latent" else _by_gold
        by(out, _Task(rows, inputs, labelers, options, naive))
    except (NoGold, NoFit, np.linalg.LinAlgError) as reason:
        if options.correct is not None:
            raise UsageError(f"correct {options.correct}: {reason}") from None
        out.equations.clear()
        out.notes.append(f"{NOT_CORRECTED}: {reason}")
    return out


def _by_gold(out: Corrections, task: _Task) -> None:
    inputs, options = task.inputs, task.options
    main = choose_labeler(task.labelers, options.labeler, options.gold)
    if options.correct is None and main.name == options.gold:
        out.notes.append(
            f"{GOLD_ITSELF}: the labels regressed on are those of {main.name}, which is taken as right; "
            "--labeler names whose are to be corrected by them"
        )
        return
    right = _gold_labeler(task.labelers, options, main)
    method = options.correct or "rectified"
    gold = _place(task, right)
    out.notes += _about(gold.pairs, right)
    out.errors += _errors(inputs, gold.pairs, main.name, options)
    n_gold = len(gold.pairs)
    out.tests.append(tested("gold_pairs", right.name, float(n_gold), None, n_gold))
    if options.proxy == PROXY:
        _equations(out, task, gold, method)
    else:
        likely = _with_probabilities(inputs)
        with Spool(Pairs(likely)) as rows:
            again = replace(task, rows=rows, inputs=likely)
            _equations(out, again, _place(again, right), method)
    out.notes.append(
        f"corrected for label errors of {main.name} ({method}) by {n_gold} gold pairs of {right.name}: "
        f"{', '.join(out.equations)}; every other table takes labels as true"
    )


def _by_labelers(out: Corrections, task: _Task) -> None:
    inputs, options, naive = task.inputs, task.options, task.naive
    if options.gold is not None:
        raise NoGold("gold labels are there, and rectified by them assumes less; leave --gold out")
    main = choose_labeler(task.labelers, options.labeler)
    every = [main, *(x for x in text_labelers(task.labelers) if x.name != main.name)]
    if not 2 <= len(every) <= MAX_LABELERS:
        raise NoGold(f"it takes 2 to {MAX_LABELERS} labelers, and here are {len(every)}")
    names = [x.name for x in every]
    said = SeveralLabelers(task.rows, inputs, [x.frame for x in every[1:]])
    found = latent_imprint(said, names, naive.imprint, inputs.cluster, options.inference, naive.units)
    out.equations["imprint_corrected"] = found.equation
    out.errors += found.errors
    out.notes.append("latent corrects Eq. 1 alone; every other table takes labels as true")


def _gold_labeler(labelers: Sequence[Labeler], options: AnalyzeOptions, main: Labeler) -> Labeler:
    if options.gold is None:
        others = len(text_labelers(labelers)) > 1
        raise NoGold(
            "no gold labels (`seal gold sample`, then --gold LABELER)"
            + ("; --correct latent makes use of several labelers" if others else "")
        )
    if options.gold == main.name:
        raise NoGold(f"the labels regressed on are those of {main.name}, which is taken as right")
    for x in labelers:
        if x.name == options.gold:
            return x
    names = ", ".join(x.name for x in labelers)
    raise InputError(f"no labeler {options.gold!r} to take as gold; have: {names}")


def _place(task: _Task, right: Labeler) -> Gold:
    """Gather the gold pairs, and number their clusters."""
    rows, inputs = task.rows, task.inputs
    entered = set(task.naive.imprint["term"])
    needed = [r.term in entered for r in design_columns(inputs.regressed)]
    labels = read_gold(right.frame, inputs.regressed, needed, inputs.variant)
    pairs = gather(rows, inputs, labels)
    return Gold(pairs, Places.find(rows, inputs.cluster, pairs.row_ids))


def _equations(out: Corrections, task: _Task, gold: Gold, method: str) -> None:
    """Imprint, which must succeed; resistance and human imprint, which may say why not."""
    rows, inputs, options, naive, how = (
        task.rows,
        task.inputs,
        task.options,
        task.naive,
        task.options.inference,
    )
    out.equations["imprint_corrected"] = corrected_imprint(
        rows, inputs, naive.imprint, gold, how, naive.units, calibrate=method == "calibrated"
    )
    if method == "calibrated":
        out.notes.append("calibrated corrects Eq. 1; resistance and human imprint are corrected by rectified")
    others: dict[str, tuple[pl.DataFrame, Callable[[], Equation]]] = {
        "resistance_corrected": (
            naive.resistance,
            lambda: corrected_resistance(rows, inputs, naive.resistance, gold, how, options.ties),
        ),
        "human_corrected": (
            naive.human,
            lambda: corrected_human(rows, inputs, naive.human, gold, how, options.rm_scale),
        ),
    }
    for name, (table, make) in others.items():
        if not table.height:
            continue
        try:
            found = make()
        except (NoGold, NoFit, np.linalg.LinAlgError) as reason:
            said = str(reason).removeprefix(f"{name}: ")
            out.notes.append(f"{name}: not corrected for label errors: {said}")
            continue
        if found.table.height:
            out.equations[name] = found
        else:
            out.notes += found.notes


def _about(pairs: GoldPairs, right: Labeler) -> list[str]:
    notes = []
    if INCLUSION not in right.frame.collect_schema():
        notes.append(
            f"{right.name} has no {INCLUSION}, so its labels are not of `seal gold read`: the target of the "
            f"correction is features as {right.name} sees them"
        )
    if pairs.n_null:
        notes.append(
            f"{pairs.n_null} gold pairs have a null label in a feature that enters: left out of gold"
        )
    if pairs.n_outside:
        notes.append(f"{pairs.n_outside} gold pairs do not enter the regressions: left out of gold")
    return notes


def _errors(inputs: Inputs, pairs: GoldPairs, labeler: str, options: AnalyzeOptions) -> Rows:
    """Error rates of the labeler on the gold pairs' texts, by feature, side and source."""
    coded = inputs.regressed.coded
    at = [j for j in range(len(coded)) if pairs.labeled[j]]
    found = None
    if inputs.texts is not None:
        found = sources(inputs.texts, pairs.row_ids, inputs.variant).to_list()
    return error_rows(
        labeler, [coded[j].term for j in at], pairs.proxy[:, :, at], pairs.truth[:, :, at],
        probability=pairs.probability, sources=found, level=options.level,
    )  # fmt: skip


def _with_probabilities(inputs: Inputs) -> Inputs:
    """The same inputs with the labeler's probabilities in the place of its booleans.

    Raises:
        NoGold: the labels hold no probability of a boolean that enters.
    """
    assert inputs.labels is not None
    features, labels = inputs.regressed, inputs.labels
    schema = labels.collect_schema()

    def likely(r: Regressor) -> Regressor:
        name = f"p_{r.feature}"
        if r.kind == "boolean" and name in schema and schema[name].is_numeric():
            return Regressor(r.term, name, "numeric")
        return r

    regressors = tuple(likely(r) for r in features.regressors)
    if regressors == features.regressors:
        raise NoGold("the labels hold no probability p_<feature> of a boolean feature (--proxy probability)")
    if inputs.computed is not None:
        names = [r.feature for r in features.numeric]
        numbers = check(inputs.computed, LABELS, origin="computed").select(*TEXT_KEY, *names)
        typed = check(labels, LABELS, origin="labels").drop(n for n in names if n in schema)
        labels = typed.join(numbers, on=TEXT_KEY, how="left")
    return replace(inputs, labels=labels, computed=None, features=replace(features, regressors=regressors))
