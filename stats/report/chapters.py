"""The chapters of a report: which figures and tables stand in which, and what is said before them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seal.stats.options import LEVEL, SUSPECTS, ReportOptions
from seal.stats.report.caused import caused, caused_sentences, caused_table
from seal.stats.report.comparison import Beside, beside_results, beside_truth, read_truth
from seal.stats.report.overview import imprint_overview, margins_first, shift_overview, told_imprint
from seal.stats.report.paid import paid, paid_table
from seal.stats.report.standing import Notice, best, figure_said, has_rows, labels_said, notice
from seal.stats.report.svg import FigureView, figure_views
from seal.stats.report.tables import TableView, lowest_alphas, table_view
from seal.stats.report.text import count
from seal.stats.report.trust import label_error_sentences
from seal.stats.results import Results, read


@dataclass(frozen=True)
class Section:
    """A chapter of the report, in this order.

    Attributes:
        key, title: unique in the report; the heading.
        notice: a heading of its own over what must be known first.
        sentences, figures, tables: what it holds.
        after: figures behind the tables.
    """

    key: str
    title: str
    sentences: tuple[str, ...] = ()
    figures: tuple[FigureView, ...] = ()
    tables: tuple[TableView, ...] = ()
    notice: Notice | None = None
    after: tuple[FigureView, ...] = ()


_CHAPTERS: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("people", "What people pay, what the models pay", ("figure-1",), ("human_corrected", "human")),
    ("agreement", "Agreement with the people", ("figure-2",),
     ("alignment", "calibration", "regimes", "profile", "reward_sample")),
    ("imprint", "What the models reward", ("figure-3",), ("imprint_corrected", "imprint", "imprint_chosen")),
    ("causal", "What a change of one attribute does", ("figure-7",), ("causal",)),
    ("shift", "What training shifted", ("figure-4",), ("shift", "theta_histogram")),
    ("resistance", "What predicts resistance", (), ("resistance_corrected", "resistance")),
    ("robustness", "What flips under rewriting", ("figure-5",),
     ("robustness", "robustness_given_aligned", "robustness_became_aligned", "rewriting",
      "flips")),
    ("perturbations", "What perturbing the responses does", ("figure-6",), ("perturbations",)),
    ("trust", "How far to trust the labels and the regressors", (),
     ("label_errors", "labelers", "vif", "tests")),
)  # fmt: skip
_FIGURES_LAST = frozenset(("shift",))  # theta is no headline


def sections(results: Results, options: ReportOptions) -> list[Section]:
    """All chapters that hold result tables; every table stands in exactly one."""
    level = float(results.settings.get("level", LEVEL))
    alphas = lowest_alphas(results.tables.get("labelers"))
    pre, post = results.settings["pre"], results.settings["post"]
    views = {
        n: table_view(n, margins_first(f), level=level, alphas=alphas, labels=labels_said(n, results))
        for n, f in results.tables.items()
    }
    figures = {
        f.key: replace(f, title=f"{f.title}. {figure_said(f.key, results)}".strip())
        for f in figure_views(results.tables, pre, post)
    }
    found, told = [], False
    for key, title, drawn, tables in _CHAPTERS:
        leads = _overviews(key, results, level)
        here = [*leads, *(_behind(views.pop(t), leads) for t in tables if t in views)]
        shown, last = tuple(figures[f] for f in drawn if f in figures), key in _FIGURES_LAST
        head = notice(tables, results, first=not told)
        told = told or head is not None
        if not (here or shown or _said(key, results)):
            continue
        found.append(
            Section(
                key,
                title,
                _said(key, results),
                () if last else shown,
                tuple(here),
                head,
                shown if last else (),
            )
        )
    found += _beside(results, options, level)
    published = [table_view(n, f, level=level, folder="as_published/") for n, f in results.published.items()]
    if views:
        found.append(Section("others", "Other tables", tables=tuple(views.values())))
    if published:
        found.append(Section("published", "As published", tables=tuple(published)))
    return found


def _behind(view: TableView, leads: Sequence[TableView]) -> TableView:
    """A result table as it stands behind an overview of it: folded."""
    return replace(view, folded=bool(view.rows)) if leads else view


def _overviews(key: str, results: Results, level: float) -> list[TableView]:
    """The tables that no file holds, which lead their chapter."""
    tables = results.tables
    pre, post = results.settings["pre"], results.settings["post"]
    if key == "people" and (found := paid(tables, (pre, post))):
        return [paid_table(found, level=level, labels=labels_said(best(tables, "human"), results))]
    if key == "imprint" and "imprint" in tables:
        told, alphas = told_imprint(tables), lowest_alphas(tables.get("labelers"))
        labels = labels_said(told.table, results)
        return [imprint_overview(told, pre, post, level=level, alphas=alphas, labels=labels)]
    if key == "causal" and (effects := caused(tables, (pre, post, f"{post}-{pre}"))):
        return [caused_table(effects, level=level)]
    if key == "shift" and has_rows(tables, "shift"):
        view = shift_overview(tables["shift"], level=level, labels=labels_said("shift", results))
        return [view] if view else []
    return []


def _said(key: str, results: Results) -> tuple[str, ...]:
    """What must be said in a chapter beside what it shows, or where it has nothing to show."""
    if key == "shift" and has_rows(results.tables, "shift"):
        return (_origin(results),)
    if key == "agreement" and results.n_suspects:
        return (_suspects(results),)
    if key == "causal":
        return caused_sentences(results.tables, (results.settings["pre"], results.settings["post"]))
    if key == "robustness" and "robustness" not in results.tables:
        return (
            "Rewritten texts are not part of this analysis; seal analyze takes their scores and labels with "
            "--rewritten-scores and --rewritten-labels.",
        )
    if key == "trust":
        nobody = not lowest_alphas(results.tables.get("labelers"))
        none = "No two labelers share a feature: there is no agreement to report."
        return (*label_error_sentences(results), *[none] * nobody)
    return ()


def _suspects(results: Results) -> str:
    """How many pairs both models and the labeler doubt, and what that is good for."""
    n, most = results.n_suspects or 0, int(results.settings.get("suspects", SUSPECTS))
    what = "one pair" if n == 1 else f"{count(n)} pairs"
    held = f"the {count(most)} strongest of them are" if n > most else "they are" if n > 1 else "it is"
    return (
        f"In {what} both models and the labeler are against the people: {held} in suspects.parquet, the "
        "strongest first, with their texts where these were given. Send them to relabeling, or read some: "
        "either the choice was a mistake, or all three miss what people saw. They are no random sample, so "
        "labels of them are no gold."
    )


def _origin(results: Results) -> str:
    """Why margins lead, and on which rewards theta was computed."""
    centred = results.settings.get("theta_origin") == "centred"
    on = "rewards centred for each model" if centred else "rewards as they are"
    return (
        "Margins lead this chapter. theta, the turn of a pair's reward vector, and the normalised margin "
        "depend on where a model's rewards have their zero, which training on preferences does not fix; they "
        f"stand behind, on {on}, for comparison with the published study."
    )


def _beside(results: Results, options: ReportOptions, level: float) -> Iterator[Section]:
    compared: list[Beside] = []
    if options.truth is not None:
        compared.append(beside_truth(results.tables, read_truth(Path(options.truth)), level))
    if options.beside is not None:
        name = options.beside_name or "the other analysis"
        compared.append(beside_results(results, read(Path(options.beside)), name, level))
    if compared:
        sentences = tuple(s for c in compared for s in c.sentences)
        yield Section(
            "beside", "Beside the planted truth" if options.truth else "Beside another analysis",
            sentences, tables=tuple(c.table for c in compared),
        )  # fmt: skip
