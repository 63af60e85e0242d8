"""Shards put together are the folder of the undivided run, whatever happens on the way; else it is told."""

import errno
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from seal.engine.errors import InputError, ResumeError, SealError, UsageError
from seal.engine.export import exporting
from seal.engine.files import take_lock
from seal.engine.frames.manifest import read_manifest
from seal.engine.frames.schema import REWRITTEN, VARIANT
from seal.engine.labeling.labeling import label
from seal.engine.labeling.options import LabelOptions
from seal.engine.merge import merge
from seal.engine.rewriting.options import PerturbOptions
from seal.engine.rewriting.perturbing import perturb
from seal.engine.scoring.options import ScoreOptions, SimilarityOptions
from seal.engine.scoring.scoring import score
from seal.engine.scoring.similarity import similarity
from tests.support.frames import random_texts, write
from tests.support.kills import parquet_hashes
from tests.support.shards import Call, assert_same, divided, merges, state
from tests.support.tiny import FEW_LENGTHS, make_embedder

pytestmark = pytest.mark.usefixtures("fast_disk")

N_PAIRS, PART_PAIRS = 27, 4


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs in no order; some texts are missing, so that some rows fail."""
    frame = random_texts(N_PAIRS, seed=3, longest=20)
    frame = frame.with_columns(response=pl.when(pl.col("row_id") % 7 != 5).then("response"))
    path = tmp_path_factory.mktemp("texts") / "texts.parquet"
    return write(frame.sample(fraction=1, shuffle=True, seed=1), path)


@pytest.fixture(scope="module")
def rewritten(texts: Path) -> Path:
    frame = pl.read_parquet(texts).filter(pl.col("row_id") != 9)
    frame = frame.with_columns(variant=pl.lit(REWRITTEN, VARIANT), response=pl.col("response") + " and so on")
    return write(frame, texts.with_name("rewritten.parquet"))


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "PARITY_LENGTHS", FEW_LENGTHS)
        return exporting.export(
            make_embedder(folder / "model"), folder / "onnx", exporting.ExportOptions()
        ).folder


def labeling(texts: Path, **options: object) -> Call:
    def call(out: Path, shard: str | None) -> object:
        return label(texts, "computed", out, LabelOptions(part_pairs=PART_PAIRS, shard=shard, **options))

    return call


def perturbing(texts: Path, **options: object) -> Call:
    names = ("typo_swap", "answer_of_another_prompt", "contractions_expanded")

    def call(out: Path, shard: str | None) -> object:
        return perturb(texts, names, out, PerturbOptions(part_pairs=PART_PAIRS, shard=shard, **options))

    return call


CHOSEN = {"all": {}, "limit": {"limit": 18}, "sample": {"sample": 0.6, "seed": 4, "limit": 13}}


@pytest.mark.parametrize("n", [3, 11], ids=["three shards", "more shards than windows"])
@pytest.mark.parametrize("chosen", CHOSEN.values(), ids=CHOSEN)
@pytest.mark.parametrize("stage", [labeling, perturbing], ids=["label", "perturb"])
def test_shards_of_a_sample(
    stage: Callable[..., Call], chosen: dict[str, object], n: int, texts: Path, tmp_path: Path
) -> None:
    report = merges(stage(texts, **chosen), tmp_path, n)
    assert report.n_failures > 0
    n_parts = len(list((tmp_path / "merged").glob("part-*")))
    assert 3 <= n_parts <= 7
    n_empty = sum(not list(shard.glob("part-*")) for shard in tmp_path.glob("shard-*"))
    assert n_empty == max(0, n - n_parts)


@pytest.mark.parametrize(("n", "limit"), [(3, None), (3, 18), (11, None)])
def test_shards_of_scores(
    n: int, limit: int | None, texts: Path, exported: dict[str, Path], tmp_path: Path
) -> None:
    models = {"pre": exported["pre"], "short": exported["short"]}

    def call(out: Path, shard: str | None) -> object:
        return score(
            texts, models, out, ScoreOptions(part_pairs=PART_PAIRS, limit=limit, shard=shard, threads=1)
        )

    report = merges(call, tmp_path, n)
    assert report.n_failures > 0
    assert report.n_texts == 2 * (limit or N_PAIRS)


@pytest.mark.parametrize(("n", "limit"), [(3, None), (3, 18), (11, None)])
def test_shards_of_similarities(
    n: int, limit: int | None, texts: Path, rewritten: Path, embedder: Path, tmp_path: Path
) -> None:
    def call(out: Path, shard: str | None) -> object:
        options = SimilarityOptions(
            part_pairs=PART_PAIRS, limit=limit, shard=shard, min_cosine=0.99, threads=1
        )
        return similarity(texts, rewritten, {"e": embedder}, out, options)

    report = merges(call, tmp_path, n)
    assert set(pl.read_parquet(tmp_path / "merged" / "failures.parquet")["error"]) == {
        "missing_text", "low_cosine",
    }  # fmt: skip
    assert report.n_texts == 2 * (limit or N_PAIRS - 1)


def test_a_sample_that_keeps_nothing_is_told_by_every_shard(texts: Path, tmp_path: Path) -> None:
    for i in (1, 2):
        with pytest.raises(InputError, match="the sample keeps none of the pairs"):
            labeling(texts, sample=1e-9)(tmp_path / f"{i}", f"{i}/2")


def test_a_shard_is_an_ordinary_folder(texts: Path, tmp_path: Path) -> None:
    out, call = tmp_path / "out", labeling(texts)
    call(out, "2/3")
    hashes = parquet_hashes(out)
    for other in (None, "1/3", "2/4"):
        with pytest.raises(ResumeError, match=r"options\.shard: \"2/3\" there"):
            call(out, other)
    assert call(out, "2/3") is not None
    assert parquet_hashes(out) == hashes
    label(texts, "computed", out, LabelOptions(part_pairs=PART_PAIRS), overwrite=True)
    call(tmp_path / "whole", None)
    assert_same(tmp_path / "whole", out)


def test_one_shard_of_one(texts: Path, tmp_path: Path) -> None:
    merges(labeling(texts), tmp_path, 1)


# What goes wrong


@pytest.fixture
def shards(texts: Path, tmp_path: Path) -> list[Path]:
    return divided(labeling(texts), tmp_path, 3)


def refused(shards: list[Path], out: Path, kind: type[SealError] = InputError) -> str:
    """The one line with which they are refused; nothing was written."""
    with pytest.raises(kind) as caught:
        merge(shards, out)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_shards_that_are_missing(shards: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "merged"
    assert refused(shards[1:2], out) == "missing: shard 1/3, 3/3; name the folders of all 3"
    assert "name the folders" in refused([], out, UsageError)


def test_many_shards_that_are_missing_are_counted(texts: Path, tmp_path: Path) -> None:
    labeling(texts)(tmp_path / "a", "2/900000000")
    told = refused([tmp_path / "a"], tmp_path / "merged")
    assert told.startswith("missing: shard 1/900000000, 3/900000000,")
    assert "and 899999994 more" in told


def test_shards_that_are_doubled(shards: list[Path], tmp_path: Path) -> None:
    told = refused([*shards, shards[1]], tmp_path / "merged")
    assert told == f"{shards[1]} and {shards[1]} are both shard 2/3"


def test_shards_that_are_not_finished(shards: list[Path], texts: Path, tmp_path: Path) -> None:
    for number in (1, 3):
        shutil.rmtree(shards[number - 1])
        options = LabelOptions(part_pairs=PART_PAIRS, shard=f"{number}/3")
        with pytest.raises(KeyboardInterrupt):
            label(texts, "computed", shards[number - 1], options, listen=_stop)
    told = refused(shards, tmp_path / "merged")
    assert told.startswith(f"not finished: {shards[0]} (shard 1/3), {shards[2]} (shard 3/3); run the command")
    for number in (1, 3):
        labeling(texts)(shards[number - 1], f"{number}/3")
    labeling(texts)(tmp_path / "whole", None)
    merge(shards, tmp_path / "merged")
    assert_same(tmp_path / "whole", tmp_path / "merged")


def _stop(_: object) -> None:
    raise KeyboardInterrupt


def test_shards_of_another_run(shards: list[Path], texts: Path, tmp_path: Path) -> None:
    labeling(texts, limit=20)(tmp_path / "other", "2/3")
    labeling(texts)(tmp_path / "four", "4/4")
    told = refused([shards[0], tmp_path / "other", tmp_path / "four"], tmp_path / "merged")
    first = f"{shards[0]} (shard 1/3)"
    assert told == (
        f"{first} and {tmp_path / 'other'} (shard 2/3) are of another run: options.limit: null in the first, "
        f"20 in the second; {first} and {tmp_path / 'four'} (shard 4/4) are of another number of shards"
    )


def test_folders_that_are_no_shards(shards: list[Path], texts: Path, tmp_path: Path) -> None:
    labeling(texts)(tmp_path / "whole", None)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "whole", tmp_path / "empty", tmp_path / "nowhere", texts):
        assert refused([*shards, path], tmp_path / "merged").startswith(f"{path} is no shard")


@pytest.mark.parametrize("name", ["log.jsonl", "manifest.json", "failures.parquet", "label_shard.json"])
def test_a_record_that_was_changed(name: str, shards: list[Path], tmp_path: Path) -> None:
    path = shards[1] / name
    data = path.read_bytes()
    path.write_bytes(data.replace(b"2", b"3", 1) if name != "failures.parquet" else data[:-1] + b"\0")
    with pytest.raises(InputError) as caught:
        merge(shards, tmp_path / "merged")
    assert str(shards[1]) in str(caught.value)


def test_a_part_that_was_changed_is_found_and_brought_back(
    shards: list[Path], texts: Path, tmp_path: Path
) -> None:
    out, path = tmp_path / "merged", shards[1] / "part-00001.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    with pytest.raises(InputError, match=r"part-00001\.parquet is not what its log says; bring it back"):
        merge(shards, out)
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read .*part-00001\.parquet"):
        merge(shards, out)
    path.write_bytes(data)
    merge(shards, out)
    labeling(texts)(tmp_path / "whole", None)
    assert_same(tmp_path / "whole", out)


def test_shards_that_were_asked_the_other_way_about_other_pairs(texts: Path, tmp_path: Path) -> None:
    shards = [tmp_path / "1", tmp_path / "2"]
    for i, shard in enumerate(shards, 1):
        labeling(texts, seed=i)(shard, f"{i}/2")
    assert "not of one run: cross_check 20 and 20, seed 1 and 2" in refused(shards, tmp_path / "merged")


# Where it is written


def test_the_folder_and_a_shard_lie_in_each_other(shards: list[Path], tmp_path: Path) -> None:
    for out in (shards[0], shards[0] / "merged", tmp_path):
        with pytest.raises(UsageError, match=r"and the shard .* lie in each other"):
            merge(shards, out)


def test_a_folder_of_somebody_else(shards: list[Path], texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ResumeError, match=r"is not empty \(notes\.txt\)"):
        merge(shards, out, overwrite=True)
    (out / "notes.txt").unlink()
    labeling(texts, limit=5)(out, None)
    (out / "notes.txt").write_text("mine")
    (out / "part-00000-edited.parquet").write_bytes(b"mine")
    with pytest.raises(ResumeError, match=r"was made by another run: options\.limit"):
        merge(shards, out)
    merge(shards, out, overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "part-00000-edited.parquet").read_bytes() == b"mine"
    labeling(texts)(tmp_path / "whole", None)
    hashes = parquet_hashes(out)
    hashes.pop("part-00000-edited.parquet")
    assert hashes == parquet_hashes(tmp_path / "whole")


def test_two_writers(shards: list[Path], tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    lock = take_lock(tmp_path / "merged" / ".lock")
    assert lock is not None
    with lock, pytest.raises(ResumeError, match="is being written by another process"):
        merge(shards, tmp_path / "merged")
    merge(shards, tmp_path / "merged")


def test_merging_again_changes_nothing(shards: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "merged"
    first = merge(shards, out)
    before = state(out)
    assert merge(shards, out) == first
    assert state(out) == before


def test_an_undivided_run_that_was_cut_is_gone_on_with(
    shards: list[Path], texts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "merged"
    with pytest.raises(KeyboardInterrupt):
        label(texts, "computed", out, LabelOptions(part_pairs=PART_PAIRS), listen=_stop)
    document = read_manifest(out)
    assert document is not None
    assert not document["complete"]
    merge(shards, out)
    labeling(texts)(tmp_path / "whole", None)
    assert_same(tmp_path / "whole", out)


@pytest.mark.parametrize("target", ["os.fsync", "os.replace"])
def test_a_disk_that_fails_at_any_call(
    target: str, shards: list[Path], texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeling(texts)(tmp_path / "whole", None)
    before = {shard: state(shard) for shard in shards}
    nth, failed = 0, True
    while failed:
        nth, calls, out = nth + 1, [0], tmp_path / f"merged-{nth}"
        with monkeypatch.context() as patch:
            name = target.removeprefix("os.")
            patch.setattr(os, name, partial(_fails, getattr(os, name), calls, nth))
            told = _told(shards, out)
        failed = bool(told)
        assert not failed or (os.strerror(errno.ENOSPC) in told and "\n" not in told)
        merge(shards, out)
        assert_same(tmp_path / "whole", out)
    assert nth > 8
    assert {shard: state(shard) for shard in shards} == before


def _told(shards: list[Path], out: Path) -> str:
    """The error of a merging; nothing where it went well."""
    try:
        merge(shards, out)
    except SealError as error:
        return str(error)
    return ""


def _fails(real: Callable[..., object], calls: list[int], nth: int, *args: object) -> object:
    calls[0] += 1
    if calls[0] == nth:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return real(*args)
