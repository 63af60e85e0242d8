"""The report: nothing in it is alive, everything of the results is in it, and it says what is missing."""

import json
import os
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from seal.engine.errors import InputError, SealError
from seal.engine.frames.folder import content_hash
from seal.stats.options import ReportOptions
from seal.stats.report.page import CHARACTERS, report
from seal.stats.report.summary import summarise
from seal.stats.report.text import fixed, is_hidden, p_value, pieces, shortened, significant, visible
from seal.stats.results import FILES, read, write
from tests.support.hostile import NAME, payloads
from tests.support.pages import Element, dead, parse, section
from tests.support.reports import ELOQUENT, make_report, make_results, rewritten

DIALOGUES = frozenset(("dialogue",))
GOLD_ALONE = {"human_corrected", "imprint_corrected", "resistance_corrected", "label_errors"}
EXPERIMENTS = {"causal", "perturbations"}  # of texts made for them
HOSTILE = {
    "pre": "</title><script>alert(1)</script>\u202e", "post": "po$t_{</style>}" + "x" * 300,
    "truth": '"><svg onload=alert(1)>', "noisy": "=noisy\x07", "source": "<b data-payload>", ELOQUENT: NAME,
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full analysis: rewriting, two labelers of whom one doubts a feature."""
    return make_results(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def html(results: Path) -> str:
    make_report(results, results.parent / "report.html")
    return (results.parent / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Element:
    return parse(html)


def page_of(results: Path, options: ReportOptions | None = None) -> Element:
    make_report(results, results.parent / "again.html", options)
    return parse((results.parent / "again.html").read_text(encoding="utf-8"))


def table(page: Element, name: str) -> list[list[str]]:
    (found,) = page.find("table", id=f"table-{name}")
    return [[c.text.strip() for c in row.all() if c.tag in ("th", "td")] for row in found.find("tr")]


def test_nothing_is_alive_or_loaded(html: str, page: Element) -> None:
    dead(page)
    assert "http://" not in html
    assert "https://" not in html
    metas = page.find("meta")
    assert metas[0].attributes == {"charset": "utf-8"}
    assert metas[1].attributes == {
        "http-equiv": "Content-Security-Policy",
        "content": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    }


def test_ids_are_unique_and_references_lead_somewhere(page: Element) -> None:
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.all():
        for name, value in element.attributes.items():
            if name in ("aria-labelledby", "aria-describedby"):
                assert set(value.split()) <= set(ids), value
            if name == "href":
                assert value.removeprefix("#") in ids
            assert set(re.findall(r"url\(#([^)]*)\)", value)) <= set(ids), value


def test_every_result_table_is_there_with_its_file(results: Path, page: Element) -> None:
    shown = {e.attributes.get("id") for e in page.all()}
    there = set(read(results).tables)
    assert set(FILES) - there == GOLD_ALONE | EXPERIMENTS
    assert {f"table-{name}" for name in there} <= shown
    named = {e.text for e in page.find("code")}
    assert {f"{name}.csv" for name in there} <= named


def test_headings_landmarks_and_tables_are_in_order(page: Element) -> None:
    levels = [int(e.tag[1]) for e in page.all() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    for tag in ("header", "nav", "main", "footer"):
        assert len(page.find(tag)) == 1, tag
    for t in page.find("table"):
        assert t.find("caption")[0].text.strip()
        assert all(th.attributes.get("scope") in ("row", "col") for th in t.find("th"))
        widths = {sum(c.tag in ("th", "td") for c in row.all()) for row in t.find("tr")}
        assert len(widths) == 1
    for region in page.find("div", role="region"):
        assert region.attributes["tabindex"] == "0"
        assert "aria-label" in region.attributes or "aria-labelledby" in region.attributes


def test_figures_are_drawn_with_a_text_alternative(page: Element) -> None:
    drawings = page.find("svg")
    assert len(drawings) == 4
    for svg in drawings:
        assert svg.attributes["role"] == "img"
        assert svg.find("title")[0].text
        assert len(svg.find("desc")[0].text) > 60
        allowed = {"svg", "title", "desc", "g", "defs", "path", "use", "text", "clippath", "rect"}
        assert {e.tag for e in svg.all()} <= allowed


def test_the_same_results_give_the_same_bytes(results: Path, html: str) -> None:
    make_report(results, results.parent / "twice.html")
    assert (results.parent / "twice.html").read_text(encoding="utf-8") == html


def test_numbers_are_those_of_the_tables(results: Path, page: Element) -> None:
    frame = pl.read_csv(results / "imprint.csv")
    rows = table(page, "imprint")
    assert rows[0][:4] == ["term", "model", "estimate", "95% interval"]
    assert len(rows) == frame.height + 1
    for shown, (term, model, estimate) in zip(
        rows[1:], frame.select("term", "model", "estimate").iter_rows(), strict=True
    ):
        assert shown[:2] == [term, model]
        assert float(shown[2].replace("−", "-")) == pytest.approx(estimate, abs=0.0051)


def test_labelers_agreement_stands_beside_the_coefficients(results: Path, page: Element) -> None:
    rows = table(page, "resistance")
    at = rows[0].index("labelers' alpha")
    alpha = pl.read_csv(results / "labelers.csv").filter(pl.col("feature") == ELOQUENT)["alpha"][0]
    for row in rows[1:]:
        said = {ELOQUENT: f"{alpha:.2f}, doubtful", "intercept": "–"}.get(row[0], "1.00")
        assert row[at] == said, row[0]
    assert f"“eloquent” ({alpha:.2f})" in section(page, "summary").text


def test_summary_quotes_the_estimates(results: Path) -> None:
    found = read(results)
    text = " ".join(s for p in summarise(found).passages for s in p.sentences)
    rows = {r["model"]: r for r in found.tables["alignment"].to_dicts()}
    for name in ("pre", "post"):
        assert f"{100 * rows[name]['alignment']:.1f}%" in text
        assert f"{100 * rows[name]['conf_low']:.1f}% to {100 * rows[name]['conf_high']:.1f}%" in text
    changes = found.tables["imprint"].filter(model="post-pre").filter(pl.col("p_adjusted_std") <= 0.05)
    most = changes.sort("estimate_std")["term"][-1]
    first = text.split("reward rose most for “")[1].split("”")[0]
    assert most.endswith(first.replace(" ", "_"))
    assert "McNemar" in text


def test_warnings_name_rulers_and_few_pairs(results: Path, tmp_path: Path) -> None:
    small = make_results(tmp_path / "small", n=60, rewriting=False, two_labelers=False)
    said = " ".join(s for c in summarise(read(small)).cautions for s in c.sentences)
    assert "Fewer than 100 informative pairs" in said
    assert "One labeler only" in said
    assert "no more than 'ruler" in section(page_of(results), "summary").text


def test_500_hostile_dialogues_are_text(tmp_path: Path) -> None:
    hostile = payloads()
    options = ReportOptions(pairs=500)
    page = page_of(make_results(tmp_path / "a", dialogues=hostile), options)
    twin = page_of(make_results(tmp_path / "b", dialogues=["word"] * 500), options)
    dead(page)
    assert page.skeleton(DIALOGUES) == twin.skeleton(DIALOGUES)
    dialogues = page.find("div", class_="dialogue")
    assert len(dialogues) == 1500
    for element in dialogues:
        assert all(e.attributes.get("class") in ("dialogue", "hidden-character") for e in element.all())
    shown = {e.text for e in dialogues}
    for payload in hostile:
        readable = "".join(piece for _, piece in pieces(payload))
        assert readable in shown
        assert f"{readable} again" in shown
        assert not any(is_hidden(c) for c in readable)


def test_hostile_names_are_text(tmp_path: Path) -> None:
    title = "</title></head><body onload=alert(1)>"
    page = page_of(make_results(tmp_path / "a", names=HOSTILE), ReportOptions(title=title))
    twin = page_of(make_results(tmp_path / "b"), ReportOptions(title="title"))
    dead(page)
    left = DIALOGUES | {"hidden-character", "svg"}  # axes make room for long names: fewer ticks
    assert page.skeleton(left) == twin.skeleton(left)
    assert page.find("h1")[0].text == title
    assert visible(NAME) in {c.text for c in page.find("th", scope="row")}
    assert "\u202e" not in page.text
    assert "{{7*7}}</svg>" in page.find("svg")[1].text


def test_dollars_in_names_are_no_mathematics(tmp_path: Path) -> None:
    names = {ELOQUENT: "last_response_is_$\\undefined{x}_1$ rich", "pre": "a$^2$b"}
    page = page_of(make_results(tmp_path / "a", names=names))
    drawn = {e.text for svg in page.find("svg") for e in svg.find("text")}
    assert "$\\undefined{x} 1$ rich" in drawn
    assert "a$^2$b" in drawn


def test_names_in_scripts_that_matplotlib_lacks_are_drawn_by_the_browser(tmp_path: Path) -> None:
    page = page_of(make_results(tmp_path / "a", names={"pre": "前", "post": "بعد 🙂"}))
    drawn = {e.text for svg in page.find("svg") for e in svg.find("text")}
    assert {"前", "بعد 🙂"} <= drawn


def test_without_rewriting_and_with_one_labeler(tmp_path: Path) -> None:
    page = page_of(make_results(tmp_path / "a", rewriting=False, two_labelers=False))
    assert "Rewritten texts are not part of this analysis" in section(page, "summary").text
    assert "there is no agreement to report" in section(page, "trust").text
    assert len(page.find("svg")) == 3
    assert (
        page.find("p", id="table-labelers")[0].text == "Agreement of the labelers: no rows in labelers.csv."
    )


def test_the_published_arithmetic_has_its_own_chapter(tmp_path: Path) -> None:
    results = make_results(tmp_path / "a", as_published=True)
    page = page_of(results)
    dead(page)
    shown = section(page, "published")
    files = {p.stem for p in (results / "as_published").iterdir()}
    assert {f"table-published-{name}" for name in files} <= {e.attributes.get("id") for e in shown.all()}
    assert "as_published/regimes.csv" in shown.text
    assert "the published study's own arithmetic" in shown.text


def test_provenance_names_the_features(page: Element) -> None:
    said = section(page, "provenance").text
    assert "features of the labeler truth. In Eq. 1: last_response_is_harmless" in said
    assert (
        "Targets of the preference profile: last_response_is_harmless, then last_response_is_helpful" in said
    )


def test_labels_of_other_pairs(tmp_path: Path) -> None:
    root = tmp_path / "a"
    results = make_results(root, rewriting=False, two_labelers=False)
    empty = {n: read(results).tables[n].clear() for n in ("imprint", "imprint_chosen", "shift", "resistance")}
    rewritten(results, **empty)
    page = page_of(results)
    assert "There is no imprint" in section(page, "summary").text
    assert page.find("p", id="table-imprint")


def test_a_table_of_thousands_is_cut_with_its_file_named(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "results")
    tests = read(results).tables["tests"]
    rewritten(tmp_path / "results", tests=pl.concat([tests] * 80))
    page = page_of(tmp_path / "results")
    n = 80 * tests.height
    assert len(table(page, "tests")) == 201
    caption = page.find("table", id="table-tests")[0].find("caption")[0].text
    assert f"Shown: the first 200 of {n:,} rows" in caption
    assert "tests.csv" in caption


def test_every_table_empty(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "results")
    rewritten(tmp_path / "results", **{n: f.clear() for n, f in read(results).tables.items()})
    page = page_of(tmp_path / "results")
    assert not page.find("svg")
    there = set(FILES) - GOLD_ALONE - EXPERIMENTS
    assert {f"table-{n}" for n in there} <= {e.attributes.get("id") for e in page.find("p")}


def test_tables_of_a_later_version_are_shown_too(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "results")
    novel = pl.DataFrame({"who": ["<b>"], "what": [1.5], "sure": [True]})
    rewritten(tmp_path / "results", novel=novel)
    assert table(page_of(tmp_path / "results"), "novel") == [["who", "what", "sure"], ["<b>", "1.50", "yes"]]


def test_folders_that_moved_are_found_by_what_they_hold(tmp_path: Path) -> None:
    results = make_results(tmp_path / "a")
    (tmp_path / "a" / "scores").rename(tmp_path / "elsewhere")
    (tmp_path / "a" / "texts").rename(tmp_path / "words")
    page = page_of(results)
    said = section(page, "summary").text
    assert "Missing: scores (../scores): is not there." in said
    assert "the scores were not found" in said
    assert "None is shown" in section(page, "pairs").text
    page = page_of(results, ReportOptions(stages=(tmp_path / "elsewhere",)))
    assert "shown by number only" in section(page, "summary").text
    assert len(section(page, "pairs").find("details")) == 10
    page = page_of(results, ReportOptions(stages=(tmp_path / "elsewhere", tmp_path / "words")))
    assert "Missing" not in section(page, "summary").text
    assert section(page, "pairs").find("div", class_="dialogue")


def test_other_scores_at_the_old_place_are_not_used(tmp_path: Path) -> None:
    results = make_results(tmp_path / "a")
    part = tmp_path / "a" / "scores" / "part-00000.parquet"
    pl.read_parquet(part).with_columns(pl.col("reward") * 2).write_parquet(part)
    page = page_of(results)
    assert "scores (../scores): holds something else" in section(page, "summary").text
    assert "None is shown" in section(page, "pairs").text


def test_results_of_before_the_record(tmp_path: Path) -> None:
    results = make_results(tmp_path / "a", rewriting=False)
    path = results / "results.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["inputs"], content["versions"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert "does not say what the analysis read" in section(page_of(results), "summary").text


def test_a_damaged_part_does_not_stop_the_report(tmp_path: Path) -> None:
    results = make_results(tmp_path / "a")
    part = tmp_path / "a" / "scores" / "part-00000.parquet"
    part.write_bytes(b"PAR1 nonsense")
    assert "Missing" in section(page_of(results), "summary").text


def test_stages_failures_and_commands(tmp_path: Path) -> None:
    results = make_results(tmp_path / "a", rewriting=False)
    folder = tmp_path / "a" / "scores"
    failed = {"row_id": [4, 5, 6], "stage": ["score"] * 3, "error": ["too long", "too long", "<b>empty"]}
    pl.DataFrame(failed | {"detail": ["</td>", "b", "c"]}).write_parquet(folder / "failures.parquet")
    facts = {"files": {"model.onnx": "a" * 64}, "backend": "onnx"}
    identity = {"stage": "score", "options": {"limit": None, "part_rows": 7}, "models": {"pre": facts}}
    totals = {"n_rows": 3600, "n_failures": 3, "n_texts": 1800, "n_tokens": 9000, "elapsed_s": 2.0}
    manifest = {
        "identity": identity, "versions": {"python": "3.11.0"}, "complete": True, "totals": totals,
        "machine": {"cpu": "<i>chip", "cores": 2}, "written": "2026-01-01T00:00:00",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = read(results)
    now = [replace(s, sha256=content_hash(folder)) if s.role == "scores" else s for s in found.inputs]
    write(replace(found, inputs=tuple(now)), results)
    page = page_of(results, ReportOptions(stages=(folder,)))
    stages = section(page, "stages")
    rows = {e.attributes["id"]: e for e in stages.find("table")}
    assert "too long2" in rows["stages-failures"].text.replace("\n", "")
    assert "<b>empty1" in rows["stages-failures"].text.replace("\n", "")
    assert {"900", "4,500"} <= {c.text for c in rows["stages-throughput"].find("td")}
    assert "took 2.0 seconds" in stages.text
    origin = section(page, "provenance").text
    assert "a" * 64 in origin
    assert "score, ../scores: no command is on record" in origin
    assert "analyze: no command is on record" in origin


def test_commands_are_quoted_as_typed_in_the_order_of_the_pipeline(tmp_path: Path) -> None:
    root = tmp_path / "study"
    results = make_results(root, rewriting=False)
    score = [
        "score",
        f"{root}/texts",
        "--model",
        f"pre={root}/onnx/pre",
        "--device",
        "cpu",
        "--out",
        "my scores",
    ]
    stages = {
        "scores": ("score", score),
        "texts": ("import", ["import", "/elsewhere/pairs.jsonl", "--out", str(root / "texts")]),
        "labels": ("label", ["label", f"{root}/texts", "--labeler", "http://host/v1", "--retries", "3"]),
        "labels-b": ("label", None),
    }
    for name, (stage, words) in stages.items():
        manifest = {"identity": {"stage": stage, "options": {}}, "complete": True} | (
            {"command": words} if words else {}
        )
        (root / name / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = read(results)
    again = [replace(s, sha256=content_hash(results / s.path)) for s in found.inputs]
    analysis = ("analyze", "--scores", f"{root}/scores", "--level", "0.9", "--out", str(results))
    write(replace(found, inputs=tuple(again), command=analysis), results)
    assert json.loads((results / "results.json").read_text(encoding="utf-8"))["command"] == list(analysis)
    expected = [
        "seal import /elsewhere/pairs.jsonl --out study/texts",
        "seal score study/texts --model pre=study/onnx/pre --device cpu --out 'my scores'",
        "seal label study/texts --labeler http://host/v1 --retries 3",
        "label, ../labels-b: no command is on record; "
        "it was made by an earlier version, by another program or from Python",
        "seal analyze --scores study/scores --level 0.9 --out study/results",
    ]
    assert _commands(results) == expected
    shutil.move(root, tmp_path / "moved")  # the record names the old place, and is as short as before
    assert _commands(tmp_path / "moved" / "results") == expected
    assert str(tmp_path) not in section(page_of(tmp_path / "moved" / "results"), "provenance").text


def test_a_manifest_of_another_program_says_nothing(tmp_path: Path) -> None:
    results = make_results(tmp_path / "a", rewriting=False)
    folder = tmp_path / "a" / "scores"
    (folder / "manifest.json").write_text('{"name": "a web page"}', encoding="utf-8")
    found = read(results)
    now = [replace(s, sha256=content_hash(folder)) if s.role == "scores" else s for s in found.inputs]
    write(replace(found, inputs=tuple(now)), results)
    page = page_of(results)
    assert "Missing" not in section(page, "summary").text
    assert section(page, "pairs").find("details")


def _commands(results: Path) -> list[str]:
    (commands,) = section(page_of(results), "provenance").find("ol", class_="commands")
    return [line.text.strip() for line in commands.find("li")]


def test_a_report_of_results_in_memory(results: Path, tmp_path: Path) -> None:
    page = report(read(results))
    assert page.path is None
    written = make_report(results, tmp_path / "r.html")
    assert page.html == written.html == (tmp_path / "r.html").read_text(encoding="utf-8")
    assert written.n_bytes == (tmp_path / "r.html").stat().st_size
    assert page._repr_html_().startswith("<iframe")
    assert "<h1" not in page._repr_html_()  # the page stands escaped in an attribute


def test_beside_the_planted_truth(results: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text(
        f"model,term,planted,low,high\npre,last_response_is_helpful,0.5,0.4,0.6\n"
        f"pre,{ELOQUENT},0.8,0.7,0.9\npost,last_response_is_helpful,9,8,10\npost,nowhere,1,,\n",
        encoding="utf-8",
    )
    found = section(page_of(results, ReportOptions(truth=truth)), "beside")
    assert "2 of 2 intervals hold the planted value" in found.text
    rows = [[c.text.strip() for c in r.all() if c.tag in ("th", "td")] for r in found.find("tr")]
    assert "in their own unit" in found.text  # two terms are too few to tell a scale from
    assert rows[0][:4] == ["feature", "model", "planted", "labels taken as true"]
    assert [r[5] for r in rows[1:]] == ["yes", "yes", "no", "–"]
    assert rows[1][6] == "0.400 to 0.600"


def test_beside_another_analysis(results: Path, tmp_path: Path) -> None:
    other = make_results(tmp_path / "b", n=500, rewriting=False)
    options = ReportOptions(beside=other, beside_name="<true> labels")
    found = section(page_of(results, options), "beside")
    assert "of 18 intervals hold the estimate of <true> labels." in found.text


@pytest.mark.parametrize(
    ("text", "message"),
    [("model,term\n", "no column planted"), ("model,term,planted\npre,x,much\n", "truth.csv"), ("", "read")],
)
def test_truth_that_is_none(results: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "truth.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        make_report(results, tmp_path / "r.html", ReportOptions(truth=tmp_path / "truth.csv"))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "tables": {"a": 3}}', "\x00"]
)
def test_results_that_are_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"results\.json"):
        make_report(tmp_path, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_the_file_is_whole_or_not_there(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r.html"
    before = "a report. Made by <code>seal report</code>"
    out.write_text(before, encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SealError, match="No space left"):
        make_report(results, out)
    assert out.read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [out]


def test_long_dialogues_are_cut(tmp_path: Path) -> None:
    results = make_results(tmp_path / "a", n=300, rewriting=False, dialogues=["word " * CHARACTERS])
    pairs = section(page_of(results, ReportOptions(pairs=1)), "pairs")
    assert max(len(e.text) for e in pairs.find("div", class_="dialogue")) == CHARACTERS
    assert f"{4 * CHARACTERS:,} more characters are not shown" in pairs.text
    assert "characters before this are not shown" in pairs.text


def test_no_pairs_when_none_are_asked_for(results: Path) -> None:
    page = page_of(results, ReportOptions(pairs=0))
    assert not section(page, "pairs").find("details")
    assert "Missing" not in section(page, "summary").text


def test_hidden_characters_are_seen() -> None:
    assert visible("a\u202eb\x00\n c") == "a⟨U+202E⟩b⟨U+0000⟩ c"
    assert visible("\ud800") == "⟨U+D800⟩"
    assert visible("👩\u200d💻 می\u200cشود é") == "👩\u200d💻 می\u200cشود é"
    assert list(pieces("a\r\nb\rc")) == [(False, "a\nb"), (True, "U+000D"), (False, "c")]
    assert list(pieces("")) == []


def test_numbers_as_they_are_set() -> None:
    assert [fixed(x, 2) for x in (-0.001, -1.5, 12345.678)] == ["0.00", "−1.50", "12,345.68"]
    assert [significant(x) for x in (0.0, 752.4, 0.00105, 1e-9, 4.5e12)] == [
        "0", "752", "0.00105", "1.00e−9", "4.50e12",
    ]  # fmt: skip
    assert [p_value(p) for p in (0.0, 0.0009, 0.05)] == ["<0.001", "<0.001", "0.050"]


def test_shortened_names_stay_apart() -> None:
    names = ["a" * 60 + str(i) + "b" * 60 for i in range(3)]
    short = shortened(names, 48)
    assert len(set(short.values())) == 3
    assert max(map(len, short.values())) <= 48
