"""`seal agreement` as a user types it, on the toy world's truth and noisy copies of it."""

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from examples.toyworld.generate import Options
from examples.toyworld.generate import write as write_world
from seal.engine.frames.schema import LABELS, scan
from seal.engine.frames.taxonomy import DEFAULT, load_taxonomy
from seal.engine.labeling.computed import ComputedLabeler
from seal.engine.labeling.labeling import label
from seal.stats.labelers import crowd
from tests.support.command_line import Seal
from tests.support.frames import random_texts, write
from tests.support.kills import parquet_hashes

ERRORS = (0.05, 0.15, 0.3)
FAST = ("--resamples", 50)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of 600 pairs, and three labelers who err at known rates."""
    folder = tmp_path_factory.mktemp("world")
    write_world(Options(600, 9), folder)
    truth = pl.read_parquet(folder / "truth.parquet")
    rng = np.random.default_rng(3)
    booleans = [name for name, dtype in truth.schema.items() if dtype == pl.Boolean()]
    for i, error in enumerate(ERRORS):
        wrong = [pl.Series(n, truth[n].to_numpy() ^ (rng.random(truth.height) < error)) for n in booleans]
        truth.with_columns(pl.lit(f"l{i}").alias("labeler"), *wrong).write_parquet(folder / f"l{i}.parquet")
    return folder


@pytest.fixture
def three(world: Path) -> list[Path]:
    return [world / f"l{i}.parquet" for i in range(3)]


def test_labelers_against_each_other_and_gold(
    seal: Seal, world: Path, three: list[Path], tmp_path: Path
) -> None:
    code, out, err = seal("agreement", *three, "--gold", world / "truth.parquet", "--out", "found", *FAST)
    assert code == 0
    assert "last_response_is_helpful" in out
    assert "alpha is below 0.667" in err
    table = pl.read_csv(tmp_path / "found/labelers.csv")
    assert set(table["labeler_b"]) == {"l1", "l2", "truth", "all"}
    helpful = table.filter(feature="last_response_is_helpful")
    for i, error in enumerate(ERRORS):
        row = helpful.filter(labeler_a=f"l{i}", labeler_b="truth").row(0, named=True)
        # over 1200 texts a share has a standard error of at most 0.0144
        assert row["agreement"] == pytest.approx(1 - error, abs=0.05)
        assert row["agreement_conf_low"] < row["agreement"] < row["agreement_conf_high"]
        hit = row["precision"] * row["prevalence_a"]
        assert row["recall"] == pytest.approx(hit / row["prevalence_b"])
        assert row["f1"] == pytest.approx(2 * hit / (row["prevalence_a"] + row["prevalence_b"]))
    assert helpful.filter(labeler_a="all").height == 1
    first = helpful.filter(labeler_a="l0", labeler_b="l1").row(0, named=True)
    assert first["precision"] is None


def test_json_and_two_labelers(seal: Seal, three: list[Path]) -> None:
    code, out, _ = seal("agreement", *three[:2], "--json", *FAST)
    assert code == 0
    rows = json.loads(out)
    assert {(r["labeler_a"], r["labeler_b"]) for r in rows} == {("l0", "l1")}
    assert len(rows) == 17


@pytest.mark.parametrize("method", ["majority", "dawid-skene"])
def test_combined_they_are_a_labeler_of_its_own(
    seal: Seal, world: Path, three: list[Path], tmp_path: Path, method: str
) -> None:
    call = (
        "agreement",
        *three,
        "--gold",
        world / "truth.parquet",
        "--combine",
        method,
        "--out",
        "one",
        *FAST,
    )
    code, _, err = seal(*call)
    assert code == 0
    assert "topics" in err
    name = method.replace("-", "_")
    assert f"1,200 texts labeled by {name}" in err
    rows = scan(tmp_path / "one", LABELS).collect()
    assert rows.height == 1200
    assert rows["labeler"].unique().to_list() == [name]
    types = load_taxonomy().types
    assert all(rows.schema[f] == types[f] for f in rows.columns[4:] if not f.startswith("p_"))
    table = pl.read_csv(tmp_path / "one/labelers.csv")
    right = table.filter(labeler_b="truth", feature="human_vocabulary_quality")
    right = dict(right.select("labeler_a", "agreement").iter_rows())
    assert right[name] >= right["l1"]
    assert (tmp_path / "one/labeler_errors.csv").exists() == (method == "dawid-skene")
    hashes = parquet_hashes(tmp_path / "one")
    assert seal(*call)[0] == 0
    assert parquet_hashes(tmp_path / "one") == hashes
    assert seal("verify", "one")[0] == 0
    # and it is an input like any other
    assert (
        seal("agreement", "one", "--gold", world / "truth.parquet", "--taxonomy", tmp_path / "t.toml")[0] == 2
    )
    assert seal("agreement", "one", "--gold", world / "truth.parquet", *FAST)[0] == 0


def test_cut_short_it_goes_on_to_the_same_bytes(
    seal: Seal, three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "PAIRS_PER_BLOCK", 90)
    call = ("agreement", *three, "--combine", "dawid-skene", *FAST, "--out")
    assert seal(*call, "whole")[0] == 0
    assert seal(*call, "cut")[0] == 0
    log = tmp_path / "cut/log.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    manifest = tmp_path / "cut/manifest.json"
    started = json.loads(manifest.read_text()) | {"complete": False}
    del started["log_sha256"]  # a manifest says it at the end alone
    manifest.write_text(json.dumps(started))
    (tmp_path / "cut/part-00005.parquet").write_bytes(b"torn")
    assert seal(*call, "cut")[0] == 0
    assert parquet_hashes(tmp_path / "cut") == parquet_hashes(tmp_path / "whole")
    assert len(parquet_hashes(tmp_path / "cut")) == 8
    code, _, err = seal("agreement", *three, "--combine", "majority", "--out", "cut", *FAST)
    assert (code, "options.combine" in err) == (1, True)
    assert seal("agreement", *three, "--combine", "majority", "--out", "cut", "--overwrite", *FAST)[0] == 0


def test_two_labelers_do_not_identify_the_model(seal: Seal, three: list[Path]) -> None:
    code, _, err = seal("agreement", *three[:2], "--combine", "dawid-skene", "--out", "two", *FAST)
    assert code == 0
    assert "two labelers do not identify their error rates" in err


def test_a_labelers_name_is_no_formula_in_the_table(seal: Seal, three: list[Path], tmp_path: Path) -> None:
    hostile = pl.read_parquet(three[0]).with_columns(labeler=pl.lit("=1+1"))
    path = write(hostile, tmp_path / "hostile.parquet")
    assert seal("agreement", path, three[1], "--combine", "dawid-skene", "--out", "o", *FAST)[0] == 0
    for name in ("labelers.csv", "labeler_errors.csv"):
        with (tmp_path / "o" / name).open() as file:
            cells = {cell for row in csv.reader(file) for cell in row}
        assert "'=1+1" in cells
        assert "=1+1" not in cells


def test_a_taxonomy_holds_the_labels_to_it(seal: Seal, three: list[Path], tmp_path: Path) -> None:
    own = '[[feature]]\nname = "{}"\nkind = "boolean"\nscope = "last response"\ninstruction = "Is it?"\n'
    (tmp_path / "own.toml").write_text(own.format("topic"))
    code, _, err = seal("agreement", *three, "--taxonomy", "own.toml")
    assert code == 1
    assert "is no feature of own.toml" in err
    strings = pl.read_parquet(three[0]).with_columns(pl.col("last_response_sentiment").cast(pl.String))
    strings = strings.with_columns(last_response_sentiment=pl.lit("cheerful"))
    path = write(strings, tmp_path / "strings.parquet")
    code, _, err = seal("agreement", path, three[1], "--taxonomy", DEFAULT, *FAST)
    assert code == 1
    assert "does not fit its column" in err


def test_what_is_refused(seal: Seal, world: Path, three: list[Path], tmp_path: Path) -> None:
    numbers = write(random_texts(5), tmp_path / "texts.parquet")
    for name in ("a", "b"):
        label(numbers, [ComputedLabeler(name)], tmp_path / name)
    both = write(pl.concat(map(pl.read_parquet, three[:2])), tmp_path / "both.parquet")
    cases = [
        (("agreement", three[0]), 2, "the only labeler here"),
        (("agreement", *three, "--combine", "majority"), 2, "name it with out"),
        (("agreement", *three, "--overwrite"), 2, "overwrite belongs to combine"),
        (("agreement", three[0], "--gold", both), 2, "holds several labelers (l0, l1)"),
        (("agreement", both, "--gold", three[0]), 2, "is among the LABELS also"),
        (("agreement", three[0], three[0]), 1, "stands in two"),
        (("agreement", "a", "b"), 1, "share no boolean or text feature"),
        (("agreement", "a", "b", "--combine", "majority", "--out", "c"), 1, "share no boolean or text"),
        (("agreement", "a", "b", "--combine", "majority", "--out", "a/c"), 2, "lie in each other"),
        (("agreement", "none"), 1, "neither a Parquet file nor a folder"),
        (("agreement", numbers), 1, "no column 'labeler'"),
    ]
    for call, code, reason in cases:
        found, _, err = seal(*call)
        assert (found, reason in " ".join(err.split())) == (code, True), (call, err)
