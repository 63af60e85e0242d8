"""`seal label` as a user types it: what comes out, what is refused, and what a kill leaves."""

import json
import random
import shutil
from pathlib import Path

import polars as pl
import pytest

from seal.engine.frames.sampling import Sample
from seal.engine.frames.schema import LABELS, TEXT_KEY, scan
from seal.engine.labeling.computed import FEATURES, ComputedLabeler
from seal.engine.labeling.contract import Labeled
from seal.engine.labeling.labeling import label
from seal.engine.labeling.options import LabelOptions
from seal.engine.progress import Meter
from tests.support.command_line import Seal
from tests.support.frames import random_texts, real_texts, texts, write
from tests.support.kills import kill_after, parquet_hashes
from tests.support.kills import seal as run_seal


def rows_of(folder: Path) -> pl.DataFrame:
    return scan(folder, LABELS).collect()


def test_numbers_for_every_text(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(50), tmp_path / "texts.parquet")
    code, out, _ = seal("label", path, "--labeler", "computed", "--out", "labels", "--part-rows", 20)
    assert code == 0
    assert out.startswith("100 texts x 1 labelers = 100 rows + 0 failures -> labels")
    rows = rows_of(tmp_path / "labels")
    assert (
        rows.select(TEXT_KEY).rows()
        == pl.read_parquet(path)
        .with_columns(pl.col("preference").cast(rows.schema["preference"]))
        .sort(TEXT_KEY)
        .select(TEXT_KEY)
        .rows()
    )
    assert rows["labeler"].unique().to_list() == ["computed"]
    assert rows.columns == [*LABELS.types, *(f.name for f in FEATURES)]
    assert len(list((tmp_path / "labels").glob("part-*"))) == 3


def test_a_name_some_features_and_json(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(5), tmp_path / "texts.parquet")
    arguments = (
        "label",
        path,
        "--labeler",
        "mine=computed",
        "--features",
        "n_words, n_chars",
        "--out",
        "l",
        "--json",
    )
    code, out, _ = seal(*arguments)
    assert code == 0
    assert json.loads(out)["n_rows"] == 10
    rows = rows_of(tmp_path / "l")
    assert rows.columns[4:] == ["n_chars", "n_words"]
    assert rows["labeler"].unique().to_list() == ["mine"]


def test_a_text_that_is_missing_is_a_failure(seal: Seal, tmp_path: Path) -> None:
    path = write(texts(["a", None], ["b", "c"]), tmp_path / "texts.parquet")
    code, _, err = seal("label", path, "--labeler", "computed", "--out", "l")
    assert code == 3
    assert "50.0% of the rows failed" in err
    assert rows_of(tmp_path / "l").height == 1
    failed = pl.read_parquet(tmp_path / "l/failures.parquet").row(0, named=True)
    assert (failed["row_id"], failed["preference"], failed["stage"], failed["error"]) == (
        0, "rejected", "label", "missing_text",
    )  # fmt: skip
    assert failed["detail"] == "labeler computed: prompt or response is null"
    assert seal("label", path, "--labeler", "computed", "--out", "l", "--max-failures", 0.5)[0] == 0


REFUSED = {
    "a hostile name": (("--labeler", "../up=computed"), "cannot be a name"),
    "two of a name": (("--labeler", "computed", "--labeler", "computed"), "each with a name of its own"),
    "no such feature": (("--labeler", "computed", "--features", "n_word"), "did you mean 'n_words'"),
    "no feature": (("--labeler", "computed", "--features", ","), "no feature is named"),
    "no taxonomy": (("--labeler", "computed", "--taxonomy", "none.toml"), "cannot read the taxonomy"),
    "nothing sampled": (("--labeler", "computed", "--sample", "0"), "0.0 is not in the range"),
    "a backend": (("--labeler", "computed", "--backend", "vllm"), "option backend is for models"),
    "a cross-check": (("--labeler", "computed", "--cross-check", 3), "option cross-check is for models"),
    "into the texts": (("--labeler", "computed", "--out", "."), "lie in each other"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(seal: Seal, tmp_path: Path, case: str) -> None:
    path = write(random_texts(2), tmp_path / "texts.parquet")
    arguments, reason = REFUSED[case]
    code, _, err = seal("label", path, "--out", "labels", *arguments)
    assert code == 2
    assert reason in " ".join(err.split())
    assert not (tmp_path / "labels").exists()


def test_a_taxonomy_is_checked_and_may_not_take_a_computed_name(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(2), tmp_path / "texts.parquet")
    entry = '[[feature]]\nname = "{}"\nkind = "boolean"\nscope = "last response"\ninstruction = "Is it?"\n'
    (tmp_path / "own.toml").write_text(entry.format("n_words"))
    call = ("label", path, "--labeler", "computed", "--out", "l", "--taxonomy", "own.toml")
    code, _, err = seal(*call)
    assert (code, "feature 'n_words' has the name of a computed one" in err) == (2, True)
    assert seal(*call, "--features", "n_chars")[0] == 0


def test_another_run_is_refused_with_the_difference(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(10), tmp_path / "texts.parquet")
    call = ("label", path, "--labeler", "computed", "--out", "l")
    assert seal(*call)[0] == 0
    assert seal(*call)[0] == 0
    for more, difference in (
        (("--sample", 0.5), "options.sample: 1.0 there, 0.5 now"),
        (("--part-rows", 3), "options.part_pairs"),
        (("--limit", 3), "options.limit"),
        (("--features", "n_chars"), "models.computed.features"),
    ):
        code, _, err = seal(*call, *more)
        assert code == 1
        assert difference in err
    assert seal(*call, "--limit", 3, "--overwrite")[0] == 0
    assert rows_of(tmp_path / "l").height == 6


def test_a_sample_takes_whole_pairs_and_grows(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(400), tmp_path / "texts.parquet")
    found = {}
    for name, more in {
        "fifth": ("--sample", 0.2),
        "parts": ("--sample", 0.2, "--part-rows", 7),
        "half": ("--sample", 0.5),
        "other": ("--sample", 0.2, "--seed", 1),
        "ten": ("--sample", 0.2, "--limit", 10),
    }.items():
        assert seal("label", path, "--labeler", "computed", "--out", name, *more)[0] == 0
        found[name] = rows_of(tmp_path / name)
    ids = {name: set(rows["row_id"]) for name, rows in found.items()}
    assert all(rows.height == 2 * len(ids[name]) for name, rows in found.items())
    assert found["fifth"].equals(found["parts"])
    assert ids["fifth"] < ids["half"]
    assert ids["fifth"] != ids["other"]
    assert sorted(ids["ten"]) == sorted(ids["fifth"])[:10]
    # 80 and 200 of 400 expected, with standard deviations of 8 and 10
    assert (len(ids["fifth"]), len(ids["half"])) == (pytest.approx(80, abs=32), pytest.approx(200, abs=40))


def test_a_sample_of_nobody_says_so(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(2), tmp_path / "texts.parquet")
    code, _, err = seal("label", path, "--labeler", "computed", "--out", "l", "--sample", 1e-9)
    assert code == 1
    assert "the sample keeps none of the pairs" in err


def test_the_sample_is_pinned_and_even() -> None:
    ids = pl.Series(range(200_000))
    assert Sample(0.1, seed=5).keeps(ids).arg_true().to_list()[:6] == PINNED
    for share in (0.01, 0.3):
        kept = Sample(share, seed=2).keeps(ids)
        by_block = [kept[i : i + 20_000].mean() for i in range(0, 200_000, 20_000)]
        assert by_block == pytest.approx([share] * 10, abs=5 * (share * (1 - share) / 20_000) ** 0.5)


PINNED = [8, 14, 16, 25, 26, 34]


def test_real_dialogues(tmp_path: Path) -> None:
    path = write(real_texts(), tmp_path / "texts.parquet")
    report = label(path, [ComputedLabeler()], tmp_path / "labels")
    assert (report.n_rows, report.n_failures) == (4624, 0)
    rows = rows_of(tmp_path / "labels")
    assert rows["n_words"].mean() == pytest.approx(34.9, abs=0.1)
    assert 0.02 < rows["opens_with_refusal"].cast(pl.Float64).mean() < 0.05


class Halving:
    """A labeler that fails every second text, to hold the frame to what it promises any labeler."""

    name, identity, types = "half", {"kind": "test"}, {"is_kind": pl.Boolean()}

    def label(self, texts: pl.DataFrame, meter: Meter) -> Labeled:
        meter.batch(texts.height, 10, 12)
        rows = texts.select(*TEXT_KEY, is_kind=pl.lit(True))
        failed = texts.select(*TEXT_KEY, error=pl.lit("cut"), detail=pl.lit("no end"))
        return Labeled(rows.gather_every(2), failed.gather_every(2, offset=1))


def test_several_labelers_stand_side_by_side(tmp_path: Path) -> None:
    path = write(random_texts(10), tmp_path / "texts.parquet")
    seen = []
    both = [ComputedLabeler(names=["n_words"]), Halving()]
    report = label(path, both, tmp_path / "l", LabelOptions(part_pairs=4), listen=seen.append)
    assert (report.n_texts, report.n_rows, report.n_failures) == (20, 30, 10)
    assert seen[-1].n_done == 20
    rows = rows_of(tmp_path / "l")
    assert rows.equals(rows.sort(LABELS.key))
    assert rows.filter(labeler="half")["n_words"].null_count() == 10
    assert rows.filter(labeler="computed")["is_kind"].null_count() == 20
    failed = pl.read_parquet(tmp_path / "l/failures.parquet")
    assert failed["detail"].unique().to_list() == ["labeler half: no end"]


def test_a_labeler_that_loses_a_text_is_a_defect(tmp_path: Path) -> None:
    class Losing(Halving):
        def label(self, texts: pl.DataFrame, meter: Meter) -> Labeled:
            return Labeled(super().label(texts, meter).rows)

    path = write(random_texts(3), tmp_path / "texts.parquet")
    with pytest.raises(AssertionError, match="lost rows"):
        label(path, [Losing()], tmp_path / "l")


def kill_and_go_on(folder: Path, n_kills: int) -> int:
    """Kill labeling at moments spread over its parts, and finish it; the bytes are those of no kill."""
    rng, n_killed = random.Random(0), 0
    path = write(random_texts(6000, longest=30), folder / "texts.parquet")
    call = ("label", path, "--labeler", "computed", "--part-rows", 100, "--out")
    assert run_seal(*call, folder / "whole").returncode == 0
    whole = parquet_hashes(folder / "whole")
    assert len(whole) == 61
    out = folder / "killed"
    for i in range(n_kills):
        part = out / f"part-{rng.randrange(1, 50):05}.parquet"
        n_killed += kill_after(rng.choice([0.0, 0.001, 0.004, 0.01]), *call, out, when=part)
        if i % 3 == 2 or i == n_kills - 1:
            done = run_seal(*call, out)
            assert done.returncode == 0, done.stderr
            assert parquet_hashes(out) == whole
            shutil.rmtree(out)
    return n_killed


def test_killed_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    assert kill_and_go_on(tmp_path, 3) >= 2


@pytest.mark.slow
def test_killed_many_times_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    assert kill_and_go_on(tmp_path, 30) >= 15


def test_verify_finds_a_changed_byte(seal: Seal, tmp_path: Path) -> None:
    path = write(random_texts(5), tmp_path / "texts.parquet")
    assert seal("label", path, "--labeler", "computed", "--out", "l")[0] == 0
    assert seal("verify", "l")[0] == 0
    part = tmp_path / "l/part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[100] ^= 1
    part.write_bytes(bytes(data))
    assert seal("verify", "l")[0] == 1
