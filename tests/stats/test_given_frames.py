"""Frames in memory instead of folders give the same tables; and results show themselves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks.statistics_worlds import frames, world
from seal.engine.errors import InputError, UsageError
from seal.stats.alignment.compare import compare
from seal.stats.analysis import analyze
from seal.stats.labelers.agreement import agreement
from seal.stats.options import AgreementOptions, AnalyzeOptions, CompareOptions, ReportOptions
from seal.stats.report.page import report
from seal.stats.results import read

OPTIONS = AnalyzeOptions("pre", "post", labeler="truth")
Tables = dict[str, pl.DataFrame]


def _pandas(frame: pl.DataFrame) -> Any:
    return frame.to_pandas()


KINDS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "eager": lambda frame: frame,
    "lazy": lambda frame: frame.lazy(),
    "pandas": _pandas,
    "arrow": lambda frame: frame.to_arrow(),
}


@pytest.fixture(scope="module")
def tables() -> Tables:
    w = world(300, seed=3)
    scores, labels, _ = frames(w.values[:200], w.rewards[:, :200] * 0.9, variant="rewritten")
    noisy = w.labels.with_columns(~pl.col("last_response_is_eloquent"), labeler=pl.lit("noisy"))
    return {
        "texts": w.texts, "scores": w.scores, "labels": w.labels, "noisy": noisy,
        "rewritten_scores": scores, "rewritten_labels": labels,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folders(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    for name, table in tables.items():
        (root / name).mkdir()
        table.write_parquet(root / name / "part-00000.parquet")
    return {name: root / name for name in tables}


def _analyzed(given: dict[str, Any], **more: Any) -> Any:
    again = {n: given[n] for n in ("texts", "rewritten_scores", "rewritten_labels")}
    return analyze(given["scores"], [given["labels"], given["noisy"]], OPTIONS, **again, **more)


@pytest.fixture(scope="module")
def expected(folders: dict[str, Path]) -> Any:
    return _analyzed({name: str(path) for name, path in folders.items()})


def _equal(ours: Tables, theirs: Tables) -> None:
    assert ours.keys() == theirs.keys()
    for name, table in ours.items():  # sums in another order differ in their last digits
        assert_frame_equal(table, theirs[name], abs_tol=1e-9, rel_tol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_an_analysis_of_frames_in_memory(tables: Tables, expected: Any, kind: str) -> None:
    found = _analyzed({name: KINDS[kind](table) for name, table in tables.items()})
    _equal(found.tables, expected.tables)
    assert found.notes == expected.notes
    assert {(x.path, x.sha256) for x in found.inputs} == {("", "")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_comparison_of_frames_in_memory(tables: Tables, folders: dict[str, Path], kind: str) -> None:
    options = CompareOptions(ties="half")
    found = compare(KINDS[kind](tables["scores"]), options, texts=KINDS[kind](tables["texts"]))
    _equal(dict(found.tables), dict(compare([folders["scores"]], options, texts=folders["texts"]).tables))


@pytest.mark.parametrize("kind", KINDS)
def test_agreement_of_frames_in_memory(
    tables: Tables, folders: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    options = AgreementOptions(combine="majority", resamples=20)
    given = [KINDS[kind](tables[n]) for n in ("labels", "noisy")]
    found = agreement(given, options=options, out=tmp_path / "a")
    other = agreement([folders["labels"], folders["noisy"]], options=options, out=tmp_path / "b")
    _equal(dict(found.tables), dict(other.tables))
    assert found.notes == other.notes
    assert found.combined is not None
    assert found.combined.n_texts == tables["labels"].height
    ours, theirs = (pl.read_parquet(tmp_path / x / "part-00000.parquet") for x in "ab")
    texts = pl.selectors.enum().cast(pl.String)  # pandas knows no order of values
    assert_frame_equal(ours.with_columns(texts), theirs.with_columns(texts))
    again = agreement(given, options=options, out=tmp_path / "a")  # the same frame is recognised
    assert again.combined == found.combined


def test_results_are_written_recorded_and_read(
    folders: dict[str, Path], expected: Any, tmp_path: Path
) -> None:
    found = _analyzed(dict(folders), out=tmp_path / "results")
    assert {p.name for p in found.files} == {p.name for p in (tmp_path / "results").iterdir()}
    assert found.folder == tmp_path / "results"
    assert all(len(x.sha256) == 64 for x in found.inputs)
    _equal(found.tables, expected.tables)
    assert read(tmp_path / "results").as_dict() == json.loads(json.dumps(found.as_dict()))
    page = report(expected)  # absolute places: the folders are found from anywhere
    assert not page.missing
    assert "no command is on record" in page.html


def test_a_report_says_that_frames_were_in_memory(tables: Tables) -> None:
    found = analyze(tables["scores"], tables["labels"], AnalyzeOptions("pre", "post"))
    page = report(found, options=ReportOptions(pairs=2))
    assert "scores (in memory): was a frame in memory" in page.missing


def test_results_show_themselves(tables: Tables, expected: Any) -> None:
    shown = expected._repr_html_()
    assert "imprint" in shown
    assert "<table" in shown
    hostile = tables["scores"].with_columns(
        model=pl.col("model").cast(pl.String).replace({"pre": "<script>alert(1)</script>"}),
        reward=pl.when(pl.col("row_id") > 0).then("reward"),
    )
    compared = compare(hostile)
    assert "pairs lack a reward" in compared.notes[0]
    both = agreement([tables["labels"], tables["noisy"]], options=AgreementOptions(resamples=10))
    for result in (compared, both):
        shown = result._repr_html_()
        assert "<table" in shown
        assert "<script>" not in shown


def test_what_is_no_frame_is_refused(tables: Tables) -> None:
    with pytest.raises(UsageError, match="a frame cannot be made of a int"):
        compare(7)
    with pytest.raises(InputError, match="scores: no column 'model'"):
        compare(tables["labels"])
    with pytest.raises(UsageError, match="one of them is an empty list"):
        analyze([], tables["labels"], OPTIONS)
    with pytest.raises(UsageError, match="name it with out"):
        analyze(tables["scores"], tables["labels"], OPTIONS, figures=True)
    with pytest.raises(UsageError, match="cannot read the taxonomy"):
        agreement(
            [tables["labels"], tables["noisy"]], options=AgreementOptions(taxonomy=Path("nowhere.toml"))
        )


def test_damage_inside_a_frame_is_one_line_with_its_path(tables: Tables, tmp_path: Path) -> None:
    """A file whose footer is whole and whose rows are not: only reading them shows it."""
    for name in ("scores", "labels"):
        tables[name].write_parquet(tmp_path / f"{name}.parquet", compression="uncompressed")
    other = tables["labels"].with_columns(labeler=pl.lit("other"))
    data = bytearray((tmp_path / "labels.parquet").read_bytes())
    data[4 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4)
    (tmp_path / "labels.parquet").write_bytes(data)
    damaged = tmp_path / "labels.parquet"
    with pytest.raises(InputError, match=r"scores\.parquet, .*labels\.parquet cannot be read: "):
        analyze(tmp_path / "scores.parquet", damaged, OPTIONS)
    with pytest.raises(InputError, match=r"labels\.parquet cannot be read: "):
        agreement([damaged, other])
