"""The report tells first what people and models pay: corrected where it can be, and said where it is not."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.statistics_worlds import BETA_POST, BETA_PRE, TERMS
from seal.stats.analysis import analyze
from seal.stats.options import AnalyzeOptions, ReportOptions
from seal.stats.report.captions import KINDS
from seal.stats.report.cautions import grouped
from seal.stats.report.comparison import beside_truth
from seal.stats.report.figures_human import prices
from seal.stats.report.page import report
from seal.stats.report.paid import compared, paid, paid_sentences
from seal.stats.report.standing import COEFFICIENTS
from seal.stats.report.summary import summarise
from seal.stats.report.svg import figure_views
from seal.stats.report.tables import alpha_cell, table_view
from seal.stats.results import Results, read, write
from tests.support.gold_world import gold_world
from tests.support.hostile import payloads
from tests.support.pages import Element, dead, parse, section
from tests.support.people import ATTENUATED, PAID, human, with_people
from tests.support.reports import make_results, rewritten

DRAWN = ("theta_histogram", "reward_sample")  # what the slow figures draw
HEADING = "Not corrected for label errors"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An analysis without rewriting, and without what the slow figures draw."""
    folder = make_results(tmp_path_factory.mktemp("plain"), n=400, rewriting=False)
    tables = read(folder).tables
    rewritten(folder, reward_sample=tables["reward_sample"].clear())
    return folder


def with_tables(plain: Path, root: Path, **options: float | bool) -> Path:
    shutil.copytree(plain, root / "results")
    with_people(root / "results", PAID, **options)  # type: ignore[arg-type]
    return root / "results"


@pytest.fixture(scope="module")
def gold(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tables(plain, tmp_path_factory.mktemp("gold"))


@pytest.fixture(scope="module")
def naive(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = with_tables(plain, tmp_path_factory.mktemp("naive"), gold=False)
    rewritten(folder, theta_histogram=read(folder).tables["theta_histogram"].clear())
    return folder


@pytest.fixture(scope="module")
def page(gold: Path) -> Element:
    return parse(report(gold, options=ReportOptions(pairs=0)).html)


@pytest.fixture(scope="module")
def naive_page(naive: Path) -> Element:
    return parse(report(naive, options=ReportOptions(pairs=0)).html)


def rows_of(page: Element, key: str) -> list[list[str]]:
    (found,) = page.find("table", id=key)
    return [[c.text.strip() for c in row.all() if c.tag in ("th", "td")] for row in found.find("tr")]


def caption(page: Element, key: str) -> str:
    (found,) = page.find("table", id=key)
    return found.find("caption")[0].text


def first(results: Path) -> tuple[str, ...]:
    return summarise(read(results)).passages[0].sentences


def test_the_first_sentence_is_the_largest_corrected_difference(gold: Path) -> None:
    said = first(gold)
    assert said[0] == (
        "post takes off for “eloquent”, for which people pay: −0.50 (−0.70 to −0.30) against 0.60 (0.40 to "
        "0.80), a difference of −1.10 (−1.30 to −0.90), adjusted p 0.001."
    )
    assert said[1].startswith("pre pays less for “harmless” than people do: 0.60 (0.40 to 0.80) against 1.20")
    assert "corrected for label errors (rectified, 300 gold pairs of people)" in " ".join(said)
    assert "Prices shrink where choices are noisier" in said[-1]


def test_without_correction_the_first_sentence_says_so(naive: Path) -> None:
    said = first(naive)
    assert said[0].startswith(f"{HEADING}: post takes off for “eloquent”, for which people pay: −0.300 (")
    assert "gold" not in " ".join(said)


@pytest.mark.parametrize(
    ("people", "model", "expected"),
    [
        (-2.0, -0.5, "takes less off for x than people do"),
        (-0.5, -2.0, "takes more off for x than people do"),
        (0.5, 2.0, "pays more for x than people do"),
        (2.0, 0.5, "pays less for x than people do"),
        (-0.5, 0.5, "pays for x, for which people take off"),
        (0.5, -0.5, "takes off for x, for which people pay"),
    ],
)
def test_prices_below_zero_are_costs(people: float, model: float, expected: str) -> None:
    assert compared({"human": people, "rm": model, "difference": model - people}, "x") == expected


@pytest.mark.parametrize(
    ("points", "proportional", "expected"),
    [
        (0.15, 0.001, "post differs in taste, not only in how consistently it chooses: "),
        (0.15, 0.2, "may be the people's times one factor (p 0.200)"),
        (-0.15, 0.001, "in points of probability none is significant"),
    ],
)
def test_a_difference_in_taste_takes_points_and_proportionality(
    plain: Path, tmp_path: Path, points: float, proportional: float, expected: str
) -> None:
    folder = with_tables(plain, tmp_path, points=points, proportional=proportional)
    said = " ".join(first(folder))
    assert expected in said
    assert ("differs in taste, not only" in said) == (points > 0 and proportional < 0.05)


def test_resistance_is_told_of_a_model_that_gold_could_not_correct(gold: Path) -> None:
    found = read(gold)
    half = found.tables["resistance_corrected"].filter(pl.col("model") == "pre")
    told = summarise(replace(found, tables={**found.tables, "resistance_corrected": half})).passages[3]
    whole = summarise(replace(found, tables={**found.tables, "resistance_corrected": half.clear()})).passages[
        3
    ]
    assert told == whole
    assert "no regression" not in " ".join(told.sentences)


def test_taste_needs_a_test_of_the_corrected_prices(gold: Path) -> None:
    found = read(gold)
    tests = found.tables["tests"].filter(pl.col("test") != "human_proportional_corrected")
    uncorrected = pl.DataFrame(
        {"test": ["human_proportional"], "group": ["post"], "statistic": [9.0], "p_value": [1e-9], "n": [9]}
    )
    tables = {**found.tables, "tests": pl.concat([tests, uncorrected], how="vertical_relaxed")}
    said = " ".join(paid_sentences(replace(found, tables=tables)))
    assert "Whether post differs in taste is not known" in said


def test_nothing_significant_is_said_to_be_so(naive: Path) -> None:
    found = read(naive)
    tables = {**found.tables, "human": found.tables["human"].with_columns(p_adjusted=pl.lit(0.3))}
    said = paid_sentences(replace(found, tables=tables))
    assert "post pays for no feature significantly more or less than people do" in said[0]
    assert "the largest difference is for “eloquent”" in said[0]
    assert not any("taste" in s for s in said)


def test_the_first_chapter_is_ordered_by_the_largest_difference(page: Element) -> None:
    chapters = [s.attributes["id"] for s in page.find("section")]
    assert chapters[:2] == ["summary", "people"]
    rows = rows_of(page, "overview-paid")
    largest = {t: max(abs(PAID[m, t][1] - PAID[m, t][0]) for m in ("pre", "post")) for t in TERMS}
    expected = sorted(TERMS, key=lambda t: -largest[t])
    assert [r[0] for r in rows[1::2]] == expected
    assert [r[1] for r in rows[1:]] == ["pre", "post"] * len(TERMS)
    row = next(r for r in rows if r[:2] == ["last_response_is_harmless", "post"])
    points, width = 100 * 0.7 * 0.15, 0.2
    assert row[2:8] == ["1.20", "1.00 to 1.40", "1.90", "1.70 to 2.10", "0.70", f"{0.7 - width:.2f} to 0.90"]
    assert row[8:11] == ["0.001", f"{points:.1f}", f"{ATTENUATED * 0.7:.2f}"]


def test_the_first_figure_is_drawn_for_page_and_phone(page: Element, naive_page: Element) -> None:
    (figure,) = page.find("figure", id="figure-1")
    assert len(figure.find("svg")) == 2
    (wide,) = figure.find("div", class_="scroll drawing wide-only")
    (narrow,) = figure.find("div", class_="drawing narrow-only")
    for drawn in (wide, narrow):
        said = [e.text for e in drawn.find("text")]
        assert {"people", "pre", "post", "eloquent", "coherent"} <= set(said)
    assert "Faint strokes: with labels taken as true" in figure.find("figcaption")[0].text
    (other,) = naive_page.find("figure", id="figure-1")
    assert "Faint" not in other.find("figcaption")[0].text
    assert "not corrected for their errors" in other.find("figcaption")[0].text


def test_a_line_of_the_figure_holds_people_both_models_and_the_naive_ones() -> None:
    naive_rows, right = human(PAID, of=ATTENUATED), human(PAID)
    corrected = right.with_columns(method=pl.lit("rectified"), n_gold=pl.lit(300))
    found = paid({"human": naive_rows, "human_corrected": corrected}, ("pre", "post"))
    (ax,) = prices(found, ("pre", "post")).axes
    labels = [t.get_text() for t in ax.get_yticklabels()]
    top = labels.index("eloquent")
    assert top == len(labels) - 1
    points = [tuple(p) for c in ax.collections for p in getattr(c, "get_offsets", list)()]
    on_top = sorted(float(x) for x, y in points if abs(y - top) < 0.5)
    expected = sorted([0.6, 0.9, -0.5, *(ATTENUATED * x for x in (0.6, 0.9, -0.5))])
    assert on_top == pytest.approx(expected)


def test_a_runaway_interval_does_not_flatten_the_others() -> None:
    rows = human(PAID).with_columns(
        rm_high=pl.when(pl.col("term") == TERMS[0]).then(1e6).otherwise(pl.col("rm_high"))
    )
    (ax,) = prices(paid({"human": rows}, ("pre", "post")), ("pre", "post"), narrow=True).axes
    low, high = ax.get_xlim()
    assert -2 < low < -0.9
    assert 1.9 < high < 3.5


@pytest.mark.parametrize(
    "hostile", [payloads()[3], payloads()[66] + "x" * 200, "a$^2$", "</svg>{{7*7}}\u202e"]
)
def test_hostile_names_are_text_in_the_first_figure(hostile: str) -> None:
    rows = human({(hostile, f"{hostile}b"): (0.5, 1.5), ("post", f"{hostile}b"): (0.5, 0.1)})
    (view,) = figure_views({"human": rows}, hostile, "post")
    for svg in (view.svg, view.narrow):
        drawn = parse(svg)
        dead_tags = {e.tag for e in drawn.all()} - {"root"}
        assert dead_tags <= {"svg", "title", "desc", "g", "defs", "path", "use", "text", "clippath", "rect"}
        assert not any(n.startswith("on") or n == "data-payload" for e in drawn.all() for n in e.attributes)
        assert "\u202e" not in svg


def test_hostile_names_leave_the_page_as_it_is(tmp_path: Path) -> None:
    pages = []
    for name, post in (("a", "</title><script>alert(1)</script>"), ("b", "post")):
        folder = make_results(tmp_path / name, n=150, rewriting=False, names={"post": post})
        tables = read(folder).tables
        drawn = {n: tables[n].clear() for n in DRAWN}
        with_people(folder, {(m.replace("post", post), t): v for (m, t), v in PAID.items()})
        rewritten(folder, **drawn)
        pages.append(parse(report(folder, options=ReportOptions(pairs=0)).html))
    dead(pages[0])
    left = frozenset(("svg", "hidden-character"))
    assert pages[0].skeleton(left) == pages[1].skeleton(left)


def test_every_table_of_coefficients_says_what_its_labels_are(
    page: Element, naive_page: Element, gold: Path
) -> None:
    tables = read(gold).tables
    corrected = {c for c in COEFFICIENTS.values() if c}
    for name in (*COEFFICIENTS, *corrected):
        if name not in tables or not tables[name].height:
            continue
        said = caption(page, f"table-{name}")
        assert "An association, not an experiment." in said, name
        right = "Corrected for label errors (rectified, 300 gold pairs of people)."
        assert (right in said) == (name in corrected), name
        assert ("Labels taken as true, not corrected" in said) == (name not in corrected), name
    assert "corrected in imprint_corrected.csv" in caption(page, "table-imprint")
    assert "corrected in" not in caption(naive_page, "table-imprint")
    for figure in page.find("figure"):
        assert re.search("taken as true|Corrected for label errors|No label", figure.text), figure.attributes


def test_the_heading_stands_over_what_is_not_corrected(page: Element, naive_page: Element) -> None:
    def headed(page: Element) -> list[str]:
        return [s.attributes["id"] for s in page.find("section") if HEADING in [h.text for h in s.find("h3")]]

    assert headed(naive_page) == ["people", "imprint", "shift", "resistance"]
    assert headed(page) == ["shift"]
    (notice,) = section(naive_page, "people").find("div", class_="notice")
    assert notice.find("code")[0].text.startswith("seal gold sample TEXTS --pairs")
    assert "other equations are corrected" in section(page, "shift").text


def test_why_gold_did_not_correct_is_said(naive: Path, tmp_path: Path) -> None:
    found = read(naive)
    why = "not corrected for label errors; attenuated or worse: 20 gold pairs are <b>few</b>"
    options = found.settings | {"gold": "people"}
    page = report(replace(found, notes=(why,), options=options), options=ReportOptions(pairs=0))
    (notice,) = section(parse(page.html), "people").find("div", class_="notice")
    assert "Why: 20 gold pairs are <b>few</b>." in notice.text
    assert not notice.find("code")


def test_families_are_counted(gold: Path) -> None:
    tables = read(gold).tables
    families = set()
    for name, frame in tables.items():
        for row in frame.to_dicts():
            for column in ("p_adjusted", "p_adjusted_std"):
                if row.get(column) is not None:
                    families.add((name, column, row.get("model"), row.get("outcome"), row.get("scale")))
    assert f"hold {len(families)} of them." in summarise(read(gold)).families
    assert len(families) > 20


def test_the_imprint_is_told_in_sds_with_reward_units_beside(page: Element, gold: Path) -> None:
    rows = rows_of(page, "overview-imprint")
    assert rows[0][1] == "pre, SD"
    table = read(gold).tables["imprint_corrected"].filter(model="post-pre")
    change, units = rows[0].index("change, SD"), rows[0].index("change, reward units")
    by = {r["term"]: r for r in table.to_dicts()}
    shown = [float(r[change].replace("−", "-")) for r in rows[1:]]
    assert shown == sorted(shown, key=lambda x: -abs(x))
    for row in rows[1:]:
        for at, column in ((change, "estimate_std"), (units, "estimate")):
            assert float(row[at].replace("−", "-")) == pytest.approx(by[row[0]][column], abs=0.0051)
    said = " ".join(next(p for p in summarise(read(gold)).passages if "models reward" in p.title).sentences)
    assert " SD, " in said
    assert "in SDs of each model's own margins" in said


def test_margins_lead_and_theta_follows(page: Element) -> None:
    shift = section(page, "shift")
    order = [e.attributes["id"] for e in shift.all() if e.tag in ("table", "figure")]
    assert order[0] == "overview-shift"
    assert order[-1] == "figure-4"
    outcomes = [r[1] for r in rows_of(page, "table-shift")[1:]]
    assert outcomes[0].endswith("margin_change")
    assert outcomes[-1] == "theta"
    assert "rewards centred for each model" in shift.text


def test_trust_tells_rates_slope_and_hausman(page: Element) -> None:
    said = section(page, "trust").text
    worst = len(TERMS) - 1
    assert f"On 600 gold texts, truth invents “sentiment” most, in {2 + worst:.1f}% of the texts" in said
    assert f"misses “sentiment” most, in {3 + 2 * worst:.1f}% of the texts with it" in said
    assert "Eq. 1 0.60 (pre) and 0.60 (post)" in said
    assert "Hausman's test that the labels' errors do not go with the rewards: p 0.420 (pre)" in said
    assert rows_of(page, "table-label_errors")[0][:5] == [
        "feature",
        "labeler",
        "side",
        "source",
        "gold texts",
    ]


def truth_frame(times: float) -> pl.DataFrame:
    rows = [
        {"model": m, "term": t, "planted": times * b}
        for m, beta in (("pre", BETA_PRE), ("post", BETA_POST))
        for t, b in zip(TERMS, beta, strict=True)
    ]
    return pl.DataFrame(rows)


def test_truth_is_compared_on_its_own_scale(gold: Path) -> None:
    tables = read(gold).tables
    found = beside_truth(tables, truth_frame(2.0), 0.95)
    headings = [c.title for c in found.table.columns]
    assert headings[2:9] == [
        "planted", "labels taken as true", "95% interval", "holds the planted value", "corrected",
        "95% interval", "holds the planted value",
    ]  # fmt: skip
    post = tables["imprint"].filter(model="post")
    b = truth_frame(2.0).filter(model="post").join(post, on="term", maintain_order="left")
    x, y, error = (b[c].to_numpy() for c in ("planted", "estimate", "std_error"))
    slope = float(np.linalg.lstsq((x / error)[:, None], y / error, rcond=None)[0][0])
    held = "labels taken as true, 6 of 6 intervals hold the planted value"
    assert f"{held} (after division by their slope, {slope:.2f}, " in found.sentences[1]
    shown = [float(r[3].text.replace("−", "-")) for r in found.table.rows if r[1].text == "post"]
    assert shown == pytest.approx(list(y / slope), abs=0.0051)
    other = beside_truth(tables, truth_frame(20.0), 0.95)
    assert [[r[5].text, r[8].text] for r in other.table.rows] == [
        [r[5].text, r[8].text] for r in found.table.rows
    ]
    assert f"{slope / ATTENUATED:.2f}" in found.sentences[1]


def test_truth_of_the_other_sign_has_no_scale(gold: Path) -> None:
    found = beside_truth(read(gold).tables, truth_frame(-1.0), 0.95)
    assert "in their own unit" in found.sentences[1]


def test_notes_are_grouped_counted_and_folded(naive: Path, naive_page: Element) -> None:
    found = summarise(read(naive)).cautions
    folded = section(naive_page, "summary").find("details", class_="notes")
    assert [d.find("summary")[0].text for d in folded] == [f"{c.kind} ({len(c.sentences)})" for c in found]
    for details, caution in zip(folded, found, strict=True):
        assert [li.text for li in details.find("li")] == list(caution.sentences)


def test_kinds_of_notes() -> None:
    notes = {
        "People and models": "human imprint of pre: it pays 2 times what people pay",
        "The labels and their errors": "One labeler only: how reliable its labels are is not known.",
        "Separated outcomes": "robustness of pre: a separated the outcome perfectly: Firth's penalised logit",
        "Rewriting": "robustness: 400 pairs were rewritten",
        "Other notes": "something else altogether",
    }
    found = grouped([*notes.values(), notes["Rewriting"]])
    assert {c.kind: c.sentences for c in found} == {k: (v,) for k, v in notes.items()}
    order = [k for k, _ in KINDS]
    assert [c.kind for c in found[:-1]] == sorted((c.kind for c in found[:-1]), key=order.index)


def test_results_of_an_earlier_version_still_make_a_report() -> None:
    found = read(Path("tests/data/earlier/results"))
    tables = {n: f.clear() if n in DRAWN else f for n, f in found.tables.items()}
    page = parse(report(replace(found, tables=tables), options=ReportOptions(pairs=0)).html)
    dead(page)
    assert "human" not in found.tables
    assert "analyze again" in section(page, "summary").text
    assert page.find("table", id="overview-imprint")
    assert "estimate, SDs of reward" in rows_of(page, "table-imprint")[0]
    assert not page.find("figure", id="figure-1")


def test_ends_of_intervals_stand_in_one_column() -> None:
    view = table_view("human", human(PAID), level=0.9)
    assert [c.title for c in view.columns][:7] == [
        "term", "model", "scale", "people pay", "90% interval of people pay", "the model pays",
        "90% interval of the model pays",
    ]  # fmt: skip
    assert not any("low" in c.title or "high" in c.title for c in view.columns)


def test_a_real_analysis_with_gold(tmp_path: Path) -> None:
    world = gold_world(4000, 400, seed=1)
    found = analyze(
        world.scores, [world.labels, world.gold], AnalyzeOptions(pre="pre", post="post", gold="people")
    )
    write(found, tmp_path / "results")
    told = read(tmp_path / "results")
    assert_quotes_the_largest(told)
    drawn = {n: f.clear() if n in DRAWN else f for n, f in told.tables.items()}
    page = parse(report(replace(told, tables=drawn), options=ReportOptions(pairs=0)).html)
    dead(page)
    assert "rectified, 400 gold pairs of people" in section(page, "people").text
    assert page.find("figure", id="figure-1")
    assert "Hausman" in section(page, "trust").text


def assert_quotes_the_largest(results: Results) -> None:
    """The first sentence names the largest significant difference with its figures."""
    rows = results.tables["human_corrected"].filter(
        pl.col("scale") == "log_odds", pl.col("p_adjusted") <= 0.05
    )
    largest = max(rows.to_dicts(), key=lambda r: abs(r["difference"]))
    said = paid_sentences(results)[0].replace("−", "-")
    name = largest["term"].removeprefix("last_response_is_")
    more = "more" if largest["difference"] > 0 else "less"
    assert said.startswith(f"{largest['model']} pays {more} for “{name}” than people do: ")
    figures = [float(x) for x in re.findall(r"-?\d+\.\d+", said.split("do: ")[1])]
    columns = (
        "rm",
        "rm_low",
        "rm_high",
        "human",
        "human_low",
        "human_high",
        "difference",
        "conf_low",
        "conf_high",
    )
    assert figures[:9] == pytest.approx([largest[c] for c in columns], abs=0.0051)


def test_a_model_that_is_not_corrected_is_named(gold: Path) -> None:
    found = read(gold)
    assert "could not be corrected" not in " ".join(paid_sentences(found))
    tables = found.tables | {"human_corrected": found.tables["human_corrected"].filter(model="pre")}
    said = " ".join(paid_sentences(replace(found, tables=tables)))
    assert "post could not be corrected, the notes say why: what it pays stands in the table with" in said


def test_a_flag_says_what_is_doubted() -> None:
    alphas = {"last_response_is_terse": 0.73}

    def cell(flag: str | None) -> tuple[str, bool]:
        found = alpha_cell("last_response_is_terse", alphas, flag)
        return found.text, found.strong

    assert cell(None) == ("0.73", False)
    assert cell("labelers agree little: alpha 0.73") == ("0.73, doubtful", True)
    assert cell("differs in 11 gold pairs only") == ("0.73, differs in 11 gold pairs only", True)


def test_one_significant_change_is_told_as_one(gold: Path) -> None:
    """Of three, and then of one."""
    found = read(gold)
    table = found.tables["imprint_corrected"]
    change = table.filter(model="post-pre")

    def told(n: int) -> str:
        p = pl.Series("p_adjusted_std", [0.001 if i < n else 0.9 for i in range(change.height)])
        tables = found.tables | {"imprint_corrected": change.with_columns(p)}
        passages = summarise(replace(found, tables=tables)).passages
        return " ".join(next(p for p in passages if "models reward" in p.title).sentences)

    assert "This is the one significant change, in SDs of" in told(1)
    assert "These 2 of 2 significant changes are in SDs of" in told(2)
