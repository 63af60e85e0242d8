"""What `formats.md` says of frames, codes and result files is what the code reads and writes."""

from pathlib import Path

import polars as pl
import pytest

from seal.cli.main import main
from seal.engine.datasets.formats import FORMATS
from seal.engine.frames.schema import FAILURES, LABELS, SCORES, SIMILARITIES, TEXTS, Schema
from seal.engine.labeling.computed import FEATURES
from seal.engine.rewriting.acceptance import CHECKS
from seal.stats.results import FILES
from tests.support.documentation import DOCS, named, section, table

PAGE = DOCS / "formats.md"
ROWS = {named(row[0])[0]: row[2] for row in table(section(PAGE, "Result files"))}


@pytest.mark.parametrize("schema", [TEXTS, SCORES, LABELS, SIMILARITIES, FAILURES], ids=lambda s: str(s.name))
def test_frames(schema: Schema) -> None:
    rows = table(section(PAGE, schema.name))
    kinds = {name: type(kind).__name__ for name, kind in (schema.types | schema.optional).items()}
    assert {named(row[0])[0]: row[1] for row in rows} == kinds
    assert [named(row[0])[0] for row in rows if row[2].startswith("key")] == list(schema.key)


def test_dataset_formats() -> None:
    rows = table(section(PAGE, "Datasets that are read"))
    assert [named(row[0])[0] for row in rows] == list(FORMATS)
    for row in rows:
        assert named(row[2]) == [meta.name for meta in FORMATS[named(row[0])[0]].meta]


def test_computed_features() -> None:
    assert [named(row[0])[0] for row in table(section(PAGE, "Computed features"))] == [
        f.name for f in FEATURES
    ]


def test_codes_of_rewritings() -> None:
    text = section(PAGE, "FAILURES").split("The codes:")[1].strip()
    codes = {named(row[0])[0]: named(row[1]) for row in table(text)}
    assert set(CHECKS) <= set(codes["rewrite"])


def test_every_result_file_is_told() -> None:
    assert sorted(ROWS) == sorted(f"{name}.csv" for name in FILES)


def columns(file: str) -> list[str]:
    """What the page says, `as imprint.csv` resolved."""
    said = named(ROWS[file])
    return columns(said[0]) if said[0].endswith(".csv") else said


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An analysis that writes every file, of 48 pairs, all with gold labels."""
    folder = tmp_path_factory.mktemp("every_file")
    rows: dict[str, list[dict[str, object]]] = {
        name: [] for name in ("texts", "scores", "labels", "gold", "sims", "twins")
    }
    for pair in range(48):
        for side, preference in enumerate(("chosen", "rejected")):
            for variant in ("original", "rewritten", "placebo"):
                flipped = variant == "rewritten" and pair % 3 == 0
                key = {"row_id": pair, "preference": preference, "variant": variant}
                rows["texts"].append(key | {"source": "made", "prompt": "a", "response": "b" * (pair + 1)})
                reward = float((pair * 7 + side * 3 + flipped) % 5)
                rows["scores"] += [key | {"model": m, "reward": reward * k} for m, k in (("a", 1), ("b", -1))]
                rows["labels"].append(
                    key
                    | {"labeler": "me", "last_response_is_harmless": True, "last_response_is_helpful": True}
                    | {"kind": pair % (2 + side) == 0 and not flipped}
                )
        for side, preference in enumerate(("chosen", "rejected")):
            key = {"row_id": pair, "preference": preference, "variant": "perturb:typo_swap"}
            rows["twins"] += [key | {"model": m, "reward": float((pair + side) % 3)} for m in ("a", "b")]
            kind = (pair % (2 + side) == 0) != (pair % 7 == 0)
            key = {"row_id": pair, "preference": preference, "variant": "original", "labeler": "gold"}
            rows["gold"].append(key | {"kind": kind})
            rows["sims"].append({"row_id": pair, "preference": preference, "embedder": "e", "cosine": 0.9})
    where = {}
    for name, content in rows.items():
        frame = pl.DataFrame(content)
        for variant in ("original", "rewritten"):
            where[name, variant] = str(folder / f"{name}-{variant}.parquet")
            split = "variant" in frame.columns and name != "twins"
            mine = (pl.col("variant") == "original") == (variant == "original")
            part = frame.filter(mine) if split else frame
            part.write_parquet(where[name, variant])
    words = [
        "--texts", where["texts", "original"], "--rewritten", where["texts", "rewritten"],
        "--scores", where["scores", "original"], "--rewritten-scores", where["scores", "rewritten"],
        "--labels", where["labels", "original"], "--labels", where["gold", "original"], "--gold", "gold",
        "--rewritten-labels", where["labels", "rewritten"],
        "--similarities", where["sims", "rewritten"],
        "--perturbed-scores", where["twins", "original"],
        "--pre", "a", "--post", "b", "--out", str(folder / "out"),
    ]  # fmt: skip
    assert main(["analyze", *words]) == 0
    return folder / "out"


@pytest.mark.parametrize("name", FILES)
def test_columns_of_result_files(name: str, results: Path) -> None:
    head = (results / f"{name}.csv").read_text(encoding="utf-8").splitlines()[0]
    assert head.split(",") == columns(f"{name}.csv")


def test_columns_of_suspects(results: Path) -> None:
    told = {named(row[0])[0]: row[1] for row in table(section(PAGE, "Suspects"))}
    written = pl.read_parquet(results / "suspects.parquet").schema
    assert list(told.items()) == [(name, type(kind).__name__) for name, kind in written.items()]
